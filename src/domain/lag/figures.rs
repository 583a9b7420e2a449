//! Owns how a figure of lag is written for a person. Refuses to be read by a program.

use super::Lag;
use std::fmt;
use std::time::Duration;

/// `12.3 s`, `4.5 min`, `25.0 h`.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7_200.0 {
        format!("{:.1} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

/// `12.3 s`, or `12.3 s (inferred)`.
impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration_text(self.value))?;
        f.write_str(if self.inferred { " (inferred)" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_by_size() {
        let check = |ms, expected| assert_eq!(duration_text(Duration::from_millis(ms)), expected);
        check(0, "0.0 s");
        check(12_340, "12.3 s");
        check(119_000, "119.0 s");
        check(270_000, "4.5 min");
        check(90_000_000, "25.0 h");
    }
}
