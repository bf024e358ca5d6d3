//! The screens, one function each.
//!
//! Every function cuts its room into areas and fills them, largest first: band, footer,
//! picture, then what remains. A panel without room for headings (`Kit::headings`) leaves
//! out what a reader can do without, never the level, the class or the intended use of a
//! finding.

use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use heapless::Vec;

use super::layout::{Align, Content, Frame, Line, Panel, Room, Sheet};
use super::lettering::{Face, format, measure};
use super::palette::Role;
use super::shapes::Shape;
use super::words::{self, Word};
use super::{Class, Finding, Health, Language, Level, Page, Screen, Stage};

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
        (Screen::Fault { code, cure }, _) => sheet.fault(whole, code, cure, health),
        (_, Page::Device) => sheet.device(whole, health),
        (Screen::Starting { self_test }, _) => sheet.starting(whole, *self_test, health),
        (Screen::Ready, _) => sheet.ready(whole, health),
        (Screen::Working { case, stage }, _) => sheet.working(whole, *case, *stage, health),
        (Screen::Refusal { case, cure }, _) => sheet.refusal(whole, *case, cure, health),
        (Screen::Finding(finding), Page::Summary) => sheet.summary(whole, finding, health),
        (Screen::Finding(finding), Page::Classes) => sheet.classes(whole, finding, health),
        (Screen::Finding(finding), Page::Region) => sheet.region(whole, finding, health),
    }
    sheet.frame
}

fn thousandths(share: f32) -> u16 {
    // `as` is 0 for what is no number.
    (share.clamp(0.0, 1.0) * 1000.0 + 0.5) as u16
}

/// Height below a band from which on there is room for more than the way out.
const ROOMY: u32 = 80;

/// The widest probability, for columns that stay where they are.
const WIDEST_CHANCE: &str = ">99 %";

impl<'a> Sheet<'a> {
    fn says(&self, word: Word) -> &'static str {
        word.says(self.language)
    }

    /// A line from the left end, down to the smallest face.
    fn left(&mut self, area: Rectangle, face: Face, ink: Role, text: &'a str) {
        self.line(area, face, Align::Left, ink, Line::Plain(text));
    }

    fn small(&mut self, area: Rectangle, align: Align, line: Line<'a>) {
        self.line(area, self.kit.small, align, Role::Quiet, line);
    }

    fn bar(&mut self, area: Rectangle, filled: u16) {
        self.put(area, Role::Ground, Role::Accent, Content::Bar(filled));
    }

    /// The case's number, on the left of a small line.
    fn case(&mut self, area: Rectangle, case: u64) {
        let number = Line::Numbered(self.says(Word::Case), case);
        self.small(area, Align::Left, number);
    }

    /// What the answers may be used for, at the foot of everything.
    fn footer(&mut self, room: &mut Room, health: &Health<'a>) {
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

    fn refusal(&mut self, whole: Room, case: u64, cure: &'a str, health: &Health<'a>) {
        let number = Line::Numbered(self.says(Word::Case), case);
        let notice = (Shape::NoAnswer, self.says(Word::NoAnswer));
        self.notice(whole, notice, number, cure, health);
    }

    fn fault(&mut self, whole: Room, code: &'a str, cure: &'a str, health: &Health<'a>) {
        let notice = (Shape::Fault, self.says(Word::OutOfOrder));
        self.notice(whole, notice, Line::Plain(code), cure, health);
    }

    /// That there is no answer, what it is about, and the way out. Where room is short
    /// the way out comes first: no answer is shown that the intended use could be for.
    fn notice(
        &mut self,
        whole: Room,
        (shape, word): (Shape, &'a str),
        about: Line<'a>,
        cure: &'a str,
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
        self.paragraph(room.0, kit.sentence, cure);
    }

    fn level_band(&mut self, room: &mut Room, level: Level, face: Face) {
        let word = words::level(level, self.language);
        self.band(room, Role::Level(level), Shape::Level(level), face, word);
    }

    fn summary(&mut self, whole: Room, finding: &Finding<'a>, health: &Health<'a>) {
        let kit = self.kit;
        let mut room = whole;
        self.level_band(&mut room, finding.level, kit.band);
        self.footer(&mut room, health);
        let mut room = room.inset(kit.margin);
        room.top(kit.gap / 2);
        let class = finding.classes.get(finding.answer);
        let label = class.map_or("", |class| class.label);
        let chance = class.map_or(0, |class| thousandths(class.probability));
        if !kit.headings {
            // The class is read first: the picture gives way to it.
            let mut beside = room;
            beside.left(room.height() + kit.gap.max(4));
            if self.label_fits(beside, label) || !self.label_fits(room, label) {
                self.picture_beside(&mut room, finding, (9, 20));
            }
            self.answer_in_lines(room, label, chance, finding);
        } else if kit.beside {
            room.bottom(kit.gap / 2);
            self.picture_beside(&mut room, finding, (9, 20));
            self.answer_in_full(room, label, chance, finding);
        } else {
            self.answer_below(room, label, chance, finding);
        }
    }

    /// The picture in a square at the left end, as high as the room, and no wider than
    /// this share of it. What stands beside it is as high as the picture.
    fn picture_beside(&mut self, room: &mut Room, finding: &Finding<'a>, share: (u32, u32)) {
        let Some(thumbnail) = finding.thumbnail else {
            return;
        };
        let side = room.height().min(room.width() * share.0 / share.1);
        let space = room.height() - side;
        room.top(space / 2);
        room.bottom(space - space / 2);
        let area = room.left(side);
        let picture = Content::Picture(thumbnail);
        self.put(area, Role::Ground, Role::Accent, picture);
        room.left(self.kit.gap.max(4));
    }

    /// Class, bar and probability, and the case where a third line fits.
    fn answer_in_lines(&mut self, mut room: Room, label: &'a str, chance: u16, f: &Finding<'a>) {
        let kit = self.kit;
        let height = self.line_height(kit.small);
        if room.height() >= self.line_height(kit.title) + 2 * height {
            let area = room.bottom(height);
            self.case(area, f.case);
        }
        let width = measure(WIDEST_CHANCE, kit.number);
        if self.has_two_lines(room) {
            let row = room.bottom(self.line_height(kit.number));
            self.bar_and_chance(row, width, chance, kit.number);
            self.left(room.0, kit.title, Role::Text, label);
            return;
        }
        let bar = room.bottom(kit.bar);
        self.bar(bar, chance);
        let area = room.right(width);
        self.chance(area, kit.number, Align::Right, chance);
        self.left(room.0, kit.title, Role::Text, label);
    }

    fn has_two_lines(&self, room: Room) -> bool {
        room.height() >= 2 * self.line_height(self.kit.number)
    }

    /// Whether [`Self::answer_in_lines`] need not elide the label.
    fn label_fits(&self, mut room: Room, label: &str) -> bool {
        if !self.has_two_lines(room) {
            room.right(measure(WIDEST_CHANCE, self.kit.number));
        }
        measure(label, Face::Tiny) <= room.width()
    }

    fn answer_in_full(&mut self, mut room: Room, label: &'a str, chance: u16, f: &Finding<'a>) {
        let kit = self.kit;
        let area = room.bottom(self.line_height(kit.small));
        self.case(area, f.case);
        let area = room.bottom(self.line_height(kit.row));
        self.left(
            area,
            kit.row,
            Role::Text,
            words::asks(f.level, self.language),
        );
        room.bottom(kit.gap / 2);
        let bar = room.bottom(kit.bar);
        self.bar(bar, chance);
        let area = room.bottom(self.line_height(kit.number));
        self.chance(area, kit.number, Align::Left, chance);
        self.paragraph(room.0, kit.title, label);
    }

    /// The picture, what is asked beside it, and the class across the panel below.
    fn answer_below(&mut self, mut room: Room, label: &'a str, chance: u16, f: &Finding<'a>) {
        let kit = self.kit;
        room.bottom(kit.gap / 2);
        let bar = room.bottom(kit.bar);
        self.bar(bar, chance);
        let area = room.bottom(self.line_height(kit.title));
        self.left(area, kit.title, Role::Text, label);
        self.picture_beside(&mut room, f, (1, 2));
        let area = room.top(self.line_height(kit.number));
        self.chance(area, kit.number, Align::Left, chance);
        let area = room.bottom(self.line_height(kit.small));
        self.case(area, f.case);
        self.paragraph(room.0, kit.row, words::asks(f.level, self.language));
    }

    fn chance(&mut self, area: Rectangle, face: Face, align: Align, chance: u16) {
        self.line(area, face, align, Role::Text, Line::Chance(chance));
    }

    fn bar_and_chance(&mut self, row: Rectangle, width: u32, chance: u16, face: Face) {
        let mut row = Room(row);
        let area = row.right(width);
        self.chance(area, face, Align::Right, chance);
        row.right(self.kit.gap.max(3));
        let space = row.height().saturating_sub(self.kit.bar) / 2;
        row.top(space);
        let area = row.top(self.kit.bar);
        self.bar(area, chance);
    }

    fn classes(&mut self, whole: Room, finding: &Finding<'a>, health: &Health<'a>) {
        let kit = self.kit;
        let mut room = whole;
        self.heading(&mut room, finding);
        self.footer(&mut room, health);
        let mut room = room.inset(kit.margin);
        let line = self.line_height(kit.row);
        let rows = finding.classes.len().max(1) as u32;
        // Without accents on capitals, rows of Latin may stand a little closer than lines.
        let closer = !kit.headings && self.language != Language::Hindi;
        let least = if closer { line - 2 } else { line };
        let height = (room.height() / rows).clamp(least, line * 2);
        let shown = (room.height() / height) as usize;
        let chance_width = measure(WIDEST_CHANCE, kit.row_bold);
        let label_width = room.width().saturating_sub(chance_width) * 2 / 3;
        for index in most_probable(finding.classes, shown) {
            let class = finding.classes[index];
            let mut row = Room(room.top(height));
            let area = row.left(label_width);
            let (face, ink) = if index == finding.answer {
                (kit.row_bold, Role::Text)
            } else {
                (kit.row, Role::Quiet)
            };
            self.left(area, face, ink, class.label);
            row.left(kit.gap.max(3));
            let chance = thousandths(class.probability);
            self.bar_and_chance(row.0, chance_width, chance, face);
        }
    }

    /// Level and case across the top of a page that is not the first, where there is room.
    fn heading(&mut self, room: &mut Room, finding: &Finding<'a>) {
        if self.kit.headings {
            self.level_band(room, finding.level, self.kit.body);
            room.top(self.kit.gap / 2);
        }
    }

    fn region(&mut self, whole: Room, finding: &Finding<'a>, health: &Health<'a>) {
        let kit = self.kit;
        let mut room = whole;
        self.heading(&mut room, finding);
        self.footer(&mut room, health);
        let mut room = room.inset(kit.margin);
        room.bottom(kit.gap / 2);
        if kit.beside {
            self.picture_beside(&mut room, finding, (13, 20));
        } else {
            let below = room.bottom(self.line_height(kit.title));
            self.picture_beside(&mut room, finding, (1, 1));
            self.share_in_a_row(below, finding.region);
            return;
        }
        let Some(share) = finding.region else {
            self.paragraph(room.0, kit.row, self.says(Word::NoRegion));
            return;
        };
        let area = room.top(self.line_height(kit.title));
        self.chance(area, kit.title, Align::Left, thousandths(share));
        self.paragraph(room.0, kit.row, self.says(Word::OfTheImage));
    }

    fn share_in_a_row(&mut self, row: Rectangle, region: Option<f32>) {
        let kit = self.kit;
        let Some(share) = region else {
            self.left(row, kit.row, Role::Text, self.says(Word::NoRegion));
            return;
        };
        let mut row = Room(row);
        let chance = thousandths(share);
        let width = measure(&format(&Line::Chance(chance)), kit.title);
        let area = row.left(width);
        self.chance(area, kit.title, Align::Left, chance);
        row.left(kit.gap);
        self.left(row.0, kit.row, Role::Quiet, self.says(Word::OfTheImage));
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

/// Indices of at most `most` classes, the most probable ones, in the bundle's order.
fn most_probable(classes: &[Class<'_>], most: usize) -> impl Iterator<Item = usize> {
    let rank = move |index: usize| {
        let mine = classes[index].probability;
        let before = |(other, class): &(usize, &Class<'_>)| {
            let order = class.probability.total_cmp(&mine);
            order.is_gt() || (order.is_eq() && *other < index)
        };
        classes.iter().enumerate().filter(before).count()
    };
    (0..classes.len()).filter(move |index| rank(*index) < most)
}
