//! Owns an AWS that answers from memory, so that the SDK's own reading and writing is tested in
//! paused time and without sockets.

use crate::io::credentials::SdkSettings;
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::http::HttpConnectorFuture;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::http::http_client_fn;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use std::fmt;
use std::sync::Arc;

type Answer = dyn Fn(&HttpRequest) -> (u16, Vec<u8>) + Send + Sync;

#[derive(Clone)]
struct Fake(Arc<Answer>);

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (status, body) = (self.0)(&request);
        let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        answer.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
        HttpConnectorFuture::ready(Ok(answer))
    }
}

/// An SDK client's transport that answers each request by `answer`: status and body.
pub fn http(
    answer: impl Fn(&HttpRequest) -> (u16, Vec<u8>) + Send + Sync + 'static,
) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Fake(Arc::new(answer)));
    http_client_fn(move |_, _| connector.clone())
}

/// Settings whose clients talk to `answer`.
pub async fn settings(
    answer: impl Fn(&HttpRequest) -> (u16, Vec<u8>) + Send + Sync + 'static,
) -> SdkSettings {
    let keys = Credentials::new("AKIDEXAMPLE", "hush", None, None, "fake");
    SdkSettings::from_variables([].into(), Some("us-east-1".to_owned()), |loader| {
        loader.http_client(http(answer)).credentials_provider(keys)
    })
    .await
}
