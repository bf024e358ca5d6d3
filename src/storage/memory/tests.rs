use super::*;

fn memory(seed: u64) -> Memory {
    Memory::of(1 << 20, Clock::system(), seed)
}

/// All that may be there after a power cut.
fn outcomes(work: impl Fn(&Memory)) -> std::collections::BTreeSet<Option<String>> {
    let outcome = |seed| {
        let memory = memory(seed);
        work(&memory);
        memory.power_cut();
        let storage: &dyn Storage = &memory;
        let read = storage.read(Area::State.named("file"), 100).ok();
        read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    (0..200).map(outcome).collect()
}

#[test]
fn what_was_waited_for_outlasts_a_power_cut_and_nothing_else_is_sure() {
    let durable = outcomes(|memory| {
        let storage: &dyn Storage = memory;
        storage.replace("file", b"whole").unwrap();
    });
    assert_eq!(durable, [Some("whole".to_owned())].into());
    let append = |memory: &Memory| {
        let file = memory.append(Area::State.named("file")).unwrap();
        file.write_all_at(b"one", 0).unwrap();
        file
    };
    let unsure = outcomes(|memory| drop(append(memory)));
    assert!(unsure.contains(&None) && unsure.contains(&Some("one".to_owned())));
    assert!(
        unsure.contains(&Some("\0\0\0".to_owned())),
        "a block that never came"
    );
    let nameless = outcomes(|memory| append(memory).sync_data().unwrap());
    assert_eq!(nameless, [None, Some("one".to_owned())].into());
}

#[test]
fn bytes_that_could_not_be_waited_for_may_be_lost_though_the_next_wait_succeeds() {
    let found = outcomes(|memory| {
        let file = memory.append(Area::State.named("file")).unwrap();
        memory.sync(Area::State).unwrap();
        file.write_all_at(b"one", 0).unwrap();
        memory.fails_until(Instant::now() + std::time::Duration::from_secs(3600));
        file.sync_data().unwrap_err();
        memory.state().failing_until = None;
        file.sync_data().unwrap();
    });
    assert_eq!(
        found,
        [Some("\0\0\0".to_owned()), Some("one".to_owned())].into()
    );
}

#[test]
fn a_full_disk_takes_what_fits() {
    let memory = Memory::of(5, Clock::system(), 1);
    let file = memory.create(Area::State.named("file")).unwrap();
    file.write_all_at(b"four", 0).unwrap();
    let error = file.write_all_at(b"more", 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(file.about().unwrap().bytes, 5);
    file.write_all_at(b"over", 0).unwrap();
    assert_eq!(memory.space().unwrap().free, 0);
}
