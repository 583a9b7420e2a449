//! Owns the change of one pod: who is pointed at the sidecar, what the sidecar takes over, where it
//! stands. Doing it twice changes nothing more, so that it can complete what webhooks after it added.
//! Refuses a pod that it could only harm.

use super::annotations::{self, INJECT, INJECTED, Wishes};
use super::container::{Container, list_mut, literal};
use super::diff::diff;
use super::environment::{Taken, point};
use super::{Outcome, Settings, sidecar};
use serde_json::{Map, Value, json};

const LISTS: [&str; 2] = ["containers", "initContainers"];
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The outcome, and the patch that makes it.
pub(super) fn inject(
    pod: &Value,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> (Outcome, Vec<Value>) {
    let none = Map::new();
    let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object);
    let annotations = annotations.unwrap_or(&none);
    let present = position(pod).is_some();
    if let Some(why_not) = why_not(pod, annotations, present, warnings) {
        return (why_not, Vec::new());
    }
    let wishes = annotations::read(annotations, settings, warnings);
    let mut changed = pod.clone();
    let taken = applications(&mut changed, &wishes, warnings);
    if !present {
        add(&mut changed, &wishes, settings, warnings);
    }
    if let Some((list, index)) = position(&changed)
        && let Some(container) = changed.pointer_mut(&format!("/spec/{list}/{index}"))
    {
        let mut container = Container(container);
        container.complete("env", "name", &taken.variables);
        container.complete("volumeMounts", "mountPath", &taken.mounts);
    }
    let patch = diff(pod, &changed);
    let outcome = match (present, patch.is_empty()) {
        (false, _) => Outcome::Injected,
        (true, false) => Outcome::Completed,
        (true, true) => Outcome::Present,
    };
    (outcome, patch)
}

/// Why the pod stays as it is.
fn why_not(
    pod: &Value,
    annotations: &Map<String, Value>,
    present: bool,
    warnings: &mut Vec<String>,
) -> Option<Outcome> {
    match annotations::text(annotations, INJECT) {
        Some("true") => {}
        Some("false") => return Some(Outcome::Excluded),
        Some(_) => {
            warnings.push(format!(
                "annotation {INJECT} should be \"true\" or \"false\": nothing is injected"
            ));
            return Some(Outcome::NotAsked);
        }
        None => return Some(Outcome::NotAsked),
    }
    let is = |pointer: &str, expected: &Value| pod.pointer(pointer) == Some(expected);
    if annotations.contains_key("kubernetes.io/config.mirror") {
        return Some(Outcome::Mirror);
    }
    if is("/spec/hostNetwork", &true.into()) {
        return Some(Outcome::HostNetwork);
    }
    if is("/spec/os/name", &"windows".into()) {
        return Some(Outcome::Windows);
    }
    (present && !annotations.contains_key(INJECTED)).then_some(Outcome::NameTaken)
}

/// Where a container has our name.
fn position(pod: &Value) -> Option<(&'static str, usize)> {
    LISTS.into_iter().find_map(|list| {
        let containers = pod.get("spec")?.get(list)?.as_array()?;
        let index = containers.iter().position(|container| container["name"] == sidecar::NAME)?;
        Some((list, index))
    })
}

/// Points the applications at the sidecar, and says what it takes over from them.
fn applications(pod: &mut Value, wishes: &Wishes, warnings: &mut Vec<String>) -> Taken {
    let mut taken = Taken::default();
    let mut found = Vec::new();
    for list in LISTS {
        let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list));
        for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
            let mut container = Container(container);
            let name = container.name().to_owned();
            let wanted = match &wishes.containers {
                Some(names) => names.contains(&name),
                None => list == "containers",
            };
            if !wanted || name == sidecar::NAME {
                continue;
            }
            found.push(name.clone());
            if list == "initContainers" && wishes.classic {
                warnings.push(format!(
                    "init container {name} runs before a classic sidecar: it is left as it is"
                ));
                continue;
            }
            taken.take(&container, warnings);
            point(&mut container, warnings);
        }
    }
    for name in wishes.containers.iter().flatten().filter(|name| !found.contains(name)) {
        warnings.push(format!("there is no container {name} to point at the sidecar"));
    }
    taken
}

/// Adds the sidecar as the first of its kind, its volumes, and what tells that it is ours.
fn add(pod: &mut Value, wishes: &Wishes, settings: &Settings, warnings: &mut Vec<String>) {
    let service = service(pod, wishes);
    let first = pod.pointer("/spec/containers/0/name").cloned();
    let Some(spec) = pod.get_mut("spec") else { return };
    let list = if wishes.classic { "containers" } else { "initContainers" };
    let container = sidecar::container(wishes, service, settings);
    match list_mut(spec, list) {
        Some(containers) => containers.insert(0, container),
        None => warnings.push(format!("spec.{list} is no list")),
    }
    for volume in sidecar::volumes(wishes) {
        let Some(volumes) = list_mut(spec, "volumes") else { break };
        if !volumes.iter().any(|present| present.get("name") == volume.get("name")) {
            volumes.push(volume);
        }
    }
    let mut mark = |member: &str, name: &str, value: Value| {
        let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        let marks = metadata.entry(member).or_insert_with(|| json!({}));
        if let Some(marks) = marks.as_object_mut() {
            marks.entry(name).or_insert(value);
        }
    };
    mark("annotations", INJECTED, "true".into());
    // What a PodMonitor looks for.
    mark("labels", "kinescope", "sidecar".into());
    if !wishes.classic {
        return;
    }
    if let Some(first) = first {
        mark("annotations", DEFAULT_CONTAINER, first);
    }
    let restarts = pod.pointer("/spec/restartPolicy").and_then(Value::as_str);
    if matches!(restarts, Some("Never" | "OnFailure")) {
        warnings.push("a classic sidecar keeps this pod from completing: its application should end with POST http://127.0.0.1:9590/-/quit".to_owned());
    }
}

/// The service's name: the annotation's, the application's own, its label's, its container's.
fn service(pod: &mut Value, wishes: &Wishes) -> Value {
    const NAME: &str = "OTEL_SERVICE_NAME";
    let wanted =
        |name: &str| wishes.containers.as_ref().is_none_or(|names| names.iter().any(|n| n == name));
    let label = |pod: &Value, name: &str| {
        let label = pod.pointer("/metadata/labels")?.get(name)?.as_str()?;
        (!label.is_empty()).then(|| label.to_owned())
    };
    if let Some(name) = &wishes.service {
        return json!({ "name": NAME, "value": name });
    }
    let labels = label(pod, "app.kubernetes.io/name").or_else(|| label(pod, "app"));
    let containers = pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    let mut first = None;
    for container in containers.into_iter().flatten() {
        let container = Container(container);
        if !wanted(container.name()) {
            continue;
        }
        let own = container.variable(NAME);
        // A reference to another variable means nothing beside that variable.
        if let Some(own) = own
            .filter(|own| literal(own).is_none_or(|name| !name.is_empty() && !name.contains("$(")))
        {
            return own.clone();
        }
        first = first.or_else(|| Some(container.name().to_owned()));
    }
    json!({ "name": NAME, "value": labels.or(first).unwrap_or_default() })
}
