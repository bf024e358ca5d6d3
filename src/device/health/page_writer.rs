//! Writes a text on a thread of its own, so that a folder which does not answer keeps nobody
//! waiting: the newest text goes in, and older ones that were not written yet are left out.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::device::lock::lock;
use crate::device::spawner::Spawner;

/// Hands texts to whoever writes them.
#[derive(Debug, Clone)]
pub(super) struct PageWriter {
    desk: Arc<Desk>,
}

#[derive(Debug, Default)]
struct Desk {
    turn: Mutex<Turn>,
    changed: Condvar,
}

/// What is to be written, and how far it is.
#[derive(Debug, Default)]
struct Turn {
    newest: Option<String>,
    is_over: bool,
    has_ended: bool,
}

impl PageWriter {
    /// How long the end is waited for.
    pub const PATIENCE: Duration = Duration::from_secs(1);

    /// Begins with what writes a text, and takes away what it wrote where there is none any more.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn begin(
        spawner: &Spawner,
        mut write: impl FnMut(Option<String>) -> std::io::Result<()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let desk = Arc::<Desk>::default();
        let own = Arc::clone(&desk);
        spawner.spawn("metrics", move || {
            let mut failed = false;
            while let Some(text) = own.next() {
                let wrote = write(Some(text));
                if let Err(error) = &wrote
                    && !failed
                {
                    log::warn!("the device's metrics cannot be written: {error}");
                }
                failed = wrote.is_err();
            }
            // What stays is old before long.
            let _ = write(None);
            lock(&own.turn).has_ended = true;
            own.changed.notify_all();
        })?;
        Ok(Self { desk })
    }

    /// Has a text written, in place of one that waits.
    pub fn write(&self, text: String) {
        lock(&self.desk.turn).newest = Some(text);
        self.desk.changed.notify_all();
    }

    /// Has what was written taken away, and nothing written any more. Waits for it, but not for
    /// long.
    pub fn end(&self) {
        let mut turn = lock(&self.desk.turn);
        turn.is_over = true;
        self.desk.changed.notify_all();
        let goes_on = |turn: &mut Turn| !turn.has_ended;
        let changed = &self.desk.changed;
        drop(changed.wait_timeout_while(turn, Self::PATIENCE, goes_on));
    }
}

impl Desk {
    /// The next text; `None` at the end.
    fn next(&self) -> Option<String> {
        let waits = |turn: &mut Turn| turn.newest.is_none() && !turn.is_over;
        let turn = self.changed.wait_while(lock(&self.turn), waits);
        let mut turn = turn.unwrap_or_else(PoisonError::into_inner);
        if turn.is_over {
            return None;
        }
        turn.newest.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;
    use crate::device::running::threads::spawner;

    #[test]
    fn the_newest_text_is_written_and_taken_away_at_the_end() {
        let (tell, told) = channel();
        let writer = PageWriter::begin(&spawner(), move |text| {
            tell.send(text).unwrap();
            Ok(())
        })
        .unwrap();
        writer.write("one".to_owned());
        assert_eq!(told.recv().unwrap().as_deref(), Some("one"));
        writer.write("two".to_owned());
        assert_eq!(told.recv().unwrap().as_deref(), Some("two"));
        writer.end();
        assert_eq!(told.try_recv().unwrap(), None);
    }

    #[test]
    fn a_folder_that_does_not_answer_keeps_nobody_waiting() {
        let (begin, begun) = channel();
        let (_hangs, never) = channel::<()>();
        let writer = PageWriter::begin(&spawner(), move |_| {
            begin.send(()).unwrap();
            let _ = never.recv();
            Ok(())
        })
        .unwrap();
        writer.write("one".to_owned());
        begun.recv().unwrap();
        let before = Instant::now();
        for _ in 0..100 {
            writer.write("more".to_owned());
        }
        assert!(before.elapsed() < PageWriter::PATIENCE);
        writer.end();
        assert!(before.elapsed() < 2 * PageWriter::PATIENCE);
    }
}
