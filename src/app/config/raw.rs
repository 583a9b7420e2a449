//! Owns what was written: one tree of the YAML file, the variables and the flags, each node with
//! its place. Refuses to know a single key's meaning.

use super::fault::Fault;
use super::fault::Place;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_saphyr::DuplicateKeyPolicy;
use serde_saphyr::Spanned;
use std::fmt;
use std::sync::Arc;

/// A value as it was written, and where.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) shape: Shape,
}

/// What a value looks like before anyone asks what it means. No Debug of a config error prints it.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Null,
    Bool(bool),
    /// A number, as Rust prints it: `1e3` has become `1000`.
    Number(String),
    /// Text of the file, quoted or plain.
    Text(String),
    /// A variable or a flag: text that may also stand for a number, yes or no, or a list.
    Loose(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map. Doubled keys are both here, so that the walk can name the second.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    /// An empty map that nobody wrote.
    pub(super) fn empty() -> Self {
        Self { place: Place::Nowhere, shape: Shape::Map(Vec::new()) }
    }

    /// Sets a value below this node, in place of what the file says there. Where the file has
    /// something other than a map on the way, the file's own fault is what matters: nothing is set.
    pub(super) fn put(&mut self, keys: &[String], value: Node) {
        let Some((key, rest)) = keys.split_first() else {
            *self = value;
            return;
        };
        if matches!(self.shape, Shape::Null) {
            self.shape = Shape::Map(Vec::new());
        }
        let Shape::Map(entries) = &mut self.shape else { return };
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *key) {
            return entry.value.put(rest, value);
        }
        let mut inner = Self { place: value.place.clone(), shape: Shape::Null };
        let place = value.place.clone();
        inner.put(rest, value);
        entries.push(Entry { key: key.clone(), place, value: inner });
    }
}

/// Reads a file's text. The error has the place and what the grammar lacks, never the text.
pub(super) fn parse(text: &str, file: &str) -> Result<Node, Fault> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // The walk reports doubled keys together with everything else.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // YAML 1.2: `off` and `no` are words; `propagation: off` is one of ours.
        strict_booleans: true,
        // An account `012345678901` keeps its zero.
        leading_zero_numbers_as_strings: true,
    };
    let file: Arc<str> = file.into();
    serde_saphyr::from_str_with_options::<Spanned<Written>>(text, options)
        .map(|written| written.value.place(at(&file, written.referenced), &file))
        .map_err(|error| syntax(&error, &file))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum, and it grows")]
fn syntax(error: &serde_saphyr::Error, file: &Arc<str>) -> Fault {
    let why = match error.without_snippet() {
        // The parser's own words are about its grammar; other variants may hold values.
        serde_saphyr::Error::ExternalMessage { msg, .. } => format!("not valid YAML: {msg}"),
        serde_saphyr::Error::MultipleDocuments { .. } => {
            "more than one YAML document; one is read".to_owned()
        }
        // Not our enum, and it may grow.
        _ => "not YAML as it is read here: an alias without its anchor, a tag that does not fit \
              its value, or too much nesting"
            .to_owned(),
    };
    let place = match error.location() {
        Some(location) => at(file, location),
        None => Place::File { file: file.clone(), line: 1, column: 1 },
    };
    Fault { place, path: String::new(), why }
}

fn at(file: &Arc<str>, location: serde_saphyr::Location) -> Place {
    Place::File { file: file.clone(), line: location.line(), column: location.column() }
}

/// What serde hands over, before places carry the file's name.
enum Written {
    Scalar(Shape),
    List(Vec<Spanned<Written>>),
    Map(Vec<(Spanned<Written>, Spanned<Written>)>),
}

impl Written {
    fn place(self, place: Place, file: &Arc<str>) -> Node {
        let node = |written: Spanned<Self>| written.value.place(at(file, written.referenced), file);
        let shape = match self {
            Self::Scalar(shape) => shape,
            Self::List(items) => Shape::List(items.into_iter().map(node).collect()),
            Self::Map(entries) => {
                let entry = |(key, value): (Spanned<Self>, Spanned<Self>)| Entry {
                    place: at(file, key.referenced),
                    key: key.value.into_key(),
                    value: node(value),
                };
                Shape::Map(entries.into_iter().map(entry).collect())
            }
        };
        Node { place, shape }
    }

    /// A key as text. None of ours is a list, a map or null, so those become an unknown key.
    fn into_key(self) -> String {
        match self {
            Self::Scalar(Shape::Text(text) | Shape::Number(text)) => text,
            Self::Scalar(Shape::Bool(truth)) => truth.to_string(),
            Self::Scalar(_) | Self::List(_) | Self::Map(_) => String::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::Scalar(Shape::Null))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Written, E> {
        Ok(Written::Scalar(Shape::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Written, E> {
        Ok(Written::Scalar(Shape::Number(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Written, E> {
        Ok(Written::Scalar(Shape::Number(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Written, E> {
        Ok(Written::Scalar(Shape::Number(number.to_string())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Scalar(Shape::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Written, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Written::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Written, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Written::Map(map))
    }

    fn visit_bytes<E: serde::de::Error>(self, _bytes: &[u8]) -> Result<Written, E> {
        Err(E::custom("bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree as one line: `key@line:column=value`.
    fn show(node: &Node) -> String {
        let place = |place: &Place| match place {
            Place::File { line, column, .. } => format!("{line}:{column}"),
            Place::Variable(_) | Place::Flag(_) | Place::Nowhere => place.to_string(),
        };
        match &node.shape {
            Shape::Null => "~".to_owned(),
            Shape::Bool(truth) => truth.to_string(),
            Shape::Number(number) => format!("#{number}"),
            Shape::Text(text) => format!("'{text}'"),
            Shape::Loose(text) => format!("`{text}`"),
            Shape::List(items) => {
                let items: Vec<_> =
                    items.iter().map(|i| format!("{}={}", place(&i.place), show(i))).collect();
                format!("[{}]", items.join(" "))
            }
            Shape::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|e| {
                        let (key, value) = (place(&e.place), place(&e.value.place));
                        format!("{}@{key}@{value}={}", e.key, show(&e.value))
                    })
                    .collect();
                format!("{{{}}}", entries.join(" "))
            }
        }
    }

    #[test]
    fn the_tree_has_places() {
        let check = |text: &str, expected: &str| {
            assert_eq!(show(&parse(text, "f.yaml").unwrap()), expected, "{text}");
        };
        check("", "~");
        check("a: off\nb: true\n", "{a@1:1@1:4='off' b@2:1@2:4=true}");
        check("a:\n  - 1.5\n  - { k: '7' }\n", "{a@1:1@2:3=[2:5=#1.5 3:5={k@3:7@3:10='7'}]}");
        check("a: 1\na: 2\n", "{a@1:1@1:4=#1 a@2:1@2:4=#2}");
        check("a: 012345678901\nb: 60s\n", "{a@1:1@1:4='012345678901' b@2:1@2:4='60s'}");
        check("? [x]\n: 1\n", "{@1:3@2:3=#1}");
    }

    #[test]
    fn a_broken_file_has_a_place_and_no_text() {
        let check = |text: &str, expected: &str| {
            let fault = parse(text, "f.yaml").unwrap_err().to_string();
            assert!(fault.starts_with(expected) && !fault.contains("hunter2"), "{text}: {fault}");
        };
        check("a: [hunter2\n", "f.yaml:1:4: not valid YAML: unclosed bracket");
        check("a: \"hunter2\nb: 1", "f.yaml:1:4: not valid YAML: unclosed quote");
        check("a: hunter2: b\n", "f.yaml:1:11: not valid YAML: mapping values are not allowed");
        check("a: 1\n---\nb: 1\n", "f.yaml:3:1: more than one YAML document");
        check("a: *hunter2\n", "f.yaml:1:4: not YAML as it is read here");
        check("a: !!int hunter2\n", "f.yaml:1:10: not YAML as it is read here");
    }

    #[test]
    fn a_variable_goes_over_the_file() {
        let mut node = parse("proxy: { propagation: auto }\nrole: 1\n", "f").unwrap();
        let loose =
            |text: &str| Node { place: Place::Flag("--x"), shape: Shape::Loose(text.to_owned()) };
        node.put(&["proxy".into(), "propagation".into()], loose("off"));
        node.put(&["role".into(), "deeper".into()], loose("lost"));
        node.put(&["new".into(), "map".into()], loose("set"));
        assert_eq!(
            show(&node),
            "{proxy@1:1@1:8={propagation@1:10@--x=`off`} role@2:1@2:7=#1 new@--x@--x={map@--x@--x=`set`}}"
        );
    }
}
