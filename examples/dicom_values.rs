//! Writes the stored values of one frame of a DICOM file to standard output, as 64-bit
//! little-endian integers row by row: what `scripts/dicom/compare.py` holds against
//! pydicom. `dicom_values FILE FRAME`, frames counted from 0.

use std::io::Write;

use medfocus::image::dicom::stored_values;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, frame] = &arguments[..] else {
        eprintln!("dicom_values FILE FRAME");
        return 2.into();
    };
    let read = || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let stored = stored_values(&std::fs::read(path)?, frame.parse()?)?;
        Ok(stored.values().flat_map(i64::to_le_bytes).collect())
    };
    match read().map(|bytes| std::io::stdout().write_all(&bytes)) {
        Ok(Ok(())) => 0.into(),
        Ok(Err(error)) => panic!("standard output: {error}"),
        Err(error) => {
            eprintln!("{error}");
            1.into()
        }
    }
}
