//! Which images are labelled with which class: a folder with one folder for each class, or a
//! CSV file.

use std::path::{Path, PathBuf};

use super::EnrollError;

/// An image and the class that a person gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// Its file; `None` where the device keeps the image no longer.
    pub path: Option<PathBuf>,
    /// The class's number.
    pub class: usize,
}

/// Every file in the folders of `folder`, which are named after classes.
///
/// # Errors
/// [`EnrollError::Source`]: a folder cannot be read or is named after no class.
pub fn from_folders(folder: &Path, classes: &[String]) -> Result<Vec<Labelled>, EnrollError> {
    let mut labelled = Vec::new();
    for entry in entries(folder)? {
        // Files beside the classes' folders are nobody's case.
        if !entry.is_dir() {
            continue;
        }
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let class = class_of(&name, classes).map_err(|why| EnrollError::Source {
            path: entry.clone(),
            why,
        })?;
        walk(&entry, class, &mut labelled)?;
    }
    Ok(labelled)
}

fn walk(folder: &Path, class: usize, labelled: &mut Vec<Labelled>) -> Result<(), EnrollError> {
    for entry in entries(folder)? {
        let is_link = entry
            .symlink_metadata()
            .is_ok_and(|about| about.is_symlink());
        if entry.is_dir() && !is_link {
            walk(&entry, class, labelled)?;
        } else if !entry.is_dir() {
            labelled.push(Labelled {
                path: Some(entry),
                class,
            });
        }
    }
    Ok(())
}

/// What lies in a folder, by name; what begins with a dot does not count.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, EnrollError> {
    let unreadable = |error: std::io::Error| EnrollError::Source {
        path: folder.to_owned(),
        why: error.to_string(),
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn class_of(name: &str, classes: &[String]) -> Result<usize, String> {
    let found = classes.iter().position(|class| class == name);
    found.ok_or_else(|| {
        format!(
            "{name} is not a class of this exam; there are {}",
            classes.join(", ")
        )
    })
}

/// The lines of a CSV file with the columns `file` and `label`, its files named from where it
/// lies, or `case` and `label`, whose images `image_of` a case gives where they are kept.
///
/// # Errors
/// [`EnrollError::Source`], which names the line.
pub fn from_csv(
    file: &Path,
    classes: &[String],
    image_of: &dyn Fn(u64) -> Result<Option<PathBuf>, String>,
) -> Result<Vec<Labelled>, EnrollError> {
    let wrong = |why: String| EnrollError::Source {
        path: file.to_owned(),
        why,
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .map_err(|error| wrong(error.to_string()))?;
    let header = reader
        .headers()
        .map_err(|error| wrong(error.to_string()))?
        .clone();
    let column = |name: &str| header.iter().position(|column| column == name);
    let Some(label) = column("label") else {
        return Err(wrong("line 1: there is no column label".to_owned()));
    };
    let (place, is_case) = match (column("file"), column("case")) {
        (Some(place), None) => (place, false),
        (None, Some(place)) => (place, true),
        _ => return Err(wrong("line 1: one column is named file or case".to_owned())),
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut labelled = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let at = |why: String| wrong(format!("line {line}: {why}"));
        let class = class_of(&record[label], classes).map_err(at)?;
        let path = if is_case {
            let number = record[place].parse();
            let number =
                number.map_err(|_| at(format!("{} is not a case number", &record[place])))?;
            image_of(number).map_err(at)?
        } else {
            Some(folder.join(&record[place]))
        };
        labelled.push(Labelled { path, class });
    }
    Ok(labelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["normal", "tuberculosis"].map(str::to_owned).to_vec()
    }

    fn csv(text: &str) -> Result<Vec<Labelled>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cases.csv");
        std::fs::write(&file, text).unwrap();
        let image_of = |case| match case {
            7 => Ok(Some(PathBuf::from("seven"))),
            8 => Ok(None),
            _ => Err("the journal knows no such case".to_owned()),
        };
        let read = from_csv(&file, &classes(), &image_of);
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn lists_name_files_or_cases() {
        let files = csv("label, file\ntuberculosis, a b.png\nnormal, /x/c.png\n").unwrap();
        assert!(files[0].path.as_ref().unwrap().ends_with("a b.png"));
        assert_eq!(files[1].path, Some(PathBuf::from("/x/c.png")));
        assert_eq!((files[0].class, files[1].class), (1, 0));
        let cases = csv("case,label\n7,normal\n8,tuberculosis\n").unwrap();
        assert_eq!(cases[0].path, Some(PathBuf::from("seven")));
        assert_eq!(cases[1].path, None);
    }

    #[test]
    fn a_fault_is_told_by_its_line() {
        for (text, says) in [
            (
                "file,label\na,normal\nb,scar\n",
                "line 3: scar is not a class of this exam",
            ),
            ("file,class\na,normal\n", "no column label"),
            ("file,case,label\na,1,normal\n", "line 1"),
            ("case,label\nx,normal\n", "line 2: x is not a case number"),
            ("case,label\n9,normal\n", "knows no such case"),
            ("file,label\na\n", "line: 2"),
        ] {
            let error = csv(text).unwrap_err();
            assert!(error.contains(says), "{says} is not in: {error}");
        }
    }

    #[test]
    fn folders_are_classes() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "normal/b.png",
            "normal/deep/a.png",
            "tuberculosis/.x",
            "notes.txt",
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let found = from_folders(folder.path(), &classes()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|case| case.class == 0));
        std::fs::create_dir(folder.path().join("scar")).unwrap();
        let error = from_folders(folder.path(), &classes()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("scar is not a class of this exam"),
            "{error}"
        );
    }
}
