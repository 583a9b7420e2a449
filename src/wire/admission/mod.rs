//! Owns the admission of pods: an AdmissionReview in, the answer with a JSON Patch out, which adds the
//! sidecar to a pod that asks for it. Refuses to refuse a pod: what cannot be done is a warning, and
//! the pod is admitted as it came.

mod annotations;
mod container;
mod diff;
mod environment;
mod inject;
mod sidecar;
#[cfg(test)]
mod tests;

pub use annotations::{INJECT, is_image};

use serde_json::{Map, Value, json};

/// What every injected sidecar gets, unless a pod's annotations say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sidecar's image.
    pub image: String,
    /// A container beside the others, for clusters before 1.29, in place of a native sidecar.
    pub classic: bool,
    /// Further variables, such as `KINESCOPE_HUB__ENDPOINT`.
    pub variables: Vec<(String, String)>,
}

/// The text is no AdmissionReview of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is no AdmissionReview of admission.k8s.io/v1 with a request and its uid")]
pub struct NotAReview;

/// What became of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The sidecar was added.
    Injected,
    /// It was there; what other webhooks added since was carried over.
    Completed,
    /// It was there, and nothing was missing.
    Present,
    /// No annotation asks for it.
    NotAsked,
    /// The annotation says no.
    Excluded,
    /// Something else than a pod that is created.
    NotAPod,
    /// A container has our name and is not ours.
    NameTaken,
    /// The pod shares the node's network: the port would be the node's.
    HostNetwork,
    /// A pod for Windows.
    Windows,
    /// A mirror of a static pod, which cannot be changed.
    Mirror,
}

impl Outcome {
    /// For logs and audit annotations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Completed => "completed",
            Self::Present => "present",
            Self::NotAsked => "not_asked",
            Self::Excluded => "excluded",
            Self::NotAPod => "not_a_pod",
            Self::NameTaken => "name_taken",
            Self::HostNetwork => "host_network",
            Self::Windows => "windows",
            Self::Mirror => "mirror",
        }
    }

    /// What whoever creates the pod should know.
    fn warning(self) -> Option<&'static str> {
        match self {
            Self::Injected | Self::Completed | Self::Present => None,
            Self::NotAsked | Self::Excluded | Self::NotAPod | Self::Mirror => None,
            Self::NameTaken => Some("a container is named kinescope already and is left as it is"),
            Self::HostNetwork => Some(
                "no sidecar in a pod with hostNetwork: its port would be open to the whole node",
            ),
            Self::Windows => Some("no sidecar in a Windows pod: there is no such image"),
        }
    }
}

/// The answer to one review.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The AdmissionReview to send back.
    pub review: Value,
    /// What became of the pod.
    pub outcome: Outcome,
    /// What its creator is told, without the prefix.
    pub warnings: Vec<String>,
    /// Its namespace; empty where the review has none.
    pub namespace: String,
    /// Its name, or what its name begins with; empty where the review has none.
    pub name: String,
}

/// More are cut off: the API server shows 4,096 characters.
const WARNINGS_MAX: usize = 12;
/// The API server recommends no more of one.
const WARNING_CHARACTERS_MAX: usize = 250;

/// Answers a review. The same review gives the same answer, and a pod that was patched needs no
/// further patch.
///
/// # Errors
/// When nobody can be answered, since there is no uid.
pub fn answer(body: &[u8], settings: &Settings) -> Result<Answer, NotAReview> {
    let review: Value = serde_json::from_slice(body).map_err(|_| NotAReview)?;
    let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str);
    if text("/apiVersion") != Some("admission.k8s.io/v1") {
        return Err(NotAReview);
    }
    let uid = text("/request/uid").ok_or(NotAReview)?;
    let pod = pod(&review);
    let mut warnings = Vec::new();
    let (outcome, patch) = match pod {
        Some(pod) => inject::inject(pod, settings, &mut warnings),
        None => (Outcome::NotAPod, Vec::new()),
    };
    warnings.extend(outcome.warning().map(str::to_owned));
    let shown = shown(&warnings);
    let mut response = Map::new();
    response.insert("uid".into(), uid.into());
    response.insert("allowed".into(), true.into());
    response.insert("auditAnnotations".into(), json!({ "outcome": outcome.name() }));
    if !shown.is_empty() {
        response.insert("warnings".into(), shown.into());
    }
    if !patch.is_empty() {
        let patch = Value::Array(patch).to_string();
        response.insert("patchType".into(), "JSONPatch".into());
        response.insert("patch".into(), base64_simd::STANDARD.encode_to_string(patch).into());
    }
    let kind = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview" });
    let mut review_back = kind;
    if let Some(members) = review_back.as_object_mut() {
        members.insert("response".into(), response.into());
    }
    let named = |name: &str| pod.and_then(|pod| pod.pointer(name)).and_then(Value::as_str);
    let name = named("/metadata/name").or_else(|| named("/metadata/generateName"));
    Ok(Answer {
        review: review_back,
        outcome,
        warnings,
        namespace: text("/request/namespace").unwrap_or_default().to_owned(),
        name: name.unwrap_or_default().to_owned(),
    })
}

/// The pod that is being created, if the review is about one.
fn pod(review: &Value) -> Option<&Value> {
    let is = |pointer: &str, expected: &str| {
        review.pointer(pointer).and_then(Value::as_str) == Some(expected)
    };
    let whole = review.pointer("/request/subResource").and_then(Value::as_str).unwrap_or_default();
    let created = is("/request/operation", "CREATE") && is("/request/kind/kind", "Pod");
    let pod = review.pointer("/request/object").filter(|pod| pod.is_object());
    pod.filter(|_| created && whole.is_empty())
}

/// Warnings as they are shown: named, short, on one line and not too many.
fn shown(warnings: &[String]) -> Vec<String> {
    let one = |warning: &String| {
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        let text = format!("kinescope: {warning}");
        text.chars().take(WARNING_CHARACTERS_MAX).map(plain).collect()
    };
    warnings.iter().take(WARNINGS_MAX).map(one).collect()
}
