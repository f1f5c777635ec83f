//! Checks a file's tree against the JSON Schema of the struct that reads it, and types its scalars on the way.
//!
//! It finds every problem of a file at once, which serde, stopping at the first, cannot.

use engine::names::nearest;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::amount::{Size, Timespan};
use super::interpolate::join;
use super::problem::Fault;
use super::yaml::{Node, Scalar, Style};

/// What a file, or a part of one, must look like.
#[derive(Debug)]
pub(crate) struct Shape {
    root: Value,
}

/// Problems of one check, with key paths.
pub(crate) type Faults = Vec<(String, Fault)>;

impl Shape {
    pub(crate) fn of<T: JsonSchema>() -> Self {
        Self::from(schemars::schema_for!(T))
    }

    /// The schema as JSON, for the reference page.
    pub(crate) fn schema(&self) -> &Value {
        &self.root
    }

    /// Whether the top level knows `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.resolve(&self.root).get("properties").and_then(|known| known.get(key)).is_some()
    }

    /// The typed value of `node`. It is complete only if `faults` stays empty.
    pub(crate) fn read(&self, node: &Node, at: &str, faults: &mut Faults) -> Value {
        self.value(node, &self.root, at, faults)
    }

    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix("#/$defs/")) else {
            return schema;
        };
        self.root.get("$defs").and_then(|defs| defs.get(name)).unwrap_or(&Value::Bool(true))
    }

    fn value(&self, node: &Node, schema: &Value, at: &str, faults: &mut Faults) -> Value {
        if matches!(node, Node::Scalar(scalar) if scalar.style == Style::Unset) {
            return Value::Null;
        }
        let schema = self.resolve(schema);
        if let Some(branches) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            return self.any(node, branches, at, faults);
        }
        if let Some(allowed) = allowed_values(schema) {
            return one_of(node, &allowed, at, faults);
        }
        let types = type_names(schema);
        let nullable = types.is_empty() || types.contains(&"null");
        if node.is_null() && nullable {
            return Value::Null;
        }
        match types.iter().find(|name| **name != "null").copied() {
            Some("object") => self.object(node, schema, at, faults),
            Some("array") => self.array(node, schema, at, faults),
            Some(name) => scalar(node, name, schema, at, faults),
            None => untyped(node),
        }
    }

    /// The first branch that fits; where none does, the faults of the one that comes nearest.
    fn any(&self, node: &Node, branches: &[Value], at: &str, faults: &mut Faults) -> Value {
        let constants: Vec<&str> = branches.iter().filter_map(|branch| branch.get("const")?.as_str()).collect();
        if !constants.is_empty() && constants.len() == branches.len() {
            return one_of(node, &constants, at, faults);
        }
        let is_null = |branch: &&Value| type_names(branch) == ["null"];
        if node.is_null() && branches.iter().any(|branch| is_null(&branch)) {
            return Value::Null;
        }
        let mut best: Option<Faults> = None;
        for branch in branches.iter().filter(|branch| !is_null(branch)) {
            let mut tried = Faults::new();
            let value = self.value(node, branch, at, &mut tried);
            if tried.is_empty() {
                return value;
            }
            let depth = |faults: &Faults| faults.first().map_or(0, |(key, _)| key.len());
            if best.as_ref().is_none_or(|best| depth(&tried) > depth(best)) {
                best = Some(tried);
            }
        }
        faults.extend(best.unwrap_or_default());
        Value::Null
    }

    fn object(&self, node: &Node, schema: &Value, at: &str, faults: &mut Faults) -> Value {
        let entries = match node {
            Node::Map(entries) => entries.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                faults.push((at.to_owned(), wrong_type("a group of keys", node)));
                return Value::Null;
            }
        };
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let others = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        let mut map = Map::new();
        for (key, node) in entries {
            let path = join(at, key);
            match known.get(key) {
                Some(schema) => map.insert(key.clone(), self.value(node, schema, &path, faults)),
                None if *others == Value::Bool(false) => {
                    let near = nearest(key, known.keys().map(String::as_str)).map(str::to_owned);
                    faults.push((path, Fault::UnknownKey { near, known: known.keys().cloned().collect() }));
                    None
                }
                None => map.insert(key.clone(), self.value(node, others, &path, faults)),
            };
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            if !entries.iter().any(|(name, _)| name == key) {
                faults.push((join(at, key), Fault::Missing));
            }
        }
        Value::Object(map)
    }

    fn array(&self, node: &Node, schema: &Value, at: &str, faults: &mut Faults) -> Value {
        let items = match node {
            Node::List(items) => items.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                faults.push((at.to_owned(), wrong_type("a list", node)));
                return Value::Null;
            }
        };
        let schema = schema.get("items").unwrap_or(&Value::Bool(true));
        let values = items.iter().enumerate();
        Value::Array(values.map(|(index, item)| self.value(item, schema, &format!("{at}[{index}]"), faults)).collect())
    }
}

impl From<schemars::Schema> for Shape {
    fn from(schema: schemars::Schema) -> Self {
        Self { root: schema.to_value() }
    }
}

fn type_names(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn allowed_values(schema: &Value) -> Option<Vec<&str>> {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(values)), _) => Some(values.iter().filter_map(Value::as_str).collect()),
        (None, Some(Value::String(value))) => Some(vec![value]),
        _ => None,
    }
}

fn one_of(node: &Node, allowed: &[&str], at: &str, faults: &mut Faults) -> Value {
    match node.as_text() {
        Some(text) if allowed.contains(&text) => Value::from(text),
        text => {
            let near = text.and_then(|text| nearest(text, allowed.iter().copied())).map(str::to_owned);
            let allowed = allowed.iter().map(|&value| value.to_owned()).collect();
            faults.push((at.to_owned(), Fault::NotOneOf { allowed, found: shown(node), near }));
            Value::Null
        }
    }
}

fn scalar(node: &Node, expected: &str, schema: &Value, at: &str, faults: &mut Faults) -> Value {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let text = node.as_text().or(match node {
        Node::Scalar(Scalar { text, style: Style::Quoted | Style::Substituted }) => Some(text.as_str()),
        _ => None,
    });
    let read = |text: &str| match (expected, format) {
        ("string", Size::FORMAT) => text.parse::<Size>().map(|_| Value::from(text)),
        ("string", Timespan::FORMAT) => text.parse::<Timespan>().map(|_| Value::from(text)),
        ("string", "address") => is_address(text).then(|| text.into()).ok_or("an address such as 127.0.0.1:8080"),
        ("string", _) => Ok(Value::from(text)),
        ("boolean", _) => boolean(text).map(Value::from).ok_or("true or false"),
        ("integer", _) => integer(text, schema),
        _ => number(text).ok_or("a number"),
    };
    let result = match text {
        Some(text) => read(text),
        None => Err(match (expected, format) {
            ("string", Size::FORMAT) => Size::EXPECTED,
            ("string", Timespan::FORMAT) => Timespan::EXPECTED,
            ("string", _) => "text",
            ("boolean", _) => "true or false",
            ("integer", _) => "a whole number",
            _ => "a number",
        }),
    };
    result.unwrap_or_else(|expected| {
        faults.push((at.to_owned(), wrong_type(expected, node)));
        Value::Null
    })
}

fn integer(text: &str, schema: &Value) -> Result<Value, &'static str> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
    let number: i64 = text.trim().parse().map_err(|_| "a whole number")?;
    if bound("minimum").is_some_and(|least| number < least) || bound("maximum").is_some_and(|most| number > most) {
        return Err(if number < 0 { "a whole number from 0" } else { "a whole number within its bounds" });
    }
    Ok(Value::from(number))
}

/// A number as it is written: a whole one stays whole.
fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().ok().map(Value::from);
    whole.or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from))
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A node where no type is expected: plain scalars by YAML's own rules.
fn untyped(node: &Node) -> Value {
    match node {
        _ if node.is_null() => Value::Null,
        Node::Scalar(scalar) if scalar.style == Style::Quoted => Value::from(scalar.text.as_str()),
        Node::Scalar(scalar) => {
            let text = scalar.text.as_str();
            boolean(text).map(Value::from).or_else(|| number(text)).unwrap_or_else(|| Value::from(text))
        }
        Node::List(items) => Value::Array(items.iter().map(untyped).collect()),
        Node::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), untyped(node))).collect(),
    }
}

fn wrong_type(expected: &str, node: &Node) -> Fault {
    Fault::WrongType { expected: expected.to_owned(), found: shown(node) }
}

/// What stands in a file, for a message; nothing of what came from the environment.
fn shown(node: &Node) -> Option<String> {
    match node {
        _ if node.is_null() => Some("nothing".to_owned()),
        Node::Scalar(scalar) if scalar.style == Style::Substituted => None,
        Node::Scalar(scalar) => Some(format!("\"{}\"", scalar.text)),
        Node::List(_) => Some("a list".to_owned()),
        Node::Map(_) => Some("a group of keys".to_owned()),
    }
}
