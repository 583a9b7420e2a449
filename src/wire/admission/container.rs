//! Owns reading and changing one container of a pod as JSON. Refuses to trust its shape: what is not
//! what it should be counts as absent, and the API server judges it.

pub(super) use serde_json::Value;
use serde_json::json;

/// A variable's value where it is written out.
pub(super) fn literal(variable: &Value) -> Option<&str> {
    match (variable.get("value"), variable.get("valueFrom")) {
        (Some(value), None) => value.as_str(),
        // Kubernetes reads a variable without a value as an empty one.
        (None, None) => Some(""),
        (_, Some(_)) => None,
    }
}

/// A container of the pod.
#[derive(Debug)]
pub(super) struct Container<'a>(pub(super) &'a mut Value);

impl Container<'_> {
    pub(super) fn name(&self) -> &str {
        self.0.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn variables(&self) -> &[Value] {
        self.list("env")
    }

    /// The one that is in force: the last of its name.
    pub(super) fn variable(&self, name: &str) -> Option<&Value> {
        let named = |variable: &&Value| variable.get("name").and_then(Value::as_str) == Some(name);
        self.variables().iter().rev().find(named)
    }

    /// Whether variables come from config maps or secrets as a whole, which cannot be seen here.
    pub(super) fn takes_whole_sources(&self) -> bool {
        !self.list("envFrom").is_empty()
    }

    /// Sets a variable: in its place, or at the end.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let variable = json!({ "name": name, "value": value });
        let Some(variables) = self.list_mut("env") else { return };
        match variables.iter_mut().rev().find(|variable| variable["name"] == name) {
            Some(place) => *place = variable,
            None => variables.push(variable),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(variables) = self.list_mut("env") {
            variables.retain(|variable| variable["name"] != name);
        }
    }

    /// The innermost mount that holds the file.
    pub(super) fn mount_of(&self, file: &str) -> Option<&Value> {
        let folder = |mount: &Value| {
            let path = mount.get("mountPath").and_then(Value::as_str)?.trim_end_matches('/');
            let rest = file.strip_prefix(path)?;
            (rest.is_empty() || rest.starts_with('/')).then_some(path.len())
        };
        let mounts = self.list("volumeMounts").iter();
        mounts
            .filter_map(|mount| Some((folder(mount)?, mount)))
            .max_by_key(|(length, _)| *length)
            .map(|(_, mount)| mount)
    }

    /// Adds to a list what it has none of by that member.
    pub(super) fn complete(&mut self, list: &str, member: &str, with: &[Value]) {
        let Some(list) = self.list_mut(list) else { return };
        for value in with {
            if !list.iter().any(|present| present.get(member) == value.get(member)) {
                list.push(value.clone());
            }
        }
    }

    fn list(&self, name: &str) -> &[Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn list_mut(&mut self, name: &str) -> Option<&mut Vec<Value>> {
        list_mut(self.0, name)
    }
}

/// Sets a member; what is no object stays as it is.
pub(super) fn put(of: &mut Value, name: &str, value: Value) {
    if let Some(members) = of.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// A member that is a list, made where there is none; none where it is something else.
pub(super) fn list_mut<'a>(of: &'a mut Value, name: &str) -> Option<&'a mut Vec<Value>> {
    let members = of.as_object_mut()?;
    let member = members.entry(name).or_insert(Value::Null);
    if member.is_null() {
        *member = json!([]);
    }
    member.as_array_mut()
}
