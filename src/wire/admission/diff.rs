//! Owns the difference of two JSON values as a JSON Patch (RFC 6902). Refuses to be clever with
//! lists: one that lost, gained or moved something is replaced whole.

use serde_json::{Value, json};

/// The operations that make `after` of `before`.
pub(super) fn diff(before: &Value, after: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    walk(before, after, &mut String::new(), &mut operations);
    operations
}

fn walk(before: &Value, after: &Value, path: &mut String, operations: &mut Vec<Value>) {
    let length = path.len();
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for name in old.keys().filter(|name| !new.contains_key(*name)) {
                step(path, name);
                operations.push(json!({ "op": "remove", "path": path }));
                path.truncate(length);
            }
            for (name, value) in new {
                step(path, name);
                match old.get(name) {
                    Some(old) => walk(old, value, path, operations),
                    None => operations.push(json!({ "op": "add", "path": path, "value": value })),
                }
                path.truncate(length);
            }
        }
        (Value::Array(old), Value::Array(new)) if pairs(old, new) => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                step(path, &index.to_string());
                walk(old, new, path, operations);
                path.truncate(length);
            }
        }
        (before, after) if before == after => {}
        (_, after) => operations.push(json!({ "op": "replace", "path": path, "value": after })),
    }
}

/// Whether the lists hold the same things in the same places, as far as their names tell.
fn pairs(old: &[Value], new: &[Value]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| old.get("name") == new.get("name"))
}

/// One name of a JSON Pointer (RFC 6901).
fn step(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations() {
        let check = |before: Value, after: Value, expected: Value| {
            assert_eq!(Value::Array(diff(&before, &after)), expected);
        };
        check(json!({"a": [1, {"b": 2}]}), json!({"a": [1, {"b": 2}]}), json!([]));
        check(
            json!({"a": [1, {"b": 2}]}),
            json!({"a": [1, {"b": 3}]}),
            json!([{"op": "replace", "path": "/a/1/b", "value": 3}]),
        );
        check(
            json!({"a": [1]}),
            json!({"a": [0, 1], "k.dev/x~": null}),
            json!([
                {"op": "replace", "path": "/a", "value": [0, 1]},
                {"op": "add", "path": "/k.dev~1x~0", "value": null},
            ]),
        );
        check(
            json!([{"name": "a", "v": 1}, {"name": "b"}]),
            json!([{"name": "a", "v": 2}, {"name": "b"}]),
            json!([{"op": "replace", "path": "/0/v", "value": 2}]),
        );
        check(
            json!({"l": [{"name": "a"}, {"name": "b"}]}),
            json!({"l": [{"name": "b"}, {"name": "c"}]}),
            json!([{"op": "replace", "path": "/l", "value": [{"name": "b"}, {"name": "c"}]}]),
        );
        check(json!({"a": 1, "b": 2}), json!({"b": 2}), json!([{"op": "remove", "path": "/a"}]));
        check(
            json!({"a": {}}),
            json!({"a": []}),
            json!([{"op": "replace", "path": "/a", "value": []}]),
        );
    }
}
