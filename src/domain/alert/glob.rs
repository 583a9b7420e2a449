//! Owns the matching of names by `*` (any text) and `?` (one character). Refuses regular
//! expressions: their cost could grow with what others name their streams.

/// Whether all of `text` matches `pattern`. Looks back only to the last `*`, so that no pattern
/// costs more than the product of the two lengths.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    // Nearly every rule looks at everybody.
    if pattern == "*" {
        return true;
    }
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut last_star = None;
    loop {
        let (mut pattern_rest, mut text_rest) = (pattern.clone(), text.clone());
        match (pattern_rest.next(), text_rest.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                last_star = Some((pattern_rest.clone(), text.clone()));
                pattern = pattern_rest;
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                (pattern, text) = (pattern_rest, text_rest);
            }
            (Some(_) | None, _) => {
                let Some((after_star, swallowed)) = &mut last_star else { return false };
                if swallowed.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), swallowed.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn globs_match_whole_names() {
        let check = |pattern, text, expected| {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        };
        check("*", "", true);
        check("*", "orders", true);
        check("", "", true);
        check("", "orders", false);
        check("orders-*", "orders-eu", true);
        check("orders-*", "orders", false);
        check("*-eu", "orders-eu-eu", true);
        check("o?ders", "orders", true);
        check("o?ders", "oders", false);
        check("?", "é", true);
        check("*a*b", "xaxbxaxb", true);
        check("*a*b*c", "aabb", false);
        check("Orders", "orders", false);
        check(&"*a".repeat(40), &"a".repeat(39), false);
    }

    /// The definition, written without regard to cost.
    fn oracle(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|n| oracle(rest, &text[n..])),
            ([p, rest @ ..], [t, texts @ ..]) => (*p == '?' || p == t) && oracle(rest, texts),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,6}", text in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), oracle(&chars(&pattern), &chars(&text)));
        }
    }
}
