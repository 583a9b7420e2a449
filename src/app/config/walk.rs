//! Owns the walk over what was written: readers that take one key after another, go on after a
//! fault, and know at the end which keys nobody asked for. Refuses to know a single key.

use super::fault::Fault;
use super::fault::Place;
use super::raw::Entry;
use super::raw::Node;
use super::raw::Shape;
#[cfg(test)]
use super::survey::{Asked, Holds, SPECIMEN, Survey};
use super::value::Meaning;
use std::cell::RefCell;

/// The faults found so far; every reader of one walk shares it.
#[derive(Debug, Default)]
pub(super) struct Walk {
    faults: RefCell<Vec<Fault>>,
    #[cfg(test)]
    survey: Option<RefCell<Survey>>,
}

#[cfg(test)]
impl Walk {
    /// A walk that notes every key it is asked for, and finds something in every list.
    pub(super) fn surveying() -> Self {
        Self { survey: Some(RefCell::default()), ..Self::default() }
    }

    /// Every key that was asked for.
    pub(super) fn into_asked(self) -> Vec<Asked> {
        self.survey.map(|survey| survey.into_inner().into_asked()).unwrap_or_default()
    }

    /// Notes it, if this walk surveys; whether it does.
    fn note(&self, note: impl FnOnce(&mut Survey)) -> bool {
        self.survey.as_ref().map(|survey| note(&mut survey.borrow_mut())).is_some()
    }
}

impl Walk {
    /// Notes a fault.
    pub(super) fn fault(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// Every fault, those of a file in the order of its lines.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort();
        faults.dedup();
        faults
    }

    /// The reader of a whole tree.
    pub(super) fn root<'w>(&'w self, node: &'w Node) -> Spot<'w> {
        Spot { walk: self, path: String::new(), place: &node.place, node: Some(node) }
    }
}

/// One place where a value may be: its path, and the value if there is one.
#[derive(Debug, Clone)]
pub(super) struct Spot<'w> {
    walk: &'w Walk,
    path: String,
    place: &'w Place,
    node: Option<&'w Node>,
}

impl<'w> Spot<'w> {
    /// Notes that the value here is wrong.
    pub(super) fn fault(&self, why: impl Into<String>) {
        let (path, place) = (self.path.clone(), self.place.clone());
        self.walk.fault(Fault { place, path, why: why.into() });
    }

    /// Notes that the value here, which was taken from `place`, is wrong.
    pub(super) fn fault_at(&self, place: Place, why: impl Into<String>) {
        self.walk.fault(Fault { place, path: self.path.clone(), why: why.into() });
    }

    /// Where the value was written.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Whether null is written here, where that is not the same as nothing.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.node, Some(Node { shape: Shape::Null, .. }))
    }

    /// Whether anything is written here; null says the same as nothing.
    pub(super) fn given(&self) -> bool {
        #[cfg(test)]
        if self.walk.note(|_| ()) {
            return true;
        }
        self.node.is_some_and(|node| !matches!(node.shape, Shape::Null))
    }

    /// The file this was written in, if it was a file.
    pub(super) fn file(&self) -> Option<&'w str> {
        match self.place {
            Place::File { file, .. } => Some(file),
            Place::Variable(_) | Place::Flag(_) | Place::Nowhere => None,
        }
    }

    /// The value; nothing when absent or, having noted why, when wrong.
    pub(super) fn maybe<T: Meaning>(&self) -> Option<T> {
        #[cfg(test)]
        self.walk.note(|survey| survey.kind::<T>(&self.path));
        let read = match &self.node?.shape {
            Shape::Null => return None,
            Shape::Bool(truth) => T::of_bool(*truth),
            Shape::Number(number) => T::of_number(number),
            Shape::Text(text) => T::of_text(text),
            Shape::Loose(text) => T::of_loose(text),
            Shape::List(_) | Shape::Map(_) => None,
        };
        if read.is_none() {
            self.fault(format!("should be {}", T::wanted()));
        }
        read
    }

    /// The value, or `default` when it is absent or wrong.
    pub(super) fn or<T: Meaning>(&self, default: T) -> T {
        #[cfg(test)]
        self.walk.note(|survey| survey.default(&self.path, &default));
        self.maybe().unwrap_or(default)
    }

    /// Like [`Spot::or`], for a value that must also satisfy `right`; `why` says what it should be.
    pub(super) fn or_if<T: Meaning>(&self, default: T, right: impl Fn(&T) -> bool, why: &str) -> T {
        #[cfg(test)]
        self.walk.note(|survey| survey.default(&self.path, &default));
        match self.maybe::<T>() {
            Some(value) if right(&value) => value,
            Some(_) => {
                self.fault(why);
                default
            }
            None => default,
        }
    }

    /// The items of a list. A variable gives them separated by commas; nothing when absent.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        #[cfg(test)]
        if self.walk.note(|survey| survey.at(&self.path).holds = Holds::Maps) {
            let path = format!("{}[]", self.path);
            return Some(vec![Self { path, node: Some(&SPECIMEN), ..self.clone() }]);
        }
        let node = self.node?;
        let Shape::List(items) = &node.shape else {
            if !matches!(node.shape, Shape::Null) {
                self.fault("should be a list");
            }
            return None;
        };
        let item = |(index, node): (usize, &'w Node)| Self {
            walk: self.walk,
            path: format!("{}[{index}]", self.path),
            place: &node.place,
            node: Some(node),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A list of plain values; `default` when absent. Wrong items are noted and left out.
    pub(super) fn list<T: Meaning>(&self, default: Vec<T>) -> Vec<T> {
        #[cfg(test)]
        if self.walk.note(|survey| survey.list(&self.path, &default)) {
            return default;
        }
        if let Some(Node { shape: Shape::Loose(text), .. }) = self.node {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let read: Option<Vec<T>> = items.map(T::of_loose).collect();
            return read.unwrap_or_else(|| {
                self.fault(format!("every item should be {}", T::wanted()));
                default
            });
        }
        match self.items() {
            Some(items) => items.iter().filter_map(Self::maybe).collect(),
            None => default,
        }
    }

    /// A list of plain values, or one alone.
    pub(super) fn one_or_list<T: Meaning>(&self) -> Vec<T> {
        #[cfg(test)]
        self.walk.note(|survey| survey.at(&self.path).holds = Holds::OneOrList);
        match self.node.map(|node| &node.shape) {
            Some(Shape::List(_) | Shape::Loose(_)) => self.list(Vec::new()),
            Some(
                Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Map(_),
            )
            | None => self.maybe().into_iter().collect(),
        }
    }

    /// Whether an empty list is written here.
    pub(super) fn is_empty_list(&self) -> bool {
        match self.node.map(|node| &node.shape) {
            Some(Shape::List(items)) => items.is_empty(),
            Some(Shape::Loose(text)) => text.split(',').all(|item| item.trim().is_empty()),
            Some(
                Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Map(_),
            )
            | None => false,
        }
    }

    /// The walk this is part of.
    pub(super) fn walk(&self) -> &'w Walk {
        self.walk
    }

    /// Whether a variable or a flag is written here, which has no lists of its own.
    pub(super) fn is_loose(&self) -> bool {
        matches!(self.node, Some(Node { shape: Shape::Loose(_), .. }))
    }

    /// Whether a map is written here, for a list whose items are texts or maps.
    pub(super) fn is_map(&self) -> bool {
        matches!(self.node, Some(Node { shape: Shape::Map(_), .. }))
    }

    /// The map here; one without keys when absent or, having noted it, when it is no map.
    pub(super) fn table(&self) -> Table<'w> {
        let mut entries: &'w [Entry] = &[];
        match self.node.map(|node| &node.shape) {
            Some(Shape::Map(all)) => entries = all,
            Some(Shape::Null) | None => {}
            Some(
                Shape::Bool(_)
                | Shape::Number(_)
                | Shape::Text(_)
                | Shape::Loose(_)
                | Shape::List(_),
            ) => self.fault("should be a map of keys and values"),
        }
        Table { spot: self.clone(), entries, known: Vec::new() }
    }
}

/// A map that is being read. Every key asked for becomes a known one; [`Table::done`] then reports
/// the others, so there is no second list of keys that could grow stale.
#[derive(Debug)]
#[must_use = "call done() so that unknown keys are reported"]
pub(super) struct Table<'w> {
    spot: Spot<'w>,
    entries: &'w [Entry],
    known: Vec<&'static str>,
}

impl<'w> Table<'w> {
    /// The value of one key.
    pub(super) fn key(&mut self, key: &'static str) -> Spot<'w> {
        self.known.push(key);
        #[cfg(test)]
        self.spot.walk.note(|survey| _ = survey.at(&join(&self.spot.path, key)));
        self.any(key)
    }

    fn any(&self, key: &str) -> Spot<'w> {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        Spot {
            walk: self.spot.walk,
            path: join(&self.spot.path, shown(key)),
            place: entry.map_or(self.spot.place, |entry| &entry.value.place),
            node: entry.map(|entry| &entry.value),
        }
    }

    /// The keys written here that are in no closed list, such as label names, with their values.
    pub(super) fn open(&self) -> Vec<(&'w str, Spot<'w>)> {
        #[cfg(test)]
        self.spot.walk.note(|survey| survey.at(&self.spot.path).holds = Holds::Names);
        self.report_doubles();
        let free = |entry: &&Entry| !self.known.contains(&entry.key.as_str());
        self.entries.iter().filter(free).map(|e| (e.key.as_str(), self.any(&e.key))).collect()
    }

    /// Reports the keys that nobody asked for, and those given twice.
    pub(super) fn done(self) {
        self.report_doubles();
        for entry in self.entries.iter().filter(|e| !self.known.contains(&e.key.as_str())) {
            self.report(entry, unknown(entry, &self.known));
        }
    }

    fn report_doubles(&self) {
        for (index, entry) in self.entries.iter().enumerate() {
            if self.entries.iter().take(index).any(|earlier| earlier.key == entry.key) {
                self.report(entry, "given twice; keep one".to_owned());
            }
        }
    }

    fn report(&self, entry: &Entry, why: String) {
        let path = join(&self.spot.path, shown(&entry.key));
        self.spot.walk.fault(Fault { place: entry.place.clone(), path, why });
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A key, if it reads like one. What does not may be a secret in the wrong place.
fn shown(key: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if (1..=40).contains(&key.len()) && key.bytes().all(plain) { key } else { "?" }
}

fn unknown(entry: &Entry, known: &[&str]) -> String {
    let mut why = match nearest(&entry.key, known.iter().copied()) {
        Some(key) => format!("unknown key; did you mean `{key}`?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    };
    if matches!(entry.place, Place::Variable(_)) {
        why.push_str(" (levels are separated by two underscores)");
    }
    why
}

/// The known word that may have been meant.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let (distance, nearest) = known.map(|known| (distance(word, known), known)).min()?;
    (distance <= 1 + nearest.len() / 3).then_some(nearest)
}

/// How many letters must be added, left out or changed to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut previous = vec![line + 1];
        for ((changed, added), other) in row.iter().zip(row.iter().skip(1)).zip(&to) {
            let left_out = previous.last().copied().unwrap_or_default();
            let changed = changed + usize::from(letter != *other);
            previous.push(changed.min(added + 1).min(left_out + 1));
        }
        row = previous;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let check = |from, to, expected| assert_eq!(distance(from, to), expected, "{from} {to}");
        check("", "", 0);
        check("", "abc", 3);
        check("propogation", "propagation", 1);
        check("listen", "listens", 1);
        check("upstraem", "upstream", 2);
        check("role", "limits", 6);
    }
}
