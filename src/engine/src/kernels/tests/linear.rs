//! Linear layers and both halves of an MLP.

use super::*;

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
fn by_definition(
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

proptest! {
    #![proptest_config(config())]

    #[test]
    fn int8_linear_is_the_definition_to_the_bit(
        rows in below(40), inputs in below(150), outputs in below(100), seed: u64,
        first in any::<bool>(),
    ) {
        let shape = [outputs, inputs];
        let x = values(seed, rows * inputs);
        let weights = codes(seed + 1, outputs * inputs);
        let scales: Vec<f32> = values(seed + 2, outputs).iter().map(|s| s.abs() + 0.01).collect();
        let bias = values(seed + 3, outputs);
        let expected = by_definition(&x, shape, &weights, &scales, &bias);
        let (order, weights) = if first {
            (Order::OutputsFirst, weights)
        } else {
            let turned = (0..outputs * inputs).map(|i| weights[i % outputs * inputs + i / outputs]);
            (Order::InputsFirst, turned.collect())
        };
        for cpu in cpus() {
            let packed = PackedLinear::int8(cpu.kernel(), &weights, order, &scales, shape).unwrap();
            let layer = Linear { bias: Some(&bias), ..bare(&packed) };
            prop_assert_eq!(&through(&cpu, &layer, &x), &expected, "{:?}", cpu);
        }
    }

    #[test]
    fn float_linear_is_the_definition(
        rows in below(40), inputs in below(100), outputs in below(100), seed: u64,
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
            let shape = [outputs, inputs];
            let packed = PackedLinear::float(cpu.kernel(), &weights, Order::OutputsFirst, shape).unwrap();
            let layer = Linear { activation: Activation::Relu, ..bare(&packed) };
            close(&through(&cpu, &layer, &x), &expected, 1e-6 * largest)?;
        }
    }

    #[test]
    fn mlp_is_two_layers(
        rows in prop_oneof![1usize..30, 600usize..700], seed: u64, activation in 0usize..5,
    ) {
        let (inputs, width, outputs) = (24, 72, 40);
        let x = values(seed, rows * inputs);
        let (a, b) = (codes(seed + 1, width * inputs), codes(seed + 2, width * outputs));
        let gain = values(seed + 3, inputs);
        let norm = Norm { gain: &gain, shift: &gain, epsilon: 1e-6 };
        use Activation::{Gelu, Identity, QuickGelu, Relu, Sigmoid};
        let activation = [Identity, Relu, Gelu, QuickGelu, Sigmoid][activation];
        for cpu in cpus() {
            let a = int8(cpu.kernel(), &a, 0.02, [width, inputs]);
            let b = int8(cpu.kernel(), &b, 0.02, [outputs, width]);
            let first = Linear { norm: Some(norm), activation, ..bare(&a) };
            let second = bare(&b);
            let hidden = through(&cpu, &first, &x);
            let (mut apart, mut together) = (vec![1.0; rows * outputs], vec![1.0; rows * outputs]);
            let between = Input::Rows { data: &hidden, stride: width };
            linear(&cpu, rows, &between, &second, Residual::InPlace, Output::rows(&mut apart, outputs)).unwrap();
            let input = Input::Rows { data: &x, stride: inputs };
            mlp(&cpu, rows, &input, [&first, &second], Residual::InPlace, Output::rows(&mut together, outputs)).unwrap();
            prop_assert_eq!(apart, together);
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
            let packed = int8(cpu.kernel(), &weights, 127.0, [outputs, inputs]);
            let out = through(&cpu, &bare(&packed), &x);
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
fn what_is_not_finite_shows_in_its_row_alone() {
    let (inputs, outputs, rows) = (20, 40, 3);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = values(9, rows * inputs);
        x[inputs + 19] = bad;
        for cpu in cpus() {
            let weights = codes(8, inputs * outputs);
            let packed = int8(cpu.kernel(), &weights, 0.1, [outputs, inputs]);
            let out = through(&cpu, &bare(&packed), &x);
            for (r, row) in out.chunks_exact(outputs).enumerate() {
                assert!(
                    row.iter().all(|v| v.is_nan() == (r == 1)),
                    "{cpu:?} row {r}"
                );
            }
        }
    }
}
