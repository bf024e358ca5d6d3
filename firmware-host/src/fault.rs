//! Protocol: numbered errors, as SCPI-99 (volume 2, chapter 21.8) numbers them where it has one;
//! what is the device's own is positive. A number never changes its meaning.

use core::fmt;

use heapless::Deque;

/// What can be wrong with a line or with what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A byte that no line may hold, or text that is not UTF-8.
    InvalidCharacter,
    /// The line is no command with parameters.
    Syntax,
    /// A number was expected.
    DataType,
    /// More parameters than the command takes.
    ParameterNotAllowed,
    /// Fewer parameters than the command needs.
    MissingParameter,
    /// No such command.
    UndefinedHeader,
    /// A number outside what the command allows.
    OutOfRange,
    /// A word that is none of those that the command knows.
    IllegalParameter,
    /// The device has no such part, for example no display.
    HardwareMissing,
    /// The self-test was not passed: no case is answered until it is.
    SelfTest,
    /// More errors came than the queue holds; the newest were dropped.
    QueueOverflow,
    /// The line was longer than the device holds.
    LineTooLong,
    /// The checksum is not that of the line.
    Checksum,
    /// No case of this number.
    NoSuchCase,
    /// The case has no answer yet.
    NotFinished,
    /// As many cases wait as the device holds.
    TooManyWaiting,
    /// A case is running.
    Busy,
    /// The device's storage refuses to write: nothing was accepted.
    Storage,
    /// The device is being switched off: nothing was accepted.
    Stopping,
    /// There is hardly any room left on the device's storage: nothing was accepted.
    StorageFull,
    /// The image is larger than the device takes.
    ImageTooLarge,
    /// The bytes of an image have another hash than was said.
    ImageDamaged,
    /// No image of this hash is stored.
    NoSuchImage,
    /// Another line sends this image.
    ImageBusy,
    /// The number of a request was used before, for another image, exam or option.
    RequestReused {
        /// The highest number that its asker has used: one above it is free.
        highest: u64,
    },
    /// The file was written to while it was copied.
    ImageUnsteady,
    /// The images of cases that wait fill the store.
    StoreFull,
    /// The file could not be copied in time.
    ImageTimeout,
    /// A message that is none, or came where it does not belong.
    Message,
    /// The file lies in none of the folders that a console may name files of.
    NotNameable,
    /// Too many cases of this source came to nothing of late.
    TooManyRefused,
    /// Another version of the program wrote the answer, in a form that this one does not know.
    OtherVersion,
    /// The exponent of a number is larger than any that is read.
    ExponentTooLarge,
    /// What was to be chosen for the next case was refused, and was not chosen anew.
    SettingsConflict,
    /// A text is longer than is kept.
    TooMuchData,
    /// A wait was asked for in a message of a link, which is told of answers as they come.
    NoWait,
    /// The device's time cannot be set so.
    TimeRefused,
}

impl Fault {
    /// The number that is written on the line.
    pub const fn number(self) -> i16 {
        match self {
            Self::InvalidCharacter => -101,
            Self::Syntax => -102,
            Self::DataType => -104,
            Self::ParameterNotAllowed => -108,
            Self::MissingParameter => -109,
            Self::UndefinedHeader => -113,
            Self::OutOfRange => -222,
            Self::IllegalParameter => -224,
            Self::HardwareMissing => -241,
            Self::SelfTest => -330,
            Self::QueueOverflow => -350,
            Self::LineTooLong => -363,
            Self::Checksum => 1,
            Self::NoSuchCase => 10,
            Self::NotFinished => 11,
            Self::TooManyWaiting => 12,
            Self::Busy => 14,
            Self::TooManyRefused => 15,
            Self::OtherVersion => 16,
            Self::Storage => 20,
            Self::Stopping => 21,
            Self::StorageFull => 22,
            Self::ImageTooLarge => 30,
            Self::ImageDamaged => 31,
            Self::NoSuchImage => 32,
            Self::ImageBusy => 33,
            Self::RequestReused { .. } => 34,
            Self::ImageUnsteady => 35,
            Self::StoreFull => 36,
            Self::ImageTimeout => -365,
            Self::Message => 40,
            Self::NotNameable => 37,
            Self::ExponentTooLarge => -123,
            Self::SettingsConflict => -221,
            Self::TooMuchData => -223,
            Self::NoWait => 41,
            Self::TimeRefused => 42,
        }
    }

    /// Its bit in the standard event status register (IEEE 488.2, 11.5.1; SCPI-99, volume 2, 21.8.2).
    pub const fn event(self) -> u8 {
        match self.number() {
            -199..=-100 => 0x20,
            -299..=-200 => 0x10,
            -499..=-400 => 0x04,
            _ => 0x08,
        }
    }

    /// One sentence for people, with the way out.
    pub const fn text(self) -> &'static str {
        match self {
            Self::InvalidCharacter => "Invalid character; a line is printable UTF-8",
            Self::Syntax => "Syntax error; HELP? lists the commands",
            Self::DataType => "Data type error; a number was expected",
            Self::ParameterNotAllowed => "Parameter not allowed; HELP? lists the commands",
            Self::MissingParameter => "Missing parameter; HELP? lists the commands",
            Self::UndefinedHeader => "Undefined header; HELP? lists the commands",
            Self::OutOfRange => "Data out of range",
            Self::IllegalParameter => {
                "Illegal parameter value; EXAM:LIST? and HELP? say what there is"
            }
            Self::HardwareMissing => "Hardware missing; the device has no such part",
            Self::SelfTest => "Self-test failed; STAT? says why",
            Self::QueueOverflow => "Queue overflow; errors were lost",
            Self::LineTooLong => "Input buffer overrun; the line is too long",
            Self::Checksum => "Checksum mismatch; send the line again",
            Self::NoSuchCase => "No such case; CASE:LIST? names the last ones",
            Self::NotFinished => "Case not finished; ask CASE:STAT? until it is",
            Self::TooManyWaiting => "Too many cases waiting; wait for one to finish",
            Self::Busy => "A case is running; ask again when *OPC? answers 1",
            Self::TooManyRefused => {
                "Too many of your images were refused of late; mend what sends them, and ask again later"
            }
            Self::OtherVersion => {
                "Answer of another version; medfocus journal show says what stands in it"
            }
            Self::Storage => "Storage cannot be written; nothing was accepted",
            Self::Stopping => "Device is being switched off; ask again after its next start",
            Self::StorageFull => "Storage is nearly full; nothing was accepted, make room",
            Self::ImageTooLarge => "Image too large; export it at a smaller size",
            Self::ImageDamaged => "Image damaged; it was forgotten, send it again",
            Self::NoSuchImage => "No such image; send it first",
            Self::ImageBusy => "Another line sends this image; wait for it",
            Self::RequestReused { .. } => {
                "Request number in use for another image, exam or option; take a higher one"
            }
            Self::StoreFull => "The store of images is full; wait for cases to end",
            Self::ImageUnsteady => "The file is still being written; ask again when it is whole",
            Self::ImageTimeout => {
                "Time out error; the file was not read in time, nothing was accepted"
            }
            Self::Message => "Message out of place; the other end speaks another protocol",
            Self::NotNameable => {
                "File in no folder of the console; console.folders or --console-folder allows one"
            }
            Self::ExponentTooLarge => "Exponent too large; write the number without one",
            Self::SettingsConflict => {
                "Settings conflict; a setting for this case was refused: choose it anew, or *RST"
            }
            Self::TooMuchData => "Too much data; a number or label has at most 64 letters",
            Self::NoWait => "No waiting in a message of a link; it is told of answers as they come",
            Self::TimeRefused => "Time not set; no clock shows it, or it could not be written down",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},\"{}\"", self.number(), self.text())
    }
}

/// The last errors, oldest first, until someone asks. A full queue keeps what it has and
/// says at its end that more came (SCPI-99, 21.8.1).
#[derive(Debug, Default)]
pub struct FaultQueue {
    faults: Deque<Fault, { Self::LENGTH }>,
}

impl FaultQueue {
    /// Errors that are kept.
    pub const LENGTH: usize = 16;

    /// Keeps an error.
    pub fn push(&mut self, fault: Fault) {
        if self.faults.push_back(fault).is_err() {
            self.faults.pop_back();
            // One place was just made.
            let _ = self.faults.push_back(Fault::QueueOverflow);
        }
    }

    /// The oldest error, which leaves the queue.
    pub fn pop(&mut self) -> Option<Fault> {
        self.faults.pop_front()
    }

    /// Errors that wait.
    pub fn len(&self) -> usize {
        self.faults.len()
    }

    /// Whether no error waits.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Forgets all errors.
    pub fn clear(&mut self) {
        self.faults.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_keeps_the_first_and_says_that_more_came() {
        let mut queue = FaultQueue::default();
        queue.push(Fault::Checksum);
        for _ in 0..100 {
            queue.push(Fault::Syntax);
        }
        assert_eq!(queue.len(), FaultQueue::LENGTH);
        assert_eq!(queue.pop(), Some(Fault::Checksum));
        let last = core::iter::from_fn(|| queue.pop()).last();
        assert_eq!(last, Some(Fault::QueueOverflow));
        assert!(queue.is_empty());
    }
}
