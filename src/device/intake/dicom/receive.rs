//! The receiving side of one association: verification (C-ECHO) and storage (C-STORE).
//!
//! Every request that can be read has a reply, with a comment where it is refused; what cannot be
//! read, or comes where it does not belong, ends the association by an A-ABORT. So does a peer that
//! is silent: none is left waiting.

use std::io::Write;
use std::net::{IpAddr, TcpStream};

use dicom_dictionary_std::uids;
use dicom_ul::association::server::AccessControl;
use dicom_ul::association::{Association, Error};
use dicom_ul::pdu::{
    AssociationRJServiceUserReason, PDataValue, PDataValueType, Pdu,
    PresentationContextResultReason, UserIdentity,
};
use dicom_ul::{ServerAssociation, ServerAssociationOptions};

use super::Options;
use super::complaints::say;
use super::inbox::{About, Inbox, Incoming, NotStored};
use super::look::Unfit;
use super::parting::hang_up;
use crate::device::dicom::message::{Ask, Command, Status};
use crate::device::dicom::pieces::{Part, length_for, pdus};
use crate::device::intake::seats::{Doing, Seat};

/// Longest PDU that is taken, behind its head.
const LONGEST_PDU: u32 = 128 << 10;
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
        .max_pdu_length(LONGEST_PDU)
        .read_timeout(patience)
        .write_timeout(patience);
    for class in CLASSES {
        server = server.with_abstract_syntax(class);
    }
    for syntax in SYNTAXES {
        server = server.with_transfer_syntax(syntax);
    }
    let aside = socket.try_clone()?;
    let mut association = server.establish(socket).inspect_err(|error| {
        // What cannot be read is answered all the same; the rest has had its answer.
        if matches!(error, Error::ReceivePdu { .. }) {
            hang_up(&aside);
        }
    })?;
    seat.turns(Doing::Idle);
    let giver = options.giver(association.peer_ae_title(), address);
    let ended = converse(&mut association, &giver, seat, inbox);
    if ended.is_err() {
        hang_up(&aside);
    }
    ended
}

/// Answers what is asked over an association, until it is released or aborted.
fn converse(
    association: &mut ServerAssociation<TcpStream>,
    giver: &str,
    seat: &Seat<IpAddr>,
    inbox: &Inbox,
) -> Result<(), Failed> {
    let most = length_for(association.requestor_max_pdu_length());
    let mut talk = Talk::default();
    loop {
        match association.receive()? {
            Pdu::PData { data } => {
                for value in data {
                    seat.turns(Doing::Busy);
                    if value.value_type == PDataValueType::Data {
                        seat.brings(value.data.len());
                    }
                    let context = value.presentation_context_id;
                    if let Some(reply) = talk.take(&value, association, giver, inbox)? {
                        for pdu in pdus(context, Part::Command, &reply, most) {
                            association.inner_stream().write_all(&pdu)?;
                        }
                    }
                    if talk.is_at_rest() {
                        seat.turns(Doing::Idle);
                    }
                }
            }
            Pdu::ReleaseRQ => {
                association.send(&Pdu::ReleaseRP)?;
                return Ok(());
            }
            Pdu::AbortRQ { .. } => return Ok(()),
            _ => return Err("the peer sent what does not belong here".into()),
        }
    }
}

/// Where one association stands between two pieces of data.
#[derive(Default)]
struct Talk {
    command: Vec<u8>,
    /// The request whose data set is coming.
    coming: Option<Coming>,
}

/// A request, and what becomes of its data set.
struct Coming {
    command: Command,
    data: Result<Incoming, Refused>,
}

/// Why a request is refused.
#[derive(Debug)]
struct Refused {
    status: Status,
    comment: String,
}

impl Refused {
    fn new(status: Status, comment: impl ToString) -> Self {
        let comment = comment.to_string();
        Self { status, comment }
    }
}

impl From<Unfit> for Refused {
    fn from(Unfit { status, comment }: Unfit) -> Self {
        Self { status, comment }
    }
}

impl From<NotStored> for Refused {
    fn from(why: NotStored) -> Self {
        say(why.kind(), &why.to_string());
        Self::new(why.status(), why.comment())
    }
}

impl Talk {
    /// Whether nothing is on its way.
    fn is_at_rest(&self) -> bool {
        self.command.is_empty() && self.coming.is_none()
    }

    /// Takes a piece; gives the reply that it completes.
    ///
    /// # Errors
    /// What no reply can be given to: the association ends with it.
    fn take(
        &mut self,
        value: &PDataValue,
        association: &ServerAssociation<TcpStream>,
        giver: &str,
        inbox: &Inbox,
    ) -> Result<Option<Vec<u8>>, Failed> {
        match value.value_type {
            PDataValueType::Command => self.command_piece(value, association, giver, inbox),
            PDataValueType::Data => self.data_piece(value, giver, inbox),
        }
    }

    fn command_piece(
        &mut self,
        value: &PDataValue,
        association: &ServerAssociation<TcpStream>,
        giver: &str,
        inbox: &Inbox,
    ) -> Result<Option<Vec<u8>>, Failed> {
        if self.coming.is_some() {
            return Err("a command came in the middle of a data set".into());
        }
        if self.command.len() + value.data.len() > LARGEST_COMMAND {
            return Err("a command is too long".into());
        }
        self.command.extend_from_slice(&value.data);
        if !value.is_last {
            return Ok(None);
        }
        let command = Command::read(&std::mem::take(&mut self.command));
        let command = command.ok_or("what came as a command is none")?;
        let data = match &command.ask {
            Ask::Store { class, instance } => {
                let syntax = syntax_of(association, value.presentation_context_id, class);
                begin(class, instance.as_deref(), syntax, giver, inbox)
            }
            Ask::Echo if !command.has_data => {
                return Ok(Some(command.reply(Status::Success, None)));
            }
            Ask::Nothing if !command.has_data => return Ok(None),
            Ask::Echo | Ask::Nothing | Ask::Other => Err(Refused::new(
                Status::UnrecognizedOperation,
                "C-ECHO and C-STORE are what is answered here",
            )),
        };
        let mut coming = Coming { command, data };
        if coming.command.has_data {
            self.coming = Some(coming);
            return Ok(None);
        }
        if coming.data.is_ok() {
            let why = "no data set comes with the request";
            coming.data = Err(Refused::new(Status::CannotUnderstand, why));
        }
        Ok(coming.reply(giver, inbox))
    }

    fn data_piece(
        &mut self,
        value: &PDataValue,
        giver: &str,
        inbox: &Inbox,
    ) -> Result<Option<Vec<u8>>, Failed> {
        let coming = self.coming.as_mut();
        let coming = coming.ok_or("a data set came without a command")?;
        if let Ok(incoming) = &mut coming.data
            && let Err(why) = incoming.take(&value.data)
        {
            coming.data = Err(why.into());
        }
        if !value.is_last {
            return Ok(None);
        }
        let coming = self.coming.take();
        Ok(coming.and_then(|coming| coming.reply(giver, inbox)))
    }
}

impl Coming {
    /// The reply, once all of the request is there; an instance was looked at, and is on the disk
    /// by then.
    fn reply(self, giver: &str, inbox: &Inbox) -> Option<Vec<u8>> {
        if self.command.ask == Ask::Nothing {
            return None;
        }
        let stored = self
            .data
            .and_then(|incoming| finish(incoming, giver, inbox));
        Some(match stored {
            Ok(()) => self.command.reply(Status::Success, None),
            Err(Refused { status, comment }) => self.command.reply(status, Some(&comment)),
        })
    }
}

/// Stores an instance whose data set is whole, unless it cannot be read.
fn finish(mut incoming: Incoming, giver: &str, inbox: &Inbox) -> Result<(), Refused> {
    let path = incoming.readable().map_err(NotStored::from)?;
    let known = inbox.looks().look(&path, giver)?;
    let path = incoming.finish().map_err(NotStored::from)?;
    if let Some(known) = known {
        inbox.looks().stored(path, known);
    }
    Ok(())
}

/// Begins to store an instance, where all that is asked of it is said.
fn begin(
    class: &str,
    instance: Option<&str>,
    syntax: Option<String>,
    giver: &str,
    inbox: &Inbox,
) -> Result<Incoming, Refused> {
    let transfer_syntax = syntax.ok_or_else(|| {
        Refused::new(
            Status::ClassNotSupported,
            "not a class that was agreed on in this context",
        )
    })?;
    let instance = instance.ok_or_else(|| {
        let why = "the request names no SOP instance";
        Refused::new(Status::InvalidInstance, why)
    })?;
    Ok(inbox.begin(&About {
        class: class.to_owned(),
        instance: instance.to_owned(),
        transfer_syntax,
        giver: giver.to_owned(),
    })?)
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
