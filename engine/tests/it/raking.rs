//! Raked weights against R's `survey`: the figures in `testdata/survey/raking.csv` are R's.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Float64Type};
use engine::raking::{Category, Margin, Options, Sample, Trim, rake};

fn read(file: &str) -> RecordBatch {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/survey").join(file);
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(File::open(&path).unwrap(), None).unwrap();
    let reader =
        ReaderBuilder::new(schema.clone().into()).with_format(format).build(File::open(path).unwrap()).unwrap();
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
    concat_batches(&schema.into(), &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let texts = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    texts.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
}

fn numbers(batch: &RecordBatch, column: &str) -> Vec<f64> {
    let numbers = cast(batch.column_by_name(column).unwrap(), &DataType::Float64).unwrap();
    numbers.as_primitive::<Float64Type>().values().to_vec()
}

fn margins() -> Vec<Margin> {
    let long = read("raking.margins.csv");
    let rows = texts(&long, "variable").into_iter().zip(texts(&long, "category")).zip(numbers(&long, "population"));
    let rows: Vec<((String, String), f64)> = rows.collect();
    rows.chunk_by(|a, b| a.0.0 == b.0.0)
        .map(|rows| Margin {
            variable: rows[0].0.0.clone(),
            categories: rows
                .iter()
                .map(|((_, name), population)| Category { name: name.clone(), population: *population })
                .collect(),
        })
        .collect()
}

#[test]
fn raked_weights_are_those_of_r() {
    let rows = read("raking.csv");
    let base = numbers(&rows, "w");
    let margins = margins();
    let codes: Vec<Vec<u32>> = margins
        .iter()
        .map(|margin| {
            let place = |text: &String| margin.categories.iter().position(|category| category.name == *text).unwrap();
            texts(&rows, &margin.variable).iter().map(|text| u32::try_from(place(text)).unwrap()).collect()
        })
        .collect();
    let exact = Options { tolerance: 1e-12, ..Options::default() };
    let trimmed = |low, high| Options { trim: Some(Trim { low, high }), ..exact };
    let cases = [
        ("post", 1..2, exact),
        ("raked", 0..3, exact),
        ("raked", 0..3, Options::default()),
        ("trimmed", 0..3, trimmed(0.2, 4.0)),
        ("capped", 0..3, trimmed(0.0, 3.0)),
    ];
    for (column, of, options) in cases {
        let sample = Sample { base: &base, codes: &codes[of.clone()] };
        let raked = rake(sample, &margins[of], &options, || false).unwrap();
        assert!(raked.is_converged, "{column}: {:?}", raked.deviations.last());
        // The usual tolerance gives digits enough, too.
        let near = if options.tolerance > 1e-12 { 1e-7 } else { 1e-9 };
        for (row, (weight, r)) in raked.weights.iter().zip(numbers(&rows, column)).enumerate() {
            assert!((weight - r).abs() <= near * r, "{column}, row {row}: {weight} and by R {r}");
        }
    }
}
