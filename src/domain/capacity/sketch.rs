//! Owns the heaviest of many keys in bounded memory (Space-Saving, Metwally et al. 2005): each count
//! is at least the truth and at most the truth and its `over`. Refuses the keys themselves: it is
//! given numbers.

use std::collections::HashMap;

/// Keys of one sketch that are counted at once: whatever takes more than a thirty-second of all is
/// among them.
const KEYS_MAX: usize = 32;
/// From so much on all counts are halved, so that what was heavy yesterday gives way.
const TOTAL_MAX: u64 = 1 << 30;

/// The heaviest keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sketch {
    keys: HashMap<u64, (u64, u64)>,
    total: u64,
}

/// One key of many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heavy {
    /// What the process makes of the key.
    pub key: u64,
    /// Its share of all, 0..1; at most `over` too much.
    pub share: f64,
    /// How much of the share may be others'.
    pub over: f64,
}

impl Sketch {
    /// Counts `weight` for a key.
    pub fn add(&mut self, key: u64, weight: u64) {
        self.total = self.total.saturating_add(weight);
        if let Some((count, _)) = self.keys.get_mut(&key) {
            *count = count.saturating_add(weight);
        } else if self.keys.len() < KEYS_MAX {
            self.keys.insert(key, (weight, 0));
        } else if let Some((&least, &(count, _))) =
            self.keys.iter().min_by_key(|(key, (count, _))| (*count, **key))
        {
            self.keys.remove(&least);
            self.keys.insert(key, (count.saturating_add(weight), count));
        }
        if self.total > TOTAL_MAX {
            self.total /= 2;
            self.keys
                .values_mut()
                .for_each(|(count, over)| (*count, *over) = (*count / 2, *over / 2));
        }
    }

    /// Keys that surely take at least `share` of all, the heaviest first.
    #[must_use]
    pub fn heaviest(&self, share: f64) -> Vec<Heavy> {
        let total = self.total as f64;
        let heavy = |(key, (count, over)): (&u64, &(u64, u64))| Heavy {
            key: *key,
            share: *count as f64 / total,
            over: *over as f64 / total,
        };
        let sure = |it: &Heavy| it.share - it.over >= share;
        let mut heaviest: Vec<Heavy> = self.keys.iter().map(heavy).filter(sure).collect();
        heaviest.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.key.cmp(&b.key)));
        heaviest
    }
}
