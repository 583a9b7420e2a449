//! Owns the reference in `docs/reference/`: it is written from what the program itself reads, exports
//! and evaluates, and a test fails while a page is not what would be written. Refuses to repeat a
//! default, a type, a label or a threshold: the words beside them are all that is kept here.

mod alerts;
mod configuration;
mod metrics;

use crate::app::commands::environment;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How the pages are written anew.
const COMMAND: &str = "make reference";

/// Compares a page with what would be written, or writes it.
fn fresh(page: &str, written: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(page);
    if environment().contains_key("KINESCOPE_WRITE_REFERENCE") {
        fs::write(&path, written).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(written.lines()).find(|(old, new)| old != new);
    assert!(committed == written, "docs/reference/{page} is stale: {COMMAND}\n{differs:#?}");
}

/// The first lines of a page.
fn head(title: &str, what: &str) -> String {
    format!(
        "# {title}\n\n<!-- Written by `{COMMAND}`: change the sources, not this page. -->\n\n{}\n",
        what.trim_end()
    )
}

/// Lines of a name, two spaces and what is to be said of it.
fn words(text: &'static str) -> BTreeMap<&'static str, &'static str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once("  ").unwrap())
        .collect()
}

/// The words on each of `names`; a name without words, and words without a name, fail.
fn complete<'n>(
    file: &str,
    words: &BTreeMap<&str, &str>,
    names: impl Iterator<Item = &'n str> + Clone,
) {
    let lacking: Vec<&str> = names.clone().filter(|name| !words.contains_key(name)).collect();
    assert!(lacking.is_empty(), "src/app/reference/{file}: say what these are: {lacking:#?}");
    unused(file, words, names);
}

/// Fails for words on what is no more.
fn unused<'n>(
    file: &str,
    words: &BTreeMap<&str, &str>,
    names: impl Iterator<Item = &'n str> + Clone,
) {
    let gone: Vec<_> =
        words.keys().filter(|word| !names.clone().any(|name| name == **word)).collect();
    assert!(gone.is_empty(), "src/app/reference/{file}: there is nothing of this name: {gone:#?}");
}

/// A cell of a table: a bar would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
