//! What the gate's small graph says of an image: which kind of picture, and which way up.

/// Poses in the order of the gate graph's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pose {
    /// As it should be.
    Upright,
    /// Turned to the left by 90 degrees.
    Left,
    /// Turned by 180 degrees.
    UpsideDown,
    /// Turned to the right by 90 degrees.
    Right,
    /// Black for white.
    Inverted,
}

impl Pose {
    /// All poses in order.
    pub const ALL: [Self; 5] = [
        Self::Upright,
        Self::Left,
        Self::UpsideDown,
        Self::Right,
        Self::Inverted,
    ];
}

/// The gate graph's probabilities: each kind in each pose, and at the end `other`.
#[derive(Debug, Clone, PartialEq)]
pub struct Kinds(Vec<f64>);

impl Kinds {
    /// From the graph's logits.
    pub fn from_logits(logits: &[f32]) -> Self {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = logits.iter().map(|l| f64::from(l - top).exp()).collect();
        let sum: f64 = powers.iter().sum();
        Self(powers.into_iter().map(|power| power / sum).collect())
    }

    /// Logits that a gate of so many kinds has.
    pub fn classes(kinds: usize) -> usize {
        kinds * Pose::ALL.len() + 1
    }

    pub(super) fn upright(&self, kind: usize) -> f64 {
        self.0.get(kind * Pose::ALL.len()).copied().unwrap_or(0.0)
    }

    /// The likeliest kind and pose other than `kind` upright; `None` for `other`.
    pub(super) fn instead_of(&self, kind: usize) -> Option<(usize, Pose)> {
        let poses = Pose::ALL.len();
        let likeliest = (0..self.0.len())
            .filter(|&class| class != kind * poses)
            .max_by(|&a, &b| self.0[a].total_cmp(&self.0[b]))?;
        let pose = Pose::ALL[likeliest % poses];
        (likeliest + 1 < self.0.len()).then_some((likeliest / poses, pose))
    }
}
