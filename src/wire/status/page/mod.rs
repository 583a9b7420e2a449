//! Owns the status page: one self-contained HTML document for a person, its style and script
//! inside and named by hash in its policy. It is made of parts, so that what changes can be sent
//! alone. Refuses to show more rows than a page can bear; what is left out is counted on it and is
//! in the JSON.

mod capacity;
mod consumers;
pub mod fleet;
mod map;
mod own;
mod rows;
mod spark;
mod streams;
mod summary;

pub(super) use rows::Tone;

use crate::domain::snapshot::Snapshot;
use crate::wire::status::Identity;
use crate::wire::status::Role;
use crate::wire::status::counts::Counts;
use crate::wire::status::history::History;
use askama::Template;
use sha2::Digest;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// All that the page is made of.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The figures.
    pub snapshot: &'a Snapshot,
    /// Whose they are.
    pub identity: &'a Identity,
    /// What they were before.
    pub history: &'a History,
    /// What the process's counters say now.
    pub counts: &'a Counts,
    /// The configuration in force as names and values, without secrets.
    pub configuration: &'a [(String, String)],
    /// What [`fleet::html`] made; `None` where that could not be had now.
    pub fleet: Option<&'a str>,
}

/// The parts of a page at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What the browser's tab says: what is wrong comes first.
    pub title: String,
    /// As of when, RFC 3339.
    pub as_of: String,
    /// By the id of the section that each fills, in the order of the page.
    pub html: Vec<(&'static str, String)>,
}

/// Draws the parts.
///
/// # Errors
/// When a template cannot be filled, which no snapshot should cause.
pub fn parts(sight: &Sight<'_>) -> Result<Parts, askama::Error> {
    let unknown = "<h2 id=\"traces\">Recent traces</h2><p class=\"none\">What spans tell could not \
                   be had right now.</p>";
    let fleet = sight.fleet.unwrap_or(unknown).to_owned();
    Ok(Parts {
        title: title(sight.snapshot, sight.identity),
        as_of: sight.snapshot.now.wall.to_string(),
        html: vec![
            ("part-summary", summary::Summary::new(sight).render()?),
            ("part-consumers", consumers::Consumers::new(sight).render()?),
            ("part-streams", streams::Streams::new(sight).render()?),
            ("part-capacity", capacity::html(sight)?),
            ("part-fleet", fleet),
            ("part-own", own::OwnCosts::new(sight).render()?),
        ],
    })
}

/// The whole page as HTML.
///
/// # Errors
/// As [`parts`].
pub fn html(sight: &Sight<'_>) -> Result<String, askama::Error> {
    let parts = parts(sight)?;
    Page { style: STYLE, script: SCRIPT, identity: sight.identity, parts }.render()
}

/// What stands at `/` while the engine is silent: that it is, what it means, and that the page
/// comes by itself.
///
/// # Errors
/// When the template cannot be filled.
pub fn silent_html(identity: &Identity) -> Result<String, askama::Error> {
    Silent { style: STYLE, identity }.render()
}

/// The `Content-Security-Policy` under which the page works: nothing but its own style and script,
/// and asking its own origin again.
#[must_use]
pub fn content_security_policy() -> String {
    let hash =
        |text: &str| base64_simd::STANDARD.encode_to_string(sha2::Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

#[derive(Template)]
#[template(path = "page/page.html", config = "src/wire/status/askama.toml")]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    identity: &'a Identity,
    parts: Parts,
}

#[derive(Template)]
#[template(path = "page/silent.html", config = "src/wire/status/askama.toml")]
struct Silent<'a> {
    style: &'static str,
    identity: &'a Identity,
}

/// Whose figures these are, in two words.
const fn scope(role: &Role) -> &'static str {
    match role {
        Role::Sidecar => "this pod only",
        Role::Hub => "the fleet",
        Role::All => "this process and the fleet",
    }
}

/// Says in the browser's tab what is wrong.
fn title(snapshot: &Snapshot, identity: &Identity) -> String {
    let firing = summary::firing(snapshot).count();
    let subject = format!("{} · Kinescope", identity.service);
    if firing == 0 { subject } else { format!("({firing} firing) {subject}") }
}

#[cfg(test)]
mod tests;
