//! The screens, one function each; those of a finding lie in `answer.rs`.
//!
//! Every function cuts its room into areas and fills them, largest first: band, footer,
//! picture, then what remains. A panel without room for headings (`Kit::headings`) leaves
//! out what a reader can do without, never the level, the class or the intended use of a
//! finding.

use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use heapless::Vec;

use super::layout::{Align, Content, Frame, Line, Panel, Room, Sheet};
use super::lettering::{Face, measure};
use super::palette::Role;
use super::shapes::Shape;
use super::words::{self, Word};
use super::{Health, Language, Level, Page, Screen, Stage};

/// Lays out a page of a screen.
pub fn lay_out<'a>(
    screen: &Screen<'a>,
    page: Page,
    health: &Health<'a>,
    panel: Panel,
    language: Language,
) -> Frame<'a> {
    let mut sheet = Sheet {
        frame: Frame {
            panel,
            parts: Vec::new(),
        },
        kit: panel.kit(),
        language,
    };
    let whole = Room(Rectangle::new(Point::zero(), panel.size));
    match (screen, page) {
        (Screen::Fault { code, help }, _) => sheet.fault(whole, code, help, health),
        (Screen::Off, _) => sheet.off(whole),
        (Screen::Asleep, _) => {}
        (_, Page::Device) => sheet.device(whole, health),
        (Screen::Starting { self_test }, _) => sheet.starting(whole, *self_test, health),
        (Screen::Ready, _) => sheet.ready(whole, health),
        (Screen::Working { case, stage }, _) => sheet.working(whole, *case, *stage, health),
        (Screen::Refusal { case, help }, _) => sheet.refusal(whole, *case, help, health),
        (Screen::Finding(finding), Page::Summary) => sheet.summary(whole, finding, health),
        (Screen::Finding(finding), Page::Classes) => sheet.classes(whole, finding, health),
        (Screen::Finding(finding), Page::Region) => sheet.region(whole, finding, health),
    }
    sheet.frame
}

/// Height below a band from which on there is room for more than the way out.
const ROOMY: u32 = 80;

impl<'a> Sheet<'a> {
    pub(super) fn says(&self, word: Word) -> &'static str {
        word.says(self.language)
    }

    /// A line from the left end, down to the smallest face.
    pub(super) fn left(&mut self, area: Rectangle, face: Face, ink: Role, text: &'a str) {
        self.line(area, face, Align::Left, ink, Line::Plain(text));
    }

    pub(super) fn small(&mut self, area: Rectangle, align: Align, line: Line<'a>) {
        self.line(area, self.kit.small, align, Role::Quiet, line);
    }

    pub(super) fn bar(&mut self, area: Rectangle, filled: u16) {
        self.put(area, Role::Ground, Role::Accent, Content::Bar(filled));
    }

    /// The case's number, on the left of a small line.
    pub(super) fn case(&mut self, area: Rectangle, case: u64) {
        let number = Line::Numbered(self.says(Word::Case), case);
        self.small(area, Align::Left, number);
    }

    /// What the answers may be used for, at the foot of everything.
    pub(super) fn footer(&mut self, room: &mut Room, health: &Health<'a>) {
        let Some(use_) = health.intended_use else {
            return;
        };
        let face = self.kit.small;
        let row = Room(room.bottom(self.line_height(face)));
        let area = row.inset(self.kit.margin).0;
        let [full, short] = words::intended_use(use_, self.language);
        let text = if measure(full, face) <= area.size.width {
            full
        } else {
            short
        };
        self.small(area, Align::Left, Line::Plain(text));
    }

    fn starting(&mut self, whole: Room, self_test: bool, health: &Health<'a>) {
        let kit = self.kit;
        let mut room = whole;
        self.footer(&mut room, health);
        let mut room = room.inset(kit.margin);
        let mut state = Room(room.bottom(self.line_height(kit.small) + kit.bar + kit.gap));
        let (word, done) = if self_test {
            (Word::SelfTest, 667)
        } else {
            (Word::Starting, 333)
        };
        let words = state.top(self.line_height(kit.small));
        self.small(words, Align::Left, Line::Plain(self.says(word)));
        let bar = state.top(kit.bar);
        self.bar(bar, done);
        self.sign(room, "medfocus", Line::Plain(health.version));
    }

    /// The device's sign, a large word, and a small line under it where there is room.
    fn sign(&mut self, mut room: Room, word: &'a str, under: Line<'a>) {
        let kit = self.kit;
        let (large, small) = (self.line_height(kit.band), self.line_height(kit.small));
        let height = if room.height() >= large + small {
            large + small
        } else {
            large.min(room.height())
        };
        let space = (room.height() - height) / 2;
        room.top(space);
        let mut row = Room(room.top(height));
        let finder = row.left(height.min(row.width() / 3));
        let sign = Content::Shape(Shape::Finder);
        self.put(finder, Role::Ground, Role::Accent, sign);
        row.left(kit.gap.max(4));
        let area = row.top(large);
        self.left(area, kit.band, Role::Text, word);
        self.small(row.0, Align::Left, under);
    }

    fn ready(&mut self, whole: Room, health: &Health<'a>) {
        if !health.warning.is_empty() {
            return self.ready_with_warning(whole, health);
        }
        let kit = self.kit;
        let mut room = whole;
        self.footer(&mut room, health);
        let mut room = room.inset(kit.margin);
        if kit.headings {
            let area = room.bottom(self.line_height(kit.small));
            self.counts(area, health);
        }
        let under = Line::Plain(self.says(Word::SendAnImage));
        self.sign(room, self.says(Word::Ready), under);
    }

    /// It waits for an image, and something needs a person: what to do about it, and its code.
    fn ready_with_warning(&mut self, whole: Room, health: &Health<'a>) {
        let kit = self.kit;
        let mut room = whole;
        self.footer(&mut room, health);
        let mut room = room.inset(kit.margin);
        if kit.headings {
            let area = room.bottom(self.line_height(kit.small));
            self.counts(area, health);
        }
        let mut head = Room(room.top(self.line_height(kit.title)));
        // Where room is short, beside the word: the way out has the rest.
        let mut row = if kit.headings {
            Room(room.bottom(self.line_height(kit.small)))
        } else {
            Room(head.right(head.width() * 3 / 5))
        };
        self.left(head.0, kit.title, Role::Text, self.says(Word::Ready));
        let mark = row.left(kit.gap.max(8));
        self.small(mark, Align::Left, Line::Plain("!"));
        self.small(row.0, Align::Left, Line::Plain(health.warning));
        if kit.headings {
            room.top(kit.gap);
        }
        if !health.warning_help.is_empty() {
            self.paragraph(room.0, kit.body, health.warning_help);
        }
    }

    fn off(&mut self, whole: Room) {
        let under = Line::Plain(self.says(Word::SwitchedOff));
        self.sign(whole.inset(self.kit.margin), "medfocus", under);
    }

    /// `Answered 12` on the left, `Waiting 3` on the right.
    fn counts(&mut self, area: Rectangle, health: &Health<'a>) {
        let mut room = Room(area);
        let right = room.right(room.width() / 2);
        let counted = |word: Word, count: u32| Line::Numbered(self.says(word), count.into());
        let answered = counted(Word::Answered, health.answered);
        let waiting = counted(Word::Waiting, health.waiting);
        self.small(room.0, Align::Left, answered);
        self.small(right, Align::Right, waiting);
    }

    fn working(&mut self, whole: Room, case: u64, stage: Stage, health: &Health<'a>) {
        let kit = self.kit;
        let mut room = whole;
        self.footer(&mut room, health);
        let mut room = room.inset(kit.margin);
        if kit.headings {
            room.top(kit.gap);
        }
        let mut head = Room(room.top(self.line_height(kit.small)));
        if health.waiting > 0 {
            let waits = Line::Numbered(self.says(Word::Waiting), health.waiting.into());
            let right = head.right(head.width() / 2);
            self.small(right, Align::Right, waits);
        }
        self.case(head.0, case);
        let used = self.line_height(kit.title) + kit.gap + kit.bar;
        let space = room.height().saturating_sub(used) / 2;
        room.top(space);
        let area = room.top(self.line_height(kit.title));
        self.left(
            area,
            kit.title,
            Role::Text,
            words::stage(stage, self.language),
        );
        room.top(kit.gap);
        let bar = room.top(kit.bar);
        let done = (stage as u16 * 2 + 1) * 1000 / (Stage::ALL.len() as u16 * 2);
        self.bar(bar, done);
    }

    fn refusal(&mut self, whole: Room, case: u64, help: &'a str, health: &Health<'a>) {
        let number = Line::Numbered(self.says(Word::Case), case);
        let notice = (Shape::NoAnswer, self.says(Word::NoAnswer));
        self.notice(whole, notice, number, help, health);
    }

    fn fault(&mut self, whole: Room, code: &'a str, help: &'a str, health: &Health<'a>) {
        let notice = (Shape::Fault, self.says(Word::OutOfOrder));
        self.notice(whole, notice, Line::Plain(code), help, health);
    }

    /// That there is no answer, what it is about, and the way out. Where room is short
    /// the way out comes first: no answer is shown that the intended use could be for.
    fn notice(
        &mut self,
        whole: Room,
        (shape, word): (Shape, &'a str),
        about: Line<'a>,
        help: &'a str,
        health: &Health<'a>,
    ) {
        let kit = self.kit;
        let mut room = whole;
        self.band(&mut room, Role::Notice, shape, kit.notice, word);
        let roomy = room.height() >= ROOMY;
        if roomy {
            self.footer(&mut room, health);
        }
        let mut room = room.inset(kit.margin);
        if roomy {
            room.top(if kit.headings { kit.gap } else { kit.gap / 2 });
            let area = room.bottom(self.line_height(kit.small));
            self.small(area, Align::Left, about);
        }
        self.paragraph(room.0, kit.sentence, help);
    }

    pub(super) fn level_band(&mut self, room: &mut Room, level: Level, face: Face) {
        let word = words::level(level, self.language);
        self.band(room, Role::Level(level), Shape::Level(level), face, word);
    }

    fn device(&mut self, whole: Room, health: &Health<'a>) {
        let kit = self.kit;
        let mut room = whole;
        self.footer(&mut room, health);
        let mut room = room.inset(kit.margin);
        if kit.headings {
            let area = room.top(self.line_height(kit.title) + kit.gap);
            self.left(area, kit.title, Role::Text, self.says(Word::Device));
        }
        let answered = Line::Count(health.answered);
        let waiting = Line::Count(health.waiting);
        let rows = [
            (
                self.says(Word::SelfTest),
                Line::Plain(if health.self_test {
                    self.says(Word::Passed)
                } else {
                    "-"
                }),
            ),
            (
                self.says(Word::Storage),
                Line::Plain(if health.storage {
                    self.says(Word::Good)
                } else {
                    self.says(Word::CannotBeWritten)
                }),
            ),
            (self.says(Word::Models), Line::Plain(health.bundle)),
            (self.says(Word::Answered), answered),
            (self.says(Word::Waiting), waiting),
            ("medfocus", Line::Plain(health.version)),
        ];
        // A code, the same in every language; before all else, where there is one.
        let warning = ("!", Line::Plain(health.warning));
        let warning = Some(warning).filter(|_| !health.warning.is_empty());
        let height = self.line_height(kit.row);
        for (name, value) in warning.into_iter().chain(rows) {
            if room.height() < height {
                return;
            }
            let mut row = Room(room.top(height));
            let area = row.left(row.width() * 2 / 5);
            self.left(area, kit.row, Role::Quiet, name);
            row.left(kit.gap);
            self.line(row.0, kit.row, Align::Left, Role::Text, value);
        }
    }
}
