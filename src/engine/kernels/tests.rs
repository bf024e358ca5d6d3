//! Every kernel that this CPU can run, against definitions written out in the plainest
//! way. Integer results must be equal, float results within the bound stated.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;

/// Values from a seed: mostly near 0, some large, some exactly 0.
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let value = |bits: u64| {
        let unit = (bits >> 40) as f32 / (1 << 24) as f32 - 0.5;
        match bits % 64 {
            0 => 0.0,
            1 => unit * 100.0,
            _ => unit * 4.0,
        }
    };
    (0..count).map(|_| value(next())).collect()
}

fn codes(seed: u64, count: usize) -> Vec<i8> {
    // -128 too: no quantiser of ours makes it, other people's graphs hold it.
    let code = |x: f32| (x * 60.0).clamp(-128.0, 127.0) as i8;
    values(seed, count).into_iter().map(code).collect()
}

fn cpus() -> Vec<Cpu> {
    let kernels = Kernel::available();
    assert_eq!(kernels.last().map(|k| k.name()), Some("scalar"));
    kernels
        .into_iter()
        .map(|kernel| Cpu::new(kernel, 2))
        .collect()
}

/// A row's scale and codes by the definition.
fn quantized(row: &[f32]) -> (f32, Vec<i32>) {
    let top = row.iter().fold(0.0f32, |top, x| top.max(x.abs()));
    if top < 1e-36 {
        return (0.0, vec![0; row.len()]);
    }
    let factor = 127.0 / top;
    let code = |x: &f32| (x * factor).round_ties_even() as i32;
    (top / 127.0, row.iter().map(code).collect())
}

/// What a linear layer without activation gives, by the definition, to the bit.
fn linear_by_definition(
    x: &[f32],
    [outputs, inputs]: [usize; 2],
    weights: &[i8],
    scales: &[f32],
    bias: &[f32],
) -> Vec<f32> {
    let mut out = Vec::new();
    for row in x.chunks_exact(inputs) {
        let (scale, codes) = quantized(row);
        for n in 0..outputs {
            let products = codes.iter().zip(&weights[n * inputs..]);
            let sum: i32 = products.map(|(a, &b)| a * i32::from(b)).sum();
            out.push((sum as f32).mul_add(scale * scales[n], bias[n]));
        }
    }
    out
}

fn close(found: &[f32], expected: &[f32], bound: f32) -> TestCaseResult {
    prop_assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        prop_assert!((a - b).abs() <= bound * (1.0 + b.abs()), "{i}: {a} and {b}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 48 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn int8_linear_is_the_definition_to_the_bit(
        rows in 1usize..40, inputs in 1usize..150, outputs in 1usize..100, seed: u64,
        first in any::<bool>(),
    ) {
        let x = values(seed, rows * inputs);
        let weights = codes(seed + 1, outputs * inputs);
        let scales: Vec<f32> = values(seed + 2, outputs).iter().map(|s| s.abs() + 0.01).collect();
        let bias = values(seed + 3, outputs);
        let expected = linear_by_definition(&x, [outputs, inputs], &weights, &scales, &bias);
        let (order, weights) = if first {
            (Order::OutputsFirst, weights)
        } else {
            let turned = (0..outputs * inputs).map(|i| weights[i % outputs * inputs + i / outputs]);
            (Order::InputsFirst, turned.collect())
        };
        for cpu in cpus() {
            let packed = PackedLinear::int8(cpu.kernel(), &weights, order, &scales, [outputs, inputs]).unwrap();
            let layer = Linear { weights: &packed, norm: None, bias: Some(&bias), activation: Activation::Identity };
            let mut out = vec![f32::NAN; rows * outputs];
            let input = Input::Rows { data: &x, stride: inputs };
            linear(&cpu, rows, &input, &layer, Residual::None, Output::rows(&mut out, outputs)).unwrap();
            prop_assert_eq!(&out, &expected, "{:?}", cpu);
        }
    }

    #[test]
    fn float_linear_is_the_definition(
        rows in 1usize..40, inputs in 1usize..100, outputs in 1usize..100, seed: u64,
    ) {
        let x = values(seed, rows * inputs);
        let weights = values(seed + 1, outputs * inputs);
        let mut expected = Vec::new();
        for row in x.chunks_exact(inputs) {
            for weights in weights.chunks_exact(inputs) {
                let sum: f64 = row.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                expected.push(sum.max(0.0) as f32);
            }
        }
        let largest = expected.iter().fold(1.0f32, |top, x| top.max(*x));
        for cpu in cpus() {
            let packed = PackedLinear::float(cpu.kernel(), &weights, Order::OutputsFirst, [outputs, inputs]).unwrap();
            let layer = Linear { weights: &packed, norm: None, bias: None, activation: Activation::Relu };
            let mut out = vec![f32::NAN; rows * outputs];
            let input = Input::Rows { data: &x, stride: inputs };
            linear(&cpu, rows, &input, &layer, Residual::None, Output::rows(&mut out, outputs)).unwrap();
            close(&out, &expected, 1e-6 * largest)?;
        }
    }

    #[test]
    fn attention_is_the_definition(
        batch in 1usize..4, heads in 1usize..4, queries in 1usize..40, keys in 1usize..300,
        dim in 1usize..100, seed: u64,
    ) {
        let row = heads * dim;
        let shape = Attention { batch, heads, queries, keys, dim, scale: 1.0 / (dim as f32).sqrt(), arithmetic: AttentionArithmetic::Float };
        let q = values(seed, batch * queries * row);
        let k = values(seed + 1, batch * keys * row);
        let v = values(seed + 2, batch * keys * row);
        let expected = attention_by_definition(&shape, &q, &k, &v);
        let view = |data, rows| Heads { data, batch: rows * row, row, head: dim };
        let mut int8 = Vec::new();
        for cpu in cpus() {
            for arithmetic in [AttentionArithmetic::Float, AttentionArithmetic::Int8] {
                let shape = Attention { arithmetic, ..shape };
                let mut out = vec![f32::NAN; q.len()];
                let to = HeadsMut { data: &mut out, batch: queries * row, row, head: dim };
                attention(&cpu, &shape, view(&q, queries), view(&k, keys), view(&v, keys), to).unwrap();
                if arithmetic == AttentionArithmetic::Float {
                    close(&out, &expected, 2e-4)?;
                } else {
                    int8.push(out);
                }
            }
        }
        for other in &int8[1..] {
            prop_assert_eq!(&int8[0], other);
        }
    }

    #[test]
    fn mlp_is_two_layers(
        rows in prop_oneof![1usize..30, 600usize..700], seed: u64, activation in 0usize..5,
    ) {
        let (inputs, width, outputs) = (24, 72, 40);
        let x = values(seed, rows * inputs);
        let (a, b) = (codes(seed + 1, width * inputs), codes(seed + 2, width * outputs));
        let scales = vec![0.02; width];
        let gain = values(seed + 3, inputs);
        let norm = Norm { gain: &gain, shift: &gain, epsilon: 1e-6 };
        use Activation::{Gelu, Identity, QuickGelu, Relu, Sigmoid};
        let activation = [Identity, Relu, Gelu, QuickGelu, Sigmoid][activation];
        for cpu in cpus() {
            let pack = |codes: &[i8], shape: [usize; 2]| PackedLinear::int8(cpu.kernel(), codes, Order::OutputsFirst, &scales[..shape[0]], shape).unwrap();
            let (a, b) = (pack(&a, [width, inputs]), pack(&b, [outputs, width]));
            let first = Linear { weights: &a, norm: Some(norm), bias: None, activation };
            let second = Linear { weights: &b, norm: None, bias: None, activation: Activation::Identity };
            let input = Input::Rows { data: &x, stride: inputs };
            let mut hidden = vec![f32::NAN; rows * width];
            linear(&cpu, rows, &input, &first, Residual::None, Output::rows(&mut hidden, width)).unwrap();
            let (mut apart, mut together) = (vec![1.0; rows * outputs], vec![1.0; rows * outputs]);
            let between = Input::Rows { data: &hidden, stride: width };
            linear(&cpu, rows, &between, &second, Residual::InPlace, Output::rows(&mut apart, outputs)).unwrap();
            mlp(&cpu, rows, &input, [&first, &second], Residual::InPlace, Output::rows(&mut together, outputs)).unwrap();
            prop_assert_eq!(apart, together);
        }
    }

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
        let mut room = vec![f32::NAN; depth];
        for row in 0..patches.rows() {
            let (image, y, x) = (row / (down * right), row / right % down, row % right);
            let patch = Input::Patches(patches).fetch(row, &mut room).unwrap().to_vec();
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

fn attention_by_definition(shape: &Attention, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let Attention {
        batch,
        heads,
        queries,
        keys,
        dim,
        scale,
        ..
    } = *shape;
    let row = |data: &[f32], rows: usize, b: usize, r: usize, h: usize| -> Vec<f64> {
        let start = ((b * rows + r) * heads + h) * dim;
        data[start..start + dim]
            .iter()
            .map(|x| f64::from(*x))
            .collect()
    };
    let mut out = vec![0.0; q.len()];
    for b in 0..batch {
        for h in 0..heads {
            for r in 0..queries {
                let query = row(q, queries, b, r, h);
                let score = |key: usize| -> f64 {
                    let products = query
                        .iter()
                        .zip(row(k, keys, b, key, h))
                        .map(|(a, b)| a * b);
                    products.sum::<f64>() * f64::from(scale)
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                let top = scores.iter().fold(f64::NEG_INFINITY, |top, s| top.max(*s));
                let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
                for (key, s) in scores.iter().enumerate() {
                    let share = (s - top).exp() / total;
                    for (i, x) in row(v, keys, b, key, h).into_iter().enumerate() {
                        out[((b * queries + r) * heads + h) * dim + i] += (share * x) as f32;
                    }
                }
            }
        }
    }
    out
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
        let layer = Linear {
            weights: &packed,
            norm: None,
            bias: None,
            activation: Activation::Identity,
        };
        let mut cut = vec![f32::NAN; windows.len() * dim];
        let input = Input::Gathered {
            data: &x,
            stride: dim,
            table: &windows,
        };
        linear(
            &cpu,
            windows.len(),
            &input,
            &layer,
            Residual::None,
            Output::rows(&mut cut, dim),
        )
        .unwrap();
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
        linear(
            &cpu,
            windows.len(),
            &input,
            &layer,
            Residual::From(&x),
            output,
        )
        .unwrap();
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
        let packed = PackedLinear::float(
            cpu.kernel(),
            &weights,
            Order::InputsFirst,
            [4 * outputs, inputs],
        )
        .unwrap();
        let layer = Linear {
            weights: &packed,
            norm: None,
            bias: None,
            activation: Activation::Identity,
        };
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

#[test]
fn extremes_of_codes_do_not_saturate() {
    let (inputs, outputs) = (4096, 33);
    let x: Vec<f32> = (0..inputs)
        .map(|i| if i % 3 == 0 { -1.0 } else { 1.0 })
        .collect();
    for code in [-128, 127] {
        let weights = vec![code; inputs * outputs];
        let sum: i32 = x.iter().map(|x| 127 * *x as i32 * i32::from(code)).sum();
        for cpu in cpus() {
            let scales = vec![127.0; outputs];
            let packed = PackedLinear::int8(
                cpu.kernel(),
                &weights,
                Order::OutputsFirst,
                &scales,
                [outputs, inputs],
            )
            .unwrap();
            let layer = Linear {
                weights: &packed,
                norm: None,
                bias: None,
                activation: Activation::Identity,
            };
            let mut out = vec![0.0; outputs];
            let input = Input::Rows {
                data: &x,
                stride: inputs,
            };
            linear(
                &cpu,
                1,
                &input,
                &layer,
                Residual::None,
                Output::rows(&mut out, outputs),
            )
            .unwrap();
            let factor = (1.0f32 / 127.0) * 127.0;
            assert!(
                out.iter().all(|v| *v == sum as f32 * factor),
                "{cpu:?} {} {sum}",
                out[0]
            );
        }
    }
}

#[test]
fn what_is_not_finite_shows() {
    let (inputs, outputs, rows) = (20, 40, 3);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = values(9, rows * inputs);
        x[inputs + 19] = bad;
        for cpu in cpus() {
            let packed = PackedLinear::int8(
                cpu.kernel(),
                &codes(8, inputs * outputs),
                Order::OutputsFirst,
                &vec![0.1; outputs],
                [outputs, inputs],
            )
            .unwrap();
            let layer = Linear {
                weights: &packed,
                norm: None,
                bias: None,
                activation: Activation::Identity,
            };
            let mut out = vec![0.0; rows * outputs];
            let input = Input::Rows {
                data: &x,
                stride: inputs,
            };
            linear(
                &cpu,
                rows,
                &input,
                &layer,
                Residual::None,
                Output::rows(&mut out, outputs),
            )
            .unwrap();
            for (r, row) in out.chunks_exact(outputs).enumerate() {
                assert!(
                    row.iter().all(|v| v.is_nan() == (r == 1)),
                    "{cpu:?} row {r}"
                );
            }
            for arithmetic in [AttentionArithmetic::Float, AttentionArithmetic::Int8] {
                let shape = Attention {
                    batch: 1,
                    heads: 1,
                    queries: rows,
                    keys: rows,
                    dim: inputs,
                    scale: 0.1,
                    arithmetic,
                };
                let view = |data| Heads {
                    data,
                    batch: 0,
                    row: inputs,
                    head: 0,
                };
                let good = values(10, rows * inputs);
                let run = |q, k, v| {
                    let mut out = vec![0.0; rows * inputs];
                    let to = HeadsMut {
                        data: &mut out,
                        batch: 0,
                        row: inputs,
                        head: 0,
                    };
                    attention(&cpu, &shape, view(q), view(k), view(v), to).unwrap();
                    out
                };
                let nan_in = |out: &[f32]| out.iter().filter(|v| v.is_nan()).count();
                assert_eq!(
                    nan_in(&run(&good, &good, &good)),
                    0,
                    "{cpu:?} {arithmetic:?}"
                );
                assert_eq!(
                    nan_in(&run(&x, &good, &good)),
                    inputs,
                    "{cpu:?} {arithmetic:?} query {bad}"
                );
                // In floats an infinite key can rightly have no share.
                if bad.is_nan() || arithmetic == AttentionArithmetic::Int8 {
                    assert_eq!(
                        nan_in(&run(&good, &x, &good)),
                        rows * inputs,
                        "{cpu:?} {arithmetic:?} key {bad}"
                    );
                }
                assert!(
                    run(&good, &good, &x)
                        .chunks_exact(inputs)
                        .all(|row| !row[19].is_finite()),
                    "{cpu:?} {arithmetic:?} value {bad}"
                );
            }
        }
    }
}

#[test]
fn packed_bytes_are_used_where_they_are() {
    let kernel = Kernel::available()[0];
    let weights = codes(1, 100 * 70);
    let packed = PackedLinear::int8(
        kernel,
        &weights,
        Order::OutputsFirst,
        &vec![0.5; 100],
        [100, 70],
    )
    .unwrap();
    let shared = aligned_copy(packed.as_bytes());
    let length = packed.as_bytes().len();
    assert_eq!(length % 64, 0);
    let again = PackedLinear::from_shared(kernel, shared.clone(), 64..64 + length).unwrap();
    assert_eq!(again.as_bytes(), packed.as_bytes());
    assert_eq!(again.as_bytes().as_ptr(), (*shared).as_ref()[64..].as_ptr());
    for (range, why) in [
        (65..64 + length, "start"),
        (64..length, "length"),
        (64..2 * length, "file"),
        (0..length, "header"),
    ] {
        let error = PackedLinear::from_shared(kernel, shared.clone(), range).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let scalar = Kernel::named("scalar").unwrap();
    if kernel != scalar {
        assert!(PackedLinear::from_shared(scalar, shared, 64..64 + length).is_err());
    }
}

/// The bytes after a line of zeros, on a line's start.
fn aligned_copy(bytes: &[u8]) -> std::sync::Arc<dyn AsRef<[u8]> + Send + Sync> {
    struct Lines(aligned::Aligned);
    impl AsRef<[u8]> for Lines {
        fn as_ref(&self) -> &[u8] {
            self.0.bytes()
        }
    }
    let mut lines = aligned::Aligned::zeroed(64 + bytes.len());
    lines.bytes_mut()[64..64 + bytes.len()].copy_from_slice(bytes);
    std::sync::Arc::new(Lines(lines))
}

#[test]
fn an_unknown_kernel_is_refused_with_those_there_are() {
    let error = Kernel::named("mmx").unwrap_err().to_string();
    assert!(error.contains("mmx") && error.contains("scalar"), "{error}");
}

/// Runs an operator on every kernel and hands over what it gave.
fn on_every_kernel(
    count: usize,
    run: impl Fn(&Cpu, &mut [f32]) -> Result<(), ShapeError>,
    check: impl Fn(&Cpu, &[f32]),
) {
    for cpu in cpus() {
        let mut out = vec![f32::NAN; count];
        run(&cpu, &mut out).unwrap();
        check(&cpu, &out);
    }
}

/// The largest distance to a function in double precision, and where it is.
fn worst(
    x: &[f32],
    found: &[f32],
    of: impl Fn(f64) -> f64,
    unit: impl Fn(f64) -> f64,
) -> (f64, f32) {
    let distance = |(x, y): (&f32, &f32)| {
        let expected = of(f64::from(*x));
        ((f64::from(*y) - expected).abs() / unit(expected), *x)
    };
    let distances = x.iter().zip(found).map(distance);
    distances.fold((0.0, 0.0), |worst, d| if d.0 > worst.0 { d } else { worst })
}

/// Abramowitz and Stegun 7.1.5 and 7.1.14: a series, or a continued fraction further out.
fn phi(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let erfc = if z < 3.0 {
        let mut term = z;
        let mut sum = z;
        for n in 1..200 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        1.0 - sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let mut fraction = 0.0;
        for n in (1..200).rev() {
            fraction = f64::from(n) / 2.0 / (z + fraction);
        }
        (-z * z).exp() / std::f64::consts::PI.sqrt() / (z + fraction)
    };
    if x < 0.0 {
        erfc / 2.0
    } else {
        1.0 - erfc / 2.0
    }
}

#[test]
fn elementary_functions_keep_their_bounds() {
    let x: Vec<f32> = (-120_000..120_000).map(|i| i as f32 * 1e-4).collect();
    let ulp = |y: f64| (y.abs() as f32).max(f32::MIN_POSITIVE).to_bits();
    let ulp = |y: f64| f64::from(f32::from_bits(ulp(y) + 1)) - f64::from(f32::from_bits(ulp(y)));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    type Bound<'a> = (
        Activation,
        &'a dyn Fn(f64) -> f64,
        &'a dyn Fn(f64) -> f64,
        f64,
    );
    let cases: [Bound; 4] = [
        (Activation::Relu, &|x| x.max(0.0), &ulp, 0.0),
        (Activation::Gelu, &|x| x * phi(x), &|_| 1.0, 6e-6),
        (Activation::Sigmoid, &sigmoid, &ulp, 16.0),
        (
            Activation::QuickGelu,
            &|x| x * sigmoid(1.702 * x),
            &ulp,
            24.0,
        ),
    ];
    for (activation, of, unit, bound) in cases {
        on_every_kernel(
            x.len(),
            |cpu, out| apply(cpu, activation, &x, out),
            |cpu, out| {
                let (distance, at) = worst(&x, out, of, unit);
                assert!(
                    distance <= bound,
                    "{cpu:?} {activation:?}: {distance} at {at}"
                );
            },
        );
    }
    // e^x, as softmax makes it: a row of x and 0, with 0 the largest.
    let x: Vec<f32> = x.iter().map(|x| -x.abs() * 7.0).collect();
    let rows: Vec<f32> = x.iter().flat_map(|x| [*x, 0.0]).collect();
    on_every_kernel(
        rows.len(),
        |cpu, out| softmax(cpu, 2, &rows, out),
        |cpu, out| {
            let shares: Vec<f32> = out.iter().step_by(2).copied().collect();
            let of = |x: f64| x.exp() / (1.0 + x.exp());
            // Below e^-87 the power is no normal float.
            let (distance, at) = worst(&x, &shares, of, |y| ulp(y).max(1e-38));
            assert!(distance <= 4.0, "{cpu:?}: {distance} at {at}");
        },
    );
}

#[test]
fn rows_are_normalised_as_defined() {
    for width in [1, 3, 16, 17, 96, 100, 768] {
        let x: Vec<f32> = values(1, 40 * width).iter().map(|x| x + 3.0).collect();
        let (gain, shift) = (values(2, width), values(3, width));
        let double = |row: &[f32]| row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let mean = |row: &[f64]| row.iter().sum::<f64>() / width as f64;
        let expected = |make: &dyn Fn(&[f64]) -> Vec<f64>| -> Vec<f64> {
            x.chunks_exact(width)
                .flat_map(|row| make(&double(row)))
                .collect()
        };
        let near = |cpu: &Cpu, found: &[f32], expected: &[f64], bound: f64| {
            for (a, b) in found.iter().zip(expected) {
                assert!(
                    (f64::from(*a) - b).abs() <= bound * (1.0 + b.abs()),
                    "{cpu:?} {width}: {a} {b}"
                );
            }
        };
        let norm = Norm {
            gain: &gain,
            shift: &shift,
            epsilon: 1e-5,
        };
        let normed = expected(&|row| {
            let m = mean(row);
            let variance = mean(&row.iter().map(|x| (x - m) * (x - m)).collect::<Vec<_>>());
            let of = |(i, x): (usize, &f64)| {
                (x - m) / (variance + 1e-5).sqrt() * f64::from(gain[i]) + f64::from(shift[i])
            };
            row.iter().enumerate().map(of).collect()
        });
        on_every_kernel(
            x.len(),
            |cpu, out| layer_norm(cpu, &norm, &x, out),
            |cpu, out| near(cpu, out, &normed, 2e-5),
        );
        let unit = expected(&|row| {
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            row.iter().map(|x| x / length).collect()
        });
        on_every_kernel(
            x.len(),
            |cpu, out| l2_normalize(cpu, width, &x, out),
            |cpu, out| near(cpu, out, &unit, 1e-6),
        );
        let shares = expected(&|row| {
            let top = row.iter().fold(f64::NEG_INFINITY, |top, x| top.max(*x));
            let total: f64 = row.iter().map(|x| (x - top).exp()).sum();
            row.iter().map(|x| (x - top).exp() / total).collect()
        });
        on_every_kernel(
            x.len(),
            |cpu, out| softmax(cpu, width, &x, out),
            |cpu, out| near(cpu, out, &shares, 1e-6),
        );
        let doubled: Vec<f64> = x.iter().map(|x| f64::from(x + x)).collect();
        on_every_kernel(
            x.len(),
            |cpu, out| add(cpu, &x, &x, out),
            |cpu, out| near(cpu, out, &doubled, 0.0),
        );
    }
}

#[test]
fn pixels_are_pooled_and_resized_in_any_order_of_axes() {
    let [batch, height, width, channels] = [2, 5, 6, 3];
    let x = values(4, batch * height * width * channels);
    let last = |h: usize, w: usize| [h * w * channels, w * channels, channels, 1];
    let first = |h: usize, w: usize| [h * w * channels, w, 1, h * w];
    type Strides<'a> = &'a dyn Fn(usize, usize) -> [usize; 4];
    for cpu in cpus() {
        for strides in [&last as Strides, &first] {
            let at =
                |[b, y, x, c]: [usize; 4], s: [usize; 4]| b * s[0] + y * s[1] + x * s[2] + c * s[3];
            let from = PixelView {
                data: &x,
                shape: [batch, height, width, channels],
                strides: strides(height, width),
            };
            let pixel = |b, y, x_at, c| x[at([b, y, x_at, c], from.strides)];
            let run = |[h, w]: [usize; 2],
                       run: &dyn Fn(PixelViewMut<'_>) -> Result<(), ShapeError>,
                       expected: &dyn Fn(usize, usize, usize, usize) -> f32| {
                let mut out = vec![f32::NAN; batch * h * w * channels];
                let shape = [batch, h, w, channels];
                run(PixelViewMut {
                    data: &mut out,
                    shape,
                    strides: strides(h, w),
                })
                .unwrap();
                for i in 0..out.len() {
                    let [b, y, x, c] = [
                        i / (h * w * channels),
                        i / (w * channels) % h,
                        i / channels % w,
                        i % channels,
                    ];
                    let found = out[at([b, y, x, c], strides(h, w))];
                    assert!(
                        (found - expected(b, y, x, c)).abs() < 1e-4,
                        "{cpu:?} {h} x {w}, {y} {x}: {found}"
                    );
                }
            };
            run(
                [height / 2, width / 2],
                &|to| max_pool_2x2(&cpu, &from, to),
                &|b, y, x, c| {
                    [(0, 0), (0, 1), (1, 0), (1, 1)]
                        .iter()
                        .fold(f32::MIN, |top, (dy, dx)| {
                            top.max(pixel(b, 2 * y + dy, 2 * x + dx, c))
                        })
                },
            );
            run(
                [2 * height, 2 * width],
                &|to| resize(&cpu, Resize::Nearest, &from, to),
                &|b, y, x, c| pixel(b, y / 2, x / 2, c),
            );
            let bilinear = |h: usize, w: usize| {
                move |b: usize, y: usize, x: usize, c: usize| {
                    let place = |i: usize, side: usize, new: usize| {
                        ((i as f64 + 0.5) * side as f64 / new as f64 - 0.5)
                            .clamp(0.0, (side - 1) as f64)
                    };
                    let (y, x) = (place(y, height, h), place(x, width, w));
                    let mut sum = 0.0;
                    for (cy, wy) in [(y.floor(), 1.0 - y.fract()), (y.ceil(), y.fract())] {
                        for (cx, wx) in [(x.floor(), 1.0 - x.fract()), (x.ceil(), x.fract())] {
                            sum += wy * wx * f64::from(pixel(b, cy as usize, cx as usize, c));
                        }
                    }
                    sum as f32
                }
            };
            for [h, w] in [[11, 13], [3, 2]] {
                run(
                    [h, w],
                    &|to| resize(&cpu, Resize::Bilinear, &from, to),
                    &bilinear(h, w),
                );
            }
        }
        let view = PixelView {
            data: &x,
            shape: [2, 5, 6, 3],
            strides: [90, 18, 3, 1],
        };
        let mut out = vec![0.0; 100];
        let overlapping = PixelViewMut {
            data: &mut out,
            shape: [2, 2, 3, 3],
            strides: [18, 9, 2, 1],
        };
        assert!(max_pool_2x2(&cpu, &view, overlapping).is_err());
    }
}

#[test]
fn int8_attention_keeps_the_direction() {
    let cpu = &cpus()[0];
    // No outliers: with one value in 64 twenty times the others', 64 keys give 0.9967.
    let smooth = |seed, count| values(seed, count).into_iter().map(|x| x.clamp(-2.0, 2.0));
    for (keys, sharpness) in [(64, 1.0), (196, 3.0), (1024, 1.0), (1024, 4.0)] {
        let dim = 96;
        let q: Vec<f32> = smooth(1, 48 * dim).map(|x| x * sharpness).collect();
        let k: Vec<f32> = smooth(2, keys * dim).collect();
        let v: Vec<f32> = smooth(3, keys * dim).collect();
        let shape = Attention {
            batch: 1,
            heads: 1,
            queries: 48,
            keys,
            dim,
            scale: 1.0 / (dim as f32).sqrt(),
            arithmetic: AttentionArithmetic::Int8,
        };
        let expected = attention_by_definition(&shape, &q, &k, &v);
        let view = |data| Heads {
            data,
            batch: 0,
            row: dim,
            head: 0,
        };
        let mut out = vec![0.0; q.len()];
        let to = HeadsMut {
            data: &mut out,
            batch: 0,
            row: dim,
            head: 0,
        };
        attention(cpu, &shape, view(&q), view(&k), view(&v), to).unwrap();
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&out, &expected) / (dot(&out, &out) * dot(&expected, &expected)).sqrt();
        println!("{keys} keys, sharpness {sharpness}: cosine {cosine:.6}");
        assert!(cosine > 0.9995, "{keys} keys, {sharpness}: {cosine}");
    }
}

#[test]
fn threads_change_nothing() {
    let (rows, inputs, outputs) = (700, 96, 80);
    let x = values(1, rows * inputs);
    let kernel = Kernel::available()[0];
    let packed = PackedLinear::int8(
        kernel,
        &codes(2, inputs * outputs),
        Order::OutputsFirst,
        &vec![0.1; outputs],
        [outputs, inputs],
    )
    .unwrap();
    let layer = Linear {
        weights: &packed,
        norm: None,
        bias: None,
        activation: Activation::Gelu,
    };
    let shape = Attention {
        batch: 2,
        heads: 3,
        queries: 50,
        keys: 50,
        dim: 32,
        scale: 0.2,
        arithmetic: AttentionArithmetic::Float,
    };
    let run = |threads: usize| {
        let cpu = Cpu::new(kernel, threads);
        let mut out = vec![0.0; rows * outputs];
        for count in [20, rows] {
            let input = Input::Rows {
                data: &x,
                stride: inputs,
            };
            linear(
                &cpu,
                count,
                &input,
                &layer,
                Residual::InPlace,
                Output::rows(&mut out, outputs),
            )
            .unwrap();
        }
        let mut heads = vec![0.0; 2 * 50 * 96];
        let view = Heads {
            data: &x,
            batch: 50 * 96,
            row: 96,
            head: 32,
        };
        let to = HeadsMut {
            data: &mut heads,
            batch: 50 * 96,
            row: 96,
            head: 32,
        };
        attention(&cpu, &shape, view, view, view, to).unwrap();
        (out, heads)
    };
    let alone = run(1);
    assert!((2..6).all(|threads| run(threads) == alone));
}
