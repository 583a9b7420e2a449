//! Owns silences as Alertmanager's API v2 writes them. Refuses one that matches everything, and an
//! expression that is none.

use crate::domain::alert::matcher::{Matcher, Pattern};
use crate::domain::alert::silence::Silence;
use crate::domain::time::Wall;
use jiff::Timestamp;
use jiff::civil::date;
use jiff::fmt::temporal::Pieces;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest text of a silence, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;
/// Most conditions of one.
const MATCHERS_MAX: usize = 16;

/// Why a body is no silence.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SilenceFault(String);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Doc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default)]
    matchers: Vec<MatcherDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<StatusDoc>,
}

#[derive(Serialize, Deserialize)]
struct StatusDoc {
    state: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MatcherDoc {
    name: String,
    value: String,
    #[serde(default)]
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

/// What is posted: a silence that may have no id yet.
///
/// # Errors
/// A sentence that says what should be otherwise.
pub fn read(body: &[u8], now: Wall) -> Result<Silence, SilenceFault> {
    let doc: Doc = serde_json::from_slice(body)
        .map_err(|fault| SilenceFault(format!("no silence: {fault}")))?;
    let silence = of_doc(doc, now)?;
    if silence.ends_at <= now {
        return Err(SilenceFault("endsAt should be in the future".to_owned()));
    }
    Ok(silence)
}

/// What was written by [`text`], for the same process or the next, and what of it is no silence.
///
/// # Errors
/// It is no list of anything.
pub fn read_all(body: &[u8], now: Wall) -> Result<(Vec<Silence>, Vec<SilenceFault>), SilenceFault> {
    let items: Vec<serde_json::Value> =
        serde_json::from_slice(body).map_err(|fault| SilenceFault(fault.to_string()))?;
    let (mut silences, mut faults) = (Vec::new(), Vec::new());
    for item in items {
        let doc = serde_json::from_value(item).map_err(|fault| SilenceFault(fault.to_string()));
        match doc.and_then(|doc| of_doc(doc, now)) {
            Ok(silence) => silences.push(silence),
            Err(fault) => faults.push(fault),
        }
    }
    Ok((silences, faults))
}

fn of_doc(doc: Doc, now: Wall) -> Result<Silence, SilenceFault> {
    let fault = |why| Err(SilenceFault(String::from(why)));
    let long = |text: &String| text.len() > TEXT_BYTES_MAX;
    let texts = doc.matchers.iter().flat_map(|matcher| [&matcher.name, &matcher.value]);
    if texts.chain([&doc.comment, &doc.created_by]).any(long) {
        return fault("every text should have at most 1024 bytes");
    }
    if doc.matchers.is_empty() || doc.matchers.len() > MATCHERS_MAX {
        return fault("should have 1 to 16 matchers");
    }
    let matchers: Result<Vec<Matcher>, SilenceFault> =
        doc.matchers.into_iter().map(matcher).collect();
    let matchers = matchers?;
    if !matchers.iter().any(Matcher::selects) {
        return fault("at least one matcher should not match everything");
    }
    let starts_at = time(doc.starts_at.as_ref())?.unwrap_or(now);
    let Some(ends_at) = time(doc.ends_at.as_ref())? else {
        return fault("endsAt is missing: a silence has an end");
    };
    if ends_at <= starts_at {
        return fault("endsAt should be after startsAt");
    }
    Ok(Silence {
        id: doc.id.unwrap_or_default(),
        matchers,
        starts_at,
        ends_at,
        created_by: doc.created_by,
        comment: doc.comment,
        updated_at: time(doc.updated_at.as_ref())?.unwrap_or(now),
        is_configured: false,
    })
}

fn matcher(doc: MatcherDoc) -> Result<Matcher, SilenceFault> {
    let MatcherDoc { name, value, is_regex, is_equal } = doc;
    if !is_regex {
        return Ok(Matcher { name, value: Pattern::Glob(value), is_equal });
    }
    let sign = if is_equal { "=~" } else { "!~" };
    let value = Pattern::regex(&value)
        .map_err(|fault| SilenceFault(format!("matcher {name}{sign}{value:?} {fault}")))?;
    Ok(Matcher { name, value, is_equal })
}

fn time(text: Option<&String>) -> Result<Option<Wall>, SilenceFault> {
    let Some(text) = text else { return Ok(None) };
    let at = text.parse::<Timestamp>().ok().or_else(|| last_days(text));
    let ms = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let wanted = "startsAt and endsAt should be times such as 2026-11-23T10:00:00Z";
    // Whole milliseconds also at the end of our calendar, as they are written.
    ms.map(|ms| Some(Wall::from_ms(ms.min(u64::MAX / 1_000_000))))
        .ok_or_else(|| SilenceFault(wanted.to_owned()))
}

/// "For ever" is often written as the calendar's last second. jiff's instants end a day before it, so
/// that each of them is a local time everywhere.
fn last_days(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok()?;
    let is_last = pieces.offset().is_some() && pieces.date() >= date(9999, 12, 30);
    is_last.then_some(Timestamp::MAX)
}

/// All of them, as `GET` answers and as the file keeps them.
#[must_use]
pub fn text<'a>(silences: impl Iterator<Item = &'a Silence>, now: Wall) -> Vec<u8> {
    let docs: Vec<Doc> = silences.map(|silence| doc(silence, now)).collect();
    // Plain texts always encode.
    serde_json::to_vec(&docs).unwrap_or_default()
}

fn doc(silence: &Silence, now: Wall) -> Doc {
    let state = match (silence.starts_at > now, silence.ends_at > now) {
        (_, false) => "expired",
        (true, true) => "pending",
        (false, true) => "active",
    };
    let matcher = |matcher: &Matcher| MatcherDoc {
        name: matcher.name.clone(),
        value: matcher.value.as_str().to_owned(),
        is_regex: matcher.value.is_regex(),
        is_equal: matcher.is_equal,
    };
    Doc {
        id: Some(silence.id.clone()),
        matchers: silence.matchers.iter().map(matcher).collect(),
        starts_at: Some(silence.starts_at.to_string()),
        ends_at: Some(silence.ends_at.to_string()),
        created_by: silence.created_by.clone(),
        comment: silence.comment.clone(),
        updated_at: Some(silence.updated_at.to_string()),
        status: Some(StatusDoc { state: state.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall::from_ms(1_700_000_000_000);

    #[test]
    fn what_is_written_is_read_again() {
        let body = r#"{"matchers": [{"name": "stream", "value": "orders", "isRegex": false}],
            "endsAt": "2023-11-15T00:00:00Z", "createdBy": "me", "comment": "a deploy"}"#;
        let silence = read(body.as_bytes(), NOW).unwrap();
        assert_eq!((silence.starts_at, silence.created_by.as_str()), (NOW, "me"));
        let written = text([&silence].into_iter(), NOW);
        assert!(String::from_utf8_lossy(&written).contains(r#""status":{"state":"active"}"#));
        assert_eq!(read_all(&written, NOW).unwrap(), (vec![silence], vec![]));
        let body = r#"{"matchers": [{"name": "stream", "value": "a|b.*", "isRegex": true},
            {"name": "shard", "value": ".+1", "isRegex": true, "isEqual": false}],
            "endsAt": "2023-11-15T00:00:00Z"}"#;
        let silence = read(body.as_bytes(), NOW).unwrap();
        let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
        assert_eq!(matchers, ["stream=~\"a|b.*\"", "shard!~\".+1\""]);
        let written = text([&silence].into_iter(), NOW);
        // What a later version wrote, or a hand, is left out alone.
        let written = String::from_utf8(written).unwrap().replacen('[', "[{\"matchers\":7},", 1);
        let (read, faults) = read_all(written.as_bytes(), NOW).unwrap();
        assert_eq!((read, faults.len()), (vec![silence], 1));
    }

    #[test]
    fn the_end_of_the_calendar_is_read_again() {
        let body =
            r#"{"matchers": [{"name": "stream", "value": "a"}], "endsAt": "9999-12-31T23:59:59Z"}"#;
        let silence = read(body.as_bytes(), NOW).unwrap();
        assert_eq!(
            read_all(&text([&silence].into_iter(), NOW), NOW),
            Ok((vec![silence], Vec::new()))
        );
    }

    #[test]
    fn faults_say_what_should_be() {
        let check = |body: &str, expected: &str| {
            let fault = read(body.as_bytes(), NOW).unwrap_err().to_string();
            assert!(fault.starts_with(expected), "{body}: {fault}");
        };
        check("[", "no silence: ");
        check(r#"{"endsAt": "2024-01-01T00:00:00Z"}"#, "should have 1 to 16 matchers");
        let with = |matcher: &str, ends: &str| {
            format!(r#"{{"matchers": [{{"name": "stream", {matcher}}}], "endsAt": "{ends}"}}"#)
        };
        let regex = |value: &str| with(&format!(r#""value": "{value}", "isRegex": true"#), "");
        check(&regex("a("), "matcher stream=~\"a(\" is no regular expression: unclosed group");
        check(&regex("(.{99}){99}"), "matcher stream=~\"(.{99}){99}\" is too large");
        check(&regex(".*"), "at least one matcher");
        check(&regex("a.*"), "startsAt and endsAt should be times");
        check(&with(r#""value": "*""#, ""), "at least one matcher");
        check(&with(r#""value": "a""#, "soon"), "startsAt and endsAt should be times");
        check(&with(r#""value": "a""#, "2020-01-01T00:00:00Z"), "endsAt should be after startsAt");
        check(r#"{"matchers": [{"name": "stream", "value": "a"}]}"#, "endsAt is missing");
    }
}
