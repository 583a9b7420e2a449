//! Owns how an alert reads in a message for people, and how text is kept within a receiver's limits.
//! Refuses to cut a character in two, and control characters.

use super::is_firing;
use crate::domain::alert::AlertView;

/// Annotations that have a place of their own in a message.
const PLACED: [&str; 3] = ["summary", "description", "reason"];

/// Which rule gave a verdict, and what it rests on.
const FIRST: [&str; 2] = ["rule", "evidence"];

/// At most `chars_max` characters; what was longer ends in `…`.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    let Some((last, _)) = text.char_indices().nth(chars_max.saturating_sub(1)) else {
        return text.to_owned();
    };
    let is_whole = text.get(last..).is_none_or(|rest| rest.chars().nth(1).is_none());
    if is_whole {
        return text.to_owned();
    }
    format!("{}…", text.get(..last).unwrap_or_default())
}

/// Without control characters, but for line breaks: some receivers refuse them, and terminals obey.
pub(super) fn clean(text: &str) -> String {
    let seen = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.chars().map(seen).collect()
}

/// `Firing: KinesisConsumerLagHigh (critical)`
pub(super) fn title(alert: &AlertView) -> String {
    let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
    let state = if is_firing(alert) { "Firing" } else { "Resolved" };
    match label("severity") {
        "" => format!("{state}: {}", label("alertname")),
        severity => format!("{state}: {} ({severity})", label("alertname")),
    }
}

/// What is to be known at a glance.
pub(super) fn summary(alert: &AlertView) -> String {
    let said = alert.annotations.get("summary").filter(|text| !text.is_empty());
    clean(said.map_or_else(|| title(alert), Clone::clone).trim())
}

/// Why, in a sentence.
pub(super) fn description(alert: &AlertView) -> Option<String> {
    let named = |name: &str| alert.annotations.get(name);
    let said = named("description").or_else(|| named("reason")).filter(|text| !text.is_empty())?;
    Some(clean(said))
}

/// Where, since when, and the rest of the evidence, as name and value; at most `max` of them.
pub(super) fn facts(alert: &AlertView, max: usize) -> Vec<(String, String)> {
    let own = ["alertname", "severity"];
    let labels = alert.labels.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let since = ("since".to_owned(), alert.starts_at.to_string());
    let until = alert.ends_at.map(|end| ("until".to_owned(), end.to_string()));
    let plain = |(name, value): &(&String, &String)| {
        !PLACED.contains(&name.as_str()) && !is_link(value) && !name.ends_with("_url")
    };
    // First what a verdict must not be told without: a message has no room for all.
    let is_first = |(name, _): &(&String, &String)| FIRST.contains(&name.as_str());
    let first = FIRST.iter().filter_map(|name| alert.annotations.get_key_value(*name));
    let evidence = first.chain(alert.annotations.iter().filter(|it| !is_first(it))).filter(plain);
    let shown = |(name, value): (&String, &String)| (name.replace('_', " "), clean(value));
    let all = labels.map(shown).chain([since]).chain(until).chain(evidence.map(shown));
    all.take(max).collect()
}

/// Where to look further, as name and URL: our page, and every annotation that is a URL.
pub(super) fn links(alert: &AlertView, external_url: &str) -> Vec<(String, String)> {
    let page = ("Status page".to_owned(), external_url.to_owned());
    let named = |(name, url): (&String, &String)| {
        let name = name.strip_suffix("_url").unwrap_or(name).replace('_', " ");
        let mut letters = name.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase()).into_iter();
        (first.chain(letters).collect(), url.clone())
    };
    let told = alert.annotations.iter().map(named);
    [page].into_iter().chain(told).filter(|(_, url)| is_link(url)).collect()
}

/// Whether it is safe to be followed, and has nothing that would end a link in a message.
fn is_link(text: &str) -> bool {
    let web = text.starts_with("https://") || text.starts_with("http://");
    let ends = |c: char| c.is_whitespace() || c.is_control() || "<>|\"()[]".contains(c);
    web && text.len() <= 2_000 && !text.contains(ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::AlertState;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_between_characters() {
        let check = |text, max, expected| assert_eq!(cut(text, max), expected);
        check("abc", 3, "abc");
        check("abcd", 3, "ab…");
        check("ééé", 3, "ééé");
        check("éééé", 3, "éé…");
        check("", 3, "");
        check("👩‍👩‍👧", 2, "👩…");
        check("ab", 1, "…");
    }

    #[test]
    fn a_verdict_is_told_with_its_rule_and_its_evidence_however_little_fits() {
        let mut alert = super::super::examples::alert("mail", AlertState::Firing, None);
        let notes = [("evidence", "reads 20, lag 75.0 s"), ("rule", "15 grows"), ("a", "b")];
        alert.annotations.extend(notes.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let told = facts(&alert, 5);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["consumer", "stream", "since", "rule", "evidence"]);
    }

    #[test]
    fn links_are_of_the_web() {
        let check = |text, expected| assert_eq!(is_link(text), expected, "{text}");
        check("https://runbooks.example/a?b=c#d", true);
        check("http://127.0.0.1:9590/", true);
        check("alerts/runbooks/A.md", false);
        check("javascript:alert(1)", false);
        check("https://a.example/|<!channel>", false);
        check("https://a.example/)](x", false);
    }

    proptest! {
        #[test]
        fn cut_keeps_its_limit(text in "\\PC*", max in 1_usize..20) {
            let cut = cut(&text, max);
            prop_assert!(cut.chars().count() <= max);
            prop_assert!(cut == text || text.starts_with(cut.trim_end_matches('…')));
        }
    }
}
