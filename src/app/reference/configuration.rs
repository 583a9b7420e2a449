//! Owns the page on the configuration: every key that the walk asks for, with the kind and the default
//! that the walk itself has. Refuses a key without a word on what it does.

use super::{cell, complete, fresh, head, words};
use crate::app::config::{Asked, Holds, survey};
use std::collections::BTreeMap;

const INTRODUCTION: &str = "\
Every key of the file that `--config` names, as this version reads it. A key that is not here is a
fault, and `kinescope check` says all faults at once. `[]` in a path stands for each item of a list.

A variable overrides the file: `KINESCOPE_`, then the path in capitals with two underscores between
its levels, such as `KINESCOPE_PROXY__PROPAGATION=off`; a list of plain values is separated by
commas, and an empty variable counts as none. The flags `--role` and `--listen` override both.

*At once*: in force within a second of `POST /-/reload` or SIGHUP; *partly*: as its list's row says.
All other keys need a restart, and the answer to the reload names those that changed. A dash is a
key without a default: left out, it means none, or what its row says.
";

/// The words, `path  what it does`.
fn keys() -> BTreeMap<&'static str, &'static str> {
    words(include_str!("keys.txt"))
}

/// The keys that a reload compares for `what`: to put them in force, or to name them.
fn compared(what: &str) -> Vec<&'static str> {
    let source = include_str!("../reload.rs");
    let list = source.split(&format!("let {what} = differing(&[")).nth(1).unwrap();
    let list = list.split("]);").next().unwrap();
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether a reload puts a key in force; partly, where it both does and names it.
fn at_once(path: &str) -> &'static str {
    let is_in = |what| compared(what).iter().any(|key| path.starts_with(key));
    match (is_in("changed"), is_in("needs_restart")) {
        (true, true) => "partly",
        (true, false) => "yes",
        (false, _) => "",
    }
}

/// What a type is called on the page; types without a name of their own here go by their sentence.
fn name(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "String" => "text",
        "bool" => "yes or no",
        "usize" => "count",
        "Bytes" => "size",
        "Duration" => "duration",
        "SocketAddr" => "address",
        "Endpoint" | "ProxyAddress" => "URL",
        "Pattern" => "glob",
        "Folder" => "folder",
        "Threshold" => "threshold",
        "Percent" => "percent",
        _ => return None,
    })
}

fn kind(asked: &Asked) -> String {
    let plain = match &asked.kind {
        None => String::new(),
        Some((kind, wanted)) => match (name(kind), wanted.strip_prefix("one of: ")) {
            (_, Some(words)) => {
                let words: Vec<String> =
                    words.split(", ").map(|word| format!("`{word}`")).collect();
                words.join(", ")
            }
            (Some(name), None) => name.to_owned(),
            (None, None) => wanted.clone(),
        },
    };
    match asked.holds {
        Holds::One => plain,
        Holds::List => format!("list of: {plain}"),
        Holds::OneOrList => format!("{plain}, or a list"),
        Holds::Maps => "list of maps".to_owned(),
        Holds::Names => "names and their values".to_owned(),
    }
}

fn page(asked: &[Asked], words: &BTreeMap<&str, &str>) -> String {
    let mut page = head("Configuration", INTRODUCTION);
    page.push_str("\n## Kinds\n\n| kind | should be |\n|---|---|\n");
    let kinds: BTreeMap<&str, &str> = asked
        .iter()
        .filter_map(|asked| asked.kind.as_ref())
        .filter_map(|(kind, wanted)| Some((name(kind)?, wanted.as_str())))
        .collect();
    for (name, wanted) in kinds {
        page.push_str(&format!("| {name} | {} |\n", cell(wanted)));
    }
    let mut section = "";
    for asked in asked {
        let top = asked.path.split(['.', '[']).next().unwrap_or_default();
        if top != section {
            section = top;
            page.push_str(&format!("\n## {top}\n\n| key | kind | default | at once | what it does |\n|---|---|---|---|---|\n"));
        }
        let default = asked.default.as_ref().map_or("–".to_owned(), |text| format!("`{text}`"));
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            asked.path,
            cell(&kind(asked)),
            cell(&default),
            at_once(&asked.path),
            cell(words.get(asked.path.as_str()).copied().unwrap_or_default()),
        ));
    }
    page
}

/// What holds a value; a key that only holds known keys says nothing by itself.
fn rows() -> Vec<Asked> {
    let is_row = |asked: &Asked| asked.kind.is_some() || asked.holds != Holds::One;
    let mut rows: Vec<Asked> = survey().into_iter().filter(is_row).collect();
    // In the order of the file's sections, and each section in the order of its asking.
    let mut sections: Vec<String> = Vec::new();
    for row in &rows {
        let top = row.path.split(['.', '[']).next().unwrap_or_default();
        if !sections.iter().any(|section| section == top) {
            sections.push(top.to_owned());
        }
    }
    let place = |row: &Asked| {
        let top = row.path.split(['.', '[']).next().unwrap_or_default();
        sections.iter().position(|section| section == top)
    };
    rows.sort_by_key(place);
    rows
}

#[test]
fn reference_of_the_configuration_is_fresh() {
    let (rows, words) = (rows(), keys());
    complete("keys.txt", &words, rows.iter().map(|row| row.path.as_str()));
    fresh("configuration.md", &page(&rows, &words));
}

#[test]
fn the_survey_asks_for_what_the_contract_has() {
    let rows = rows();
    let check = |path: &str, default: Option<&str>| {
        let row = rows.iter().find(|row| row.path == path);
        assert_eq!(row.map(|row| row.default.as_deref()), Some(default), "{path}");
    };
    check("role", Some("sidecar"));
    check("region", None);
    check("proxy.listen", Some("[\"127.0.0.1:4590\", \"[::1]:4590\"]"));
    check("proxy.streams[].propagate", Some("inject"));
    check("cloudwatch.delay", Some("2m"));
    check("cloudwatch.budget_dollars_per_month", Some("25"));
    check("limits.body_bytes_max", Some("16MiB"));
    check("alerts.receivers[].pagerduty.routing_key_file", None);
    check("alerts.rules[].when.clear_below", None);
    check("alerts.freshness.objective", Some("99.9"));
    assert_eq!(["proxy.propagation", "proxy.listen"].map(at_once), ["yes", ""]);
}
