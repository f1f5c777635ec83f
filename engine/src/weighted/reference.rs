//! The reference page of the functions, made from what each says of itself.

use std::fmt::Write;

use super::FUNCTIONS;

/// What is said above the functions: the rules that all of them share.
const PREFACE: &str = "\
# Functions

<!-- Generated from the functions' own documentation; `WEFT_UPDATE=1 cargo test -p engine` writes it again. -->

Weft has all functions of DataFusion's SQL, and these for weighted data, where a row counts as `w` people.

- A row whose value or weight is NULL is left out, and so is one that a `FILTER (WHERE ..)` leaves out.
- A row with a zero weight contributes nothing, whatever its value is.
- A negative, infinite or undefined weight is an error (`invalid_argument`), for no sample has one.
- Weights and values may be integers, decimals or floats. Results are floats (`DOUBLE`): they are estimates.
- Each can be used with `GROUP BY`, `FILTER`, `HAVING` and as a window function (`OVER`), except `reach`, which has no
  window form. None takes `DISTINCT`.
- Arguments can be given by name, as in `weighted_avg(x => age, w => weight)`.
";

/// The reference page of the weighted functions, in Markdown.
pub fn reference() -> String {
    let mut page = PREFACE.to_owned();
    for function in FUNCTIONS {
        let function = function();
        let Some(entry) = function.page() else { continue };
        // Writing to a string cannot fail.
        let _ =
            write!(page, "\n## {}\n\n`{}`\n\n{}\n", function.name_in_sql(), entry.syntax_example, entry.description);
        if let Some(arguments) = &entry.arguments {
            page.push('\n');
            for (name, description) in arguments {
                let _ = writeln!(page, "- `{name}`: {description}");
            }
        }
        if let Some(example) = &entry.sql_example {
            let _ = write!(page, "\n```sql\n{example}\n```\n");
        }
        if let Some(related) = &entry.related_udfs {
            let links: Vec<String> = related.iter().map(|name| format!("[{name}](#{name})")).collect();
            let _ = write!(page, "\nSee also {}.\n", links.join(", "));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_reference_page_is_what_the_functions_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/functions.md");
        if std::env::var_os("WEFT_UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, reference(), "docs/functions.md is stale: run the tests once with WEFT_UPDATE=1");
    }

    #[test]
    fn functions_are_listed_once_in_order_and_say_how_they_are_written() {
        let functions: Vec<_> = FUNCTIONS.iter().map(|function| function()).collect();
        let names: Vec<_> = functions.iter().map(|function| function.name_in_sql()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for function in &functions {
            assert_eq!(function.page().unwrap().syntax_example, function.syntax());
            for related in function.page().unwrap().related_udfs.iter().flatten() {
                assert!(names.contains(&related.as_str()), "{related}");
            }
        }
    }
}
