//! Owns what of an event may leave the process, and in which form: what `privacy.fields` names as it
//! is, `sagaId` else as a keyed hash, so that sagas can be joined without being named. Refuses
//! everything else, and to show its key.

use crate::domain::envelope::Facts;
use crate::domain::fleet::attribute;
use crate::domain::saga::SagaId;
use crate::domain::trace::Attribute;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// Attribute of an event's id, for whoever searches by it; only where `privacy.fields` names it.
const EVENT_ID: &str = "kinescope.event.id";

/// Which fields of an envelope may leave the process: of those that `privacy.fields` may name, the
/// ones that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disclosed {
    /// `eventType`.
    pub event_type: bool,
    /// `eventId`.
    pub event_id: bool,
    /// `sagaId`, as it is.
    pub saga_id: bool,
    /// What makes a hash of it where it may not be told.
    pub saga_key: SagaKey,
}

/// The key under which sagas are hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SagaKey([u8; 32]);

impl SagaKey {
    /// Shortest secret that a key is made of: a shorter one can be tried.
    pub const SECRET_BYTES_MIN: usize = 16;

    /// Of a secret that the sidecars of a deployment share, without the white space around it;
    /// `None` where it is too short.
    #[must_use]
    pub fn of_secret(secret: &[u8]) -> Option<Self> {
        let secret = secret.trim_ascii();
        let long_enough = secret.len() >= Self::SECRET_BYTES_MIN;
        long_enough.then(|| Self(Sha256::digest(secret).into()))
    }

    /// Of bytes that nobody else has: sagas are then followed through this process only.
    #[must_use]
    pub const fn of_chance(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SagaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Disclosed {
    /// From `privacy.fields`.
    #[must_use]
    pub fn of(fields: &[impl AsRef<str>], saga_key: SagaKey) -> Self {
        let named = |name: &str| fields.iter().any(|field| field.as_ref() == name);
        Self {
            event_type: named("eventType"),
            event_id: named("eventId"),
            saga_id: named("sagaId"),
            saga_key,
        }
    }

    /// What may be told of an event.
    #[must_use]
    pub fn of_event(&self, facts: &Facts) -> Told {
        let hash = |id: &str| match self.saga_id {
            true => SagaId::told(id),
            false => SagaId::hashed(id, &self.saga_key.0),
        };
        let told =
            |field: &Option<String>, may: bool| field.as_deref().filter(|_| may).map(Arc::from);
        Told {
            event_type: told(&facts.event_type, self.event_type),
            event_id: told(&facts.event_id, self.event_id),
            saga_id: facts.saga_id.as_deref().and_then(hash),
        }
    }
}

/// What is told of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Told {
    /// Its type.
    pub event_type: Option<Arc<str>>,
    /// Its id.
    pub event_id: Option<Arc<str>>,
    /// Its saga.
    pub saga_id: Option<SagaId>,
}

impl Told {
    /// As attributes of a span or a link.
    #[must_use]
    pub fn attributes(&self) -> [Option<Attribute>; 3] {
        let Self { event_type, event_id, saga_id } = self;
        let all = [
            (attribute::EVENT_TYPE, event_type.as_deref()),
            (EVENT_ID, event_id.as_deref()),
            (attribute::SAGA_ID, saga_id.as_ref().map(SagaId::as_str)),
        ];
        all.map(|(name, value)| Some((name, value?.to_owned().into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SagaKey = SagaKey::of_chance([7; 32]);

    fn shown(fields: &[&str]) -> Vec<String> {
        let facts = Facts {
            event_type: Some("ORDER_CREATED".into()),
            event_id: Some("e1".into()),
            saga_id: Some("saga-1".into()),
            made: None,
        };
        let told = Disclosed::of(fields, KEY).of_event(&facts);
        told.attributes()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name} {value:?}"))
            .collect()
    }

    #[test]
    fn what_is_not_named_stays_and_a_saga_is_hashed() {
        let hash = SagaId::hashed("saga-1", &[7; 32]).unwrap();
        let hashed = format!("kinescope.saga.id Text({:?})", hash.as_str());
        let named = "kinescope.event.type Text(\"ORDER_CREATED\")";
        assert_eq!(shown(&[]), std::slice::from_ref(&hashed));
        assert_eq!(shown(&["eventType"]), [named.to_owned(), hashed]);
        assert_eq!(
            shown(&["eventId", "sagaId"]),
            ["kinescope.event.id Text(\"e1\")", "kinescope.saga.id Text(\"saga-1\")"]
        );
        assert_eq!(Disclosed::of(&[""; 0], KEY).of_event(&Facts::default()), Told::default());
    }

    #[test]
    fn a_key_is_made_of_a_secret_that_is_long_enough_and_is_not_shown() {
        let key = SagaKey::of_secret(b"0123456789abcdef\n").unwrap();
        assert_eq!(SagaKey::of_secret(b"0123456789abcdef"), Some(key));
        assert_eq!(SagaKey::of_secret(b"  0123456789abcde  "), None);
        assert_eq!(format!("{key:?}"), "[secret]");
    }
}
