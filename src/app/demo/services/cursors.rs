//! Owns where a consumer stands in each shard, and which shards' turn it is: a child's comes when its
//! parents are read to their ends. Refuses to read.

use std::collections::BTreeMap;

/// Where a shard is read next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// For the next call; without it one has to be asked for.
    pub iterator: Option<String>,
    /// The last record that was handled.
    pub last_read: Option<String>,
    /// It is read to its end.
    pub ended: bool,
    /// The event that follows could not be handled the last time.
    pub failing: bool,
    parents: Vec<String>,
}

/// Every shard of a stream that is known.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    shards: BTreeMap<String, Cursor>,
}

impl Cursors {
    /// Takes in a list of shards, each with its parents. What is known stays where it stands.
    pub(super) fn list(&mut self, shards: impl IntoIterator<Item = (String, Vec<String>)>) {
        for (shard, parents) in shards {
            let new = || Cursor { parents, ..Cursor::default() };
            self.shards.entry(shard).or_insert_with(new);
        }
    }

    /// Whether a list is needed: none was had yet, or a shard has ended and its children are not
    /// known.
    pub(super) fn needs_list(&self) -> bool {
        let is_parent = |shard: &String| self.shards.values().any(|it| it.parents.contains(shard));
        self.shards.is_empty()
            || self.shards.iter().any(|(shard, cursor)| cursor.ended && !is_parent(shard))
    }

    /// The shards whose turn it is.
    pub(super) fn readable(&self) -> Vec<String> {
        let ended = |parent: &String| self.shards.get(parent).is_none_or(|parent| parent.ended);
        let turn = |cursor: &Cursor| !cursor.ended && cursor.parents.iter().all(ended);
        let shards = self.shards.iter().filter(|(_, cursor)| turn(cursor));
        shards.map(|(shard, _)| shard.clone()).collect()
    }

    /// A shard's place.
    pub(super) fn of(&mut self, shard: &str) -> Option<&mut Cursor> {
        self.shards.get_mut(shard)
    }

    /// Forgets every iterator, as a process does that ends; what was handled is known on disk.
    pub(super) fn drop_iterators(&mut self) {
        self.shards.values_mut().for_each(|cursor| cursor.iterator = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_wait_until_all_their_parents_are_read_to_their_ends() {
        let listed = |shards: &[(&str, &[&str])]| {
            let owned = |(shard, parents): &(&str, &[&str])| {
                ((*shard).to_owned(), parents.iter().map(|it| (*it).to_owned()).collect())
            };
            shards.iter().map(owned).collect::<Vec<(String, Vec<String>)>>()
        };
        let mut cursors = Cursors::default();
        assert!(cursors.needs_list());
        cursors.list(listed(&[("0", &[]), ("1", &[])]));
        assert_eq!(
            (cursors.needs_list(), cursors.readable()),
            (false, vec!["0".into(), "1".into()])
        );
        let end = |cursors: &mut Cursors, shard: &str| {
            cursors.of(shard).expect("a shard that is known").ended = true;
        };
        end(&mut cursors, "0");
        assert!(cursors.needs_list(), "its children are not known");
        // 0 was split into 2 and 3, and 1 and 3 have been merged into 4 since.
        let all =
            listed(&[("0", &[]), ("1", &[]), ("2", &["0"]), ("3", &["0"]), ("4", &["1", "3"])]);
        cursors.list(all);
        assert_eq!(
            (cursors.needs_list(), cursors.readable()),
            (false, vec!["1".into(), "2".into(), "3".into()])
        );
        end(&mut cursors, "3");
        assert_eq!(cursors.readable(), ["1", "2"]);
        end(&mut cursors, "1");
        assert_eq!(cursors.readable(), ["2", "4"]);
        // A parent that has been trimmed away is waited for by nobody.
        cursors.list(listed(&[("6", &["5"])]));
        assert_eq!(cursors.readable(), ["2", "4", "6"]);
    }
}
