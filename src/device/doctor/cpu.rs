//! The processor: which kernel it can run, and whether that computes the same as the scalar one.
//! Called by the doctor. Measures no speed.

use serde::Serialize;

use crate::device::self_test;
use crate::engine::Engine;
use crate::engine::kernels::{Kernel, physical_cores};
use crate::journal::SelfCheck;

/// The processor, and what of it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Processor {
    /// What it is called, `x86_64` or `aarch64`.
    pub architecture: &'static str,
    /// Instruction sets that matter here and that it has.
    pub features: Vec<&'static str>,
    /// The kernel that this process would use; `None` where `MEDFOCUS_KERNEL` names another
    /// than there is.
    pub kernel: Option<&'static str>,
    /// All that it could use, the quickest first.
    pub kernels: Vec<&'static str>,
    /// Cores that this process may use.
    pub cores: usize,
}

impl Processor {
    /// This one.
    pub fn here() -> Self {
        Self {
            architecture: std::env::consts::ARCH,
            features: features(),
            kernel: Kernel::detect().ok().map(Kernel::name),
            kernels: Kernel::available().into_iter().map(Kernel::name).collect(),
            cores: physical_cores(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    macro_rules! those_of {
        ($($name:tt),*) => {
            [$(($name, std::arch::is_x86_feature_detected!($name))),*]
        };
    }
    let all = those_of!("sse4.1", "avx2", "fma", "avxvnni", "avx512f", "avx512vnni");
    all.into_iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| name)
        .collect()
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    macro_rules! those_of {
        ($($name:tt),*) => {
            [$(($name, std::arch::is_aarch64_feature_detected!($name))),*]
        };
    }
    let all = those_of!("neon", "dotprod", "i8mm", "fp16", "sve");
    all.into_iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| name)
        .collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

/// Whether the kernel in force is the quickest one.
pub(super) fn kernel(processor: &Processor) -> SelfCheck {
    const NAME: &str = "processor";
    let could = processor.kernels.join(", ");
    let Some(kernel) = processor.kernel else {
        let what = format!("MEDFOCUS_KERNEL names none of {could}");
        return SelfCheck::failed(NAME, "kernel", what, "unset it, or name one of those");
    };
    let what = format!("{kernel}; it could be {could}");
    match processor.kernels.first() {
        Some(&"scalar") => {
            let help = "use a processor with AVX2, or with NEON and dotprod: this one is very slow";
            SelfCheck::warned(NAME, what, help)
        }
        Some(quickest) if *quickest != kernel => {
            SelfCheck::warned(NAME, what, "unset MEDFOCUS_KERNEL: there is a quicker one")
        }
        _ => SelfCheck::passed(NAME, what),
    }
}

/// Whether it computes what the scalar reference does.
pub(super) fn arithmetic() -> SelfCheck {
    self_test::kernel(&Engine::default())
}

/// Whether more threads are asked for than there are cores.
pub(super) fn threads(asked: u32, processor: &Processor) -> Option<SelfCheck> {
    let cores = processor.cores;
    (asked as usize > cores).then(|| {
        let what = format!("device.threads is {asked}, and there are {cores} cores");
        SelfCheck::warned(
            "threads",
            what,
            "ask for no more threads than there are cores, or 0",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Verdict;

    fn processor(kernel: Option<&'static str>, kernels: &[&'static str]) -> Processor {
        Processor {
            kernel,
            kernels: kernels.to_vec(),
            cores: 4,
            ..Processor::here()
        }
    }

    #[test]
    fn a_kernel_that_is_not_the_quickest_is_told() {
        let verdict = |kernel, kernels: &[_]| super::kernel(&processor(kernel, kernels)).verdict;
        assert_eq!(verdict(Some("avx2"), &["avx2", "scalar"]), Verdict::Passed);
        assert_eq!(
            verdict(Some("scalar"), &["avx2", "scalar"]),
            Verdict::Warned
        );
        assert_eq!(verdict(Some("scalar"), &["scalar"]), Verdict::Warned);
        assert_eq!(verdict(None, &["scalar"]), Verdict::Failed);
    }

    #[test]
    fn more_threads_than_cores_are_told() {
        let processor = processor(None, &["scalar"]);
        assert!(threads(0, &processor).is_none() && threads(4, &processor).is_none());
        assert_eq!(threads(5, &processor).unwrap().verdict, Verdict::Warned);
    }
}
