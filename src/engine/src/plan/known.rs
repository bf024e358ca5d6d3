//! Whole numbers known while planning: shapes, axes, indices, and what exporters compute
//! from them. With the input shapes fixed, all of it folds away here.

use crate::onnx::{Attributes, NodeProto};

/// A tensor of whole numbers that the plan knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub shape: Vec<usize>,
    pub values: Vec<i64>,
}

impl Known {
    /// A vector.
    pub fn vector(values: Vec<i64>) -> Self {
        Self {
            shape: vec![values.len()],
            values,
        }
    }

    /// What this node makes of known inputs; `None` where it is no operator on shapes.
    pub fn of(node: &NodeProto, inputs: &[Option<&Self>]) -> Option<Self> {
        let input = |i: usize| inputs.get(i).copied().flatten();
        let first = input(0);
        match node.op_type.as_str() {
            "Cast" | "Identity" => first.cloned(),
            "Gather" if node.int("axis", 0) == 0 => first?.gathered(input(1)?),
            "Concat" => concatenated(inputs),
            "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" => first?.reshaped(node, input(1)),
            "Slice" => first?.sliced(input(1)?, input(2)?, input(4)),
            "Add" => first?.zip(input(1)?, i64::checked_add),
            "Sub" => first?.zip(input(1)?, i64::checked_sub),
            "Mul" => first?.zip(input(1)?, i64::checked_mul),
            "Div" => first?.zip(input(1)?, i64::checked_div),
            "Equal" => first?.zip(input(1)?, |a, b| Some(i64::from(a == b))),
            "Where" => chosen(first?, input(1)?, input(2)?),
            "ConstantOfShape" => first?.filled(node),
            "Expand" => first?.expanded(input(1)?),
            "ReduceProd" => Some(Self::vector(vec![product(&first?.values)?])),
            "Range" => range(first?, input(1)?, input(2)?),
            _ => None,
        }
    }

    fn gathered(&self, indices: &Self) -> Option<Self> {
        let at = |index: &i64| {
            let length = self.values.len() as i64;
            let index = if *index < 0 { index + length } else { *index };
            self.values.get(usize::try_from(index).ok()?).copied()
        };
        (self.shape.len() == 1).then_some(())?;
        Some(Self {
            shape: indices.shape.clone(),
            values: indices.values.iter().map(at).collect::<Option<_>>()?,
        })
    }

    fn reshaped(&self, node: &NodeProto, second: Option<&Self>) -> Option<Self> {
        let given = || second.map_or_else(|| node.ints("axes").to_vec(), |s| s.values.clone());
        let shape = match node.op_type.as_str() {
            "Reshape" => resolve_shape(&self.shape, &second?.values)?,
            "Unsqueeze" => unsqueezed(&self.shape, &given())?,
            "Squeeze" => squeezed(&self.shape, &given())?,
            _ => vec![1, self.values.len()],
        };
        Some(Self {
            shape,
            values: self.values.clone(),
        })
    }

    fn sliced(&self, starts: &Self, ends: &Self, steps: Option<&Self>) -> Option<Self> {
        let plain = steps.is_none_or(|steps| steps.values == [1]);
        let ([start], [end], 1, true) = (
            &starts.values[..],
            &ends.values[..],
            self.shape.len(),
            plain,
        ) else {
            return None;
        };
        let range = clamped(*start, *end, self.values.len());
        Some(Self::vector(self.values[range].to_vec()))
    }

    fn zip(&self, other: &Self, of: impl Fn(i64, i64) -> Option<i64>) -> Option<Self> {
        let count = self.values.len().max(other.values.len());
        let fits = |known: &Self| known.values.len() == count || known.values.len() == 1;
        if !fits(self) || !fits(other) {
            return None;
        }
        let at = |known: &Self, i: usize| known.values[i % known.values.len()];
        let values = (0..count).map(|i| of(at(self, i), at(other, i)));
        let shape = if self.shape.len() >= other.shape.len() && self.values.len() == count {
            &self.shape
        } else {
            &other.shape
        };
        Some(Self {
            shape: shape.clone(),
            values: values.collect::<Option<_>>()?,
        })
    }

    fn filled(&self, node: &NodeProto) -> Option<Self> {
        let value = match node.attribute("value").and_then(|a| a.t.as_ref()) {
            Some(tensor) => i64::from_le_bytes(tensor.raw_data.as_slice().try_into().ok()?),
            None => 0,
        };
        let shape = self.sides()?;
        let count = shape.iter().product();
        Some(Self {
            shape,
            values: vec![value; count],
        })
    }

    fn expanded(&self, shape: &Self) -> Option<Self> {
        let [value] = self.values[..] else {
            return None;
        };
        let shape = shape.sides()?;
        let count = shape.iter().product();
        Some(Self {
            shape,
            values: vec![value; count],
        })
    }

    /// The values as lengths of axes.
    pub fn sides(&self) -> Option<Vec<usize>> {
        self.values
            .iter()
            .map(|v| usize::try_from(*v).ok())
            .collect()
    }
}

fn product(values: &[i64]) -> Option<i64> {
    values.iter().try_fold(1_i64, |all, v| all.checked_mul(*v))
}

fn concatenated(inputs: &[Option<&Known>]) -> Option<Known> {
    let parts: Option<Vec<&Known>> = inputs.iter().copied().collect();
    let values = parts?.iter().flat_map(|part| part.values.clone()).collect();
    Some(Known::vector(values))
}

fn chosen(condition: &Known, a: &Known, b: &Known) -> Option<Known> {
    let mask = condition.zip(a, |c, a| Some(if c != 0 { a } else { 0 }))?;
    let rest = condition.zip(b, |c, b| Some(if c != 0 { 0 } else { b }))?;
    mask.zip(&rest, i64::checked_add)
}

fn range(start: &Known, end: &Known, step: &Known) -> Option<Known> {
    let (start, end, step) = (
        *start.values.first()?,
        *end.values.first()?,
        *step.values.first()?,
    );
    let count = end.checked_sub(start)?;
    // A shape has far fewer axes, and an index far fewer values, than this.
    if step < 1 || count > 1 << 24 {
        return None;
    }
    let values = (0..).map(|i| start + i * step).take_while(|v| *v < end);
    Some(Known::vector(values.collect()))
}

/// An axis of a shape of `rank` axes; negative ones count from the last.
pub(crate) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

/// `start..end` as ONNX's Slice clamps it.
pub(crate) fn clamped(start: i64, end: i64, length: usize) -> std::ops::Range<usize> {
    let at = |index: i64| {
        let index = if index < 0 {
            index.saturating_add(length as i64)
        } else {
            index
        };
        index.clamp(0, length as i64) as usize
    };
    let (start, end) = (at(start), at(end));
    start..end.max(start)
}

/// The shape that a Reshape asks for: 0 keeps an axis, one -1 takes what is left.
pub(crate) fn resolve_shape(from: &[usize], asked: &[i64]) -> Option<Vec<usize>> {
    let count: usize = from.iter().product();
    let mut shape = Vec::with_capacity(asked.len());
    let mut open = None;
    for (i, &side) in asked.iter().enumerate() {
        match side {
            -1 if open.is_none() => {
                open = Some(i);
                shape.push(1);
            }
            0 => shape.push(*from.get(i)?),
            side => shape.push(usize::try_from(side).ok()?),
        }
    }
    let fixed = shape
        .iter()
        .try_fold(1_usize, |all, v| all.checked_mul(*v))?;
    if let Some(open) = open {
        shape[open] = count.checked_div(fixed)?;
    }
    (shape.iter().product::<usize>() == count).then_some(shape)
}

/// A shape with axes of length one put in.
pub(crate) fn unsqueezed(shape: &[usize], axes: &[i64]) -> Option<Vec<usize>> {
    let rank = shape.len() + axes.len();
    let places: Option<Vec<usize>> = axes.iter().map(|a| axis(*a, rank)).collect();
    let places = places?;
    let mut rest = shape.iter();
    (0..rank)
        .map(|i| {
            if places.contains(&i) {
                Some(1)
            } else {
                rest.next().copied()
            }
        })
        .collect()
}

/// A shape with axes of length one taken out; all of them where none is named.
pub(crate) fn squeezed(shape: &[usize], axes: &[i64]) -> Option<Vec<usize>> {
    let places: Option<Vec<usize>> = axes.iter().map(|a| axis(*a, shape.len())).collect();
    let places = places?;
    if places.iter().any(|p| shape[*p] != 1) {
        return None;
    }
    let goes = |i: usize| shape[i] == 1 && (places.is_empty() || places.contains(&i));
    Some(
        (0..shape.len())
            .filter(|i| !goes(*i))
            .map(|i| shape[i])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_as_onnx_says() {
        type Case<'a> = (&'a [usize], &'a [i64], Option<&'a [usize]>);
        let cases: [Case<'_>; 7] = [
            (&[2, 3, 4], &[0, -1], Some(&[2, 12])),
            (&[2, 3, 4], &[-1], Some(&[24])),
            (&[2, 3], &[3, 2], Some(&[3, 2])),
            (&[2, 3], &[4, 2], None),
            (&[2, 3], &[-1, -1], None),
            (&[2, 3], &[5, -1], None),
            (&[2, 3], &[0, 0, 0], None),
        ];
        for (from, asked, expected) in cases {
            let found = resolve_shape(from, asked);
            assert_eq!(found.as_deref(), expected, "{from:?} to {asked:?}");
        }
    }

    #[test]
    fn axes_of_one_come_and_go() {
        assert_eq!(unsqueezed(&[2, 3], &[0, -1]), Some(vec![1, 2, 3, 1]));
        assert_eq!(squeezed(&[1, 2, 1], &[-1]), Some(vec![1, 2]));
        assert_eq!(squeezed(&[1, 2, 1], &[]), Some(vec![2]));
        assert_eq!(squeezed(&[1, 2], &[1]), None);
    }

    #[test]
    fn slices_are_clamped() {
        assert_eq!(clamped(1, i64::MAX, 5), 1..5);
        assert_eq!(clamped(-2, -1, 5), 3..4);
        assert_eq!(clamped(4, 2, 5), 4..4);
    }
}
