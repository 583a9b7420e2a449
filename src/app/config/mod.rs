//! Stub of the configuration that the demo is written against; the merge takes the real one.

use crate::domain::alert::Rule;
use crate::io::secret::Secret;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Sidecar,
    Hub,
    All,
}

#[derive(Debug, Clone, Default)]
pub struct Proxy {
    pub listen: Vec<SocketAddr>,
    pub upstream_endpoint: Option<http::Uri>,
}

#[derive(Debug, Clone, Default)]
pub struct CloudWatch {
    pub enabled: bool,
    pub endpoint: Option<String>,
    pub interval: Duration,
    pub delay: Duration,
    pub include: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Otlp {
    pub endpoint: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Webhook {
    pub url: Option<Secret>,
    pub url_file: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Receiver {
    pub name: String,
    pub webhook: Webhook,
}

#[derive(Debug, Clone, Default)]
pub struct Alerts {
    pub rules: Vec<Rule>,
    pub receivers: Vec<Receiver>,
}

#[derive(Debug, Clone, Default)]
pub struct Admin {
    pub listen: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Default)]
pub struct Config {
    pub role: Role,
    pub service_name: String,
    pub region: Option<String>,
    pub proxy: Proxy,
    pub cloudwatch: CloudWatch,
    pub otlp: Otlp,
    pub alerts: Alerts,
    pub admin: Admin,
}
