//! The papers name tests, scripts and each other: each is there.

use std::path::{Path, PathBuf};

use crate::common::root;

/// What stands between backticks in a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a file is of a test that has a harness of its own: its functions have no attribute.
fn has_own_harness(file: &Path) -> bool {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap_or_default();
    let tests = manifest.get("test").and_then(|tests| tests.as_array());
    let is_own =
        |test: &&toml::Value| test.get("harness").and_then(|own| own.as_bool()) == Some(false);
    let names = tests.into_iter().flatten().filter(is_own);
    let mut names = names.filter_map(|test| test.get("name")?.as_str());
    names.any(|name| {
        let target = root().join("tests").join(format!("{name}.rs"));
        let text = std::fs::read_to_string(&target).unwrap_or_default();
        let folder = file
            .parent()
            .and_then(|folder| folder.file_name()?.to_str());
        target == file || folder.is_some_and(|folder| text.contains(&format!("mod {folder};")))
    })
}

/// Whether a test of this name is in the file: in Rust one with the attribute above it, unless
/// the harness is its own.
fn has_test(file: &Path, test: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let is_free = has_own_harness(file);
    let is_python = file.extension().is_some_and(|ending| ending == "py");
    let is_attribute = |line: &&&str| line.starts_with("#[") || line.starts_with("//");
    let is_test = |at: usize| {
        let above = lines[..at].iter().rev();
        above
            .take_while(is_attribute)
            .any(|line| *line == "#[test]")
    };
    let begin = format!("{} {test}(", if is_python { "def" } else { "fn" });
    let mut begins = lines.iter().enumerate();
    begins.any(|(at, line)| line.starts_with(&begin) && (is_python || is_free || is_test(at)))
}

/// Rows of the tables of threats: threat, what answers it, tests.
fn rows(page: &str) -> Vec<[&str; 3]> {
    let lines = page.lines().filter(|line| line.starts_with("| **"));
    let cells = |line| {
        let cells = str::trim_matches(line, '|').split(" | ").map(str::trim);
        let cells: Vec<&str> = cells.collect();
        cells
            .try_into()
            .unwrap_or_else(|_| panic!("not three cells: {line}"))
    };
    lines.map(cells).collect()
}

#[test]
fn every_control_of_the_threat_model_names_a_test_that_is_there() {
    let page = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let rows = rows(&page);
    assert!(rows.len() > 40, "only {} threats", rows.len());
    for [threat, _, tests] in rows {
        let mut named = 0;
        for name in quoted(tests) {
            let (file, test) = name.split_once('#').unwrap_or((name, ""));
            let path = root().join(file);
            assert!(path.is_file(), "{threat}: there is no {file}");
            if !test.is_empty() {
                assert!(has_test(&path, test), "{threat}: {file} has no test {test}");
            }
            named += 1;
        }
        assert!(named > 0, "{threat}: no test is named");
    }
}

#[test]
fn the_index_of_the_docs_has_every_page() {
    let index = std::fs::read_to_string(root().join("docs/README.md")).unwrap();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_page = [".md", ".json", ".toml"]
            .iter()
            .any(|end| name.ends_with(end));
        assert!(
            !is_page || name == "README.md" || index.contains(&format!("]({name}")),
            "docs/README.md does not have {name}"
        );
    }
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    let file = root().join("tests/program/papers.rs");
    assert!(has_test(&file, "a_test_that_is_not_there_is_noticed"));
    assert!(!has_test(&file, "a_test_that_is_nowhere"));
    // A function that is no test.
    assert!(!has_test(&file, "quoted"));
}

/// STRIDE's six letters each have a threat, and every interface a table.
#[test]
fn the_threat_model_covers_every_kind_of_threat() {
    let page = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let rows = rows(&page);
    for letter in ["S", "T", "R", "I", "D", "E"] {
        let begins = format!("**{letter}");
        assert!(
            rows.iter().any(|[threat, ..]| threat.starts_with(&begins)),
            "{letter}"
        );
    }
}

/// Whoever reports a fault needs no address that somebody made up.
#[test]
fn the_security_policy_says_how_and_what() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    for word in [
        "## Reporting a vulnerability",
        "advisory",
        "## What is supported",
        "docs/threat-model.md",
    ] {
        assert!(text.contains(word), "{word}");
    }
    assert!(!text.contains('@'), "an address");
    for script in quoted(&text).filter(|word| word.starts_with("scripts/")) {
        assert!(root().join(script).is_file(), "{script}");
    }
}

/// What people read here, each page with its folder.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ]
    .iter()
    .chain(&[
        "scripts/README.md",
        "firmware-host/README.md",
        "src/engine/README.md",
    ])
    .chain(&["models/starter/model-card.md"])
    .map(|page| root().join(page))
    .collect();
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|page| page.extension().is_some_and(|ending| ending == "md")));
    pages
}

/// Where the links of a page lead to, but for those that leave the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// The name by which a heading is linked to, as forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// The headings of a page, but for what looks like one in a listing.
fn headings(text: &str) -> Vec<String> {
    let mut is_listing = false;
    let lines = text.lines().filter(|line| {
        is_listing ^= line.trim_start().starts_with("```");
        !is_listing && line.starts_with('#')
    });
    lines
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let mut count = 0;
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            count += 1;
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let is_there = match place {
                "" => target.exists(),
                // In code a place is a line, which nobody can hold.
                place => {
                    let text = std::fs::read_to_string(&target).unwrap_or_default();
                    headings(&text).iter().any(|heading| heading == place)
                }
            };
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count > 100, "only {count} links");
}

/// A recipe that names a file which is not there sends a newcomer astray.
#[test]
fn every_file_that_the_recipes_name_is_there() {
    let mut missing = Vec::new();
    for page in ["CONTRIBUTING.md", "docs/architecture.md", "docs/README.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for word in quoted(&text) {
            let begins = [
                "src/",
                "tests/",
                "scripts/",
                "docs/",
                "models/",
                "examples/",
            ]
            .iter()
            .any(|folder| word.starts_with(folder));
            let is_pattern = word.contains(['*', ' ']) || word.contains("NAME");
            if (begins || word.starts_with("firmware-host/")) && !is_pattern {
                let path = word.split_once('#').map_or(word, |(path, _)| path);
                if !root().join(path).exists() {
                    missing.push(format!("{page}: {word}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
