//! Any number of threads gives the same bits.

use super::*;

#[test]
fn threads_change_nothing() {
    let (rows, inputs, outputs) = (700, 96, 80);
    let x = values(1, rows * inputs);
    let kernel = Kernel::available()[0];
    let packed = int8(kernel, &codes(2, inputs * outputs), 0.1, [outputs, inputs]);
    let layer = Linear {
        activation: Activation::Gelu,
        ..bare(&packed)
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
        // Few rows share the weights' panels; many are shared themselves.
        for count in [20, rows] {
            let input = Input::Rows {
                data: &x,
                stride: inputs,
            };
            let output = Output::rows(&mut out, outputs);
            linear(&cpu, count, &input, &layer, Residual::InPlace, output).unwrap();
        }
        (out, attend(&cpu, &shape, &x, &x, &x))
    };
    let alone = run(1);
    assert!((2..6).all(|threads| run(threads) == alone));
}
