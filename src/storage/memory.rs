//! A state folder in memory, for simulations: it fills up, it fails, and at a power cut it forgets
//! what nobody waited for.
//!
//! What outlasts a power cut is kept apart from what is read meanwhile. Bytes of a file outlast it
//! once the file was waited for, names once their folder was. Of all else chance decides: of bytes
//! block by block, of names in the order in which they were given. Where waiting fails, the bytes
//! may be lost although they are still read, and although the next wait succeeds, as on Linux.

mod chance;
mod file;
mod inode;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rustix::fs::Mode;

pub(crate) use chance::Chance;
use file::{MemoryDraft, MemoryFile};
use inode::Inode;

use super::{About, Area, Draft, Name, Open, Space, Storage};
use crate::clock::Clock;
use crate::files::{Cause, FileError, Result};

type Key = (Area, OsString);

/// What was done with names and is not on the disk.
#[derive(Debug, Clone)]
enum Change {
    Put(Key, usize),
    Take(Key),
    Move(Key, Key),
}

#[derive(Debug)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<Key, usize>,
    lasting_names: BTreeMap<Key, usize>,
    changes: Vec<Change>,
    capacity: u64,
    full_until: Option<Instant>,
    failing_until: Option<Instant>,
    /// Operations until the power goes; `None` where it stays.
    power: Option<u64>,
    chance: Chance,
    count: u64,
}

/// What happens when the power goes.
type PowerGone = Box<dyn Fn() + Send>;

/// A state folder in memory. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Memory {
    path: PathBuf,
    clock: Clock,
    state: Arc<Mutex<State>>,
    power_gone: Arc<Mutex<Option<PowerGone>>>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    pub fn of(capacity: u64, clock: Clock, seed: u64) -> Self {
        Self {
            path: PathBuf::from("/simulated"),
            clock,
            state: Arc::new(Mutex::new(State {
                inodes: Vec::new(),
                names: BTreeMap::new(),
                lasting_names: BTreeMap::new(),
                changes: Vec::new(),
                capacity,
                full_until: None,
                failing_until: None,
                power: None,
                chance: Chance::of(seed),
                count: 0,
            })),
            power_gone: Arc::default(),
        }
    }

    /// The disk takes nothing more until then.
    pub fn is_full_until(&self, then: Instant) {
        self.state().full_until = Some(then);
    }

    /// Waiting for the disk fails until then.
    pub fn fails_until(&self, then: Instant) {
        self.state().failing_until = Some(then);
    }

    /// The power goes after so many operations more; this is told then.
    pub fn power_goes_after(&self, operations: u64, told: impl Fn() + Send + 'static) {
        self.state().power = Some(operations);
        *self.power_gone.lock().unwrap() = Some(Box::new(told));
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.state().power == Some(0)
    }

    /// The power is gone and comes back: what outlasts it is there.
    pub fn power_cut(&self) {
        let mut state = self.state();
        let State {
            inodes,
            names,
            lasting_names,
            changes,
            chance,
            ..
        } = &mut *state;
        let kept = chance.below(changes.len() as u64 + 1) as usize;
        for change in changes.drain(..).take(kept) {
            change.apply(lasting_names);
        }
        names.clone_from(lasting_names);
        for inode in inodes {
            inode.cut(chance);
        }
        drop(state);
        self.is_well();
    }

    /// Nothing is in the way any more.
    pub fn is_well(&self) {
        let mut state = self.state();
        (state.power, state.full_until, state.failing_until) = (None, None, None);
        *self.power_gone.lock().unwrap() = None;
    }

    /// What would be there of a file, were the power cut now: what is sure of its last bytes.
    pub fn lasting(&self, name: Name<'_>, most: usize) -> Vec<u8> {
        let state = self.state();
        let inode = state.lasting_names.get(&(name.area, name.name.to_owned()));
        let lasting = inode.map_or(&[][..], |inode| &state.inodes[*inode].lasting);
        lasting[lasting.len().saturating_sub(most)..].to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// One more operation, where there is power for it.
    fn begin(&self) -> IoResult<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.count += 1;
        match &mut state.power {
            Some(0) => Err(Error::other("there is no power")),
            Some(1) => {
                state.power = Some(0);
                drop(state);
                if let Some(told) = self.power_gone.lock().unwrap().take() {
                    told();
                }
                Err(Error::other("the power went"))
            }
            Some(left) => {
                *left -= 1;
                Ok(state)
            }
            None => Ok(state),
        }
    }

    fn within<T>(
        &self,
        name: Name<'_>,
        work: impl FnOnce(&mut State, Key) -> IoResult<T>,
    ) -> Result<T> {
        let key = (name.area, name.name.to_owned());
        let done = self.begin().and_then(|mut state| work(&mut state, key));
        done.map_err(|error| self.failed(name, error))
    }

    fn failed(&self, name: Name<'_>, error: Error) -> FileError {
        let storage: &dyn Storage = self;
        storage.error(name, Cause::Io(error))
    }

    fn file(&self, inode: usize, appends: bool) -> Open {
        let disk = self.clone();
        Arc::new(MemoryFile {
            disk,
            inode,
            appends,
        })
    }

    fn is_over(&self, until: Option<Instant>) -> bool {
        until.is_none_or(|until| self.clock.now() >= until)
    }

    fn free(&self, state: &State) -> u64 {
        if !self.is_over(state.full_until) {
            return 0;
        }
        let mut used: Vec<usize> = state.names.values().copied().collect();
        used.sort_unstable();
        used.dedup();
        let used: u64 = used
            .iter()
            .map(|i| state.inodes[*i].bytes.len() as u64)
            .sum();
        state.capacity.saturating_sub(used)
    }

    /// Waits for a file.
    fn sync_file(&self, inode: usize) -> IoResult<()> {
        let mut state = self.begin()?;
        let fails = !self.is_over(state.failing_until);
        let State { inodes, chance, .. } = &mut *state;
        let inode = &mut inodes[inode];
        if fails {
            if chance.once_in(2) {
                inode.dirty.fill(false);
            }
            return Err(Error::other("the disk does not take it"));
        }
        inode.sync();
        Ok(())
    }
}

impl Change {
    fn apply(self, names: &mut BTreeMap<Key, usize>) {
        match self {
            Self::Put(key, inode) => {
                names.insert(key, inode);
            }
            Self::Take(key) => {
                names.remove(&key);
            }
            Self::Move(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
        }
    }

    fn is_in(&self, area: Area) -> bool {
        match self {
            Self::Put(key, _) | Self::Take(key) => key.0 == area,
            Self::Move(from, to) => from.0 == area || to.0 == area,
        }
    }
}

impl State {
    fn find(&self, key: &Key) -> IoResult<usize> {
        let found = self.names.get(key).copied();
        found.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.names);
        self.changes.push(change);
    }

    fn new_inode(&mut self) -> usize {
        self.inodes.push(Inode::default());
        self.inodes.len() - 1
    }

    fn about(&self, inode: usize) -> About {
        let Inode {
            bytes,
            modified,
            changes,
            ..
        } = &self.inodes[inode];
        About {
            place: (1, inode as u64),
            bytes: bytes.len() as u64,
            is_file: true,
            mode: Mode::RUSR | Mode::WUSR,
            modified: Some(*modified),
            changed: (1, i64::try_from(*changes).unwrap()),
        }
    }

    /// Names in a folder are on the disk, and all that was done before the last of them.
    fn sync(&mut self, area: Area) {
        let last = self.changes.iter().rposition(|change| change.is_in(area));
        let done = last.map_or(0, |last| last + 1);
        for change in self.changes.drain(..done) {
            change.apply(&mut self.lasting_names);
        }
    }
}

impl Storage for Memory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn make(&self, _: Area) -> Result<()> {
        Ok(())
    }

    fn names(&self, area: Area) -> Result<Vec<OsString>> {
        let all = self.within(area.named(""), |state, _| Ok(state.names.clone()))?;
        let inside = all.into_keys().filter(|(of, _)| *of == area);
        Ok(inside.map(|(_, name)| name).collect())
    }

    fn about(&self, name: Name<'_>) -> Result<About> {
        self.within(name, |state, key| Ok(state.about(state.find(&key)?)))
    }

    fn open(&self, name: Name<'_>) -> Result<Open> {
        let inode = self.within(name, |state, key| state.find(&key))?;
        Ok(self.file(inode, false))
    }

    fn append(&self, name: Name<'_>) -> Result<Open> {
        let inode = self.within(name, |state, key| {
            state.find(&key).or_else(|_| {
                let inode = state.new_inode();
                state.change(Change::Put(key, inode));
                Ok(inode)
            })
        })?;
        Ok(self.file(inode, true))
    }

    fn create(&self, name: Name<'_>) -> Result<Open> {
        let inode = self.within(name, |state, key| {
            if state.names.contains_key(&key) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let inode = state.new_inode();
            state.change(Change::Put(key, inode));
            Ok(inode)
        })?;
        Ok(self.file(inode, false))
    }

    fn draft(&self, _: Mode) -> Result<Box<dyn Draft>> {
        let name = Area::State.named("draft");
        let inode = self.within(name, |state, _| Ok(state.new_inode()))?;
        let disk = self.clone();
        Ok(Box::new(MemoryDraft { disk, inode }))
    }

    fn rename(&self, from: Name<'_>, to: Name<'_>) -> Result<()> {
        self.within(from, |state, key| {
            let to = (to.area, to.name.to_owned());
            // As the system has it: where both are names of one file, both stay.
            if state.find(&key)? != state.names.get(&to).copied().unwrap_or(usize::MAX) {
                state.change(Change::Move(key, to));
            }
            Ok(())
        })
    }

    fn rename_new(&self, from: Name<'_>, to: Name<'_>) -> Result<()> {
        match self.about(to) {
            Ok(_) => Err(self.failed(to, ErrorKind::AlreadyExists.into())),
            Err(_) => self.rename(from, to),
        }
    }

    fn link(&self, from: Name<'_>, to: Name<'_>) -> Result<()> {
        self.within(from, |state, key| {
            let (inode, to) = (state.find(&key)?, (to.area, to.name.to_owned()));
            if state.names.contains_key(&to) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.change(Change::Put(to, inode));
            Ok(())
        })
    }

    fn remove(&self, name: Name<'_>) -> Result<()> {
        self.within(name, |state, key| {
            state.find(&key)?;
            state.change(Change::Take(key));
            Ok(())
        })
    }

    fn sync(&self, area: Area) -> Result<()> {
        self.within(area.named(""), |state, _| {
            if !self.is_over(state.failing_until) {
                return Err(Error::other("the disk does not take it"));
            }
            state.sync(area);
            Ok(())
        })
    }

    fn space(&self) -> Option<Space> {
        let state = self.begin().ok()?;
        Some(Space {
            free: self.free(&state),
            total: state.capacity,
        })
    }

    fn is_there(&self) -> bool {
        self.begin().is_ok()
    }
}
