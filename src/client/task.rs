//! One image that a host wants answered: its bytes go out in chunks, its case is asked for by
//! number, and it waits for its answer. Called by the conversation alone, each time there is
//! space on the line; never waits.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use firmware_host::message::{self, CHUNK_LENGTH, Digest, Request};
use sha2::{Digest as _, Sha256};

use super::Client;
use crate::image::open::{self, NoFile};
use crate::patient::{Age, Patient, Sex};

/// Is told how many bytes of a task's image are on their way, and of how many.
type Sent<'a> = &'a mut dyn FnMut(&Task, usize, usize);

/// An image that is to be answered, and how far that has come on this link.
#[derive(Debug)]
pub struct Task {
    pub(super) path: PathBuf,
    bytes: Vec<u8>,
    pub(super) image: Digest,
    pub(super) request: u64,
    exam: Option<String>,
    region: Option<[u32; 4]>,
    patient: Patient,
    pub(super) state: State,
    /// The device found the bytes damaged, once.
    pub(super) damaged: bool,
    /// The device asked to come back later.
    pub(super) not_before: Option<Instant>,
}

/// How long a device that has no room is left alone.
pub(super) const LATER: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was said of it on this link.
    Waiting,
    /// It was put; the device says what it wants.
    Put,
    /// Its bytes are being sent.
    Sending(u32),
    /// All were sent.
    Sent,
    /// The case was asked for.
    Asked,
    /// The device has the case.
    Accepted(u64),
    Done,
}

impl Task {
    /// Reads an image file; `request` is a number that no other task had.
    ///
    /// # Errors
    /// [`NoFile`].
    pub fn read(
        path: &Path,
        exam: Option<&str>,
        region: Option<[u32; 4]>,
        request: u64,
    ) -> Result<Self, NoFile> {
        let bytes = open::bytes(path)?;
        Ok(Self {
            path: path.to_owned(),
            image: Sha256::digest(&bytes).into(),
            bytes,
            request,
            exam: exam.map(str::to_owned),
            region,
            patient: Patient::default(),
            state: State::Waiting,
            damaged: false,
            not_before: None,
        })
    }

    /// The same, of this patient.
    #[must_use]
    pub fn of(self, patient: Patient) -> Self {
        Self { patient, ..self }
    }

    /// The image's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Task {
    /// The case that it became and that is not answered yet.
    pub(super) fn case(&self) -> Option<u64> {
        match self.state {
            State::Accepted(case) => Some(case),
            _ => None,
        }
    }

    pub(super) fn is_case(&self, case: u64) -> bool {
        self.state == State::Accepted(case)
    }

    /// Says what can be said now.
    pub(super) fn speak(&mut self, client: &mut Client, sent: Sent<'_>) {
        let may = self.not_before.is_none_or(|time| time <= Instant::now());
        if self.state == State::Waiting && may {
            let image = self.image;
            // What is longer than any device takes is said to be as long as can be said.
            let size = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
            if client.say(&Request::Put { image, size }) {
                self.state = State::Put;
            }
        }
        if let State::Sending(from) = self.state {
            self.send_chunks(from as usize, client, sent);
        }
        if self.state == State::Sent && client.say(&self.run()) {
            self.state = State::Asked;
        }
    }

    /// The shorter message where it says all: devices of before the longer one know it.
    fn run(&self) -> Request<'_> {
        let (request, image) = (self.request, self.image);
        let (exam, region) = (self.exam.as_deref(), self.region);
        if self.patient.is_unknown() {
            return Request::Run {
                request,
                image,
                exam,
                region,
            };
        }
        Request::RunWith {
            request,
            image,
            exam,
            region,
            priority: message::Priority::Routine,
            age: self.patient.age.map(Age::years),
            sex: self.patient.sex.map(|sex| match sex {
                Sex::F => message::Sex::Female,
                Sex::M => message::Sex::Male,
                Sex::O => message::Sex::Other,
            }),
        }
    }

    /// As many bytes as there is room for; the device says when it has all.
    fn send_chunks(&mut self, from: usize, client: &mut Client, sent: Sent<'_>) {
        let mut offset = from.min(self.bytes.len());
        while offset < self.bytes.len() {
            let end = self.bytes.len().min(offset + CHUNK_LENGTH);
            let chunk = Request::Chunk {
                offset: offset as u32,
                bytes: &self.bytes[offset..end],
            };
            if !client.say(&chunk) {
                break;
            }
            offset = end;
        }
        if offset != from {
            self.state = State::Sending(offset as u32);
            sent(self, offset, self.bytes.len());
        }
    }
}
