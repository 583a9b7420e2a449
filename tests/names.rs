//! Owns the proof that what the front of the project names exists: every metric of README, dashboards
//! and runbooks is one of the program's, every family of the program is in the reference with its
//! type, and the configuration that README shows is accepted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every file under `folder` whose name ends with `ending`, as (path under the root, text).
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        #[expect(clippy::expect_used, reason = "a checkout without the folder cannot be judged")]
        let entries = fs::read_dir(Path::new(ROOT).join(&folder)).expect("a folder");
        for entry in entries.flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.ends_with(ending) {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default()
}

/// Words of `text` that read like metric names, with the offset of each. One that ends with an
/// underscore speaks of a group.
fn names(text: &str) -> Vec<(usize, &str)> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let begins = |at: usize| at == 0 || !text.as_bytes().get(at - 1).is_some_and(is_part);
    let mut found = Vec::new();
    for prefix in ["kinesis_", "kinescope_"] {
        for (at, _) in text.match_indices(prefix).filter(|(at, _)| begins(*at)) {
            let rest = text.get(at..).unwrap_or_default();
            let end = rest.bytes().position(|byte| !is_part(&byte)).unwrap_or(rest.len());
            found.extend(rest.get(..end).filter(|name| !name.ends_with('_')).map(|n| (at, n)));
        }
    }
    found
}

/// The program's families and their types, out of the literals that declare them: unit tests, the
/// reference, which is one, and the demo, which only reads them, are left out.
fn families() -> BTreeMap<String, &'static str> {
    let mut families = BTreeMap::new();
    for (path, source) in files("src", ".rs") {
        let reads_only = ["src/app/demo/", "src/app/reference/"];
        if path.ends_with("tests.rs") || reads_only.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for (at, name) in names(code) {
            let (before, behind) = (code.get(..at), code.get(at + name.len()..));
            let Some(before) = before.and_then(|before| before.strip_suffix('"')) else { continue };
            if !behind.is_some_and(|behind| behind.starts_with('"')) {
                continue;
            }
            let kind = match name {
                _ if before.trim_end().ends_with("histogram(") => "histogram",
                _ if name.ends_with("_total") => "counter",
                _ => "gauge",
            };
            families.insert(name.to_owned(), kind);
        }
    }
    families
}

/// Names in `text` that the program does not have, each with its file.
fn unknown(file: &str, text: &str, families: &BTreeMap<String, &'static str>) -> Vec<String> {
    let is_known = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        let mut wholes = parts.filter_map(|part| name.strip_suffix(part));
        families.contains_key(name) || wholes.any(|whole| families.get(whole) == Some(&"histogram"))
    };
    let unknown = names(text).into_iter().filter(|(_, name)| !is_known(name));
    unknown.map(|(_, name)| format!("{file}: there is no metric {name}")).collect()
}

/// Families that the reference lacks, or gives another type.
fn missing(reference: &str, families: &BTreeMap<String, &'static str>) -> Vec<String> {
    let row = |(name, kind): (&String, &&str)| format!("| `{name}` | {kind} |");
    let rows = families.iter().map(row);
    let lacks = |row| format!("docs/reference/metrics.md lacks {row}: make reference");
    rows.filter(|row| !reference.contains(row)).map(lacks).collect()
}

#[test]
fn every_metric_that_is_named_exists() {
    let families = families();
    let mut named = files("dashboards", ".json");
    named.extend(files("alerts", ".md"));
    named.extend(files("alerts", ".yml"));
    named.extend(files("docs", ".md"));
    named.extend(["README.md", "README.zh.md"].map(|file| (file.to_owned(), text(file))));
    assert!(named.len() >= 5, "only {} files were found", named.len());
    let faults: Vec<String> =
        named.iter().flat_map(|(file, text)| unknown(file, text, &families)).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_family_is_in_the_reference() {
    let families = families();
    for name in kinescope::wire::exposition::FAMILIES {
        assert!(families.contains_key(*name), "the sources do not show {name}");
    }
    assert!(families.len() > 30, "only {} families were found", families.len());
    let faults = missing(&text("docs/reference/metrics.md"), &families);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn planted_faults_are_found() {
    let families = [("kinesis_lag_seconds", "gauge"), ("kinescope_wait_seconds", "histogram")];
    let families = families.map(|(name, kind)| (name.to_owned(), kind)).into();
    let check = |text: &str, expected: &[&str]| {
        let expected: Vec<String> =
            expected.iter().map(|name| format!("x.json: there is no metric {name}")).collect();
        assert_eq!(unknown("x.json", text, &families), expected, "{text}");
    };
    check("max(kinesis_lag_seconds{a=\"b\"}) and the kinesis_ families", &[]);
    check("rate(kinescope_wait_seconds_bucket[5m])", &[]);
    check("kinesis_lag_seconds_count", &["kinesis_lag_seconds_count"]);
    check("kinesis_lag", &["kinesis_lag"]);
    check("my_kinesis_lag /kinescope_x", &["kinescope_x"]);
    let table = "| `kinesis_lag_seconds` | counter | a |\n| `kinescope_wait_seconds` | histogram |";
    let faults = missing(table, &families);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("lacks | `kinesis_lag_seconds` | gauge |:"), "{faults:?}");
}

#[test]
fn dashboards_are_json() {
    for (file, text) in files("dashboards", ".json") {
        let read = serde_json::from_str::<serde_json::Value>(&text);
        assert!(read.is_ok_and(|board| board["panels"].is_array()), "{file}");
    }
}

#[test]
fn the_configuration_in_the_readme_is_accepted() {
    let readme = text("README.md");
    let block = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme.yaml");
    fs::write(&file, block.expect("README shows a configuration")).expect("written");
    let mut check = Command::new(env!("CARGO_BIN_EXE_kinescope"));
    let output = check.env_clear().arg("check").arg("--config").arg(&file).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut sources = files("src", ".rs");
    sources.extend(files("tests", ".py"));
    let text = fs::read_to_string(Path::new(ROOT).join("docs/alert-faults.md")).unwrap_or_default();
    let is_name = |word: &&str| {
        word.matches('_').count() >= 2
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
    };
    let of_metrics = |word: &&str| !word.starts_with("kinescope_");
    let named: Vec<&str> = text.split('`').filter(is_name).filter(of_metrics).collect();
    assert!(named.len() > 50, "only {} tests are named", named.len());
    let exists = |name: &&&str| {
        let begins = [format!("fn {name}("), format!("def {name}(")];
        !sources.iter().any(|(_, source)| begins.iter().any(|begin| source.contains(begin)))
    };
    let unknown: Vec<&&str> = named.iter().filter(exists).collect();
    assert!(unknown.is_empty(), "docs/alert-faults.md: there is no test {unknown:?}");
}
