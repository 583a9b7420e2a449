//! Owns which actions AWS refuses this process now, for its permissions or its credentials: what is
//! told of a call, until the same one is answered. Refuses to know why, and to forget by time.

use crate::io::credentials::fault::Fault;
use prometheus::{IntGaugeVec, Opts, Registry};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Resources that are remembered of one action; more are counted as so many.
const RESOURCES_MAX: usize = 1_000;

/// What is refused; clones share it. The default remembers, and tells nobody.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    refused: BTreeMap<&'static str, BTreeSet<String>>,
    gauge: Option<IntGaugeVec>,
}

impl Refusals {
    /// Registers the family; a series appears with an action's first refusal, and goes with its last.
    ///
    /// # Errors
    /// When the name is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Streams or tables (1 for an action without one) for which AWS refused an action \
                    when it was last asked: a permission is missing, or the credentials are not good.";
        let gauge =
            IntGaugeVec::new(Opts::new("kinescope_aws_refused_resources", help), &["action"])?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(Self(Arc::new(Mutex::new(Book { gauge: Some(gauge), ..Book::default() }))))
    }

    /// What became of a call of an IAM action such as `kinesis:ListShards`, on a resource or on
    /// nothing in particular. What says nothing of permissions changes nothing.
    pub fn told(&self, action: &'static str, resource: &str, fault: Option<Fault>) {
        match fault {
            None => self.change(action, |resources| resources.remove(resource)),
            Some(Fault::Denied) => self.change(action, |resources| {
                resources.len() < RESOURCES_MAX && resources.insert(resource.to_owned())
            }),
            Some(
                Fault::Throttled
                | Fault::NotFound
                | Fault::Refused
                | Fault::Broken
                | Fault::TimedOut
                | Fault::Unsent,
            ) => {}
        }
    }

    fn change(&self, action: &'static str, change: impl FnOnce(&mut BTreeSet<String>) -> bool) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let resources = book.refused.entry(action).or_default();
        let (changed, count) = (change(resources), resources.len());
        if let (true, Some(gauge)) = (changed, &book.gauge) {
            match i64::try_from(count).unwrap_or(i64::MAX) {
                // Only a series that was never there cannot be taken away.
                0 => gauge.remove_label_values(&[action]).unwrap_or_default(),
                count => gauge.with_label_values(&[action]).set(count),
            }
        }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusals")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "kinesis:ListShards";

    /// What the family says after these calls: resource, what became of it.
    fn check(calls: &[(&str, Option<Fault>)], expected: &[(&str, f64)]) {
        let registry = Registry::new();
        let refusals = Refusals::register(&registry).unwrap();
        for (resource, fault) in calls {
            refusals.told(LIST, resource, *fault);
        }
        let families = registry.gather();
        let series = families.iter().flat_map(|family| family.get_metric());
        let found: Vec<_> = series
            .map(|metric| (metric.get_label()[0].value(), metric.get_gauge().get_value()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_refused_counts_until_it_is_answered() {
        let (denied, ok) = (Some(Fault::Denied), None);
        check(&[("a", ok)], &[]);
        check(&[("a", denied), ("a", denied)], &[(LIST, 1.0)]);
        check(&[("a", denied), ("b", denied)], &[(LIST, 2.0)]);
        check(&[("a", denied), ("b", denied), ("b", ok)], &[(LIST, 1.0)]);
        check(&[("a", denied), ("a", ok)], &[]);
    }

    #[test]
    fn what_says_nothing_of_permissions_changes_nothing() {
        for fault in [Fault::Throttled, Fault::NotFound, Fault::Broken, Fault::Unsent] {
            check(&[("a", Some(fault))], &[]);
            check(&[("a", Some(Fault::Denied)), ("a", Some(fault))], &[(LIST, 1.0)]);
        }
    }

    #[test]
    fn the_book_has_an_end() {
        let refusals = Refusals::default();
        for number in 0..2 * RESOURCES_MAX {
            refusals.told(LIST, &number.to_string(), Some(Fault::Denied));
        }
        assert_eq!(refusals.0.lock().unwrap().refused[LIST].len(), RESOURCES_MAX);
    }
}
