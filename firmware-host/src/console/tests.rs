use super::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

fn parse(line: &str) -> Result<Command<'_>, Fault> {
    Request::parse(line).and_then(|request| request.first())
}

fn units(line: &str) -> Vec<Result<Command<'_>, Fault>> {
    let units = Request::parse(line).unwrap().units();
    units.map(|unit| unit.command).collect()
}

/// The text of a command that takes one.
fn text(line: &str) -> Result<String, Fault> {
    match parse(line)? {
        Command::Run(text) | Command::RunAsked(text) => Ok(text.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn short_and_long_headers_in_any_case() {
    for line in [
        "SYST:ERR?",
        "system:error?",
        ":Syst:Error?",
        " SYSTEM:ERR? ",
        "SYST:ERR:NEXT?",
        ":system:error:next?",
    ] {
        assert_eq!(parse(line), Ok(Command::NextError), "{line}");
    }
    for line in [
        "SYSTE:ERR?",
        "SYST:ERR",
        "SYST:ERR?:",
        "SYST::ERR?",
        "SYS:ERR?",
        "SYST:ERR:NEX?",
        "SYST:ERR:NEXT:NEXT?",
        "NEXT?",
    ] {
        assert_eq!(parse(line), Err(Fault::UndefinedHeader), "{line}");
    }
}

#[test]
fn every_command_of_the_table_is_understood_in_both_forms_and_told_by_help() {
    let help = Help.to_string();
    for Entry { header, takes, .. } in TABLE {
        let parameter = match *takes {
            "" | "[x,y,w,h]" | "[years]" | "[M|F|O]" => "",
            "ON|OFF" => " ON",
            "id,seconds" => " 1,2",
            "n" | "id" | "id[,JSON]" => " 1",
            _ => " \"word\"",
        };
        let long = header.replace(['[', ']'], "");
        let short: String = header.chars().filter(|c| !c.is_ascii_lowercase()).collect();
        assert!(help.contains(&short), "{short} is not in HELP?");
        let least = header.split('[').next().unwrap().to_string();
        let least = if header.contains('[') {
            least + "?"
        } else {
            least
        };
        for form in [&long, &short.replace(['[', ']'], ""), &least] {
            assert!(
                parse(&std::format!("{form}{parameter}")).is_ok(),
                "{form}{parameter}"
            );
            let is_query = Request::parse(form)
                .unwrap()
                .units()
                .next()
                .unwrap()
                .is_query;
            assert_eq!(is_query, header.ends_with('?'), "{form}");
        }
    }
    assert_eq!(help.lines().count(), 1);
}

#[test]
fn units_go_on_in_the_subsystem_of_the_unit_before() {
    let status = |case| Ok(Command::CaseStatus(case));
    let result = |case| Ok(Command::CaseResult(case, Form::Compact));
    let undefined = Err(Fault::UndefinedHeader);
    for (line, expected) in [
        ("CASE:STAT? 1;RES? 1", [status(1), result(1)]),
        ("CASE:STAT? 1;:CASE:RES? 1", [status(1), result(1)]),
        (":CASE:STAT? 1; RES? 1", [status(1), result(1)]),
        ("CASE:STAT? 1;CASE:RES? 1", [status(1), undefined]),
        ("CASE:STAT? 1;:RES? 1", [status(1), undefined]),
        (
            "SYST:ERR:COUN?;NEXT?",
            [Ok(Command::ErrorCount), Ok(Command::NextError)],
        ),
        (
            "SYST:ERR?;COMM:TALK?",
            [Ok(Command::NextError), Ok(Command::Talks)],
        ),
        (
            "STAT:OPER:COND?;:STAT?",
            [
                Ok(Command::Read(Group::Operation, Register::Condition)),
                Ok(Command::Status),
            ],
        ),
        (
            "*IDN?;*OPC?",
            [Ok(Command::Identify), Ok(Command::OperationComplete)],
        ),
        ("CASE:LIST?;", [Ok(Command::CaseList), Err(Fault::Syntax)]),
    ] {
        assert_eq!(units(line), expected, "{line}");
    }
    // A common command stands in no subsystem and leaves it.
    assert_eq!(units("CASE:STAT? 1;*CLS;RES? 1")[2], result(1));
    let long = "A:".repeat(200);
    assert_eq!(units(&std::format!("{long}B;C"))[1], undefined);
}

#[test]
fn texts_are_bare_or_in_quotes() {
    for (line, path) in [
        ("CASE:RUN \"a, b.png\"", Ok("a, b.png")),
        ("CASE:RUN 'a; b.png'", Ok("a; b.png")),
        ("CASE:RUN? \"a;b.png\"", Ok("a;b.png")),
        ("CASE:RUN a.png", Ok("a.png")),
        ("CASE:RUN o'brien.png", Ok("o'brien.png")),
        ("CASE:RUN \"o'brien.png\"", Ok("o'brien.png")),
        ("CASE:RUN 'o''brien.png'", Ok("o'brien.png")),
        (
            "CASE:RUN \"say \"\"cheese\"\".png\"",
            Ok("say \"cheese\".png"),
        ),
        ("CASE:RUN \"\"\"\"", Ok("\"")),
        ("CASE:RUN", Err(Fault::MissingParameter)),
        ("CASE:RUN \"\"", Err(Fault::MissingParameter)),
        ("CASE:RUN \"a.png", Err(Fault::Syntax)),
        ("CASE:RUN \"a\"b.png\"", Err(Fault::Syntax)),
        ("CASE:RUN 'a.png\"", Err(Fault::Syntax)),
        ("CASE:RUN a\"b.png", Err(Fault::Syntax)),
    ] {
        assert_eq!(text(line), path.map(str::to_string), "{line}");
    }
    assert_eq!(
        parse("CASE:LAB ''"),
        Ok(Command::Choose(Choice::Label(None)))
    );
}

#[test]
fn numbers_are_nrf() {
    let age = |years| Ok(Command::Choose(Choice::Age(Some(years))));
    for (line, expected) in [
        ("CASE:AGE 34", age(34)),
        ("CASE:AGE +34", age(34)),
        ("CASE:AGE 34.", age(34)),
        ("CASE:AGE 34.0", age(34)),
        ("CASE:AGE 3.4E1", age(34)),
        ("CASE:AGE 3.4 e +1", age(34)),
        ("CASE:AGE 340e-1", age(34)),
        ("CASE:AGE .34E2", age(34)),
        ("CASE:AGE", Ok(Command::Choose(Choice::Age(None)))),
        // Completed years are not rounded, and there is no case 1.4.
        ("CASE:AGE 34.4", Err(Fault::OutOfRange)),
        ("CASE:STAT? 1.4", Err(Fault::OutOfRange)),
        (
            "CASE:STAT? 18446744073709551615",
            Ok(Command::CaseStatus(u64::MAX)),
        ),
        ("CASE:STAT? 18446744073709551616", Err(Fault::OutOfRange)),
        ("CASE:STAT? 1E99", Err(Fault::OutOfRange)),
        ("CASE:STAT? 1E32001", Err(Fault::ExponentTooLarge)),
        ("CASE:STAT? 0E32000", Ok(Command::CaseStatus(0))),
        ("CASE:AGE 018M", Err(Fault::DataType)),
        ("CASE:AGE 256", Err(Fault::OutOfRange)),
        ("CASE:AGE -1", Err(Fault::OutOfRange)),
        ("CASE:AGE .", Err(Fault::DataType)),
        ("CASE:AGE 1E", Err(Fault::DataType)),
        ("CASE:AGE E1", Err(Fault::DataType)),
        ("CASE:AGE nan", Err(Fault::DataType)),
        ("CASE:AGE inf", Err(Fault::DataType)),
        ("CASE:AGE 1 2", Err(Fault::DataType)),
        ("*ESE 31.5", Ok(Command::EventEnable(32))),
        ("*SRE -0.4", Ok(Command::ServiceEnable(0))),
        ("*ESE 256", Err(Fault::OutOfRange)),
        (
            "STAT:OPER:ENAB 65535",
            Ok(Command::Write(Group::Operation, Register::Enable, 0x7fff)),
        ),
        ("STAT:OPER:ENAB 65536", Err(Fault::OutOfRange)),
        ("DISP:PAGE 256", Err(Fault::OutOfRange)),
        ("SYST:COMM:TALK 1", Ok(Command::Talk(true))),
        ("SYST:COMM:TALK 0.2", Ok(Command::Talk(false))),
        ("SYST:COMM:TALK maybe", Err(Fault::IllegalParameter)),
        ("CASE:WAIT? 1", Err(Fault::MissingParameter)),
        ("CASE:WAIT? 1,-1", Err(Fault::OutOfRange)),
        ("CASE:WAIT? 1,86401", Err(Fault::OutOfRange)),
    ] {
        assert_eq!(parse(line), expected, "{line}");
    }
    let Ok(Command::CaseWait(7, seconds)) = parse("CASE:WAIT? 7,0.25") else {
        panic!("no wait");
    };
    assert_eq!(core::time::Duration::from(seconds).as_millis(), 250);
}

#[test]
fn other_parameters_are_read_or_named() {
    let region = |region| Ok(Command::Choose(Choice::Region(region)));
    assert_eq!(parse("CASE:ROI 1, 2,3,4"), region(Some([1, 2, 3, 4])));
    assert_eq!(parse("CASE:ROI"), region(None));
    assert_eq!(parse("CASE:ROI 1,2,3"), Err(Fault::MissingParameter));
    assert_eq!(parse("CASE:ROI 1,2,0,4"), Err(Fault::OutOfRange));
    assert_eq!(parse("CASE:ROI 1,2,-3,4"), Err(Fault::OutOfRange));
    assert_eq!(parse("CASE:ROI 1,2,3,4,5"), Err(Fault::ParameterNotAllowed));
    assert_eq!(parse("CASE:ROI 1,2,3,4294967296"), Err(Fault::OutOfRange));
    assert_eq!(parse("CASE:RES? 9,xml"), Err(Fault::IllegalParameter));
    assert_eq!(parse("CASE:STAT?"), Err(Fault::MissingParameter));
    assert_eq!(parse("*CLS now"), Err(Fault::ParameterNotAllowed));
    assert_eq!(parse(""), Err(Fault::Syntax));
    let unit = Request::parse("CASE:AGE x")
        .unwrap()
        .units()
        .next()
        .unwrap();
    assert_eq!(
        unit.chooses,
        Some(Setting::Age),
        "what was refused is known"
    );
}

#[test]
fn a_checksum_is_checked_and_asked_back() {
    let request = Request::parse("*IDN?*56").unwrap();
    assert_eq!(checksum("*IDN?"), 0x56);
    assert!(request.checksummed);
    assert_eq!(Request::parse("*IDN?*50"), Err(Fault::Checksum));
    assert!(!Request::parse("*CLS").unwrap().checksummed);
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_named(line in "\\PC{0,80}") {
        let _ = Request::parse(&line).and_then(|line| line.first());
    }

    #[test]
    fn near_commands_never_panic(
        header in "(CASE:RES\\?|CASE:ROI|EXAM|DISP:PAGE|CASE:RUN|SYST:ECHO|CASE:WAIT\\?|\\*ESE)",
        rest in "[ \"';:,0-9a-zA-Z*.+-]{0,30}",
    ) {
        let _ = Request::parse(&std::format!("{header} {rest}")).and_then(|line| line.first());
    }

    #[test]
    fn any_path_in_quotes_is_that_path(path in "\\PC{1,40}", quote in "['\"]") {
        let doubled = path.replace(&quote, &std::format!("{quote}{quote}"));
        let line = std::format!("CASE:RUN? {quote}{doubled}{quote};*OPC?");
        let units: Vec<_> = Request::parse(&line).unwrap().units().collect();
        prop_assert_eq!(units.len(), 2);
        let Ok(Command::RunAsked(text)) = units[0].command else { panic!("{units:?}") };
        prop_assert_eq!(text.to_string(), path);
    }
}
