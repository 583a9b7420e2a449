//! Owns a message for Slack's incoming webhooks, in Block Kit, and what Slack's answer means. Refuses
//! markup from data: what alerts say is plain text, in which nothing mentions anybody. Source:
//! reference/alerts.md 1.4.

use super::text::{cut, description, facts, links, summary, title};
use super::{fires, is_firing, told};
use crate::domain::alert::{AlertView, Notice};
use serde_json::{Value, json};

const BLOCKS_MAX: usize = 50;
/// Slack refuses messages of more than some 13,200 characters, which it does not document.
const CHARS_MAX: usize = 12_000;
const HEADER_CHARS_MAX: usize = 150;
const SECTION_CHARS_MAX: usize = 2_000;
const FIELD_CHARS_MAX: usize = 200;
const FIELDS_MAX: usize = 10;

/// The JSON to post for these notices; what does not fit is counted in the last line.
#[must_use]
pub fn body(notices: &[&Notice], external_url: &str) -> Vec<u8> {
    let alerts = told(notices);
    let (mut blocks, mut chars, mut left_out) = (Vec::new(), 0, 0);
    for alert in &alerts {
        let (own, size) = alert_blocks(alert, external_url);
        // One block is kept for saying what was left out.
        if left_out > 0 || blocks.len() + own.len() >= BLOCKS_MAX || chars + size > CHARS_MAX {
            left_out += 1;
            continue;
        }
        chars += size;
        blocks.extend(own);
    }
    if left_out > 0 {
        blocks.push(
            json!({ "type": "context", "elements": [plain(&format!("and {left_out} more"))] }),
        );
    }
    let first = alerts.first().map(|alert| format!("{} · {}", title(alert), summary(alert)));
    let more = match alerts.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let text = escaped(&cut(&first.unwrap_or_default(), 300)) + &more;
    let icon = if notices.iter().any(|notice| fires(notice)) {
        ":red_circle:"
    } else {
        ":white_check_mark:"
    };
    json!({ "text": format!("{icon} {text}"), "blocks": blocks }).to_string().into_bytes()
}

/// The blocks of one alert, and about how many characters they have.
fn alert_blocks(alert: &AlertView, external_url: &str) -> (Vec<Value>, usize) {
    let icon = if is_firing(alert) { "🔴" } else { "✅" };
    let header = cut(&format!("{icon} {}", title(alert)), HEADER_CHARS_MAX);
    let said = [Some(summary(alert)), description(alert)].into_iter().flatten();
    let said = cut(&said.collect::<Vec<_>>().join("\n"), SECTION_CHARS_MAX);
    let facts = facts(alert, FIELDS_MAX).into_iter();
    let facts: Vec<String> =
        facts.map(|(name, value)| cut(&format!("{name}: {value}"), FIELD_CHARS_MAX)).collect();
    let mut size = header.chars().count() + said.chars().count();
    size += facts.iter().map(|fact| fact.chars().count()).sum::<usize>();
    let fields: Vec<Value> = facts.iter().map(|fact| plain(fact)).collect();
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&header) }),
        json!({ "type": "section", "text": plain(&said), "fields": fields }),
    ];
    let link = |(name, url): (String, String)| format!("<{}|{}>", escaped(&url), escaped(&name));
    let links: Vec<String> = links(alert, external_url).into_iter().map(link).take(5).collect();
    if !links.is_empty() {
        let links = links.join(" · ");
        size += links.chars().count();
        let text = json!({ "type": "mrkdwn", "text": links, "verbatim": true });
        blocks.push(json!({ "type": "context", "elements": [text] }));
    }
    (blocks, size)
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

/// The three characters that mean something in Slack's own markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether the body of an answer 200 says that the message was taken: Slack also says no with it.
#[must_use]
pub fn is_taken(answer: &[u8]) -> bool {
    let json = serde_json::from_slice::<Value>(answer).ok();
    answer.trim_ascii() == b"ok"
        || json.is_some_and(|json| json.get("ok") == Some(&Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::AlertState;
    use crate::domain::time::Wall;
    use crate::wire::notify::examples::{alert, golden, notice};

    const URL: &str = "http://127.0.0.1:9590/";

    #[test]
    fn firing_and_resolved() {
        let end = Some(Wall::from_ms(1_545_084_700_000));
        let notice = notice(vec![
            alert("c", AlertState::Firing, None),
            alert("d", AlertState::Resolved, end),
        ]);
        golden(&body(&[&notice], URL), include_str!("golden/slack.json"));
    }

    #[test]
    fn nobody_is_mentioned_by_data() {
        let mut view = alert("<!channel>", AlertState::Firing, None);
        view.annotations.insert("summary".to_owned(), "<@here> & <!everyone>".to_owned());
        let body = body(&[&notice(vec![view])], URL);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(text.contains("&lt;@here&gt; &amp; &lt;!everyone&gt;"), "{text}");
        let marked = body["blocks"].to_string().matches("mrkdwn").count();
        assert_eq!(marked, 1, "only the links have markup: {body}");
    }

    #[test]
    fn limits_are_kept() {
        let mut view = alert("c", AlertState::Firing, None);
        view.annotations.insert("summary".to_owned(), "é".repeat(5_000));
        let body = body(&[&notice(vec![view; 60])], URL);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let blocks = body["blocks"].as_array().unwrap();
        assert!(blocks.len() <= BLOCKS_MAX && body.to_string().chars().count() < 20_000);
        let last = blocks.last().unwrap()["elements"][0]["text"].as_str().unwrap();
        assert!(last.starts_with("and ") && last.ends_with(" more"), "{last}");
    }

    #[test]
    fn answers() {
        let check = |answer: &str, expected| assert_eq!(is_taken(answer.as_bytes()), expected);
        check("ok", true);
        check("ok\n", true);
        check("{\"ok\":true}", true);
        check("no_text", false);
        check("{\"ok\":false,\"error\":\"invalid_auth\"}", false);
        check("", false);
    }
}
