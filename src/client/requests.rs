//! Who a client is, and the numbers of its requests: both drawn by chance, so that no client
//! is taken for another and no number is used twice. Used by every client of ours.

use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use crate::case::Identity;

/// Numbers begin below this one: there is room to count on for ever.
const BEGINNINGS: u64 = 1 << 62;

/// A client's identity, and the number that its next request has.
#[derive(Debug)]
pub struct Requests {
    identity: Identity,
    next: u64,
}

impl Requests {
    /// Draws both. The numbers are drawn as well since devices of before knew no identities.
    pub fn draw() -> Self {
        let chance = RandomState::new();
        let drawn = |what: &str| chance.hash_one((what, SystemTime::now(), std::process::id()));
        Self {
            identity: Identity(drawn("identity")),
            next: drawn("number") % BEGINNINGS,
        }
    }

    /// Who the client is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// A number that no request of this client had.
    pub fn next_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_clients_are_one_and_no_number_comes_twice() {
        let (mut one, mut other) = (Requests::draw(), Requests::draw());
        assert_ne!(one.identity(), other.identity());
        assert_ne!(one.next_number(), other.next_number());
        assert_ne!(one.next_number(), one.next_number());
    }
}
