//! As much of the machine as a child may have: memory, processor time, files, processes.

use std::io::Result;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::Role;

/// Address space of a decoder.
pub const DECODER_MEMORY: u64 = 512 << 20;
/// Processor seconds of a decoder.
pub const DECODER_SECONDS: u64 = 20;
/// Open files of a decoder: its three streams, and one for what confines it.
const DECODER_FILES: u64 = 4;
/// Open files of a worker: graphs are mapped, a bundle's files are read one after the other.
const WORKER_FILES: u64 = 256;

/// Limits this process for good.
pub(super) fn set(role: Role) -> Result<()> {
    // A core dump would hold an image.
    bound(Resource::Core, 0)?;
    match role {
        Role::Decoder => {
            bound(Resource::As, DECODER_MEMORY)?;
            bound(Resource::Cpu, DECODER_SECONDS)?;
            bound(Resource::Fsize, 0)?;
            bound(Resource::Nofile, DECODER_FILES)?;
            // Root is not held by it: the filter of calls holds root as well.
            #[cfg(any(target_os = "linux", target_vendor = "apple"))]
            bound(Resource::Nproc, 0)?;
        }
        // Threads count as processes of its user, and what it reads into memory as a file.
        Role::Worker => bound(Resource::Nofile, WORKER_FILES)?,
    }
    Ok(())
}

/// The same in words.
pub(super) fn words(role: Role) -> String {
    match role {
        Role::Decoder => format!(
            "{} MiB of memory, {DECODER_SECONDS} s of processor time, no file, no process",
            DECODER_MEMORY >> 20
        ),
        Role::Worker => format!("{WORKER_FILES} open files"),
    }
}

/// One that was lower before stays so: nobody may raise a limit but root.
fn bound(resource: Resource, most: u64) -> Result<()> {
    let before = rustix::process::getrlimit(resource).maximum;
    let most = before.map_or(most, |before| before.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(resource, limit)?;
    Ok(())
}
