//! Owns the figures of one reading, by signal, in one piece: readings are made of every consumer
//! every second. Refuses what is no number: missing is not zero.

use super::Signal;

/// What is known of each signal, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Values([Option<f64>; Signal::ALL.len()]);

impl Values {
    /// Notes a figure; NaN is none.
    pub fn insert(&mut self, signal: Signal, value: f64) {
        if let Some(slot) = self.0.get_mut(signal as usize).filter(|_| !value.is_nan()) {
            *slot = Some(value);
        }
    }

    /// The figure, where it is known.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Option<f64> {
        self.0.get(signal as usize).copied().flatten()
    }

    /// Every figure that is known, in the order of the signals.
    pub fn iter(&self) -> impl Iterator<Item = (Signal, f64)> {
        Signal::ALL.into_iter().filter_map(|signal| Some((signal, self.get(signal)?)))
    }

    /// It is not known any more.
    pub fn remove(&mut self, signal: Signal) {
        if let Some(slot) = self.0.get_mut(signal as usize) {
            *slot = None;
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
