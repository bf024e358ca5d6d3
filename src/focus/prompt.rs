//! Visual prompts. In goes what a person or a bundle asks (points, a box, a strategy), out come the
//! points for the mask decoder; of the masks that the decoder answers, one is chosen. Called by the
//! pipeline. Never asks anything that nobody asked for.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::mask::Logits;

/// Offset of the stability by which masks are compared (SAM, appendix B).
const CHOICE_OFFSET: f32 = 1.0;
/// Offset of the stability by which SAM2 judges its single mask.
const SINGLE_MASK_OFFSET: f32 = 0.05;

/// Label of one point, as SAM's prompt encoder numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointLabel {
    /// Not a point: fills a fixed number of places.
    Padding = -1,
    /// Outside the region.
    Outside = 0,
    /// Inside the region.
    Inside = 1,
    /// The box's corner with the smallest coordinates.
    TopLeft = 2,
    /// The box's corner with the largest coordinates.
    BottomRight = 3,
}

/// A padding point; where it lies does not matter.
const PADDING: ([f32; 2], PointLabel) = ([0.0, 0.0], PointLabel::Padding);

/// One part of a prompt, in the image's own pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prompt {
    /// A box by its left, top, width and height.
    Box {
        /// Left edge.
        x: f32,
        /// Top edge.
        y: f32,
        /// Width, above 0.
        width: f32,
        /// Height, above 0.
        height: f32,
    },
    /// A point and whether it lies inside the region.
    Point {
        /// Column.
        x: f32,
        /// Row.
        y: f32,
        /// Inside (`+`) or outside (`-`).
        inside: bool,
    },
}

/// A prompt that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is no prompt: {why}; write box:x,y,w,h or point:x,y or point:x,y,- in pixels")]
pub struct PromptError {
    given: String,
    why: &'static str,
}

impl FromStr for Prompt {
    type Err = PromptError;

    fn from_str(given: &str) -> Result<Self, PromptError> {
        let error = |why| PromptError {
            given: given.to_owned(),
            why,
        };
        let (kind, rest) = given.split_once(':').ok_or(error("there is no colon"))?;
        let parts: Vec<&str> = rest.split(',').map(str::trim).collect();
        let number = |text: &str| {
            let value: f32 = text
                .parse()
                .map_err(|_| error("a coordinate is not a number"))?;
            if value.is_finite() && value >= 0.0 {
                Ok(value)
            } else {
                Err(error("a coordinate is negative or not finite"))
            }
        };
        match (kind, parts.as_slice()) {
            ("box", [x, y, w, h]) => {
                let (width, height) = (number(w)?, number(h)?);
                if width <= 0.0 || height <= 0.0 {
                    return Err(error("a box needs a width and a height above 0"));
                }
                Ok(Self::Box {
                    x: number(x)?,
                    y: number(y)?,
                    width,
                    height,
                })
            }
            ("point", [x, y]) | ("point", [x, y, "+"]) => Ok(Self::Point {
                x: number(x)?,
                y: number(y)?,
                inside: true,
            }),
            ("point", [x, y, "-"]) => Ok(Self::Point {
                x: number(x)?,
                y: number(y)?,
                inside: false,
            }),
            ("box", _) => Err(error("a box has four numbers")),
            ("point", _) => Err(error("a point has two numbers and at most one sign")),
            _ => Err(error("only box and point are known")),
        }
    }
}

/// How a bundle asks where the user does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// One box around the whole image.
    Box,
    /// One point in the middle.
    Center,
    /// This many points a side, each on its own; the best mask is taken.
    Grid(u8),
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Box => f.write_str("box"),
            Self::Center => f.write_str("center"),
            Self::Grid(points) => write!(f, "grid of {points} x {points}"),
        }
    }
}

/// Points and labels of one question to the decoder, in its input's pixels.
pub type Question = Vec<([f32; 2], PointLabel)>;

impl Strategy {
    /// The questions of this strategy for a decoder whose input has `side` pixels;
    /// `pads_boxes` as in [`Prompt::question`].
    pub fn questions(self, side: f32, pads_boxes: bool) -> Vec<Question> {
        let point = |x: f32, y: f32| vec![([x, y], PointLabel::Inside), PADDING];
        match self {
            Self::Box => {
                let mut corners = vec![
                    ([0.0, 0.0], PointLabel::TopLeft),
                    ([side, side], PointLabel::BottomRight),
                ];
                if pads_boxes {
                    corners.push(PADDING);
                }
                vec![corners]
            }
            Self::Center => vec![point(side / 2.0, side / 2.0)],
            Self::Grid(n) => {
                let at = |i: u8| (f32::from(i) + 0.5) / f32::from(n) * side;
                (0..n)
                    .flat_map(|y| (0..n).map(move |x| (at(x), at(y))))
                    .map(|(x, y)| point(x, y))
                    .collect()
            }
        }
    }
}

impl Prompt {
    /// Whether it lies in an image of `width` by `height` pixels.
    pub fn lies_in(&self, width: u32, height: u32) -> bool {
        let (w, h) = (width as f32, height as f32);
        match *self {
            Self::Box {
                x,
                y,
                width,
                height,
            } => x + width <= w && y + height <= h,
            Self::Point { x, y, .. } => x < w && y < h,
        }
    }

    /// The same prompt in the pixels of the part `[x, y, width, height]`; a box is cut to
    /// it. `None` where it lies beside the part.
    pub fn seen_in(&self, part: [u32; 4]) -> Option<Self> {
        let [left, top, w, h] = part.map(|v| v as f32);
        match *self {
            Self::Box {
                x,
                y,
                width,
                height,
            } => {
                let (x0, x1) = ((x - left).max(0.0), (x + width - left).min(w));
                let (y0, y1) = ((y - top).max(0.0), (y + height - top).min(h));
                (x0 < x1 && y0 < y1).then_some(Self::Box {
                    x: x0,
                    y: y0,
                    width: x1 - x0,
                    height: y1 - y0,
                })
            }
            Self::Point { x, y, inside } => {
                let (x, y) = (x - left, y - top);
                let is_in = (0.0..w).contains(&x) && (0.0..h).contains(&y);
                is_in.then_some(Self::Point { x, y, inside })
            }
        }
    }

    /// One question made of all `prompts` for an image of `width` by `height` pixels; a
    /// padding point closes it where there is no box, as SAM does, and with `pads_boxes`
    /// everywhere, as SAM2 does. `None` where a prompt lies outside the image.
    pub fn question(
        prompts: &[Self],
        width: u32,
        height: u32,
        side: f32,
        pads_boxes: bool,
    ) -> Option<Question> {
        let (w, h) = (width as f32, height as f32);
        let scaled = |x: f32, y: f32| [x / w * side, y / h * side];
        if !prompts.iter().all(|prompt| prompt.lies_in(width, height)) {
            return None;
        }
        let mut question = Vec::new();
        for prompt in prompts {
            match *prompt {
                Self::Box {
                    x,
                    y,
                    width,
                    height,
                } => {
                    question.push((scaled(x, y), PointLabel::TopLeft));
                    question.push((scaled(x + width, y + height), PointLabel::BottomRight));
                }
                Self::Point { x, y, inside } => {
                    let label = if inside {
                        PointLabel::Inside
                    } else {
                        PointLabel::Outside
                    };
                    question.push((scaled(x, y), label));
                }
            }
        }
        if pads_boxes || !prompts.iter().any(|p| matches!(p, Self::Box { .. })) {
            question.push(PADDING);
        }
        Some(question)
    }
}

/// One mask of the decoder's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedMask {
    /// Mask logits at the decoder's resolution.
    pub logits: Logits,
    /// The decoder's estimate of the mask's IoU.
    pub predicted_iou: f32,
    /// Logit of "there is an object".
    pub object_score: f32,
    /// Which of the questions it answers.
    pub question: usize,
}

/// The mask with the highest product of predicted IoU and stability (SAM, appendix B);
/// masks of nothing or of nearly everything only where there is no other.
pub fn choose(candidates: Vec<DecodedMask>) -> Option<DecodedMask> {
    let score = |mask: &DecodedMask| {
        let area = mask.logits.area_fraction();
        let quality = mask.predicted_iou * mask.logits.stability(CHOICE_OFFSET).unwrap_or(0.0);
        if (0.005..0.95).contains(&area) {
            1.0 + quality
        } else {
            quality
        }
    };
    candidates
        .into_iter()
        .max_by(|a, b| score(a).total_cmp(&score(b)))
}

/// The answer to a box, of the single mask and its alternatives in the decoder's order:
/// the single mask, or with `steady_from` and where that one is less steady, the
/// alternative with the highest predicted IoU (SAM2's dynamic multimask output). A mask
/// of nothing counts as steady, as it does there.
pub fn single_mask(masks: Vec<DecodedMask>, steady_from: Option<f32>) -> Option<DecodedMask> {
    let mut masks = masks.into_iter();
    let single = masks.next()?;
    let steady = single.logits.stability(SINGLE_MASK_OFFSET).unwrap_or(1.0);
    if steady_from.is_none_or(|needed| steady >= needed) {
        return Some(single);
    }
    let best = masks.reduce(|best, mask| {
        if mask.predicted_iou > best.predicted_iou {
            mask
        } else {
            best
        }
    });
    Some(best.unwrap_or(single))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_read_or_refused_with_the_reason() {
        assert_eq!(
            "box:1,2,30,40".parse(),
            Ok(Prompt::Box {
                x: 1.0,
                y: 2.0,
                width: 30.0,
                height: 40.0
            })
        );
        assert_eq!(
            "point:5,6,-".parse(),
            Ok(Prompt::Point {
                x: 5.0,
                y: 6.0,
                inside: false
            })
        );
        for (given, why) in [
            ("box:1,2,0,4", "above 0"),
            ("box:1,2,3", "four numbers"),
            ("point:nan,2", "not finite"),
            ("point:-1,2", "negative"),
            ("circle:1", "only box and point"),
            ("here", "no colon"),
        ] {
            let error = given.parse::<Prompt>().unwrap_err().to_string();
            assert!(error.contains(why), "{given}: {error}");
        }
    }

    #[test]
    fn a_box_needs_no_padding_and_a_point_does() {
        let question =
            |text: &str| Prompt::question(&[text.parse().unwrap()], 100, 50, 200.0, false).unwrap();
        assert_eq!(question("box:0,0,100,50").len(), 2);
        assert_eq!(
            question("box:0,0,100,50")[1],
            ([200.0, 200.0], PointLabel::BottomRight)
        );
        assert_eq!(
            question("point:50,25")[0],
            ([100.0, 100.0], PointLabel::Inside)
        );
        assert_eq!(question("point:50,25")[1].1, PointLabel::Padding);
    }

    #[test]
    fn prompts_outside_the_image_are_not_moved_inside() {
        for text in ["box:90,0,20,10", "point:100,0", "point:0,50"] {
            assert_eq!(
                Prompt::question(&[text.parse().unwrap()], 100, 50, 200.0, false),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn the_steady_mask_wins_over_the_confident_one() {
        let mask = |edge: f32, predicted_iou| DecodedMask {
            logits: Logits::new(
                4,
                4,
                (0..16).map(|i| if i < 8 { edge } else { -9.0 }).collect(),
            ),
            predicted_iou,
            object_score: 1.0,
            question: 0,
        };
        let chosen = choose(vec![mask(0.5, 0.9), mask(9.0, 0.7)]).unwrap();
        assert_eq!(chosen.predicted_iou, 0.7);
    }

    #[test]
    fn sam2_closes_a_box_with_padding_too() {
        let prompt = "box:0,0,10,10".parse().unwrap();
        let question = Prompt::question(&[prompt], 100, 50, 200.0, true).unwrap();
        assert_eq!(question.len(), 3);
        assert_eq!(question[2].1, PointLabel::Padding);
        let whole = Strategy::Box.questions(200.0, true);
        assert_eq!(whole[0][2].1, PointLabel::Padding);
        assert_eq!(Strategy::Box.questions(200.0, false)[0].len(), 2);
    }

    #[test]
    fn an_unsteady_single_mask_gives_way_to_the_best_other() {
        let mask = |inside: f32, predicted_iou| DecodedMask {
            logits: Logits::new(2, 1, vec![9.0, inside]),
            predicted_iou,
            object_score: 1.0,
            question: 0,
        };
        let masks = |single| vec![mask(single, 0.9), mask(9.0, 0.5), mask(-9.0, 0.7)];
        let answer = |single, from| single_mask(masks(single), from).unwrap().predicted_iou;
        assert_eq!(
            answer(0.01, Some(0.98)),
            0.7,
            "a pixel lies within the offset"
        );
        assert_eq!(answer(0.06, Some(0.98)), 0.9, "no pixel does");
        assert_eq!(answer(0.01, None), 0.9, "the single mask always answers");
        assert_eq!(single_mask(Vec::new(), None), None);
    }
}
