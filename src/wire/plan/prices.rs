//! Owns the file that prices come from: written so that it can be filled in, read strictly. Refuses
//! a price that it does not know and one that is no amount.

use crate::domain::plan::{Price, Prices};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A price file that is not one.
#[derive(Debug, thiserror::Error)]
pub enum PriceFault {
    /// It is no YAML of this form.
    #[error("should be YAML with `region`, `date` and `prices` (--print-prices shows one): {0}")]
    Form(String),
    /// A name that there is not.
    #[error("there is no price `{0}`: --print-prices shows all of them")]
    Name(String),
    /// No amount.
    #[error("the price {0} should be dollars, from 0 up")]
    Amount(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    region: String,
    date: String,
    prices: BTreeMap<String, f64>,
}

/// Reads a price file; what it leaves out is not known.
///
/// # Errors
/// The first fault.
pub fn read(text: &str, source: &str) -> Result<Prices, PriceFault> {
    let file: File =
        serde_saphyr::from_str(text).map_err(|error| PriceFault::Form(error.to_string()))?;
    let mut figures = BTreeMap::new();
    for (name, dollars) in file.prices {
        let Some(price) = Price::named(&name) else { return Err(PriceFault::Name(name)) };
        if !dollars.is_finite() || dollars < 0.0 {
            return Err(PriceFault::Amount(name));
        }
        figures.insert(price, dollars);
    }
    let (source, to_be_checked) = (source.to_owned(), Vec::new());
    Ok(Prices { region: file.region, date: file.date, source, figures, to_be_checked })
}

/// The file that would give these prices.
#[must_use]
pub fn write(prices: &Prices) -> String {
    let (region, date) = (quoted(&prices.region), quoted(&prices.date));
    let none = if prices.figures.is_empty() { " {}" } else { "" };
    let mut text = format!(
        "# {}. In dollars; a price that is left out is not known.\nregion: {region}\ndate: {date}\nprices:{none}\n",
        prices.source
    );
    for price in Price::all() {
        if let Some(dollars) = prices.of(price) {
            let unchecked = prices.to_be_checked.contains(&price);
            let note = if unchecked { ", to be checked" } else { "" };
            let (name, unit) = (price.name(), price.unit());
            let _never_fails = writeln!(text, "  {name}: {dollars} # a {unit}{note}");
        }
    }
    text
}

/// As YAML reads it back, whatever stands in it.
fn quoted(text: &str) -> String {
    let escaped = |letter: char| match letter {
        '"' | '\\' => format!("\\{letter}"),
        ' '..='~' => letter.to_string(),
        other => format!("\\U{:08x}", u32::from(other)),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let prices = Prices::us_east_1();
        let written = write(&prices);
        assert!(written.contains("shard_hour: 0.015 # a shard-hour, to be checked\n"), "{written}");
        assert!(written.contains("metric_month: 0.3 # a metric-month\n"), "{written}");
        // Who gives a file stands for it.
        let given = Prices { to_be_checked: Vec::new(), ..prices };
        assert_eq!(read(&written, &given.source).unwrap(), given);
        let (region, date) = ("a: b # c".to_owned(), "\"today\"\\\n\u{7f}".to_owned());
        let strange = Prices { region, date, figures: std::collections::BTreeMap::new(), ..given };
        assert_eq!(read(&write(&strange), &strange.source).unwrap(), strange);
    }

    #[test]
    fn faulty_files() {
        let check = |text: &str, expected: &str| {
            let fault = read(text, "a file").unwrap_err().to_string();
            assert!(fault.contains(expected), "{fault}");
        };
        check("", "--print-prices");
        check("region: x\ndate: y\nprices: { shard: 1 }", "no price `shard`");
        check("region: x\ndate: y\nprices: { shard_hour: -1 }", "shard_hour should be dollars");
        check("region: x\ndate: y\nprices: { shard_hour: .nan }", "shard_hour should be dollars");
        check("region: x\ndate: y\nprices: { shard_hour: cheap }", "should be YAML");
        check("region: x\ndate: y\nprices: {}\nfee: 1", "should be YAML");
    }
}
