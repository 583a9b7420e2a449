//! Owns which of a hub's replicas polls what: `shard of N` by rendezvous hashing, so that another
//! number of replicas moves only what must move. Refuses chance: every replica comes to the same.

/// One replica's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which replica this is, from 0.
    pub ordinal: u32,
    /// Of how many; at least 1.
    pub replicas: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { ordinal: 0, replicas: 1 }
    }
}

impl Share {
    /// Whether what `key` names is this replica's.
    #[must_use]
    pub fn has(self, key: &str) -> bool {
        let name = fnv(key);
        let weight = |ordinal: u32| mix(name ^ mix(u64::from(ordinal) + 1));
        let ours = weight(self.ordinal);
        // On a tie the first wins, for every replica.
        (0..self.replicas).all(|other| (weight(other), self.ordinal) <= (ours, other))
    }
}

/// FNV-1a: the same in every build, which the standard library's hash does not promise.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// splitmix64's last step: names that differ in one letter end far apart.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(key: &str, replicas: u32) -> u32 {
        let owners: Vec<u32> = (0..replicas)
            .filter(|ordinal| Share { ordinal: *ordinal, replicas }.has(key))
            .collect();
        assert_eq!(owners.len(), 1, "{key} of {replicas}: {owners:?}");
        owners[0]
    }

    #[test]
    fn each_name_has_one_owner_and_few_move() {
        let names: Vec<String> = (0..4_000).map(|index| format!("orders-{index}")).collect();
        let mut counts = [0_u32; 4];
        let mut moved = 0;
        for name in &names {
            counts[owner(name, 4) as usize] += 1;
            moved += u32::from(owner(name, 4) != owner(name, 5));
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
        assert!((650..950).contains(&moved), "a fifth moves to the fifth, not {moved}");
        assert!(Share::default().has("anything"));
    }
}
