//! The real core in a simulated world: journal, cases, queue, supervisor, image store, retention
//! and outbox run on one thread, with a clock that moves only when somebody waits, a state folder
//! in memory that fills up, fails and loses its power, and workers that crash, hang and lie.
//!
//! Whoever gives images and takes answers ([`World`]) takes down what it was told. After each step,
//! and after each start, that is compared with what the device says now:
//!
//! - what was told was on the disk before it was told;
//! - a case that was accepted is there after every power cut, and so is its image while it waits;
//! - a case has one answer, which is about the image that was accepted and never changes;
//! - what was delivered and confirmed is not delivered again, and nothing that is owed is lost;
//! - the journal verifies, and no accident is taken for what a person did.
//!
//! The same seed does the same. `MEDFOCUS_SIMULATION_SEEDS=1000` tries so many,
//! `MEDFOCUS_SIMULATION_SEED=7` that one alone.

mod told;
mod worker;
mod world;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use told::Told;
use worker::Simulated as Workers;
use world::{World, outline};

use crate::bundle::Trust;
use crate::clock::simulated::Simulated;
use crate::device::work::supervisor::Supervisor;
use crate::storage::memory::{Chance, Memory};

/// Seeds that are tried where nobody says how many.
const SEEDS: u64 = 5;
/// Steps of one seed.
const STEPS: u64 = 1500;
/// Bytes of the disk.
const DISK: u64 = 24 << 20;

/// The world, which a worker acts in as well while a case runs.
type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

#[test]
fn nothing_that_was_told_is_lost_whatever_fails() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seeds = match number("MEDFOCUS_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MEDFOCUS_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        simulate(seed);
    }
}

fn simulate(seed: u64) {
    let time = Simulated::beginning_at("2026-11-26T00:00:00Z".parse().unwrap());
    let world = Arc::new(Mutex::new(World {
        seed,
        chance: Chance::of(seed),
        memory: Memory::of(DISK, time.clock(), seed),
        time,
        running: None,
        told: Told::default(),
        is_calm: false,
    }));
    let mut supervisor = start(&world);
    for _ in 0..STEPS {
        supervisor = step(&world, supervisor);
    }
    come_to_rest(&world, supervisor);
}

/// One thing happens, and what was told still holds.
fn step(world: &Shared, mut supervisor: Supervisor) -> Supervisor {
    let what = lock(world).chance.below(100);
    match what {
        0..35 => supervisor.turn(),
        35 => return restart(world, supervisor, false),
        36 => return restart(world, supervisor, true),
        _ => act(world),
    }
    let is_off = {
        let mut world = lock(world);
        world.hear();
        world.memory.is_off()
    };
    match is_off {
        true => restart(world, supervisor, false),
        false => supervisor,
    }
}

/// The device ends, be it in order, and is started again.
fn restart(world: &Shared, supervisor: Supervisor, in_order: bool) -> Supervisor {
    drop(supervisor);
    {
        let mut world = lock(world);
        world.hear();
        let running = world.running.take().unwrap();
        let lifecycle = running.cases.lifecycle();
        lifecycle.switch_off();
        if in_order {
            running.cases.sign_off();
        }
        assert_eq!(Arc::strong_count(&running.cases), 1, "nobody else holds it");
        drop(running);
        // A process that was killed leaves its writes to the system; power that went does not.
        match world.memory.is_off() || world.chance.once_in(2) {
            true => world.memory.power_cut(),
            false => world.memory.is_well(),
        }
    }
    start(world)
}

/// Starts the device, again and again where its disk does not let it.
fn start(world: &Shared) -> Supervisor {
    for _ in 0..200 {
        let opened = lock(world).open();
        if opened {
            let cases = Arc::clone(&lock(world).running().cases);
            let workers = Box::new(Workers::of(world));
            let look_around = Box::new(Vec::new);
            let folder = PathBuf::from("/simulated/bundle");
            return Supervisor::new(cases, workers, Trust::default(), look_around, folder);
        }
        let world = lock(world);
        if world.memory.is_off() {
            world.memory.power_cut();
        }
        world.time.clock().sleep(Duration::from_secs(60));
    }
    panic!("seed {}: it does not start", lock(world).seed);
}

/// Somebody gives, takes or asks something, or something fails.
fn act(world: &Shared) {
    let world = &mut *lock(world);
    if world.is_calm {
        return;
    }
    match world.chance.below(100) {
        0..35 => world.give(),
        35..60 => world.deliver(),
        60..66 => world.take_by_link(),
        66..70 => world.abort(),
        70..75 => world.run_again(),
        75..90 => world.cases().keep_once(),
        90..94 => {
            let most = [1, 60, 3600, 40 * 86_400][world.chance.below(4) as usize];
            let seconds = world.chance.below(most);
            world.time.clock().sleep(Duration::from_secs(seconds));
        }
        94 => {
            let (wall, hours) = (world.time.clock().wall(), world.chance.below(2000));
            let hours = Duration::from_secs(hours * 3600);
            let is_back = world.chance.once_in(2);
            world
                .time
                .set_wall(if is_back { wall - hours } else { wall + hours });
        }
        95..97 => {
            let then = world.soon(600);
            world.memory.is_full_until(then);
        }
        97 => {
            let then = world.soon(20);
            world.memory.fails_until(then);
        }
        _ => {
            let lifecycle = Arc::clone(world.cases().shared_lifecycle());
            let operations = 1 + world.chance.below(60);
            world
                .memory
                .power_goes_after(operations, move || lifecycle.cut());
        }
    }
    world.hear();
}

/// Nothing fails any more: everything comes to its end.
fn come_to_rest(world: &Shared, supervisor: Supervisor) {
    lock(world).calm_down();
    let mut supervisor = restart(world, supervisor, true);
    for _ in 0..20_000 {
        {
            let mut world = lock(world);
            world.hear();
            if world.has_come_to_rest() {
                break;
            }
            world.deliver();
        }
        supervisor.turn();
    }
    drop(restart(world, supervisor, true));
    lock(world).check_rest();
}
