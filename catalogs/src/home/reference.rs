//! The reference page of all configuration, made from the structs that read it.

use std::fmt::Write;

use serde_json::Value;

use super::amount::{Size, Timespan};
use super::dataset_file::DatasetFile;
use super::datasource_file::{DatasourcesFile, SummaryFile};
use super::interpolate::join;
use super::policy_file::PolicyFile;
use super::settings::WeftFile;
use super::shape::Shape;
use crate::sources;

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the code: WEFT_UPDATE=1 cargo test -p catalogs writes it again. -->

A Weft home is a folder:

```text
weft.yaml            what the server listens on, where state lives, what queries may use
datasources.yaml     sources: connections to data
summary.yaml         which dataset comes from which source
datasets/**/*.yaml   one dataset each
policies/*.yaml      who sees what
```

Every file may be left out. `${NAME}` and `${NAME:default}` in any string take environment variables, `$${` is a plain
`${`, and `url_env: NAME` in a connection stands for `url: ${NAME}`. Keys that nothing reads are errors. `weft check`
prints everything that is wrong at once and connects to nothing. Relative paths start from the home folder.

A variable `WEFT_` and the key path in capitals, with `__` between the levels, overrides a key of `weft.yaml`:
`WEFT_HTTP__LISTEN`. Sizes are written as `512MiB` or `2GiB`, durations as `500ms`, `30s` or `5m`.
";

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    chapter(&mut page, "## weft.yaml", &Shape::of::<WeftFile>());
    chapter(&mut page, "## datasources.yaml", &Shape::of::<DatasourcesFile>());
    chapter(&mut page, "## summary.yaml", &Shape::of::<SummaryFile>());
    chapter(&mut page, "## datasets/**/*.yaml", &Shape::of::<DatasetFile>());
    chapter(&mut page, "## policies/*.yaml", &Shape::of::<PolicyFile>());
    page.push_str("\n## Kinds of sources\n\nThe keys of `connection:`, by `type:`.\n");
    for kind in sources::KINDS {
        let names: Vec<String> = [kind.name()].iter().chain(kind.aliases()).map(|name| format!("`{name}`")).collect();
        chapter(&mut page, &format!("### {}: {}", kind.title(), names.join(", ")), &Shape::from(kind.options_schema()));
    }
    page
}

fn chapter(page: &mut String, heading: &str, shape: &Shape) {
    page.push_str(&format!("\n{heading}\n\n"));
    if let Some(text) = shape.schema().get("description").and_then(Value::as_str) {
        page.push_str(&format!("{}\n\n", one_line(text)));
    }
    page.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
    rows(page, shape, shape.schema(), "");
}

fn rows(page: &mut String, shape: &Shape, schema: &Value, at: &str) {
    let schema = shape.resolve(schema);
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = join(at, key);
        let inner = shape.resolve(not_null(property));
        let meaning = property.get("description").or_else(|| inner.get("description")).and_then(Value::as_str);
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            None | Some(Value::Null) => String::new(),
            Some(Value::Object(_)) => String::new(),
            Some(Value::Array(items)) if items.is_empty() => String::new(),
            Some(Value::String(text)) if text.is_empty() => String::new(),
            Some(value) => format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        };
        let row =
            format!("| `{path}` | {} | {default} | {} |", type_words(shape, inner), one_line(meaning.unwrap_or("")));
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{row}");
        if inner.get("properties").is_some() {
            rows(page, shape, inner, &path);
        } else if let Some(items) = inner.get("items").map(|items| shape.resolve(items))
            && items.get("properties").is_some()
        {
            rows(page, shape, items, &format!("{path}[]"));
        } else if let Some(values) = inner.get("additionalProperties").map(|values| shape.resolve(values))
            && values.get("properties").is_some()
        {
            rows(page, shape, values, &format!("{path}.ID"));
        }
    }
}

/// The schema without the choice of null.
fn not_null(schema: &Value) -> &Value {
    let Some(branches) = schema.get("anyOf").and_then(Value::as_array) else { return schema };
    let mut others = branches.iter().filter(|branch| branch.get("type").and_then(Value::as_str) != Some("null"));
    match (others.next(), others.next()) {
        (Some(only), None) => only,
        _ => schema,
    }
}

fn type_words(shape: &Shape, schema: &Value) -> String {
    let constants = |branches: &Vec<Value>| {
        branches.iter().map(|branch| Some(format!("`{}`", branch.get("const")?.as_str()?))).collect::<Option<Vec<_>>>()
    };
    if let Some(allowed) = schema.get("oneOf").and_then(Value::as_array).and_then(constants) {
        return allowed.join(", ");
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        let words: Vec<String> = branches.iter().map(|branch| type_words(shape, shape.resolve(branch))).collect();
        return words.join(" or ");
    }
    let name = match schema.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any")
        }
        _ => "any",
    };
    match (name, schema.get("format").and_then(Value::as_str)) {
        ("string", Some(Size::FORMAT)) => "size".to_owned(),
        ("string", Some(Timespan::FORMAT)) => "duration".to_owned(),
        ("string", Some("address")) => "address".to_owned(),
        ("string", _) => "text".to_owned(),
        ("integer", _) => "whole number".to_owned(),
        ("boolean", _) => "`true`, `false`".to_owned(),
        ("array", _) => {
            let items = schema.get("items").map_or("any".to_owned(), |items| type_words(shape, shape.resolve(items)));
            if items == "keys" { "list".to_owned() } else { format!("list of {items}") }
        }
        ("object", _) => "keys".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
