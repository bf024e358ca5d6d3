//! Rows in and out: patches of images, tables, strides.

use super::*;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_convolution_is_the_definition(
        channels in 1usize..4, height in 3usize..12, width in 3usize..12, kernel in 1usize..4,
        stride in 1usize..4, padding in 0usize..3, last in any::<bool>(), seed: u64,
    ) {
        let order = if last { PatchOrder::ChannelsLast } else { PatchOrder::ChannelsFirst };
        let data = values(seed, 2 * channels * height * width);
        let patches = Patches { data: &data, batch: 2, channels, height, width, order, kernel: [kernel, kernel], stride: [stride, stride], padding: [padding; 4] };
        let [down, right] = patches.output_size();
        let depth = patches.depth();
        let mut scratch = vec![f32::NAN; depth];
        for row in 0..patches.rows() {
            let (image, y, x) = (row / (down * right), row / right % down, row % right);
            let patch = Input::Patches(patches).fetch(row, &mut scratch).unwrap().to_vec();
            for c in 0..channels {
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let (sy, sx) = (y * stride + ky, x * stride + kx);
                        let inside = sy >= padding && sx >= padding && sy < height + padding && sx < width + padding;
                        let (sy, sx) = (sy.wrapping_sub(padding), sx.wrapping_sub(padding));
                        let (from, at) = match order {
                            PatchOrder::ChannelsFirst => (((image * channels + c) * height).wrapping_add(sy).wrapping_mul(width).wrapping_add(sx), (c * kernel + ky) * kernel + kx),
                            PatchOrder::ChannelsLast => ((image * height).wrapping_add(sy).wrapping_mul(width).wrapping_add(sx).wrapping_mul(channels).wrapping_add(c), (ky * kernel + kx) * channels + c),
                        };
                        prop_assert_eq!(patch[at], if inside { data[from] } else { 0.0 });
                    }
                }
            }
        }
    }
}

#[test]
fn windows_go_there_and_back() {
    let (batch, height, width, side, dim) = (2, 5, 7, 3, 8);
    let windows = RowTable::windows(batch, height, width, side);
    assert_eq!(windows.len(), batch * 2 * 3 * side * side);
    let x = values(3, batch * height * width * dim);
    // The identity, in floats.
    let eye: Vec<f32> = (0..dim * dim)
        .map(|i| f32::from(u8::from(i % (dim + 1) == 0)))
        .collect();
    for cpu in cpus() {
        let packed =
            PackedLinear::float(cpu.kernel(), &eye, Order::InputsFirst, [dim, dim]).unwrap();
        let layer = bare(&packed);
        let mut cut = vec![f32::NAN; windows.len() * dim];
        let input = Input::Gathered {
            data: &x,
            stride: dim,
            table: &windows,
        };
        let output = Output::rows(&mut cut, dim);
        linear(&cpu, windows.len(), &input, &layer, Residual::None, output).unwrap();
        for (&row, values) in windows.rows().iter().zip(cut.chunks_exact(dim)) {
            match row {
                NO_ROW => assert!(values.iter().all(|v| *v == 0.0)),
                row => assert_eq!(values, &x[row as usize * dim..][..dim]),
            }
        }
        let mut back = vec![1.0; x.len()];
        let output = Output {
            data: &mut back,
            row_stride: dim,
            column_stride: 1,
            table: Some(&windows),
            groups: 1,
        };
        let input = Input::Rows {
            data: &cut,
            stride: dim,
        };
        let residual = Residual::From(&x);
        linear(&cpu, windows.len(), &input, &layer, residual, output).unwrap();
        assert!(back.iter().zip(&x).all(|(b, x)| *b == x + x));
    }
}

#[test]
fn a_transposed_convolution_shuffles_pixels() {
    let (height, width, inputs, outputs) = (3, 4, 5, 2);
    let x = values(5, height * width * inputs);
    let weights = values(6, inputs * 4 * outputs);
    let table = RowTable::pixel_shuffle_2x2(1, height, width);
    for cpu in cpus() {
        let shape = [4 * outputs, inputs];
        let packed =
            PackedLinear::float(cpu.kernel(), &weights, Order::InputsFirst, shape).unwrap();
        let mut image = vec![f32::NAN; 4 * height * width * outputs];
        let input = Input::Rows {
            data: &x,
            stride: inputs,
        };
        // Channels first, as ONNX has it.
        let pixels = 4 * height * width;
        let output = Output {
            data: &mut image,
            row_stride: 1,
            column_stride: pixels,
            table: Some(&table),
            groups: 4,
        };
        let layer = bare(&packed);
        linear(&cpu, height * width, &input, &layer, Residual::None, output).unwrap();
        for y in 0..2 * height {
            for x_at in 0..2 * width {
                for c in 0..outputs {
                    let pixel = &x[(y / 2 * width + x_at / 2) * inputs..][..inputs];
                    let corner = (y % 2 * 2 + x_at % 2) * outputs + c;
                    let expected: f32 = pixel
                        .iter()
                        .enumerate()
                        .map(|(i, v)| v * weights[i * 4 * outputs + corner])
                        .sum();
                    let found = image[c * pixels + y * 2 * width + x_at];
                    assert!((found - expected).abs() < 1e-4, "{found} and {expected}");
                }
            }
        }
    }
}
