//! Archives as there are: those that take but some objects, or but one transfer syntax, that
//! answer by a warning or a failure. Over real sockets; each listens on a port of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender};

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::{
    EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
};
use dicom_ul::pdu::{
    AssociationAC, DEFAULT_MAX_PDU, PDataValue, PDataValueType, Pdu, PresentationContextProposed,
    PresentationContextResult, PresentationContextResultReason, UserVariableItem, read_pdu,
    write_pdu,
};

use super::receivers::listen;

/// An object that came, whatever it was answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Came {
    /// `sr`, `seg` or `sc`.
    pub word: &'static str,
    /// `explicit` or `implicit`.
    pub syntax: &'static str,
    pub instance: String,
    /// The patient's name, as the data set has it.
    pub patient: String,
}

/// What an archive is like.
#[derive(Clone)]
pub struct Manner {
    /// Classes that it takes, by their words.
    pub takes: &'static [&'static str],
    /// Transfer syntaxes that it takes.
    pub syntaxes: &'static [&'static str],
    /// Statuses by which it answers: of the first object of a class, of the second, and so on; the
    /// last one for ever.
    pub answers: fn(word: &str) -> &'static [u16],
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            takes: &["sr", "seg", "sc"],
            syntaxes: &["explicit", "implicit"],
            answers: |_| &[0],
        }
    }
}

fn word_of(class: &str) -> &'static str {
    match class.trim_end_matches('\0') {
        uids::COMPREHENSIVE_SR_STORAGE => "sr",
        uids::SEGMENTATION_STORAGE => "seg",
        uids::SECONDARY_CAPTURE_IMAGE_STORAGE => "sc",
        other => panic!("{other}"),
    }
}

fn syntax_of(uid: &str) -> &'static str {
    match uid.trim_end_matches('\0') {
        uids::EXPLICIT_VR_LITTLE_ENDIAN => "explicit",
        uids::IMPLICIT_VR_LITTLE_ENDIAN => "implicit",
        other => panic!("{other}"),
    }
}

/// An archive of this manner: gives every object that came.
pub fn archive_of(port: u16, manner: Manner) -> Receiver<Came> {
    let mut counts = BTreeMap::new();
    listen(port, move |stream, came| {
        let mut association = Association {
            stream,
            bytes: Vec::new(),
            contexts: BTreeMap::new(),
        };
        association.serve(&manner, &mut counts, came);
    })
}

struct Association {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// Word and syntax of the contexts that were agreed on.
    contexts: BTreeMap<u8, (&'static str, &'static str)>,
}

impl Association {
    fn hear(&mut self) -> Option<Pdu> {
        use std::io::Read;
        let mut piece = [0; 16384];
        loop {
            let mut rest = &self.bytes[..];
            if let Some(pdu) = read_pdu(&mut rest, DEFAULT_MAX_PDU, false).expect("a PDU") {
                self.bytes = rest.to_vec();
                return Some(pdu);
            }
            match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.bytes.extend_from_slice(&piece[..count]),
            }
        }
    }

    fn say(&mut self, pdu: &Pdu) {
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, pdu).expect("into memory");
        // Where the other end has gone, it hears nothing.
        let _ = self.stream.write_all(&bytes);
    }

    fn agree(
        &mut self,
        manner: &Manner,
        proposed: &PresentationContextProposed,
    ) -> PresentationContextResult {
        let word = word_of(&proposed.abstract_syntax);
        let mut syntaxes = proposed.transfer_syntaxes.iter().map(|uid| syntax_of(uid));
        let (transfer_syntax, reason) = if !manner.takes.contains(&word) {
            let reason = PresentationContextResultReason::AbstractSyntaxNotSupported;
            ("1.2.840.10008.1.2".to_owned(), reason)
        } else if let Some(syntax) = syntaxes.find(|syntax| manner.syntaxes.contains(syntax)) {
            self.contexts.insert(proposed.id, (word, syntax));
            let uid = proposed.transfer_syntaxes.iter();
            let uid = uid
                .clone()
                .find(|uid| syntax_of(uid) == syntax)
                .expect("there");
            (uid.clone(), PresentationContextResultReason::Acceptance)
        } else {
            let reason = PresentationContextResultReason::TransferSyntaxesNotSupported;
            ("1.2.840.10008.1.2".to_owned(), reason)
        };
        PresentationContextResult {
            id: proposed.id,
            reason,
            transfer_syntax,
        }
    }

    fn serve(
        &mut self,
        manner: &Manner,
        counts: &mut BTreeMap<&'static str, usize>,
        came: &Sender<Came>,
    ) {
        let (mut command, mut data) = (Vec::new(), Vec::new());
        while let Some(pdu) = self.hear() {
            match pdu {
                Pdu::AssociationRQ(request) => {
                    let contexts = request.presentation_contexts.iter();
                    let contexts = contexts.map(|it| self.agree(manner, it)).collect();
                    self.say(&Pdu::AssociationAC(AssociationAC {
                        protocol_version: 1,
                        calling_ae_title: request.calling_ae_title,
                        called_ae_title: request.called_ae_title,
                        application_context_name: request.application_context_name,
                        presentation_contexts: contexts,
                        user_variables: vec![UserVariableItem::MaxLength(4096)],
                    }));
                }
                Pdu::PData { data: values } => {
                    for value in values {
                        match value.value_type {
                            PDataValueType::Command => command.extend(value.data),
                            PDataValueType::Data => data.extend(value.data),
                        }
                        if value.value_type == PDataValueType::Data && value.is_last {
                            let context = value.presentation_context_id;
                            let (command, data) =
                                (std::mem::take(&mut command), std::mem::take(&mut data));
                            self.store(manner, counts, came, context, &command, &data);
                        }
                    }
                }
                Pdu::ReleaseRQ => {
                    self.say(&Pdu::ReleaseRP);
                    return;
                }
                _ => return,
            }
        }
    }

    fn store(
        &mut self,
        manner: &Manner,
        counts: &mut BTreeMap<&'static str, usize>,
        came: &Sender<Came>,
        context: u8,
        command: &[u8],
        data: &[u8],
    ) {
        let (word, syntax) = self.contexts[&context];
        let read = |bytes, syntax| {
            InMemDicomObject::read_dataset_with_ts(bytes, syntax).expect("a data set")
        };
        let implicit = IMPLICIT_VR_LITTLE_ENDIAN.erased();
        let command = read(command, &implicit);
        let object = match syntax {
            "implicit" => read(data, &implicit),
            _ => read(data, &EXPLICIT_VR_LITTLE_ENDIAN.erased()),
        };
        let text = |object: &InMemDicomObject, tag| {
            let text = object.element(tag).expect("there").to_str();
            text.expect("text").trim_end_matches(['\0', ' ']).to_owned()
        };
        let instance = text(&object, tags::SOP_INSTANCE_UID);
        assert_eq!(instance, text(&command, tags::AFFECTED_SOP_INSTANCE_UID));
        let patient = text(&object, tags::PATIENT_NAME);
        let count = counts.entry(word).or_default();
        let answers = (manner.answers)(word);
        let status = answers[(*count).min(answers.len() - 1)];
        *count += 1;
        let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
        let id = command.element(tags::MESSAGE_ID).expect("there").to_int();
        let set = InMemDicomObject::command_from_element_iter([
            number(tags::COMMAND_FIELD, 0x8001),
            number(tags::MESSAGE_ID_BEING_RESPONDED_TO, id.expect("a number")),
            number(tags::COMMAND_DATA_SET_TYPE, 0x0101),
            number(tags::STATUS, status),
        ]);
        let mut data = Vec::new();
        set.write_dataset_with_ts(&mut data, &implicit)
            .expect("into memory");
        // Said in two pieces, as some do.
        let (first, second) = data.split_at(data.len() / 2);
        for (data, is_last) in [(first, false), (second, true)] {
            self.say(&Pdu::PData {
                data: vec![PDataValue {
                    presentation_context_id: context,
                    value_type: PDataValueType::Command,
                    is_last,
                    data: data.to_vec(),
                }],
            });
        }
        let object = Came {
            word,
            syntax,
            instance,
            patient,
        };
        // The test may have ended.
        let _ = came.send(object);
    }
}
