//! The languages of the screens, and how a phrase is chosen by one. Used by everything that shows
//! or chooses words. Knows no phrase itself.

/// What a screen speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Swahili.
    Swahili,
    /// Hindi, in Devanagari.
    Hindi,
}

/// One phrase in every language, in the order of [`Language::ALL`].
pub(super) type Row = [&'static str; Language::ALL.len()];

impl Language {
    /// All of them, in the order of the phrases of every `Row`.
    pub const ALL: [Self; 5] = [
        Self::English,
        Self::French,
        Self::Spanish,
        Self::Swahili,
        Self::Hindi,
    ];

    /// Its code in ISO 639-1.
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Swahili => "sw",
            Self::Hindi => "hi",
        }
    }

    /// The language of a code in ISO 639-1.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|l| l.code() == code)
    }

    /// The phrase of a row in this language.
    pub(super) const fn of(self, row: Row) -> &'static str {
        row[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_name_languages() {
        for language in Language::ALL {
            assert_eq!(Language::of_code(language.code()), Some(language));
        }
        assert_eq!(Language::of_code("xx"), None);
    }
}
