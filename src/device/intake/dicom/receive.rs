//! The receiving side of one association: verification (C-ECHO) and storage (C-STORE).

use std::net::{IpAddr, TcpStream};

use dicom_dictionary_std::uids;
use dicom_ul::association::Association;
use dicom_ul::association::server::AccessControl;
use dicom_ul::pdu::{
    AssociationRJServiceUserReason, PDataValue, PDataValueType, Pdu,
    PresentationContextResultReason, UserIdentity,
};
use dicom_ul::{ServerAssociation, ServerAssociationOptions};

use super::Options;
use super::complaints::say;
use super::inbox::{About, Inbox, Incoming, NotStored};
use crate::device::dicom::message::{Ask, Command, Status};
use crate::device::intake::seats::{Doing, Seat};

/// Bytes of a command set at most.
const LARGEST_COMMAND: usize = 64 << 10;

/// Classes that are stored, and verification.
const CLASSES: [&str; 18] = [
    uids::VERIFICATION,
    uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
    uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
    uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
    uids::DIGITAL_MAMMOGRAPHY_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
    uids::DIGITAL_MAMMOGRAPHY_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
    uids::ULTRASOUND_IMAGE_STORAGE,
    uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE,
    uids::ENHANCED_US_VOLUME_STORAGE,
    uids::MR_IMAGE_STORAGE,
    uids::ENHANCED_MR_IMAGE_STORAGE,
    uids::CT_IMAGE_STORAGE,
    uids::ENHANCED_CT_IMAGE_STORAGE,
    uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_GRAYSCALE_BYTE_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_SINGLE_BIT_SECONDARY_CAPTURE_IMAGE_STORAGE,
];

/// Transfer syntaxes that `image` decodes, but for the deflated one: `dicom-ul` agrees to it only
/// where it inflates without a limit.
const SYNTAXES: [&str; 15] = [
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.2",
    uids::JPEG_LOSSLESS_SV1,
    uids::JPEG_LOSSLESS,
    uids::JPEGLS_LOSSLESS,
    uids::JPEG2000_LOSSLESS,
    uids::HTJ2K_LOSSLESS,
    uids::HTJ2K_LOSSLESS_RPCL,
    uids::RLE_LOSSLESS,
    uids::JPEG_BASELINE8_BIT,
    uids::JPEG_EXTENDED12_BIT,
    uids::JPEGLS_NEAR_LOSSLESS,
    uids::JPEG2000,
    uids::HTJ2K,
];

/// Who is let in.
struct Gatekeeper<'a> {
    options: &'a Options,
    address: IpAddr,
}

impl AccessControl for Gatekeeper<'_> {
    fn check_access(
        &self,
        this: &str,
        calling: &str,
        called: &str,
        _: Option<&UserIdentity>,
    ) -> Result<(), AssociationRJServiceUserReason> {
        if called.trim() != this {
            return Err(AssociationRJServiceUserReason::CalledAETitleNotRecognized);
        }
        if self.options.lets_in(calling, self.address) {
            Ok(())
        } else {
            Err(AssociationRJServiceUserReason::CallingAETitleNotRecognized)
        }
    }
}

type Failed = Box<dyn std::error::Error>;

/// Serves one association, from its request to its end.
pub(super) fn serve(
    socket: TcpStream,
    address: IpAddr,
    seat: &Seat<IpAddr>,
    options: &Options,
    inbox: &Inbox,
) -> Result<(), Failed> {
    let gatekeeper = Gatekeeper { options, address };
    // Silence within a request; what takes long in all is seen to by who gave the seat.
    let patience = options.deadlines.idle;
    let mut server = ServerAssociationOptions::new()
        .ae_access_control(gatekeeper)
        .ae_title(&options.title)
        .read_timeout(patience)
        .write_timeout(patience);
    for class in CLASSES {
        server = server.with_abstract_syntax(class);
    }
    for syntax in SYNTAXES {
        server = server.with_transfer_syntax(syntax);
    }
    let mut association = server.establish(socket)?;
    seat.turns(Doing::Idle);
    let giver = options.giver(association.peer_ae_title(), address);
    let mut talk = Talk::default();
    loop {
        match association.receive()? {
            Pdu::PData { data } => {
                for value in data {
                    seat.turns(Doing::Busy);
                    if value.value_type == PDataValueType::Data {
                        seat.brings(value.data.len());
                    }
                    if let Some(reply) = talk.take(value, &association, &giver, inbox) {
                        association.send(&reply)?;
                        seat.turns(Doing::Idle);
                    }
                }
            }
            Pdu::ReleaseRQ => {
                association.send(&Pdu::ReleaseRP)?;
                return Ok(());
            }
            Pdu::AbortRQ { .. } => return Ok(()),
            _ => {
                association.abort()?;
                return Err("the peer sent what does not belong here".into());
            }
        }
    }
}

/// Where one association stands between two pieces of data.
#[derive(Default)]
struct Talk {
    command: Vec<u8>,
    storing: Option<Storing>,
}

/// A C-STORE whose data set is coming; `file` is an error's status once it failed.
struct Storing {
    command: Command,
    file: Result<Incoming, Status>,
}

impl Talk {
    /// Takes a piece; gives the reply that it completes.
    fn take(
        &mut self,
        value: PDataValue,
        association: &ServerAssociation<TcpStream>,
        giver: &str,
        inbox: &Inbox,
    ) -> Option<Pdu> {
        let context = value.presentation_context_id;
        let bytes = match value.value_type {
            PDataValueType::Command => self.command_piece(&value, association, giver, inbox)?,
            PDataValueType::Data => self.data_piece(&value)?,
        };
        Some(Pdu::PData {
            data: vec![PDataValue {
                presentation_context_id: context,
                value_type: PDataValueType::Command,
                is_last: true,
                data: bytes,
            }],
        })
    }

    fn command_piece(
        &mut self,
        value: &PDataValue,
        association: &ServerAssociation<TcpStream>,
        giver: &str,
        inbox: &Inbox,
    ) -> Option<Vec<u8>> {
        if self.command.len() + value.data.len() <= LARGEST_COMMAND {
            self.command.extend_from_slice(&value.data);
        }
        if !value.is_last {
            return None;
        }
        let command = Command::read(&std::mem::take(&mut self.command))?;
        match &command.ask {
            Ask::Store { class, instance } => {
                let syntax = syntax_of(association, value.presentation_context_id, class);
                let file = match syntax {
                    Some(transfer_syntax) => inbox
                        .begin(&About {
                            class: class.clone(),
                            instance: instance.clone(),
                            transfer_syntax,
                            giver: giver.to_owned(),
                        })
                        .map_err(|why| not_stored(&why)),
                    None => Err(Status::CannotUnderstand),
                };
                self.storing = Some(Storing { command, file });
                None
            }
            Ask::Echo => Some(command.reply(Status::Success)),
            // Where a data set follows, it is read and left.
            Ask::Other => Some(command.reply(Status::NoSuchOperation)),
        }
    }

    fn data_piece(&mut self, value: &PDataValue) -> Option<Vec<u8>> {
        let storing = self.storing.as_mut()?;
        if let Ok(incoming) = &mut storing.file
            && let Err(why) = incoming.take(&value.data)
        {
            storing.file = Err(not_stored(&why));
        }
        if !value.is_last {
            return None;
        }
        let Storing { command, file } = self.storing.take()?;
        let stored =
            file.and_then(|incoming| incoming.finish().map_err(|why| not_stored(&why.into())));
        Some(command.reply(stored.err().unwrap_or(Status::Success)))
    }
}

/// The transfer syntax that was agreed on for this context and class.
fn syntax_of(
    association: &ServerAssociation<TcpStream>,
    context: u8,
    class: &str,
) -> Option<String> {
    let agreed = association.presentation_contexts().iter().find(|agreed| {
        agreed.id == context
            && agreed.reason == PresentationContextResultReason::Acceptance
            && agreed.abstract_syntax.trim_end_matches('\0') == class
    })?;
    Some(agreed.transfer_syntax.trim_end_matches('\0').to_owned())
}

fn not_stored(why: &NotStored) -> Status {
    say(why.kind(), &why.to_string());
    Status::OutOfResources
}

#[cfg(test)]
mod tests {
    use dicom_ul::association::server::is_supported;

    use super::*;

    #[test]
    fn every_transfer_syntax_of_the_list_is_agreed_on() {
        for syntax in SYNTAXES {
            assert!(is_supported(syntax), "{syntax}");
        }
    }
}
