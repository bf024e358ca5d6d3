//! The device's end of a link: images come in, progress and answers go out.
//!
//! An answer is sent until the host says that it is safe there, and then never again: both are in
//! the journal, so that no restart loses or doubles one. Progress is told where there is room.

mod words;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use firmware_host::fault::Fault;
use firmware_host::link::{Change, Endpoint, Millis, Role};
use firmware_host::message::{Digest, Inbox, Report, Request, TEXT_LENGTH, pack, unpack};
use firmware_host::wire::{Damage, Packet};

use crate::case::{Asker, Channel, Giver, Identity, Order, Record, RequestId, SOFTWARE};
use crate::device::case_error::CaseError;
use crate::device::cases::Cases;
use crate::device::cases::images::{Begun, Pin, Upload};
use crate::device::events::Listener;
use crate::device::intake::console::{Console, checked};
use crate::device::status::TICK;
use crate::patient::{Age, Patient};
use crate::sha256::Sha256;
use words::{NAME, SENTENCE, answer, priority_of, progress, sex_of, short};

/// Bytes that may wait to be sent before more is asked for: replies come in order, and the
/// host does not get ahead of them.
const ENOUGH: usize = 2048;

/// Answers that may be on their way.
const OFFERED: usize = 32;

/// Images that are held for a host that sends several before it asks for their cases.
const PINS: usize = 8;

/// One line's link.
#[derive(Debug)]
pub struct Link<'a> {
    cases: &'a Cases,
    /// The line's name: what a host is known by that tells no identity.
    line: String,
    /// The host's identity, once it told one.
    host: Option<Identity>,
    endpoint: Endpoint,
    inbox: Inbox,
    outgoing: VecDeque<u8>,
    upload: Option<Upload>,
    /// Images that came and whose case was not asked for yet.
    pins: VecDeque<Pin>,
    listener: Option<Listener>,
    /// Cases that were run on this link.
    own: BTreeSet<u64>,
    /// Answers that were sent and not taken.
    offered: BTreeSet<u64>,
    /// The code of the trouble that the host was told of.
    device_fault: Option<String>,
    /// The warnings that it was told of, where it wants to hear of them.
    watches: Option<Watches>,
    /// Answers of all cases are wanted.
    fetching: bool,
    /// The host wants to hear when there are none left.
    owes_fetched: bool,
}

/// What a host that wants to hear of warnings was told.
#[derive(Debug, Default)]
struct Watches {
    codes: String,
    /// What to do about the first.
    help: String,
    /// When it was looked last.
    looked: Option<Instant>,
}

impl Watches {
    fn is_due(&self, now: Instant) -> bool {
        let since = |looked| now.saturating_duration_since(looked);
        self.looked.is_none_or(|looked| since(looked) >= TICK / 2)
    }
}

impl<'a> Link<'a> {
    /// No link yet.
    pub fn new(cases: &'a Cases, line: &str, baud: u32) -> Self {
        Self {
            cases,
            line: line.to_owned(),
            host: None,
            endpoint: Endpoint::new(Role::Device, baud),
            inbox: Inbox::default(),
            outgoing: VecDeque::new(),
            upload: None,
            pins: VecDeque::new(),
            listener: None,
            own: BTreeSet::new(),
            offered: BTreeSet::new(),
            device_fault: None,
            watches: None,
            fetching: false,
            owes_fetched: false,
        }
    }

    /// Whether a host is there.
    pub fn is_open(&self) -> bool {
        self.endpoint.is_open()
    }

    /// Takes what came as a frame.
    pub fn take(&mut self, frame: Result<Packet<'_>, Damage>, console: &mut Console, now: Millis) {
        match frame.map(|packet| self.endpoint.receive(&packet, now)) {
            Ok(Change::None) => self.serve(console),
            Ok(Change::Opened) => self.begin(),
            Ok(Change::Closed) => self.reset(),
            Err(Damage::Version(_)) => self.endpoint.receive_other_version(),
            // The line spoilt it: it will be sent again.
            Err(_) => {}
        }
    }

    /// The next packet to send.
    pub fn next_packet(&mut self, console: &mut Console, now: Millis) -> Option<Packet<'_>> {
        if self.endpoint.expire(now) {
            log::info!("link: the host went silent");
            self.reset();
        }
        if self.endpoint.is_open() {
            self.serve(console);
            self.tell_safe_state();
            self.tell_warnings();
            self.tell_progress();
            self.offer();
            self.hand_over();
        }
        self.endpoint.next_packet(now)
    }

    /// The line is gone.
    pub fn abandon(&mut self) {
        self.endpoint.abandon();
        self.reset();
    }

    /// What was sent and not taken will be sent again on another link.
    fn reset(&mut self) {
        self.cases.withdraw(&std::mem::take(&mut self.offered));
        self.inbox.forget();
        self.outgoing.clear();
        self.upload = None;
        self.pins.clear();
        self.listener = None;
        self.own.clear();
        self.device_fault = None;
        self.watches = None;
        self.fetching = false;
        self.owes_fetched = false;
        self.host = None;
    }

    fn begin(&mut self) {
        self.reset();
        self.listener = Some(self.cases.events().subscribe());
        let bundle = self.cases.bundle();
        let name = format!("{} {}", bundle.id.name, bundle.id.version);
        self.say(&Report::Hello {
            device: self.cases.device(),
            software: SOFTWARE,
            bundle: short(&name, NAME),
            intended_use: bundle.intended_use.word(),
        });
        self.tell_safe_state();
    }

    fn say(&mut self, report: &Report<'_>) {
        match pack(report) {
            Some(bytes) => self.outgoing.extend(bytes.iter()),
            // All texts are cut to their lengths before.
            None => log::error!("link: a message is too long"),
        }
    }

    fn hand_over(&mut self) {
        while self.endpoint.room() > 0 && !self.outgoing.is_empty() {
            let (front, _) = self.outgoing.as_slices();
            let count = self.endpoint.write(front);
            self.outgoing.drain(..count);
        }
    }

    fn serve(&mut self, console: &mut Console) {
        while self.outgoing.len() < ENOUGH && self.endpoint.is_open() {
            let body = match self.inbox.next(&mut self.endpoint) {
                Ok(Some(body)) => body.to_vec(),
                Ok(None) => return,
                Err(_) => {
                    self.endpoint.close();
                    return self.reset();
                }
            };
            match unpack(&body) {
                Some(request) => self.request(request, console),
                None => self.refuse(None, Fault::Message),
            }
        }
    }

    fn refuse(&mut self, request: Option<u64>, fault: Fault) {
        let mut text = fault.text().to_owned();
        if let Fault::RequestReused { highest } = fault {
            text += &format!("; the highest in use is {highest}");
        }
        self.say(&Report::Refused {
            request,
            number: fault.number(),
            text: &text,
        });
    }

    fn request(&mut self, request: Request<'_>, console: &mut Console) {
        match request {
            Request::Console { line } => {
                let answer = console.message(checked(line), self.cases);
                self.say_text(&answer);
            }
            Request::Put { image, size } => {
                self.upload = None;
                match self.cases.begin_image(image, size, Some(&console.giver())) {
                    Ok(Begun::Stored(pin)) => self.stored(image, Some(pin)),
                    Ok(Begun::Wanted(upload)) => {
                        let offset = upload.have();
                        self.upload = Some(*upload);
                        self.say(&Report::Wanted { image, offset });
                    }
                    Err(error) => self.refuse(None, error.into()),
                }
            }
            Request::Chunk { offset, bytes } => self.chunk(offset, bytes),
            Request::Run {
                request,
                image,
                exam,
                region,
            } => {
                let order = Order {
                    exam: exam.map(str::to_owned),
                    region,
                    ..Order::default()
                };
                self.run(request, &image, order, console.giver());
            }
            Request::RunWith {
                request,
                image,
                exam,
                region,
                priority,
                age,
                sex,
            } => {
                let Ok(age) = age.map(Age::try_from).transpose() else {
                    return self.refuse(Some(request), Fault::OutOfRange);
                };
                let order = Order {
                    exam: exam.map(str::to_owned),
                    region,
                    priority: priority_of(priority),
                    patient: Patient {
                        age,
                        sex: sex.map(sex_of),
                    },
                    ..Order::default()
                };
                self.run(request, &image, order, console.giver());
            }
            Request::Watch => {
                self.watches = Some(Watches::default());
                self.tell_warnings();
            }
            Request::Client { identity } => self.host = Some(Identity(identity)),
            Request::Fetch => {
                self.fetching = true;
                self.owes_fetched = true;
            }
            Request::Taken { case } => self.taken(case),
        }
    }

    fn run(&mut self, request: u64, image: &Digest, order: Order, giver: Giver) {
        let asker = match self.host {
            Some(identity) => Asker::Host(identity),
            None => Asker::Line(self.line.clone()),
        };
        let order = Order {
            source: self.cases.images().path(image).display().to_string(),
            request: Some(RequestId {
                asker,
                number: request,
            }),
            giver: Some(giver),
            ..order
        };
        match self.cases.run_stored(order, image) {
            Ok(case) => {
                self.pins.retain(|pin| pin.image() != image);
                self.accepted(request, case);
            }
            Err(error) => self.refuse(Some(request), error.into()),
        }
    }

    fn say_text(&mut self, text: &str) {
        let mut rest = text;
        loop {
            let part = short(rest, TEXT_LENGTH);
            rest = &rest[part.len()..];
            let more = !rest.is_empty();
            self.say(&Report::Console { text: part, more });
            if !more {
                return;
            }
        }
    }

    /// An image is in the store, and stays there until its case is asked for.
    fn stored(&mut self, image: Digest, pin: Option<Pin>) {
        self.pins.extend(pin);
        if self.pins.len() > PINS {
            self.pins.pop_front();
        }
        self.say(&Report::Stored { image });
    }

    /// Chunks that are still on their way after a refusal belong to nothing.
    fn chunk(&mut self, offset: u32, bytes: &[u8]) {
        let Some(upload) = &mut self.upload else {
            return;
        };
        match upload.take(offset, bytes) {
            Ok(false) => {}
            Ok(true) => {
                let (image, pin) = (upload.image(), upload.pin());
                self.upload = None;
                self.stored(image, pin);
            }
            Err(fault) => {
                self.upload = None;
                self.refuse(None, fault.into());
            }
        }
    }

    fn accepted(&mut self, request: u64, case: u64) {
        self.own.insert(case);
        self.say(&Report::Accepted { request, case });
        // Asked for again after it was taken: the host has lost it.
        if self.cases.is_delivered(case) {
            self.say_answer(case);
        }
    }

    fn taken(&mut self, case: u64) {
        if self.offered.contains(&case) && self.cases.deliver(case).is_ok() {
            self.offered.remove(&case);
            self.own.remove(&case);
        }
    }

    /// What stands, not what was told: it is said again on each link, and when it changes.
    fn tell_safe_state(&mut self) {
        let device_fault = self.cases.device_fault();
        let code = device_fault
            .as_ref()
            .map(|device_fault| device_fault.code.clone());
        if code == self.device_fault || self.endpoint.room() < ENOUGH {
            return;
        }
        self.device_fault = code;
        let (code, help) = device_fault
            .as_ref()
            .map_or(("", ""), |t| (&t.code, &t.help));
        self.say(&Report::SafeState {
            code: short(code, NAME),
            help: short(help, SENTENCE),
        });
    }

    /// The same of warnings, for a host that asked for them.
    fn tell_warnings(&mut self) {
        let now = self.cases.clock().now();
        let is_due = self.watches.as_ref().is_some_and(|told| told.is_due(now));
        if self.endpoint.room() < ENOUGH || !is_due {
            return;
        }
        let status = self.cases.status();
        let codes = status.warning_codes().join(",");
        let first = status.warnings.first();
        let help = first.map_or("", |warning| &warning.help);
        let told = self.watches.replace(Watches {
            codes: codes.clone(),
            help: help.to_owned(),
            looked: Some(now),
        });
        if told.is_none_or(|told| told.codes == codes && told.help == help) {
            return;
        }
        self.say(&Report::Warnings {
            codes: short(&codes, SENTENCE),
            help: short(help, SENTENCE),
        });
    }

    fn tell_progress(&mut self) {
        while let Some(event) = self.listener.as_ref().and_then(|l| l.next(Duration::ZERO)) {
            if let Some(report) = progress(&event)
                && self.outgoing.is_empty()
                && self.endpoint.room() >= ENOUGH
            {
                self.say(&report);
            }
        }
    }

    fn offer(&mut self) {
        while self.offered.len() < OFFERED && self.outgoing.len() < ENOUGH {
            let among = (!self.fetching).then_some(&self.own);
            let Some(case) = self.cases.offer(among) else {
                break;
            };
            self.offered.insert(case);
            self.say_answer(case);
        }
        if self.owes_fetched && self.offered.is_empty() {
            self.owes_fetched = false;
            self.say(&Report::Fetched);
        }
    }

    fn say_answer(&mut self, case: u64) {
        self.say_image(case);
        match self.cases.answer(case) {
            Ok(Some(told)) => {
                self.say_notes(case, &told.record);
                let help = told.record.refusal().map(|of| of.help.words(Channel::Link));
                self.say(&answer(case, &told.record, &help.unwrap_or_default()));
            }
            Ok(None) => self.say(&Report::Aborted { case }),
            // Said of the case and not as a refused request: the host asked for nothing, and what
            // it is just sending is another case's.
            Err(error @ CaseError::OtherVersion) => {
                let bundle = self.cases.bundle();
                self.say(&Report::Refusal {
                    case,
                    code: error.code(),
                    help: short(error.help(), SENTENCE),
                    intended_use: bundle.intended_use.word(),
                });
            }
            // The journal cannot be read now, which is told as the device's state: the answer
            // waits for another link.
            Err(error) => log::warn!("case {case}: its answer cannot be said now: {error}"),
        }
    }

    /// Says the codes of what else a reader must know of a finding, to hosts that know the
    /// message.
    fn say_notes(&mut self, case: u64, record: &Record) {
        let codes: Vec<&str> = record.notes().collect();
        if self.host.is_some() && !codes.is_empty() {
            let codes = codes.join(",");
            let codes = short(&codes, TEXT_LENGTH);
            self.say(&Report::Notes { case, codes });
        }
    }

    /// Which image an answer is about, for hosts that know the message.
    fn say_image(&mut self, case: u64) {
        if self.host.is_none() {
            return;
        }
        match self.cases.image_hash(case) {
            Ok(Some(Sha256(image))) => self.say(&Report::About { case, image }),
            Ok(None) => {}
            // The answer says that the journal cannot be read, or comes without it.
            Err(fault) => log::warn!("case {case}: its image's hash is not known: {fault}"),
        }
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        self.reset();
    }
}
