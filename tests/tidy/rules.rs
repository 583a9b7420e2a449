//! Owns the house rules that no compiler knows, each with its reason. Refuses files: it judges
//! text that it is handed.

use crate::source::{Path, paths, strip};
use std::fmt;

/// Longer files hold two things.
const LINES_MAX: usize = 500;

/// From the ground up; a floor may name itself and what stands before it.
const FLOORS: [&str; 4] = ["domain", "wire", "io", "app"];

/// What a sealed floor may not name: the path's beginning, and what it is.
const SEALED: [(&[&str], &str); 26] = [
    (&["tokio"], "tokio"),
    (&["tokio_util"], "tokio"),
    (&["futures"], "tokio"),
    (&["hyper"], "sockets"),
    (&["hyper_util"], "sockets"),
    (&["hyper_rustls"], "sockets"),
    (&["axum"], "sockets"),
    (&["aws_config"], "sockets"),
    (&["aws_sdk_kinesis"], "sockets"),
    (&["aws_sdk_cloudwatch"], "sockets"),
    (&["aws_sdk_dynamodb"], "sockets"),
    (&["std", "net"], "sockets (core::net has the plain addresses)"),
    (&["std", "os"], "sockets"),
    (&["std", "fs"], "files"),
    (&["std", "io", "stdin"], "files"),
    (&["std", "io", "stdout"], "files"),
    (&["std", "io", "stderr"], "files"),
    (&["std", "env"], "the environment"),
    (&["std", "process"], "the environment"),
    (&["std", "thread"], "threads"),
    (&["std", "time", "Instant"], "the clock (take `now: Moment`)"),
    (&["rand"], "randomness (take it as an argument)"),
    (&["getrandom"], "randomness (take it as an argument)"),
    (&["fastrand"], "randomness (take it as an argument)"),
    (&["uuid"], "randomness (take it as an argument)"),
    (&["std", "collections", "hash_map", "RandomState"], "randomness"),
];

/// A broken rule, where it is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Every fault of one source; `file` is its path under the crate's root, with slashes.
pub(crate) fn judge(file: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |line, what| faults.push(Fault { file: file.into(), line, what });
    if !owns_something(file, text) {
        fault(1, "begins without a `//!` sentence that says what it owns".into());
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        fault(LINES_MAX + 1, format!("has {lines} lines, over {LINES_MAX}: split it"));
    }
    for path in paths(&strip(text)) {
        if let Some(what) = points_up(file, &path).or_else(|| breaks_the_seal(file, &path)) {
            fault(path.line, what);
        }
    }
    faults
}

fn owns_something(file: &str, text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("//! ").unwrap_or_default();
    // lib.rs carries the whole architecture instead of a sentence.
    sentence.split_whitespace().count() >= 3
        || (file == "src/lib.rs" && first.starts_with("#![doc = include_str!("))
}

/// 0 for the ground; above all floors for lib.rs and main.rs.
fn floor(file: &str) -> usize {
    let room = file.split('/').nth(1).unwrap_or_default();
    FLOORS.iter().position(|name| *name == room).unwrap_or(FLOORS.len())
}

fn points_up(file: &str, path: &Path) -> Option<String> {
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    let supers = segments.iter().take_while(|&&name| name == "super").count();
    let from_root = match segments.as_slice() {
        ["crate" | "kinescope", rest @ ..] => rest,
        _ if supers > 0 && supers >= depth(file) => segments.get(supers..)?,
        _ => return None,
    };
    match from_root.first() {
        None if path.opens_group => Some("groups imports of the crate: one `use` a path".into()),
        Some(&"*") => Some("imports the whole crate: name what is needed".into()),
        Some(name) if FLOORS.iter().position(|floor| floor == name)? > floor(file) => {
            Some(format!("points up: `{}`", path.segments.join("::")))
        }
        None | Some(_) => None,
    }
}

/// How many `super` lead from the file's module to the crate's root.
fn depth(file: &str) -> usize {
    let parts = file.split('/').skip(1);
    parts.filter(|part| !matches!(*part, "mod.rs" | "lib.rs" | "main.rs")).count()
}

fn breaks_the_seal(file: &str, path: &Path) -> Option<String> {
    let own = floor(file);
    if own > 1 {
        return None;
    }
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    // core and alloc re-export nothing that is banned; a leading `::` is no token of a path.
    let banned = SEALED.iter().find(|(start, _)| segments.starts_with(start));
    let what = match banned {
        Some((_, what)) => what,
        None if segments.contains(&"Instant") => "the clock (take `now: Moment`)",
        None if reads_system_time(own, &segments) => "the clock (take `now: Moment`)",
        None => return None,
    };
    Some(format!("is on a sealed floor and names {what}: `{}`", segments.join("::")))
}

/// OTLP's span values are made of `SystemTime`, so `wire` may name the type but not ask it.
fn reads_system_time(floor: usize, segments: &[&str]) -> bool {
    match segments {
        [.., "SystemTime", "now"] => true,
        _ => floor == 0 && segments.contains(&"SystemTime"),
    }
}
