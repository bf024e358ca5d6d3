//! The worker's own side: it confines itself, loads the bundle once, tests itself, then does
//! what it is asked until its pipe is closed. Standard output belongs to the device; what
//! is for people goes to standard error. It opens no image: those come decoded, by the pipe.

use std::fs::File;
use std::io::{ErrorKind, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::message::{LONGEST, Report, Request};
use crate::bundle::{self, Bundle, Trust};
use crate::child::{self, Inbox, write};
use crate::device::self_test::{of_worker, useless};
use crate::device::work::run;
use crate::engine::{Engine, PreparedKey, Settings};
use crate::pipeline::{Observer, Stage};
use crate::sandbox;

/// Serves requests on standard input until it is closed.
///
/// # Errors
/// The device has gone, or what it says is no request.
pub fn work_as_child(folder: &Path, trust: &Trust, settings: &Settings) -> Result<()> {
    child::end_with_parent()?;
    outlast_signals()?;
    let (engine, memory) = confine(folder, trust, settings)?;
    // Not through the library's buffers: the pipe itself is waited for.
    let mut requests = Inbox::new(
        File::from(std::io::stdin().as_fd().try_clone_to_owned()?),
        LONGEST,
    );
    let mut out = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let prepared = match requests.next(None)? {
        Some(Request::Begin { prepared }) => prepared.map(PreparedKey::new),
        Some(_) => return Err(ErrorKind::InvalidData.into()),
        None => return Ok(()),
    };
    let bundle = match Bundle::load_trusted(folder, trust, prepared.as_ref(), &engine) {
        Ok(bundle) => bundle,
        Err(error) => return write(&mut out, &Report::Useless(useless(&error))),
    };
    let tested = || Report::Tested(of_worker(&bundle, folder, trust));
    let loaded = Report::Loaded {
        software: child::FORM.to_owned(),
        bundle: bundle.outline(),
    };
    write(&mut out, &loaded)?;
    let mut report = tested();
    loop {
        if let Some(bytes) = memory.as_ref().and_then(resident) {
            write(&mut out, &Report::Uses(bytes))?;
        }
        write(&mut out, &report)?;
        report = match requests.next(None)? {
            None => return Ok(()),
            Some(Request::SelfTest) => tested(),
            Some(Request::Begin { .. }) => return Err(ErrorKind::InvalidData.into()),
            Some(Request::Case {
                case,
                question,
                image,
            }) => {
                let mut progress = Progress { out: &mut out };
                let image = image.into_image()?;
                let answered = run::answer(&bundle, case, &question, image, &mut progress);
                Report::Answered(Box::new(answered.into()))
            }
        };
    }
}

/// Leaves itself its pipes, threads, and its bundle to read; gives the engine, which must look at
/// the machine before that, and what tells how much memory this process uses, which nobody else
/// is told of a confined one.
fn confine(folder: &Path, trust: &Trust, settings: &Settings) -> Result<(Engine, Option<File>)> {
    let begun = sandbox::begin();
    let engine = Engine::new(settings);
    let memory = File::open("/proc/self/statm").ok();
    let report = begun.worker(&files_of(folder, trust));
    for held in report.lacking() {
        log::warn!("the worker is not confined in full: {}", held.what);
    }
    Ok((engine, memory))
}

/// All that a worker reads from now on: the bundle, what was prepared of it, and the lists that
/// say whether it may be used; of those the folders, since a list is replaced by another file. It
/// is read again at each self-test. A worker writes nothing.
fn files_of(folder: &Path, trust: &Trust) -> Vec<PathBuf> {
    let mut files = vec![folder.to_owned(), bundle::prepared_folder(folder)];
    for list in [&trust.revoked, &trust.releases].into_iter().flatten() {
        let folder = list.parent().filter(|folder| *folder != Path::new(""));
        files.push(folder.unwrap_or(Path::new(".")).to_owned());
    }
    files
}

/// Bytes of memory that this process has.
fn resident(statm: &File) -> Option<u64> {
    let mut text = [0; 64];
    let length = statm.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Whoever switches the device off may signal all of its processes; the device decides when
/// its worker ends.
fn outlast_signals() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Tells the device how the case goes on.
struct Progress<'a, W> {
    out: &'a mut W,
}

impl<W: Write> Progress<'_, W> {
    /// A device that has gone is noticed when the answer cannot be written.
    fn say(&mut self, report: &Report) {
        let _ = write(self.out, report);
    }
}

impl<W: Write> Observer for Progress<'_, W> {
    fn begun(&mut self, stage: Stage) {
        self.say(&Report::Begun(stage));
    }

    fn ended(&mut self, stage: Stage, ms: f64) {
        self.say(&Report::Ended(stage, ms));
    }
}
