//! Owns how the part on alerts is read: which rule files count in which order, and who is told.
//! Refuses to open an address.

use super::fault::Place;
use super::sections::{Open, parse_file};
use super::value::Endpoint;
use super::walk::{Later, Spot};
use super::{Alerts, Receiver, Webhook, alerting, rules};
use crate::domain::alert::Rule;
use crate::domain::alert::builtin::builtin;
use crate::io::secret::Secret;
use std::path::{Path, PathBuf};

pub(super) fn alerts(spot: &Spot<'_>, open: Open<'_>) -> Alerts {
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
    let receivers = receivers(&table.key("receivers"));
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

fn receivers(spot: &Spot<'_>) -> Vec<Receiver> {
    let mut receivers: Vec<Receiver> = Vec::new();
    for spot in spot.items().unwrap_or_default() {
        let mut table = spot.table();
        let name_spot = table.key("name");
        let name: String = name_spot.or(String::new());
        if spot.is_map() && name.is_empty() {
            spot.fault("should have a `name`");
        }
        if receivers.iter().any(|receiver| receiver.name == name && !name.is_empty()) {
            name_spot.fault("should differ from every other receiver's");
        }
        let kinds = ["alertmanager", "slack", "pagerduty", "teams"];
        let later = kinds.map(|kind| table.key(kind)).into_iter().filter(Spot::given);
        let later: Vec<_> = later.collect();
        later.iter().for_each(|spot| spot.later(&Later::Absent));
        let webhook_spot = table.key("webhook");
        if spot.is_map() && later.is_empty() && !webhook_spot.given() {
            spot.fault("should have a `webhook`");
        }
        let webhook = webhook(&webhook_spot);
        receivers.push(Receiver { name, webhook });
        table.done();
    }
    receivers
}

fn webhook(spot: &Spot<'_>) -> Webhook {
    let mut table = spot.table();
    let (url, url_file) = (table.key("url"), table.key("url_file"));
    if spot.is_map() && url.given() == url_file.given() {
        spot.fault("should have exactly one of `url` and `url_file`");
    }
    let webhook = Webhook {
        url: url.maybe().map(|Endpoint { text, .. }| Secret::new(text)),
        url_file: url_file.maybe().map(|path: String| PathBuf::from(path)),
    };
    table.key("secret_file").later(&Later::Absent);
    table.done();
    webhook
}
