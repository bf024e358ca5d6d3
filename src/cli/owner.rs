//! Root becomes the owner of a state folder before a command touches what lies in it.
//!
//! The service's user may write its state folder, and put links and other files there. What
//! root does in it would be done with root's rights; as the owner, a command can do no more
//! than the service can itself. Called by every command that works on a state folder and is
//! not the device. Nothing changes for other users, or where the folder is root's own.

use std::fs::Metadata;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use medfocus::files::{Cause, Folder};

use super::Failure;

/// Who a process is to be.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
    /// Further groups that the user is in.
    groups: Vec<u32>,
}

/// Goes on as the owner of the folder, or of the nearest one above it that is there; where that
/// is root, as whoever else owns a folder or a link on the way.
pub fn become_owner_of(state: &Path) -> Result<(), Failure> {
    let Some(about) = anothers(state)? else {
        return Ok(());
    };
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
    let owner = Owner::of(about.uid(), about.gid(), &users, &groups);
    owner.become_it().map_err(|error| Failure::Device {
        code: "state",
        message: format!(
            "{}: root works in it as its owner, and cannot become user {}: {error}",
            state.display(),
            owner.user
        ),
        help: "run the command as the user that owns the state folder, as with sudo -u",
    })
}

/// Whether root works on what another user owns.
pub fn is_anothers(state: &Path) -> Result<bool, Failure> {
    anothers(state).map(|about| about.is_some())
}

fn anothers(state: &Path) -> Result<Option<Metadata>, Failure> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let way = Folder::way_to(state).map_err(|error| Failure::Device {
        code: "state",
        message: error.to_string(),
        help: match error.cause {
            Cause::Link | Cause::ForeignLink(_) => {
                "name the state folder by a path that no other user's link is part of"
            }
            _ => error.help(),
        },
    })?;
    // The last one is the folder itself; of those above it, the first decides the most.
    let (itself, above) = (way.last().into_iter(), way.iter());
    let mut of_another = itself.chain(above).filter(|about| about.uid() != 0);
    Ok(of_another.next().cloned())
}

impl Owner {
    /// The user of this number, as the system's files have it; where they do not, the user is
    /// in the folder's group alone.
    fn of(user: u32, folders_group: u32, users: &str, groups: &str) -> Self {
        let number = |text: Option<&str>| text?.parse::<u32>().ok();
        let line = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let (id, group) = (number(fields.nth(1))?, number(fields.next())?);
            (id == user).then_some((name, group))
        };
        let Some((name, group)) = users.lines().find_map(line) else {
            return Self {
                user,
                group: folders_group,
                groups: Vec::new(),
            };
        };
        let has = |line: &str| {
            let mut fields = line.split(':');
            let id = number(fields.nth(2))?;
            let is_in = fields.next()?.split(',').any(|member| member == name);
            is_in.then_some(id)
        };
        Self {
            user,
            group,
            groups: groups.lines().filter_map(has).collect(),
        }
    }

    /// The one place where the process gives up its rights, for good.
    fn become_it(&self) -> Result<(), Error> {
        // On Linux this counts for one thread, and for those that it starts afterwards.
        if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() != 1) {
            return Err(Error::other("other threads run already"));
        }
        let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
        let groups: Vec<Gid> = self.groups.iter().map(|id| Gid::from_raw(*id)).collect();
        // The user last: afterwards the groups could not be changed.
        set_thread_groups(&groups)?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
        if geteuid() != user || set_thread_res_uid(None, Uid::ROOT, None).is_ok() {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "root is still there",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_in_the_groups_that_the_system_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nmedfocus:x:990:991::/:/bin/false\nodd\n";
        let groups = "root:x:0:\ndialout:x:20:ann,medfocus\nvideo:x:44:medfocus2\nodd:x\n";
        let owner = Owner::of(990, 5, users, groups);
        assert_eq!(
            (owner.user, owner.group, owner.groups),
            (990, 991, vec![20])
        );
        let unknown = Owner::of(7, 5, users, groups);
        assert_eq!((unknown.group, unknown.groups), (5, Vec::new()));
    }
}
