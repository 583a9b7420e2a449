//! Owns `injector`: arguments, log and signals around the admission webhook, which is
//! `io::injector`'s. Refuses to know Kubernetes.

use super::{USAGE, complain};
use crate::app::logging;
use crate::app::supervisor::{Policy, Supervisor};
use crate::io::clock::Clock;
use crate::io::http::tls::Identity;
use crate::io::injector::Injector;
use crate::wire::admission::{Settings, is_image};
use clap::Args;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The last answers may take this long at the end.
const GRACE: Duration = Duration::from_secs(8);

const EXAMPLES: &str =
    "A pod asks for the sidecar with the annotation kinescope.dev/inject: \"true\".
deploy/kubernetes/injector has the manifests and a script for the certificate.

Examples:
  kinescope injector --certificate /tls/tls.crt --key /tls/tls.key
  kinescope injector --certificate tls.crt --key tls.key --image registry.example/kinescope:0.1.0 \\
      --env KINESCOPE_HUB__ENDPOINT=http://kinescope-hub.kinescope:4595";

/// Where the webhook listens, and what it adds.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Where to listen, with TLS; may be repeated.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443")]
    listen: Vec<SocketAddr>,
    /// The certificate that the API server is shown, as PEM; read again when it changes.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its private key, as PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The sidecar's image, where a pod's annotation names no other.
    #[arg(long, default_value = concat!("kinescope:", env!("CARGO_PKG_VERSION")), value_parser = read_image)]
    image: String,
    /// Adds a container beside the others in place of a native sidecar: for clusters before 1.29.
    #[arg(long)]
    classic: bool,
    /// A variable for every sidecar; may be repeated.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = read_variable)]
    variables: Vec<(String, String)>,
}

fn read_image(text: &str) -> Result<String, String> {
    is_image(text).then(|| text.to_owned()).ok_or_else(|| "should be an image's name".to_owned())
}

fn read_variable(text: &str) -> Result<(String, String), String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let (name, value) = text.split_once('=').ok_or("should be NAME=VALUE")?;
    let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if !begins || !name.bytes().all(letter) {
        return Err("the name should be of letters, digits and underscores".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Serves until SIGTERM or SIGINT.
pub(super) fn injector(options: Options, environment: &BTreeMap<String, String>) -> ExitCode {
    if let Err(error) = logging::init(environment, "info") {
        complain(error);
        return ExitCode::from(USAGE);
    }
    let identity = Identity::mounted(options.certificate, options.key, Clock::system());
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            complain(logging::chain(&error));
            return ExitCode::from(USAGE);
        }
    };
    let Options { image, classic, variables, listen, .. } = options;
    let settings = Settings { image, classic, variables };
    match super::service::on_runtime(serve(listen, identity, settings)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(error) => super::service::failed(&error),
    }
}

async fn serve(
    listen: Vec<SocketAddr>,
    identity: Identity,
    settings: Settings,
) -> std::io::Result<()> {
    let image = settings.image.clone();
    let injector = Injector::bind(&listen, identity, settings).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tracing::info!(listen = ?injector.local_addresses(), image, "the injector runs");
    let mut supervisor = Supervisor::default();
    let stage = supervisor.stage("injector");
    stage.spawn("server", Policy::Vital, injector.run(stage.token()));
    let ended = tokio::select! {
        biased;
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = supervisor.watch() => Some(ended),
    };
    let report = supervisor.drain(GRACE, &Clock::system()).await;
    tracing::info!(late = ?report.late, "drained");
    match ended {
        None => Ok(()),
        Some(ended) => Err(std::io::Error::other(format!("{} ended by itself", ended.task))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let found = read_variable(text).ok();
            assert_eq!(found.as_ref().map(|(n, v)| (n.as_str(), v.as_str())), expected, "{text}");
        };
        check("A_1=b=c", Some(("A_1", "b=c")));
        check("A=", Some(("A", "")));
        for faulty in ["A", "=b", "1A=b", "A-B=c"] {
            check(faulty, None);
        }
    }
}
