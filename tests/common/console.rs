//! A console at the other end of a serial cable.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::device::PATIENCE;
use super::pty;

/// A serial cable: our end, and a path that stays the same when it is plugged again.
pub struct Cable {
    end: BufReader<pty::End>,
    /// Keeps the line up while the device has it closed.
    _other: std::fs::File,
}

impl Cable {
    /// Plugs it in.
    pub fn plug(link: &Path) -> Self {
        let (end, other) = pty::pair(link);
        Self {
            end: BufReader::new(end),
            _other: other,
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.end.get_mut().write_all(bytes).expect("sent");
    }

    /// The next line.
    pub fn line(&mut self) -> String {
        let (begin, mut line) = (Instant::now(), Vec::new());
        while line.last() != Some(&b'\n') {
            // A deadline leaves what came before in `line`.
            let _ = self.end.read_until(b'\n', &mut line);
            assert!(
                begin.elapsed() < PATIENCE,
                "no answer; so far {:?}",
                String::from_utf8_lossy(&line)
            );
        }
        String::from_utf8(line)
            .expect("UTF-8")
            .trim_end()
            .to_owned()
    }

    /// Sends a line, gives its answer. Each is answered, as people have it: said anew each time, since a device that
    /// was started again begins strict.
    pub fn ask(&mut self, line: &str) -> String {
        if !line.is_empty() {
            assert_eq!(self.query("SYST:COMM:TALK ON"), "OK");
        }
        self.query(line)
    }

    /// Sends a line that is a query, as a script has it; gives its answer.
    pub fn query(&mut self, line: &str) -> String {
        self.send(format!("{line}\n").as_bytes());
        self.line()
    }

    /// Sends a line that is a command, which answers nothing.
    pub fn write(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes());
    }

    /// Asks for a case until it has ended.
    pub fn wait_for_end(&mut self, case: &str) -> String {
        let begin = Instant::now();
        loop {
            let state = self.ask(&format!("CASE:STAT? {case}"));
            if !state.ends_with("waiting") && !state.ends_with("running") {
                return state;
            }
            assert!(begin.elapsed() < PATIENCE, "{state}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks until the answer begins so.
    pub fn wait_for(&mut self, line: &str, beginning: &str) -> String {
        self.wait_until(line, |answer| answer.starts_with(beginning))
    }

    /// Asks until the answer is one of those.
    pub fn wait_until(&mut self, line: &str, is_one: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let answer = self.ask(line);
            if is_one(&answer) {
                return answer;
            }
            assert!(begin.elapsed() < PATIENCE, "{line}: {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
