//! Owns the figures of one reading, by signal, in one piece: readings are made of every consumer
//! every second. Refuses what is no number: missing is not zero.

use super::Signal;

/// What is known of each signal, in its unit; NaN where nothing is.
#[derive(Debug, Clone, Copy)]
pub struct Values([f64; Signal::ALL.len()]);

impl Default for Values {
    fn default() -> Self {
        Self([f64::NAN; Signal::ALL.len()])
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        Signal::ALL.into_iter().all(|signal| self.get(signal) == other.get(signal))
    }
}

impl Values {
    /// Notes a figure; NaN is none.
    pub fn insert(&mut self, signal: Signal, value: f64) {
        if let Some(slot) = self.0.get_mut(signal as usize).filter(|_| !value.is_nan()) {
            *slot = value;
        }
    }

    /// The figure, where it is known.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Option<f64> {
        self.0.get(signal as usize).copied().filter(|value| !value.is_nan())
    }

    /// Every figure that is known, in the order of the signals.
    pub fn iter(&self) -> impl Iterator<Item = (Signal, f64)> {
        Signal::ALL.into_iter().filter_map(|signal| Some((signal, self.get(signal)?)))
    }

    /// It is not known any more.
    pub fn remove(&mut self, signal: Signal) {
        if let Some(slot) = self.0.get_mut(signal as usize) {
            *slot = f64::NAN;
        }
    }

    /// Nothing is known any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_has_its_own_place() {
        let mut values = Values::default();
        assert_eq!(values.iter().count(), 0);
        for (index, signal) in Signal::ALL.into_iter().enumerate() {
            values.insert(signal, index as f64);
        }
        values.insert(Signal::DeliveryLag, f64::NAN);
        let found: Vec<(Signal, f64)> = values.iter().collect();
        let all: Vec<(Signal, f64)> = Signal::ALL.into_iter().zip((0..).map(f64::from)).collect();
        assert_eq!(found, all, "`ALL` is in the order of the enum");
        values.remove(Signal::Stopped);
        assert_eq!((values.get(Signal::Stopped), values.iter().count()), (None, all.len() - 1));
        values.clear();
        assert_eq!(values, Values::default());
    }
}
