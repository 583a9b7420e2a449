//! Owns the page on metrics: the families of a snapshot as they are exposed, and those that rooms
//! register, as the rooms' sources declare them. Refuses a declaration that it cannot read whole:
//! name, help and labels stand beside each other as literals.

use super::{cell, fresh, head, unused, words};
use crate::wire::exposition::tests::every_family;
use prometheus::proto::MetricType;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const INTRODUCTION: &str = "\
Every family that `/metrics` may have. Those that begin with `kinesis_` also carry `region`. A value
that is not known has no series; it is never zero instead. A sidecar's figures are those of its pod,
a hub's those of all pods that tell it. What the wire showed, what CloudWatch reported and what
checkpoints say never share a family.

*Exported by*: **all** roles; **hub** and `all`, so that a sum over pods counts nothing twice (a
sidecar too, where CloudWatch polling is switched on in it); the **data plane**, so in a sidecar and
in `all`. With `hub.endpoint` a sidecar leaves the families of verdicts to its hub.
";

/// One family.
#[derive(Debug)]
struct Family {
    kind: &'static str,
    labels: Vec<String>,
    exported_by: &'static str,
    help: String,
}

fn families() -> BTreeMap<String, Family> {
    let mut families = of_snapshots();
    for (path, code) in sources() {
        for (name, family) in declared(&path, &code) {
            assert!(
                families.insert(name.clone(), family).is_none(),
                "{path}: {name} is there twice"
            );
        }
    }
    families
}

fn of_snapshots() -> BTreeMap<String, Family> {
    let in_sidecars: BTreeSet<String> =
        every_family(false).iter().map(|family| family.name().to_owned()).collect();
    let family = |family: prometheus::proto::MetricFamily| {
        let mut labels: Vec<String> = Vec::new();
        for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
            if label.name() != "region" && !labels.iter().any(|known| known == label.name()) {
                labels.push(label.name().to_owned());
            }
        }
        let is_counter = family.get_field_type() == MetricType::COUNTER;
        let read = Family {
            kind: if is_counter { "counter" } else { "gauge" },
            labels,
            exported_by: if in_sidecars.contains(family.name()) { "all" } else { "hub" },
            help: family.help().to_owned(),
        };
        (family.name().to_owned(), read)
    };
    every_family(true).into_iter().map(family).collect()
}

/// The sources whose rooms may register families, by path, without their tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.join("src/io"), root.join("src/app")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() && !["tests", "demo", "reference"].contains(&&*name) {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                let path = path.strip_prefix(root).unwrap().display().to_string();
                found.push((path, code.to_owned()));
            }
        }
    }
    found.sort();
    found
}

/// The families that a source declares: a name, a comma, and what it means, or `help` from above.
fn declared(path: &str, code: &str) -> Vec<(String, Family)> {
    let mut found = Vec::new();
    let begins = ["\"kinesis_", "\"kinescope_"].map(|begin| code.match_indices(begin));
    for (at, _) in begins.into_iter().flatten() {
        let (before, rest) = (&code[..at], &code[at..]);
        let (name, behind) = literal(rest);
        let Some(behind) = behind.trim_start().strip_prefix(',').map(str::trim_start) else {
            continue;
        };
        let (help, behind) = match behind.strip_prefix("help") {
            Some(behind) => {
                let said = before.rsplit("let help = ").next().unwrap_or_default();
                (literal(said).0, behind)
            }
            None if behind.starts_with('"') => literal(behind),
            None => continue,
        };
        let end =
            behind.find(")?").unwrap_or_else(|| panic!("{path}: {name} is declared otherwise"));
        let labels = behind[..end].split_once("&[\"").map(|(_, labels)| labels);
        let labels = labels.and_then(|labels| labels.split(']').next()).unwrap_or_default();
        let labels = labels.split(['"', ',']).map(str::trim).filter(|label| !label.is_empty());
        let kind = match &name {
            _ if before.trim_end().ends_with("histogram(") => "histogram",
            name if name.ends_with("_total") => "counter",
            _ => "gauge",
        };
        let labels = labels.map(str::to_owned).collect();
        found.push((name, Family { kind, labels, exported_by: exported_by(path), help }));
    }
    found
}

/// The text of the literal at the beginning, and what stands behind it.
fn literal(text: &str) -> (String, &str) {
    let text = text.strip_prefix('"').unwrap_or_else(|| panic!("no literal: {text:.60}"));
    let (said, behind) = text.split_once('"').unwrap();
    let lines = said.split("\\\n").enumerate();
    let joined = lines.map(|(place, line)| if place == 0 { line } else { line.trim_start() });
    (joined.collect(), behind)
}

fn exported_by(path: &str) -> &'static str {
    let rooms = [
        ("src/io/proxy/", "data plane"),
        ("src/io/cloudwatch/", "hub"),
        ("src/io/leases/", "hub"),
        ("src/io/standby/", "hub"),
        ("src/app/observing.rs", "hub"),
    ];
    rooms.iter().find(|(room, _)| path.starts_with(room)).map_or("all", |(_, by)| by)
}

/// By the name, which Prometheus' conventions make tell it.
fn unit(name: &str) -> &'static str {
    let base = name.strip_suffix("_total").unwrap_or(name);
    let units = [
        ("_timestamp_seconds", "seconds since 1970"),
        ("_records_per_second", "records/s"),
        ("_bytes_per_second", "bytes/s"),
        ("_per_second", "1/s"),
        ("_seconds", "seconds"),
        ("_bytes", "bytes"),
        ("_velocity_ratio", "seconds per second"),
        ("_ratio", "0 to 1"),
        ("_dollars", "dollars"),
    ];
    units.iter().find(|(end, _)| base.ends_with(end)).map_or("number", |(_, unit)| unit)
}

/// What a label's values are, and other things that a help sentence has no room for.
fn notes() -> BTreeMap<&'static str, &'static str> {
    words(include_str!("notes.txt"))
}

const SECTIONS: [&str; 4] =
    ["Consumers", "Streams, records, events and sagas", "What CloudWatch says", "Kinescope itself"];

fn section(name: &str) -> &'static str {
    let [consumers, streams, cloudwatch, ours] = SECTIONS;
    let begins = [
        ("kinescope_", ours),
        ("kinesis_cloudwatch_", cloudwatch),
        ("kinesis_consumer_", consumers),
    ];
    begins.iter().find(|(begin, _)| name.starts_with(begin)).map_or(streams, |(_, title)| title)
}

fn page(families: &BTreeMap<String, Family>, notes: &BTreeMap<&str, &str>) -> String {
    let mut page = head("Metrics", INTRODUCTION);
    for title in SECTIONS {
        page.push_str(&format!("\n## {title}\n\n| family | type | labels | unit | exported by | meaning |\n|---|---|---|---|---|---|\n"));
        for (name, family) in families.iter().filter(|(name, _)| section(name) == title) {
            let note = notes.get(name.as_str()).map(|note| format!(" {note}")).unwrap_or_default();
            page.push_str(&format!(
                "| `{name}` | {} | {} | {} | {} | {}{} |\n",
                family.kind,
                family.labels.join(", "),
                unit(name),
                family.exported_by,
                cell(&family.help),
                cell(&note)
            ));
        }
    }
    page
}

#[test]
fn reference_of_the_metrics_is_fresh() {
    let (families, notes) = (families(), notes());
    assert!(families.len() > 80, "only {} families were found", families.len());
    unused("notes.txt", &notes, families.keys().map(String::as_str));
    fresh("metrics.md", &page(&families, &notes));
}

#[test]
fn declarations_are_read_whole() {
    let check = |code: &str, expected: &[(&str, &str, &[&str], &str)]| {
        let found = declared("src/io/x.rs", code);
        let found: Vec<_> = found
            .iter()
            .map(|(name, family)| {
                let labels: Vec<&str> = family.labels.iter().map(String::as_str).collect();
                (name.as_str(), family.kind, labels, family.help.as_str())
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, kind, labels, help)| (*name, *kind, labels.to_vec(), *help))
            .collect();
        assert_eq!(found, expected, "{code}");
    };
    check(
        "counter(\n\"kinesis_a_total\",\n\"All.\",\n&[\"x\", \"y\"],\n)?",
        &[("kinesis_a_total", "counter", &["x", "y"], "All.")],
    );
    check(
        "let help = \"Long \\\n   words.\"; Gauge::new(\"kinescope_b\", help)?; x(&[\"z\"])",
        &[("kinescope_b", "gauge", &[], "Long words.")],
    );
    check(
        "histogram(\"kinesis_c_seconds\", \"Time.\", &[\"x\"], AGES)?",
        &[("kinesis_c_seconds", "histogram", &["x"], "Time.")],
    );
    check("match name { \"kinesis_a_total\" => 1, \"kinesis_b\" if so => 2 }", &[]);
}
