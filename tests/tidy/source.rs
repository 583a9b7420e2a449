//! Owns how a source is read for the house rules: text to code without comments and strings, code
//! to paths with their lines. Refuses to judge; `rules` does.

/// One path as written, groups resolved: `use std::{fs, net::TcpStream}` is two paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    /// 1-based.
    pub(crate) line: usize,
    /// A group stands here: the path is what is before `::{`.
    pub(crate) opens_group: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Colons,
    Open,
    Close,
    Comma,
    Star,
    Other,
}

/// The source with every comment, string and character literal blanked and its lines kept.
pub(crate) fn strip(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let end = literal_end(bytes, at);
        if end > at {
            blank(bytes.get(at..end).unwrap_or_default(), &mut out);
            at = end;
        } else {
            out.push(if byte.is_ascii() { char::from(byte) } else { ' ' });
            at += 1;
        }
    }
    out
}

/// Where the comment, string or character that begins at `at` ends; `at` if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let in_word = at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(is_word);
    match rest {
        [b'/', b'/', ..] => at + until(rest, |tail| tail.starts_with(b"\n")),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest, b'"'),
        [b'b', b'"', ..] if !in_word => at + 1 + quoted(rest.get(1..).unwrap_or_default(), b'"'),
        [b'r', ..] | [b'b', b'r', ..] if !in_word => at + raw_string(rest),
        [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
        [b'\'', first, ..] => {
            // 'x' is a character, 'x without a closing quote a lifetime; x may be of many bytes.
            let width = if first.is_ascii() { 1 } else { until_ascii(rest.get(1..)) };
            if rest.get(1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        _ => at,
    }
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

fn until(bytes: &[u8], found: impl Fn(&[u8]) -> bool) -> usize {
    (0..bytes.len()).find(|&at| bytes.get(at..).is_some_and(&found)).unwrap_or(bytes.len())
}

fn until_ascii(bytes: Option<&[u8]>) -> usize {
    bytes.unwrap_or_default().iter().take_while(|byte| !byte.is_ascii()).count()
}

/// Length of `/* … */`, which nests in Rust.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of a quoted literal with escapes, quotes included.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        at += if byte == b'\\' { 2 } else { 1 };
        if byte == quote {
            break;
        }
    }
    at.min(bytes.len())
}

/// Length of `r"…"`, `br##"…"##`; 0 if it is a name that begins with r, or a raw name `r#type`.
fn raw_string(bytes: &[u8]) -> usize {
    let prefix = bytes.iter().take_while(|&&byte| byte == b'b' || byte == b'r').count();
    let hashes =
        bytes.get(prefix..).unwrap_or_default().iter().take_while(|&&byte| byte == b'#').count();
    let body = prefix + hashes + 1;
    if prefix > 2 || bytes.get(body - 1) != Some(&b'"') {
        return 0;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let tail = bytes.get(body..).unwrap_or_default();
    (body + until(tail, |rest| rest.starts_with(&close)) + close.len()).min(bytes.len())
}

fn blank(bytes: &[u8], out: &mut String) {
    out.extend(bytes.iter().map(|&byte| if byte == b'\n' { '\n' } else { ' ' }));
}

/// Every path in stripped code, in reading order.
pub(crate) fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        at = match tokens.get(at) {
            Some((Token::Name(_), _)) => path(&tokens, at, &[], &mut found),
            _ => at + 1,
        };
    }
    found
}

/// Reads the path at `at`, with its groups, and returns where it ends.
fn path(
    tokens: &[(Token, usize)],
    mut at: usize,
    before: &[String],
    found: &mut Vec<Path>,
) -> usize {
    let mut segments = before.to_vec();
    let line = tokens.get(at).map_or(0, |(_, line)| *line);
    loop {
        match tokens.get(at) {
            Some((Token::Name(name), _)) => segments.push(name.clone()),
            Some((Token::Star, _)) => segments.push("*".into()),
            Some((Token::Open, line)) => {
                found.push(Path { segments: segments.clone(), line: *line, opens_group: true });
                return group(tokens, at + 1, &segments, found);
            }
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_some_and(|(token, _)| *token == Token::Colons) {
            at += 1;
        } else {
            break;
        }
    }
    found.push(Path { segments, line, opens_group: false });
    at
}

fn group(
    tokens: &[(Token, usize)],
    mut at: usize,
    before: &[String],
    found: &mut Vec<Path>,
) -> usize {
    loop {
        at = match tokens.get(at) {
            None => return at,
            Some((Token::Close, _)) => return at + 1,
            Some((Token::Name(_) | Token::Star, _)) => path(tokens, at, before, found),
            Some(_) => at + 1,
        };
    }
}

fn tokens(code: &str) -> Vec<(Token, usize)> {
    let (mut out, mut line, mut rest) = (Vec::new(), 1, code);
    while let Some(first) = rest.chars().next() {
        let word = rest.bytes().take_while(is_word).count();
        let (token, width) = match first {
            _ if word > 0 => (Some(Token::Name(rest.chars().take(word).collect())), word),
            ':' if rest.starts_with("::") => (Some(Token::Colons), 2),
            '{' => (Some(Token::Open), 1),
            '}' => (Some(Token::Close), 1),
            ',' => (Some(Token::Comma), 1),
            '*' => (Some(Token::Star), 1),
            '\n' => {
                line += 1;
                (None, 1)
            }
            _ if first.is_whitespace() => (None, first.len_utf8()),
            _ => (Some(Token::Other), first.len_utf8()),
        };
        out.extend(token.map(|token| (token, line)));
        rest = rest.get(width..).unwrap_or_default();
    }
    out
}
