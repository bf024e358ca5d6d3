//! What the system tells of changes in a folder: when to look sooner, and which files
//! someone has open for writing. Network shares tell nothing and queues run over, so no
//! promise may rest on it.

pub(super) use system::Hint;

#[cfg(target_os = "linux")]
mod system {
    use std::collections::BTreeMap;
    use std::ffi::{OsStr, OsString};
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
    use rustix::io::Errno;

    /// A file counts as being written for so long after the last write of which no end was
    /// told: an end may be lost.
    const LONGEST_PAUSE: Duration = Duration::from_secs(60);

    /// How soon it is noticed that it is over.
    const PULSE: Duration = Duration::from_millis(500);

    /// A watch on one folder.
    pub struct Hint {
        system: OwnedFd,
        /// Files with a write and no end since, and when the last was.
        written: BTreeMap<OsString, Instant>,
    }

    impl Hint {
        /// Watches a folder, where the system can.
        pub fn of(folder: &Path) -> Option<Self> {
            let system = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            let told = WatchFlags::MODIFY
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::MOVED_FROM
                | WatchFlags::DELETE;
            add_watch(&system, folder, told | WatchFlags::ONLYDIR).ok()?;
            let written = BTreeMap::new();
            Some(Self { system, written })
        }

        /// Whether someone has the file open and wrote to it.
        pub fn is_written(&self, name: &OsStr) -> bool {
            let since = self.written.get(name);
            since.is_some_and(|since| since.elapsed() < LONGEST_PAUSE)
        }

        /// Waits so long, or until a file is complete or it is over; false where nothing will be
        /// told any more.
        pub fn wait(&mut self, patience: Duration, is_over: impl Fn() -> bool) -> bool {
            let begin = Instant::now();
            loop {
                let left = patience.saturating_sub(begin.elapsed());
                let Ok(turn) = Timespec::try_from(left.min(PULSE)) else {
                    return false;
                };
                let mut waiting = [PollFd::new(&self.system, PollFlags::IN)];
                match poll(&mut waiting, Some(&turn)) {
                    Ok(0) if left <= PULSE || is_over() => return true,
                    Ok(0) => continue,
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(_) => return false,
                }
                match self.hear() {
                    Heard::Nothing => {}
                    Heard::Complete => return true,
                    Heard::End => return false,
                }
            }
        }

        fn hear(&mut self) -> Heard {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = Reader::new(&self.system, &mut buffer);
            let mut heard = Heard::Nothing;
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::AGAIN) => return heard,
                    Err(Errno::INTR) => continue,
                    Err(_) => return Heard::End,
                };
                let what = event.events();
                if what.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
                    return Heard::End;
                }
                if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                    self.written.clear();
                    heard = Heard::Complete;
                }
                let Some(name) = event.file_name() else {
                    continue;
                };
                let name = OsStr::from_bytes(name.to_bytes());
                if what.contains(ReadFlags::MODIFY) {
                    self.written.insert(name.to_owned(), Instant::now());
                } else {
                    self.written.remove(name);
                    heard = Heard::Complete;
                }
            }
        }
    }

    enum Heard {
        Nothing,
        /// A file was closed, moved or deleted.
        Complete,
        /// The folder is gone.
        End,
    }

    #[cfg(test)]
    mod tests {
        use std::fs::File;
        use std::io::Write;

        use super::*;

        #[test]
        fn a_file_is_written_until_it_is_closed() {
            let folder = tempfile::tempdir().unwrap();
            let mut hint = Hint::of(folder.path()).unwrap();
            let name = OsStr::new("a.png");
            let mut file = File::create(folder.path().join(name)).unwrap();
            file.write_all(b"half").unwrap();
            assert!(hint.wait(Duration::ZERO, || false));
            // The event may take its time.
            while !hint.is_written(name) {
                assert!(hint.wait(Duration::from_millis(1), || false));
            }
            drop(file);
            assert!(hint.wait(Duration::from_secs(600), || false), "woken");
            assert!(!hint.is_written(name));
            drop(folder);
            while hint.wait(Duration::from_secs(600), || false) {}
        }

        #[test]
        fn it_waits_no_longer_than_the_device_lives() {
            let folder = tempfile::tempdir().unwrap();
            let mut hint = Hint::of(folder.path()).unwrap();
            let begin = Instant::now();
            assert!(hint.wait(Duration::from_secs(600), || true));
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::ffi::OsStr;
    use std::path::Path;
    use std::time::Duration;

    /// Nothing is told: there is none.
    pub enum Hint {}

    impl Hint {
        pub fn of(_: &Path) -> Option<Self> {
            None
        }

        pub fn is_written(&self, _: &OsStr) -> bool {
            match *self {}
        }

        pub fn wait(&mut self, _: Duration, _: impl Fn() -> bool) -> bool {
            match *self {}
        }
    }
}
