//! Who holds a connection to the device: each peer has a number of seats, all together have
//! one, and nobody holds a seat for ever.
//!
//! A source of connections takes a [`Seat`] before it reads a byte, says what its peer is
//! doing, and gives the seat up by dropping it. Where no seat is free, the one goes that its
//! peer makes least use of: it has asked nothing for longest. Where all are busy and the newcomer
//! has no seat yet, the peer that has most gives one up: that which brings least. Nobody loses its
//! only seat to that, so a few seats are kept for peers that are known by name. Nothing here
//! reads or writes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Result;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::device::lock::lock;
use crate::device::spawner::Spawner;

/// How often it is looked for connections whose time is over.
const LOOK: Duration = Duration::from_millis(500);

/// What a peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doing {
    /// It has asked nothing yet.
    Arriving,
    /// What it asked was answered; it may ask more.
    Idle,
    /// A request of it is coming or being answered.
    Busy,
}

/// How many may sit, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// All together.
    pub most: usize,
    /// Of one peer.
    pub most_of_one: usize,
    /// Until the first request, from the first byte to the last.
    pub arriving: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// One request.
    pub busy: Duration,
    /// All of it; a request that has begun may end.
    pub whole: Duration,
    /// One that was idle for less keeps its seat, though others want it.
    pub spared: Duration,
    /// Seats that only known peers take.
    pub kept: usize,
}

/// The seats, by peer.
#[derive(Debug)]
pub(crate) struct Seats<K> {
    bounds: Bounds,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    next: u64,
    places: BTreeMap<u64, Place<K>>,
}

/// A seat that is taken.
struct Place<K> {
    peer: K,
    is_known: bool,
    /// Bytes of images that came over it.
    brought: u64,
    began: Instant,
    doing: Doing,
    /// Since when it does that.
    beat: Instant,
    /// Ends the connection, whoever reads from it; taken once that was done.
    hang_up: Option<Box<dyn FnOnce() + Send>>,
}

/// A connection that may be there, until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat<K> {
    seats: Arc<Seats<K>>,
    number: u64,
}

impl<K: Clone + Ord + Send + fmt::Debug + 'static> Seats<K> {
    /// Seats that are looked after, on a thread of its own.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn new(bounds: Bounds, spawner: &Spawner) -> Result<Arc<Self>> {
        let seats = Arc::new(Self {
            bounds,
            taken: Mutex::new(Taken {
                next: 0,
                places: BTreeMap::new(),
            }),
        });
        let looked_after = Arc::downgrade(&seats);
        spawner.spawn("seats", move || {
            while let Some(seats) = looked_after.upgrade() {
                seats.clear(Instant::now());
                drop(seats);
                std::thread::sleep(LOOK);
            }
        })?;
        Ok(seats)
    }

    /// A seat for this peer, whose connection is ended by `hang_up`; `None` where there is none
    /// and all are made use of. The device's configuration or the system vouches for a known peer.
    pub fn take(
        self: &Arc<Self>,
        peer: K,
        is_known: bool,
        hang_up: impl FnOnce() + Send + 'static,
    ) -> Option<Seat<K>> {
        let now = Instant::now();
        let mut taken = lock(&self.taken);
        // Those that were told to go may not have gone yet: they are bounded as well.
        let own = taken.places.values().filter(|place| place.peer == peer);
        let are_too_many = own.count() >= 2 * self.bounds.most_of_one;
        if are_too_many || taken.places.len() >= 4 * self.bounds.most {
            return None;
        }
        while taken.of(&peer) >= self.bounds.most_of_one {
            taken.free(now, &self.bounds, |place| place.peer == peer)?;
        }
        let most_of_unknown = self.bounds.most.saturating_sub(self.bounds.kept);
        while !is_known && taken.unknown().count() >= most_of_unknown {
            taken.free_for(&peer, now, &self.bounds, |place| !place.is_known)?;
        }
        while taken.sitting().count() >= self.bounds.most {
            taken.free_for(&peer, now, &self.bounds, |_| true)?;
        }
        let number = taken.next;
        taken.next += 1;
        let place = Place {
            peer,
            is_known,
            brought: 0,
            began: now,
            doing: Doing::Arriving,
            beat: now,
            hang_up: Some(Box::new(hang_up)),
        };
        taken.places.insert(number, place);
        let seats = Arc::clone(self);
        Some(Seat { seats, number })
    }

    /// Ends all connections.
    pub fn hang_up_all(&self) {
        let mut taken = lock(&self.taken);
        let places = taken.places.values_mut();
        for hang_up in places.filter_map(|place| place.hang_up.take()) {
            hang_up();
        }
    }

    /// Ends connections whose time is over.
    fn clear(&self, now: Instant) {
        let mut taken = lock(&self.taken);
        for place in taken.places.values_mut() {
            if place.is_over(now, &self.bounds)
                && let Some(hang_up) = place.hang_up.take()
            {
                hang_up();
            }
        }
    }
}

impl<K: Clone + Ord> Taken<K> {
    /// Those that were not told to go.
    fn sitting(&self) -> impl Iterator<Item = (&u64, &Place<K>)> {
        let all = self.places.iter();
        all.filter(|(_, place)| place.hang_up.is_some())
    }

    fn unknown(&self) -> impl Iterator<Item = (&u64, &Place<K>)> {
        self.sitting().filter(|(_, place)| !place.is_known)
    }

    fn of(&self, peer: &K) -> usize {
        self.sitting()
            .filter(|(_, place)| place.peer == *peer)
            .count()
    }

    /// How many seats each peer has.
    fn by_peer(&self) -> BTreeMap<K, usize> {
        let mut seats = BTreeMap::new();
        for (_, place) in self.sitting() {
            *seats.entry(place.peer.clone()).or_default() += 1;
        }
        seats
    }

    /// Has one of those go for this peer: one that makes no use of its seat or, where the peer
    /// has no seat yet, one that makes use of it.
    fn free_for(
        &mut self,
        peer: &K,
        now: Instant,
        bounds: &Bounds,
        of: impl Fn(&Place<K>) -> bool,
    ) -> Option<()> {
        let freed = self.free(now, bounds, &of);
        freed.or_else(|| {
            let has_none = self.of(peer) == 0;
            has_none.then(|| self.free_of_most(now, of)).flatten()
        })
    }

    /// Has the one go of those that makes least use of its seat: of those that
    /// have asked nothing, then of those that were answered, and of these one of the peer that
    /// has most seats, and of its own the one that has been so for longest.
    fn free(
        &mut self,
        now: Instant,
        bounds: &Bounds,
        of: impl Fn(&Place<K>) -> bool,
    ) -> Option<()> {
        let seats = self.by_peer();
        let may_go = |place: &Place<K>| match place.doing {
            Doing::Arriving => true,
            Doing::Idle => place.since(now) >= bounds.spared,
            Doing::Busy => false,
        };
        let those = self
            .sitting()
            .filter(|(_, place)| may_go(place) && of(place));
        let use_of = |place: &Place<K>| {
            let seats = seats.get(&place.peer).copied().unwrap_or(0);
            (place.doing, Reverse(seats), place.beat)
        };
        let least = those.min_by_key(|(_, place)| use_of(place));
        let number = least.map(|(number, _)| *number)?;
        self.tell_to_go(number)
    }

    /// Has the one go of those that brings least of the peer that has most seats, if that has
    /// more than one; of two that bring as little, the one that came first.
    fn free_of_most(&mut self, now: Instant, of: impl Fn(&Place<K>) -> bool) -> Option<()> {
        let seats = self.by_peer();
        let seats_of = |place: &Place<K>| seats.get(&place.peer).copied().unwrap_or(0);
        let those = self
            .sitting()
            .filter(|(_, place)| of(place) && seats_of(place) > 1);
        let least =
            those.min_by_key(|(_, place)| (Reverse(seats_of(place)), place.rate(now), place.began));
        let number = least.map(|(number, _)| *number)?;
        self.tell_to_go(number)
    }

    fn tell_to_go(&mut self, number: u64) -> Option<()> {
        let hang_up = self.places.get_mut(&number)?.hang_up.take()?;
        hang_up();
        Some(())
    }
}

impl<K> Place<K> {
    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.beat)
    }

    /// Bytes of images in a second, since it came.
    fn rate(&self, now: Instant) -> u64 {
        self.brought / now.saturating_duration_since(self.began).as_secs().max(1)
    }

    fn is_over(&self, now: Instant, bounds: &Bounds) -> bool {
        let most = match self.doing {
            Doing::Arriving => bounds.arriving,
            Doing::Idle => bounds.idle,
            Doing::Busy => bounds.busy,
        };
        let is_long = now.saturating_duration_since(self.began) >= bounds.whole;
        self.since(now) >= most || (is_long && self.doing != Doing::Busy)
    }
}

impl<K> Seat<K> {
    /// Its peer does this now.
    pub fn turns(&self, doing: Doing) {
        let mut taken = lock(&self.seats.taken);
        if let Some(place) = taken.places.get_mut(&self.number)
            && place.doing != doing
        {
            (place.doing, place.beat) = (doing, Instant::now());
        }
    }
}

impl<K> Seat<K> {
    /// So many bytes of an image came.
    pub fn brings(&self, bytes: usize) {
        let mut taken = lock(&self.seats.taken);
        if let Some(place) = taken.places.get_mut(&self.number) {
            place.brought = place.brought.saturating_add(bytes as u64);
        }
    }
}

impl<K> Drop for Seat<K> {
    fn drop(&mut self) {
        lock(&self.seats.taken).places.remove(&self.number);
    }
}

impl<K: fmt::Debug> fmt::Debug for Place<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.peer, self.doing)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::device::running::threads::spawner;

    const BOUNDS: Bounds = Bounds {
        most: 4,
        most_of_one: 2,
        arriving: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        busy: Duration::from_secs(300),
        whole: Duration::from_secs(3600),
        spared: Duration::ZERO,
        kept: 0,
    };

    /// Seats, and the numbers of those that were told to go.
    struct DiskSpace {
        seats: Arc<Seats<&'static str>>,
        gone: Arc<Mutex<Vec<usize>>>,
    }

    impl DiskSpace {
        fn new(bounds: Bounds) -> Self {
            Self {
                seats: Seats::new(bounds, &spawner()).unwrap(),
                gone: Arc::default(),
            }
        }

        fn take(&self, number: usize, peer: &'static str) -> Option<Seat<&'static str>> {
            let gone = Arc::clone(&self.gone);
            let is_known = peer.starts_with("known");
            self.seats
                .take(peer, is_known, move || lock(&gone).push(number))
        }

        fn gone(&self) -> Vec<usize> {
            lock(&self.gone).clone()
        }
    }

    #[test]
    fn a_peer_with_too_many_loses_its_own_and_no_others() {
        let room = DiskSpace::new(BOUNDS);
        let _honest = room.take(0, "honest").unwrap();
        let mut slow = VecDeque::new();
        for number in 1..20 {
            slow.push_back(room.take(number, "slow").unwrap());
            // One that was told to go goes.
            while slow.len() > 2 {
                slow.pop_front();
            }
        }
        assert_eq!(room.gone(), (1..18).collect::<Vec<_>>(), "its oldest first");
        // Those that are told to go and do not are not without end either.
        let mut stuck = Vec::new();
        stuck.extend((20..99).map_while(|number| room.take(number, "stuck")));
        assert_eq!(stuck.len(), 4);
    }

    #[test]
    fn many_peers_that_ask_nothing_shut_nobody_out() {
        let room = DiskSpace::new(BOUNDS);
        let names = ["a", "b", "c", "d", "e", "f"];
        let seats: Vec<_> = (0..4).map(|n| room.take(n, names[n]).unwrap()).collect();
        seats[0].turns(Doing::Busy);
        seats[1].turns(Doing::Idle);
        let honest = room.take(4, "honest").unwrap();
        assert_eq!(room.gone(), [2], "the first that has asked nothing");
        honest.turns(Doing::Busy);
        let again = room.take(5, "honest").unwrap();
        again.turns(Doing::Busy);
        let _other = room.take(6, "other").unwrap();
        assert_eq!(room.gone(), [2, 3, 1]);
    }

    #[test]
    fn who_makes_use_of_a_seat_keeps_it() {
        let room = DiskSpace::new(BOUNDS);
        let names = ["a", "b", "c", "d"];
        let seats: Vec<_> = (0..4).map(|n| room.take(n, names[n]).unwrap()).collect();
        seats.iter().for_each(|seat| seat.turns(Doing::Busy));
        assert!(room.take(4, "late").is_none());
        drop(seats);
        assert!(room.take(5, "late").is_some());
        assert_eq!(room.gone(), [0_usize; 0]);
    }

    #[test]
    fn busy_ones_of_a_few_peers_shut_no_other_out() {
        // One that was answered a moment ago is spared, as one that asks for echoes is.
        for doing in [Doing::Busy, Doing::Idle] {
            let spared = Duration::from_secs(10);
            let room = DiskSpace::new(Bounds { spared, ..BOUNDS });
            let names = ["drips", "sends", "drips", "sends"];
            let seats: Vec<_> = (0..4).map(|n| room.take(n, names[n]).unwrap()).collect();
            for (seat, bytes) in seats.iter().zip([2, 900, 1, 800]) {
                seat.turns(doing);
                seat.brings(bytes);
            }
            let honest = room.take(4, "honest").unwrap();
            assert_eq!(room.gone(), [2], "{doing:?}: the one that brings least");
            honest.turns(doing);
            assert!(room.take(5, "drips").is_none(), "it has one");
            assert!(room.take(6, "honest").is_none(), "it has one");
            let late = room.take(7, "late").unwrap();
            late.turns(doing);
            assert_eq!(room.gone(), [2, 3], "of the one that has most");
            assert!(room.take(8, "later").is_none(), "nobody loses its only one");
        }
    }

    #[test]
    fn a_few_seats_are_kept_for_those_that_are_known() {
        let room = DiskSpace::new(Bounds { kept: 1, ..BOUNDS });
        let names = ["a", "b", "c"];
        let seats: Vec<_> = (0..3).map(|n| room.take(n, names[n]).unwrap()).collect();
        seats.iter().for_each(|seat| seat.turns(Doing::Busy));
        assert!(room.take(3, "d").is_none());
        let known = room.take(4, "known").unwrap();
        known.turns(Doing::Busy);
        assert!(room.take(5, "d").is_none());
        assert_eq!(room.gone(), [0_usize; 0]);
    }

    #[test]
    fn nobody_sits_for_ever() {
        for (doing, after, is_gone) in [
            (Doing::Arriving, 9, false),
            (Doing::Arriving, 10, true),
            (Doing::Idle, 59, false),
            (Doing::Idle, 60, true),
            (Doing::Busy, 299, false),
            (Doing::Busy, 300, true),
        ] {
            let room = DiskSpace::new(BOUNDS);
            let seat = room.take(7, "slow").unwrap();
            seat.turns(doing);
            room.seats
                .clear(Instant::now() + Duration::from_secs(after));
            assert_eq!(room.gone() == [7], is_gone, "{doing:?} {after}");
        }
        let whole = Duration::from_secs(5);
        let room = DiskSpace::new(Bounds { whole, ..BOUNDS });
        let seats = [room.take(0, "a").unwrap(), room.take(1, "b").unwrap()];
        seats[0].turns(Doing::Idle);
        seats[1].turns(Doing::Busy);
        room.seats.clear(Instant::now() + whole);
        assert_eq!(room.gone(), [0], "a request that has begun may end");
    }
}
