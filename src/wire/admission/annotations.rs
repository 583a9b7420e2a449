//! Owns what a pod's annotations may say. Refuses a value that would make the API server refuse the
//! pod: it becomes a warning, and the default holds.

use super::Settings;
use super::container::put;
use serde_json::{Map, Value, json};

/// `"true"` asks for the sidecar, `"false"` says no.
pub const INJECT: &str = "kinescope.dev/inject";
/// Written by us: the sidecar in this pod is ours to complete.
pub(super) const INJECTED: &str = "kinescope.dev/injected";
const PREFIX: &str = "kinescope.dev/";
const IMAGE: &str = "kinescope.dev/image";
const MODE: &str = "kinescope.dev/mode";
const CONFIG_MAP: &str = "kinescope.dev/config-map";
const SERVICE: &str = "kinescope.dev/service";
const REGION: &str = "kinescope.dev/region";
const CONTAINERS: &str = "kinescope.dev/containers";
/// Annotation, whether it is a request or a limit, of what, and its default.
const RESOURCES: [(&str, &str, &str, Option<&str>); 4] = [
    ("kinescope.dev/cpu-request", "requests", "cpu", Some("50m")),
    ("kinescope.dev/memory-request", "requests", "memory", Some("64Mi")),
    ("kinescope.dev/cpu-limit", "limits", "cpu", None),
    ("kinescope.dev/memory-limit", "limits", "memory", Some("448Mi")),
];

/// What is wanted for one pod.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wishes {
    pub(super) image: String,
    pub(super) classic: bool,
    pub(super) config_map: Option<String>,
    pub(super) service: Option<String>,
    pub(super) region: Option<String>,
    /// The containers that get the endpoint; all but init containers where none is named.
    pub(super) containers: Option<Vec<String>>,
    pub(super) resources: Value,
}

/// An annotation's value, if it is text.
pub(super) fn text<'a>(annotations: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    annotations.get(name).and_then(Value::as_str)
}

/// What the annotations ask for.
pub(super) fn read(
    annotations: &Map<String, Value>,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Wishes {
    for name in annotations.keys().filter(|name| name.starts_with(PREFIX) && !is_known(name)) {
        warnings.push(format!("there is no annotation {name}"));
    }
    let mut valid = |name: &str, is: fn(&str) -> bool, should: &str| {
        let value = text(annotations, name)?.trim();
        if is(value) {
            return Some(value.to_owned());
        }
        warnings.push(format!("annotation {name} should be {should}: it is left out"));
        None
    };
    let image = valid(IMAGE, is_image, "an image").unwrap_or_else(|| settings.image.clone());
    let mode = valid(MODE, |mode| matches!(mode, "native" | "classic"), "native or classic");
    let config_map = valid(CONFIG_MAP, is_name, "a config map's name");
    let service = valid(SERVICE, is_service, "a service's name of up to 128 characters");
    let region = valid(REGION, is_region, "a region's name");
    let containers = valid(CONTAINERS, |list| !list.is_empty(), "names with commas between");
    let list = |text: String| text.split(',').map(|name| name.trim().to_owned()).collect();
    Wishes {
        image,
        classic: mode.map_or(settings.classic, |mode| mode == "classic"),
        config_map,
        service,
        region,
        containers: containers.map(list),
        resources: resources(annotations, warnings),
    }
}

fn is_known(name: &str) -> bool {
    [INJECT, INJECTED, IMAGE, MODE, CONFIG_MAP, SERVICE, REGION, CONTAINERS].contains(&name)
        || RESOURCES.iter().any(|(known, ..)| *known == name)
}

fn resources(annotations: &Map<String, Value>, warnings: &mut Vec<String>) -> Value {
    let mut resources = json!({ "requests": {}, "limits": {} });
    for (name, kind, of, default) in RESOURCES {
        let asked = text(annotations, name).map(str::trim);
        let good = asked.filter(|value| quantity(value).is_some());
        if asked.is_some() && good.is_none() {
            warnings.push(format!(
                "annotation {name} should be a quantity such as 100m or 64Mi: it is left out"
            ));
        }
        if let (Some(value), Some(into)) = (good.or(default), resources.get_mut(kind)) {
            put(into, of, value.into());
        }
    }
    // The API server refuses a pod whose request is above its limit.
    for of in ["cpu", "memory"] {
        let text = |kind: &str| resources.get(kind)?.get(of)?.as_str().map(str::to_owned);
        let (Some(request), Some(limit)) = (text("requests"), text("limits")) else { continue };
        if quantity(&request) > quantity(&limit)
            && let Some(limits) = resources.get_mut("limits")
        {
            warnings
                .push(format!("the sidecar's {of} limit is below its request: it is raised to it"));
            put(limits, of, request.into());
        }
    }
    resources
}

/// Kubernetes' quantities, without exponents.
fn quantity(text: &str) -> Option<f64> {
    let end =
        text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let begins = number.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    let ends = number.bytes().last().is_some_and(|byte| byte.is_ascii_digit());
    let number: f64 = number.parse().ok()?;
    (begins && ends).then_some(number * scale)
}

/// Whether a name can be an image's: printable and without blanks.
#[must_use]
pub fn is_image(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// RFC 1123's subdomains, which names of config maps are.
fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().all(|byte| letter(&byte) || byte == b'-')
            && part.as_bytes().first().is_some_and(letter)
            && part.as_bytes().last().is_some_and(letter)
    };
    text.len() <= 253 && text.split('.').all(part)
}

fn is_service(text: &str) -> bool {
    (1..=128).contains(&text.len()) && !text.chars().any(char::is_control) && !text.contains("$(")
}

fn is_region(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=32).contains(&text.len()) && text.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let check = |text, expected| assert_eq!(quantity(text), expected, "{text}");
        check("50m", Some(0.05));
        check("1.5", Some(1.5));
        check("64Mi", Some(67_108_864.0));
        for faulty in ["", "Mi", "1.", ".5", "1..5", "1 Gi", "-1", "1e3", "1Zi"] {
            check(faulty, None);
        }
    }

    #[test]
    fn names() {
        let check = |text, expected| assert_eq!(is_name(text), expected, "{text}");
        check("orders-kinescope.v2", true);
        for faulty in ["", "Orders", "-a", "a-", "a..b", "a_b"] {
            check(faulty, false);
        }
    }
}
