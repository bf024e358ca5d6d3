//! Where one case stands: waiting, running, or how it ended. Told to whoever asks; knows nothing of
//! other cases.

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Accepted; others are before it.
    Waiting,
    /// Being answered.
    Running,
    /// Ended in a finding.
    Finding,
    /// Ended in a refusal.
    Refusal,
    /// Dropped before it ran.
    Aborted,
}

impl State {
    /// Whether there is nothing more to come.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// The word on the line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finding => "finding",
            Self::Refusal => "refusal",
            Self::Aborted => "aborted",
        }
    }
}
