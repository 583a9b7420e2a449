//! Owns the laws of the injector's answers: whoever can be answered is admitted, and a pod that was
//! patched needs nothing more.

use kinescope::wire::admission::{Answer, Outcome, Settings, answer};
use serde_json::{Value, json};

pub fn admission(data: &[u8]) {
    for classic in [false, true] {
        let variables = vec![("KINESCOPE_HUB__ENDPOINT".to_owned(), "http://hub:4595".to_owned())];
        let settings = Settings { image: "kinescope:1".to_owned(), classic, variables };
        let Ok(first) = answer(data, &settings) else { return };
        assert_eq!(answer(data, &settings).as_ref(), Ok(&first));
        let mut review: Value = serde_json::from_slice(data).unwrap();
        let response = &first.review["response"];
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&review["request"]["uid"], &json!(true))
        );
        let warnings = response["warnings"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(warnings.len() <= 12);
        assert!(warnings.iter().all(|it| it.as_str().unwrap().chars().count() <= 250));
        let patch = patch(&first);
        if patch.is_empty() {
            assert!(!matches!(first.outcome, Outcome::Injected | Outcome::Completed));
            continue;
        }
        apply(&mut review["request"]["object"], &patch);
        let second = answer(review.to_string().as_bytes(), &settings).unwrap();
        assert_eq!(second.outcome, Outcome::Present, "{patch:?}");
    }
}

fn patch(answer: &Answer) -> Vec<Value> {
    let Some(patch) = answer.review["response"]["patch"].as_str() else { return Vec::new() };
    let patch = base64_simd::STANDARD.decode_to_vec(patch).unwrap();
    serde_json::from_slice(&patch).unwrap()
}

/// By RFC 6902, each operation where it must be possible.
fn apply(pod: &mut Value, patch: &[Value]) {
    for operation in patch {
        let path = operation["path"].as_str().unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/").replace("~0", "~");
        let value = operation["value"].clone();
        match (operation["op"].as_str().unwrap(), pod.pointer_mut(parent).unwrap()) {
            ("remove", Value::Object(of)) => drop(of.remove(&name).unwrap()),
            ("add", Value::Object(of)) => assert!(of.insert(name, value).is_none()),
            ("replace", Value::Object(of)) => assert!(of.insert(name, value).is_some()),
            ("replace", Value::Array(of)) => of[name.parse::<usize>().unwrap()] = value,
            (other, of) => panic!("{other} in {of}"),
        }
    }
}
