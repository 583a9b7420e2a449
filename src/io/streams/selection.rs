//! Owns which streams are meant: names admitted by globs, and tags. Refuses patterns beyond `*` and
//! `?`, and to look tags up: `tags` does.

use crate::domain::alert::glob;
use crate::domain::stream::StreamName;
use std::collections::BTreeMap;

/// `cloudwatch.streams`: a stream is meant when an include matches it and no exclude does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Globs, of which one must match.
    pub include: Vec<String>,
    /// Globs, of which none may match.
    pub exclude: Vec<String>,
    /// Tags that a stream must bear, each with its value; empty: none.
    pub tags: BTreeMap<String, String>,
}

impl Default for Selection {
    /// Every stream.
    fn default() -> Self {
        Self { include: vec!["*".to_owned()], exclude: Vec::new(), tags: BTreeMap::new() }
    }
}

impl Selection {
    /// Whether the name of `stream` is meant.
    #[must_use]
    pub fn admits(&self, stream: &StreamName) -> bool {
        let matches =
            |globs: &[String]| globs.iter().any(|glob| glob::matches(glob, stream.as_str()));
        matches(&self.include) && !matches(&self.exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusion_wins() {
        let selection = Selection {
            include: vec!["orders-*".into()],
            exclude: vec!["*-test".into()],
            ..Selection::default()
        };
        let admits = |name| selection.admits(&StreamName::from(name));
        assert!(admits("orders-eu"));
        assert!(!admits("orders-test"));
        assert!(!admits("mail"));
        assert!(Selection::default().admits(&StreamName::from("mail")));
    }
}
