//! Owns the heaviest of many keys in bounded memory (Space-Saving, Metwally et al. 2005): each count
//! is at least the truth and at most the truth and its `over`. Refuses the keys themselves: it is
//! given numbers.

use super::TopKey;

/// Keys of one sketch that are counted at once: whatever takes more than a sixteenth of all is among
/// them. 24 bytes each.
const KEYS_MAX: usize = 16;

/// The heaviest keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    keys: Vec<Counted>,
    total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    key: u64,
    count: u64,
    over: u64,
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
        if let Some(known) = self.keys.iter_mut().find(|known| known.key == key) {
            known.count = known.count.saturating_add(weight);
        } else if self.keys.len() < KEYS_MAX {
            self.keys.push(Counted { key, count: weight, over: 0 });
        } else if let Some(least) = self.keys.iter_mut().min_by_key(|it| (it.count, it.key)) {
            let over = least.count;
            *least = Counted { key, count: over.saturating_add(weight), over };
        }
    }

    /// All that was counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Counts half of everything, so that what was heavy yesterday gives way.
    pub fn halve(&mut self) {
        self.total /= 2;
        self.keys.iter_mut().for_each(|it| (it.count, it.over) = (it.count / 2, it.over / 2));
    }

    /// Keys that surely take at least `share` of `total`, the heaviest first.
    #[must_use]
    pub fn heaviest(&self, share: f64, total: u64) -> Vec<Heavy> {
        let total = total as f64;
        let heavy = |it: &Counted| Heavy {
            key: it.key,
            share: it.count as f64 / total,
            over: it.over as f64 / total,
        };
        let sure = |it: &Heavy| it.share - it.over >= share;
        let mut heaviest: Vec<Heavy> = self.keys.iter().map(heavy).filter(sure).collect();
        heaviest.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.key.cmp(&b.key)));
        heaviest
    }

    /// The heaviest of those that surely take at least `share` of what was counted here.
    #[must_use]
    pub fn top(&self, share: f64) -> Option<TopKey> {
        let heaviest = self.heaviest(share, self.total);
        let sure = heaviest.iter().map(|it| it.share - it.over).max_by(f64::total_cmp)?;
        Some(TopKey { share: sure, keys: u32::try_from(heaviest.len()).unwrap_or(u32::MAX) })
    }
}
