//! Whether the journal's file is still as the last write left it: its place, its length, and
//! when it was changed. What is in the way is kept as evidence, what is still known is put
//! back, and what was found is written down before anything else is.

use super::{Journal, settle};
use crate::journal::history::walk_with;
use crate::journal::mark::{Found, Marks};
use crate::journal::{
    Entry, FILE, History, How, JournalError, Place, evidence, failed, file as named, integrity,
};
use crate::storage::StoredFile;

impl Journal {
    /// Looks whether the file is as this journal left it, and deals with it where it is not.
    pub(super) fn look_at_file(&mut self) -> Result<(), JournalError> {
        if let Some(how) = self.found_how()? {
            self.take_stock(how)?;
        }
        if !self.marks.is_there()? {
            let place = self.place();
            self.marks = Marks::begin(&self.folder, &self.key, &Found::Nothing, self.case, place)?;
            self.found = Some(self.not_as_left(How::Unmarked, Some(place), place, None));
        }
        // Signed, and without looking once more.
        if let Some(found) = &self.found {
            let batch = self.batch(vec![found.clone()], true)?;
            self.commit(&batch, self.case, true)?;
            (self.found, self.unsigned) = (None, 0);
        }
        Ok(())
    }

    fn found_how(&mut self) -> Result<Option<How>, JournalError> {
        let file = self.file.get();
        let own = file.about().map_err(failed(&self.path))?;
        match self.folder.about(named(FILE)) {
            Ok(there) if there.place == own.place => {}
            Ok(_) => return Ok(Some(How::Replaced)),
            Err(error) if error.is_missing() => return Ok(Some(How::Missing)),
            Err(error) => return Err(error.into()),
        }
        if self.is_dirty {
            file.set_len(self.end).map_err(failed(&self.path))?;
            self.is_dirty = false;
            self.changed = self.changed_now();
            return Ok(None);
        }
        if own.bytes != self.end {
            let is_cut = own.bytes < self.end;
            return Ok(Some(if is_cut { How::Cut } else { How::Added }));
        }
        let changed = own.changed;
        if changed == self.changed {
            return Ok(None);
        }
        // Its rights or its owner may have been changed, which says nothing of its lines.
        let is_first = self.changed == (0, 0);
        self.changed = changed;
        let is_as_left = is_first || self.is_whole().map_err(failed(&self.path))?;
        Ok((!is_as_left).then_some(How::Changed))
    }

    /// Whether the file still holds the chain that ends where this journal left it.
    fn is_whole(&self) -> std::io::Result<bool> {
        let history = walk_with(&*self.file.get(), &mut |_| {})?;
        Ok((history.end, history.link) == (self.end, self.link))
    }

    /// The file is not as it was left: what is in the way is kept as evidence, what is still
    /// known is put back, and the chain goes on from what is there.
    fn take_stock(&mut self, how: How) -> Result<(), JournalError> {
        let left = self.place();
        let (history, kept) = self.put_in_order(how).map_err(failed(&self.path))?;
        (self.end, self.link) = (history.end, history.link);
        self.last = self.last.max(history.last);
        self.changed = self.changed_now();
        self.found = Some(self.not_as_left(how, Some(left), integrity::end_of(&history), kept));
        Ok(())
    }

    /// What the file holds by then, and the name of what was kept.
    fn put_in_order(&mut self, how: How) -> std::io::Result<(History, Option<String>)> {
        let mut kept = None;
        if matches!(how, How::Replaced | How::Missing) {
            kept = evidence::move_aside(&*self.folder, self.last)?;
            self.file
                .set(evidence::put_back(&*self.folder, &*self.file.get())?);
        }
        let file = self.file.get();
        let mut history = walk_with(&*file, &mut |_| {})?;
        // What somebody wrote behind the end may be lines like the journal's own.
        if history.end > self.end && self.holds_own_end(&*file)? {
            (history.end, history.last, history.link) = (self.end, self.last, self.link);
            history.ends = true;
        }
        if kept.is_none() {
            kept = evidence::keep_tail(&*self.folder, &*file, history.end, self.last)?;
        }
        settle(&*file, &history)?;
        Ok((history, kept))
    }

    /// Whether the chain goes through where this journal left it.
    fn holds_own_end(&self, file: &dyn StoredFile) -> std::io::Result<bool> {
        let mut is_held = self.last == 0;
        walk_with(file, &mut |step| {
            is_held |= step.number == self.last && step.links.contains(&self.link);
        })?;
        Ok(is_held)
    }

    pub(super) fn not_as_left(
        &self,
        how: How,
        left: Option<Place>,
        found: Place,
        evidence: Option<String>,
    ) -> Entry {
        log::error!("journal: {}; {}", how.what(), integrity::CURE);
        self.doubt.set(Some(how));
        Entry::NotAsLeft {
            how,
            left,
            found,
            evidence,
        }
    }
}
