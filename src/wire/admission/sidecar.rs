//! Owns the sidecar's container and volumes, as deploy/kubernetes has them. Refuses rights: it passes
//! the restricted pod security standard.

use super::Settings;
use super::annotations::Wishes;
use super::container::put;
use serde_json::{Value, json};

/// Its container's name.
pub(super) const NAME: &str = "kinescope";
const CONFIG: &str = "kinescope-config";
const STATE: &str = "kinescope-state";

/// The container, without what it takes over from the application.
pub(super) fn container(wishes: &Wishes, service: Value, settings: &Settings) -> Value {
    let config = ["--config", "/etc/kinescope/kinescope.yaml"];
    let config: &[&str] = if wishes.config_map.is_some() { &config } else { &[] };
    let mut arguments = vec!["run"];
    arguments.extend(config);
    let mut variables = vec![service];
    let region = wishes.region.iter().map(|region| ("KINESCOPE_REGION", region));
    let further = settings.variables.iter().map(|(name, value)| (name.as_str(), value));
    variables
        .extend(region.chain(further).map(|(name, value)| json!({ "name": name, "value": value })));
    let mut container = json!({
        "name": NAME,
        "image": wishes.image,
        "args": arguments,
        "env": variables,
        "ports": [{ "name": "metrics", "containerPort": 9590 }],
        // No readiness probe: a pod whose observer has trouble should go on serving.
        "livenessProbe": {
            "httpGet": { "path": "/healthz", "port": "metrics" },
            "periodSeconds": 10,
            "failureThreshold": 6,
        },
        "resources": wishes.resources,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "volumeMounts": mounts(wishes),
    });
    if wishes.classic {
        put(&mut container, "lifecycle", lifecycle());
    } else {
        put(&mut container, "restartPolicy", "Always".into());
        // The next container waits for it.
        let probe = json!({
            "exec": { "command": ["kinescope", "probe"] },
            "periodSeconds": 1,
            "failureThreshold": 30,
        });
        put(&mut container, "startupProbe", probe);
    }
    container
}

/// Holds the others back until it serves, and lets them be the first to end: nobody listens on that
/// port, so that this is a sleep of ten seconds for an image that has no `sleep`.
fn lifecycle() -> Value {
    let command = |arguments: &[&str]| {
        let command = [&["kinescope", "wait"], arguments].concat();
        json!({ "exec": { "command": command } })
    };
    json!({
        "postStart": command(&["--timeout", "30s"]),
        "preStop": command(&["--admin", "127.0.0.1:9", "--timeout", "10s"]),
    })
}

fn mounts(wishes: &Wishes) -> Vec<Value> {
    let state = json!({ "name": STATE, "mountPath": "/var/lib/kinescope" });
    let config = json!({ "name": CONFIG, "mountPath": "/etc/kinescope", "readOnly": true });
    wishes.config_map.iter().map(|_| config.clone()).chain([state]).collect()
}

/// The volumes that the container mounts.
pub(super) fn volumes(wishes: &Wishes) -> Vec<Value> {
    let state = json!({ "name": STATE, "emptyDir": { "sizeLimit": "64Mi" } });
    let config = |name| json!({ "name": CONFIG, "configMap": { "name": name } });
    wishes.config_map.iter().map(config).chain([state]).collect()
}
