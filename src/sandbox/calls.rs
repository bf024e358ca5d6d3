//! seccomp: the system calls that a child may make, of glibc and musl, on x86-64 and ARM.
//!
//! Two filters, of which the stricter counts. What is not on the list fails as a call that the
//! kernel does not have (ENOSYS), since that is what a C library expects of a call that is too
//! new, and goes on without: another version of the library must not end every image. Calls that
//! no decoder and no library makes by itself, and that whoever took one over needs (programs,
//! processes, sockets, other processes' memory and signals), end the process at once (SIGSYS):
//! it tries nothing else, and its parent says so.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

use super::{Holding, Role};

/// Rules by the number of a call; one without any holds whatever its arguments.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What everybody needs: the streams, memory, time, the end.
const EVERYBODY: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What a worker needs beside: threads, waiting for its pipe, reading the bundle.
const WORKER: &[i64] = &[
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_readlinkat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getrusage,
];

/// The same where x86-64 has an older call that musl still makes.
#[cfg(target_arch = "x86_64")]
const WORKER_OLD: &[i64] = &[
    libc::SYS_poll,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_dup2,
];
#[cfg(not(target_arch = "x86_64"))]
const WORKER_OLD: &[i64] = &[];

/// What ends the process that tries it.
const NEVER: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
];

/// The same where x86-64 has an older call.
#[cfg(target_arch = "x86_64")]
const NEVER_OLD: &[i64] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_OLD: &[i64] = &[];

/// From now on this thread, and those it starts, make no other calls.
pub(super) fn filter(role: Role) -> Holding {
    let (never, allowed) = match compiled(role) {
        Ok(programs) => programs,
        Err(error) => {
            return Holding::Nothing(format!("no filter of calls for this processor: {error}"));
        }
    };
    // The list comes last: it does not hold the call that sets a filter.
    for program in [never, allowed] {
        if let Err(error) = apply_filter(&program) {
            return Holding::Nothing(format!("no filter of calls: {error}"));
        }
    }
    Holding::Whole("no call but those that are needed (seccomp)".to_owned())
}

/// Both filters as the kernel takes them.
fn compiled(role: Role) -> Result<(BpfProgram, BpfProgram), BackendError> {
    let target = std::env::consts::ARCH.try_into()?;
    let enosys = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let (end, allow) = (SeccompAction::KillProcess, SeccompAction::Allow);
    let never = SeccompFilter::new(never_rules(role)?, allow.clone(), end, target)?;
    let allowed = SeccompFilter::new(allowed_rules(role)?, enosys, allow, target)?;
    Ok((never.try_into()?, allowed.try_into()?))
}

fn never_rules(role: Role) -> Result<Rules, BackendError> {
    let mut rules = whatever(&[NEVER, NEVER_OLD]);
    let process = match role {
        Role::Decoder => Vec::new(),
        Role::Worker => vec![rule(vec![bits(0, CLONE_THREAD, 0)?])?],
    };
    rules.insert(libc::SYS_clone, process);
    // A signal to another process; `abort` sends itself one.
    let other = || -> Result<_, BackendError> { rule(vec![word(0, SeccompCmpOp::Ne, own_pid())?]) };
    rules.insert(libc::SYS_tgkill, vec![other()?]);
    Ok(rules)
}

fn allowed_rules(role: Role) -> Result<Rules, BackendError> {
    let mut rules = whatever(&[EVERYBODY]);
    // Memory that is not run.
    rules.insert(libc::SYS_mmap, vec![rule(vec![bits(2, EXECUTE, 0)?])?]);
    rules.insert(libc::SYS_mprotect, vec![rule(vec![bits(2, EXECUTE, 0)?])?]);
    // `abort`, by glibc and by musl, whose only thread has the number of the process.
    let own = || -> Result<_, BackendError> { rule(vec![word(0, SeccompCmpOp::Eq, own_pid())?]) };
    rules.insert(libc::SYS_tgkill, vec![own()?]);
    rules.insert(libc::SYS_tkill, vec![own()?]);
    if role == Role::Worker {
        rules.extend(whatever(&[WORKER, WORKER_OLD]));
        rules.insert(
            libc::SYS_clone,
            vec![rule(vec![bits(0, CLONE_THREAD, CLONE_THREAD)?])?],
        );
        let named = word(
            0,
            SeccompCmpOp::Eq,
            libc::PR_SET_NAME.cast_unsigned().into(),
        )?;
        rules.insert(libc::SYS_prctl, vec![rule(vec![named])?]);
        // To read. Landlock says what; where the kernel has none, this is all that says anything.
        rules.insert(libc::SYS_openat, vec![rule(vec![bits(2, WRITING, 0)?])?]);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, vec![rule(vec![bits(1, WRITING, 0)?])?]);
    }
    Ok(rules)
}

const CLONE_THREAD: u64 = libc::CLONE_THREAD.cast_unsigned() as u64;
const EXECUTE: u64 = libc::PROT_EXEC.cast_unsigned() as u64;
/// Whatever opens a file to change it, or makes one.
const WRITING: u64 =
    (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND).cast_unsigned() as u64;

fn own_pid() -> u64 {
    std::process::id().into()
}

fn whatever(lists: &[&[i64]]) -> Rules {
    let all = lists.iter().copied().flatten();
    all.map(|call| (*call, Vec::new())).collect()
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions)
}

/// An argument of 32 bits, by its place.
fn word(place: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(place, SeccompCmpArgLen::Dword, how, value)
}

/// Whether the bits of a mask are these.
fn bits(place: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    word(place, SeccompCmpOp::MaskedEq(mask), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_filters_are_made_and_agree() {
        for role in [Role::Decoder, Role::Worker] {
            compiled(role).unwrap();
            let (never, allowed) = (never_rules(role).unwrap(), allowed_rules(role).unwrap());
            let of_both = never
                .iter()
                .filter(|(call, rules)| rules.is_empty() && allowed.contains_key(call));
            assert_eq!(
                of_both.count(),
                0,
                "{role:?}: allowed, and ends the process"
            );
        }
    }
}
