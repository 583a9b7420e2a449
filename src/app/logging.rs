//! Owns our own log: its form, its level, and how an error with its causes is printed. Refuses to
//! know what is logged. Logs go to standard error; standard output belongs to the commands.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Libraries speak when they warn: their daily life is not the user's.
const LIBRARIES: &str = "warn";

/// A log that cannot be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `KINESCOPE_LOG_FORMAT` holds something else.
    #[error("KINESCOPE_LOG_FORMAT should be one of: human, json")]
    Format,
    /// `KINESCOPE_LOG` or `RUST_LOG` is no filter.
    #[error("{variable} should be a level (error, warn, info, debug, trace) or a tracing filter")]
    Filter {
        /// Which of the two.
        variable: &'static str,
    },
}

/// Sets up the process's log; `level` is ours where `KINESCOPE_LOG` and `RUST_LOG` say nothing.
/// A second call changes nothing.
///
/// # Errors
/// A variable that holds something else than it may.
pub fn init(environment: &BTreeMap<String, String>, level: &str) -> Result<(), LogError> {
    let filter = filter(environment, level)?;
    let json = is_json(environment, std::io::stderr().is_terminal())?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only a log that someone else set up before can refuse: a test, or a program around us.
    let _already = if json { log.json().flatten_event(true).try_init() } else { log.try_init() };
    Ok(())
}

fn filter(environment: &BTreeMap<String, String>, level: &str) -> Result<EnvFilter, LogError> {
    let variable = |name| Some((name, environment.get(name).filter(|text| !text.is_empty())?));
    let asked = variable("KINESCOPE_LOG").or_else(|| variable("RUST_LOG"));
    let (variable, text) = asked.map_or(("KINESCOPE_LOG", level), |(name, text)| (name, text));
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    // A bare level is ours alone; a filter with targets is taken as it is.
    let text = if levels.contains(&text.to_ascii_lowercase().as_str()) {
        format!("{LIBRARIES},kinescope={text}")
    } else {
        text.to_owned()
    };
    EnvFilter::try_new(text).map_err(|_| LogError::Filter { variable })
}

fn is_json(environment: &BTreeMap<String, String>, terminal: bool) -> Result<bool, LogError> {
    match environment.get("KINESCOPE_LOG_FORMAT").map(String::as_str) {
        Some("json") => Ok(true),
        Some("human") => Ok(false),
        // A person looks at a terminal, a collector at everything else.
        None | Some("") => Ok(!terminal),
        Some(_) => Err(LogError::Format),
    }
}

/// An error and its causes in one line, outermost first. A cause that its parent's sentence
/// already ends with is not said twice.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let sentence = error.to_string();
        if !text.ends_with(&sentence) {
            text.push_str(": ");
            text.push_str(&sentence);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn filters() {
        let check = |pairs: &[(&str, &str)], expected: Option<&str>| {
            let filter = filter(&environment(pairs), "info").ok().map(|f| f.to_string());
            assert_eq!(filter.as_deref(), expected, "{pairs:?}");
        };
        check(&[], Some("kinescope=info,warn"));
        check(&[("KINESCOPE_LOG", "debug"), ("RUST_LOG", "trace")], Some("kinescope=debug,warn"));
        check(&[("RUST_LOG", "hyper=debug,info")], Some("hyper=debug,info"));
        check(&[("KINESCOPE_LOG", "kinescope=loud")], None);
    }

    #[test]
    fn forms() {
        let check = |form: &str, terminal, expected: Option<bool>| {
            let environment = environment(&[("KINESCOPE_LOG_FORMAT", form)]);
            assert_eq!(is_json(&environment, terminal).ok(), expected, "{form}");
        };
        check("json", true, Some(true));
        check("human", false, Some(false));
        check("", false, Some(true));
        check("", true, Some(false));
        check("xml", true, None);
    }

    #[derive(Debug, thiserror::Error)]
    enum Layer {
        #[error("cannot start")]
        Outer(#[source] Box<Layer>),
        #[error("middle: port is taken")]
        Middle(#[source] Box<Layer>),
        #[error("port is taken")]
        Inner,
    }

    #[test]
    fn causes_are_said_once() {
        let error = Layer::Outer(Box::new(Layer::Middle(Box::new(Layer::Inner))));
        assert_eq!(chain(&error), "cannot start: middle: port is taken");
    }
}
