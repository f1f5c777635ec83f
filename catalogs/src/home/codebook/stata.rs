//! A codebook as a Stata file: the labels of its variables are questions, and those of their values labels. Its data is not read.

use std::path::Path;

use dta::stata::dta::dta_error::Result;
use dta::stata::dta::dta_reader::DtaReader;
use dta::stata::dta::value_label_table::ValueLabelTable;
use engine::Coding;

/// From here on, values are Stata's own codes for missing ones: `.`, `.a` to `.z`.
const MISSING: i32 = 2_147_483_621;

/// What the file says of its variables; those of which it says nothing are left out.
///
/// # Errors
/// A file that cannot be read, or is none of Stata's.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Coding)>> {
    let mut labels = ValueLabelTable::new();
    let mut reader = DtaReader::new().from_path(path)?.read_header()?.read_schema()?.seek_value_labels()?;
    reader.read_remaining_into(&mut labels)?;
    let variables = reader.schema().variables().iter().map(|variable| {
        let entries = labels.get(variable.value_label_name()).map(|set| set.entries()).unwrap_or_default();
        let entries = entries.iter().filter(|entry| entry.value() < MISSING);
        let coding = Coding {
            question: Some(variable.label().to_owned()).filter(|label| !label.is_empty()),
            labels: entries.map(|entry| (entry.value().to_string(), entry.label().to_owned())).collect(),
            ..Coding::default()
        };
        (variable.name().to_owned(), coding)
    });
    Ok(variables.filter(|(_, coding)| *coding != Coding::default()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_variables_and_values_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        // Written by pandas, in the oldest form that it writes and in that of today.
        for file in ["wave-114.dta", "wave-118.dta"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/codebook").join(file);
            let columns = read(&file).unwrap();
            let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["sex", "region", "name"]);
            assert_eq!(columns[0].1.question.as_deref(), Some("What is your sex?"));
            let labels = [("1", "Female"), ("2", "Male")].map(|(value, label)| (value.to_owned(), label.to_owned()));
            assert_eq!(columns[0].1.labels, labels);
            assert_eq!(columns[1].1.labels, [("-3".to_owned(), "North".to_owned())]);
            assert_eq!(columns[2].1.question.as_deref(), Some("Your name, \u{e9}"));

            // A file that is cut anywhere is an error or less of a codebook, and nothing worse.
            let (whole, cut) = (std::fs::read(&file).unwrap(), folder.path().join("cut.dta"));
            for end in (0..whole.len()).step_by(7) {
                std::fs::write(&cut, &whole[..end]).unwrap();
                assert!(read(&cut).map_or(0, |columns| columns.len()) <= 3);
            }
        }
    }
}
