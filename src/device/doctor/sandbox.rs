//! Whether this system confines the processes that decode images and run graphs: a decoder is
//! started, which says what holds.

use crate::image;
use crate::journal::SelfCheck;
use crate::sandbox::{Held, Part, Report};

/// A check for each part.
pub(super) fn checks() -> Vec<SelfCheck> {
    match image::sandbox_of_child() {
        Some(report) => of_report(&report),
        None => {
            let what = "the process that decodes images does not start, or says nothing";
            let help = "check memory and processes of this device; no image is answered like this";
            vec![SelfCheck::warned("sandbox", what.to_owned(), help)]
        }
    }
}

fn of_report(report: &Report) -> Vec<SelfCheck> {
    let has_filter = report
        .0
        .iter()
        .any(|held| held.part == Part::Calls && held.holds);
    report
        .0
        .iter()
        .map(|held| check(held, has_filter))
        .collect()
}

fn check(held: &Held, has_filter: bool) -> SelfCheck {
    let name = match held.part {
        Part::Descriptors => "sandbox_open",
        Part::Rights => "sandbox_rights",
        Part::Memory => "sandbox_memory",
        Part::Limits => "sandbox_limits",
        Part::Files => "sandbox_files",
        Part::Calls => "sandbox_calls",
    };
    // What an older Landlock lacks, the filter of calls holds: nobody need do anything.
    if held.holds || (held.is_partly && has_filter) {
        return SelfCheck::passed(name, held.what.clone());
    }
    let help = match held.part {
        Part::Files => {
            "allow landlock_* in the container's seccomp profile, or use a kernel from 6.12 on with \
             Landlock in lsm=; the other parts hold"
        }
        Part::Calls => {
            "allow seccomp and prctl in the container's seccomp profile, or use a kernel with \
             seccomp filters on x86-64 or 64-bit ARM; the other parts hold"
        }
        Part::Limits => {
            "allow prlimit64 and setrlimit in the container's seccomp profile; the other parts hold"
        }
        _ => "look at what the kernel or the container forbids; the other parts hold",
    };
    SelfCheck::warned(name, held.what.clone(), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Verdict::{self, Passed, Warned};

    fn held(part: Part, holds: bool, is_partly: bool) -> Held {
        Held {
            part,
            holds,
            is_partly,
            what: "why".to_owned(),
        }
    }

    #[test]
    fn what_is_lacking_is_a_warning_unless_another_part_holds_it() {
        let whole = held(Part::Calls, true, false);
        let no_filter = held(Part::Calls, false, false);
        let older = held(Part::Files, false, true);
        let none = held(Part::Files, false, false);
        let cases: [(&str, [Held; 2], [Verdict; 2]); 4] = [
            (
                "older Landlock",
                [older.clone(), whole.clone()],
                [Passed, Passed],
            ),
            ("no Landlock", [none.clone(), whole], [Warned, Passed]),
            (
                "older, no filter",
                [older, no_filter.clone()],
                [Warned, Warned],
            ),
            ("nothing", [none, no_filter], [Warned, Warned]),
        ];
        for (what, held, verdicts) in cases {
            let checks = of_report(&Report(held.into()));
            let said: Vec<Verdict> = checks.iter().map(|check| check.verdict).collect();
            assert_eq!(said, verdicts, "{what}");
        }
    }
}
