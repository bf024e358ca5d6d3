//! The starter bundle's int8 products come to the same integers on every kernel that this
//! CPU has, and to those of every other machine. Run on emulated CPUs (`scripts/cross test`)
//! it holds ARM's kernels against x86-64's.

use std::process::Command;

use crate::common::root;
use medfocus::engine::kernels::Kernel;

/// Written by `MEDFOCUS_KERNEL=scalar medfocus engine digest models/starter`.
const EXPECTED: &str = "tests/vectors/starter-digests.txt";

#[test]
fn every_kernel_comes_to_the_same_integers() {
    let expected = std::fs::read_to_string(root().join(EXPECTED)).unwrap();
    assert!(expected.lines().count() > 100, "every graph's products");
    for kernel in Kernel::available() {
        let output = Command::new(env!("CARGO_BIN_EXE_medfocus"))
            .args(["engine", "digest", "models/starter"])
            .env("MEDFOCUS_KERNEL", kernel.name())
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{kernel:?}: {output:?}");
        let found = String::from_utf8(output.stdout).unwrap();
        let pairs = found.lines().zip(expected.lines());
        let differs: Vec<_> = pairs.filter(|(a, b)| a != b).collect();
        assert!(
            found == expected,
            "{kernel:?} differs in {} products, beginning with {:?}; after a change of the \
             bundle write {EXPECTED} anew",
            differs.len(),
            differs.first(),
        );
        println!("{}: the same integers", kernel.name());
    }
}
