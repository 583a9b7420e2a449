//! Owns the proof of the cases in `cases/`: each a review with the outcome, the warnings and the patch
//! that it gets. tests/peers sends the same ones over TLS and applies the patches.

use super::*;

const CASES: [(&str, &str); 16] = [
    ("plain", include_str!("cases/plain.json")),
    ("annotated", include_str!("cases/annotated.json")),
    ("faulty-annotations", include_str!("cases/faulty-annotations.json")),
    ("irsa", include_str!("cases/irsa.json")),
    ("pod-identity", include_str!("cases/pod-identity.json")),
    ("proxies", include_str!("cases/proxies.json")),
    ("fips", include_str!("cases/fips.json")),
    ("own-endpoint", include_str!("cases/own-endpoint.json")),
    ("emulator", include_str!("cases/emulator.json")),
    ("init-container", include_str!("cases/init-container.json")),
    ("classic-job", include_str!("cases/classic-job.json")),
    ("name-taken", include_str!("cases/name-taken.json")),
    ("host-network", include_str!("cases/host-network.json")),
    ("excluded", include_str!("cases/excluded.json")),
    ("not-asked", include_str!("cases/not-asked.json")),
    ("not-a-pod", include_str!("cases/not-a-pod.json")),
];

fn settings() -> Settings {
    let hub = ("KINESCOPE_HUB__ENDPOINT".to_owned(), "http://kinescope-hub:4595".to_owned());
    Settings { image: "kinescope:0.1.0".to_owned(), classic: false, variables: vec![hub] }
}

fn patch_of(answer: &Answer) -> Value {
    let Some(patch) = answer.review.pointer("/response/patch").and_then(Value::as_str) else {
        return json!([]);
    };
    assert_eq!(answer.review.pointer("/response/patchType"), Some(&json!("JSONPatch")));
    let patch = base64_simd::STANDARD.decode_to_vec(patch).unwrap();
    serde_json::from_slice(&patch).unwrap()
}

#[test]
fn every_case_gets_its_patch() {
    for (name, case) in CASES {
        let case: Value = serde_json::from_str(case).unwrap();
        let answer = answer(case["review"].to_string().as_bytes(), &settings()).unwrap();
        assert_eq!(answer.review["response"]["uid"], case["review"]["request"]["uid"], "{name}");
        assert_eq!(answer.review["response"]["allowed"], json!(true), "{name}");
        assert_eq!(answer.outcome.name(), case["outcome"], "{name}");
        assert_eq!(json!(answer.warnings), case["warnings"], "{name}");
        assert_eq!(patch_of(&answer), case["patch"], "{name}");
    }
}

/// What the patch makes; only the operations that `diff` writes.
fn apply(pod: &Value, patch: &Value) -> Value {
    let mut pod = pod.clone();
    for operation in patch.as_array().unwrap() {
        let path = operation["path"].as_str().unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/").replace("~0", "~");
        let parent = pod.pointer_mut(parent).unwrap();
        match (operation["op"].as_str().unwrap(), parent) {
            ("remove", Value::Object(parent)) => drop(parent.remove(&name).unwrap()),
            ("add" | "replace", Value::Object(parent)) => {
                parent.insert(name, operation["value"].clone());
            }
            ("replace", Value::Array(parent)) => {
                parent[name.parse::<usize>().unwrap()] = operation["value"].clone();
            }
            (other, parent) => panic!("{other} in {parent}"),
        }
    }
    pod
}

#[test]
fn a_second_call_changes_nothing() {
    for (name, case) in CASES {
        let case: Value = serde_json::from_str(case).unwrap();
        let mut review = case["review"].clone();
        review["request"]["object"] = apply(&review["request"]["object"], &case["patch"]);
        let again = answer(review.to_string().as_bytes(), &settings()).unwrap();
        assert_eq!(patch_of(&again), json!([]), "{name}");
        assert_ne!(again.outcome, Outcome::Injected, "{name}");
    }
}

#[test]
fn credentials_that_come_later_are_carried_over() {
    let case: Value = serde_json::from_str(CASES[0].1).unwrap();
    let mut review = case["review"].clone();
    let mut pod = apply(&review["request"]["object"], &case["patch"]);
    // As the webhook of EKS does it when it runs after us and forgets the sidecar.
    let late = json!({ "name": "AWS_ROLE_ARN", "value": "arn:aws:iam::123456789012:role/orders" });
    pod["spec"]["containers"][0]["env"].as_array_mut().unwrap().push(late.clone());
    review["request"]["object"] = pod;
    let answer = answer(review.to_string().as_bytes(), &settings()).unwrap();
    assert_eq!(answer.outcome, Outcome::Completed);
    let patched = apply(&review["request"]["object"], &patch_of(&answer));
    let variables = patched["spec"]["initContainers"][0]["env"].as_array().unwrap();
    assert!(variables.contains(&late), "{variables:#?}");
}

#[test]
fn what_nobody_can_be_answered_for() {
    for body in ["", "{}", "[]", r#"{"apiVersion":"admission.k8s.io/v1","request":{"uid":7}}"#] {
        assert_eq!(answer(body.as_bytes(), &settings()), Err(NotAReview), "{body}");
    }
    let old = r#"{"apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u"}}"#;
    assert_eq!(answer(old.as_bytes(), &settings()), Err(NotAReview));
}

/// Pods that no API server sends: nothing panics, nobody is refused.
#[test]
fn strange_pods_are_admitted() {
    let asked = json!({ "annotations": { "kinescope.dev/inject": "true" } });
    for pod in [
        json!({ "metadata": asked }),
        json!({ "metadata": asked, "spec": 1 }),
        json!({ "metadata": asked, "spec": { "containers": {}, "initContainers": "x", "volumes": 2 } }),
        json!({ "metadata": asked, "spec": { "containers": [1, null, { "name": 3, "env": {} }] } }),
        json!({ "metadata": asked, "spec": { "containers": [{ "env": [1, {}, { "name": "AWS_REGION", "value": 5 }] }] } }),
        json!({ "metadata": { "annotations": { "kinescope.dev/inject": true } } }),
        json!({ "metadata": 1 }),
    ] {
        let request =
            json!({ "uid": "u", "operation": "CREATE", "kind": { "kind": "Pod" }, "object": pod });
        let review = json!({ "apiVersion": "admission.k8s.io/v1", "request": request });
        let answer = answer(review.to_string().as_bytes(), &settings()).unwrap();
        assert_eq!(answer.review["response"]["allowed"], json!(true), "{pod}");
    }
}

#[test]
fn warnings_are_short_and_few() {
    let long = "x\n".repeat(500);
    let warnings = shown(&vec![long; 50]);
    assert_eq!(warnings.len(), WARNINGS_MAX);
    assert!(warnings.iter().all(|warning| warning.chars().count() == WARNING_CHARACTERS_MAX));
    assert!(warnings.iter().all(|warning| !warning.contains('\n')));
}
