//! The other ends of a device's sinks: a receiver of HL7 messages and an archive, over real
//! sockets. Each comes and goes on a port that stays its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::association::server::{ServerAssociation, ServerAssociationOptions};
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu};

/// A port that nobody answers on: none that a system gives to whoever connects somewhere, and
/// another each time.
pub fn dead_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let mine = std::process::id().wrapping_mul(31) as u16;
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + mine.wrapping_add(next) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The port, once nobody has it: a program that another test begins has all that is open here,
/// until it is a program of its own.
fn bind(port: u16) -> TcpListener {
    let begin = Instant::now();
    loop {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => return listener,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(20), "{port}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Takes up every connection on the port, one after the other, until the test ends; what
/// `serve` gives for each can be waited for.
pub fn listen<T: Send + 'static>(
    port: u16,
    mut serve: impl FnMut(TcpStream, &Sender<T>) + Send + 'static,
) -> Receiver<T> {
    let listener = bind(port);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.expect("a connection"), &sender);
        }
    });
    receiver
}

/// An HL7 receiver: gives every message, and answers with what `answer` makes of it, or
/// not at all.
pub fn hl7(
    port: u16,
    mut answer: impl FnMut(&str) -> Option<String> + Send + 'static,
) -> Receiver<String> {
    listen(port, move |stream, messages| {
        let Some(message) = read_frame(&stream) else {
            return;
        };
        let answer = answer(&message);
        messages.send(message).expect("the test waits");
        match answer {
            Some(answer) => write!(&stream, "\x0b{answer}\x1c\r").expect("sent"),
            // Silence until the other end goes.
            None => drop((&stream).read(&mut [0])),
        }
    })
}

/// An HL7 receiver whose answers are bytes of any form: gives every message. It does not hang up
/// before the other end does.
pub fn hl7_bytes(
    port: u16,
    mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static,
) -> Receiver<String> {
    listen(port, move |mut stream, messages| {
        let Some(message) = read_frame(&stream) else {
            return;
        };
        stream.write_all(&answer(&message)).expect("sent");
        messages.send(message).expect("the test waits");
        drop(stream.read(&mut [0]));
    })
}

fn read_frame(stream: &TcpStream) -> Option<String> {
    let mut frame = Vec::new();
    BufReader::new(stream).read_until(0x1c, &mut frame).ok()?;
    let message = frame.strip_prefix(b"\x0b")?.strip_suffix(b"\x1c")?;
    Some(String::from_utf8(message.to_vec()).expect("UTF-8"))
}

/// The acknowledgement of a message by this code.
pub fn acknowledgement(code: &str, message: &str) -> String {
    let control = control_id(message);
    format!("MSH|^~\\&|LIS|LAB|MEDFOCUS||20260101||ACK^R01|1|P|2.5.1\rMSA|{code}|{control}\r")
}

/// A message's control id.
pub fn control_id(message: &str) -> &str {
    message.split('|').nth(9).expect("a header")
}

/// An archive: gives class and instance of every object that it stored.
pub fn archive(port: u16) -> Receiver<(String, String)> {
    listen(port, |stream, stored| {
        let mut options = ServerAssociationOptions::new()
            .accept_any()
            .read_timeout(Duration::from_secs(30));
        for class in [
            uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
            uids::COMPREHENSIVE_SR_STORAGE,
            uids::SEGMENTATION_STORAGE,
        ] {
            options = options.with_abstract_syntax(class);
        }
        let options = options.with_transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let mut association = options.establish(stream).expect("an association");
        while let Some(object) = store(&mut association) {
            stored.send(object).expect("the test waits");
        }
    })
}

/// One C-STORE; `None` where the other end goes.
fn store(association: &mut ServerAssociation<TcpStream>) -> Option<(String, String)> {
    let mut command = None;
    loop {
        match association.receive().ok()? {
            Pdu::PData { data } => {
                for value in data {
                    match value.value_type {
                        PDataValueType::Command => command = Some(read(&value.data)),
                        PDataValueType::Data if value.is_last => {
                            let command = command.as_ref().expect("a command comes first");
                            reply(association, value.presentation_context_id, command);
                            let text = |tag| {
                                let text = command.element(tag).expect("there").to_str();
                                text.expect("text").trim_end_matches('\0').to_owned()
                            };
                            return Some((
                                text(tags::AFFECTED_SOP_CLASS_UID),
                                text(tags::AFFECTED_SOP_INSTANCE_UID),
                            ));
                        }
                        PDataValueType::Data => {}
                    }
                }
            }
            Pdu::ReleaseRQ => {
                association.send(&Pdu::ReleaseRP).expect("sent");
                return None;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn read(bytes: &[u8]) -> InMemDicomObject {
    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    InMemDicomObject::read_dataset_with_ts(bytes, &syntax).expect("a command")
}

/// Says that an object is safe.
fn reply(association: &mut ServerAssociation<TcpStream>, context: u8, command: &InMemDicomObject) {
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let id = command.element(tags::MESSAGE_ID).expect("there").to_int();
    let set = InMemDicomObject::command_from_element_iter([
        number(tags::COMMAND_FIELD, 0x8001),
        number(tags::MESSAGE_ID_BEING_RESPONDED_TO, id.expect("a number")),
        number(tags::COMMAND_DATA_SET_TYPE, 0x0101),
        number(tags::STATUS, 0),
    ]);
    let mut data = Vec::new();
    set.write_dataset_with_ts(&mut data, &IMPLICIT_VR_LITTLE_ENDIAN.erased())
        .expect("written");
    association
        .send(&Pdu::PData {
            data: vec![PDataValue {
                presentation_context_id: context,
                value_type: PDataValueType::Command,
                is_last: true,
                data,
            }],
        })
        .expect("sent");
}
