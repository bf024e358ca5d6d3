//! Whole numbers known while planning: shapes, axes, indices, and what exporters compute
//! from them. With the input shapes fixed, all of it folds away here.
//!
//! What is not worked out here exactly as ONNX says is left alone: lowering then refuses it, since
//! nothing else may compute with whole numbers.

use super::view::{View, broadcast_shape};
use crate::typed::{Binary, Fill, Node, Number, Operator};

/// The largest whole number up to which floats hold every one.
pub(super) const LARGEST: i64 = 1 << 24;

/// What `INT32` can hold. Results beyond it are left alone: the type that would wrap there, or
/// would not, is not kept, and no shape is so large.
const HOLDS: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;

/// A tensor of whole numbers that the plan knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub shape: Vec<usize>,
    pub values: Vec<i64>,
    /// Whether they are of 8 bits: such are moved, compared and cast, but nothing is computed
    /// with them.
    pub bytes: bool,
}

impl Known {
    /// A vector.
    pub fn vector(values: Vec<i64>) -> Self {
        Self {
            shape: vec![values.len()],
            values,
            bytes: false,
        }
    }

    /// What this node makes of known inputs; `None` where it is no operator on shapes, or not
    /// one that is worked out here.
    pub fn of(node: &Node, inputs: &[Option<&Self>]) -> Option<Self> {
        let input = |i: usize| inputs.get(i).copied().flatten();
        let first = input(0);
        match &node.operator {
            Operator::Identity => first.cloned(),
            Operator::Cast(to) => first?.cast(*to),
            Operator::Gather(axis) => first?.gathered(*axis, input(1)?),
            Operator::Concat(axis) => concatenated(*axis, inputs),
            Operator::Unsqueeze(_) | Operator::Squeeze(_) | Operator::Reshape(_) => {
                first?.reshaped(node, inputs)
            }
            Operator::Slice => first?.sliced(inputs),
            Operator::Binary(by) => first?.computed(*by, input(1)?),
            Operator::Where => chosen(first?, input(1)?, input(2)?),
            Operator::ConstantOfShape(Fill::Whole(value)) => Self::one(*value).expanded(first?),
            Operator::Expand => first?.expanded(input(1)?),
            Operator::ReduceProd(reduction) => {
                first?.reduced(&given(inputs, &reduction.axes)?, reduction.keeps)
            }
            Operator::Range => range(first?, input(1)?, input(2)?),
            _ => None,
        }
    }

    /// A number without axes.
    fn one(value: i64) -> Self {
        Self {
            shape: Vec::new(),
            values: vec![value],
            bytes: false,
        }
    }

    /// As another type of whole numbers; as floats it is no [`Known`] any more.
    fn cast(&self, to: Number) -> Option<Self> {
        let value = |v: &i64| match to {
            Number::Int64 => Some(*v),
            Number::Int32 => i32::try_from(*v).ok().map(i64::from),
            Number::Bool => Some(i64::from(*v != 0)),
            Number::Float => None,
        };
        Some(Self {
            shape: self.shape.clone(),
            values: self.values.iter().map(value).collect::<Option<_>>()?,
            bytes: false,
        })
    }

    fn gathered(&self, along: i64, indices: &Self) -> Option<Self> {
        let [length] = self.shape[..] else {
            return None;
        };
        axis(along, 1)?;
        let at = |index: &i64| Some(self.values[axis(*index, length)?]);
        Some(Self {
            shape: indices.shape.clone(),
            values: indices.values.iter().map(at).collect::<Option<_>>()?,
            bytes: self.bytes,
        })
    }

    fn reshaped(&self, node: &Node, inputs: &[Option<&Self>]) -> Option<Self> {
        let given = match inputs.get(1) {
            Some(given) => Some(given.as_ref()?.values.as_slice()),
            None => None,
        };
        Some(Self {
            shape: new_shape(&node.operator, &self.shape, given).ok()?,
            values: self.values.clone(),
            bytes: self.bytes,
        })
    }

    fn sliced(&self, inputs: &[Option<&Self>]) -> Option<Self> {
        let one = |i: usize| match inputs.get(i).copied().flatten()?.values[..] {
            [value] => Some(value),
            _ => None,
        };
        let [length] = self.shape[..] else {
            return None;
        };
        if inputs.len() > 3 {
            axis(one(3)?, 1)?;
        }
        if inputs.len() > 4 && one(4)? != 1 {
            return None;
        }
        let range = clamped(one(1)?, one(2)?, length);
        Some(Self {
            bytes: self.bytes,
            ..Self::vector(self.values[range].to_vec())
        })
    }

    /// Arithmetic value by value, where its type holds every result.
    fn computed(&self, by: Binary, other: &Self) -> Option<Self> {
        let of: fn(i64, i64) -> Option<i64> = match by {
            Binary::Equal => return self.zip(other, |a, b| Some(i64::from(a == b))),
            Binary::Add => i64::checked_add,
            Binary::Sub => i64::checked_sub,
            Binary::Mul => i64::checked_mul,
            // Towards zero, as ONNX's runtimes divide whole numbers.
            Binary::Div => i64::checked_div,
            _ => return None,
        };
        if self.bytes || other.bytes {
            return None;
        }
        self.zip(other, |a, b| of(a, b).filter(|v| HOLDS.contains(v)))
    }

    /// Value by value, each side stretched to the other's shape; not of 8 bits.
    fn zip(&self, other: &Self, of: impl Fn(i64, i64) -> Option<i64>) -> Option<Self> {
        let shape = broadcast_shape(&self.shape, &other.shape).ok()?;
        let (a, b) = (self.stretched(&shape)?, other.stretched(&shape)?);
        let values = a.into_iter().zip(b).map(|(a, b)| of(a, b));
        Some(Self {
            values: values.collect::<Option<_>>()?,
            shape,
            bytes: false,
        })
    }

    /// The values of this, stretched to a shape that it broadcasts to.
    fn stretched(&self, shape: &[usize]) -> Option<Vec<i64>> {
        let count: usize = shape.iter().try_fold(1_usize, |n, s| n.checked_mul(*s))?;
        // A shape has far fewer axes, and an index far fewer values, than this.
        if count > 1 << 24 {
            return None;
        }
        if count == 0 {
            return Some(Vec::new());
        }
        let view = View::contiguous(&self.shape).broadcast(shape)?;
        let offsets = view.reshaped(&[shape, &[1]].concat())?.rows()?;
        let value = |offset: usize| self.values.get(offset).copied();
        offsets.into_iter().map(value).collect()
    }

    fn expanded(&self, shape: &Self) -> Option<Self> {
        let shape = broadcast_shape(&self.shape, &shape.sides()?).ok()?;
        Some(Self {
            values: self.stretched(&shape)?,
            shape,
            bytes: self.bytes,
        })
    }

    /// The product over all axes.
    fn reduced(&self, axes: &[i64], keeps: bool) -> Option<Self> {
        let rank = self.shape.len();
        let axes: Vec<usize> = axes.iter().map(|a| axis(*a, rank)).collect::<Option<_>>()?;
        let is_part = !axes.is_empty() && (0..rank).any(|i| !axes.contains(&i));
        if self.bytes || is_part {
            return None;
        }
        Some(Self {
            shape: if keeps { vec![1; rank] } else { Vec::new() },
            ..Self::one(product(&self.values)?)
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

/// Axes by input 1 where there is one, else those of the node itself.
fn given(inputs: &[Option<&Known>], own: &[i64]) -> Option<Vec<i64>> {
    match inputs.get(1) {
        Some(given) => Some(given.as_ref()?.values.clone()),
        None => Some(own.to_vec()),
    }
}

fn product(values: &[i64]) -> Option<i64> {
    let times = |all: i64, v: &i64| all.checked_mul(*v).filter(|v| HOLDS.contains(v));
    values.iter().try_fold(1, times)
}

fn concatenated(along: i64, inputs: &[Option<&Known>]) -> Option<Known> {
    axis(along, 1)?;
    let (mut values, mut bytes) = (Vec::new(), false);
    for part in inputs {
        let part = part.as_ref().filter(|part| part.shape.len() == 1)?;
        values.extend(&part.values);
        bytes |= part.bytes;
    }
    Some(Known {
        bytes,
        ..Known::vector(values)
    })
}

fn chosen(condition: &Known, a: &Known, b: &Known) -> Option<Known> {
    let shape = broadcast_shape(&condition.shape, &a.shape).ok()?;
    let shape = broadcast_shape(&shape, &b.shape).ok()?;
    let bytes = a.bytes || b.bytes;
    let parts = [condition, a, b].map(|part| part.stretched(&shape));
    let [Some(condition), Some(a), Some(b)] = parts else {
        return None;
    };
    let pairs = condition.into_iter().zip(a.into_iter().zip(b));
    Some(Known {
        values: pairs
            .map(|(c, (a, b))| if c != 0 { a } else { b })
            .collect(),
        shape,
        bytes,
    })
}

fn range(start: &Known, end: &Known, step: &Known) -> Option<Known> {
    let one = |known: &Known| match known.values[..] {
        [value] => Some(value),
        _ => None,
    };
    let (start, end, step) = (one(start)?, one(end)?, one(step)?);
    let length = end.checked_sub(start)?;
    if step < 1 || length > 1 << 24 {
        return None;
    }
    let values = (0..length.max(0)).step_by(usize::try_from(step).ok()?);
    Some(Known::vector(values.map(|i| start + i).collect()))
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

/// The shape that a node gives its input, whose elements stay as they are; `given` is input 1.
///
/// # Errors
/// A sentence: it does not fit.
pub(super) fn new_shape(
    operator: &Operator,
    from: &[usize],
    given: Option<&[i64]>,
) -> Result<Vec<usize>, String> {
    match operator {
        Operator::Reshape(empties) => {
            let asked = given.ok_or("has a shape that is not known beforehand")?;
            if *empties && asked.contains(&0) {
                return Err("makes a tensor without values".to_owned());
            }
            resolve_shape(from, asked).ok_or_else(|| format!("makes {asked:?} of {from:?}"))
        }
        Operator::Unsqueeze(axes) => unsqueezed(from, given.unwrap_or(axes))
            .ok_or_else(|| "has axes that are not there".to_owned()),
        Operator::Squeeze(axes) => squeezed(from, given.unwrap_or(axes))
            .ok_or_else(|| "has axes that are not of length 1".to_owned()),
        Operator::Flatten(at) => {
            let at = if *at == from.len() as i64 {
                from.len()
            } else {
                axis(*at, from.len()).ok_or("flattens at an axis that is not there")?
            };
            Ok(vec![
                from[..at].iter().product(),
                from[at..].iter().product(),
            ])
        }
        _ => Err("gives no new shape".to_owned()),
    }
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
