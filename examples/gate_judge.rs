//! What the gate says of images: one line of standard input is an exam and a file, one line
//! of output is `accepted` or a refusal's code. No model of an exam is run, so thousands of
//! images are judged in a minute (`scripts/starter/gate_table.py`).

use std::io::BufRead;
use std::path::Path;

use medfocus::bundle::{self, Bundle};
use medfocus::engine::Engine;
use medfocus::{image, pipeline};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bundle = Bundle::load(&bundle::find()?, &Engine::default())?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (exam, file) = line.split_once(' ').ok_or("a line is EXAM FILE")?;
        let exam = bundle.exam(exam).ok_or("there is no such exam")?;
        let judged = image::read(Path::new(file)).and_then(|image| {
            let film = pipeline::Film::of(&bundle, &image);
            let look = pipeline::look(&bundle, film.image()).expect("the gate's graph runs");
            pipeline::admit(&bundle, &exam.spec, film.image(), look.as_ref())
        });
        println!(
            "{}",
            judged.map_or_else(|refusal| refusal.code.word(), |()| "accepted")
        );
    }
    Ok(())
}
