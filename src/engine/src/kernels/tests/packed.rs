//! Packed weights as bytes, and the kernel that they are for.

use super::*;

#[test]
fn packed_bytes_are_used_where_they_are() {
    let kernel = Kernel::available()[0];
    let packed = int8(kernel, &codes(1, 100 * 70), 0.5, [100, 70]);
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
