//! How much of the machine a child may use: memory, processor time, files, processes. Set by the
//! child itself, before it reads what others sent; it can never raise them again.

use std::io::Result;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Holding, Role};

/// Address space of a decoder.
pub const DECODER_MEMORY: u64 = 512 << 20;
/// Processor seconds of a decoder.
pub const DECODER_SECONDS: u64 = 20;
/// Open files of a decoder: its three streams, and one for what confines it.
const DECODER_FILES: u64 = 4;
/// Open files of a worker: graphs are mapped, a bundle's files are read one after the other.
const WORKER_FILES: u64 = 256;

/// What a decoder is bound to.
const DECODER: &[(Resource, u64)] = &[
    // A core dump would hold an image.
    (Resource::Core, 0),
    (Resource::As, DECODER_MEMORY),
    (Resource::Cpu, DECODER_SECONDS),
    (Resource::Fsize, 0),
    (Resource::Nofile, DECODER_FILES),
    // Root is not held by it: the filter of calls holds root as well.
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    (Resource::Nproc, 0),
];
/// What a worker is: threads count as processes of its user, and what it reads into memory as a
/// file.
const WORKER: &[(Resource, u64)] = &[(Resource::Core, 0), (Resource::Nofile, WORKER_FILES)];

/// Limits this process for good, as far as the system lets it; says what holds.
pub(super) fn set(role: Role) -> Holding {
    let limits = match role {
        Role::Decoder => DECODER,
        Role::Worker => WORKER,
    };
    for (resource, most) in limits {
        if let Err(error) = bound(*resource, *most) {
            return Holding::Nothing(format!("limits cannot be set ({resource:?}): {error}"));
        }
    }
    Holding::Whole(words(role))
}

/// The same in words.
fn words(role: Role) -> String {
    match role {
        Role::Decoder => format!(
            "{} MiB of memory, {DECODER_SECONDS} s of processor time, no file, no process",
            DECODER_MEMORY >> 20
        ),
        Role::Worker => format!("{WORKER_FILES} open files"),
    }
}

/// Limits what this process may hold for good: what it writes to, on the heap or mapped for itself.
pub(super) fn memory(bytes: u64) -> Holding {
    let held = bound(Resource::Data, bytes);
    match held {
        Ok(()) => Holding::Whole(format!("{} MiB of memory", bytes >> 20)),
        Err(error) => Holding::Nothing(format!("memory cannot be limited: {error}")),
    }
}

/// One that was lower before stays so: nobody may raise a limit but root. The first one is to
/// none, for which nothing is asked: where the system forbids the call it forbids both.
fn bound(resource: Resource, most: u64) -> Result<()> {
    let most = match most {
        0 => 0,
        most => {
            let before = rustix::process::getrlimit(resource).maximum;
            before.map_or(most, |before| before.min(most))
        }
    };
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(resource, limit)?;
    Ok(())
}
