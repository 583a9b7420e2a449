//! Owns the checks of who we are at AWS and whether Kinesis answers. Refuses to show a secret: of an
//! access key only its id.

use super::{CHECK_MAX, Verdict, late};
use crate::app::config::{Proxy, Role};
use crate::app::logging::chain;
use crate::io::credentials::SdkSettings;
use crate::io::credentials::fault::Fault;
use crate::wire::kinesis::account::account_of;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_kinesis::Client;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;

/// Streams that are looked at; an account may have thousands.
const LISTED_MAX: i32 = 1_000;

/// The client of the control plane, which goes where the data plane goes.
pub(super) fn kinesis(sdk: &SdkSettings, proxy: &Proxy) -> Client {
    let client = sdk.kinesis(proxy.upstream_endpoint.as_ref().map(ToString::to_string));
    let mut config = client.config().to_builder();
    config.set_use_fips(Some(proxy.fips)).set_use_dual_stack(Some(proxy.dual_stack));
    Client::from_conf(config.build())
}

/// Whether the provider chain gives credentials, and whose.
pub(super) async fn credentials(sdk: &SdkSettings) -> Verdict {
    let Some(provider) = sdk.provider() else {
        return Verdict::failed("the AWS configuration has no credentials provider");
    };
    match provider.provide_credentials().await {
        Ok(credentials) => {
            let id = credentials.access_key_id();
            let given = credentials.account_id().map(|account| account.as_str().to_owned());
            let account = given.or_else(|| account_of(id)).map_or_else(
                || "the account cannot be read from it".to_owned(),
                |account| format!("account {account}"),
            );
            let kind = if credentials.session_token().is_some() { "temporary" } else { "lasting" };
            Verdict::ok(format!("{kind} access key {id}, {account}"))
        }
        Err(error) => Verdict::failed(chain(&error)),
    }
}

/// Whether Kinesis answers a signed call, and the streams that there are.
pub(super) async fn upstream(kinesis: &Client, role: Role) -> (Verdict, Vec<String>) {
    let call = kinesis.list_streams().limit(LISTED_MAX).send();
    match tokio::time::timeout(CHECK_MAX, call).await {
        Ok(Ok(answer)) => {
            let more = if answer.has_more_streams() { "over " } else { "" };
            let streams = answer.stream_names().to_vec();
            (Verdict::ok(format!("answers; {more}{} streams", streams.len())), streams)
        }
        // Whoever is told so has been recognised: a sidecar does without the list.
        Ok(Err(error)) if role == Role::Sidecar && is_permission(&error) => {
            let why = "answers; kinesis:ListStreams is not permitted, so only streams that the \
                       configuration names are looked at";
            (Verdict::ok(why), Vec::new())
        }
        Ok(Err(error)) => (Verdict::failed(said("kinesis:ListStreams", &error)), Vec::new()),
        Err(_) => (late(), Vec::new()),
    }
}

/// Whether a call failed for want of a permission alone: the signature was good.
pub(super) fn is_permission<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error.code(), Some("AccessDeniedException" | "AccessDenied"))
}

/// A failed call in a sentence: the service's own words where it answered, and which IAM action is
/// missing where that is why.
pub(super) fn said<E>(action: &str, error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if is_permission(error) {
        let words = error.message().unwrap_or("access denied");
        return format!(
            "the role may not {action}: {words}; allow it, as deploy/cloudformation/iam.yaml does"
        );
    }
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => format!("{}: {}", Fault::of(error).as_str(), chain(error)),
    }
}
