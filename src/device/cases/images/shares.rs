//! How much of the store is taken, and by whom: what lies there, and what was announced and
//! has not come yet. An image that is begun has its bytes from that moment on, so that many
//! that are begun at once never fill more than there is; and no giver has more than its share,
//! so that one that begins and never ends keeps out nobody else.
//!
//! Called by the store alone, under one lock. Removes nothing itself: it says what has to go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::case::Giver;

/// What the store may hold, in bytes.
pub(super) const STORE: u64 = 512 << 20;
/// What one giver may take of it.
pub(super) const SHARE: u64 = STORE / 2;
/// What beginnings of images that nobody sends now may take.
pub(super) const HALVES: u64 = 192 << 20;

/// A file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lying {
    pub path: PathBuf,
    pub bytes: u64,
    /// It is the beginning of an image.
    pub is_half: bool,
}

/// What an image finds no room in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Short {
    /// The store, whoever took it.
    Store,
    /// Its giver's share alone: others find room.
    Share,
}

/// Who takes what.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// What is being written, and how large it was announced.
    coming: BTreeMap<PathBuf, (Option<Giver>, u64)>,
    /// Who brought what lies here.
    owners: BTreeMap<PathBuf, Giver>,
}

impl Shares {
    /// Whether somebody writes this file now.
    pub fn is_coming(&self, path: &Path) -> bool {
        self.coming.contains_key(path)
    }

    /// This giver brought this file.
    pub fn own(&mut self, path: PathBuf, giver: Option<Giver>) {
        self.owners.extend(giver.map(|giver| (path, giver)));
    }

    /// A file of so many bytes is begun.
    pub fn begin(&mut self, path: PathBuf, giver: Option<Giver>, bytes: u64) {
        self.coming.insert(path, (giver, bytes));
    }

    /// It comes no more; what is left of it lies there now.
    pub fn end(&mut self, path: &Path, lies: &Path) {
        if let Some((giver, _)) = self.coming.remove(path) {
            self.own(lies.to_owned(), giver);
        }
    }

    /// Bytes that are taken, of what lies there and of what was announced.
    pub fn used(&self, lying: &[Lying]) -> u64 {
        let announced: u64 = self.coming.values().map(|(_, bytes)| bytes).sum();
        let others = lying.iter().filter(|file| !self.is_coming(&file.path));
        announced + others.map(|file| file.bytes).sum::<u64>()
    }

    /// Bytes that were announced and have not come.
    pub fn outstanding(&self, lying: &[Lying]) -> u64 {
        let announced: u64 = self.coming.values().map(|(_, bytes)| bytes).sum();
        let came = lying.iter().filter(|file| self.is_coming(&file.path));
        announced.saturating_sub(came.map(|file| file.bytes).sum())
    }

    /// What has to go before `size` bytes more of this giver are begun as `path`, of what lies
    /// there, those that were begun longest ago first; what is short where that is not enough.
    pub fn must_go(
        &mut self,
        lying: &[Lying],
        path: &Path,
        giver: Option<&Giver>,
        size: u64,
    ) -> Result<Vec<PathBuf>, Short> {
        self.owners
            .retain(|path, _| lying.iter().any(|file| file.path == *path));
        // What it goes on from is part of what was announced.
        let lies = |file: &&Lying| file.path != path && !self.is_coming(&file.path);
        let lying: Vec<&Lying> = lying.iter().filter(lies).collect();
        let is_own = |path: &Path| self.owners.get(path) == giver;
        let announced: u64 = self.coming.values().map(|(_, bytes)| bytes).sum();
        let of_giver = |(owner, _): &&(Option<Giver>, u64)| owner.as_ref() == giver;
        let own_announced: u64 = self.coming.values().filter(of_giver).map(|(_, b)| b).sum();
        let bytes = |files: &mut dyn Iterator<Item = &&Lying>| files.map(|f| f.bytes).sum::<u64>();
        let all = announced + bytes(&mut lying.iter());
        let own = own_announced + bytes(&mut lying.iter().filter(|file| is_own(&file.path)));
        let mut lacking = (all + size).saturating_sub(STORE);
        let mut own_lacking = (own + size).saturating_sub(SHARE);
        let mut gone = Vec::new();
        for half in lying.iter().filter(|file| file.is_half) {
            let is_own = is_own(&half.path);
            if lacking > 0 || (own_lacking > 0 && is_own) {
                lacking = lacking.saturating_sub(half.bytes);
                own_lacking = own_lacking.saturating_sub(if is_own { half.bytes } else { 0 });
                gone.push(half.path.clone());
            }
        }
        match (lacking, own_lacking) {
            (0, 0) => Ok(gone),
            (0, _) => Err(Short::Share),
            _ => Err(Short::Store),
        }
    }

    /// The beginnings of images that are too many, those that were begun longest ago first.
    pub fn too_many_halves(&self, lying: &[Lying]) -> Vec<PathBuf> {
        let halves = lying
            .iter()
            .filter(|file| file.is_half && !self.is_coming(&file.path));
        let halves: Vec<&Lying> = halves.collect();
        let mut bytes: u64 = halves.iter().map(|half| half.bytes).sum();
        let mut gone = Vec::new();
        for half in halves {
            if bytes > HALVES {
                bytes -= half.bytes;
                gone.push(half.path.clone());
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn file(name: &str, mib: u64, is_half: bool) -> Lying {
        Lying {
            path: name.into(),
            bytes: mib * MIB,
            is_half,
        }
    }

    fn user(number: u32) -> Option<Giver> {
        Some(Giver::User(number))
    }

    #[test]
    fn what_is_announced_counts_whether_it_has_come_or_not() {
        let mut shares = Shares::default();
        let mut begun = 0;
        for number in 0..12_u32 {
            let (path, giver) = (PathBuf::from(number.to_string()), user(number));
            if shares.must_go(&[], &path, giver.as_ref(), 96 * MIB).is_ok() {
                shares.begin(path, giver, 96 * MIB);
                begun += 1;
            }
        }
        assert_eq!(begun, 5, "480 of 512 MiB");
        // Half of one has come: nothing changes but what is outstanding.
        let lying = [file("0", 48, true)];
        assert_eq!(shares.used(&lying), 480 * MIB);
        assert_eq!(shares.outstanding(&lying), 432 * MIB);
        shares.end(Path::new("1"), Path::new("whole"));
        assert_eq!(shares.used(&lying), 384 * MIB);
    }

    #[test]
    fn one_giver_leaves_half_of_it_to_the_others() {
        let mut shares = Shares::default();
        let mut may = |number, name: &str| {
            let (path, giver) = (PathBuf::from(name), user(number));
            let gone = shares.must_go(&[], &path, giver.as_ref(), 96 * MIB);
            if gone.is_ok() {
                shares.begin(path, giver, 96 * MIB);
            }
            gone.map(|_| ())
        };
        assert_eq!([may(1, "a"), may(1, "b")], [Ok(()); 2]);
        assert_eq!(may(1, "c"), Err(Short::Share));
        assert_eq!([may(2, "d"), may(2, "e")], [Ok(()); 2]);
        assert_eq!(may(3, "f"), Ok(()), "480 of 512 MiB");
        assert_eq!(may(4, "g"), Err(Short::Store));
    }

    #[test]
    fn halves_go_first_and_the_oldest_of_them() {
        let mut shares = Shares::default();
        shares.begin("0".into(), user(1), 10 * MIB);
        let lying = [
            file("0", 5, true),
            file("1", 90, true),
            file("2", 90, true),
            file("3", 90, true),
            file("4", 90, false),
            file("5", 60, false),
        ];
        let gone = |shares: &mut Shares, size| {
            let gone = shares.must_go(&lying, Path::new("new"), user(2).as_ref(), size * MIB);
            gone.map(|gone| {
                gone.iter()
                    .map(|p| p.display().to_string())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(gone(&mut shares, 80), Ok(vec![]));
        assert_eq!(gone(&mut shares, 96), Ok(vec!["1".to_owned()]));
        assert_eq!(shares.too_many_halves(&lying), [PathBuf::from("1")]);
        // One that is gone on with does not count twice, and does not go.
        let again = shares.must_go(&lying, Path::new("1"), user(2).as_ref(), 96 * MIB);
        assert_eq!(again, Ok(vec![]));
    }

    proptest! {
        #[test]
        fn the_store_never_holds_more_than_it_may(
            steps in proptest::collection::vec((0_u32..4, 1_u64..97, any::<bool>()), 1..60),
        ) {
            let (mut shares, mut lying) = (Shares::default(), Vec::<Lying>::new());
            for (number, (of, mib, ends)) in steps.into_iter().enumerate() {
                let (path, giver) = (PathBuf::from(number.to_string()), user(of));
                if let Ok(gone) = shares.must_go(&lying, &path, giver.as_ref(), mib * MIB) {
                    lying.retain(|file| !gone.contains(&file.path));
                    shares.begin(path.clone(), giver, mib * MIB);
                    if ends {
                        lying.push(Lying { path: path.clone(), bytes: mib * MIB, is_half: number % 3 > 0 });
                        shares.end(&path, &path);
                    }
                }
                prop_assert!(shares.used(&lying) <= STORE);
                let own = |file: &&Lying| shares.owners.get(&file.path) == user(of).as_ref();
                let own: u64 = lying.iter().filter(own).map(|file| file.bytes).sum();
                prop_assert!(own <= SHARE);
            }
        }
    }
}
