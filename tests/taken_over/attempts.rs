//! What a decoder that was taken over would try: each attempt is one function over system calls.

use std::ffi::CString;

/// The number of an error, or that the attempt worked.
pub type Outcome = Result<(), i32>;

/// What an attempt is made on.
#[derive(Debug, Clone)]
pub struct Target {
    /// A file that this user owns.
    pub path: String,
    /// The process that started this one.
    pub parent: usize,
}

/// What comes of one in a confined process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It fails.
    Denied,
    /// It ends the process.
    Ended,
    /// It works.
    Allowed,
}

/// One attempt, and what comes of it.
pub struct Case {
    /// What is tried.
    pub name: &'static str,
    pub attempt: fn(&Target) -> Outcome,
    pub decoder: Fate,
    pub worker: Fate,
    /// Whether it works for whoever is not confined, wherever these tests run.
    pub works: bool,
}

impl Case {
    /// Whether it is to read beside the folder that a worker is given.
    pub fn is_elsewhere(&self) -> bool {
        [ELSEWHERE, OF_PARENT].contains(&self.name)
    }
}

const ELSEWHERE: &str = "read a file elsewhere";
const OF_PARENT: &str = "read what its parent was told";

/// A descriptor that whoever starts the decoder leaves open by mistake.
pub const LEAKED: usize = 200;

/// As a program that is run does nothing.
pub const QUIT: &str = "quit";

const DENIED: [Fate; 2] = [Fate::Denied; 2];
const ENDED: [Fate; 2] = [Fate::Ended; 2];

fn case(
    name: &'static str,
    [decoder, worker]: [Fate; 2],
    works: bool,
    attempt: fn(&Target) -> Outcome,
) -> Case {
    Case {
        name,
        attempt,
        decoder,
        worker,
        works,
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    let mut all = on_files();
    all.extend(on_others());
    all.extend(on_itself());
    all
}

fn on_files() -> Vec<Case> {
    use libc::{O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY};
    let to_read = [Fate::Denied, Fate::Allowed];
    vec![
        case("read a file", to_read, true, |on| open(&on.path, O_RDONLY)),
        case("list a folder", to_read, true, |on| {
            open(&folder_of(&on.path), O_RDONLY | O_DIRECTORY)
        }),
        case(ELSEWHERE, DENIED, true, |_| open("/etc/passwd", O_RDONLY)),
        case(OF_PARENT, DENIED, true, |on| {
            open(&format!("/proc/{}/cmdline", on.parent), O_RDONLY)
        }),
        case("write a file", DENIED, true, |on| open(&on.path, O_WRONLY)),
        case("make a file", DENIED, true, |on| {
            open(&format!("{}.new", on.path), O_WRONLY | O_CREAT)
        }),
        case("make a folder", DENIED, true, |on| {
            at(
                libc::SYS_mkdirat,
                &format!("{}.folder", on.path),
                [0o700, 0],
            )
        }),
        case("remove a file", DENIED, true, |on| {
            at(libc::SYS_unlinkat, &on.path, [0, 0])
        }),
        case("make a file readable", DENIED, true, |on| {
            at(libc::SYS_fchmodat, &on.path, [0o777, 0])
        }),
        case("shorten a file", DENIED, true, |on| {
            let path = c(&on.path);
            call(libc::SYS_truncate, &[path.as_ptr() as usize, 0]).map(drop)
        }),
        case("change the mode of its image", DENIED, true, |_| {
            call(libc::SYS_fchmod, &[0, 0o777]).map(drop)
        }),
        case("lock its image", DENIED, true, |_| {
            call(libc::SYS_flock, &[0, libc::LOCK_EX as usize]).map(drop)
        }),
        case("open its image to write", DENIED, true, |_| {
            open("/proc/self/fd/0", O_WRONLY)
        }),
        case("read what was left open", DENIED, true, |_| {
            let byte = [0_u8; 1];
            call(libc::SYS_read, &[LEAKED, byte.as_ptr() as usize, 1]).map(drop)
        }),
        case("write what was left open", DENIED, true, |_| {
            call(libc::SYS_write, &[LEAKED, b"x".as_ptr() as usize, 1]).map(drop)
        }),
    ]
}

fn on_others() -> Vec<Case> {
    use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM};
    vec![
        case("open a TCP socket", ENDED, true, |_| {
            socket(AF_INET, SOCK_STREAM)
        }),
        case("open a UDP socket", ENDED, true, |_| {
            socket(AF_INET, SOCK_DGRAM)
        }),
        case("open a local socket", ENDED, true, |_| {
            socket(AF_UNIX, SOCK_STREAM)
        }),
        case("signal its parent", ENDED, true, |on| {
            call(libc::SYS_kill, &[on.parent, 0]).map(drop)
        }),
        case("signal a thread of its parent", ENDED, true, |on| {
            call(libc::SYS_tgkill, &[on.parent, on.parent, 0]).map(drop)
        }),
        case("hold its parent", ENDED, false, |on| {
            call(libc::SYS_pidfd_open, &[on.parent, 0]).map(drop)
        }),
        case("trace its parent", ENDED, false, |on| {
            call(
                libc::SYS_ptrace,
                &[libc::PTRACE_SEIZE as usize, on.parent, 0, 0],
            )
            .map(drop)
        }),
        case("open its parent's memory", DENIED, false, |on| {
            open(&format!("/proc/{}/mem", on.parent), libc::O_RDWR)
        }),
        case("read its parent's memory", ENDED, false, |on| {
            memory_of(on.parent, libc::SYS_process_vm_readv)
        }),
        case("write its parent's memory", ENDED, false, |on| {
            memory_of(on.parent, libc::SYS_process_vm_writev)
        }),
    ]
}

fn on_itself() -> Vec<Case> {
    vec![
        case("start a process", ENDED, true, |_| {
            child(call(libc::SYS_clone, &[libc::SIGCHLD as usize, 0, 0, 0, 0]))
        }),
        case("start a process the new way", DENIED, false, |_| {
            let mut arguments = [0_u64; 8];
            arguments[4] = libc::SIGCHLD as u64;
            let size = size_of_val(&arguments);
            child(call(libc::SYS_clone3, &[arguments.as_ptr() as usize, size]))
        }),
        case("start a thread", [Fate::Ended, Fate::Allowed], true, |_| {
            let started = std::thread::Builder::new().spawn(|| {});
            let joined = started.map(|thread| thread.join().expect("it ends"));
            joined.map_err(|error| error.raw_os_error().unwrap_or(0))
        }),
        case("run a program", ENDED, true, |_| {
            let (program, word) = (c("/proc/self/exe"), c(QUIT));
            let arguments = [program.as_ptr(), word.as_ptr(), std::ptr::null()];
            let none: [*const libc::c_char; 1] = [std::ptr::null()];
            let arguments = [
                program.as_ptr() as usize,
                arguments.as_ptr() as usize,
                none.as_ptr() as usize,
            ];
            call(libc::SYS_execve, &arguments).map(drop)
        }),
        case("run memory that it wrote", DENIED, false, |_| {
            let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let arguments = [0, 4096, protection as usize, flags as usize, usize::MAX, 0];
            call(libc::SYS_mmap, &arguments).map(drop)
        }),
        case("make itself traceable", DENIED, true, |_| {
            call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 1]).map(drop)
        }),
        case("take more of the machine", DENIED, true, |_| {
            let limits = [8_u64, 8];
            let files = libc::RLIMIT_NOFILE as usize;
            call(
                libc::SYS_prlimit64,
                &[0, files, limits.as_ptr() as usize, 0],
            )
            .map(drop)
        }),
        case("become another user", DENIED, false, |_| {
            call(libc::SYS_setuid, &[0]).map(drop)
        }),
        case("make a namespace", ENDED, false, |_| {
            call(libc::SYS_unshare, &[libc::CLONE_NEWUSER as usize]).map(drop)
        }),
        case("ask by a ring", ENDED, false, |_| {
            let parameters = [0_u64; 15];
            call(libc::SYS_io_uring_setup, &[1, parameters.as_ptr() as usize]).map(drop)
        }),
    ]
}

fn c(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn folder_of(path: &str) -> String {
    let end = path.rfind('/').expect("an absolute path");
    path[..end].to_owned()
}

fn open(path: &str, flags: i32) -> Outcome {
    at(libc::SYS_openat, path, [flags as usize, 0o600])
}

/// A call on a path, from the folder of the process.
fn at(number: i64, path: &str, more: [usize; 2]) -> Outcome {
    let path = c(path);
    let folder = libc::AT_FDCWD as usize;
    call(number, &[folder, path.as_ptr() as usize, more[0], more[1]]).map(drop)
}

fn socket(family: i32, kind: i32) -> Outcome {
    call(libc::SYS_socket, &[family as usize, kind as usize, 0]).map(drop)
}

/// What was started ends at once.
fn child(started: Result<i64, i32>) -> Outcome {
    if started == Ok(0) {
        let _ = call(libc::SYS_exit, &[0]);
    }
    started.map(drop)
}

fn memory_of(pid: usize, number: i64) -> Outcome {
    let byte = [0_u8; 1];
    let place = [byte.as_ptr() as usize, 1];
    let place = place.as_ptr() as usize;
    match call(number, &[pid, place, 1, place, 1, 0]) {
        // Permitted, and nothing of the parent's lies there.
        Err(libc::EFAULT) => Ok(()),
        other => other.map(drop),
    }
}

/// A system call as it is: what it gives, or the number of its error.
fn call(number: i64, arguments: &[usize]) -> Result<i64, i32> {
    let argument = |i: usize| arguments.get(i).copied().unwrap_or(0);
    // SAFETY: every pointer that an attempt gives points to what outlives the call and is as
    // large as the call takes it to be; what a call changes beside is what is tested here.
    #[allow(unsafe_code)]
    let given = unsafe {
        libc::syscall(
            number,
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
        )
    };
    let error = || std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    if given < 0 { Err(error()) } else { Ok(given) }
}
