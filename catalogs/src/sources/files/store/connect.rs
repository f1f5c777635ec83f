//! Connects to a store: its options, else what the environment says, else the cloud's own way to find credentials.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Code, Error};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::options::Secret;
use super::{Address, Bucket, Scheme, StoreOptions};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Variables of the environment by name.
type Environment = Vec<(String, String)>;

/// The store that `address` is in. It is asked nothing yet.
pub(super) fn connect(address: &Address, options: &StoreOptions, root: &Path) -> Result<Bucket, Error> {
    let env: Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let client = client(address, options, root)?;
    let store: Arc<dyn ObjectStore> = match address.scheme {
        Scheme::S3 => Arc::new(s3(address, options, client, &env).build().map_err(refused)?),
        Scheme::Gcs => Arc::new(gcs(address, options, client, root, &env).build().map_err(refused)?),
        Scheme::Azure => Arc::new(azure(address, options, client, &env).build().map_err(refused)?),
        Scheme::Http => {
            let url = format!("{}?{}", address.display(), address.query.as_deref().unwrap_or_default());
            let url = if address.query.is_some() { url.as_str() } else { url.trim_end_matches('?') };
            let builder = HttpBuilder::new().with_url(url).with_client_options(client).with_retry(retries());
            Arc::new(builder.build().map_err(refused)?)
        }
    };
    let mut secrets = options.secrets();
    secrets.extend(address.query.clone());
    Ok(Bucket::new(address.scheme, store, secrets))
}

/// What a store cannot be made of. The library's sentence may repeat a value.
fn refused(_: object_store::Error) -> Error {
    Error::new(Code::SourceRejected, "The options of the store, or those of the environment, do not fit together.")
        .hint(
            "Look at the credentials: what `connection:` does not set comes from AWS_*, GOOGLE_* or AZURE_* variables.",
        )
}

/// Tries again for some seconds, so that neither a hiccup nor a store that is gone costs a query.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(30),
    }
}

fn client(address: &Address, options: &StoreOptions, root: &Path) -> Result<ClientOptions, Error> {
    let plain = [options.endpoint.as_deref(), Some(address.root.as_str())].into_iter().flatten();
    let is_plain = plain.filter_map(|url| Url::parse(url).ok()).any(|url| url.scheme() == "http");
    // Both were checked: a plain URL is one of this machine, or was asked for.
    let mut client = ClientOptions::new()
        .with_allow_http(options.allow_http || is_plain)
        .with_connect_timeout(options.connect_timeout.map_or(CONNECT_TIMEOUT, |time| time.0))
        .with_timeout(options.timeout.map_or(TIMEOUT, |time| time.0));
    if let Some(file) = &options.tls_ca_file {
        let unreadable = || {
            Error::new(Code::SourceRejected, "The file of option \"tls_ca_file\" cannot be read as PEM certificates.")
                .hint("Give the path of a PEM file; a relative path starts from the home folder.")
        };
        let pem = std::fs::read(root.join(file)).map_err(|error| unreadable().cause(error))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unreadable().cause(error))?;
        if certificates.is_empty() {
            return Err(unreadable());
        }
        for certificate in certificates {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

/// The bucket, or the container and its account.
fn names(address: &Address) -> (&str, Option<&str>) {
    let name = address.root.split_once("://").map_or("", |(_, name)| name);
    match name.split_once('@') {
        Some((container, host)) => (container, host.split('.').next()),
        None => (name, None),
    }
}

fn revealed(secret: &Secret) -> &str {
    secret.reveal()
}

/// Variables that begin with `prefix`, by the keys that the store knows.
fn known<'a, K: std::str::FromStr>(env: &'a Environment, prefix: &str) -> Vec<(K, &'a str)> {
    let own = env.iter().filter(|(name, _)| name.starts_with(prefix));
    own.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str()))).collect()
}

fn s3(address: &Address, options: &StoreOptions, client: ClientOptions, env: &Environment) -> AmazonS3Builder {
    use AmazonS3ConfigKey as Key;
    let mut builder = AmazonS3Builder::new().with_client_options(client).with_retry(retries());
    for (key, value) in known::<Key>(env, "AWS_") {
        // Half of the credentials from here and half from there would be no credentials.
        let is_credential = matches!(key, Key::AccessKeyId | Key::SecretAccessKey | Key::Token | Key::SkipSignature);
        let is_endpoint = matches!(key, Key::Endpoint | Key::S3Endpoint | Key::VirtualHostedStyleRequest);
        let is_overridden = (is_credential && options.credential().is_some())
            || (is_endpoint && options.endpoint.is_some())
            || matches!(key, Key::Bucket);
        if !is_overridden {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder.with_bucket_name(names(address).0);
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let (Some(id), Some(secret)) = (&options.access_key_id, &options.secret_access_key) {
        builder = builder.with_access_key_id(id.reveal()).with_secret_access_key(secret.reveal());
    }
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token.reveal());
    }
    if let Some(is_hosted) = options.virtual_hosted_style {
        builder = builder.with_virtual_hosted_style_request(is_hosted);
    }
    if options.anonymous {
        builder = builder.with_skip_signature(true);
    }
    builder
}

fn gcs(
    address: &Address,
    options: &StoreOptions,
    client: ClientOptions,
    root: &Path,
    env: &Environment,
) -> GoogleCloudStorageBuilder {
    use GoogleConfigKey as Key;
    let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client).with_retry(retries());
    for (key, value) in known::<Key>(env, "GOOGLE_") {
        let is_credential = matches!(
            key,
            Key::ServiceAccount | Key::ServiceAccountKey | Key::ApplicationCredentials | Key::SkipSignature
        );
        let is_overridden = (is_credential && options.credential().is_some()) || matches!(key, Key::Bucket);
        if !is_overridden {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder.with_bucket_name(names(address).0);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(file) = &options.service_account_file {
        builder = builder.with_service_account_path(root.join(file).to_string_lossy());
    }
    if let Some(key) = &options.service_account_key {
        builder = builder.with_service_account_key(key.reveal());
    }
    if options.anonymous {
        builder = builder.with_skip_signature(true);
    }
    builder
}

fn azure(address: &Address, options: &StoreOptions, client: ClientOptions, env: &Environment) -> MicrosoftAzureBuilder {
    use AzureConfigKey as Key;
    let mut builder = MicrosoftAzureBuilder::new().with_client_options(client).with_retry(retries());
    let (container, account) = names(address);
    for (key, value) in known::<Key>(env, "AZURE_") {
        let is_place = matches!(key, Key::ContainerName);
        let is_kept = matches!(key, Key::AccountName | Key::AuthorityHost | Key::Client(_));
        if !is_place && (is_kept || options.credential().is_none()) {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder.with_container_name(container);
    if let Some(account) = options.account_name.as_deref().or(account) {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let given = [
        (Key::AccessKey, options.account_key.as_ref().map(revealed)),
        (Key::SasKey, options.sas_token.as_ref().map(revealed)),
        (Key::AuthorityId, options.tenant_id.as_deref()),
        (Key::ClientId, options.client_id.as_deref()),
        (Key::ClientSecret, options.client_secret.as_ref().map(revealed)),
    ];
    for (key, value) in given {
        if let Some(value) = value {
            builder = builder.with_config(key, value);
        }
    }
    if options.anonymous {
        builder = builder.with_skip_signature(true);
    }
    builder
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn of_s3(options: serde_json::Value, variables: &[(&str, &str)]) -> impl Fn(AmazonS3ConfigKey) -> Option<String> {
        let options: StoreOptions = serde_json::from_value(options).unwrap();
        let address = Address::parse("s3://bucket/x").unwrap().unwrap();
        let builder = s3(&address, &options, ClientOptions::new(), &env(variables));
        move |key| builder.get_config_value(&key)
    }

    #[test]
    fn the_environment_says_what_the_options_leave_open() {
        use AmazonS3ConfigKey as Key;
        let variables = [
            ("AWS_ACCESS_KEY_ID", "env-id"),
            ("AWS_SECRET_ACCESS_KEY", "env-secret"),
            ("AWS_SESSION_TOKEN", "env-token"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL_S3", "https://env.example"),
            ("AWS_BUCKET", "other"),
            ("AWS_UNHEARD_OF", "x"),
            ("HOME", "x"),
        ];
        let built = of_s3(json!({}), &variables);
        assert_eq!(built(Key::AccessKeyId).as_deref(), Some("env-id"));
        assert_eq!(built(Key::Token).as_deref(), Some("env-token"));
        assert_eq!(built(Key::Region).as_deref(), Some("eu-central-1"));
        assert_eq!(built(Key::S3Endpoint).as_deref(), Some("https://env.example"));
        assert_eq!(built(Key::Bucket).as_deref(), Some("bucket"));
        let own = json!({ "access_key_id": "own", "secret_access_key": "x", "endpoint": "https://own.example" });
        let built = of_s3(own, &variables);
        assert_eq!(built(Key::AccessKeyId).as_deref(), Some("own"));
        assert_eq!(built(Key::Token), None, "a token belongs to the key that it came with");
        assert_eq!(built(Key::Endpoint).as_deref(), Some("https://own.example"));
        assert_eq!(built(Key::S3Endpoint), None);
    }

    #[test]
    fn an_azure_path_names_its_container_and_its_account() {
        let options: StoreOptions = serde_json::from_value(json!({ "account_key": "a2V5" })).unwrap();
        let address = Address::parse("abfss://lake@acme.dfs.core.windows.net/x").unwrap().unwrap();
        let variables = env(&[("AZURE_STORAGE_ACCOUNT_NAME", "other"), ("AZURE_STORAGE_SAS_KEY", "sig=x")]);
        let builder = azure(&address, &options, ClientOptions::new(), &variables);
        let value = |key| builder.get_config_value(&key);
        assert_eq!(value(AzureConfigKey::ContainerName).as_deref(), Some("lake"));
        assert_eq!(value(AzureConfigKey::AccountName).as_deref(), Some("acme"));
        assert_eq!(value(AzureConfigKey::AccessKey).as_deref(), Some("a2V5"));
        assert_eq!(value(AzureConfigKey::SasKey), None);
    }
}
