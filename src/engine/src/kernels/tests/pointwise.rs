//! Elementary functions, norms and sums over whole tensors.

use super::*;

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
