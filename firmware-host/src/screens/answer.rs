//! The screens of a finding: its summary, its classes, its region.
//!
//! Each names the exam, where there is any room for it: "Normal" of what? On the smallest
//! panel, where lines are high, the exam shares the row of the intended use.

use embedded_graphics::primitives::Rectangle;

use super::layout::{Align, Content, Line, Room, Sheet};
use super::lettering::{Face, format, measure};
use super::palette::Role;
use super::percent::{Percent, percent};
use super::words::{self, Word};
use super::{Class, Finding, Health, Language};

/// The widest percentage, for columns that stay where they are.
const WIDEST: &str = ">99 %";

/// How likely a class is, as a bar and in words.
#[derive(Clone, Copy)]
struct Chance {
    bar: u16,
    percent: Percent,
}

fn thousandths(share: f32) -> u16 {
    // `as` is 0 for what is no number.
    (share.clamp(0.0, 1.0) * 1000.0 + 0.5) as u16
}

/// The region's share of the image.
fn share(share: f32) -> Percent {
    let thousandths = thousandths(share);
    Percent(match thousandths {
        // Not quite nothing, and not quite all.
        0..=9 => 0,
        991.. => 100,
        _ => u8::try_from((thousandths + 5) / 10).unwrap_or(100),
    })
}

impl Finding<'_> {
    fn chance(&self, index: usize) -> Chance {
        let class = self.classes.get(index);
        Chance {
            bar: class.map_or(0, |class| thousandths(class.probability)),
            percent: percent(self.classes, index),
        }
    }
}

impl<'a> Sheet<'a> {
    pub(super) fn summary(&mut self, whole: Room, finding: &Finding<'a>, health: &Health<'a>) {
        let kit = self.kit;
        let mut room = whole;
        self.level_band(&mut room, finding.level, kit.band);
        let shares = !self.has_row_for_exam(room);
        if shares {
            self.exam_in_footer(&mut room, finding, health);
        } else {
            self.footer(&mut room, health);
        }
        let mut room = room.inset(kit.margin);
        room.top(kit.gap / 2);
        let label = finding.classes.get(finding.answer);
        let label = label.map_or("", |class| class.label);
        let chance = finding.chance(finding.answer);
        if !kit.headings {
            let exam = if shares { "" } else { finding.exam };
            // The words are read first: the picture gives way to them.
            let mut beside = room;
            beside.left(room.height() + kit.gap.max(4));
            if self.words_fit(beside, exam, label) || !self.words_fit(room, exam, label) {
                self.picture_beside(&mut room, finding, (9, 20));
            }
            let patient = if shares {
                finding.patient
            } else {
                self.exam(&mut room, finding)
            };
            self.answer_in_lines(room, label, chance, (finding.case, patient));
            return;
        }
        self.exam(&mut room, finding);
        if kit.beside {
            room.bottom(kit.gap / 2);
            self.picture_beside(&mut room, finding, (9, 20));
            self.answer_in_full(room, label, chance, finding);
        } else {
            self.answer_below(room, label, chance, finding);
        }
    }

    /// Whether exam, class and intended use have a row each below the band.
    fn has_row_for_exam(&self, room: Room) -> bool {
        let kit = self.kit;
        let rows = 2 * self.line_height(kit.small) + self.line_height(Face::Tiny);
        kit.headings || room.height() >= rows + kit.gap / 2
    }

    /// The exam across the top, and on its right age and sex; in a row of their own where
    /// that is too narrow and there is height enough. Gives what of them is not shown.
    fn exam(&mut self, room: &mut Room, finding: &Finding<'a>) -> &'a str {
        let (kit, mut patient) = (self.kit, finding.patient);
        let height = self.line_height(kit.small);
        let mut row = Room(room.top(height));
        if self.are_beside(row, finding.exam, patient) {
            self.at_right(&mut row, patient);
            patient = "";
        } else if kit.headings {
            let below = room.top(height);
            self.small(below, Align::Left, Line::Plain(patient));
            patient = "";
        }
        self.left(row.0, kit.small, Role::Text, finding.exam);
        patient
    }

    /// Whether both stand whole in one row.
    fn are_beside(&self, row: Room, left: &str, right: &str) -> bool {
        let widths = measure(left, self.kit.small) + measure(right, self.kit.small);
        widths + self.kit.gap.max(4) <= row.width()
    }

    fn at_right(&mut self, row: &mut Room, text: &'a str) {
        let area = row.right(measure(text, self.kit.small));
        self.small(area, Align::Right, Line::Plain(text));
    }

    /// Intended use and exam in one row at the foot.
    fn exam_in_footer(&mut self, room: &mut Room, finding: &Finding<'a>, health: &Health<'a>) {
        let kit = self.kit;
        let row = Room(room.bottom(self.line_height(kit.small)));
        let mut row = row.inset(kit.margin);
        if let Some(use_) = health.intended_use {
            let [_, short] = words::intended_use(use_, self.language);
            let area = row.left(measure(short, kit.small));
            self.small(area, Align::Left, Line::Plain(short));
            row.left(kit.gap.max(4));
        }
        self.small(row.0, Align::Right, Line::Plain(finding.exam));
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

    /// Class and percentage; the bar and the case where further lines fit, and beside the
    /// case age and sex where they do.
    fn answer_in_lines(
        &mut self,
        mut room: Room,
        label: &'a str,
        chance: Chance,
        (case, patient): (u64, &'a str),
    ) {
        let kit = self.kit;
        if self.has_row_for_case(room) {
            let mut row = Room(room.bottom(self.line_height(kit.small)));
            let number = format(&Line::Numbered(self.says(Word::Case), case));
            if self.are_beside(row, &number, patient) {
                self.at_right(&mut row, patient);
            }
            self.case(row.0, case);
        }
        let width = measure(WIDEST, kit.number);
        if self.has_two_lines(room) {
            let row = room.bottom(self.line_height(kit.number));
            self.bar_and_chance(row, width, chance, kit.number);
            self.left(room.0, kit.title, Role::Text, label);
            return;
        }
        if room.height() >= self.line_height(Face::Tiny) + kit.bar {
            let bar = room.bottom(kit.bar);
            self.bar(bar, chance.bar);
        }
        let area = room.right(width);
        self.percent(area, kit.number, Align::Right, chance.percent);
        self.left(room.0, kit.title, Role::Text, label);
    }

    fn has_row_for_case(&self, room: Room) -> bool {
        let kit = self.kit;
        room.height() >= self.line_height(kit.title) + kit.bar + self.line_height(kit.small)
    }

    fn has_two_lines(&self, room: Room) -> bool {
        room.height() >= 2 * self.line_height(self.kit.number)
    }

    /// Whether neither the exam above nor the label in [`Self::answer_in_lines`] is elided.
    fn words_fit(&self, mut room: Room, exam: &str, label: &str) -> bool {
        if !exam.is_empty() {
            let row = room.top(self.line_height(self.kit.small));
            if measure(exam, Face::Tiny) > row.size.width {
                return false;
            }
        }
        if self.has_row_for_case(room) {
            room.bottom(self.line_height(self.kit.small));
        }
        if !self.has_two_lines(room) {
            room.right(measure(WIDEST, self.kit.number));
        }
        measure(label, Face::Tiny) <= room.width()
    }

    fn answer_in_full(&mut self, mut room: Room, label: &'a str, chance: Chance, f: &Finding<'a>) {
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
        self.bar(bar, chance.bar);
        let area = room.bottom(self.line_height(kit.number));
        self.percent(area, kit.number, Align::Left, chance.percent);
        self.paragraph(room.0, kit.title, label);
    }

    /// The picture, what is asked beside it, and the class across the panel below.
    fn answer_below(&mut self, mut room: Room, label: &'a str, chance: Chance, f: &Finding<'a>) {
        let kit = self.kit;
        room.bottom(kit.gap / 2);
        let bar = room.bottom(kit.bar);
        self.bar(bar, chance.bar);
        let area = room.bottom(self.line_height(kit.title));
        self.left(area, kit.title, Role::Text, label);
        self.picture_beside(&mut room, f, (1, 2));
        let area = room.top(self.line_height(kit.number));
        self.percent(area, kit.number, Align::Left, chance.percent);
        let area = room.bottom(self.line_height(kit.small));
        self.case(area, f.case);
        self.paragraph(room.0, kit.row, words::asks(f.level, self.language));
    }

    fn percent(&mut self, area: Rectangle, face: Face, align: Align, percent: Percent) {
        self.line(area, face, align, Role::Text, Line::Percent(percent));
    }

    fn bar_and_chance(&mut self, row: Rectangle, width: u32, chance: Chance, face: Face) {
        let mut row = Room(row);
        let area = row.right(width);
        self.percent(area, face, Align::Right, chance.percent);
        row.right(self.kit.gap.max(3));
        let space = row.height().saturating_sub(self.kit.bar) / 2;
        row.top(space);
        let area = row.top(self.kit.bar);
        self.bar(area, chance.bar);
    }

    /// Every class with its percentage. Where rows are short, the likeliest ones, and what
    /// all others have together.
    pub(super) fn classes(&mut self, whole: Room, finding: &Finding<'a>, health: &Health<'a>) {
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
        let fits_all = rows * least + self.line_height(kit.small) <= room.height();
        if !kit.headings && fits_all {
            self.exam(&mut room, finding);
        }
        let height = (room.height() / rows).clamp(least, line * 2);
        let most = (room.height() / height) as usize;
        let are_left = finding.classes.len() > most;
        let named = if are_left {
            most.saturating_sub(1)
        } else {
            most
        };
        let mut others = Chance {
            bar: 0,
            percent: Percent(0),
        };
        for (index, class) in finding.classes.iter().enumerate() {
            let chance = finding.chance(index);
            if rank(finding.classes, index) >= named {
                others.bar = others.bar.saturating_add(chance.bar);
                others.percent.0 = others.percent.0.saturating_add(chance.percent.0);
                continue;
            }
            let is_answer = index == finding.answer;
            self.class_row(room.top(height), class.label, chance, is_answer);
        }
        if are_left {
            let row = room.top(height);
            self.class_row(row, self.says(Word::Others), others, false);
        }
    }

    fn class_row(&mut self, row: Rectangle, label: &'a str, chance: Chance, is_answer: bool) {
        let kit = self.kit;
        let mut row = Room(row);
        let width = measure(WIDEST, kit.row_bold);
        let area = row.left(row.width().saturating_sub(width) * 2 / 3);
        let (face, ink) = if is_answer {
            (kit.row_bold, Role::Text)
        } else {
            (kit.row, Role::Quiet)
        };
        self.left(area, face, ink, label);
        row.left(kit.gap.max(3));
        self.bar_and_chance(row.0, width, chance, face);
    }

    /// Level and exam across the top of a page that is not the first, where there is room.
    fn heading(&mut self, room: &mut Room, finding: &Finding<'a>) {
        let kit = self.kit;
        if kit.headings {
            self.level_band(room, finding.level, kit.body);
            room.top(kit.gap / 2);
            let mut row = Room(room.top(self.line_height(kit.small)));
            row = row.inset(kit.margin);
            self.exam(&mut row, finding);
        }
    }

    pub(super) fn region(&mut self, whole: Room, finding: &Finding<'a>, health: &Health<'a>) {
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
        let Some(region) = finding.region else {
            self.paragraph(room.0, kit.row, self.says(Word::NoRegion));
            return;
        };
        let area = room.top(self.line_height(kit.title));
        self.percent(area, kit.title, Align::Left, share(region));
        self.paragraph(room.0, kit.row, self.says(Word::OfTheImage));
    }

    fn share_in_a_row(&mut self, row: Rectangle, region: Option<f32>) {
        let kit = self.kit;
        let Some(region) = region else {
            self.left(row, kit.row, Role::Text, self.says(Word::NoRegion));
            return;
        };
        let mut row = Room(row);
        let share = share(region);
        let width = measure(&format(&Line::Percent(share)), kit.title);
        let area = row.left(width);
        self.percent(area, kit.title, Align::Left, share);
        row.left(kit.gap);
        self.left(row.0, kit.row, Role::Quiet, self.says(Word::OfTheImage));
    }
}

/// How many classes are likelier, or as likely and before this one.
fn rank(classes: &[Class<'_>], index: usize) -> usize {
    let mine = classes[index].probability;
    let before = |(other, class): &(usize, &Class<'_>)| {
        let order = class.probability.total_cmp(&mine);
        order.is_gt() || (order.is_eq() && *other < index)
    };
    classes.iter().enumerate().filter(before).count()
}
