//! Owns how figures are written for people. Refuses to round what is counted in cents away.

/// With thousands apart and at most three decimals, fewer where they are zeros.
#[must_use]
pub fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let decimals = decimals.trim_end_matches('0');
    let whole = grouped(whole);
    if decimals.is_empty() { whole } else { format!("{whole}.{decimals}") }
}

/// An amount with its cents, without the sign of the currency.
#[must_use]
pub fn dollars(value: f64) -> String {
    let text = format!("{value:.2}");
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    format!("{}.{cents}", grouped(whole))
}

fn grouped(whole: &str) -> String {
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_as_text() {
        let check = |value, as_number: &str, as_dollars: &str| {
            assert_eq!((number(value), dollars(value)), (as_number.into(), as_dollars.into()));
        };
        check(0.0, "0", "0.00");
        check(0.015, "0.015", "0.01");
        check(999.5, "999.5", "999.50");
        check(1_000.0, "1,000", "1,000.00");
        check(2_628_000_000.0, "2,628,000,000", "2,628,000,000.00");
        check(-1_234.567, "-1,234.567", "-1,234.57");
    }
}
