//! Owns which of an application's variables the sidecar needs, and what has to change in the
//! application for it to speak with the sidecar. Refuses to override what the application set.

use super::container::{Container, Value, literal, put};

/// Where the sidecar listens.
const ENDPOINT: &str = "http://127.0.0.1:4590";
const ENDPOINT_KINESIS: &str = "AWS_ENDPOINT_URL_KINESIS";
const ENDPOINT_ALL: &str = "AWS_ENDPOINT_URL";
/// SDKs refuse these together with an endpoint: the sidecar, which calls Kinesis, obeys them.
const MOVED: [&str; 2] = ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
const PROXIES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
/// Files that credentials and trust come from.
const FILES: [&str; 5] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CA_BUNDLE",
];

/// What the sidecar takes over from the applications.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) variables: Vec<Value>,
    pub(super) mounts: Vec<Value>,
}

impl Taken {
    /// From one application's container, before it is changed; the first to name a variable wins.
    pub(super) fn take(&mut self, from: &Container<'_>, warnings: &mut Vec<String>) {
        let emulated = from.variable(ENDPOINT_ALL).is_some();
        for name in from.variables().iter().filter_map(|variable| variable["name"].as_str()) {
            let Some(variable) = from.variable(name) else { continue };
            // A variant chooses among AWS's own endpoints; exceptions of ours are no news.
            let is_ours =
                EXCEPTIONS.contains(&name) && literal(variable) == Some(&LOOPBACK.join(","));
            if !is_taken(name) || is_ours || (emulated && MOVED.contains(&name)) {
                continue;
            }
            if refers(variable) {
                let from = from.name();
                warnings.push(format!("{name} of container {from} refers to another variable: the sidecar does without it"));
                continue;
            }
            match self.variables.iter().find(|taken| taken.get("name") == variable.get("name")) {
                Some(taken) if taken == variable => {}
                Some(_) => warnings
                    .push(format!("containers differ in {name}: the sidecar has the first one's")),
                None => self.variables.push(variable.clone()),
            }
        }
        self.endpoint(from);
        self.files(from, warnings);
    }

    /// An endpoint for all services (an emulator's) is where the sidecar should call.
    fn endpoint(&mut self, from: &Container<'_>) {
        const UPSTREAM: &str = "KINESCOPE_PROXY__UPSTREAM__ENDPOINT";
        let Some(variable) = from.variable(ENDPOINT_ALL).filter(|variable| !refers(variable))
        else {
            return;
        };
        if !self.variables.iter().any(|taken| taken["name"] == UPSTREAM) {
            let mut variable = variable.clone();
            put(&mut variable, "name", UPSTREAM.into());
            self.variables.push(variable);
        }
    }

    /// The mounts that hold the files which the variables name.
    fn files(&mut self, from: &Container<'_>, warnings: &mut Vec<String>) {
        for name in FILES {
            let Some(path) = from.variable(name).and_then(literal) else { continue };
            let Some(mount) = from.mount_of(path) else {
                let from = from.name();
                warnings.push(format!("no mount of container {from} holds the file that {name} names: the sidecar may lack it"));
                continue;
            };
            if !self.mounts.iter().any(|taken| taken.get("mountPath") == mount.get("mountPath")) {
                let mut mount = mount.clone();
                put(&mut mount, "readOnly", true.into());
                self.mounts.push(mount);
            }
        }
    }
}

/// Whether the value names other variables, which the sidecar does not have.
fn refers(variable: &Value) -> bool {
    literal(variable).is_some_and(|value| value.contains("$("))
}

/// Credentials, regions, other services' endpoints, proxies. Not where the application finds Kinesis:
/// that is us.
fn is_taken(name: &str) -> bool {
    let of_aws = name.starts_with("AWS_") && ![ENDPOINT_KINESIS, ENDPOINT_ALL].contains(&name);
    of_aws || PROXIES.contains(&name) || EXCEPTIONS.contains(&name)
}

/// Points an application's container at the sidecar.
pub(super) fn point(container: &mut Container<'_>, warnings: &mut Vec<String>) {
    let name = container.name().to_owned();
    if let Some(set) = container.variable(ENDPOINT_KINESIS) {
        if literal(set) != Some(ENDPOINT) {
            warnings.push(format!("container {name} sets {ENDPOINT_KINESIS} itself: it does not go through the sidecar; where that should be the upstream, give it to the sidecar as proxy.upstream.endpoint"));
        }
        // What is set once is complete, or is somebody else's.
        return;
    }
    container.set(ENDPOINT_KINESIS, ENDPOINT);
    if container.variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").and_then(literal) == Some("true") {
        warnings.push(format!("container {name} ignores configured endpoints (AWS_IGNORE_CONFIGURED_ENDPOINT_URLS): it does not go through the sidecar"));
    }
    // Where an endpoint was given for all services, they meant nothing.
    let emulated = container.variable(ENDPOINT_ALL).is_some();
    for moved in MOVED {
        if !emulated && container.variable(moved).is_some() {
            container.remove(moved);
            warnings.push(format!("{moved} of container {name} is now the sidecar's: its calls to other AWS services no longer obey it"));
        }
    }
    spare_loopback(container, &name, warnings);
    if container.takes_whole_sources() {
        warnings.push(format!("container {name} takes variables with envFrom: AWS and proxy variables in there are not seen"));
    }
}

/// Where a proxy may be in force, loopback is an exception from it.
fn spare_loopback(container: &mut Container<'_>, name: &str, warnings: &mut Vec<String>) {
    let present = |container: &Container<'_>, names: &[&str]| {
        names.iter().any(|name| container.variable(name).is_some())
    };
    if !present(container, &EXCEPTIONS) {
        if present(container, &PROXIES) {
            EXCEPTIONS.iter().for_each(|name| container.set(name, &LOOPBACK.join(",")));
        }
        return;
    }
    for exceptions in EXCEPTIONS {
        let Some(variable) = container.variable(exceptions) else { continue };
        let Some(value) = literal(variable) else {
            warnings.push(format!(
                "{exceptions} of container {name} comes from elsewhere: see that it has 127.0.0.1"
            ));
            continue;
        };
        let mut hosts: Vec<&str> =
            value.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
        if hosts.contains(&"*") {
            continue;
        }
        let missing = LOOPBACK.into_iter().filter(|host| !hosts.contains(host));
        let missing: Vec<&str> = missing.collect();
        hosts.extend(missing);
        let hosts = hosts.join(",");
        container.set(exceptions, &hosts);
    }
}
