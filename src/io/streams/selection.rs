//! Owns which streams are meant: names admitted by globs. Refuses patterns beyond `*` and `?`.

use crate::domain::stream::StreamName;

/// `cloudwatch.streams`: a stream is meant when an include matches it and no exclude does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Globs, of which one must match.
    pub include: Vec<String>,
    /// Globs, of which none may match.
    pub exclude: Vec<String>,
}

impl Default for Selection {
    /// Every stream.
    fn default() -> Self {
        Self { include: vec!["*".to_owned()], exclude: Vec::new() }
    }
}

impl Selection {
    /// Whether `stream` is meant.
    #[must_use]
    pub fn admits(&self, stream: &StreamName) -> bool {
        let matches = |globs: &[String]| {
            globs.iter().any(|glob| glob_match(glob.as_bytes(), stream.as_str().as_bytes()))
        };
        matches(&self.include) && !matches(&self.exclude)
    }
}

/// `*` is any run, `?` one byte (stream names are ASCII); a twin of `domain::alert::rule`'s. Goes
/// back only to the last `*`, so its time is bounded by the product of the lengths.
fn glob_match(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let mut last_star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                last_star = Some((rest, text));
                pattern = rest;
            }
            ([p, pattern_rest @ ..], [t, text_rest @ ..]) if p == t || *p == b'?' => {
                (pattern, text) = (pattern_rest, text_rest);
            }
            ([], []) => return true,
            _ => match last_star {
                Some((rest, [_, shorter @ ..])) => {
                    last_star = Some((rest, shorter));
                    (pattern, text) = (rest, shorter);
                }
                Some((_, [])) | None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(glob_match(pattern.as_bytes(), text.as_bytes()), expected, "{pattern}");
        };
        check("*", "", true);
        check("orders", "orders", true);
        check("orders", "orders-eu", false);
        check("orders-*", "orders-eu", true);
        check("orders-*", "orders", false);
        check("*-eu", "a-eu-b-eu", true);
        check("o?ders", "orders", true);
        check("o?ders", "oders", false);
        check("*a*b*c", "xxaxxbxxbxc", true);
        check("*a*b*c", "xxaxxcxxc", false);
        check("a*a*a*a*a*a*a*a*b", &"a".repeat(200), false);
        check("", "orders", false);
    }

    #[test]
    fn exclusion_wins() {
        let selection =
            Selection { include: vec!["orders-*".into()], exclude: vec!["*-test".into()] };
        let admits = |name| selection.admits(&StreamName::from(name));
        assert!(admits("orders-eu"));
        assert!(!admits("orders-test"));
        assert!(!admits("mail"));
        assert!(Selection::default().admits(&StreamName::from("mail")));
    }
}
