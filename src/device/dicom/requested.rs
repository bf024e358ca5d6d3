//! An association that the device asks for, to store objects at an archive. In go the archive and
//! the classes of the objects; out come an association that says of each class whether it is taken,
//! the status of every object that was sent, or the [`Fault`] that there was. Called by the archive
//! of `sinks`.
//!
//! Every class is offered by a context for each transfer syntax of its own, explicit and implicit,
//! so that one that knows but the second need not know that there is a first. What the archive
//! says is read here and by no library: nothing is believed that does not fit together, and no
//! answer is waited for longer than `patience`, however it drips.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;
use dicom_ul::pdu::{AssociationRQ, Pdu, PresentationContextProposed, UserVariableItem, write_pdu};
use dicom_ul::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};

use super::fault::Fault;
use super::message;
use super::peers::Pacs;
use super::pieces::{HEADER, Part, length_for, pdus};

/// What objects are written in, in the order in which it is used.
const SYNTAXES: [Syntax; 2] = [Syntax::Explicit, Syntax::Implicit];
/// Longest PDU that is read: answers are short.
const LONGEST: usize = 256 << 10;
/// Bytes of an answered command set at most.
const LARGEST_COMMAND: usize = 64 << 10;
/// Bytes of an A-ASSOCIATE-AC before its items.
const BEFORE_ITEMS: usize = 68;

/// How an object is written; both are little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Explicit,
    Implicit,
}

impl Syntax {
    fn uid(self) -> &'static str {
        match self {
            Self::Explicit => uids::EXPLICIT_VR_LITTLE_ENDIAN,
            Self::Implicit => uids::IMPLICIT_VR_LITTLE_ENDIAN,
        }
    }
}

/// Why objects of a class are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Abstract syntax not supported.
    Class,
    /// Transfer syntaxes not supported.
    Syntax,
    /// For a reason that it does not say.
    Unsaid,
}

/// What was offered, and what came of it.
#[derive(Debug)]
struct Context {
    id: u8,
    class: String,
    syntax: Syntax,
    /// Result of the negotiation (PS3.8, table 9-18); none where it was left unanswered.
    result: Option<u8>,
}

/// An association that stands.
#[derive(Debug)]
pub(crate) struct Requested {
    stream: TcpStream,
    patience: Duration,
    came: Vec<u8>,
    contexts: Vec<Context>,
    /// Longest PDU that the archive takes.
    most: usize,
    messages: u16,
}

impl Requested {
    /// Asks for an association for objects of these classes.
    pub fn ask(
        pacs: &Pacs,
        title: &str,
        classes: &[&str],
        patience: Duration,
    ) -> Result<Self, Fault> {
        let stream = connect(&pacs.address, patience).map_err(Fault::Unreachable)?;
        let both = classes
            .iter()
            .flat_map(|class| SYNTAXES.map(|s| (*class, s)));
        let contexts = both.zip(0_u8..).map(|((class, syntax), number)| Context {
            id: 2 * number + 1,
            class: class.to_owned(),
            syntax,
            result: None,
        });
        let mut asked = Self {
            contexts: contexts.collect(),
            stream,
            patience,
            came: Vec::new(),
            most: 0,
            messages: 0,
        };
        let request = asked.request(&pacs.title, title);
        asked.say([request])?;
        match asked.hear()? {
            (2, body) => asked.agree(&body).ok_or(Fault::Garbled)?,
            _ => return Err(Fault::Garbled),
        }
        Ok(asked)
    }

    fn request(&self, called: &str, calling: &str) -> Vec<u8> {
        let proposed = self
            .contexts
            .iter()
            .map(|context| PresentationContextProposed {
                id: context.id,
                abstract_syntax: context.class.clone(),
                transfer_syntaxes: vec![context.syntax.uid().to_owned()],
            });
        let request = Pdu::AssociationRQ(AssociationRQ {
            protocol_version: 1,
            calling_ae_title: calling.to_owned(),
            called_ae_title: called.to_owned(),
            application_context_name: "1.2.840.10008.3.1.1.1".to_owned(),
            presentation_contexts: proposed.collect(),
            user_variables: vec![
                UserVariableItem::MaxLength((LONGEST - HEADER) as u32),
                UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
                UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
            ],
        });
        let mut bytes = Vec::new();
        if let Err(error) = write_pdu(&mut bytes, &request) {
            log::error!("dicom: a request cannot be written: {error}");
        }
        bytes
    }

    /// Takes up what an A-ASSOCIATE-AC says; `None` where it does not fit together.
    fn agree(&mut self, body: &[u8]) -> Option<()> {
        let mut most = 0;
        for (kind, item) in Items(body.get(BEFORE_ITEMS..)?) {
            match kind {
                // The transfer syntax counts only where the context was accepted.
                0x21 => {
                    let (&[id, _, result, _], rest) = item.split_first_chunk()?;
                    let of_ours = |context: &&mut Context| context.id == id;
                    let context = self.contexts.iter_mut().find(of_ours)?;
                    let said = Items(rest).find(|(kind, _)| *kind == 0x40);
                    let is_ours = said.is_some_and(|(_, uid)| {
                        uid.trim_ascii_end()
                            .strip_suffix(&[0])
                            .unwrap_or(uid.trim_ascii_end())
                            == context.syntax.uid().as_bytes()
                    });
                    // Another syntax than the one that was offered is none.
                    context.result = Some(if result == 0 && !is_ours { 4 } else { result });
                }
                0x50 => {
                    let said = Items(item).find(|(kind, _)| *kind == 0x51);
                    most = said.map_or(Some(0), |(_, length)| {
                        Some(u32::from_be_bytes(length.try_into().ok()?))
                    })?;
                }
                _ => {}
            }
        }
        self.most = length_for(most);
        Some(())
    }

    /// Context and syntax in which objects of a class go.
    pub fn context(&self, class: &str) -> Result<(u8, Syntax), NotTaken> {
        let of_class = || {
            self.contexts
                .iter()
                .filter(|context| context.class == class)
        };
        if let Some(taken) = of_class().find(|context| context.result == Some(0)) {
            return Ok((taken.id, taken.syntax));
        }
        let says = |result| of_class().any(|context| context.result == Some(result));
        Err(match (says(4), says(3)) {
            (true, _) => NotTaken::Syntax,
            (_, true) => NotTaken::Class,
            _ => NotTaken::Unsaid,
        })
    }

    /// Why nothing at all is taken; `None` where something is.
    pub fn takes_nothing(&self) -> Option<NotTaken> {
        let why = |context: &Context| self.context(&context.class).err();
        let whys: Option<Vec<NotTaken>> = self.contexts.iter().map(why).collect();
        whys.and_then(|whys| whys.first().copied())
    }

    /// C-STORE of an object; gives the status that it is answered by.
    pub fn store(
        &mut self,
        context: u8,
        [class, instance]: [&str; 2],
        data: &[u8],
    ) -> Result<u16, Fault> {
        self.messages = self.messages.wrapping_add(1);
        let command = message::store(self.messages, class, instance);
        let sent = self
            .say(pdus(context, Part::Command, &command, self.most))
            .and_then(|()| self.say(pdus(context, Part::Data, data, self.most)));
        match sent {
            // One that hung up in the middle may have said why before.
            Err(Fault::Closed) => return Err(self.hear().err().unwrap_or(Fault::Closed)),
            sent => sent?,
        }
        let reply = self.reply()?;
        let reply = message::Reply::read(&reply).ok_or(Fault::Garbled)?;
        if reply.about != self.messages {
            return Err(Fault::Garbled);
        }
        Ok(reply.status)
    }

    /// The command set that comes next.
    fn reply(&mut self) -> Result<Vec<u8>, Fault> {
        let mut reply = Vec::new();
        loop {
            let (4, body) = self.hear()? else {
                return Err(Fault::Garbled);
            };
            let mut rest = &body[..];
            while !rest.is_empty() {
                let (length, after) = rest.split_first_chunk::<4>().ok_or(Fault::Garbled)?;
                let length = u32::from_be_bytes(*length) as usize;
                let (value, after) = after.split_at_checked(length).ok_or(Fault::Garbled)?;
                let (&[_, control], piece) = value.split_first_chunk().ok_or(Fault::Garbled)?;
                reply.extend_from_slice(piece);
                if control & 1 == 0 || reply.len() > LARGEST_COMMAND {
                    return Err(Fault::Garbled);
                }
                if control & 2 != 0 {
                    return Ok(reply);
                }
                rest = after;
            }
        }
    }

    /// The objects are safe: a bad parting changes nothing.
    pub fn release(mut self) {
        let _ = self.say([vec![5, 0, 0, 0, 0, 4, 0, 0, 0, 0]]);
        let _ = self.hear();
    }

    fn say(&mut self, pdus: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Fault> {
        let seconds = self.patience.as_secs();
        for pdu in pdus {
            let written = self.stream.write_all(&pdu);
            written.map_err(|error| Fault::of(&error, seconds))?;
        }
        Ok(())
    }

    /// Type and body of the PDU that comes next. Rejections and aborts are faults; so is what
    /// only one who speaks no DICOM says.
    fn hear(&mut self) -> Result<(u8, Vec<u8>), Fault> {
        let until = Instant::now() + self.patience;
        let head = self.take(HEADER, until)?;
        let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize;
        if length > LONGEST {
            return Err(Fault::Garbled);
        }
        let body = self.take(length, until)?;
        match (head[0], &body[..]) {
            (3, [_, result, source, reason, ..]) => Err(Fault::rejected(*result, *source, *reason)),
            (7, [_, _, source, reason, ..]) => Err(Fault::Aborted(*source, *reason)),
            (kind @ (2 | 4 | 6), _) => Ok((kind, body)),
            _ => Err(Fault::Garbled),
        }
    }

    /// The next bytes. The first of them decide whether this is DICOM at all, so that they are
    /// looked at before more is waited for.
    fn take(&mut self, count: usize, until: Instant) -> Result<Vec<u8>, Fault> {
        let (mut bytes, seconds) = ([0; 8192], self.patience.as_secs());
        while self.came.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::Silent(seconds));
            }
            let read = self.stream.set_read_timeout(Some(left));
            match read.and_then(|()| self.stream.read(&mut bytes)) {
                Ok(0) => return Err(Fault::Closed),
                Ok(read) => self.came.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::of(&error, seconds)),
            }
            if count == HEADER
                && self
                    .came
                    .first()
                    .is_some_and(|kind| !(1..=7).contains(kind))
            {
                return Err(Fault::NoDicom);
            }
        }
        let rest = self.came.split_off(count);
        Ok(std::mem::replace(&mut self.came, rest))
    }
}

/// The first of the name's addresses that takes the connection.
fn connect(address: &str, patience: Duration) -> std::io::Result<TcpStream> {
    let mut failed = Error::from(ErrorKind::AddrNotAvailable);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                stream.set_write_timeout(Some(patience))?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Items of a PDU: type, reserved byte, length and value; ends at the first that is cut short.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, _, high, low], rest) = self.0.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (item, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((kind, item))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const CLASSES: [&str; 2] = [uids::COMPREHENSIVE_SR_STORAGE, uids::SEGMENTATION_STORAGE];

    /// What comes of asking one who hears a request, says these bytes and hangs up.
    fn asked(says: &[u8]) -> Result<Requested, Fault> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let says = says.to_vec();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; HEADER];
            stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes(head[2..].try_into().unwrap());
            stream.read_exact(&mut vec![0; length as usize]).unwrap();
            stream.write_all(&says).unwrap();
        });
        let title = "ARCHIVE".to_owned();
        let pacs = Pacs { title, address };
        let asked = Requested::ask(&pacs, "MEDFOCUS", &CLASSES, Duration::from_secs(5));
        peer.join().unwrap();
        asked
    }

    fn item(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u16).to_be_bytes();
        [&[kind, 0][..], &length, value].concat()
    }

    /// An A-ASSOCIATE-AC with the results of contexts 1, 3, 5 and 7. A refused one names no
    /// transfer syntax, as some archives leave it out.
    fn accepted(results: [u8; 4]) -> Vec<u8> {
        let mut items = item(0x10, b"1.2.840.10008.3.1.1.1");
        for (number, result) in results.into_iter().enumerate() {
            let syntax = SYNTAXES[number % 2].uid();
            let syntax = item(0x40, syntax.as_bytes());
            let syntax = if result == 0 { &syntax[..] } else { &[] };
            let head = [2 * number as u8 + 1, 0, result, 0];
            items.extend(item(0x21, &[&head, syntax].concat()));
        }
        items.extend(item(0x50, &item(0x51, &[0, 0, 4, 0])));
        let body = [&[0, 1][..], &[0; BEFORE_ITEMS - 2], &items].concat();
        [&[2, 0][..], &(body.len() as u32).to_be_bytes(), &body].concat()
    }

    #[test]
    fn whoever_is_no_archive_for_the_device_is_told_by_a_code() {
        for (says, code) in [
            (&b""[..], "closed"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no_dicom"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "no_dicom"),
            (b"\x03\0\0\0\0\x04\0\x01\x01\x03", "calling_title_unknown"),
            (b"\x03\0\0\0\0\x04\0\x01\x01\x07", "called_title_unknown"),
            (b"\x03\0\0\0\0\x04\0\x02\x03\x01", "congested"),
            (b"\x03\0\0\0\0\x04\0\x01\x09\x09", "association_rejected"),
            (b"\x07\0\0\0\0\x04\0\0\x02\x01", "aborted"),
            (b"\x07\0\0\0\0\x04\0\0\x09\x99", "aborted"),
            (b"\x02\0\xff\xff\xff\xff", "garbled"),
            (b"\x02\0\0\0\0\x02\0\x01", "garbled"),
            (b"\x06\0\0\0\0\x04\0\0\0\0", "garbled"),
            (&accepted([0; 4])[..60], "closed"),
        ] {
            let fault = asked(says).unwrap_err();
            assert_eq!(fault.code(), code, "{says:?}");
        }
        // Nobody listens.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr();
        let (title, address) = ("A".to_owned(), port.unwrap().to_string());
        let pacs = Pacs { title, address };
        let fault = Requested::ask(&pacs, "B", &CLASSES, Duration::from_secs(5)).unwrap_err();
        assert_eq!(fault.code(), "unreachable");
    }

    #[test]
    fn each_class_is_taken_as_the_archive_says() {
        use NotTaken::{Class, Syntax as NoSyntax, Unsaid};
        use Syntax::{Explicit, Implicit};
        for (results, report, region) in [
            ([0, 0, 0, 0], Ok((1, Explicit)), Ok((5, Explicit))),
            ([4, 0, 4, 0], Ok((3, Implicit)), Ok((7, Implicit))),
            ([0, 4, 3, 3], Ok((1, Explicit)), Err(Class)),
            ([3, 3, 0, 0], Err(Class), Ok((5, Explicit))),
            ([4, 4, 1, 2], Err(NoSyntax), Err(Unsaid)),
        ] {
            let asked = asked(&accepted(results)).unwrap();
            assert_eq!(asked.context(CLASSES[0]), report, "{results:?}");
            assert_eq!(asked.context(CLASSES[1]), region, "{results:?}");
            assert_eq!(asked.most, 1024);
            let nothing = report.is_err() && region.is_err();
            assert_eq!(asked.takes_nothing().is_some(), nothing);
        }
    }
}
