use proptest::prelude::*;

use super::changes::WHILE_RUNNING;
use super::*;

/// The example with every key that it only shows written out.
fn all_keys() -> String {
    let shown = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let is_heading = rest.starts_with('[') && rest.ends_with(']');
        let is_key = rest
            .split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        (is_heading || is_key).then(|| rest.to_owned())
    };
    let lines = EXAMPLE.lines();
    let lines = lines.map(|line| shown(line).unwrap_or_else(|| line.to_owned()) + "\n");
    let all: String = lines.collect();
    // The package makes this group; not every machine has it.
    all.replace("medfocus-clients", "0")
}

/// What is wrong, as `line code key`.
fn wrong(text: &str) -> Vec<String> {
    let problems = Config::parse(text).unwrap_err();
    let word = |problem: &Problem| {
        let line = problem.line.unwrap_or_default();
        format!("{line} {} {}", problem.wrong.code(), problem.key)
    };
    problems.iter().map(word).collect()
}

#[test]
fn the_example_says_what_holds_where_nothing_is_said() {
    assert_eq!(Config::parse(EXAMPLE), Ok(Config::default()));
    assert_eq!(Config::parse(""), Ok(Config::default()));
}

#[test]
fn the_example_names_every_key_and_no_other() {
    let text = all_keys();
    let config = Config::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(config.conflicts(), []);
    let shown: toml::Table = text.parse().unwrap();
    let keys = serde_json::to_value(&config).unwrap();
    for (section, said) in keys.as_object().unwrap() {
        let one = said.as_array().map_or(said, |all| &all[0]);
        let shown = &shown[section];
        let shown = shown.as_array().map_or(shown, |all| &all[0]);
        for key in one.as_object().into_iter().flat_map(|keys| keys.keys()) {
            assert!(shown.get(key).is_some(), "{section}.{key} is not shown");
        }
    }
}

#[test]
fn the_docs_name_every_language() {
    let codes = language_codes();
    assert!(EXAMPLE.contains(&format!("# Of the displays: {codes}.\n")));
    let display = include_str!("../../../docs/display.md");
    assert!(display.contains(&format!("(`{}`)", codes.replace(", ", " "))));
}

#[test]
fn every_fault_is_told_with_its_line_and_a_cure() {
    let text = "\
[device]
thread = 2
language = \"xx\"
memory_mib = \"much\"

[[serial]]
baud = 1

[dicom]
port = 70000
allow = [\"XRAY@10.0.0.7\", \"XRAY@here\", 3]

[dicoms]
";
    assert_eq!(
        wrong(text),
        [
            "2 config_key device.thread",
            "3 config_value device.language",
            "4 config_value device.memory_mib",
            "6 config_missing serial.port",
            "7 config_value serial.baud",
            "10 config_value dicom.port",
            "11 config_value dicom.allow",
            "11 config_value dicom.allow",
            "13 config_key dicoms",
        ]
    );
    let problems = Config::parse(text).unwrap_err();
    let help = |key: &str| {
        problems
            .iter()
            .find(|p| p.key == key)
            .unwrap()
            .help
            .as_str()
    };
    assert_eq!(help("device.thread"), "did you mean threads?");
    assert_eq!(help("dicoms"), "did you mean dicom?");
    assert_eq!(
        help("serial.baud"),
        "write a whole number from 300 to 4000000"
    );
}

#[test]
fn a_name_that_is_like_none_is_told_which_there_are() {
    let problems = Config::parse("[bundle]\nxyzzy = 1\n").unwrap_err();
    assert!(problems[0].help.contains("folder"), "{}", problems[0].help);
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_told_what_is_wrong(text in "\\PC{0,200}") {
        let _ = Config::parse(&text);
    }

    #[test]
    fn nearly_right_ones_never_panic(
        section in "(\\[|\\[\\[)(device|serial|folder|dicom|queue|bundle)\\]{1,2}",
        key in "(threads|port|path|allow|language|most_waiting|folder)",
        value in "[-0-9a-z\"'\\[\\]{}., =_:#]{0,20}",
    ) {
        if let Err(problems) = Config::parse(&format!("{section}\n{key} = {value}\n")) {
            prop_assert!(problems.iter().all(|problem| problem.line.is_some_and(|line| line <= 3)));
        }
    }
}

#[test]
fn what_is_no_toml_is_told_by_its_lines_alone() {
    let text = "[device]\nthreads = \nlanguage = en\n";
    let lines: Vec<_> = Config::parse(text).unwrap_err();
    assert!(lines.iter().all(|problem| problem.wrong == Wrong::Syntax));
    assert_eq!(lines[0].line, Some(2));
}

#[test]
fn sections_in_the_wrong_brackets_are_told_so() {
    assert_eq!(wrong("[serial]\nport = \"a\"\n"), ["1 config_value serial"]);
    assert_eq!(wrong("[[dicom]]\nport = 1\n"), ["1 config_value dicom"]);
    assert_eq!(wrong("device = 3\n"), ["1 config_value device"]);
}

#[test]
fn what_does_not_go_together_is_told() {
    let conflicts = |text: &str| -> Vec<String> {
        let problems = Config::parse(text).unwrap().conflicts();
        problems.into_iter().map(|problem| problem.key).collect()
    };
    let port = "[[serial]]\nport = \"-\"\n";
    assert_eq!(
        conflicts(&format!("[pacs]\nto = \"A@b:1\"\n{port}")),
        [""; 0]
    );
    assert_eq!(
        conflicts(&format!("[results]\ndeidentify = true\n{port}")),
        ["results.deidentify"]
    );
    let twice = "[[serial]]\nport = \"-\"\n".repeat(2);
    assert_eq!(conflicts(&twice), ["serial.port"]);
    assert_eq!(
        conflicts("[pacs]\ndeidentify = true\n[dicom]\nport = 104\n"),
        ["pacs.deidentify"]
    );
}

#[test]
fn the_hash_is_of_what_is_said_and_not_of_how() {
    let hash = |text: &str| Config::parse(text).unwrap().sha256();
    let one = hash("[device]\nthreads = 2\nlanguage = \"fr\"\n");
    assert_eq!(
        one,
        hash("# two\n[device]\nlanguage = \"fr\"\nthreads = 0x2\n")
    );
    assert_ne!(one, hash("[device]\nlanguage = \"fr\"\n"));
}

#[test]
fn changes_are_named_by_key_and_by_when_they_are_taken_up() {
    let parse = |text: &str| Config::parse(text).unwrap();
    let old = parse("[device]\nthreads = 2\n[dicom]\nport = 1\n");
    let new = parse(
        "[device]\nthreads = 3\n[dicom]\nport = 1\n[bundle]\nfolder = \"b\"\n\
         [[serial]]\nport = \"-\"\n",
    );
    let changes = old.changes(&new);
    assert_eq!(changes.running, ["bundle.folder"]);
    assert_eq!(changes.at_next_start, ["device.threads", "serial"]);
    // A key that is written only where it is set.
    let told = Config::parse("[health]\nfile = \"/run/h.json\"").unwrap();
    let nothing = Config::default();
    for (one, other) in [(&nothing, &told), (&told, &nothing)] {
        assert_eq!(one.changes(other).at_next_start, ["health.file"]);
    }
    let none = old.changes(&old);
    assert!(none.running.is_empty() && none.at_next_start.is_empty());
    // A key that was renamed must not stay behind in the list.
    let known = serde_json::to_value(Config::default()).unwrap();
    for key in WHILE_RUNNING {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        assert!(
            known[section].get(name).is_some() || known[section].is_array(),
            "{key}"
        );
    }
}

#[test]
fn a_path_that_no_file_can_have_is_refused() {
    for path in ["", "a\\u0000b"] {
        let problems = Config::parse(&format!("[health]\nfile = \"{path}\"\n")).unwrap_err();
        assert_eq!(problems[0].key, "health.file");
        assert_eq!(problems[0].wrong, Wrong::Value);
    }
}

#[test]
fn a_file_of_faults_alone_is_told_in_no_time() {
    let keys: Vec<String> = (0..60_000).map(|key| format!("k{key} = 1")).collect();
    let begin = std::time::Instant::now();
    let problems = Config::parse(&keys.join("\n")).unwrap_err();
    assert_eq!(problems.len(), keys.len());
    assert_eq!(problems.last().unwrap().line, Some(keys.len()));
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
}

#[test]
fn what_must_be_mounted_is_the_folder_or_one_above_it() {
    for (mounted, is_right) in [("/mnt/x/in", true), ("/mnt/x", true), ("/mnt/y", false)] {
        let text = format!("[[folder]]\npath = \"/mnt/x/in\"\nmounted = \"{mounted}\"\n");
        let conflicts = Config::parse(&text).unwrap().conflicts();
        let keys: Vec<&str> = conflicts
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        let expected: &[&str] = if is_right { &[] } else { &["folder.mounted"] };
        assert_eq!(keys, expected, "{mounted}");
    }
}

#[test]
fn a_place_named_by_its_path_and_by_a_link_is_named_twice() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(at("in")).unwrap();
    std::fs::create_dir(at("other")).unwrap();
    std::os::unix::fs::symlink(at("in"), at("link")).unwrap();
    let problems = |section: &str, key: &str, names: [&str; 2]| -> Vec<String> {
        let lines = names.map(|name| format!("[[{section}]]\n{key} = \"{}\"\n", at(name)));
        let config = Config::parse(&lines.concat()).unwrap();
        config.conflicts().into_iter().map(|p| p.key).collect()
    };
    for (names, is_twice) in [
        (["in", "in"], true),
        (["in", "link"], true),
        (["other/../in", "link"], true),
        (["in", "other"], false),
        (["none", "none"], true),
        (["none", "missing"], false),
    ] {
        for (section, key) in [("folder", "path"), ("serial", "port")] {
            let twice = [format!("{section}.{key}")];
            let expected = if is_twice { &twice[..] } else { &[] };
            assert_eq!(problems(section, key, names), expected, "{names:?}");
        }
    }
}
