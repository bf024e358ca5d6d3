//! The registers of a line, as IEEE 488.2 (chapter 11) and SCPI-99 (volume 1, chapter 9) have them: what happened comes
//! in, bits come out. Each line has its own. Called by the console alone; asks nothing of the device.

use firmware_host::console::{Group, Register};
use firmware_host::fault::Fault;

/// Standard event: what was begun with `*OPC` is complete.
const COMPLETE: u8 = 0x01;
/// Standard event: the device was switched on.
const POWER_ON: u8 = 0x80;

/// Status byte: errors wait.
const ERRORS: u8 = 0x04;
/// Status byte: an enabled questionable event.
const QUESTIONABLE: u8 = 0x08;
/// Status byte: an answer waits.
const MESSAGE: u8 = 0x10;
/// Status byte: an enabled standard event.
const STANDARD: u8 = 0x20;
/// Status byte: an enabled bit of the others.
const SUMMARY: u8 = 0x40;
/// Status byte: an enabled operation event.
const OPERATION: u8 = 0x80;

/// Operation: a case runs.
pub(super) const RUNNING: u16 = 1 << 4;
/// Operation: cases wait.
pub(super) const WAITING: u16 = 1 << 8;
/// Operation: the device has not tested itself yet.
pub(super) const STARTING: u16 = 1 << 9;

/// Questionable: the clock was never set.
pub(super) const TIME: u16 = 1 << 2;
/// Questionable: the safe state; no case is answered.
pub(super) const SAFE_STATE: u16 = 1 << 9;
/// Questionable: the storage cannot be written; nothing is accepted.
pub(super) const STORAGE: u16 = 1 << 10;
/// Questionable: something else needs a person before long.
pub(super) const WARNED: u16 = 1 << 11;

/// All registers of one line.
#[derive(Debug)]
pub(super) struct Registers {
    events: u8,
    /// `*ESE`.
    pub event_enable: u8,
    service_enable: u8,
    operation: Transitions,
    questionable: Transitions,
}

/// One group: conditions become events by filters.
#[derive(Debug)]
struct Transitions {
    condition: u16,
    event: u16,
    enable: u16,
    positive: u16,
    negative: u16,
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            events: POWER_ON,
            event_enable: 0,
            service_enable: 0,
            operation: Transitions::default(),
            questionable: Transitions::default(),
        }
    }
}

impl Default for Transitions {
    fn default() -> Self {
        Self {
            condition: 0,
            event: 0,
            enable: 0,
            positive: 0x7fff,
            negative: 0,
        }
    }
}

impl Transitions {
    fn show(&mut self, condition: u16) {
        let begun = condition & !self.condition & self.positive;
        let ended = !condition & self.condition & self.negative;
        self.event |= begun | ended;
        self.condition = condition;
    }

    fn is_summed_up(&self) -> bool {
        self.event & self.enable != 0
    }
}

impl Registers {
    /// An error was kept.
    pub fn note(&mut self, fault: Fault) {
        self.events |= fault.event();
    }

    /// What was begun before `*OPC` is complete.
    pub fn complete(&mut self) {
        self.events |= COMPLETE;
    }

    /// The conditions of a group are these from now on.
    pub fn show(&mut self, group: Group, condition: u16) {
        self.of(group).show(condition);
    }

    /// The same, but for these bits alone.
    pub fn turn(&mut self, group: Group, bits: u16, on: bool) {
        let group = self.of(group);
        let rest = group.condition & !bits;
        group.show(if on { rest | bits } else { rest });
    }

    /// `*ESR?`: the register is empty then.
    pub fn take_events(&mut self) -> u8 {
        std::mem::take(&mut self.events)
    }

    /// `*SRE`: bit 6 is the sum and is never enabled (IEEE 488.2, 11.3.2).
    pub fn enable_service(&mut self, bits: u8) {
        self.service_enable = bits & !SUMMARY;
    }

    /// `*SRE?`.
    pub fn service_enable(&self) -> u8 {
        self.service_enable
    }

    /// `*STB?`, where errors wait and where an answer waits.
    pub fn status_byte(&self, errors: bool, message: bool) -> u8 {
        let bits = [
            (errors, ERRORS),
            (self.questionable.is_summed_up(), QUESTIONABLE),
            (message, MESSAGE),
            (self.events & self.event_enable != 0, STANDARD),
            (self.operation.is_summed_up(), OPERATION),
        ];
        let set = bits.into_iter().filter(|(is_set, _)| *is_set);
        let byte = set.fold(0, |byte, (_, bit)| byte | bit);
        match byte & self.service_enable {
            0 => byte,
            _ => byte | SUMMARY,
        }
    }

    /// A register of a group; the event register is empty then.
    pub fn read(&mut self, group: Group, register: Register) -> u16 {
        let group = self.of(group);
        match register {
            Register::Event => std::mem::take(&mut group.event),
            Register::Condition => group.condition,
            Register::Enable => group.enable,
            Register::Positive => group.positive,
            Register::Negative => group.negative,
        }
    }

    /// Writes a register of a group; what happened and what is cannot be written.
    pub fn write(&mut self, group: Group, register: Register, value: u16) {
        let group = self.of(group);
        match register {
            Register::Event | Register::Condition => {}
            Register::Enable => group.enable = value,
            Register::Positive => group.positive = value,
            Register::Negative => group.negative = value,
        }
    }

    /// `STATus:PRESet` (SCPI-99, volume 2, 20): events and conditions stay.
    pub fn preset(&mut self) {
        for group in [&mut self.operation, &mut self.questionable] {
            let Transitions {
                condition, event, ..
            } = *group;
            *group = Transitions {
                condition,
                event,
                ..Transitions::default()
            };
        }
    }

    /// `*CLS`: all events are forgotten; what is enabled stays.
    pub fn clear(&mut self) {
        self.events = 0;
        self.operation.event = 0;
        self.questionable.event = 0;
    }

    fn of(&mut self, group: Group) -> &mut Transitions {
        match group {
            Group::Operation => &mut self.operation,
            Group::Questionable => &mut self.questionable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_byte_sums_up_what_is_enabled() {
        let mut registers = Registers::default();
        assert_eq!(registers.take_events(), POWER_ON);
        registers.note(Fault::OutOfRange);
        assert_eq!(registers.status_byte(true, false), ERRORS);
        registers.event_enable = 0x10;
        assert_eq!(registers.status_byte(false, true), STANDARD | MESSAGE);
        registers.enable_service(0xff);
        assert_eq!(registers.service_enable(), 0xbf);
        assert_eq!(registers.status_byte(false, false), STANDARD | SUMMARY);
        assert_eq!(registers.take_events(), 0x10);
        assert_eq!(registers.status_byte(false, false), 0);
    }

    #[test]
    fn conditions_become_events_by_the_filters() {
        let (operation, mut registers) = (Group::Operation, Registers::default());
        registers.show(operation, RUNNING);
        assert_eq!(registers.read(operation, Register::Event), RUNNING);
        assert_eq!(registers.read(operation, Register::Event), 0, "once");
        registers.show(operation, 0);
        assert_eq!(registers.read(operation, Register::Event), 0);
        registers.write(operation, Register::Negative, RUNNING);
        registers.write(operation, Register::Positive, 0);
        registers.write(operation, Register::Enable, RUNNING);
        registers.turn(operation, RUNNING, true);
        assert_eq!(registers.status_byte(false, false), 0);
        registers.turn(operation, RUNNING, false);
        assert_eq!(registers.status_byte(false, false), OPERATION);
        registers.preset();
        assert_eq!(registers.read(operation, Register::Enable), 0);
        assert_eq!(registers.read(operation, Register::Positive), 0x7fff);
        assert_eq!(registers.read(operation, Register::Event), RUNNING, "kept");
    }

    #[test]
    fn each_class_of_errors_is_its_bit() {
        for (fault, bit) in [
            (Fault::Syntax, 0x20),
            (Fault::OutOfRange, 0x10),
            (Fault::SelfTest, 0x08),
            (Fault::NoSuchCase, 0x08),
        ] {
            assert_eq!(fault.event(), bit, "{fault:?}");
        }
    }
}
