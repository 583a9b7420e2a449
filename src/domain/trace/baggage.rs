//! Owns W3C baggage under the limits that everyone should pass on. Refuses to look into values.
//! Baggage is the application's own data: it is read only where `OTEL_PROPAGATORS` asks for it.
//! Source: W3C Baggage; reference/tracing.md 3.6.

/// A request's baggage, as the text to send; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baggage(String);

impl Baggage {
    /// Most members that are kept; what comes beyond is cut from the right.
    pub const MEMBERS_MAX: usize = 64;
    /// Most bytes that are kept; a member that does not fit is dropped whole.
    pub const BYTES_MAX: usize = 8_192;

    /// Reads `baggage`, several headers joined by commas. Members that break the grammar are
    /// dropped, the others stay as they are; `None` where none is left.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut kept = String::new();
        let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
        for member in members.filter(|member| is_member(member)).take(Self::MEMBERS_MAX) {
            let comma = usize::from(!kept.is_empty());
            if kept.len() + comma + member.len() <= Self::BYTES_MAX {
                kept.push_str(if comma == 1 { "," } else { "" });
                kept.push_str(member);
            }
        }
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `key = value *( ; property )`, where a property may have no value.
fn is_member(member: &str) -> bool {
    const BLANK: [char; 2] = [' ', '\t'];
    let key = |text: &str| is_token(text.trim_matches(BLANK));
    let value = |text: &str| text.trim_matches(BLANK).bytes().all(is_value_byte);
    let pair = |piece: &str| piece.split_once('=').is_some_and(|(k, v)| key(k) && value(v));
    let mut pieces = member.split(';');
    pieces.next().is_some_and(pair) && pieces.all(|piece| pair(piece) || key(piece))
}

/// A token as HTTP has it.
fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

/// Printable ASCII without blanks and `" , ; \\`.
fn is_value_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let read = Baggage::parse(text);
        assert_eq!(read.as_ref().map(Baggage::as_str), expected, "{text:.80}");
    }

    #[test]
    fn grammar() {
        check("a=1,b=2", Some("a=1,b=2"));
        check(" a = 1 ;p;q = 2, ,b=", Some("a = 1 ;p;q = 2,b="));
        check("a=x=y%20z", Some("a=x=y%20z"));
        check("a=1,broken,b=2", Some("a=1,b=2"));
        check("a=\"1\",b=2", Some("b=2"));
        check("a=1;,b=2", Some("b=2"));
        check("a=é", None);
        check("=1", None);
        check("", None);
    }

    #[test]
    fn limits() {
        let list = |members: usize| {
            (0..members).map(|place| format!("k{place}=v")).collect::<Vec<_>>().join(",")
        };
        check(&list(64), Some(&list(64)));
        check(&list(65), Some(&list(64)));
        let whole = format!("a={}", "v".repeat(8_190));
        check(&whole, Some(&whole));
        check(&format!("{whole}v"), None);
        let first = format!("a={}", "v".repeat(8_000));
        check(&format!("{first},b={},c=3", "v".repeat(300)), Some(&format!("{first},c=3")));
    }
}
