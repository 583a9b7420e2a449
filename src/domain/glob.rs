//! Owns the two wildcards of configured names: `*` any run, `?` any one character. Refuses regular
//! expressions; runs in time linear in the text for each star.

/// Whether the whole of `text` matches `pattern`.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and how much of the text it swallows by now.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, swallowed)) = star else { return false };
                star = Some((at, swallowed + 1));
                p = at + 1;
                t = swallowed + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let check = |pattern, text, expected| {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}")
        };
        check("*", "", true);
        check("*", "orders", true);
        check("orders-*", "orders-eu", true);
        check("orders-*", "orders", false);
        check("*-eu", "orders-eu-eu", true);
        check("o?ders", "orders", true);
        check("o?ders", "oders", false);
        check("a*b*c", "a-b-b-c", true);
        check("", "x", false);
    }
}
