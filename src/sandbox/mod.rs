//! What a child process gives up before it reads what others sent: [`begin`] is its first act,
//! then [`Begun::decoder`] is called by the child that decodes an image, [`Begun::worker`] by the
//! one that runs graphs; [`Begun::bounded`] before it, where the graph may be anybody's. What comes out is a [`Report`]: what holds on this system, part by part.
//!
//! Whoever takes such a child over has its pipes and nothing else. Each part stands for itself:
//! where a kernel lacks one, the report says so and the others hold. None needs a right, a
//! service manager or another program, and none can be taken back. Nothing here decodes, and
//! nothing here is for the device itself but [`hide_memory`].
//!
//! | part | what | since Linux |
//! |---|---|---|
//! | [`Part::Descriptors`] | whatever was inherited beside the three streams is closed | always |
//! | [`Part::Rights`] | no capability, and no program that would give one | 3.5 |
//! | [`Part::Memory`] | no other process reads it, and no core dump holds it | always |
//! | [`Part::Limits`] | memory, processor time, files, processes | always |
//! | [`Part::Files`] | Landlock: no path, or the named ones to read | 5.13 |
//! | [`Part::Calls`] | seccomp: the calls that are needed, and no others | 3.17 |

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod files;
mod limits;
#[cfg(target_os = "linux")]
mod rights;

use std::io::Result;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::child;

pub use limits::{DECODER_MEMORY, DECODER_SECONDS};

/// One thing that a child gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the process that started it had open.
    Descriptors,
    /// Capabilities, and programs that would give some.
    Rights,
    /// Being read by others, alive or as a core dump.
    Memory,
    /// As much of the machine as there is.
    Limits,
    /// Files by their paths and, where the kernel can, the network and signals.
    Files,
    /// System calls that it does not need.
    Calls,
}

/// Whether a part holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub part: Part,
    /// Whether all of it holds.
    pub holds: bool,
    /// Whether some of it does, where not all does.
    pub is_partly: bool,
    /// What holds, or why it does not.
    pub what: String,
}

/// What holds of all parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report(pub Vec<Held>);

impl Report {
    /// What this system lacks.
    pub fn lacking(&self) -> impl Iterator<Item = &Held> {
        self.0.iter().filter(|held| !held.holds)
    }

    fn add(&mut self, part: Part, holding: Holding) {
        let (holds, is_partly, what) = match holding {
            Holding::Whole(what) => (true, false, what),
            Holding::Partly(what) => (false, true, what),
            Holding::Nothing(what) => (false, false, what),
        };
        self.0.push(Held {
            part,
            holds,
            is_partly,
            what,
        });
    }
}

/// How much of a part holds, in words.
#[derive(Debug)]
enum Holding {
    Whole(String),
    #[cfg(target_os = "linux")]
    Partly(String),
    Nothing(String),
}

impl<E: std::fmt::Display> From<std::result::Result<&str, E>> for Holding {
    fn from(held: std::result::Result<&str, E>) -> Self {
        match held {
            Ok(what) => Self::Whole(what.to_owned()),
            Err(why) => Self::Nothing(why.to_string()),
        }
    }
}

/// What a child may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Read its input, compute, write its output.
    Decoder,
    /// The same on several threads, and read the named files.
    Worker,
}

/// A child that has closed what it inherited; what it opens from now on stays open.
#[derive(Debug)]
pub struct Begun(Report);

/// Closes whatever this process was born with beside its three streams. To be called on its only
/// thread, before it opens anything.
pub fn begin() -> Begun {
    let mut report = Report::default();
    #[cfg(target_os = "linux")]
    report.add(Part::Descriptors, descriptors::close_inherited());
    #[cfg(not(target_os = "linux"))]
    report.add(Part::Descriptors, Holding::Nothing(LINUX_ALONE.to_owned()));
    Begun(report)
}

impl Begun {
    /// Ends this process with the one that started it, and leaves it so much memory, where a number
    /// is given.
    #[must_use]
    pub fn bounded(self, memory: Option<u64>) -> Self {
        let Self(mut report) = self;
        if let Err(error) = child::end_with_parent() {
            let why = format!("it may outlive who started it: {error}");
            report.add(Part::Limits, Holding::Nothing(why));
        }
        if let Some(bytes) = memory {
            report.add(Part::Limits, limits::memory(bytes));
        }
        Self(report)
    }

    /// Confines this process to decoding what it has open as standard input.
    pub fn decoder(self) -> Report {
        self.confine(Role::Decoder, &[])
    }

    /// Confines this process to computing on threads, and to reading these files and what lies
    /// beneath these folders; those that are not there are left out.
    pub fn worker(self, readable: &[PathBuf]) -> Report {
        self.confine(Role::Worker, readable)
    }

    #[cfg(target_os = "linux")]
    fn confine(self, role: Role, readable: &[PathBuf]) -> Report {
        let Self(mut report) = self;
        // Asked for once, by a file or a call that is out of reach later, and kept.
        let _ = rustix::param::page_size();
        report.add(Part::Rights, rights::give_up(role));
        let hidden = hide_memory().map(|()| "no core dump, no other process reads it");
        report.add(Part::Memory, hidden.into());
        report.add(Part::Limits, limits::set(role));
        report.add(Part::Files, files::restrict(role, readable));
        // The last one: it leaves no call to set the others by.
        report.add(Part::Calls, calls::filter(role));
        report
    }

    #[cfg(not(target_os = "linux"))]
    fn confine(self, role: Role, _: &[PathBuf]) -> Report {
        let Self(mut report) = self;
        report.add(Part::Limits, limits::set(role));
        for part in [Part::Rights, Part::Memory, Part::Files, Part::Calls] {
            report.add(part, Holding::Nothing(LINUX_ALONE.to_owned()));
        }
        report
    }
}

#[cfg(not(target_os = "linux"))]
const LINUX_ALONE: &str = "only Linux has it";

/// Keeps the memory of this process from others of the same user, and out of core dumps. For
/// the device itself too, which confines itself in nothing else.
///
/// # Errors
/// Where the system cannot do it.
pub fn hide_memory() -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}
