//! The screens look as they did: compared pixel by pixel with the pictures in
//! `tests/pictures`. After a wanted change, look at the new ones, then keep them:
//!
//! ```console
//! $ cargo run --package firmware-host --example screens -- firmware-host/tests/pictures
//! ```

#[path = "../examples/screens/gallery.rs"]
mod gallery;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use firmware_host::screens::{Language, Panel};

fn kept(file: &Path) -> Vec<u8> {
    let file = File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut picture = png::Decoder::new(BufReader::new(file)).read_info().unwrap();
    let mut bytes = vec![0; picture.output_buffer_size().unwrap()];
    picture.next_frame(&mut bytes).unwrap();
    bytes
}

#[test]
fn screens_look_as_they_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures");
    let mut changed = Vec::new();
    for panel in Panel::ALL {
        for language in Language::ALL {
            let size = panel.size;
            let name = format!("{}x{}-{}.png", size.width, size.height, language.code());
            let pictures = gallery::pictures(panel, language);
            let now = gallery::sheet(panel, &pictures);
            if !now.bytes().eq(kept(&folder.join(&name))) {
                let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
                gallery::write(&now, &file).unwrap();
                changed.push(file);
            }
        }
    }
    assert!(
        changed.is_empty(),
        "these changed, look at them: {changed:?}"
    );
}
