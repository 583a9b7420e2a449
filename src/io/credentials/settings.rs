//! Owns what the AWS SDK is told: region, provider chain, clients. Refuses to let
//! `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_KINESIS` or a profile's `endpoint_url` reach any of our
//! own clients, the chain's STS client included: a pod sets them to point its applications at us,
//! and we would call ourselves. Endpoints named for another service (`AWS_ENDPOINT_URL_STS`) stand.

use aws_config::BehaviorVersion;
use aws_config::ConfigLoader;
use aws_config::Region;
use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::EnvConfigFileKind;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::os_shim_internal::Env;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// One call of ours, from connecting to the last byte of the answer.
const CALL_MAX: Duration = Duration::from_secs(15);

/// The SDK's configuration, from the environment, the profile and the metadata services.
#[derive(Debug, Clone)]
pub struct SdkSettings {
    sdk: SdkConfig,
}

impl SdkSettings {
    /// Reads this environment and the profile files that it names, once. `region` overrides the
    /// chain's. Never fails: what is missing shows when it is used.
    pub async fn load(environment: &BTreeMap<String, String>, region: Option<String>) -> Self {
        let variables = environment.iter().map(|(name, value)| (name.clone(), value.clone()));
        Self::from_variables(variables.collect(), region, |loader| loader).await
    }

    /// As [`Self::load`] with the environment as a value; `adjust` has the last word.
    pub(super) async fn from_variables(
        mut variables: HashMap<String, String>,
        region: Option<String>,
        adjust: impl FnOnce(ConfigLoader) -> ConfigLoader,
    ) -> Self {
        for ours in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"] {
            variables.remove(ours);
        }
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(profiles) = profiles_without_endpoints(&variables).await {
            loader = loader.profile_files(profiles);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        Self { sdk: adjust(loader.env(Env::from(variables))).load().await }
    }

    /// The region of the configuration, the environment, the profile or the metadata service.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.sdk.region().map(Region::as_ref)
    }

    /// The provider chain, for [`super::Credentials`].
    #[must_use]
    pub fn provider(&self) -> Option<SharedCredentialsProvider> {
        self.sdk.credentials_provider()
    }

    /// A client for the control plane, at `endpoint` or at AWS's own.
    #[must_use]
    pub fn kinesis(&self, endpoint: Option<String>) -> aws_sdk_kinesis::Client {
        let mut builder = aws_sdk_kinesis::config::Builder::from(&self.sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts());
        // After `from`, which takes a profile's endpoint for Kinesis: that is us.
        builder.set_endpoint_url(endpoint);
        aws_sdk_kinesis::Client::from_conf(builder.build())
    }

    /// A client for CloudWatch, at `endpoint` or at AWS's own.
    #[must_use]
    pub fn cloudwatch(&self, endpoint: Option<String>) -> aws_sdk_cloudwatch::Client {
        let mut builder = aws_sdk_cloudwatch::config::Builder::from(&self.sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts());
        builder.set_endpoint_url(endpoint);
        aws_sdk_cloudwatch::Client::from_conf(builder.build())
    }

    /// A client for DynamoDB, at AWS's own endpoint or that of `AWS_ENDPOINT_URL_DYNAMODB`, which
    /// is not us.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let builder = aws_sdk_dynamodb::config::Builder::from(&self.sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts());
        aws_sdk_dynamodb::Client::from_conf(builder.build())
    }
}

/// The SDK does not retry for us: each room counts every call it makes and has its own backoff.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_timeout(CALL_MAX).build()
}

/// The profile files with their `endpoint_url` lines made harmless; `None` when there are none and
/// the SDK may read the files itself.
async fn profiles_without_endpoints(variables: &HashMap<String, String>) -> Option<EnvConfigFiles> {
    let config = read(variables, "AWS_CONFIG_FILE", ".aws/config").await;
    let credentials = read(variables, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials").await;
    let (harmless, other) = (without_endpoints(&config), without_endpoints(&credentials));
    if matches!((&harmless, &other), (Cow::Borrowed(_), Cow::Borrowed(_))) {
        return None;
    }
    Some(
        EnvConfigFiles::builder()
            .with_contents(EnvConfigFileKind::Config, harmless)
            .with_contents(EnvConfigFileKind::Credentials, other)
            .build(),
    )
}

/// A profile file's text; empty when it cannot be read, as the SDK has it.
async fn read(variables: &HashMap<String, String>, variable: &str, default: &str) -> String {
    let home = || variables.get("HOME").map(PathBuf::from);
    let path = match variables.get(variable) {
        Some(path) => match path.strip_prefix("~/") {
            Some(below) => home().map(|home| home.join(below)),
            None => Some(PathBuf::from(path)),
        },
        None => home().map(|home| home.join(default)),
    };
    let Some(path) = path else { return String::new() };
    tokio::fs::read_to_string(path).await.unwrap_or_default()
}

/// Renames the profile-wide `endpoint_url`. An indented line stands: it is one service's own, and
/// for ours the endpoint is always set. Renamed, not removed: a line after it may continue it.
fn without_endpoints(profile: &str) -> Cow<'_, str> {
    let ours = |line: &str| {
        line.split_once('=')
            .is_some_and(|(key, _)| key.trim_end().eq_ignore_ascii_case("endpoint_url"))
    };
    if !profile.lines().any(ours) {
        return Cow::Borrowed(profile);
    }
    let lines = profile.lines().map(|line| match ours(line) {
        true => format!("ignored_{line}\n"),
        false => format!("{line}\n"),
    });
    Cow::Owned(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::credentials::fake;
    use aws_credential_types::provider::ProvideCredentials;
    use std::sync::Arc;
    use std::sync::Mutex;

    const US: &str = "http://127.0.0.1:4590";

    /// Makes every kind of call there is with `variables` and a profile, and returns where they
    /// went. The role of the profile or of the environment makes the chain call STS.
    async fn destinations(name: &str, variables: &[(&str, &str)], profile: &str) -> Vec<String> {
        let folder =
            std::env::temp_dir().join(format!("kinescope-settings-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (config, token) = (folder.join("config"), folder.join("token"));
        std::fs::write(&config, profile).unwrap();
        std::fs::write(&token, "token").unwrap();
        let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let mut given = HashMap::from([
            ("AWS_CONFIG_FILE".to_owned(), text(&config)),
            ("AWS_WEB_IDENTITY_TOKEN_FILE".to_owned(), text(&token)),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ]);
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        given.extend(variables.iter().map(owned));

        let called = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&called);
        let http = fake::http(move |request| {
            log.lock().unwrap().push(request.uri().to_owned());
            let body = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>\
                <Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>hush</SecretAccessKey>\
                <SessionToken>hush</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
                </Credentials></AssumeRoleWithWebIdentityResult>\
                </AssumeRoleWithWebIdentityResponse>";
            (200, body.into())
        });
        let settings =
            SdkSettings::from_variables(given, None, |loader| loader.http_client(http)).await;
        settings.provider().unwrap().provide_credentials().await.unwrap();
        drop(settings.kinesis(None).list_streams().send().await);
        drop(settings.cloudwatch(None).get_metric_data().send().await);
        std::fs::remove_dir_all(&folder).unwrap();
        let mut called = called.lock().unwrap().clone();
        called.sort();
        // Each client asks the chain for itself; where to is what matters.
        called.dedup();
        called
    }

    const AWS: [&str; 3] = [
        "https://kinesis.eu-west-1.amazonaws.com/",
        "https://monitoring.eu-west-1.amazonaws.com/service/GraniteServiceVersion20100801/operation/GetMetricData",
        "https://sts.eu-west-1.amazonaws.com/",
    ];
    const ROLE: [(&str, &str); 2] =
        [("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"), ("AWS_REGION", "eu-west-1")];

    #[tokio::test]
    async fn endpoints_of_the_environment_are_not_ours() {
        let mut variables = ROLE.to_vec();
        variables.push(("AWS_ENDPOINT_URL", US));
        variables.push(("AWS_ENDPOINT_URL_KINESIS", US));
        assert_eq!(destinations("environment", &variables, "").await, AWS);
    }

    #[tokio::test]
    async fn endpoints_of_the_profile_are_not_ours() {
        let profile = format!(
            "[default]\nregion = eu-west-1\nservices = here\nEndpoint_URL = {US}\n\
             [services here]\nkinesis =\n  endpoint_url = {US}\n"
        );
        assert_eq!(destinations("profile", &ROLE[..1], &profile).await, AWS);
    }

    #[tokio::test]
    async fn an_endpoint_named_for_another_service_stands() {
        let mut variables = ROLE.to_vec();
        variables.push(("AWS_ENDPOINT_URL", US));
        variables.push(("AWS_ENDPOINT_URL_STS", "http://sts.internal"));
        let called = destinations("other", &variables, "").await;
        assert!(called.contains(&"http://sts.internal/".to_owned()), "{called:?}");
        assert!(!called.iter().any(|uri| uri.starts_with(US)), "{called:?}");
    }

    #[tokio::test]
    async fn a_configured_endpoint_is_used() {
        let called = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&called);
        let settings = fake::settings(move |request| {
            log.lock().unwrap().push(request.uri().to_owned());
            (500, vec![])
        })
        .await;
        let endpoint = Some("http://emulator:4566".to_owned());
        drop(settings.kinesis(endpoint).list_streams().send().await);
        assert_eq!(*called.lock().unwrap(), ["http://emulator:4566/"]);
        assert_eq!(settings.region(), Some("us-east-1"));
    }
}
