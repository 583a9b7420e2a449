//! Owns where a configuration comes from: file, then variables over it, then flags over both.
//! Refuses to know what the keys mean.

use super::fault::Place;
use super::raw::Node;
use super::raw::Shape;
use std::collections::BTreeMap;

/// What every variable of ours begins with.
const PREFIX: &str = "KINESCOPE_";

/// Ours, but not of the configuration: the log is set up before the configuration is read.
const OTHERS: [&str; 3] = ["KINESCOPE_LOG", "KINESCOPE_LOG_FORMAT", "KINESCOPE_REVISION"];

/// The command line's say in the configuration, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--role`.
    pub role: Option<String>,
    /// `--listen`, in place of `proxy.listen`.
    pub listen: Vec<String>,
}

/// Sets variables, then flags, over what the file says. An empty variable is as good as none.
pub(super) fn overlay(tree: &mut Node, environment: &BTreeMap<String, String>, flags: &Flags) {
    for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if OTHERS.contains(&name.as_str()) || is_service_link(rest) {
            continue;
        }
        let keys: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        tree.put(&keys, loose(Place::Variable(name.clone()), value));
    }
    if let Some(role) = &flags.role {
        tree.put(&["role".to_owned()], loose(Place::Flag("--role"), role));
    }
    if !flags.listen.is_empty() {
        let listen = loose(Place::Flag("--listen"), &flags.listen.join(","));
        tree.put(&["proxy".to_owned(), "listen".to_owned()], listen);
    }
}

fn loose(place: Place, text: &str) -> Node {
    Node { place, shape: Shape::Loose(text.to_owned()) }
}

/// Whether Kubernetes made this variable for a Service named `kinescope` or `kinescope-…`, as it
/// does in every pod of the Service's namespace: `…PORT`, `…PORT_4590_TCP_ADDR`, `…SERVICE_HOST`.
fn is_service_link(rest: &str) -> bool {
    if rest.contains("__") {
        return false;
    }
    let rest = format!("_{rest}");
    let number = |text: &str| text.split('_').next().is_some_and(|n| n.parse::<u16>().is_ok());
    rest.ends_with("_PORT")
        || rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT_")
        || rest.split("_PORT_").skip(1).any(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_not_ours() {
        let check = |rest, expected| assert_eq!(is_service_link(rest), expected, "{rest}");
        check("PORT", true);
        check("PORT_4590_TCP", true);
        check("PORT_4590_TCP_ADDR", true);
        check("SERVICE_HOST", true);
        check("SERVICE_PORT", true);
        check("HUB_SERVICE_HOST", true);
        check("HUB_SERVICE_PORT_OTLP", true);
        check("HUB_PORT_4595_TCP_PROTO", true);
        check("ROLE", false);
        check("SERVICE__NAME", false);
        check("PROXY__LISTEN", false);
        check("REPORT", false);
    }
}
