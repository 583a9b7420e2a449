//! Owns the alert rules in the words of other engines, and what of each cannot be said there.
//! Refuses to pass an approximation off as the rule: every rendering says how well it fits.

mod cloudwatch;
mod prometheus;

pub use cloudwatch::cloudwatch;
pub use prometheus::prometheus;

use crate::domain::alert::Rule;

/// How well a rule can be said in another engine, while the figures are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It fires and resolves within one evaluation of ours.
    Exact,
    /// With the difference that is named.
    Nearly(&'static str),
    /// Not at all, for this reason.
    Not(&'static str),
}

/// Rules as another engine reads them, and how well each fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The whole file.
    pub text: String,
    /// Every rule in its order.
    pub fits: Vec<(String, Fit)>,
}

/// The first lines of a file.
fn head(what: &str, command: &str) -> String {
    format!(
        "# {what}\n# Written by `kinescope rules --format {command}`; change the rules, not this \
         file.\n"
    )
}

/// How a rule fits, as comment lines; the reason is cut where a line ends.
fn comment(rule: &Rule, fit: Fit, indent: &str) -> String {
    let (word, why) = match fit {
        Fit::Exact => ("exact", ""),
        Fit::Nearly(why) => ("nearly", why),
        Fit::Not(why) => ("left out", why),
    };
    let text = match why {
        "" => format!("{}: {word}", rule.name),
        why => format!("{}: {word}: {why}", rule.name),
    };
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if line.len() + word.len() > 90 {
            lines.push_str(&format!("{indent}# {}\n", line.trim_end()));
            line.clear();
        }
        line.push_str(word);
        line.push(' ');
    }
    lines + &format!("{indent}# {}\n", line.trim_end())
}

/// A text between double quotes, as YAML reads it.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::builtin::builtin;
    use crate::domain::alert::freshness::Objective;

    #[test]
    fn committed_files_are_what_would_be_written() {
        let files = [
            (
                "prometheus",
                prometheus(&builtin(), &Objective::default(), "alerts/runbooks/").text,
                include_str!("../../../alerts/kinescope.rules.yml"),
            ),
            (
                "cloudwatch",
                cloudwatch(&builtin(), "alerts/runbooks/").text,
                include_str!("../../../alerts/cloudwatch.alarms.yml"),
            ),
        ];
        for (format, written, committed) in files {
            let stale = "a committed file of alerts/ is stale: write `kinescope rules --format";
            assert!(written == committed, "{stale} {format}` into it");
        }
    }

    #[test]
    fn every_rule_is_said_or_said_not_to_be() {
        let rules = builtin();
        let objective = Objective::default();
        for rendered in [prometheus(&rules, &objective, ""), cloudwatch(&rules, "")] {
            let names: Vec<&str> = rendered.fits.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>());
            for (name, _) in &rendered.fits {
                assert!(rendered.text.contains(&format!("# {name}: ")), "{name}");
            }
        }
    }
}
