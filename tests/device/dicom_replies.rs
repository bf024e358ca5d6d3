//! `medfocus serve --dicom-port`: every request has a reply, and what cannot be read is refused
//! before anybody is told that it is stored.
#![cfg(target_os = "linux")]

use std::io::Write;

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject};
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::pdu::{PDataValueType, Pdu, UserVariableItem};

use crate::common::peer::{Peer, command, connect_from, data_of, instance, loopback};
use crate::common::{copy_of_starter, root};
use crate::dicom_network::Device;

const CLASS: &str = uids::SECONDARY_CAPTURE_IMAGE_STORAGE;

fn peer(device: &Device) -> Peer {
    Peer::associate(loopback(1), "UNIT", device.port).expect("let in")
}

/// C-STORE of these bytes as that object; the reply's status and its comment.
fn store(peer: &mut Peer, object: &DefaultDicomObject, data: &[u8]) -> (u16, String) {
    peer.begin_store(object).unwrap();
    peer.say(3, PDataValueType::Data, data, true).unwrap();
    let reply = peer.reply().expect("a reply");
    let status = reply.element(tags::STATUS).unwrap().to_int().unwrap();
    let comment = reply.element(tags::ERROR_COMMENT);
    let comment = comment.map_or_else(|_| String::new(), |it| it.to_str().unwrap().into_owned());
    (status, comment)
}

#[test]
fn what_cannot_be_read_is_refused_before_it_is_stored_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("metrics.prom");
    let metrics = metrics.display().to_string();
    let device = Device::start(folder.path(), &["--metrics", &metrics]);
    let mut peer = peer(&device);
    let whole = instance(1, "ROUTINE");
    let data = data_of(&whole);
    let cut = &data[..data.len() - 5000];
    let (status, comment) = store(&mut peer, &whole, cut);
    assert_eq!(
        (status, &comment[..11]),
        (0xc000, "unreadable:"),
        "{comment}"
    );
    let other = |tag, uid: &str| {
        let mut other = whole.clone();
        other.put(DataElement::new(tag, VR::UI, PrimitiveValue::from(uid)));
        data_of(&other)
    };
    for (tag, uid) in [
        (tags::SOP_CLASS_UID, uids::CT_IMAGE_STORAGE),
        (tags::SOP_INSTANCE_UID, "2.25.1"),
    ] {
        let (status, comment) = store(&mut peer, &whole, &other(tag, uid));
        assert_eq!(status, 0xa900);
        assert!(
            comment.contains("differs in command and data set"),
            "{comment}"
        );
    }
    let mut small = whole.clone();
    let rows = DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(9_u16));
    small.put(rows);
    assert_eq!(store(&mut peer, &small, &data_of(&small)).0, 0xc000);
    // What can be read is stored, on the same association.
    assert_eq!(store(&mut peer, &whole, &data), (0, String::new()));
    device.wait_for_answers(1);
    assert_eq!(
        device.journal("accepted").len(),
        1,
        "nothing else is a case"
    );
    device.wait_for_health("dicom_unread");
    let text = std::fs::read_to_string(&metrics).unwrap();
    for line in [
        "medfocus_dicom_refused_total{code=\"contradicted\"} 2",
        "medfocus_warning{code=\"dicom_unread\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let what = "an image of UNIT@127.0.0.1 is refused before it is stored: unreadable";
    assert!(log.contains(what), "{log}");
    assert!(!log.contains("2.25.4712") && !log.contains("ller"), "{log}");
}

#[test]
fn what_was_stored_without_a_look_and_cannot_be_read_is_told_by_its_case() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path(), &[]);
    // As one lies there that was stored while others were looked at, or by a program of before.
    let whole = std::fs::read(root().join("tests/vectors/dicom/patient.dcm")).unwrap();
    let name = format!("{}-{}-UNIT@127.0.0.1.dcm", "0".repeat(64), "1".repeat(64));
    let inbox = folder.path().join("state/dicom");
    std::fs::write(inbox.join("aside"), &whole[..whole.len() - 5000]).unwrap();
    std::fs::rename(inbox.join("aside"), inbox.join(name)).unwrap();
    let answered = device.wait_for_answers(1);
    assert_eq!(answered[0]["record"]["code"], "unreadable");
    device.wait_for_health("dicom_unread");
}

/// A command set of these elements.
fn set(elements: Vec<DataElement<InMemDicomObject>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    InMemDicomObject::command_from_element_iter(elements)
        .write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased())
        .unwrap();
    bytes
}

#[test]
fn every_request_has_a_reply_and_what_is_none_ends_the_association() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path(), &[]);
    let mut peer = peer(&device);
    const DATA: u16 = 0x0001;
    const NO_DATA: u16 = 0x0101;
    struct Case {
        what: &'static str,
        command: Vec<u8>,
        data: bool,
        status: u16,
    }
    for Case {
        what,
        command,
        data,
        status,
    } in [
        Case {
            what: "a store without a data set",
            command: command(CLASS, 0x0001, NO_DATA, Some("2.25.5")),
            data: false,
            status: 0xc000,
        },
        Case {
            what: "a store that names no instance",
            command: command(CLASS, 0x0001, DATA, None),
            data: true,
            status: 0x0117,
        },
        Case {
            what: "a class that was not agreed on",
            command: command(uids::CT_IMAGE_STORAGE, 0x0001, DATA, Some("2.25.5")),
            data: true,
            status: 0x0122,
        },
        Case {
            what: "C-FIND",
            command: command(CLASS, 0x0020, DATA, None),
            data: true,
            status: 0x0211,
        },
        Case {
            what: "N-ACTION without a data set",
            command: command(CLASS, 0x0130, NO_DATA, None),
            data: false,
            status: 0x0211,
        },
    ] {
        peer.say(3, PDataValueType::Command, &command, true)
            .unwrap();
        if data {
            peer.say(3, PDataValueType::Data, b"any", true).unwrap();
        }
        assert_eq!(peer.status(), Some(status), "{what}");
    }
    // What is never replied to is not.
    let cancel = set(vec![
        DataElement::new(
            tags::COMMAND_FIELD,
            VR::US,
            PrimitiveValue::from(0x0fff_u16),
        ),
        DataElement::new(
            tags::MESSAGE_ID_BEING_RESPONDED_TO,
            VR::US,
            PrimitiveValue::from(7_u16),
        ),
        DataElement::new(
            tags::COMMAND_DATA_SET_TYPE,
            VR::US,
            PrimitiveValue::from(NO_DATA),
        ),
    ]);
    peer.say(3, PDataValueType::Command, &cancel, true).unwrap();
    assert_eq!(peer.echo(), Some(0), "the association goes on");

    let object = instance(1, "ROUTINE");
    let begin = move |peer: &mut Peer| peer.begin_store(&object).unwrap();
    type Say = Box<dyn Fn(&mut Peer)>;
    let store = command(CLASS, 0x0001, DATA, Some("2.25.5"));
    let echo = command(uids::VERIFICATION, 0x0030, NO_DATA, None);
    let cases: [(&str, Say); 3] = [
        (
            "a data set without a command",
            Box::new(|peer| {
                peer.say(3, PDataValueType::Data, b"any", true).unwrap();
            }),
        ),
        (
            "what is no command",
            Box::new(move |peer| {
                peer.say(3, PDataValueType::Command, &store[..30], true)
                    .unwrap();
            }),
        ),
        (
            "a command in the middle of a data set",
            Box::new(move |peer| {
                begin(peer);
                peer.say(3, PDataValueType::Data, b"half", false).unwrap();
                peer.say(1, PDataValueType::Command, &echo, true).unwrap();
            }),
        ),
    ];
    for (what, say) in cases {
        let mut peer = Peer::associate(loopback(1), "UNIT", device.port).unwrap();
        say(&mut peer);
        let heard = peer.hear();
        assert!(
            matches!(heard, Some(Pdu::AbortRQ { .. })),
            "{what}: {heard:?}"
        );
    }
    // One that speaks no DICOM, or not what belongs there, is told so as well as DICOM can.
    for says in [&b"\x04\x00\x00\x00\x00\x00"[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = connect_from(loopback(1), device.port).unwrap();
        stream.write_all(says).unwrap();
        let mut heard = [0; 11];
        let count = std::io::Read::read(&mut stream, &mut heard);
        assert_eq!((count.unwrap(), heard[0]), (10, 7), "A-ABORT for {says:?}");
    }
    assert!(device.journal("accepted").is_empty());
}

#[test]
fn a_full_disk_the_safe_state_and_the_end_leave_no_store_without_a_word() {
    let object = instance(1, "ROUTINE");
    let data = data_of(&object);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[keep]\nfree_mib = 4294967295\n").unwrap();
    let full = Device::start(folder.path(), &["--config", &config.display().to_string()]);
    let (status, comment) = store(&mut peer(&full), &object, &data);
    assert_eq!(
        (status, comment.as_str()),
        (0xa700, "there is hardly any room left on the disk")
    );
    drop(full);

    let bundle = copy_of_starter();
    let head = bundle.path().join("heads/brain4.safetensors");
    let mut bytes = std::fs::read(&head).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&head, bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let safe = Device::start_on(folder.path(), bundle.path(), &[]);
    safe.wait_for_health("\"safe\"");
    assert_eq!(store(&mut peer(&safe), &object, &data).0, 0, "it is kept");

    // One in the middle of a data set, and one that is idle.
    let (mut half, mut idle) = (peer(&safe), peer(&safe));
    half.begin_store(&object).unwrap();
    half.say(3, PDataValueType::Data, &data[..100], false)
        .unwrap();
    let stopped = std::time::Instant::now();
    safe.stop();
    for peer in [&mut half, &mut idle] {
        // Where the program is gone before it can say so, the system closes the connection.
        let heard = peer.hear();
        assert!(
            matches!(heard, None | Some(Pdu::AbortRQ { .. })),
            "{heard:?}"
        );
    }
    let took = stopped.elapsed();
    assert!(took.as_secs() < 20, "peers were left waiting for {took:?}");
}

#[test]
fn a_peer_of_tiny_pieces_with_a_window_and_an_originator_stores() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path(), &[]);
    let said = vec![
        UserVariableItem::MaxLength(64),
        // Asynchronous operations, 8 of either: it is not taken up, and the default holds.
        UserVariableItem::Unknown(0x53, vec![0, 8, 0, 8]),
    ];
    let mut peer = Peer::associate_with(loopback(1), "UNIT", device.port, said).unwrap();
    let object = instance(1, "ROUTINE");
    let uid = |tag, value: &str| DataElement::new(tag, VR::UI, PrimitiveValue::from(value));
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let name = object.meta().media_storage_sop_instance_uid();
    let request = set(vec![
        uid(tags::AFFECTED_SOP_CLASS_UID, CLASS),
        number(tags::COMMAND_FIELD, 0x0001),
        number(tags::MESSAGE_ID, 7),
        number(tags::PRIORITY, 0),
        number(tags::COMMAND_DATA_SET_TYPE, 1),
        uid(tags::AFFECTED_SOP_INSTANCE_UID, name.trim_end_matches('\0')),
        DataElement::new(
            tags::MOVE_ORIGINATOR_APPLICATION_ENTITY_TITLE,
            VR::AE,
            PrimitiveValue::from("ROUTER"),
        ),
        number(tags::MOVE_ORIGINATOR_MESSAGE_ID, 3),
    ]);
    let data = data_of(&object);
    for (kind, bytes, size) in [
        (PDataValueType::Command, &request, 7),
        (PDataValueType::Data, &data, 100),
    ] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        for (number, piece) in pieces.iter().enumerate() {
            let is_last = number + 1 == pieces.len();
            peer.say(3, kind.clone(), piece, is_last).unwrap();
        }
    }
    let mut reply = Vec::new();
    loop {
        let Some(Pdu::PData { data }) = peer.hear() else {
            panic!("no reply");
        };
        let length: usize = data.iter().map(|value| 6 + value.data.len()).sum();
        assert!(length <= 64, "a PDU of {length}");
        let is_last = data.iter().any(|value| value.is_last);
        data.into_iter().for_each(|value| reply.extend(value.data));
        if is_last {
            break;
        }
    }
    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    let reply = InMemDicomObject::read_dataset_with_ts(&reply[..], &syntax).unwrap();
    assert_eq!(
        reply
            .element(tags::STATUS)
            .unwrap()
            .to_int::<u16>()
            .unwrap(),
        0
    );
    device.wait_for_answers(1);
}
