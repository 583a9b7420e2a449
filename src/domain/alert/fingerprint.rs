//! Owns the number Alertmanager knows an alert by. Refuses cleverness: it must equal theirs.
//! Source: reference/alerts.md 1.1.

use crate::domain::alert::Labels;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// Stands after every name and value: no UTF-8 text contains it.
const SEPARATOR: u8 = 0xff;

/// FNV-1a 64 over the labels in the order of their names; shown as 16 hexadecimal digits.
#[must_use]
pub fn fingerprint(labels: &Labels) -> u64 {
    labels
        .iter()
        .flat_map(|(name, value)| [name, value])
        .flat_map(|text| text.bytes().chain([SEPARATOR]))
        .fold(FNV_OFFSET, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_alertmanagers() {
        let labels = [("alertname", "KinesisConsumerLagHigh"), ("consumer", "c"), ("stream", "s")];
        let labels: Labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(format!("{:016x}", fingerprint(&labels)), "405ed4f70a8893f8");
    }
}
