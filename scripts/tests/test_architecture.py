"""What `scripts/architecture` finds, on modules that do what must not be done."""

import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "architecture"
LOADER = SourceFileLoader("architecture", str(SCRIPT))
SPEC = spec_from_loader("architecture", LOADER)
assert SPEC is not None
architecture = module_from_spec(SPEC)
sys.modules["architecture"] = architecture
LOADER.exec_module(architecture)


class Architecture(unittest.TestCase):
    """Small crates of a few files, each with one fault or none."""

    def faults(self, files: dict[str, str]) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                file = Path(folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            architecture.ROOT = Path(folder)
            found = architecture.modules()
            return [
                *architecture.faults(found),
                *architecture.taken_from_the_system(found),
                *architecture.long_files(),
            ]

    def test_what_may_be_is_no_fault(self) -> None:
        files = {
            "src/main.rs": "mod cli;",
            "src/lib.rs": "pub mod device;",
            "src/cli/mod.rs": "use medfocus::{device::Device, pipeline};",
            "src/device/mod.rs": "pub mod a;\npub mod b;\npub use a::A;",
            "src/device/a/mod.rs": "use super::b::B;\nuse self::c::C;\nmod c;",
            "src/device/a/c.rs": "use super::A;",
            "src/device/b.rs": "use crate::pipeline::run;\nuse firmware_host::wire;",
            "src/device/cases.rs": "fn f(c: &Clock) { c.now(); } // Instant::now()",
            "src/device/running/mod.rs": "fn f() { Instant::now(); }",
            "src/image/time.rs": "fn f() { Instant::now(); }",
            "src/pipeline.rs": "use crate::image; // and not crate::device\n",
            "src/image/mod.rs": 'const TEXT: &str = "crate::engine";',
            "src/image/tests.rs": "use crate::engine;",
            "src/engine/mod.rs": "#[cfg(test)]\nmod tests { use crate::image; }",
            "firmware-host/src/lib.rs": "pub mod wire;",
            "firmware-host/src/wire.rs": "use crate::message;",
            "firmware-host/src/message.rs": "",
        }
        self.assertEqual(self.faults(files), [])

    def test_each_fault_is_found_where_it_stands(self) -> None:
        cases = [
            ("src/image/mod.rs", "\nuse crate::engine::Graph;", ":2: image uses engine"),
            ("src/journal/a.rs", "fn f() { crate::triage::x() }", ":1: journal uses triage"),
            ("src/report/mod.rs", "use crate::{hex, device::D};", "report uses device"),
            ("src/triage.rs", "use super::image as i;", "triage uses image"),
            ("src/hex.rs", "use crate::image;", "hex uses image: what everything uses"),
            ("firmware-host/src/wire.rs", "use medfocus::hex;", "firmware-host uses hex"),
            ("src/device/b.rs", "use super::Shared;", "src/device/b takes from its parent"),
            ("src/device/b.rs", "use crate::device::a;", "a circle: a -> b -> a"),
            ("src/pipeline.rs", "use crate::report;", "a circle: pipeline -> report -> pipeline"),
            ("src/device/c.rs", "\nfn f() { Instant::now() }", "c.rs:2: asks the system for the"),
            ("src/journal/c.rs", "fn f() { t.elapsed() }", "c.rs:1: asks the system for the time"),
            ("src/device/c.rs", "fn f() { std::thread::sleep(x) }", "asks the system for the time"),
            ("src/device/c.rs", "fn f() { Clock::system() }", "asks the system for the time"),
            ("src/device/c.rs", "fn f() { thread::spawn(g) }", "c.rs:1: starts a thread"),
            ("src/device/running/c.rs", "fn f() { thread::Builder::new() }", "starts a thread"),
            ("src/journal/c.rs", "use std::fs::File;", "c.rs:1: touches the disk"),
            ("src/device/cases/c.rs", "fn f() { Folder::open(p) }", "c.rs:1: touches the disk"),
            ("src/report/pages/b.rs", "use super::a;", "src/report/pages: a circle: a -> b -> a"),
            ("src/long.rs", "//\n" * 501, "501 lines"),
        ]
        for name, text, said in cases:
            files = {
                "src/lib.rs": "",
                "src/hex.rs": "",
                "src/engine/mod.rs": "",
                "src/image/mod.rs": "",
                "src/triage.rs": "",
                "src/journal/mod.rs": "",
                "src/report/mod.rs": "use crate::pipeline;",
                "src/report/pages/a.rs": "use super::b;",
                "src/report/pages/b.rs": "",
                "src/pipeline.rs": "",
                "src/device/mod.rs": "",
                "src/device/a.rs": "use super::b::B;",
                "src/device/b.rs": "",
                "firmware-host/src/lib.rs": "",
            }
            found = self.faults(files | {name: text})
            self.assertTrue(any(said in fault for fault in found), f"{name}: {text}: {found}")
            self.assertEqual(len(found), 1, f"{name}: {found}")

    def test_a_reason_for_a_long_file_is_taken(self) -> None:
        text = "//! Longer than 500 lines: one table\n" + "//\n" * 600
        self.assertEqual(self.faults({"src/table.rs": text}), [])


if __name__ == "__main__":
    unittest.main()
