//! What the system tells of changes in a folder and those in it: when to look sooner, and which
//! files someone has open for writing. Network shares tell nothing and queues run over, so no
//! promise may rest on it.

pub(super) use system::Hint;

#[cfg(target_os = "linux")]
mod system {
    use std::collections::{BTreeMap, BTreeSet};
    use std::ffi::OsStr;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
    use rustix::io::Errno;

    /// A file counts as being written for so long after the last write of which no end was
    /// told: an end may be lost, and some scanners pause for minutes.
    const LONGEST_PAUSE: Duration = Duration::from_secs(600);

    /// How soon it is noticed that it is over.
    const PULSE: Duration = Duration::from_millis(500);

    /// A watch on a folder and folders in it.
    pub struct Hint {
        system: OwnedFd,
        folder: PathBuf,
        /// The folders by the system's numbers, and their ways within the first, which is empty.
        watched: BTreeMap<i32, PathBuf>,
        /// Files with a write and no end since, and when the last was.
        written: BTreeMap<PathBuf, Instant>,
    }

    impl Hint {
        /// Watches a folder, where the system can.
        pub fn of(folder: &Path) -> Option<Self> {
            let system = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            let mut hint = Self {
                system,
                folder: folder.to_owned(),
                watched: BTreeMap::new(),
                written: BTreeMap::new(),
            };
            hint.watch(Path::new(""))?;
            Some(hint)
        }

        /// Watches those of these folders within it that are not watched yet. Where the system has
        /// no more to give, looking is what counts.
        pub fn also(&mut self, folders: &[PathBuf]) {
            let known: BTreeSet<&PathBuf> = self.watched.values().collect();
            let new = folders.iter().filter(|way| !known.contains(way));
            let new: Vec<PathBuf> = new.cloned().collect();
            for way in new {
                if self.watch(&way).is_none() {
                    return;
                }
            }
        }

        fn watch(&mut self, way: &Path) -> Option<()> {
            let told = WatchFlags::MODIFY
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::MOVED_FROM
                | WatchFlags::DELETE
                | WatchFlags::CREATE;
            let place = self.folder.join(way);
            let safely = WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
            // The operator's own path may lead over a link.
            let how = match way.as_os_str().is_empty() {
                true => WatchFlags::ONLYDIR,
                false => safely,
            };
            let number = add_watch(&self.system, place, told | how).ok()?;
            self.watched.insert(number, way.to_owned());
            Some(())
        }

        /// Whether someone has the file open and wrote to it, as far as was told by now.
        pub fn is_written(&self, path: &Path, now: Instant) -> bool {
            let since = self.written.get(path);
            since.is_some_and(|since| now.saturating_duration_since(*since) < LONGEST_PAUSE)
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
                    match self.watched.remove(&event.wd()) {
                        // One within it is gone: it may come back.
                        Some(way) if !way.as_os_str().is_empty() => continue,
                        _ => return Heard::End,
                    }
                }
                if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                    self.written.clear();
                    heard = Heard::Complete;
                }
                let Some(name) = event.file_name() else {
                    continue;
                };
                let Some(way) = self.watched.get(&event.wd()) else {
                    continue;
                };
                let path = way.join(OsStr::from_bytes(name.to_bytes()));
                if what.contains(ReadFlags::MODIFY) {
                    self.written.insert(path, Instant::now());
                } else if !what.contains(ReadFlags::CREATE) || what.contains(ReadFlags::ISDIR) {
                    self.written.remove(&path);
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
        fn a_file_is_written_until_it_is_closed_however_long_it_pauses() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("one")).unwrap();
            let mut hint = Hint::of(folder.path()).unwrap();
            hint.also(&[PathBuf::new(), "one".into()]);
            for path in ["a.png", "one/a.png"].map(Path::new) {
                let mut file = File::create(folder.path().join(path)).unwrap();
                file.write_all(b"half").unwrap();
                assert!(hint.wait(Duration::ZERO, || false));
                // The event may take its time.
                while !hint.is_written(path, Instant::now()) {
                    assert!(hint.wait(Duration::from_millis(1), || false));
                }
                let after = |seconds| Instant::now() + Duration::from_secs(seconds);
                assert!(hint.is_written(path, after(300)), "a scanner that pauses");
                assert!(!hint.is_written(path, after(601)), "an end may be lost");
                drop(file);
                assert!(hint.wait(Duration::from_secs(600), || false), "woken");
                assert!(!hint.is_written(path, Instant::now()));
            }
            std::fs::remove_dir_all(folder.path().join("one")).unwrap();
            assert!(
                hint.wait(Duration::from_secs(600), || false),
                "the other is still watched"
            );
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
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    /// Nothing is told: there is none.
    pub enum Hint {}

    impl Hint {
        pub fn of(_: &Path) -> Option<Self> {
            None
        }

        pub fn also(&mut self, _: &[PathBuf]) {
            match *self {}
        }

        pub fn is_written(&self, _: &Path, _: Instant) -> bool {
            match *self {}
        }

        pub fn wait(&mut self, _: Duration, _: impl Fn() -> bool) -> bool {
            match *self {}
        }
    }
}
