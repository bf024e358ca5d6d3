//! What every error of this program has for scripts and people: a stable code, and the way out.
//! The message itself is the error's `Display`, and names the file or the place.

/// Something that went wrong, with a code and the way out.
pub trait Coded {
    /// A stable word for scripts.
    fn code(&self) -> &str;

    /// What a person can do about it.
    fn help(&self) -> &str;
}

/// Makes an error [`Coded`] that has both as methods of its own.
macro_rules! coded {
    ($error:ty) => {
        impl $crate::coded::Coded for $error {
            fn code(&self) -> &str {
                Self::code(self)
            }

            fn help(&self) -> &str {
                Self::help(self)
            }
        }
    };
}

pub(crate) use coded;

// The engine is a crate of its own, which other people use.
coded!(crate::engine::EngineError);
