//! The screens of a device on a desk: every panel and language on one sheet each, as PNG
//! files; with the feature `window`, one panel in a window (SDL2 must be installed).
//!
//! ```console
//! $ cargo run --package firmware-host --example screens -- FOLDER
//! $ cargo run --package firmware-host --example screens --features window -- 320x240 hi
//! ```
//!
//! In the window, the space bar shows the next screen.

mod gallery;

use std::path::Path;
use std::process::ExitCode;

use firmware_host::screens::{Language, Panel};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let written = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        #[cfg(feature = "window")]
        [panel, language] => return show(panel, language),
        [folder] => write_all(Path::new(folder)),
        _ => {
            eprintln!("usage: screens FOLDER; with the feature `window`: screens PANEL LANGUAGE");
            return ExitCode::from(2);
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the pictures cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for panel in Panel::ALL {
        for language in Language::ALL {
            let file = folder.join(format!("{}-{}.png", name(panel), language.code()));
            let sheet = gallery::sheet(panel, &gallery::pictures(panel, language));
            gallery::write(&sheet, &file)?;
            println!("{}", file.display());
        }
    }
    Ok(())
}

fn name(panel: Panel) -> String {
    format!("{}x{}", panel.size.width, panel.size.height)
}

#[cfg(feature = "window")]
fn show(panel: &str, language: &str) -> ExitCode {
    use embedded_graphics::Drawable;
    use embedded_graphics::image::{Image, ImageRawBE};
    use embedded_graphics::pixelcolor::Rgb888;
    use embedded_graphics::prelude::Point;
    use embedded_graphics_simulator::sdl2::Keycode;
    use embedded_graphics_simulator::{OutputSettings, SimulatorDisplay, SimulatorEvent, Window};

    let chosen = Panel::ALL.into_iter().find(|known| name(*known) == panel);
    let (Some(panel), Some(language)) = (chosen, Language::of_code(language)) else {
        eprintln!("no such panel or language");
        return ExitCode::from(2);
    };
    let mut display = SimulatorDisplay::<Rgb888>::new(panel.size);
    let mut window = Window::new("medfocus", &OutputSettings::default());
    for (_, picture) in gallery::pictures(panel, language).iter().cycle() {
        let bytes: Vec<u8> = picture.bytes().collect();
        let pixels = ImageRawBE::<Rgb888>::new(&bytes, panel.size.width);
        let Ok(()) = Image::new(&pixels, Point::zero()).draw(&mut display);
        loop {
            window.update(&display);
            match window.events().next() {
                Some(SimulatorEvent::Quit) => return ExitCode::SUCCESS,
                Some(SimulatorEvent::KeyDown {
                    keycode: Keycode::Space,
                    ..
                }) => break,
                _ => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
    }
    ExitCode::SUCCESS
}
