//! Owns what the hash key of a single record can be made of later, when its put was refused without
//! a shard's name. Refuses to make it of every record, which costs an MD5, and to show the key.

use crate::domain::capacity::hash_of_key;
use crate::wire::kinesis::put::{self, PutBody};
use std::fmt;

/// A partition key that is longer costs its MD5 at once.
const KEY_BYTES_MAX: usize = 48;

/// What a hash key is made of.
#[derive(Clone, Copy, Default)]
pub enum Placing {
    /// Not known.
    #[default]
    Unknown,
    /// A partition key, as long as most.
    Key {
        /// It and zeros.
        bytes: [u8; KEY_BYTES_MAX],
        /// How many bytes are its.
        len: usize,
    },
    /// The hash key itself.
    Hash(u128),
}

impl Placing {
    /// Of one record of a body.
    #[must_use]
    pub fn of(body: &[u8], put: &PutBody, record: usize) -> Self {
        if let Some(key) = put::plain_key(body, put, record) {
            let mut bytes = [0; KEY_BYTES_MAX];
            if let Some(place) = bytes.get_mut(..key.len()) {
                place.copy_from_slice(key);
                return Self::Key { bytes, len: key.len() };
            }
        }
        put::hash_key(body, put, record).map_or(Self::Unknown, Self::Hash)
    }

    /// The hash key, where it can be told.
    #[must_use]
    pub fn hash_key(&self) -> Option<u128> {
        match self {
            Self::Unknown => None,
            Self::Key { bytes, len } => Some(hash_of_key(bytes.get(..*len)?)),
            Self::Hash(hash) => Some(*hash),
        }
    }
}

impl fmt::Debug for Placing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Placing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kinesis::form::WireForm;

    #[test]
    fn the_same_hash_key_sooner_or_later() {
        let check = |members: &str| {
            let body = format!(r#"{{"Data":"e30=","StreamName":"s"{members}}}"#);
            let located = put::locate(WireForm::Json, body.as_bytes()).unwrap();
            let placing = Placing::of(body.as_bytes(), &located, 0);
            assert_eq!(placing.hash_key(), put::hash_key(body.as_bytes(), &located, 0), "{body}");
            assert_eq!(format!("{placing:?}"), "Placing");
        };
        check(r#","PartitionKey":"short""#);
        check(&format!(r#","PartitionKey":"{}""#, "k".repeat(KEY_BYTES_MAX)));
        check(&format!(r#","PartitionKey":"{}""#, "k".repeat(KEY_BYTES_MAX + 1)));
        check(r#","PartitionKey":"a","ExplicitHashKey":"7""#);
        check("");
    }
}
