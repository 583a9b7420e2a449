//! Owns what the walk asks for while it reads a configuration in which nothing is written: every key
//! with its kind and its default. The reference is made of it, so that no second list of keys can
//! grow stale. Refuses to know a single key.

use super::alerting::{Share, Zone};
use super::cloudwatch::Dollars;
use super::raw::{Node, Shape};
use super::value::{Bytes, Folder, Meaning, Percent, Threshold};
use crate::app::config::Place;
use std::any::{Any, type_name};
use std::mem::discriminant;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// What stands for an item of a list that nobody wrote: a map, as items with keys are.
pub(super) static SPECIMEN: Node = Node { place: Place::Nowhere, shape: Shape::Map(Vec::new()) };

/// One key of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Such as `proxy.streams[].match`.
    pub(crate) path: String,
    /// Whether it holds one value, several, or keys of its own.
    pub(crate) holds: Holds,
    /// The type's name, and what would be right; nothing for what only holds keys.
    pub(crate) kind: Option<(&'static str, String)>,
    /// As it would be written; nothing where leaving it out means none, or something from elsewhere.
    pub(crate) default: Option<String>,
}

/// How many values a key holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Holds {
    /// One value, or a map of known keys.
    #[default]
    One,
    /// A list of plain values.
    List,
    /// A plain value, or a list of them.
    OneOrList,
    /// A list of maps.
    Maps,
    /// Names of the user's own, with values.
    Names,
}

/// The keys that were asked for, in the order of the first asking.
#[derive(Debug, Default)]
pub(super) struct Survey(Vec<Asked>);

impl Survey {
    /// The key at this path.
    pub(super) fn at(&mut self, path: &str) -> &mut Asked {
        let place = self.0.iter().position(|asked| asked.path == path).unwrap_or_else(|| {
            self.0.push(Asked { path: path.to_owned(), ..Asked::default() });
            self.0.len() - 1
        });
        &mut self.0[place]
    }

    /// That a value of this type is wanted here.
    pub(super) fn kind<T: Meaning>(&mut self, path: &str) {
        let name = type_name::<T>().rsplit("::").next().unwrap_or_default();
        self.at(path).kind = Some((name, T::wanted()));
    }

    /// That leaving it out means this.
    pub(super) fn default<T: Meaning>(&mut self, path: &str, value: &T) {
        let text = written(value);
        assert!(text.is_some(), "{path}: survey.rs cannot write a {}", type_name::<T>());
        // An empty text is what an absent one is read as, and nothing that one would write.
        self.at(path).default = text.filter(|text| !text.is_empty());
    }

    /// That plain values are wanted here, and that leaving them out means these.
    pub(super) fn list<T: Meaning>(&mut self, path: &str, values: &[T]) {
        self.kind::<T>(path);
        let items: Vec<String> = values.iter().filter_map(written).collect();
        let asked = self.at(path);
        asked.holds = Holds::List;
        asked.default = Some(format!("[{}]", items.join(", ")));
    }

    /// Everything that was asked for. A list whose items are read one by one as plain values is a
    /// list of those.
    pub(super) fn into_asked(mut self) -> Vec<Asked> {
        for at in 0..self.0.len() {
            if let Some(list) = self.0[at].path.strip_suffix("[]").map(str::to_owned) {
                let kind = self.0[at].kind.clone();
                let asked = self.at(&list);
                (asked.holds, asked.kind) = (Holds::List, kind);
            }
        }
        self.0.retain(|asked| !asked.path.ends_with("[]"));
        self.0
    }
}

/// A value as one would write it in the file.
fn written<T: Meaning>(value: &T) -> Option<String> {
    let any: &dyn Any = value;
    let number = |number: f64| number.to_string();
    if let Some(text) = any.downcast_ref::<String>() {
        return Some(text.clone());
    } else if let Some(truth) = any.downcast_ref::<bool>() {
        return Some(truth.to_string());
    } else if let Some(count) = any.downcast_ref::<usize>() {
        return Some(count.to_string());
    } else if let Some(Bytes(bytes)) = any.downcast_ref() {
        return Some(size(*bytes));
    } else if let Some(duration) = any.downcast_ref() {
        return Some(time(*duration));
    } else if let Some(address) = any.downcast_ref::<SocketAddr>() {
        return Some(format!("\"{address}\""));
    } else if let Some(Percent(percent)) = any.downcast_ref() {
        return Some(percent.to_string());
    } else if let Some(Folder(folder)) = any.downcast_ref() {
        return Some(
            folder.as_deref().map_or("null".into(), |path: &Path| path.display().to_string()),
        );
    } else if let Some(Share(percent)) = any.downcast_ref() {
        return Some(number(*percent));
    } else if let Some(Dollars(dollars)) = any.downcast_ref() {
        return Some(dollars.map_or("unlimited".to_owned(), number));
    } else if let Some(Zone(zone)) = any.downcast_ref() {
        return zone.iana_name().map(str::to_owned);
    } else if let Some(Threshold::Number(value) | Threshold::Seconds(value)) = any.downcast_ref() {
        return Some(number(*value));
    } else if let Some(super::value::Pattern(pattern)) = any.downcast_ref() {
        return Some(format!("\"{pattern}\""));
    }
    // Of a closed list, the word that means the same.
    let wanted = T::wanted();
    let words = wanted.strip_prefix("one of: ")?;
    let same = |word: &&str| {
        T::of_text(word).is_some_and(|meant| discriminant(&meant) == discriminant(value))
    };
    words.split(", ").find(same).map(str::to_owned)
}

/// In the largest unit of which there are two or more.
fn time(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let whole = |(_, unit): &(&str, u128)| ms.is_multiple_of(*unit) && ms / unit > 1;
    match units.into_iter().find(whole) {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        None => format!("{ms}ms"),
    }
}

fn size(bytes: usize) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}
