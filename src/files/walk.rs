//! From the operator's path to the folder that it means: step by step, so that each link on
//! the way is looked at before it is followed.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::{Cause, Folder, OPEN_TO_ALL, open_at};

/// As many links as the kernel follows on one way.
const MOST_LINKS: usize = 40;

/// Steps are only passed through: it takes the right to do so, not the right to list.
const STEP: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

pub(super) fn open(path: &Path, makes: bool) -> Result<Folder, Cause> {
    let mut way = Way::to(path)?;
    while way.goes_on(makes)?.is_some() {}
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = open_at(&way.here, ".", flags, Mode::empty())?;
    Ok(Folder::of(held, path))
}

/// Everything that decides where a path leads, from the first folder on: each folder and each
/// link on the way, as far as it is there.
pub(super) fn passed_by(path: &Path) -> Result<Vec<Metadata>, Cause> {
    let path = std::path::absolute(path)?;
    let mut way = Way::to(&path)?;
    let mut passed_by = vec![way.here.metadata()?];
    loop {
        match way.goes_on(false) {
            Ok(Some(passed)) => passed_by.push(passed.metadata()?),
            Ok(None) => break,
            Err(Cause::Io(error)) if error.kind() == ErrorKind::NotFound => break,
            Err(cause) => return Err(cause),
        }
    }
    Ok(passed_by)
}

/// Where the walk is, and what is left of it.
struct Way {
    here: File,
    steps: VecDeque<OsString>,
    links: usize,
}

impl Way {
    /// An absolute path needs nothing of the current folder, which this user may not be
    /// allowed to enter: who became another one still is where root was.
    fn to(path: &Path) -> Result<Self, Cause> {
        let begin = if path.is_absolute() { "/" } else { "." };
        let mut way = Self {
            here: passed(begin)?,
            steps: VecDeque::new(),
            links: 0,
        };
        way.go(path)?;
        Ok(way)
    }

    /// Puts a path before what is left.
    fn go(&mut self, path: &Path) -> Result<(), Cause> {
        if path.as_os_str().is_empty() {
            return Err(Cause::Io(Errno::NOENT.into()));
        }
        for component in path.components().rev() {
            match component {
                Component::RootDir => self.here = passed("/")?,
                Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => self.steps.push_front("..".into()),
                Component::Normal(name) => self.steps.push_front(name.to_owned()),
            }
        }
        Ok(())
    }

    /// Goes one step; gives the folder or link that was passed, nothing where the way ends.
    fn goes_on(&mut self, makes: bool) -> Result<Option<File>, Cause> {
        let Some(step) = self.steps.pop_front() else {
            return Ok(None);
        };
        match self.step(&step, makes) {
            Ok(next) => {
                self.here = next.try_clone()?;
                Ok(Some(next))
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                self.links += 1;
                if self.links > MOST_LINKS {
                    return Err(Cause::Io(Errno::LOOP.into()));
                }
                let (link, target) = self.link(&step)?;
                self.go(&target)?;
                Ok(Some(link))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn step(&self, name: &OsStr, makes: bool) -> Result<File, Errno> {
        let open = || open_at(&self.here, name, STEP, Mode::empty()).map(File::from);
        match open() {
            Err(Errno::NOENT) if makes => {
                match fs::mkdirat(&self.here, name, OPEN_TO_ALL) {
                    // Another makes the same one.
                    Ok(()) | Err(Errno::EXIST) => open(),
                    Err(error) => Err(error),
                }
            }
            opened => opened,
        }
    }

    /// A link and where it leads, if it is one that may be followed.
    fn link(&self, name: &OsStr) -> Result<(File, PathBuf), Cause> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = File::from(open_at(&self.here, name, flags, Mode::empty())?);
        let about = link.metadata()?;
        if !about.is_symlink() {
            return Err(Errno::NOTDIR.into());
        }
        if !may_be_followed(&about, &self.here.metadata()?) {
            return Err(Cause::ForeignLink(name.into()));
        }
        // The link that was looked at, not what has its name by now.
        let target = fs::readlinkat(&link, "", Vec::new())?;
        let target = OsString::from_vec(target.into_bytes());
        Ok((link, target.into()))
    }
}

fn passed(path: &str) -> Result<File, Cause> {
    Ok(open_at(CWD, path, STEP, Mode::empty())?.into())
}

/// Root's and one's own links lead where their owner meant. Another user's does where nobody
/// else may write its folder: naming a path through it is trusting that user.
fn may_be_followed(link: &Metadata, folder: &Metadata) -> bool {
    let others = Mode::WGRP | Mode::WOTH;
    let is_closed = !Mode::from_raw_mode(folder.mode()).intersects(others);
    let is_own = link.uid() == rustix::process::geteuid().as_raw();
    link.uid() == 0 || is_own || (is_closed && link.uid() == folder.uid())
}
