//! Who vouches for callers: an identity provider whose tokens are believed, and what their claims mean here.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::amount::Timespan;

/// An identity provider, and what the claims of its tokens mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// Its address, exactly as its tokens say it in `iss`.
    pub issuer: String,
    /// What tokens must be for: one of these in `aud`.
    pub audience: Vec<String>,
    /// Where callers reach this server, for those that ask who vouches for them; None = as they called it.
    pub resource: Option<String>,
    /// The claim with the caller's name.
    pub name: String,
    /// The claim with the caller's roles at the provider.
    pub roles: String,
    /// What roles at the provider are here; what is not here gives no rights.
    pub role_names: BTreeMap<String, String>,
    /// The claim with the caller's projects.
    pub projects: Option<String>,
    /// The claim with the caller's tenant.
    pub tenant: Option<String>,
    /// The claim of each attribute.
    pub attributes: BTreeMap<String, String>,
    /// How far the provider's clock may be off.
    pub leeway: Duration,
    /// How long its keys are believed while it cannot be reached.
    pub keep_keys_for: Duration,
}

/// An identity provider, and what the claims of its tokens mean. A claim is named by its path, as `realm_access.roles`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Oidc")]
pub(crate) struct OidcSection {
    /// The address of an identity provider (OpenID Connect) whose tokens are accepted as `Authorization: Bearer TOKEN`: exactly as
    /// its tokens say it in `iss`. Its keys are found through `/.well-known/openid-configuration` there.
    pub(crate) issuer: Option<String>,
    /// What tokens must be for: their `aud` has one of these. It must be set.
    audience: Vec<String>,
    /// The address under which callers reach this server, such as `https://weft.example.com`, for clients that ask who vouches for them
    /// (RFC 9728). Without it, the one they called.
    #[schemars(extend("format" = "url"))]
    resource: Option<String>,
    /// The claim with the caller's name. It must be one that nobody can choose; `sub` unless set.
    name_claim: Option<String>,
    /// The claim with the caller's roles at the provider, a list or one text; `roles` unless set.
    roles_claim: Option<String>,
    /// What each role of the provider is here. A role that is not listed gives no rights.
    roles: BTreeMap<String, String>,
    /// The claim with the caller's projects.
    projects_claim: Option<String>,
    /// The claim with the caller's tenant.
    tenant_claim: Option<String>,
    /// The claim of each attribute that rules speak of, by the attribute's name.
    attributes: BTreeMap<String, String>,
    /// How far the provider's clock may be off; 1m unless set.
    leeway: Option<Timespan>,
    /// How long the provider's keys are believed while it cannot be reached; 24h unless set.
    keep_keys_for: Option<Timespan>,
}

impl OidcSection {
    /// What is wrong, and where.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let Some(issuer) = &self.issuer else {
            return self.is_touched().then_some(("auth.oidc.issuer", "it must be set, as the tokens say it in `iss`"));
        };
        let is_safe = url::Url::parse(issuer).is_ok_and(|url| match (url.scheme(), url.host_str()) {
            ("https", Some(_)) => true,
            // For an identity provider on this machine, such as one of a test.
            ("http", Some(host)) => matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
            _ => false,
        });
        if !is_safe {
            return Some((
                "auth.oidc.issuer",
                "expected an https:// address, such as https://id.example.com/realms/weft",
            ));
        }
        self.audience
            .is_empty()
            .then_some(("auth.oidc.audience", "it must be set: else any token of the provider would do"))
    }

    fn is_touched(&self) -> bool {
        let names = [&self.resource, &self.name_claim, &self.roles_claim, &self.projects_claim, &self.tenant_claim];
        !(self.audience.is_empty() && self.roles.is_empty() && self.attributes.is_empty())
            || names.iter().any(|name| name.is_some())
    }

    pub(crate) fn read(self) -> Option<Oidc> {
        let or = |claim: Option<String>, default: &str| claim.unwrap_or_else(|| default.to_owned());
        Some(Oidc {
            issuer: self.issuer?,
            audience: self.audience,
            resource: self.resource.map(|url| url.trim_end_matches('/').to_owned()),
            name: or(self.name_claim, "sub"),
            roles: or(self.roles_claim, "roles"),
            role_names: self.roles,
            projects: self.projects_claim,
            tenant: self.tenant_claim,
            attributes: self.attributes,
            leeway: self.leeway.map_or(Duration::from_secs(60), |time| time.0),
            keep_keys_for: self.keep_keys_for.map_or(Duration::from_secs(24 * 3600), |time| time.0),
        })
    }
}
