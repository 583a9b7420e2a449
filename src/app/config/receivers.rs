//! Owns how the part on alerts is read: which rule files count in which order, and who is told.
//! Refuses to open an address.

use super::fault::Place;
use super::receiver_kinds::{self, Reader};
use super::sections::{Open, parse_file};
use super::walk::Spot;
use super::{Alerts, alerting, rules};
use crate::domain::alert::Rule;
use crate::domain::alert::builtin::builtin;
use std::path::Path;

pub(super) fn alerts(spot: &Spot<'_>, open: Open<'_>, reader: Reader<'_>) -> Alerts {
    let mut table = spot.table();
    let mut in_force = builtin();
    let written = table.key("rules");
    let items = if written.is_loose() { Vec::new() } else { written.items().unwrap_or_default() };
    let (inline, paths): (Vec<_>, Vec<_>) = items.into_iter().partition(Spot::is_map);
    let paths = paths.into_iter().filter_map(|spot| Some((spot.maybe::<String>()?, spot)));
    let loose = if written.is_loose() { written.list(Vec::new()) } else { Vec::new() };
    for (path, spot) in paths.chain(loose.into_iter().map(|path| (path, written.clone()))) {
        rule_file(&path, &spot, open, &mut in_force);
    }
    // Inline rules come last: the configuration overrides the files that it names.
    rules::read(&inline, &mut in_force);
    let receivers = receiver_kinds::read(&table.key("receivers"), reader);
    let alerting = alerting::read(&mut table);
    table.done();
    Alerts { rules: in_force, receivers, alerting }
}

/// Reads one rule file, whose path is relative to the file that names it.
fn rule_file(path: &str, named_at: &Spot<'_>, open: Open<'_>, in_force: &mut Vec<Rule>) {
    let folder = named_at.file().and_then(|file| Path::new(file).parent()).unwrap_or(Path::new(""));
    match parse_file(&folder.join(path), open) {
        Ok(tree) => {
            let walk = named_at.walk();
            let mut table = walk.root(&tree).table();
            rules::read(&table.key("rules").items().unwrap_or_default(), in_force);
            table.done();
        }
        Err(fault) if fault.place == Place::Nowhere => named_at.fault(fault.why),
        Err(fault) => named_at.walk().fault(fault),
    }
}
