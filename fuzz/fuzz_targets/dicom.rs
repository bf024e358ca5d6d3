//! DICOM files: any bytes, decoded as the child process does it. What comes out is an image
//! or a refusal, and an image has as many pixels as it says. A panic in one of the decoders
//! is a refusal, as in the child, and so is memory that it is refused; a panic in our own
//! code is a fault.
#![no_main]
#![feature(alloc_error_hook)]

use std::alloc::{Layout, set_alloc_error_hook};
use std::panic::{PanicHookInfo, set_hook};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use medfocus::image::{FrameChoice, Pixels, decode_frame};

fn end_at_our_own(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(|location| Path::new(location.file()));
    let our_code = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("src");
    if place.is_none_or(|file| file.starts_with(our_code)) {
        eprintln!("{panic}");
        std::process::abort();
    }
}

/// The child ends here; its parent refuses the file.
fn end_this_input(layout: Layout) {
    panic!("no {} bytes", layout.size());
}

fuzz_target!(
    init: {
        set_hook(Box::new(end_at_our_own));
        set_alloc_error_hook(end_this_input);
    },
    |bytes: &[u8]| {
        if let Ok(image) = decode_frame(bytes, FrameChoice::default()) {
            let (pixels, channels) = match &image.pixels {
                Pixels::Luma(bytes) => (bytes, 1),
                Pixels::Rgb(bytes) => (bytes, 3),
            };
            let expected = image.width as usize * image.height as usize * channels;
            assert_eq!(pixels.len(), expected);
        }
    }
);
