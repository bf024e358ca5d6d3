//! What two configurations say differently: two [`Config`]s come in, the names of the keys come out,
//! apart by whether a running device takes them up. Called when a device reads its configuration
//! again. Changes nothing.

use super::{
    Archive, BundleChoice, Config, Console, Device, Dicom, Folder, Keep, Queue, Receiver, Socket,
    Telling,
};

/// Keys whose new value a running device takes up.
pub(super) const WHILE_RUNNING: [&str; 7] = [
    "bundle.folder",
    "bundle.keys",
    "bundle.require_signature",
    "bundle.revoked",
    "queue.most_waiting",
    "queue.most_of_one",
    "queue.most_refused",
];

/// The keys that two configurations differ in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Those that a running device takes up.
    pub running: Vec<String>,
    /// Those that wait for its next start.
    pub at_next_start: Vec<String>,
}

/// Notes the keys of a section that differ. All of its fields are named: the compiler sees to it
/// that none is forgotten.
macro_rules! section {
    ($differing:ident, $old:ident.$section:ident vs $new:ident, $type:ident { $($key:ident),* }) => {{
        let $type { $($key),* } = &$old.$section;
        $(if *$key != $new.$section.$key {
            $differing.push(concat!(stringify!($section), ".", stringify!($key)));
        })*
    }};
}

impl Config {
    /// What another configuration says otherwise; a section that may come several times
    /// counts as one key.
    pub fn changes(&self, new: &Self) -> Changes {
        let keys = differing(self, new).into_iter().map(str::to_owned);
        let (running, at_next_start) = keys.partition(|key| WHILE_RUNNING.contains(&key.as_str()));
        Changes {
            running,
            at_next_start,
        }
    }
}

/// The keys that differ, in the order of the configuration's fields.
fn differing(old: &Config, new: &Config) -> Vec<&'static str> {
    let Config {
        device: _,
        bundle: _,
        queue: _,
        console: _,
        serial,
        display,
        folder,
        socket: _,
        dicom: _,
        health: _,
        keep: _,
        results: _,
        hl7: _,
        pacs: _,
    } = old;
    let mut found = Vec::new();
    section!(found, old.device vs new, Device { state, language, threads, memory_mib, deadline_s });
    section!(found, old.bundle vs new, BundleChoice { folder, keys, require_signature, revoked });
    section!(found, old.queue vs new, Queue { most_waiting, most_of_one, most_refused });
    section!(found, old.console vs new, Console { folders });
    found.extend((*serial != new.serial).then_some("serial"));
    found.extend((*display != new.display).then_some("display"));
    found.extend((*folder != new.folder).then_some("folder"));
    section!(found, old.socket vs new, Socket { enabled, path, mode, group });
    section!(found, old.dicom vs new, Dicom {
        port, bind, title, allow, open, hurry, most_per_address, idle_s, instance_s,
        association_s, exam
    });
    section!(found, old.health vs new, Telling { file, metrics, mode, group });
    section!(found, old.keep vs new, Keep { images_days, images_mib, undelivered_days, free_mib });
    section!(found, old.results vs new, Folder { folder, write, deidentify, mode, group });
    section!(found, old.hl7 vs new, Receiver { to, deidentify });
    section!(found, old.pacs vs new, Archive { to, deidentify });
    found
}
