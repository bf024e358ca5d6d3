//! Why a graph cannot be run, and which node or value of it is to blame.

/// A node that can be blamed, of a file or of a graph of ours.
pub(super) trait Blamed {
    /// The operator's name.
    fn operator(&self) -> &str;
    /// The first of what it makes, by which it is known.
    fn made(&self) -> &str;
}

/// A graph that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{why}")]
pub(super) struct Refused {
    place: String,
    why: String,
    /// What the node to blame makes first.
    output: Option<String>,
}

impl Refused {
    /// The whole file is to blame.
    pub fn file(why: String) -> Self {
        Self {
            place: String::new(),
            why,
            output: None,
        }
    }

    /// One node is to blame.
    pub fn node(node: &impl Blamed, why: impl Into<String>) -> Self {
        let made = node.made();
        Self {
            place: format!("{} `{made}`: ", node.operator()),
            why: why.into(),
            output: Some(made.to_owned()),
        }
    }

    /// One value is to blame.
    pub fn value(name: &str, why: impl Into<String>) -> Self {
        Self {
            place: format!("`{name}`: "),
            why: why.into(),
            output: None,
        }
    }

    /// What the node to blame makes first, where a node is.
    pub fn output(&self) -> Option<&str> {
        self.output.as_deref()
    }

    /// Why, without the place.
    pub fn why(&self) -> &str {
        &self.why
    }
}
