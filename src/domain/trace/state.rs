//! Owns `tracestate`: strict reading and the limits under which it travels on. Refuses to repair: a
//! list that breaks the grammar is no list. Source: W3C Trace Context level 2; reference/tracing.md
//! 3.6.

use std::sync::Arc;

/// A `tracestate` that passed the grammar, as the text to send; empty when there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TraceState(Option<Arc<str>>);

impl TraceState {
    /// Most list members; a longer list is not a `tracestate`.
    pub const MEMBERS_MAX: usize = 32;
    /// Most bytes that are kept, which is what everyone should pass on. Whole entries go: first
    /// those over [`Self::LONG_BYTES`], then others, each from the right.
    pub const BYTES_MAX: usize = 512;
    /// Entries over this many bytes go first.
    pub const LONG_BYTES: usize = 128;

    /// Reads a `tracestate`, several headers joined by commas. A member that breaks the grammar or
    /// a list that is too long gives the empty state; of a key given twice the first, which is the
    /// more recent, stays. Empty members are legal, dropped and not counted.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut kept: Vec<(&str, &str)> = Vec::new();
        let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
        for (place, member) in members.filter(|member| !member.is_empty()).enumerate() {
            // Read no further than that: in a record the text is as long as its producer likes.
            let Some(key) = member_key(member).filter(|_| place < Self::MEMBERS_MAX) else {
                return Self::default();
            };
            if !kept.iter().any(|(known, _)| *known == key) {
                kept.push((key, member));
            }
        }
        let mut members: Vec<&str> = kept.into_iter().map(|(_, member)| member).collect();
        let bytes = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>();
        while bytes(&members) > Self::BYTES_MAX + 1 {
            let long = members.iter().rposition(|member| member.len() > Self::LONG_BYTES);
            members.remove(long.unwrap_or(members.len() - 1));
        }
        Self((!members.is_empty()).then(|| members.join(",").into()))
    }

    /// The text, or nothing.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// The member's key, if key and value keep the grammar of level 2.
fn member_key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let first = key.bytes().next()?;
    let key_ok = key.len() <= 256
        && (first.is_ascii_lowercase() || first.is_ascii_digit())
        && key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b));
    let value_ok = (1..=256).contains(&value.len())
        && !value.ends_with(' ')
        && value.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b'=' && b != b',');
    (key_ok && value_ok).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(TraceState::parse(text).as_str(), expected, "{text}");
    }

    #[test]
    fn grammar() {
        check("a=1,b=2", Some("a=1,b=2"));
        check(" a=1 , ,b=2,", Some("a=1,b=2"));
        check("t@vendorlongerthanfourteen=1", Some("t@vendorlongerthanfourteen=1"));
        check("a= 1", Some("a= 1"));
        check("a=1\n", None);
        check("a=1\t2", None);
        check("a=é", None);
        check("a=1,b", None);
        check("A=1", None);
        check("a=", None);
        check("", None);
        check(&format!("a={}", "v".repeat(257)), None);
    }

    #[test]
    fn of_a_key_given_twice_the_first_stays() {
        check("a=1,a=2", Some("a=1"));
        check("b=1,a=1,b=2,c=3,a=1", Some("b=1,a=1,c=3"));
    }

    #[test]
    fn a_list_of_more_than_32_is_none() {
        let list = |members: usize| {
            (0..members).map(|place| format!("k{place}=v")).collect::<Vec<_>>().join(",")
        };
        check(&list(32), Some(&list(32)));
        check(&format!(",,{} , ,", list(32)), Some(&list(32)));
        check(&list(33), None);
        check(&format!("{},", "a=1,".repeat(33)), None);
    }

    #[test]
    fn whole_entries_go_the_long_ones_first() {
        let entry = |key: char, bytes: usize| format!("{key}={}", "x".repeat(bytes - 2));
        let join = |entries: &[String]| entries.join(",");
        let (a, c, d) = (entry('a', 202), entry('c', 202), entry('d', 112));
        let all = [a.clone(), "b=2".to_owned(), c, d.clone()];
        check(&join(&all), Some(&join(&[a, "b=2".to_owned(), d])));
        let exact = [entry('a', 128), entry('b', 128), entry('c', 128), entry('d', 125)];
        check(&join(&exact), Some(&join(&exact)));
        let over = [entry('a', 128), entry('b', 128), entry('c', 128), entry('d', 126)];
        check(&join(&over), Some(&join(&over[..3])));
        let one = [entry('a', 129), entry('b', 128), entry('c', 128), entry('d', 128)];
        check(&join(&one), Some(&join(&one[1..])));
        check(&entry('a', 258), Some(&entry('a', 258)));
    }
}
