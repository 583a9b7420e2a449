//! Owns how one variable is read: empty is unset, a signal's own goes before the general one, and
//! what is not understood is said and ignored. Refuses to quote a value: it may be a secret.

use super::super::config::Fault;
use super::super::sender::Signal;
use std::time::Duration;

/// Reads variables through `get`.
pub(super) struct Reader<G> {
    get: G,
    warnings: Vec<Fault>,
}

pub(super) const MILLIS: &str = "is not a number of milliseconds above 0; it is ignored";

impl<G: Fn(&str) -> Option<String>> Reader<G> {
    pub(super) const fn new(get: G) -> Self {
        Self { get, warnings: Vec::new() }
    }

    /// What was ignored, each variable once, however many signals asked for it.
    pub(super) fn warnings(self) -> Vec<Fault> {
        let mut warnings = self.warnings;
        let mut seen = Vec::new();
        warnings.retain(|warning| {
            let new = !seen.contains(warning);
            seen.push(warning.clone());
            new
        });
        warnings
    }

    /// Says that a variable is ignored.
    pub(super) fn warn(&mut self, name: &str, problem: &'static str) {
        self.warnings.push(Fault { source_name: name.to_owned(), problem });
    }

    /// A variable that is set, without the space around it.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = (self.get)(name)?;
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    /// The first variable that is set, and its text.
    pub(super) fn set(&self, names: &[String]) -> Option<(String, String)> {
        names.iter().find_map(|name| Some((name.clone(), self.text(name)?)))
    }

    /// The first variable that can be read; those before it get a warning.
    pub(super) fn first_as_is<T>(
        &mut self,
        names: &[String],
        problem: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        for name in names {
            let Some(text) = self.text(name) else { continue };
            match parse(&text) {
                Some(value) => return Some(value),
                None => self.warn(name, problem),
            }
        }
        None
    }

    /// The same, of values whose case means nothing.
    pub(super) fn first<T>(
        &mut self,
        names: &[String],
        problem: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.first_as_is(names, problem, |text| parse(&text.to_ascii_lowercase()))
    }

    /// The same, of one variable.
    pub(super) fn one<T>(
        &mut self,
        name: &str,
        problem: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.first(&[name.to_owned()], problem, parse)
    }
}

/// The exporter's variable for the signal, then the one for all signals.
pub(super) fn names(signal: Signal, name: &str) -> [String; 2] {
    let own = match signal {
        Signal::Traces => "TRACES",
        Signal::Metrics => "METRICS",
    };
    [format!("OTEL_EXPORTER_OTLP_{own}_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")]
}

pub(super) fn millis(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|&ms| ms > 0).map(Duration::from_millis)
}
