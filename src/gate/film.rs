//! Where the film lies in the picture.
//!
//! In goes a picture as an export, a screen or a scanner made it, out comes the rectangle that
//! is left when side bars, letterboxes, frames and their words are left out; the pipeline works
//! on that alone. A border is of one grey, of whatever grey, up to noise and compression, and
//! may hold a further border. Never looks at what the film shows, and never changes a pixel.
//!
//! A round head in a black margin has no edge that could be found. Where head and picture are as
//! films have them the picture stays as it is; else what is exactly black is taken for bars or a
//! frame around a square film, and where that does not fit, a rim of black is kept.

use std::borrow::Cow;
use std::ops::Range;

use super::FilmSpec;
use crate::image::{Image, Pixels};

/// Borders within borders that are looked for.
const LAYERS: usize = 6;
/// A film is no smaller, in pixels.
const LEAST: usize = 16;
/// Lines that are measured at once: of columns, neighbours lie in one cache line.
const BLOCK: usize = 32;
/// Share of a line's pixels that may differ in a border.
const STRAY: f64 = 0.004;
/// Share of its pixels in which a line of words may differ, and how far words reach into the
/// picture.
const WORDS: f64 = 0.25;
/// The least tolerance, in grey levels.
const EXACT: u8 = 3;
/// A film's own margin is no brighter.
const BLACK: u8 = 24;
/// Where fewer of a line's pixels differ, the anatomy ends by itself; where more do, the film
/// was cut.
const ROUND: f64 = 0.35;
/// The long side of a film of an anatomy without edges, as a multiple of the short one.
const LONGEST: f64 = 1.25;
/// Sides at which a head may seem to have an edge.
const HEADS_EDGES: usize = 2;
/// Lines in front of a sharp edge over which compression rings.
const RINGING: usize = 10;

/// `[x, y, width, height]` of the film; the whole picture where it has no border.
pub fn film(image: &Image, spec: &FilmSpec) -> [u32; 4] {
    let picture = Picture::of(image);
    let (width, height) = (image.width as usize, image.height as usize);
    let mut inner = Rectangle([0, 0, width, height]);
    // What is left without borders that are not black, and what may be margin in it.
    let (mut outer, mut margins, mut edges) = (inner, [0; 4], [false; 4]);
    for _ in 0..LAYERS {
        if inner.lines(Side::Top).min(inner.lines(Side::Left)) < LEAST {
            break;
        }
        let before = inner;
        // Top and bottom first: bars at the sides are then no higher than the film.
        for pair in [[Side::Top, Side::Bottom], [Side::Left, Side::Right]] {
            let found = pair.map(|side| picture.border(inner, side, spec));
            if found[0].lines + found[1].lines + LEAST > inner.lines(pair[0]) {
                continue;
            }
            for (side, border) in pair.into_iter().zip(found) {
                if border.lines > 0 {
                    inner = inner.without(side, border.lines);
                    margins[side as usize] = border.margin;
                    edges[side as usize] = border.margin == 0;
                    if !border.is_black {
                        outer.0[side as usize] = inner.0[side as usize];
                    }
                }
            }
        }
        if inner == before {
            break;
        }
    }
    if margins == [0; 4] {
        return inner.as_box();
    }
    let own = inner.with_rim(margins, spec.rim);
    // A head looks as if it had an edge at a side or two; a dark film has none at one.
    if edges.iter().filter(|is_edge| **is_edge).count() > HEADS_EDGES {
        return own.as_box();
    }
    let framed = picture.framed(outer, inner, spec.anatomy_from);
    framed.unwrap_or(own).as_box()
}

/// A side of a rectangle; its lines are counted from there inwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Top,
    Right,
    Bottom,
}

impl Side {
    /// All of them, each at its own place.
    const ALL: [Self; 4] = [Self::Left, Self::Top, Self::Right, Self::Bottom];
}

/// `[x0, y0, x1, y1]` in pixels, each at the place of its [`Side`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rectangle([usize; 4]);

impl Rectangle {
    fn lines(self, side: Side) -> usize {
        let [x0, y0, x1, y1] = self.0;
        match side {
            Side::Left | Side::Right => x1 - x0,
            Side::Top | Side::Bottom => y1 - y0,
        }
    }

    fn without(mut self, side: Side, lines: usize) -> Self {
        match side {
            Side::Left | Side::Top => self.0[side as usize] += lines,
            Side::Right | Side::Bottom => self.0[side as usize] -= lines,
        }
        self
    }

    fn holds(self, other: Self) -> bool {
        let ([x0, y0, x1, y1], [ox0, oy0, ox1, oy1]) = (self.0, other.0);
        x0 <= ox0 && y0 <= oy0 && x1 >= ox1 && y1 >= oy1
    }

    /// Sides at which there is room around what lies in it.
    fn loose_sides(self, inner: Self) -> usize {
        let room = |side: &Side| {
            let gap = self.0[*side as usize].abs_diff(inner.0[*side as usize]);
            gap * 50 >= self.lines(*side)
        };
        Side::ALL.iter().filter(|side| room(side)).count()
    }

    /// The square between bars: as high as the picture is wide, or the other way, but where it
    /// `is_framed` for what is `black` at both ends of the short side. It lies in the middle, or where there is hardly a
    /// bar at one side, there.
    fn square(self, black: [usize; 4], is_framed: bool) -> Self {
        let (across, along) = if self.lines(Side::Left) > self.lines(Side::Top) {
            ([Side::Top, Side::Bottom], [Side::Left, Side::Right])
        } else {
            ([Side::Left, Side::Right], [Side::Top, Side::Bottom])
        };
        let of = |side: Side| black[side as usize];
        let inset = if is_framed {
            of(across[0]).min(of(across[1]))
        } else {
            0
        };
        let mut rect = self.without(across[0], inset).without(across[1], inset);
        let bars = rect.lines(along[0]) - rect.lines(across[0]).min(rect.lines(along[0]));
        let (first, last) = (of(along[0]), of(along[1]));
        let before = match first * 4 {
            quarter if quarter < last => 0,
            _ if last * 4 < first => bars,
            _ => bars / 2,
        };
        rect = rect.without(along[0], before);
        rect.without(along[1], bars - before)
    }

    /// With as much of the margins again as the share `rim` of its own size.
    fn with_rim(self, margins: [usize; 4], rim: f64) -> Self {
        let mut rect = self;
        for side in Side::ALL {
            let most = (rim * self.lines(side) as f64).round() as usize;
            let kept = most.min(margins[side as usize]);
            match side {
                Side::Left | Side::Top => rect.0[side as usize] -= kept,
                Side::Right | Side::Bottom => rect.0[side as usize] += kept,
            }
        }
        rect
    }

    fn as_box(self) -> [u32; 4] {
        let [x0, y0, x1, y1] = self.0.map(|at| at as u32);
        [x0, y0, x1 - x0, y1 - y0]
    }
}

/// What one side has of border.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Border {
    /// Lines to leave out.
    lines: usize,
    /// How many of these, next to what is left, may be the film's own margin.
    margin: usize,
    is_black: bool,
}

/// How one line differs from the border's grey.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// Pixels that lie further away than the tolerance.
    strays: usize,
    /// Sum of all distances.
    distance: usize,
}

/// The luma of a picture.
struct Picture<'a> {
    luma: Cow<'a, [u8]>,
    width: usize,
}

impl<'a> Picture<'a> {
    fn of(image: &'a Image) -> Self {
        let luma = match &image.pixels {
            Pixels::Luma(luma) => Cow::Borrowed(luma.as_slice()),
            Pixels::Rgb(rgb) => rgb.chunks_exact(3).map(luma_of).collect(),
        };
        let width = image.width as usize;
        Self { luma, width }
    }

    /// The border on one side of what is left of the picture.
    fn border(&self, rect: Rectangle, side: Side, spec: &FilmSpec) -> Border {
        let outermost = self.outermost(rect, side);
        let (grey, spread) = grey_and_spread(outermost);
        if spread > spec.uniform_within {
            return Border::default();
        }
        let noise = spread.saturating_add(spread / 2).saturating_add(1);
        let tolerance = noise.clamp(EXACT, spec.uniform_within.max(EXACT));
        let mut lines = Lines {
            picture: self,
            rect,
            side,
            grey,
            tolerance,
            known: Vec::new(),
        };
        let end = lines.end();
        if end == 0 || end == lines.count() {
            return Border::default();
        }
        let edge = lines.sharp_edge(end);
        // A film that was cut has a sharp edge, and no margin of its own.
        let margin = if edge > end { 0 } else { lines.margin(edge) };
        Border {
            lines: edge,
            margin,
            is_black: grey <= BLACK,
        }
    }

    /// The film of an anatomy without edges, in what is left of the picture: all of it where it
    /// is like a film, else without a frame, else without bars. `None` where nothing fits.
    fn framed(&self, outer: Rectangle, inner: Rectangle, anatomy_from: f64) -> Option<Rectangle> {
        let anatomy = inner.lines(Side::Left).max(inner.lines(Side::Top)) as f64;
        let is_film = |rect: &Rectangle| {
            let sides = [rect.lines(Side::Left) as f64, rect.lines(Side::Top) as f64];
            let (short, long) = (sides[0].min(sides[1]), sides[0].max(sides[1]));
            long <= LONGEST * short && anatomy >= anatomy_from * short && rect.holds(inner)
        };
        let black = Side::ALL.map(|side| self.exactly_even(outer, side));
        let frame = black.iter().copied().min().unwrap_or(0);
        let framed = Side::ALL
            .into_iter()
            .fold(outer, |rect, side| rect.without(side, frame));
        let is_loose = |rect: &Rectangle| rect.loose_sides(inner) >= 2;
        if is_film(&outer) {
            return Some(outer);
        }
        let squares = [false, true].map(|is_framed| outer.square(black, is_framed));
        let mut cut = [framed].into_iter().chain(squares);
        cut.find(|rect| is_film(rect) && is_loose(rect))
    }

    /// Lines from one side inwards that are of one grey to the last pixel.
    fn exactly_even(&self, rect: Rectangle, side: Side) -> usize {
        let (grey, _) = grey_and_spread(self.outermost(rect, side));
        let mut lines = Lines {
            picture: self,
            rect,
            side,
            grey,
            tolerance: 0,
            known: Vec::new(),
        };
        let half = lines.count() / 2;
        let mut even = 0;
        while even < half && lines.at(even).distance == 0 {
            even += 1;
        }
        even
    }

    /// The pixels of the outermost line.
    fn outermost(&self, rect: Rectangle, side: Side) -> Vec<u8> {
        let [x0, y0, x1, y1] = rect.0;
        let column = |x: usize| (y0..y1).map(|y| self.luma[y * self.width + x]).collect();
        let row = |y: usize| self.luma[y * self.width + x0..y * self.width + x1].to_vec();
        match side {
            Side::Left => column(x0),
            Side::Right => column(x1 - 1),
            Side::Top => row(y0),
            Side::Bottom => row(y1 - 1),
        }
    }
}

/// The median of a line, and the distance from it that 98 % of its pixels keep.
fn grey_and_spread(mut pixels: Vec<u8>) -> (u8, u8) {
    let middle = pixels.len() / 2;
    let (_, &mut grey, _) = pixels.select_nth_unstable(middle);
    pixels.iter_mut().for_each(|v| *v = v.abs_diff(grey));
    let most = (pixels.len() - 1) * 98 / 100;
    let (_, &mut spread, _) = pixels.select_nth_unstable(most);
    (grey, spread)
}

/// BT.601, as [`Canvas::luma`](crate::image::Canvas::luma).
fn luma_of(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
}

/// The lines of a rectangle from one side inwards, measured as far as they are asked for.
struct Lines<'a> {
    picture: &'a Picture<'a>,
    rect: Rectangle,
    side: Side,
    grey: u8,
    tolerance: u8,
    known: Vec<Line>,
}

impl Lines<'_> {
    fn count(&self) -> usize {
        self.rect.lines(self.side)
    }

    fn length(&self) -> usize {
        match self.side {
            Side::Left | Side::Right => self.rect.lines(Side::Top),
            Side::Top | Side::Bottom => self.rect.lines(Side::Left),
        }
    }

    fn at(&mut self, line: usize) -> Line {
        while self.known.len() <= line {
            let from = self.known.len();
            let block = self.block(from..(from + BLOCK).min(self.count()));
            self.known.extend(block);
        }
        self.known[line]
    }

    /// Measures some lines, row by row whatever the side.
    fn block(&self, range: Range<usize>) -> Vec<Line> {
        let [x0, y0, x1, y1] = self.rect.0;
        let (xs, ys) = match self.side {
            Side::Left => (x0 + range.start..x0 + range.end, y0..y1),
            Side::Right => (x1 - range.end..x1 - range.start, y0..y1),
            Side::Top => (x0..x1, y0 + range.start..y0 + range.end),
            Side::Bottom => (x0..x1, y1 - range.end..y1 - range.start),
        };
        let by_column = matches!(self.side, Side::Left | Side::Right);
        let mut lines = vec![Line::default(); range.len()];
        for (index, y) in ys.enumerate() {
            let start = y * self.picture.width;
            let row = &self.picture.luma[start + xs.start..start + xs.end];
            if by_column {
                let cells = lines.iter_mut().zip(row);
                cells.for_each(|(line, &value)| self.count_in(line, value));
            } else {
                let line = &mut lines[index];
                row.iter().for_each(|&value| self.count_in(line, value));
            }
        }
        if matches!(self.side, Side::Right | Side::Bottom) {
            lines.reverse();
        }
        lines
    }

    fn count_in(&self, line: &mut Line, value: u8) {
        let distance = value.abs_diff(self.grey);
        line.strays += usize::from(distance > self.tolerance);
        line.distance += usize::from(distance);
    }

    /// Share of a line's pixels that are not the border's.
    fn strays(&mut self, line: usize) -> f64 {
        self.at(line).strays as f64 / self.length() as f64
    }

    /// Whether a line differs, but in few places.
    fn is_words(&mut self, line: usize) -> bool {
        let strays = self.strays(line);
        strays > STRAY && strays < WORDS
    }

    /// Where lines of the border's grey end, from `start` on.
    fn flat_until(&mut self, start: usize) -> usize {
        let mut line = start;
        while line < self.count() && self.strays(line) <= STRAY {
            line += 1;
        }
        line
    }

    /// Where the border ends: words in it are border, if more border follows.
    fn end(&mut self) -> usize {
        let count = self.count();
        let gap = (count / 200).max(3);
        let mut end = self.flat_until(0);
        while end > 0 && end < count {
            let mut words = end;
            let reach = end + (WORDS * count as f64) as usize;
            while words < count.min(reach) && self.is_words(words) {
                words += 1;
            }
            let after = self.flat_until(words);
            if words == end || after - words < gap || after == count {
                break;
            }
            end = after;
        }
        end
    }

    /// The same, or the sharp edge shortly behind it: compression rings in front of one.
    fn sharp_edge(&mut self, end: usize) -> usize {
        let last = (end + RINGING).min(self.count() - 1);
        let length = self.length() as f64;
        let mut mean = |line: usize| self.at(line).distance as f64 / length;
        let (mut edge, mut most) = (end, mean(end));
        for line in end + 1..=last {
            let (before, here) = (mean(line - 1), mean(line));
            if here > 3.0 * before && here - before > most.max(8.0) {
                (edge, most) = (line, here - before);
            }
        }
        edge
    }

    /// How much of a border of `edge` lines may be the film's own margin. A margin that
    /// differs from an exactly even border shows where the film begins.
    fn margin(&mut self, edge: usize) -> usize {
        let inside = (edge + (self.count() / 100).max(1)).min(self.count() - 1);
        if self.grey > BLACK || self.strays(inside) >= ROUND {
            return 0;
        }
        let mut even = 0;
        while even < edge && self.at(even).distance == 0 {
            even += 1;
        }
        let uneven = edge - even;
        if even > 0 && uneven * 50 >= self.count() {
            uneven
        } else {
            edge
        }
    }
}

#[cfg(test)]
mod tests;
