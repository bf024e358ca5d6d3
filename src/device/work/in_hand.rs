//! Which case a thread works on, so that the log can name it. Set by whoever runs a case, read by
//! the log. Of a case it holds the number alone.

use std::cell::Cell;

thread_local! {
    static CASE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// A case in a thread's hands, until this is dropped.
#[derive(Debug)]
pub(crate) struct InHand(Option<u64>);

/// This thread works on a case from now on.
pub(crate) fn take(case: u64) -> InHand {
    InHand(CASE.replace(Some(case)))
}

/// The case that this thread works on.
pub fn case() -> Option<u64> {
    CASE.get()
}

impl Drop for InHand {
    fn drop(&mut self) {
        CASE.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_in_hand_until_it_is_put_down() {
        assert_eq!(case(), None);
        let one = take(1);
        drop(take(2));
        assert_eq!(case(), Some(1));
        assert_eq!(std::thread::spawn(case).join().unwrap(), None);
        drop(one);
        assert_eq!(case(), None);
    }
}
