//! Images pooled and resized.

use super::*;

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
    }
}

#[test]
fn an_output_whose_pixels_overlap_is_refused() {
    let x = values(4, 2 * 5 * 6 * 3);
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
    assert!(max_pool_2x2(&cpus()[0], &view, overlapping).is_err());
}
