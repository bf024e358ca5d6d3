//! Speed of the kernels at the shapes of CLIP and SAM2, as a share of what the CPU's
//! multipliers could do: `cargo bench -p medfocus-engine -- [--threads N] [FILTER]`.
//!
//! The peak is measured first, by the kernel's own multiply instructions on registers
//! alone. Each figure is the quickest of several runs, so that other programs on the
//! machine disturb it little.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use medfocus_engine::kernels::{
    Activation, Attention, AttentionArithmetic, Cpu, Heads, HeadsMut, Input, Kernel, Linear, Norm,
    Order, Output, PackedLinear, Residual, attention, linear, mlp,
};

fn main() {
    let mut threads = 1;
    let mut filter = String::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1),
            "--bench" => {}
            _ => filter = argument,
        }
    }
    let kernel = Kernel::detect().unwrap_or_else(|error| panic!("{error}"));
    let cpu = Cpu::new(kernel, threads);
    let peak = Peak::measure(kernel);
    let bench = Bench { cpu, peak, filter };
    println!(
        "kernel {}, {} thread(s); peak of one: int8 {:.0}, float {:.0} GMAC/s",
        kernel.name(),
        bench.cpu.threads(),
        bench.peak.int8,
        bench.peak.float
    );
    println!("{:40} {:>9} {:>9} {:>6}", "", "ms", "GMAC/s", "peak");
    bench.linears();
    bench.attentions();
}

struct Bench {
    cpu: Cpu,
    peak: Peak,
    filter: String,
}

impl Bench {
    fn linears(&self) {
        // name, rows, inputs, outputs
        let shapes = [
            ("CLIP B/32 qkv", 50, 768, 2304),
            ("CLIP B/32 fc1", 50, 768, 3072),
            ("CLIP B/32 fc2", 50, 3072, 768),
            ("CLIP B/16 x2 qkv", 394, 768, 2304),
            ("CLIP B/16 x2 fc1", 394, 768, 3072),
            ("CLIP B/16 x2 fc2", 394, 3072, 768),
            ("SAM2 512 stage 1 qkv", 16384, 96, 288),
            ("SAM2 512 stage 1 fc1", 16384, 96, 384),
            ("SAM2 512 stage 2 qkv", 4096, 192, 576),
            ("SAM2 512 stage 3 qkv", 1024, 384, 1152),
            ("SAM2 512 stage 3 fc1", 1024, 384, 1536),
            ("SAM2 512 stage 3 fc2", 1024, 1536, 384),
            ("SAM2 512 stage 4 fc1", 256, 768, 3072),
            ("decoder 7 tokens fc1", 7, 256, 2048),
        ];
        for (name, rows, inputs, outputs) in shapes {
            for activation in [Activation::Identity, Activation::Gelu] {
                let name = match activation {
                    Activation::Gelu => format!("{name} + norm, GELU"),
                    _ => name.to_owned(),
                };
                self.linear(&name, rows, [outputs, inputs], activation);
            }
        }
        for (name, rows, width) in [
            ("CLIP B/16 x2 mlp", 394, 768),
            ("SAM2 512 stage 1 mlp", 16384, 96),
            ("SAM2 512 stage 3 mlp", 1024, 384),
        ] {
            self.mlp(name, rows, width);
        }
    }

    fn weights(&self, [outputs, inputs]: [usize; 2]) -> PackedLinear {
        let codes: Vec<i8> = floats(outputs * inputs)
            .map(|x| (x * 127.0) as i8)
            .collect();
        let scales = vec![0.01; outputs];
        let kernel = self.cpu.kernel();
        PackedLinear::int8(
            kernel,
            &codes,
            Order::OutputsFirst,
            &scales,
            [outputs, inputs],
        )
        .unwrap_or_else(|error| panic!("{error}"))
    }

    fn linear(&self, name: &str, rows: usize, shape: [usize; 2], activation: Activation) {
        if !name.contains(&self.filter) {
            return;
        }
        let [outputs, inputs] = shape;
        let weights = self.weights(shape);
        let x: Vec<f32> = floats(rows * inputs).collect();
        let mut out = vec![0.0; rows * outputs];
        let (bias, ones) = (vec![0.1; outputs], vec![1.0; inputs]);
        let norm = Norm {
            gain: &ones,
            shift: &ones,
            epsilon: 1e-6,
        };
        let layer = Linear {
            weights: &weights,
            norm: (activation != Activation::Identity).then_some(norm),
            bias: Some(&bias),
            activation,
        };
        let input = Input::Rows {
            data: &x,
            stride: inputs,
        };
        let time = quickest(self.cpu.threads(), || {
            let output = Output::rows(&mut out, outputs);
            linear(&self.cpu, rows, &input, &layer, Residual::None, output).expect("shapes fit");
        });
        self.report(name, rows * inputs * outputs, time, self.peak.int8);
    }

    fn mlp(&self, name: &str, rows: usize, width: usize) {
        if !name.contains(&self.filter) {
            return;
        }
        let wide = 4 * width;
        let (first, second) = (self.weights([wide, width]), self.weights([width, wide]));
        let mut x: Vec<f32> = floats(rows * width).collect();
        let ones = vec![1.0; width];
        let layers = [
            &Linear {
                weights: &first,
                norm: Some(Norm {
                    gain: &ones,
                    shift: &ones,
                    epsilon: 1e-6,
                }),
                bias: None,
                activation: Activation::Gelu,
            },
            &Linear {
                weights: &second,
                norm: None,
                bias: None,
                activation: Activation::Identity,
            },
        ];
        let source = x.clone();
        let input = Input::Rows {
            data: &source,
            stride: width,
        };
        let time = quickest(self.cpu.threads(), || {
            let output = Output::rows(&mut x, width);
            mlp(&self.cpu, rows, &input, layers, Residual::InPlace, output).expect("shapes fit");
        });
        self.report(name, 2 * rows * width * wide, time, self.peak.int8);
    }

    fn attentions(&self) {
        // name, batch, heads, queries, keys, dim
        let shapes = [
            ("CLIP B/32", 1, 12, 50, 50, 64),
            ("CLIP B/16 x2", 2, 12, 197, 197, 64),
            ("SAM2 512 stage 1 windows", 256, 1, 64, 64, 96),
            ("SAM2 512 stage 2 windows", 256, 2, 16, 16, 96),
            ("SAM2 512 stage 3 windows", 9, 4, 196, 196, 96),
            ("SAM2 512 global", 1, 4, 1024, 1024, 96),
            ("SAM2 1024 global", 1, 4, 4096, 4096, 96),
            ("SAM2 pooled queries", 256, 2, 16, 64, 96),
            ("decoder image to tokens", 1, 8, 1024, 7, 16),
            ("decoder tokens to image", 1, 8, 7, 1024, 16),
        ];
        for (name, batch, heads, queries, keys, dim) in shapes {
            for arithmetic in [AttentionArithmetic::Float, AttentionArithmetic::Int8] {
                let shape = Attention {
                    batch,
                    heads,
                    queries,
                    keys,
                    dim,
                    scale: 1.0 / (dim as f32).sqrt(),
                    arithmetic,
                };
                self.attention(&format!("{name} {arithmetic:?}"), &shape);
            }
        }
    }

    fn attention(&self, name: &str, shape: &Attention) {
        if !name.contains(&self.filter) {
            return;
        }
        let row = shape.heads * shape.dim;
        let [q, k, v] = [shape.queries, shape.keys, shape.keys]
            .map(|rows| floats(shape.batch * rows * row).collect::<Vec<f32>>());
        let view = |data, rows: usize| Heads {
            data,
            batch: rows * row,
            row,
            head: shape.dim,
        };
        let mut out = vec![0.0; q.len()];
        let time = quickest(self.cpu.threads(), || {
            let to = HeadsMut {
                data: &mut out,
                batch: shape.queries * row,
                row,
                head: shape.dim,
            };
            let [q, k, v] = [
                view(&q, shape.queries),
                view(&k, shape.keys),
                view(&v, shape.keys),
            ];
            attention(&self.cpu, shape, q, k, v, to).expect("shapes fit");
        });
        let products = 2 * shape.batch * shape.queries * shape.keys * row;
        let peak = match shape.arithmetic {
            AttentionArithmetic::Float => self.peak.float,
            AttentionArithmetic::Int8 => self.peak.int8,
        };
        self.report(name, products, time, peak);
    }

    fn report(&self, name: &str, products: usize, time: Duration, peak: f64) {
        let rate = products as f64 / time.as_secs_f64() / 1e9;
        let share = 100.0 * rate / (peak * self.cpu.threads() as f64);
        let ms = time.as_secs_f64() * 1e3;
        println!("{name:40} {ms:9.3} {rate:9.1} {share:5.0}%");
    }
}

/// Values in -1..1.
fn floats(count: usize) -> impl Iterator<Item = f32> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(count)
}

/// The quickest of at least 8 runs and of those that fit in a third of a second. With
/// one thread, the time that thread had the processor: other programs then cost little.
fn quickest(threads: usize, mut run: impl FnMut()) -> Duration {
    let clock = match threads {
        1 => ClockId::ThreadCPUTime,
        _ => ClockId::Monotonic,
    };
    let now = || {
        let now = clock_gettime(clock);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let (start, mut best, mut runs) = (Instant::now(), Duration::MAX, 0);
    while runs < 8 || start.elapsed() < Duration::from_millis(330) {
        let start = now();
        run();
        best = best.min(now() - start);
        runs += 1;
    }
    best
}

/// Billions of products a second of one thread.
struct Peak {
    int8: f64,
    float: f64,
}

impl Peak {
    fn measure(kernel: Kernel) -> Self {
        const TURNS: usize = 20_000;
        let rate = |run: fn(usize) -> usize| {
            let mut products = 0;
            let time = quickest(1, || products = run(TURNS));
            products as f64 / time.as_secs_f64() / 1e9
        };
        match kernel.name() {
            #[cfg(target_arch = "x86_64")]
            "avx512vnni" => Self {
                int8: rate(x86::vnni512),
                float: rate(x86::float512),
            },
            #[cfg(target_arch = "x86_64")]
            "avx2" => Self {
                int8: rate(x86::words),
                float: rate(x86::float256),
            },
            // No probe for it: shares of the peak are not a number.
            _ => Self {
                int8: f64::NAN,
                float: f64::NAN,
            },
        }
    }
}

/// Chains of the kernels' own multiply instructions, enough of them to fill the
/// multipliers, on registers alone; each takes the last one's result, or it would leave
/// the loop. Each answers how many products it made.
#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(unsafe_code)]
    use std::arch::x86_64::*;
    use std::hint::black_box;

    macro_rules! probe {
        ($name:ident, $features:literal, $zero:expr, $step:expr, $products:expr) => {
            pub fn $name(turns: usize) -> usize {
                #[target_feature(enable = $features)]
                fn chains(turns: usize) -> usize {
                    let (a, b) = (black_box($zero), black_box($zero));
                    let mut sums = [$zero; 12];
                    for _ in 0..turns {
                        for sum in &mut sums {
                            *sum = $step(*sum, a, b);
                        }
                    }
                    black_box(sums);
                    turns * 12 * $products
                }
                // SAFETY: `Peak::measure` calls it only where the kernel's instructions are.
                unsafe { chains(turns) }
            }
        };
    }

    probe!(
        vnni512,
        "avx512f,avx512vnni",
        _mm512_setzero_si512(),
        _mm512_dpbusd_epi32,
        64
    );
    probe!(
        float512,
        "avx512f",
        _mm512_setzero_ps(),
        |s, a, b| _mm512_fmadd_ps(a, b, s),
        16
    );
    probe!(
        words,
        "avx2",
        _mm256_setzero_si256(),
        |s, _, b| _mm256_add_epi32(s, _mm256_madd_epi16(s, b)),
        16
    );
    probe!(
        float256,
        "avx2,fma",
        _mm256_setzero_ps(),
        |s, a, b| _mm256_fmadd_ps(a, b, s),
        8
    );
}
