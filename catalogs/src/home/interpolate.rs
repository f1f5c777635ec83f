//! `${NAME}` and `${NAME:default}` in any string of a file; `$${` is a plain `${`.
//!
//! A scalar that is wholly one variable is typed after substitution. Keys are never substituted.

use super::problem::Fault;
use super::yaml::{Node, Scalar, Style};

/// How environment variables are looked up.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Substitutes in every scalar below `node`; faults are reported with their key path.
pub(crate) fn interpolate(node: &mut Node, at: &str, env: Env<'_>, report: &mut dyn FnMut(&str, Fault)) {
    match node {
        Node::Scalar(scalar) => {
            if scalar.text.contains("${") {
                match substitute(&scalar.text, env) {
                    Ok(text) => *scalar = Scalar { text, style: Style::Substituted },
                    Err(fault) => {
                        scalar.style = Style::Unset;
                        report(at, fault);
                    }
                }
            }
        }
        Node::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                interpolate(item, &format!("{at}[{index}]"), env, report);
            }
        }
        Node::Map(entries) => {
            for (key, node) in entries {
                interpolate(node, &join(at, key), env, report);
            }
        }
    }
}

/// A key path one level deeper.
pub(crate) fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn substitute(text: &str, env: Env<'_>) -> Result<String, Fault> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(escaped) = rest[..at].strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = closing_brace(inner).ok_or(Fault::BadVariable)?;
        out.push_str(&variable(&inner[..end], env)?);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The value of `NAME` or `NAME:default`; a default may hold variables of its own.
fn variable(inner: &str, env: Env<'_>) -> Result<String, Fault> {
    let (name, default) = match inner.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(Fault::BadVariable);
    }
    match (env(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => substitute(default, env),
        (None, None) => Err(Fault::UnsetVariable(name.to_owned())),
    }
}

fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db.example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_take_their_value_or_their_default() {
        for (text, expected) in [
            ("${HOST}", "db.example"),
            ("http://${HOST}:80/", "http://db.example:80/"),
            ("${PORT:5432}", "5432"),
            ("${URL:postgres://h:1/d}", "postgres://h:1/d"),
            ("${NOT_SET:}", ""),
            ("${EMPTY:x}", ""),
            ("${A:${B:c}}", "c"),
            ("a $${HOST} b $ c", "a ${HOST} b $ c"),
        ] {
            assert_eq!(substitute(text, &env), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_without_default_is_a_fault() {
        assert_eq!(substitute("x${PORT}", &env), Err(Fault::UnsetVariable("PORT".to_owned())));
    }

    #[test]
    fn what_is_no_variable_is_a_fault() {
        for text in ["${", "${}", "${1A}", "${A B}", "${A"] {
            assert_eq!(substitute(text, &env), Err(Fault::BadVariable), "{text}");
        }
    }
}
