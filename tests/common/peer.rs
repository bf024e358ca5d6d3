//! A DICOM peer with nothing but a socket: from any loopback address, so that several stand
//! for several units; whole, slow, cut short, or not speaking at all.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject, open_file};
use dicom_transfer_syntax_registry::entries::{
    IMPLICIT_VR_LITTLE_ENDIAN, JPEG_LS_LOSSLESS_IMAGE_COMPRESSION,
};
use dicom_ul::pdu::{
    AssociationRQ, DEFAULT_MAX_PDU, PDataValue, PDataValueType, Pdu, PresentationContextProposed,
    UserVariableItem, read_pdu, write_pdu,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::root;

/// How long a peer waits for what a device says.
const PATIENCE: Duration = Duration::from_secs(30);

/// `127.0.0.N`.
pub fn loopback(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}

/// A connection from this address to a device on this computer.
pub fn connect_from(address: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrV4::new(address, 0))?;
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// An association that was agreed on.
pub struct Peer {
    pub stream: TcpStream,
    came: Vec<u8>,
}

impl Peer {
    /// Asks for one from this address; `None` where it is not let in.
    pub fn associate(address: Ipv4Addr, title: &str, port: u16) -> Option<Self> {
        Self::associate_with(address, title, port, Vec::new())
    }

    /// The same, with what it says of itself.
    pub fn associate_with(
        address: Ipv4Addr,
        title: &str,
        port: u16,
        said: Vec<UserVariableItem>,
    ) -> Option<Self> {
        let stream = connect_from(address, port).ok()?;
        let mut peer = Self {
            stream,
            came: Vec::new(),
        };
        peer.stream.write_all(&request_with(title, said)).ok()?;
        matches!(peer.hear()?, Pdu::AssociationAC(_)).then_some(peer)
    }

    /// What the device says next; `None` where it says nothing more.
    pub fn hear(&mut self) -> Option<Pdu> {
        let mut bytes = [0; 4096];
        loop {
            let mut rest = &self.came[..];
            if let Some(pdu) = read_pdu(&mut rest, DEFAULT_MAX_PDU, false).ok()? {
                self.came = rest.to_vec();
                return Some(pdu);
            }
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.came.extend_from_slice(&bytes[..count]),
            }
        }
    }

    /// The status of C-ECHO.
    pub fn echo(&mut self) -> Option<u16> {
        let command = command(uids::VERIFICATION, 0x0030, 0x0101, None);
        self.say(1, PDataValueType::Command, &command, true)?;
        self.status()
    }

    /// The status of C-STORE.
    pub fn store(&mut self, object: &DefaultDicomObject) -> Option<u16> {
        self.begin_store(object)?;
        let data = data_of(object);
        let pieces: Vec<&[u8]> = data.chunks(8 << 10).collect();
        for (number, piece) in pieces.iter().enumerate() {
            let is_last = number + 1 == pieces.len();
            self.say(3, PDataValueType::Data, piece, is_last)?;
        }
        self.status()
    }

    /// The command of a C-STORE alone.
    pub fn begin_store(&mut self, object: &DefaultDicomObject) -> Option<()> {
        let instance = object.meta().media_storage_sop_instance_uid();
        let class = uids::SECONDARY_CAPTURE_IMAGE_STORAGE;
        let command = command(class, 0x0001, 0x0001, Some(instance.trim_end_matches('\0')));
        self.say(3, PDataValueType::Command, &command, true)
    }

    /// One piece of a message.
    pub fn say(&mut self, id: u8, kind: PDataValueType, data: &[u8], is_last: bool) -> Option<()> {
        let value = PDataValue {
            presentation_context_id: id,
            value_type: kind,
            is_last,
            data: data.to_vec(),
        };
        self.stream
            .write_all(&packed(&Pdu::PData { data: vec![value] }))
            .ok()
    }

    /// The status of the reply that comes next.
    pub fn status(&mut self) -> Option<u16> {
        self.reply()?.element(tags::STATUS).ok()?.to_int().ok()
    }

    /// The reply that comes next, in however many pieces.
    pub fn reply(&mut self) -> Option<InMemDicomObject> {
        let mut set = Vec::new();
        loop {
            let Pdu::PData { data } = self.hear()? else {
                return None;
            };
            for value in data {
                set.extend(value.data);
                if value.is_last {
                    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
                    return InMemDicomObject::read_dataset_with_ts(&set[..], &syntax).ok();
                }
            }
        }
    }
}

/// Whether a peer of this address is answered.
pub fn echoes(address: Ipv4Addr, title: &str, port: u16) -> bool {
    let peer = Peer::associate(address, title, port);
    peer.and_then(|mut peer| peer.echo()) == Some(0)
}

/// The request for an association, for verification and pictures.
pub fn request(title: &str) -> Vec<u8> {
    request_with(title, Vec::new())
}

fn request_with(title: &str, said: Vec<UserVariableItem>) -> Vec<u8> {
    let context = |id, class: &str, syntax: &str| PresentationContextProposed {
        id,
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: vec![syntax.to_owned()],
    };
    packed(&Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: title.to_owned(),
        called_ae_title: "MEDFOCUS".to_owned(),
        application_context_name: "1.2.840.10008.3.1.1.1".to_owned(),
        presentation_contexts: vec![
            context(1, uids::VERIFICATION, uids::IMPLICIT_VR_LITTLE_ENDIAN),
            context(
                3,
                uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
                uids::JPEGLS_LOSSLESS,
            ),
        ],
        user_variables: said,
    }))
}

fn packed(pdu: &Pdu) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).expect("into memory");
    bytes
}

/// A command set (PS3.7, 6.3).
pub fn command(class: &str, field: u16, data: u16, instance: Option<&str>) -> Vec<u8> {
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let uid = |tag, value: &str| DataElement::new(tag, VR::UI, PrimitiveValue::from(value));
    let mut elements = vec![
        uid(tags::AFFECTED_SOP_CLASS_UID, class),
        number(tags::COMMAND_FIELD, field),
        number(tags::MESSAGE_ID, 7),
        number(tags::COMMAND_DATA_SET_TYPE, data),
    ];
    elements.extend(instance.map(|i| uid(tags::AFFECTED_SOP_INSTANCE_UID, i)));
    let mut bytes = Vec::new();
    InMemDicomObject::command_from_element_iter(elements)
        .write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased())
        .expect("into memory");
    bytes
}

/// An object's data set, as it is sent.
pub fn data_of(object: &DefaultDicomObject) -> Vec<u8> {
    let mut data = Vec::new();
    let syntax = JPEG_LS_LOSSLESS_IMAGE_COMPRESSION.erased();
    object
        .write_dataset_with_ts(&mut data, &syntax)
        .expect("into memory");
    data
}

/// The patient's picture under another instance's name, with a word for how it hurries.
pub fn instance(number: u32, hurry: &str) -> DefaultDicomObject {
    let mut object = open_file(root().join("tests/vectors/dicom/patient.dcm")).expect("a picture");
    let uid = format!("2.25.4712{number}");
    let mut put = |tag, vr, value: &str| {
        object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    };
    put(tags::SOP_INSTANCE_UID, VR::UI, &uid);
    put(tags::REQUESTED_PROCEDURE_PRIORITY, VR::SH, hurry);
    object.update_meta(|meta| meta.media_storage_sop_instance_uid = uid);
    object
}
