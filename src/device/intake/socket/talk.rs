//! One client of the control socket: a request of one line comes in, is done, and is answered by
//! one line. Called by the client's thread. Decides nothing about a case.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result as IoResult};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use firmware_host::message::Digest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::Value;
use sha2::Digest as _;

use super::bytes::{Incoming, send};
use super::refused::{no_exam, not_a_hash, not_understood, refused, reloaded, too_long};
use crate::case::{Asker, Bound, FileName, Giver, Order, RequestId, SOFTWARE};
use crate::control::{
    Accepted, Health, LONGEST_REQUEST, Notice, Refused, Request, Status, Submit, Waited, Words,
    pack,
};
use crate::device::case_error::CaseError;
use crate::device::cases::images::{Begun, LARGEST, Pin, Upload};
use crate::device::cases::{Cases, State};
use crate::device::config::Reload;
use crate::device::health::Snapshot;
use crate::device::intake::seats::{Doing, Seat};
use crate::device::status::DeviceStatus;
use crate::patient::Patient;
use crate::sha256::Sha256;

/// The word of the request that bytes follow.
const SUBMIT: &[u8] = b"\"submit\"";
/// Bytes that are taken at once.
const PIECE: usize = 64 << 10;
/// How long a client may wait for an answer in one request.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How soon it is noticed that a client who waits has gone.
const TICK: Duration = Duration::from_secs(1);

type Answer<T> = Result<T, Refused>;

/// Talks with a client until it goes, or sends what nothing can follow.
///
/// # Errors
/// What the system says of the connection.
pub(super) fn talk(
    stream: &UnixStream,
    seat: &Seat<u32>,
    user: u32,
    cases: &Cases,
    reload: &Reload,
) -> IoResult<()> {
    let mut client = Client {
        incoming: BufReader::new(Incoming::new(stream)),
        stream,
        seat,
        cases,
        user,
    };
    while let Some(line) = client.line()? {
        seat.turns(Doing::Busy);
        let request = serde_json::from_slice(&line).map_err(|error| not_understood(&error));
        match request {
            Ok(Request::Submit(submit)) => {
                let accepted = client.submit(&submit)?;
                client.say(&accepted)?;
            }
            Ok(Request::Wait { case, seconds }) => {
                let patience = Duration::from_secs(seconds.into()).min(LONGEST_WAIT);
                let waited = client.wait(case, patience)?;
                client.say(&waited)?;
            }
            Ok(Request::Rerun { case }) => client.say(&rerun(cases, case, client.giver()))?,
            Ok(Request::Status {}) => client.say(&Ok(status(cases)))?,
            Ok(Request::Health {}) => client.say(&Ok(health(cases)))?,
            Ok(Request::Reload {}) => client.say(&reloaded(reload))?,
            Err(refused) => {
                client.leave_what_follows(&line, &refused)?;
                client.say::<Accepted>(&Err(refused))?;
            }
        }
        seat.turns(Doing::Idle);
    }
    Ok(())
}

struct Client<'a> {
    incoming: BufReader<Incoming<'a>>,
    stream: &'a UnixStream,
    seat: &'a Seat<u32>,
    cases: &'a Cases,
    /// The user that the client runs as: what it is known by where it tells no identity.
    user: u32,
}

impl Client<'_> {
    /// The next line; `None` at the end.
    fn line(&mut self) -> IoResult<Option<Vec<u8>>> {
        self.incoming.get_mut().begin();
        let mut line = Vec::new();
        let most = LONGEST_REQUEST + 1;
        let count = (&mut self.incoming)
            .take(most)
            .read_until(b'\n', &mut line)?;
        match line.last() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            // What follows cannot be told from what belongs to it.
            Some(_) if count as u64 == most => {
                self.say::<Accepted>(&Err(too_long()))?;
                Err(ErrorKind::InvalidData.into())
            }
            Some(_) => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn say<T: Serialize>(&mut self, answer: &Answer<T>) -> IoResult<()> {
        send(self.stream, &pack(answer.as_ref()))
    }

    /// Bytes follow a request to submit, even one that is not understood: they must never be
    /// taken for requests.
    fn leave_what_follows(&mut self, line: &[u8], refused: &Refused) -> IoResult<()> {
        let request = serde_json::from_slice::<Value>(line).ok();
        let is_submit = match &request {
            Some(request) => request["do"] == "submit",
            None => line.windows(SUBMIT.len()).any(|word| word == SUBMIT),
        };
        match request.and_then(|request| request["size"].as_u64()) {
            _ if !is_submit => Ok(()),
            Some(size) if size <= LARGEST.into() => {
                self.incoming.get_mut().expect(size);
                self.leave(size)
            }
            _ => {
                self.say::<Accepted>(&Err(refused.clone()))?;
                Err(ErrorKind::InvalidData.into())
            }
        }
    }

    /// Takes the image and accepts its case. Where it is refused before its bytes have come,
    /// they are read and left, so that the next request can be told from them.
    fn submit(&mut self, submit: &Submit) -> IoResult<Answer<Accepted>> {
        self.incoming.get_mut().expect(submit.size);
        let (begun, image, order) = match self.begin(submit) {
            Ok(Begin::Known(case, image)) => {
                let is_it = self.leave_image(submit.size, &image)?;
                let accepted = is_it.then_some(Accepted { case });
                return Ok(accepted.ok_or_else(|| refused(CaseError::ImageDamaged)));
            }
            Ok(Begin::Image(begun, image, order)) => (begun, image, *order),
            Err(refused) if submit.size > LARGEST.into() => {
                self.say::<Accepted>(&Err(refused))?;
                return Err(ErrorKind::FileTooLarge.into());
            }
            Err(refused) => {
                self.leave(submit.size)?;
                return Ok(Err(refused));
            }
        };
        let stored = match begun {
            Begun::Stored(pin) if self.leave_image(submit.size, &image)? => Ok(Some(pin)),
            Begun::Stored(_) => Err(CaseError::ImageDamaged),
            Begun::Wanted(upload) => self.take(upload, submit.size)?,
        };
        // Held until the case is accepted.
        let _pin = match stored {
            Ok(pin) => pin,
            Err(fault) => return Ok(Err(refused(fault))),
        };
        let accepted = self.cases.run_stored(order, &image);
        Ok(accepted.map(|case| Accepted { case }).map_err(refused))
    }

    fn giver(&self) -> Giver {
        Giver::User(self.user)
    }

    fn order(&self, submit: &Submit, image: &Digest) -> Order {
        let asker = match submit.client {
            Some(identity) => Asker::Program(identity),
            None => Asker::User(self.user),
        };
        Order {
            source: self.cases.images().path(image).display().to_string(),
            giver: Some(self.giver()),
            image: Some(Bound::Stored(Sha256(*image))),
            file_name: submit.file_name.as_deref().and_then(FileName::of),
            exam: submit.exam.clone(),
            region: submit.region,
            request: submit.request.map(|number| RequestId { asker, number }),
            priority: submit.priority,
            patient: Patient {
                age: submit.age,
                sex: submit.sex,
            },
            labels: submit.labels.clone(),
            ..Order::default()
        }
    }

    /// Everything that can be known before the bytes have come.
    fn begin(&self, submit: &Submit) -> Answer<Begin> {
        let cases = self.cases;
        let Sha256(image) = submit.sha256.parse().map_err(|_| not_a_hash())?;
        let order = self.order(submit, &image);
        if let Some(case) = cases.requested(&order).map_err(refused)? {
            return Ok(Begin::Known(case, image));
        }
        if let Some(name) = &submit.exam
            && cases.bundle().exam(name).is_none()
        {
            return Err(no_exam(cases, name));
        }
        let waits = cases.may_wait(submit.priority, order.giver.as_ref());
        waits.map_err(refused)?;
        let size = u32::try_from(submit.size).map_err(|_| refused(CaseError::ImageTooLarge))?;
        let begun = cases.begin_image(image, size, order.giver.as_ref());
        let begun = begun.map_err(refused)?;
        Ok(Begin::Image(begun, image, Box::new(order)))
    }

    /// Takes an image's bytes into the store, where it is pinned then.
    fn take(
        &mut self,
        mut upload: Box<Upload>,
        size: u64,
    ) -> IoResult<Result<Option<Pin>, CaseError>> {
        // All bytes come: what came before need not be trusted.
        if let Err(fault) = upload.begin_anew() {
            self.leave(size)?;
            return Ok(Err(fault));
        }
        let mut left = size;
        let mut bytes = vec![0; PIECE];
        while left > 0 {
            let count = self.piece(&mut bytes, left)?;
            left -= count as u64;
            if let Err(fault) = upload.take(upload.have(), &bytes[..count]) {
                self.leave(left)?;
                return Ok(Err(fault));
            }
        }
        Ok(Ok(upload.pin()))
    }

    /// Reads the bytes of an image that is here already, and leaves them; whether they are its.
    fn leave_image(&mut self, mut left: u64, image: &Digest) -> IoResult<bool> {
        let (mut bytes, mut hash) = (vec![0; PIECE], sha2::Sha256::new());
        while left > 0 {
            let count = self.piece(&mut bytes, left)?;
            hash.update(&bytes[..count]);
            left -= count as u64;
        }
        Ok(Sha256::from(hash).0 == *image)
    }

    /// Reads so many bytes and leaves them.
    fn leave(&mut self, mut left: u64) -> IoResult<()> {
        let mut bytes = vec![0; PIECE];
        while left > 0 {
            left -= self.piece(&mut bytes, left)? as u64;
        }
        Ok(())
    }

    fn piece(&mut self, bytes: &mut [u8], left: u64) -> IoResult<usize> {
        let most = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        loop {
            match self.incoming.read(&mut bytes[..most]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => {
                    self.seat.brings(*other.as_ref().unwrap_or(&0));
                    return other;
                }
            }
        }
    }

    /// The answer of a case, or where it stands when the patience is over.
    fn wait(&self, case: u64, patience: Duration) -> IoResult<Answer<Waited>> {
        // Heard from before the first look, so that no end falls in between.
        let events = self.cases.events().subscribe();
        let until = Instant::now() + patience;
        loop {
            let state = match self.cases.state(case) {
                Ok(state) => state,
                Err(fault) => return Ok(Err(refused(fault))),
            };
            let left = until.saturating_duration_since(Instant::now());
            let has_ended = !matches!(state, State::Waiting | State::Running);
            if has_ended || left.is_zero() {
                return Ok(self.waited(case, state));
            }
            if self.has_gone()? {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let tick = Instant::now() + left.min(TICK);
            while let Some(event) = events.next(tick.saturating_duration_since(Instant::now())) {
                if event.ends(case) {
                    break;
                }
            }
        }
    }

    fn waited(&self, case: u64, state: State) -> Answer<Waited> {
        let told = match self.cases.answer(case) {
            Ok(told) => told,
            Err(CaseError::NotFinished) => None,
            Err(fault) => return Err(refused(fault)),
        };
        let exam = told.as_ref().and_then(|told| told.record.exam());
        Ok(Waited {
            case,
            state: state.word().to_owned(),
            words: exam.and_then(|exam| words(self.cases, exam)),
            record: told,
            notices: notices(&self.cases.status()),
        })
    }

    /// Whether nobody is at the other end any more.
    fn has_gone(&self) -> IoResult<bool> {
        let mut ends = [PollFd::new(self.stream, PollFlags::empty())];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut ends, Some(&now)).map_err(Error::from)?;
        Ok(ends[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR))
    }
}

/// What is known before an image's bytes have come.
enum Begin {
    /// The case was accepted before.
    Known(u64, Digest),
    /// The image may come, and this is asked of it.
    Image(Begun, Digest, Box<Order>),
}

fn words(cases: &Cases, exam: &str) -> Option<Words> {
    let bundle = cases.bundle();
    let exam = bundle.exam(exam)?;
    let classes = exam.classes.iter();
    Some(Words {
        title: exam.title.clone(),
        labels: classes
            .map(|class| (class.name.clone(), class.label.clone()))
            .collect(),
    })
}

fn status(cases: &Cases) -> Status {
    let status = cases.status();
    let bundle = &status.bundle;
    Status {
        state: status.condition.word().to_owned(),
        device_fault: status.fault.as_ref().map(|fault| fault.code.clone()),
        notices: notices(&status),
        case: status.running,
        waiting: status.waiting,
        answered: status.answered,
        device: format!("{:016x}", status.device),
        software: SOFTWARE.to_owned(),
        bundle: bundle.id.clone(),
        intended_use: bundle.intended_use.word().to_owned(),
        exams: bundle.exams.iter().map(|exam| exam.name.clone()).collect(),
    }
}

/// Why no case is answered now, and what needs a person before long.
fn notices(status: &DeviceStatus) -> Vec<Notice> {
    let fault = status.fault.iter().map(|fault| Notice {
        code: fault.code.clone(),
        message: fault.what.clone(),
        help: fault.help.clone(),
        is_safe_state: true,
    });
    let warnings = status.warnings.iter().map(|warning| Notice {
        code: warning.code.clone(),
        message: warning.what.clone(),
        help: warning.help.clone(),
        is_safe_state: false,
    });
    fault.chain(warnings).collect()
}

fn health(cases: &Cases) -> Health<Snapshot> {
    let health = Snapshot::of(cases);
    Health { health }
}

fn rerun(cases: &Cases, case: u64, giver: Giver) -> Answer<Accepted> {
    let again = cases.rerun(case, giver);
    again.map(|case| Accepted { case }).map_err(|fault| {
        let gone = "its image is kept no longer: submit it anew";
        match fault {
            CaseError::NoSuchImage => Refused {
                help: gone.to_owned(),
                retry_ms: None,
                ..refused(fault)
            },
            fault => refused(fault),
        }
    })
}
