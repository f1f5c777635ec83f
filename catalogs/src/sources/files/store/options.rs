//! The keys of `connection:` that belong to stores, shared by every kind of files.
//!
//! What is not written here comes from the environment, by the names that each store's own tools use.

use std::fmt;

use engine::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::{Address, Scheme, invalid};
use crate::home::Timespan;

/// The options of stores. `${VAR}` keeps secrets out of the file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct StoreOptions {
    /// `s3://`: the region of the bucket. Default: `AWS_REGION`, else `us-east-1`.
    pub(super) region: Option<String>,
    /// The URL of a store that speaks S3, such as `https://minio.example:9000`, or of one that stands in for Google's or
    /// Azure's. Default: the cloud's own.
    pub(super) endpoint: Option<String>,
    /// `s3://`: the id of the access key. Default: `AWS_ACCESS_KEY_ID` and what else the environment offers.
    pub(super) access_key_id: Option<Secret>,
    /// `s3://`: the secret of the access key.
    pub(super) secret_access_key: Option<Secret>,
    /// `s3://`: the token of temporary access keys.
    pub(super) session_token: Option<Secret>,
    /// `s3://`: whether the bucket is a part of the host's name. Default: it is the first part of the path.
    pub(super) virtual_hosted_style: Option<bool>,
    /// `gs://`: the file with the key of a service account. Default: `GOOGLE_SERVICE_ACCOUNT` and what else the
    /// environment offers. `gs://` is built on the same crate as `s3://`; it was not run against the real service.
    pub(super) service_account_file: Option<String>,
    /// `gs://`: the key of a service account itself, as JSON.
    pub(super) service_account_key: Option<Secret>,
    /// `az://`, `abfss://`: the storage account. Default: the one in the path, else `AZURE_STORAGE_ACCOUNT_NAME`. `az://` is
    /// built on the same crate as `s3://`; it was not run against the real service.
    pub(super) account_name: Option<String>,
    /// `az://`, `abfss://`: the key of the storage account. Default: `AZURE_STORAGE_ACCOUNT_KEY` and what else the environment
    /// offers.
    pub(super) account_key: Option<Secret>,
    /// `az://`, `abfss://`: a shared access signature.
    pub(super) sas_token: Option<Secret>,
    /// `az://`, `abfss://`: the tenant of an application, with `client_id` and `client_secret`.
    pub(super) tenant_id: Option<String>,
    /// `az://`, `abfss://`: the id of an application.
    pub(super) client_id: Option<String>,
    /// `az://`, `abfss://`: the secret of an application.
    pub(super) client_secret: Option<Secret>,
    /// Ask without credentials, as for public buckets.
    pub(super) anonymous: bool,
    /// Allow `http://`, which anyone on the way can read and change. Hosts of this machine need no leave.
    pub(super) allow_http: bool,
    /// A PEM file of further authorities that may vouch for the server, next to the system's.
    pub(super) tls_ca_file: Option<String>,
    /// A connection that takes longer to open is given up, and tried again. Default: 5s.
    pub(super) connect_timeout: Option<Timespan>,
    /// A request that takes longer is given up, and tried again; files are read in parts, each a request. Default: 30s.
    pub(super) timeout: Option<Timespan>,
}

/// Text that is never shown.
#[derive(Clone, JsonSchema)]
#[schemars(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// A number stands for its own spelling; an error never repeats the value.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(serde::de::Error::custom("a secret must be text")),
        }
    }
}

const EVERY: &[Scheme] = &[Scheme::S3, Scheme::Gcs, Scheme::Azure, Scheme::Http];
const CLOUDS: &[Scheme] = &[Scheme::S3, Scheme::Gcs, Scheme::Azure];
const S3: &[Scheme] = &[Scheme::S3];
const GCS: &[Scheme] = &[Scheme::Gcs];
const AZURE: &[Scheme] = &[Scheme::Azure];

impl StoreOptions {
    /// The options that are set, each with the schemes that it belongs to.
    fn given(&self) -> impl Iterator<Item = (&'static str, &'static [Scheme])> {
        let all = [
            ("access_key_id", S3, self.access_key_id.is_some()),
            ("account_key", AZURE, self.account_key.is_some()),
            ("account_name", AZURE, self.account_name.is_some()),
            ("allow_http", EVERY, self.allow_http),
            ("anonymous", CLOUDS, self.anonymous),
            ("client_id", AZURE, self.client_id.is_some()),
            ("client_secret", AZURE, self.client_secret.is_some()),
            ("connect_timeout", EVERY, self.connect_timeout.is_some()),
            ("endpoint", CLOUDS, self.endpoint.is_some()),
            ("region", S3, self.region.is_some()),
            ("sas_token", AZURE, self.sas_token.is_some()),
            ("secret_access_key", S3, self.secret_access_key.is_some()),
            ("service_account_file", GCS, self.service_account_file.is_some()),
            ("service_account_key", GCS, self.service_account_key.is_some()),
            ("session_token", S3, self.session_token.is_some()),
            ("tenant_id", AZURE, self.tenant_id.is_some()),
            ("timeout", EVERY, self.timeout.is_some()),
            ("tls_ca_file", EVERY, self.tls_ca_file.is_some()),
            ("virtual_hosted_style", S3, self.virtual_hosted_style.is_some()),
        ];
        all.into_iter().filter(|(_, _, is_set)| *is_set).map(|(name, schemes, _)| (name, schemes))
    }

    /// Checks the options among themselves.
    pub(super) fn check(&self) -> Result<(), Error> {
        let pairs = [
            ("access_key_id", self.access_key_id.is_some(), "secret_access_key", self.secret_access_key.is_some()),
            ("secret_access_key", self.secret_access_key.is_some(), "access_key_id", self.access_key_id.is_some()),
            ("session_token", self.session_token.is_some(), "access_key_id", self.access_key_id.is_some()),
            ("client_secret", self.client_secret.is_some(), "client_id", self.client_id.is_some()),
            ("client_secret", self.client_secret.is_some(), "tenant_id", self.tenant_id.is_some()),
        ];
        for (one, is_one, other, is_other) in pairs {
            if is_one && !is_other {
                return Err(invalid(format!("Option \"{one}\" needs \"{other}\" next to it.")));
            }
        }
        if self.service_account_file.is_some() && self.service_account_key.is_some() {
            return Err(invalid("Options \"service_account_file\" and \"service_account_key\" exclude each other."));
        }
        if let Some(credential) = self.credential().filter(|_| self.anonymous) {
            return Err(invalid(format!("Options \"anonymous\" and \"{credential}\" exclude each other.")));
        }
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.filter(|url| url.host().is_some());
        let url =
            url.ok_or_else(|| invalid("Option \"endpoint\" must be a URL such as https://minio.example:9000."))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(invalid("Option \"endpoint\" holds no user, no password and no query."));
        }
        if url.scheme() == "http" && !self.may_be_plain(&url) {
            return Err(invalid(
                "Option \"endpoint\" begins with http://: write https://, or set \"allow_http\" to true.",
            ));
        }
        Ok(())
    }

    /// Checks the options against the place that they are for.
    pub(super) fn check_for(&self, address: &Address) -> Result<(), Error> {
        if let Some((name, _)) = self.given().find(|(_, schemes)| !schemes.contains(&address.scheme)) {
            let scheme = address.root.split("://").next().unwrap_or_default();
            return Err(invalid(format!("Option \"{name}\" does not belong to a path that begins with {scheme}://.")));
        }
        if address.scheme == Scheme::Http {
            let url = Url::parse(&address.root).map_err(|_| invalid("The URL in \"path\" cannot be read."))?;
            if url.scheme() == "http" && !self.may_be_plain(&url) {
                let text = "The path begins with http://: write https://, or set \"allow_http\" to true.";
                return Err(invalid(text));
            }
        }
        Ok(())
    }

    /// Checks that nothing is set, as for files of this machine.
    pub(super) fn check_none(&self) -> Result<(), Error> {
        match self.given().next() {
            Some((name, _)) => {
                Err(invalid(format!("Option \"{name}\" belongs to paths in stores, such as s3://bucket/folder.")))
            }
            None => Ok(()),
        }
    }

    /// Whether a URL may be asked without encryption.
    pub(super) fn may_be_plain(&self, url: &Url) -> bool {
        let is_here = match url.host() {
            Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.allow_http || is_here
    }

    /// An option that holds a credential, if one is set: the environment's are left alone then.
    pub(super) fn credential(&self) -> Option<&'static str> {
        const CREDENTIALS: [&str; 6] = [
            "access_key_id",
            "account_key",
            "client_secret",
            "sas_token",
            "service_account_file",
            "service_account_key",
        ];
        self.given().map(|(name, _)| name).find(|name| CREDENTIALS.contains(name))
    }

    /// Every secret, to be kept out of what libraries say.
    pub(super) fn secrets(&self) -> Vec<String> {
        let all = [
            &self.access_key_id,
            &self.secret_access_key,
            &self.session_token,
            &self.service_account_key,
            &self.account_key,
            &self.sas_token,
            &self.client_secret,
        ];
        all.into_iter().flatten().map(|secret| secret.0.clone()).filter(|secret| !secret.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(value: serde_json::Value) -> StoreOptions {
        serde_json::from_value(value).unwrap()
    }

    fn fault(path: &str, value: serde_json::Value) -> Option<String> {
        let made = super::super::Stores::new("/".into(), Some(path), options(value));
        made.err().map(|error| error.message().to_owned())
    }

    #[test]
    fn options_are_held_against_the_path_and_each_other() {
        for (path, value, message) in [
            (
                "data",
                json!({ "region": "x" }),
                "Option \"region\" belongs to paths in stores, such as s3://bucket/folder.",
            ),
            ("gs://b", json!({ "region": "x" }), "Option \"region\" does not belong to a path that begins with gs://."),
            (
                "s3://b",
                json!({ "access_key_id": "x" }),
                "Option \"access_key_id\" needs \"secret_access_key\" next to it.",
            ),
            (
                "s3://b",
                json!({ "access_key_id": "x", "secret_access_key": "x", "anonymous": true }),
                "Options \"anonymous\" and \"access_key_id\" exclude each other.",
            ),
            (
                "s3://b",
                json!({ "endpoint": "http://minio.example" }),
                "Option \"endpoint\" begins with http://: write https://, or set \"allow_http\" to true.",
            ),
            (
                "http://data.example/x.csv",
                json!({}),
                "The path begins with http://: write https://, or set \"allow_http\" to true.",
            ),
            (
                "s3://b",
                json!({ "endpoint": "minio" }),
                "Option \"endpoint\" must be a URL such as https://minio.example:9000.",
            ),
        ] {
            assert_eq!(fault(path, value).as_deref(), Some(message));
        }
        for (path, value) in [
            ("s3://b", json!({ "endpoint": "http://localhost:9000", "region": "x", "anonymous": true })),
            ("s3://b", json!({ "endpoint": "http://[::1]:9000" })),
            ("s3://b", json!({ "endpoint": "http://minio.example", "allow_http": true })),
            ("http://127.0.0.1:1/x.csv", json!({ "connect_timeout": "1s" })),
            ("data", json!({})),
        ] {
            assert_eq!(fault(path, value), None, "{path}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let options =
            options(json!({ "access_key_id": "hunter2", "secret_access_key": 12345, "sas_token": "hunter2" }));
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("12345"), "{shown}");
        let error = serde_json::from_value::<StoreOptions>(json!({ "sas_token": ["hunter2"] })).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
