//! What the claims of a token mean.

use std::collections::BTreeSet;

use catalogs::Oidc;
use engine::{Attributes, Principal, Scope};
use serde_json::{Map, Value};

/// Who the claims say that asks. None where they name nobody.
pub(super) fn principal(claims: &Map<String, Value>, settings: &Oidc) -> Option<Principal> {
    let name = texts(claims, &settings.name).into_iter().next().filter(|name| is_name(name))?;
    let roles = texts(claims, &settings.roles);
    let known: Vec<String> = roles.iter().filter_map(|role| settings.role_names.get(role).cloned()).collect();
    let unknown: Vec<&String> = roles.iter().filter(|role| !settings.role_names.contains_key(*role)).collect();
    if !unknown.is_empty() {
        tracing::debug!(principal = name, roles = ?unknown, "Roles of a token that auth.oidc.roles does not name.");
    }
    let of = |claim: &Option<String>| claim.as_ref().map(|claim| texts(claims, claim)).unwrap_or_default();
    let attributes: Attributes = settings
        .attributes
        .iter()
        .map(|(attribute, claim)| (attribute.clone(), texts(claims, claim)))
        // Without values it is missing, and what is missing denies.
        .filter(|(_, values)| !values.is_empty())
        .collect();
    Some(
        Principal::new(name, known)
            .with_projects(of(&settings.projects))
            .with_tenant(of(&settings.tenant).into_iter().next())
            .with_attributes(attributes)
            .with_scopes(scopes(claims)),
    )
}

/// Whether a text can be a name: it stands in logs and listings.
fn is_name(text: &str) -> bool {
    const LONGEST: usize = 256;
    !text.trim().is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

/// The scopes of a token that names any of ours, as `weft:mcp`. Else it is good for all that the principal may.
fn scopes(claims: &Map<String, Value>) -> Option<BTreeSet<Scope>> {
    let named: Vec<String> = ["scope", "scp"].iter().flat_map(|claim| words(claims.get(*claim))).collect();
    let ours: BTreeSet<&str> = named.iter().filter_map(|scope| scope.strip_prefix("weft:")).collect();
    (!ours.is_empty()).then(|| ours.into_iter().filter_map(Scope::named).collect())
}

/// The texts of the claim at a path: one, or those of a list.
fn texts(claims: &Map<String, Value>, path: &str) -> Vec<String> {
    // A claim may have dots in its own name, as those that are called by a URL.
    let found = claims.get(path).or_else(|| {
        let mut parts = path.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    });
    match found {
        Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}
