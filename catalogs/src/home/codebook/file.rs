//! A codebook as a CSV file: a row for each value of a column, as spreadsheets and statistics packages give it out.

use std::collections::BTreeMap;
use std::fs;

use csv::{ReaderBuilder, StringRecord, Trim};
use engine::Coding;
use engine::names::nearest;

use super::Name;
use crate::home::folder::Reader;
use crate::home::problem::Fault;

/// What a row may say, sorted.
const HEADER: [&str; 8] = ["column", "label", "missing", "order", "question", "recode", "table", "value"];

/// The columns of the codebook at `path`; a row that has problems says nothing. Of the only table of `tables` rows need not
/// give the name.
pub(super) fn read(reader: &mut Reader<'_>, path: &str, tables: &[&str]) -> BTreeMap<Name, Coding> {
    let text = match fs::read_to_string(reader.root.join(path)) {
        Ok(text) => text,
        Err(error) => {
            reader.problems.add(path, "", Fault::Unreadable(error.kind().to_string()));
            return BTreeMap::new();
        }
    };
    let (columns, problems) = parse(&text, tables);
    for (line, fault) in problems {
        reader.problems.add(path, format!("line {line}"), fault);
    }
    columns
}

/// Problems with their lines.
type Problems = Vec<(u64, Fault)>;

fn parse(text: &str, tables: &[&str]) -> (BTreeMap<Name, Coding>, Problems) {
    let text = text.trim_start_matches('\u{feff}');
    let mut rows = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let mut problems = Problems::new();
    let header = match rows.headers() {
        Ok(header) => header.iter().map(str::to_lowercase).collect::<Vec<_>>(),
        Err(error) => return (BTreeMap::new(), vec![(1, Fault::Rejected(error.to_string()))]),
    };
    for name in header.iter().filter(|name| !HEADER.contains(&name.as_str())) {
        let near = nearest(name, HEADER).map(str::to_owned);
        let allowed = HEADER.map(str::to_owned).to_vec();
        problems.push((1, Fault::NotOneOf { allowed, found: Some(format!("\"{name}\"")), near }));
    }
    if !header.iter().any(|name| name == "column") {
        problems.push((1, Fault::Rejected("no column of this file is called \"column\"".to_owned())));
    }
    if !problems.is_empty() {
        return (BTreeMap::new(), problems);
    }
    let mut columns: BTreeMap<Name, Lines> = BTreeMap::new();
    for record in rows.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                problems
                    .push((line, Fault::Rejected("this row has more or fewer fields than the first one".to_owned())));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let row = Row { header: &header, record: &record };
        let added = row.name(tables).and_then(|name| columns.entry(name).or_default().add(&row));
        if let Err(text) = added {
            problems.push((line, Fault::Rejected(text)));
        }
    }
    (columns.into_iter().map(|(name, lines)| (name, lines.coding())).collect(), problems)
}

/// One row.
struct Row<'a> {
    header: &'a [String],
    record: &'a StringRecord,
}

impl<'a> Row<'a> {
    /// What the row says there. None where it says nothing.
    fn get(&self, name: &str) -> Option<&'a str> {
        let at = self.header.iter().position(|known| known == name)?;
        self.record.get(at).filter(|text| !text.is_empty())
    }

    fn name(&self, tables: &[&str]) -> Result<Name, String> {
        let only = match tables {
            [only] => Some(*only),
            _ => None,
        };
        let table = self.get("table").or(only).ok_or("this row names no table")?;
        let column = self.get("column").ok_or("this row names no column")?;
        Ok((table.to_owned(), column.to_owned()))
    }

    fn is_missing(&self) -> Result<bool, String> {
        match self.get("missing").map(str::to_lowercase).as_deref() {
            None | Some("0" | "false" | "no" | "n") => Ok(false),
            Some("1" | "true" | "yes" | "y" | "x") => Ok(true),
            Some(other) => Err(format!("missing: expected true or false, found \"{other}\"")),
        }
    }
}

/// The rows of one column.
#[derive(Default)]
struct Lines {
    coding: Coding,
    values: Vec<String>,
    order: Vec<(f64, String)>,
}

impl Lines {
    fn add(&mut self, row: &Row<'_>) -> Result<(), String> {
        if let Some(question) = row.get("question") {
            match &self.coding.question {
                Some(other) if other != question => return Err("the column has another question above".to_owned()),
                _ => self.coding.question = Some(question.to_owned()),
            }
        }
        let Some(value) = row.get("value") else {
            return match ["label", "missing", "order", "recode"].into_iter().find(|name| row.get(name).is_some()) {
                Some(name) => Err(format!("this row has a {name} and no value")),
                None => Ok(()),
            };
        };
        if self.values.iter().any(|known| known == value) {
            return Err(format!("the value \"{value}\" has a row above"));
        }
        self.values.push(value.to_owned());
        if let Some(label) = row.get("label") {
            self.coding.labels.push((value.to_owned(), label.to_owned()));
        }
        if row.is_missing()? {
            self.coding.missing.push(value.to_owned());
        }
        let becomes = row.get("recode").unwrap_or(value);
        if row.get("recode").is_some() {
            match self.coding.merge.iter_mut().find(|(name, _)| name == becomes) {
                Some((_, codes)) => codes.push(value.to_owned()),
                None => self.coding.merge.push((becomes.to_owned(), vec![value.to_owned()])),
            }
        }
        match row.get("order") {
            Some(order) => self.place(order, becomes),
            None => Ok(()),
        }
    }

    /// Notes the place of a value; that of a category may stand in each of its rows.
    fn place(&mut self, order: &str, value: &str) -> Result<(), String> {
        let place: f64 = order
            .parse()
            .ok()
            .filter(|place: &f64| place.is_finite())
            .ok_or_else(|| format!("order: expected a number, found \"{order}\""))?;
        match self.order.iter().find(|(_, known)| known == value) {
            Some((known, _)) if *known != place => Err(format!("order: \"{value}\" has another place above")),
            Some(_) => Ok(()),
            None => {
                self.order.push((place, value.to_owned()));
                Ok(())
            }
        }
    }

    fn coding(mut self) -> Coding {
        self.order.sort_by(|one, other| one.0.total_cmp(&other.0));
        Coding { order: self.order.into_iter().map(|(_, value)| value).collect(), ..self.coding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NCCS: &str = "\
\u{feff}Table,Column,Question,Value,Label,Recode,Missing,Order
people,nccs,Which class?,A1,Highest,A,,1
people,nccs,,A,Upper,A,,1
people,nccs,,E,,D/E,no,3
people,nccs,,D,,D/E,,3
people,nccs,,B,Middle,,,2
people,nccs,,9,\"Refused, or no answer\",,yes,
people,age,How old are you?,,,,,
";

    #[test]
    fn rows_of_values_become_columns() {
        let (columns, problems) = parse(NCCS, &[]);
        assert!(problems.is_empty(), "{problems:?}");
        let name = |column: &str| ("people".to_owned(), column.to_owned());
        let nccs = &columns[&name("nccs")];
        assert_eq!(nccs.question.as_deref(), Some("Which class?"));
        let merge = |name: &str, codes: &[&str]| (name.to_owned(), codes.iter().map(|&code| code.to_owned()).collect());
        assert_eq!(nccs.merge, [merge("A", &["A1", "A"]), merge("D/E", &["E", "D"])]);
        assert_eq!(nccs.order, ["A", "B", "D/E"]);
        assert_eq!(nccs.missing, ["9"]);
        assert_eq!(nccs.labels.len(), 4);
        assert_eq!(columns[&name("age")].question.as_deref(), Some("How old are you?"));
    }

    #[test]
    fn every_mistake_is_found_with_its_line() {
        let text = "table,column,question,value,label,missing,order\n\
                    t,a,Q,1,one,,\n\
                    t,a,R,2,,,\n\
                    t,a,,1,uno,,\n\
                    t,a,,3,,perhaps,\n\
                    t,a,,4,,,first\n\
                    t,a,,,five,,\n\
                    t,,,6,,,\n\
                    ,a,,7,,,\n\
                    t,a\n";
        let (_, problems) = parse(text, &[]);
        let told: Vec<String> = problems.iter().map(|(line, fault)| format!("{line}: {fault}")).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        3: the column has another question above
        4: the value "1" has a row above
        5: missing: expected true or false, found "perhaps"
        6: order: expected a number, found "first"
        7: this row has a label and no value
        8: this row names no column
        9: this row names no table
        10: this row has more or fewer fields than the first one
        "#);
        assert!(parse("column,value\na,1\n", &["t"]).1.is_empty());
        let (_, problems) = parse("table,colum,value\n", &[]);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
