//! Who asks. A principal is a value that a caller must hold; there is no query without one.

use std::collections::{BTreeMap, BTreeSet};

/// Who asks, with the roles that policies speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    name: String,
    roles: BTreeSet<String>,
    projects: BTreeSet<String>,
    attributes: BTreeMap<String, String>,
}

/// The role that sees everything and that no policy restricts.
pub(crate) const ADMIN: &str = "admin";

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
            attributes: BTreeMap::new(),
        }
    }

    /// The same principal as a member of `projects`.
    pub fn with_projects(mut self, projects: impl IntoIterator<Item = String>) -> Self {
        self.projects.extend(projects);
        self
    }

    /// The same principal with `attributes`, which come from its identity provider.
    pub fn with_attributes(mut self, attributes: BTreeMap<String, String>) -> Self {
        self.attributes = attributes;
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

    /// Attributes from the identity provider.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Whether no policy restricts this principal.
    pub fn is_admin(&self) -> bool {
        self.roles.contains(ADMIN)
    }
}
