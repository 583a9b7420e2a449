//! Owns how a receiver is read: exactly one kind, its address and its keys, who is told in its place,
//! and what is legal but will not work yet. Refuses to keep what a file of secrets holds.

use super::limits::positive;
use super::sections::Open;
use super::value::Endpoint;
use super::walk::{Spot, Table};
use crate::io::notify::{FALLBACK_AFTER, Kind, Place, RENEW_EVERY, Receiver};
use crate::io::secret::Secret;
use crate::wire::notify::pagerduty;
use crate::wire::notify::signature::Keys;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kinds, as they are written.
const KINDS: [&str; 5] = ["webhook", "alertmanager", "slack", "pagerduty", "teams"];
/// A fallback of a fallback, and so on: no more than there could be receivers.
const CHAIN_MAX: usize = 100;

/// What the reading of receivers needs beside what is written.
pub(super) struct Reader<'r> {
    /// Gives a file's text.
    pub(super) open: Open<'r>,
    /// Whether this is a sidecar without a hub: one of many that tell of the same.
    pub(super) alone: bool,
    /// Takes what is legal, but probably not meant.
    pub(super) warnings: &'r mut Vec<String>,
}

/// All receivers, each name once.
pub(super) fn read(spot: &Spot<'_>, mut reader: Reader<'_>) -> Vec<Receiver> {
    let mut receivers: Vec<Receiver> = Vec::new();
    let (mut names, mut fallbacks) = (Vec::<String>::new(), Vec::new());
    for spot in spot.items().unwrap_or_default() {
        let mut table = spot.table();
        let name_spot = table.key("name");
        let name: String = name_spot.or(String::new());
        if spot.is_map() && name.is_empty() {
            spot.fault("should have a `name`");
        }
        if names.iter().any(|other| *other == name && !name.is_empty()) {
            name_spot.fault("should differ from every other receiver's");
        }
        names.push(name.clone());
        let fallback = table.key("fallback");
        let fallback_name: Option<String> = fallback.maybe();
        fallbacks.push(fallback);
        let after = table.key("fallback_after").or(FALLBACK_AFTER);
        let direct = table.key("direct").or(false);
        if let Some(kind) = kind(&spot, &mut table) {
            warn(&name, &kind, direct, &mut reader);
            receivers.push(Receiver { name, kind, fallback: fallback_name, fallback_after: after });
        }
        table.done();
    }
    fallbacks_exist(&names, &receivers, &fallbacks);
    receivers
}

fn kind(spot: &Spot<'_>, table: &mut Table<'_>) -> Option<Kind> {
    let spots = KINDS.map(|kind| (kind, table.key(kind)));
    let given: Vec<_> = spots.iter().filter(|(_, spot)| spot.given()).collect();
    let kinds = given.iter().map(|named| one_kind(named)).collect::<Vec<_>>();
    if spot.is_map() && given.len() != 1 {
        let kinds = KINDS.map(|kind| format!("`{kind}`")).join(", ");
        spot.fault(format!("should have exactly one of {kinds}"));
        return None;
    }
    let named = given.first().map(|(name, _)| *name)?;
    let (url, rest) = kinds.into_iter().next().flatten()?;
    Some(match named {
        "webhook" => Kind::Webhook { url, secret_file: rest.file },
        "alertmanager" => Kind::Alertmanager {
            url,
            token_file: rest.file,
            renew_every: rest.renew_every.unwrap_or(RENEW_EVERY),
        },
        "slack" => Kind::Slack { url },
        "teams" => Kind::Teams { url },
        _ => Kind::PagerDuty { url, routing_key: rest.key? },
    })
}

/// What a kind has beside its address.
#[derive(Default)]
struct Rest {
    file: Option<PathBuf>,
    key: Option<Place>,
    renew_every: Option<Duration>,
}

fn one_kind((name, spot): &(&'static str, Spot<'_>)) -> Option<(Place, Rest)> {
    let mut table = spot.table();
    let mut rest = Rest::default();
    let mut file = |key| table.key(key).maybe().map(|path: String| PathBuf::from(path));
    match *name {
        "webhook" => rest.file = file("secret_file"),
        "alertmanager" => {
            rest.file = file("token_file");
            rest.renew_every = Some(positive(&table.key("renew"), RENEW_EVERY));
        }
        "pagerduty" => rest.key = one_of(spot, &mut table, "routing_key", "routing_key_file", key),
        _ => {}
    }
    let (written, in_file) = (table.key("url"), table.key("url_file"));
    let standard = *name == "pagerduty" && !written.given() && !in_file.given();
    let url = match standard {
        true => Some(Place::Given(Secret::new(pagerduty::URL.to_owned()))),
        false => one_of(spot, &mut table, "url", "url_file", url),
    };
    table.done();
    Some((url?, rest))
}

fn url(spot: &Spot<'_>) -> Option<Secret> {
    spot.maybe().map(|Endpoint { text, .. }| Secret::new(text))
}

fn key(spot: &Spot<'_>) -> Option<Secret> {
    spot.maybe().map(Secret::new)
}

/// What is written under `plain`, or in the file that `in_file` names: exactly one of the two.
fn one_of(
    spot: &Spot<'_>,
    table: &mut Table<'_>,
    plain: &'static str,
    in_file: &'static str,
    read: impl Fn(&Spot<'_>) -> Option<Secret>,
) -> Option<Place> {
    let (given, file) = (table.key(plain), table.key(in_file));
    if spot.is_map() && given.given() == file.given() {
        spot.fault(format!("should have exactly one of `{plain}` and `{in_file}`"));
    }
    let file = file.maybe().map(|path: String| Place::File(PathBuf::from(path)));
    read(&given).map(Place::Given).or(file)
}

/// A fallback is another receiver, and not by some way round the same one.
fn fallbacks_exist(names: &[String], receivers: &[Receiver], spots: &[Spot<'_>]) {
    let named = |name: &str| receivers.iter().find(|receiver| receiver.name == name);
    for spot in spots.iter().filter(|spot| spot.given()) {
        let Some(name) = spot.maybe::<String>() else { continue };
        if !names.contains(&name) {
            spot.fault("should be the name of another receiver");
        }
        let Some(first) = named(&name) else { continue };
        let next = |one: &&Receiver| one.fallback.as_deref().and_then(named);
        if std::iter::successors(Some(first), next).take(CHAIN_MAX).count() == CHAIN_MAX {
            spot.fault("leads back to a receiver that it is the fallback of");
        }
    }
}

/// What is no fault, since a file may come later and alerting keeps nobody from starting.
fn warn(name: &str, kind: &Kind, direct: bool, reader: &mut Reader<'_>) {
    let word = kind.as_str();
    let is_for_people = match kind {
        Kind::Slack { .. } | Kind::PagerDuty { .. } | Kind::Teams { .. } => true,
        // Programs know one alert from another by its fingerprint.
        Kind::Webhook { .. } | Kind::Alertmanager { .. } => false,
    };
    if reader.alone && is_for_people && !direct {
        reader.warnings.push(format!(
            "receiver {name}: without a hub every sidecar tells {word} by itself, so that people are \
             told of one incident many times: set hub.endpoint, tell an alertmanager, or say \
             `direct: true`"
        ));
    }
    let mut file = |key: &str, path: &Path, judge: &dyn Fn(&str) -> Option<String>| {
        let why = match (reader.open)(path) {
            Ok(text) => judge(text.trim()),
            Err(error) => Some(format!("cannot be read: {error}")),
        };
        let why = why.map(|why| format!("receiver {name}: {word}.{key} {why}"));
        reader.warnings.extend(why);
    };
    let no_url = |text: &str| {
        let is_url = <Endpoint as super::value::Meaning>::of_text(text).is_some();
        (!is_url).then(|| "does not hold an http or https URL".to_owned())
    };
    let empty = |text: &str| text.is_empty().then(|| "is empty".to_owned());
    if let Place::File(path) = kind.url() {
        file("url_file", path, &no_url);
    }
    match kind {
        Kind::Webhook { secret_file: Some(path), .. } => {
            file("secret_file", path, &|text| {
                Keys::parse(text).err().map(|fault| fault.to_string())
            });
        }
        Kind::Alertmanager { token_file: Some(path), .. } => file("token_file", path, &empty),
        Kind::PagerDuty { routing_key: Place::File(path), .. } => {
            file("routing_key_file", path, &empty);
        }
        Kind::Webhook { .. }
        | Kind::Alertmanager { .. }
        | Kind::PagerDuty { .. }
        | Kind::Slack { .. }
        | Kind::Teams { .. } => {}
    }
}
