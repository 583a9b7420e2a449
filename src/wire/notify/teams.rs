//! Owns a message for a workflow of Microsoft Teams: an Adaptive Card. Refuses markup from data.
//! Source: reference/alerts.md 1.4.

use super::text::{cut, description, facts, links, summary, title};
use super::{is_firing, told};
use crate::domain::alert::{AlertView, Notice};
use serde_json::{Value, json};

/// Teams takes 28 KB; how it counts is not said.
const BYTES_MAX: usize = 26_000;
const TEXT_CHARS_MAX: usize = 2_000;
const FACT_CHARS_MAX: usize = 300;
const FACTS_MAX: usize = 12;
const ACTIONS_MAX: usize = 4;

/// The JSON to post for these notices; what does not fit is counted in the last line.
#[must_use]
pub fn body(notices: &[&Notice], external_url: &str) -> Vec<u8> {
    let alerts = told(notices);
    let (mut parts, mut bytes, mut left_out) = (Vec::new(), 0, 0_usize);
    for alert in &alerts {
        let own = alert_parts(alert);
        let size: usize = own.iter().map(|part| part.to_string().len()).sum();
        if left_out > 0 || bytes + size > BYTES_MAX {
            left_out += 1;
            continue;
        }
        bytes += size;
        parts.extend(own);
    }
    if left_out > 0 {
        parts.push(
            json!({ "type": "TextBlock", "text": format!("and {left_out} more"), "wrap": true }),
        );
    }
    let links = alerts.first().map(|alert| links(alert, external_url)).unwrap_or_default();
    let open = |(name, url): (String, String)| json!({ "type": "Action.OpenUrl", "title": cut(&name, 100), "url": url });
    let fits = |action: &Value| {
        bytes += action.to_string().len();
        bytes <= BYTES_MAX
    };
    let actions: Vec<Value> = links.into_iter().take(ACTIONS_MAX).map(open).filter(fits).collect();
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": parts,
        "actions": actions,
        "msteams": { "width": "Full" },
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": card,
    });
    json!({ "type": "message", "attachments": [attachment] }).to_string().into_bytes()
}

fn alert_parts(alert: &AlertView) -> Vec<Value> {
    let color = match (is_firing(alert), alert.labels.get("severity").map(String::as_str)) {
        (false, _) => "Good",
        (true, Some("warning" | "info")) => "Warning",
        (true, _) => "Attention",
    };
    let fact = |(name, value): (String, String)| json!({ "title": escaped(&cut(&name, 60)), "value": escaped(&cut(&value, FACT_CHARS_MAX)) });
    let facts: Vec<Value> = facts(alert, FACTS_MAX).into_iter().map(fact).collect();
    let text = |text: &str| escaped(&cut(text, TEXT_CHARS_MAX));
    let mut parts = vec![
        json!({
            "type": "TextBlock", "text": text(&title(alert)), "style": "heading", "size": "Large",
            "weight": "Bolder", "color": color, "wrap": true,
        }),
        json!({ "type": "TextBlock", "text": text(&summary(alert)), "wrap": true }),
    ];
    if let Some(why) = description(alert) {
        parts.push(
            json!({ "type": "TextBlock", "text": text(&why), "wrap": true, "isSubtle": true }),
        );
    }
    parts.push(json!({ "type": "FactSet", "facts": facts }));
    parts
}

/// Text blocks and facts read a part of Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '*' | '_' | '[' | ']' | '`' | '~' | '#' | '|' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            plain => out.push(plain),
        }
    }
    out
}

/// Whether an answer of success says in its text that it was none: connectors do so when they are
/// called too often.
#[must_use]
pub fn is_throttled(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).contains("HTTP error 429")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::AlertState;
    use crate::domain::time::Wall;
    use crate::wire::notify::examples::{alert, golden, notice};

    #[test]
    fn firing_and_resolved() {
        let end = Some(Wall::from_ms(1_545_084_700_000));
        let notice = notice(vec![
            alert("c", AlertState::Firing, None),
            alert("d", AlertState::Resolved, end),
        ]);
        golden(&body(&[&notice], "http://127.0.0.1:9590/"), include_str!("golden/teams.json"));
    }

    #[test]
    fn limits_are_kept_and_markup_is_text() {
        let mut view = alert("c", AlertState::Firing, None);
        view.annotations.insert("summary".to_owned(), "[x](https://evil.example) <at>".to_owned());
        view.annotations.insert("description".to_owned(), "é\\".repeat(5_000));
        let body = body(&[&notice(vec![view; 60])], "http://127.0.0.1:9590/");
        assert!(body.len() <= 28_000, "{}", body.len());
        let body: Value = serde_json::from_slice(&body).unwrap();
        let parts = body["attachments"][0]["content"]["body"].as_array().unwrap();
        assert_eq!(parts[1]["text"], "\\[x\\](https://evil.example) &lt;at&gt;");
        assert!(parts.last().unwrap()["text"].as_str().unwrap().ends_with(" more"));
    }
}
