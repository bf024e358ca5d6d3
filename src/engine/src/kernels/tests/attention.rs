//! Attention in both arithmetics.

use super::*;

use AttentionArithmetic::{Float, Int8};

fn by_definition(shape: &Attention, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
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
        let row = data[start..start + dim].iter();
        row.map(|x| f64::from(*x)).collect()
    };
    let mut out = vec![0.0; q.len()];
    for b in 0..batch {
        for h in 0..heads {
            for r in 0..queries {
                let query = row(q, queries, b, r, h);
                let score = |key: usize| -> f64 {
                    let key = row(k, keys, b, key, h);
                    let products = query.iter().zip(key).map(|(a, b)| a * b);
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

proptest! {
    #![proptest_config(config())]

    #[test]
    fn attention_is_the_definition(
        batch in 1usize..4, heads in 1usize..4, queries in 1usize..40, keys in 1usize..300,
        dim in 1usize..100, seed: u64,
    ) {
        let row = heads * dim;
        let shape = Attention { batch, heads, queries, keys, dim, scale: 1.0 / (dim as f32).sqrt(), arithmetic: Float };
        let q = values(seed, batch * queries * row);
        let k = values(seed + 1, batch * keys * row);
        let v = values(seed + 2, batch * keys * row);
        let expected = by_definition(&shape, &q, &k, &v);
        // What a mean loses, it loses of what is added up: of its terms' sizes, not of the sum,
        // in which they may cancel (one value in 64 is twenty times the others').
        let sizes: Vec<f32> = v.iter().map(|x| x.abs()).collect();
        let sizes = by_definition(&shape, &q, &k, &sizes);
        let mut int8 = Vec::new();
        for cpu in cpus() {
            let found = attend(&cpu, &shape, &q, &k, &v);
            for (i, ((a, b), size)) in found.iter().zip(&expected).zip(&sizes).enumerate() {
                prop_assert!((a - b).abs() <= 2e-4 * (1.0 + size), "{i}: {a} and {b} of {size}");
            }
            int8.push(attend(&cpu, &Attention { arithmetic: Int8, ..shape }, &q, &k, &v));
        }
        for other in &int8[1..] {
            prop_assert_eq!(&int8[0], other);
        }
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
            arithmetic: Int8,
        };
        let expected = by_definition(&shape, &q, &k, &v);
        let out = attend(cpu, &shape, &q, &k, &v);
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&out, &expected) / (dot(&out, &out) * dot(&expected, &expected)).sqrt();
        println!("{keys} keys, sharpness {sharpness}: cosine {cosine:.6}");
        assert!(cosine > 0.9995, "{keys} keys, {sharpness}: {cosine}");
    }
}

#[test]
fn what_is_not_finite_shows_wherever_it_has_a_part() {
    let (rows, dim) = (3, 20);
    let good = values(10, rows * dim);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = values(9, rows * dim);
        x[dim + 19] = bad;
        for (cpu, arithmetic) in cpus().iter().flat_map(|cpu| [(cpu, Float), (cpu, Int8)]) {
            let shape = Attention {
                batch: 1,
                heads: 1,
                queries: rows,
                keys: rows,
                dim,
                scale: 0.1,
                arithmetic,
            };
            let what = format!("{cpu:?} {arithmetic:?}");
            let nan_in = |q, k, v| {
                let out = attend(cpu, &shape, q, k, v);
                out.iter().filter(|v| v.is_nan()).count()
            };
            assert_eq!(nan_in(&good, &good, &good), 0, "{what}");
            assert_eq!(nan_in(&x, &good, &good), dim, "{what} query {bad}");
            // In floats an infinite key can rightly have no share.
            if bad.is_nan() || arithmetic == Int8 {
                assert_eq!(nan_in(&good, &x, &good), rows * dim, "{what} key {bad}");
            }
            let out = attend(cpu, &shape, &good, &good, &x);
            let mut shown = out.chunks_exact(dim).map(|row| !row[19].is_finite());
            assert!(shown.all(|shown| shown), "{what} value {bad}");
        }
    }
}
