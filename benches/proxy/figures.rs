//! Owns medians and what the goals of the house's benchmark came to.

use std::fmt::Write as _;

/// The middle one; not a number if there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One line of what is to be reached.
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) bound: Bound,
    pub(crate) unit: &'static str,
    /// Not a number where a side was missing.
    pub(crate) measured: f64,
}

/// Which side of the number is good.
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// All goals, and whether each is met here.
pub(crate) fn goals(goals: &[Goal]) -> String {
    let mut out = format!("\n{:<64}{:>18}{:>14}\n", "what", "goal", "measured");
    for Goal { what, bound, unit, measured } in goals {
        let (word, number, met) = match bound {
            Bound::AtMost(number) => ("at most", number, measured <= number),
            Bound::AtLeast(number) => ("at least", number, measured >= number),
        };
        let verdict = match (measured.is_nan(), met) {
            (true, _) => "left out",
            (false, true) => "met",
            (false, false) => "not met",
        };
        let bound = format!("{word} {number}{unit}");
        let measured = if measured.is_nan() { "-".into() } else { format!("{measured:.2}{unit}") };
        let _ = writeln!(out, "{what:<64}{bound:>18}{measured:>14}  {verdict}");
    }
    out
}
