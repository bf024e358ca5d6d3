//! What a host asks of a device over a link, until all is done: images are sent, answers are taken.
//! Called by `medfocus link`.
//!
//! Everything may be asked twice. When a link opens, whatever is not done is asked again, and the
//! device goes on where it was; so a lost link is no special case. An answer is acknowledged only
//! once it is safe here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use firmware_host::fault::Fault;
use firmware_host::message::{self, Digest, Report, Request, Step};

use super::answer::{Answer, Code, Device, Outcome};
use super::task::{LATER, State, Task};
use super::{Client, ClientError, Heard};
use crate::case::Identity;

/// Is told how a conversation goes on.
pub trait Watcher {
    /// So many bytes of an image are on their way.
    fn sent(&mut self, task: &Task, bytes: usize, of: usize);
    /// A case of this conversation goes on.
    fn progress(&mut self, task: &Task, step: Step);
    /// An answer came; once this returns, the device forgets it.
    ///
    /// # Errors
    /// Where it cannot be kept: the device keeps it, and the conversation ends.
    fn answer(&mut self, answer: Answer) -> Result<(), ClientError>;
    /// The device says of itself why it does not answer, or what needs a person.
    fn status(&mut self, status: Status<'_>);
    /// The device answers a console line.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn console(&mut self, text: &str) -> Result<(), ClientError>;
}

/// What a device says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status<'a> {
    /// Its cases are kept and none is answered.
    Safe {
        /// Why.
        code: &'a str,
        /// What to do about it.
        help: &'a str,
    },
    /// It answers again.
    Answers,
    /// Something needs a person before long.
    Warns {
        /// What, comma between.
        codes: &'a str,
        /// What to do about the first.
        help: &'a str,
    },
    /// Nothing does any more.
    Well,
}

/// How far answers are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fetch {
    /// Those of the conversation's own tasks.
    Own,
    /// All that the device has.
    All,
    /// All, and those to come, without end.
    Follow,
}

/// How far a link has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Introduction {
    /// The device is still to be told who this host is.
    Owed,
    /// It is still to be told that this host wants to hear of warnings.
    WatchOwed,
    /// It was told both.
    Said,
}

/// Tasks, lines and answers over one client.
pub struct Conversation<'a> {
    client: &'a mut Client,
    watcher: &'a mut dyn Watcher,
    tasks: Vec<Task>,
    lines: VecDeque<String>,
    fetch: Fetch,
    fetched: bool,
    /// The front line was said, and what came of its answer.
    said: Option<String>,
    /// What the device said of itself.
    device: Option<Device>,
    identity: Identity,
    introduction: Introduction,
    /// How many messages of the introduction a device of before may still refuse.
    may_be_unknown: u8,
    /// All has to be done by then, and how long that was.
    until: Option<(Instant, Duration)>,
    /// The image of the answer that comes next.
    about: Option<(u64, Digest)>,
    /// What else is to be known of it.
    notes: Option<(u64, Vec<String>)>,
    /// [`Request::Fetch`] is still to be said on this link.
    owes_fetch: bool,
    /// Answers that are safe here, and of which the device does not know.
    taken: VecDeque<u64>,
}

impl<'a> Conversation<'a> {
    /// A conversation that wants these things.
    pub fn new(
        client: &'a mut Client,
        watcher: &'a mut dyn Watcher,
        tasks: Vec<Task>,
        lines: Vec<String>,
        fetch: Fetch,
        identity: Identity,
    ) -> Self {
        Self {
            client,
            watcher,
            tasks,
            lines: lines.into(),
            fetch,
            fetched: fetch == Fetch::Own,
            said: None,
            device: None,
            identity,
            introduction: Introduction::Owed,
            may_be_unknown: 0,
            until: None,
            about: None,
            notes: None,
            owes_fetch: false,
            taken: VecDeque::new(),
        }
    }

    /// The same, which ends after so long whatever is left to do.
    #[must_use]
    pub fn within(self, total: Option<Duration>) -> Self {
        let until = total.map(|total| (Instant::now() + total, total));
        Self { until, ..self }
    }

    /// Goes on until everything is done.
    ///
    /// # Errors
    /// [`ClientError`]; what was not done may be asked for again.
    pub fn run(&mut self) -> Result<(), ClientError> {
        loop {
            self.hold_to_time()?;
            let heard = self.client.hear()?;
            match &heard {
                Heard::Opened => self.begin(),
                Heard::Nothing => {}
                Heard::Said(_) => {
                    if let Some(report) = heard.report() {
                        self.take(report)?;
                    }
                }
            }
            self.speak();
            if self.is_done() && self.client.is_settled() {
                return Ok(());
            }
        }
    }

    fn hold_to_time(&self) -> Result<(), ClientError> {
        match self.until {
            Some((until, total)) if Instant::now() >= until => {
                let accepted = self.tasks.iter().filter_map(Task::case);
                Err(ClientError::TimeIsUp {
                    seconds: total.as_secs(),
                    cases: accepted.collect(),
                })
            }
            _ => Ok(()),
        }
    }

    fn is_done(&self) -> bool {
        self.fetch != Fetch::Follow
            && self.fetched
            && self.lines.is_empty()
            && self.taken.is_empty()
            && self.tasks.iter().all(|task| task.state == State::Done)
    }

    /// On a new link the device knows nothing of what was being asked.
    fn begin(&mut self) {
        self.owes_fetch = self.fetch != Fetch::Own;
        (self.introduction, self.about) = (Introduction::Owed, None);
        self.may_be_unknown = 0;
        self.said = None;
        // The device sends again what it does not know to be safe.
        self.taken.clear();
        for task in &mut self.tasks {
            task.state = match task.state {
                State::Done => State::Done,
                // Asked again by its number, it is the same case.
                State::Asked | State::Accepted(_) => State::Sent,
                _ => State::Waiting,
            };
        }
    }

    fn speak(&mut self) {
        if self.introduction == Introduction::Owed {
            let Identity(identity) = self.identity;
            if !self.client.say(&Request::Client { identity }) {
                return;
            }
            self.introduction = Introduction::WatchOwed;
            self.may_be_unknown = 1;
        }
        if self.introduction == Introduction::WatchOwed {
            if !self.client.say(&Request::Watch) {
                return;
            }
            self.introduction = Introduction::Said;
            self.may_be_unknown += 1;
        }
        while let Some(&case) = self.taken.front()
            && self.client.say(&Request::Taken { case })
        {
            self.taken.pop_front();
        }
        if self.owes_fetch {
            self.owes_fetch = !self.client.say(&Request::Fetch);
        }
        if let (None, Some(line)) = (&self.said, self.lines.front())
            && self.client.say(&Request::Console { line })
        {
            self.said = Some(String::new());
        }
        for task in &mut self.tasks {
            if task.state == State::Done {
                continue;
            }
            let watcher = &mut *self.watcher;
            task.speak(self.client, &mut |task, bytes, of| {
                watcher.sent(task, bytes, of);
            });
            // One image after the other: the line is full with one.
            if matches!(task.state, State::Waiting | State::Put | State::Sending(_)) {
                return;
            }
        }
    }

    fn take(&mut self, report: Report<'_>) -> Result<(), ClientError> {
        match report {
            Report::Hello {
                device,
                software,
                bundle,
                intended_use: _,
            } => {
                self.device = Some(Device {
                    device: format!("{device:016x}"),
                    software: software.to_owned(),
                    bundle: bundle.to_owned(),
                });
            }
            Report::Console { text, more } => return self.console(text, more),
            Report::Wanted { image, offset } => {
                for task in self.of_image(&image) {
                    task.state = State::Sending(offset);
                }
            }
            Report::Stored { image } => {
                for task in self.of_image(&image) {
                    task.state = State::Sent;
                }
            }
            Report::Accepted { request, case } => {
                for task in &mut self.tasks {
                    if task.request == request && task.state != State::Done {
                        task.state = State::Accepted(case);
                    }
                }
            }
            Report::Refused {
                request,
                number,
                text,
            } => return self.refused(request, number, text),
            Report::Progress { case, step } => {
                if let Some(task) = self.tasks.iter().find(|task| task.is_case(case)) {
                    self.watcher.progress(task, step);
                }
            }
            Report::StorageFault(failed) => {
                ::log::warn!("the device's storage fails: {failed}");
            }
            Report::SafeState { code: "", .. } => self.watcher.status(Status::Answers),
            Report::SafeState { code, help } => {
                self.watcher.status(Status::Safe { code, help });
            }
            Report::Warnings { codes: "", .. } => self.watcher.status(Status::Well),
            Report::Warnings { codes, help } => {
                self.watcher.status(Status::Warns { codes, help });
            }
            Report::Finding { case, finding } => return self.answer(case, found(&finding)),
            Report::Refusal {
                case,
                code,
                help,
                intended_use,
            } => {
                let outcome = Outcome::Refusal {
                    code: Code::Word(code.to_owned()),
                    help: help.to_owned(),
                    intended_use: Some(intended_use.to_owned()),
                };
                return self.answer(case, outcome);
            }
            Report::Aborted { case } => return self.answer(case, Outcome::Aborted),
            Report::Fetched => self.fetched = true,
            Report::About { case, image } => self.about = Some((case, image)),
            Report::Notes { case, codes } => {
                let codes = codes.split(',').map(str::to_owned).collect();
                self.notes = Some((case, codes));
            }
        }
        Ok(())
    }

    fn of_image(&mut self, image: &Digest) -> impl Iterator<Item = &mut Task> {
        let image = *image;
        self.tasks.iter_mut().filter(move |task| {
            let is_coming = matches!(task.state, State::Put | State::Sending(_));
            is_coming && task.image == image
        })
    }

    fn console(&mut self, text: &str, more: bool) -> Result<(), ClientError> {
        let Some(answer) = &mut self.said else {
            return Ok(());
        };
        answer.push_str(text);
        if !more {
            self.watcher.console(answer)?;
            self.said = None;
            self.lines.pop_front();
        }
        Ok(())
    }

    /// A refused request ends its task, except where sending the image again can help.
    fn refused(
        &mut self,
        request: Option<u64>,
        number: i16,
        text: &str,
    ) -> Result<(), ClientError> {
        let is_unknown_message = request.is_none() && number == Fault::Message.number();
        if is_unknown_message && self.may_be_unknown > 0 {
            self.may_be_unknown -= 1;
            return Ok(());
        }
        let outcome = Outcome::Refusal {
            code: Code::Number(number),
            help: text.to_owned(),
            intended_use: None,
        };
        let concerned = self.tasks.iter_mut().find(|task| match request {
            None if is_unknown_message => task.state == State::Asked,
            Some(request) => task.request == request && task.state == State::Asked,
            None => matches!(task.state, State::Put | State::Sending(_)),
        });
        let Some(task) = concerned else {
            ::log::warn!("the device refused something: {text} ({number})");
            return Ok(());
        };
        let again = number == Fault::NoSuchImage.number()
            || number == Fault::ImageBusy.number()
            || number == Fault::TooManyWaiting.number()
            || number == Fault::StoreFull.number()
            || (number == Fault::ImageDamaged.number()
                && !std::mem::replace(&mut task.damaged, true));
        if again {
            task.state = State::Waiting;
            task.not_before = Some(Instant::now() + LATER);
            return Ok(());
        }
        task.state = State::Done;
        let source = task.path.display().to_string();
        self.watcher.answer(Answer {
            device: self.device.clone(),
            ..Answer::new(None, Some(source), outcome)
        })
    }

    fn answer(&mut self, case: u64, outcome: Outcome) -> Result<(), ClientError> {
        let task = self.tasks.iter_mut().find(|task| task.is_case(case));
        let about = self.about.take().filter(|(about, _)| *about == case);
        if let (Some(task), Some((_, image))) = (&task, &about)
            && task.image != *image
        {
            let path = task.path.clone();
            return Err(ClientError::OtherImage { path, case });
        }
        let source = task.as_ref().map(|task| task.path.display().to_string());
        let notes = self.notes.take().filter(|(of, _)| *of == case);
        let answer = Answer {
            device: self.device.clone(),
            notes: notes.map(|(_, codes)| codes).unwrap_or_default(),
            image_sha256: about.map(|(_, image)| crate::sha256::Sha256(image)),
            ..Answer::new(Some(case.to_string()), source, outcome)
        };
        if let Some(task) = task {
            task.state = State::Done;
        }
        self.watcher.answer(answer)?;
        self.taken.push_back(case);
        Ok(())
    }
}

fn found(finding: &message::Finding<'_>) -> Outcome {
    let classes = finding.probabilities.iter();
    Outcome::Finding {
        exam: finding.exam.to_owned(),
        class: finding.class.to_owned(),
        probabilities: classes
            .map(|(class, p)| ((*class).to_owned(), *p))
            .collect(),
        triage_level: finding.level.to_owned(),
        region: finding.region,
        area_fraction: finding.area_fraction,
        intended_use: finding.intended_use.to_owned(),
    }
}
