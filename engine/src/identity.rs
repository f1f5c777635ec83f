//! Who asks. A principal is a value that a caller must hold; there is no query without one.
//!
//! Doors read what a request presents, and an [`Authenticator`] makes a principal of it, the same on every door.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use tokio_util::sync::CancellationToken;

use crate::{Code, Door, Error};

/// The role that sees everything and that no policy restricts.
pub const ADMIN: &str = "admin";

/// What policies know of a principal besides its roles: each name stands for one value or for several.
pub type Attributes = BTreeMap<String, Vec<String>>;

/// Who asks, with the roles and attributes that policies speak of.
#[derive(Debug, Clone)]
pub struct Principal {
    name: String,
    roles: BTreeSet<String>,
    projects: BTreeSet<String>,
    tenant: Option<String>,
    attributes: Attributes,
    scopes: Option<BTreeSet<Scope>>,
    credential: Option<Arc<str>>,
    peer: Option<IpAddr>,
    session: CancellationToken,
}

/// What a credential may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Questions through Flight SQL.
    Flight,
    /// Refreshing datasets.
    Manage,
    /// Questions through the Model Context Protocol.
    Mcp,
    /// The server's metrics.
    Metrics,
    /// Questions through REST.
    Rest,
}

impl Scope {
    /// Every scope, by name.
    pub const ALL: [Scope; 5] = [Scope::Flight, Scope::Manage, Scope::Mcp, Scope::Metrics, Scope::Rest];

    /// The scope as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Flight => "flight",
            Scope::Manage => "manage",
            Scope::Mcp => "mcp",
            Scope::Metrics => "metrics",
            Scope::Rest => "rest",
        }
    }

    /// The scope of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Principal {
    /// The person at this machine: all rights. Doors use it while no authentication is configured.
    pub fn local() -> Self {
        Self::new("local", [ADMIN.to_owned()])
    }

    /// A principal by name and roles, as an authenticator or a policy file knows it.
    pub fn new(name: impl Into<String>, roles: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.into(),
            roles: roles.into_iter().collect(),
            projects: BTreeSet::new(),
            tenant: None,
            attributes: Attributes::new(),
            scopes: None,
            credential: None,
            peer: None,
            session: CancellationToken::new(),
        }
    }

    /// The same principal as a member of `projects`.
    pub fn with_projects(mut self, projects: impl IntoIterator<Item = String>) -> Self {
        self.projects.extend(projects);
        self
    }

    /// The same principal as one of `tenant`.
    pub fn with_tenant(mut self, tenant: Option<String>) -> Self {
        self.tenant = tenant;
        self
    }

    /// The same principal with `attributes`, which come from its identity provider.
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// The same principal by a credential that is good for `scopes` only; None = for all that the principal may.
    pub fn with_scopes(mut self, scopes: Option<BTreeSet<Scope>>) -> Self {
        self.scopes = scopes;
        self
    }

    /// The same principal by the credential called `credential`, until `session` is cancelled: then its queries end.
    pub fn by(mut self, credential: impl Into<Arc<str>>, session: CancellationToken) -> Self {
        self.credential = Some(credential.into());
        self.session = session;
        self
    }

    /// The name, as the journal keeps it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The roles that policies speak of.
    pub fn roles(&self) -> &BTreeSet<String> {
        &self.roles
    }

    /// The projects that the principal belongs to.
    pub fn projects(&self) -> &BTreeSet<String> {
        &self.projects
    }

    /// The tenant whose rows it may see where datasets are shared between tenants.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Attributes from the identity provider.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The credential that it came by, as listings show it; never a secret.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    /// The same principal at the address `peer`.
    pub fn at(mut self, peer: Option<IpAddr>) -> Self {
        self.peer = peer;
        self
    }

    /// The address that it asks from.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Whether no policy restricts this principal.
    pub fn is_admin(&self) -> bool {
        self.roles.contains(ADMIN)
    }

    /// Whether `other` is the same principal with the same rights, by whatever credential.
    pub fn is_as(&self, other: &Principal) -> bool {
        self.name == other.name
            && self.roles == other.roles
            && self.projects == other.projects
            && self.tenant == other.tenant
            && self.attributes == other.attributes
            && self.scopes == other.scopes
    }

    /// Lets the principal do what `scope` is for.
    ///
    /// # Errors
    /// `permission_denied` where its credential is for other things.
    pub fn demand(&self, scope: Scope) -> Result<(), Error> {
        match &self.scopes {
            Some(scopes) if !scopes.contains(&scope) => Err(Error::new(
                Code::PermissionDenied,
                format!("This credential is not good for the scope \"{scope}\"."),
            )
            .hint("An administrator can make a key with that scope: weft keys create --scope.")),
            _ => Ok(()),
        }
    }

    /// What ends with the principal's session.
    pub(crate) fn session(&self) -> &CancellationToken {
        &self.session
    }
}

/// What a request shows of who sends it.
#[derive(Clone, Default)]
pub struct Presented {
    /// The token of `Authorization: Bearer`.
    pub bearer: Option<String>,
    /// The name and the password of `Authorization: Basic`.
    pub basic: Option<(String, String)>,
    /// The certificate that the client proved to hold (DER).
    pub certificate: Option<Vec<u8>>,
    /// The address that it comes from.
    pub peer: Option<IpAddr>,
}

/// Passwords and tokens stay out of logs.
impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("bearer", &self.bearer.is_some())
            .field("basic", &self.basic.as_ref().map(|(name, _)| name))
            .field("certificate", &self.certificate.is_some())
            .field("peer", &self.peer)
            .finish()
    }
}

impl Presented {
    /// What the `Authorization` header says. Schemes that nobody here knows say nothing.
    pub fn of_header(authorization: Option<&str>) -> Self {
        let mut presented = Self::default();
        let Some((scheme, value)) = authorization.and_then(|header| header.trim().split_once(' ')) else {
            return presented;
        };
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            // `Bearer None` is what flightsql-dbapi sends for nobody.
            presented.bearer = (!value.is_empty() && value != "None").then(|| value.to_owned());
        } else if scheme.eq_ignore_ascii_case("basic") {
            presented.basic = basic(value);
        }
        presented
    }

    /// The same from the address `peer`.
    pub fn coming_from(mut self, peer: Option<IpAddr>) -> Self {
        self.peer = peer;
        self
    }

    /// Whether the request shows nothing.
    pub fn is_empty(&self) -> bool {
        self.bearer.is_none() && self.basic.is_none() && self.certificate.is_none()
    }
}

fn basic(value: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value)).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// Makes principals of what requests present: the one place that does.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Who asks, through `door`.
    ///
    /// # Errors
    /// `unauthenticated` where nobody can be told from it, `permission_denied` where its credential is not for this door,
    /// `rate_limited` after many failures.
    async fn authenticate(&self, door: Door, presented: &Presented) -> Result<Principal, Error>;

    /// A token that stands for the same principal from now on, so that a password is verified once; None = what was
    /// presented serves itself, or nothing needs to be.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    async fn sign_in(&self, door: Door, presented: &Presented) -> Result<Option<String>, Error>;

    /// Ends the session of that token.
    fn sign_out(&self, token: &str);

    /// Whether everybody is let in, as whoever the server was started for.
    fn is_open(&self) -> bool;
}

/// Lets everybody in as one principal: for loopback, tests and embedding.
#[derive(Debug, Clone)]
pub struct Everybody(pub Principal);

#[async_trait]
impl Authenticator for Everybody {
    async fn authenticate(&self, _: Door, _: &Presented) -> Result<Principal, Error> {
        Ok(self.0.clone())
    }

    async fn sign_in(&self, _: Door, _: &Presented) -> Result<Option<String>, Error> {
        Ok(None)
    }

    fn sign_out(&self, _: &str) {}

    fn is_open(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_who_asks_in_two_ways() {
        let bearer = |header| Presented::of_header(Some(header)).bearer;
        assert_eq!(bearer("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(bearer("bearer  abc ").as_deref(), Some("abc"));
        for nobody in ["Bearer None", "Bearer ", "Bearer", "", "Digest abc"] {
            assert!(Presented::of_header(Some(nobody)).is_empty(), "{nobody}");
        }
        let basic = |header| Presented::of_header(Some(header)).basic;
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(basic("Basic bWVlcmE6YTpi"), pair("meera", "a:b"));
        assert_eq!(basic("basic bWVlcmE6"), pair("meera", ""));
        for broken in ["Basic %%", "Basic bWVlcmE=", "Basic /w=="] {
            assert_eq!(basic(broken), None, "{broken}");
        }
    }

    #[test]
    fn what_was_presented_is_not_logged() {
        let shown = format!("{:?}", Presented::of_header(Some("Basic bWVlcmE6c2VjcmV0")));
        assert!(shown.contains("meera") && !shown.contains("secret"), "{shown}");
        assert!(!format!("{:?}", Presented::of_header(Some("Bearer abc"))).contains("abc"));
    }

    #[test]
    fn a_credential_is_good_for_its_scopes() {
        let principal = Principal::new("meera", []).with_scopes(Some([Scope::Mcp].into()));
        assert!(principal.demand(Scope::Mcp).is_ok());
        assert_eq!(principal.demand(Scope::Flight).unwrap_err().code(), Code::PermissionDenied);
        assert!(Principal::new("meera", []).demand(Scope::Flight).is_ok());
        assert!(Scope::ALL.iter().all(|scope| Scope::named(scope.as_str()) == Some(*scope)));
    }
}
