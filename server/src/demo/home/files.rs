//! The files of the demo's home, as somebody would write them by hand.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::{Bank, Keys, Listing, Record, role};
use crate::demo::DemoError;
use crate::demo::cluster::secret_file;

/// What lies in the home's folder, sorted.
pub(super) const NAMES: &[&str] = &["datasets", "datasources.yaml", "policies", "summary.yaml", "weft.yaml"];

const SETTINGS: &str = "\
# Written by `weft demo`, on each of its runs.
data_dir: state
limits:
  query_timeout: 2m
";

const PANEL: &str = "\
# A weighted panel, a table for each file and folder: each person stands for `weight` people. Persons are weighed, never events.
dataset:
  id: panel
  name: Media panel
  description: 12,000 people who stand for the 582 million online, and what they did on four media in three months
  domain: media
  version: 1.0.0

database:
  type: parquet
  connection:
    path: data/panel

weights:
  table: people
  unit: person_id
  weight: weight
  strata: stratum
  psu: household_id
  mode: offered

# Wherever a query names the column, it sees these categories.
columns:
  people.nccs:
    question: Which consumer class is the household of?
    labels: {A: Upper, B: Middle, C/D/E: Lower}
    merge: {A: [A, A1], C/D/E: [C, D, E]}
";

const SALES: &str = "\
dataset:
  id: sales
  name: Retail sales
  description: What a retailer sold in a year, as one CSV file
  domain: sales
  version: 1.0.0

database:
  type: csv
  connection:
    path: data/sales
";

const POLICIES: &str = "\
# Three users who get different answers to the same question. Try it with --as priya, --as asha and --as ravi:
#   weft query --home DIR --as asha \"SELECT name, state, phone, date_of_birth FROM customer_db.customers ORDER BY customer_id LIMIT 3\"
principals:
  - {name: priya, roles: [admin]}
  - {name: asha, roles: [analyst], attributes: {states: [Karnataka]}}
  - {name: ravi, roles: [viewer], tenant: Kerala}

rules:
  - name: analysts see their states, and call nobody
    table: customer_db.customers
    roles: [analyst]
    rows: state IN (@states)
    masks:
      phone: {partial: 4}
      email: \"NULL\"
  - name: viewers see their tenant, and nobody by name
    table: customer_db.customers
    roles: [viewer]
    rows: state = @tenant
    masks:
      name: {constant: \"(hidden)\"}
      phone: {constant: \"(hidden)\"}
      email: \"NULL\"
      date_of_birth: {date: year}

disclosure:
  - name: viewers learn nothing of few people
    on: [customer_db.customers]
    roles: [viewer]
    people: customer_id
    min_people: 5
    raw_rows: 5
";

/// Writes all of them, but for policies that are there: they may have been changed.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write(home: &Path, record: &Record) -> Result<(), DemoError> {
    write_all(home, record).map_err(|error| {
        DemoError::new(format!("The files of the home {} cannot be written.", home.display())).because(error)
    })
}

/// Deletes the policies, for the next ones to be those of the demo.
///
/// # Errors
/// A file that cannot be deleted.
pub(super) fn forget_policies(home: &Path) -> Result<(), DemoError> {
    remove(&home.join("policies/demo.yaml")).map_err(|error| {
        DemoError::new(format!("The policies of the home {} cannot be replaced.", home.display())).because(error)
    })
}

fn write_all(home: &Path, record: &Record) -> io::Result<()> {
    let datasets = home.join("datasets");
    fs::create_dir_all(&datasets)?;
    fs::create_dir_all(home.join("policies"))?;
    fs::write(home.join("weft.yaml"), SETTINGS)?;
    fs::write(datasets.join("panel.yaml"), PANEL)?;
    fs::write(datasets.join("sales.yaml"), SALES)?;
    let policies = home.join("policies/demo.yaml");
    if !policies.exists() {
        fs::write(policies, POLICIES)?;
    }
    match &record.bank {
        Bank::Files => {
            remove(&home.join("datasources.yaml"))?;
            remove(&home.join("summary.yaml"))?;
            for listing in &record.databases {
                fs::write(datasets.join(format!("{}.yaml", listing.id)), embedded(listing)?)?;
            }
        }
        Bank::Postgres(keys) => {
            for listing in &record.databases {
                remove(&datasets.join(format!("{}.yaml", listing.id)))?;
            }
            secret_file(&home.join("datasources.yaml"))?.write_all(datasources(&record.databases, keys)?.as_bytes())?;
            fs::write(home.join("summary.yaml"), summary(&record.databases)?)?;
        }
    }
    Ok(())
}

/// The bank's sources: each database has its own, with credentials and a pool of its own.
fn datasources(databases: &[Listing], keys: &Keys) -> io::Result<String> {
    let mut text =
        "# One source for each database of the bank. Each logs in as a role that reads this database only.\n\
                    datasources:\n"
            .to_owned();
    for Listing { id, name, .. } in databases {
        let upper = id.to_uppercase();
        let password = keys.readers.get(id).map(String::as_str).unwrap_or_default();
        text.push_str(&format!(
            r#"  {id}_source:
    type: postgresql
    description: {description}
    enabled: true
    connection:
      host: "${{BANK_HOST:127.0.0.1}}"
      port: "${{BANK_PORT:{port}}}"
      database: "${{BANK_{upper}:{id}}}"
      user: "${{BANK_{upper}_USER:{role}}}"
      password: "${{BANK_{upper}_PASSWORD:{password}}}"
      min_pool_size: 1
      max_pool_size: 10
      connect_timeout: 10
    databases:
      - {id}

"#,
            description = quoted(&format!("{name} of the demo bank"))?,
            port = keys.port,
            role = role(id),
        ));
    }
    Ok(text)
}

fn summary(databases: &[Listing]) -> io::Result<String> {
    let mut text = "data_sources:\n".to_owned();
    for Listing { id, name, description, .. } in databases {
        let (name, description) = (quoted(name)?, quoted(description)?);
        text.push_str(&format!(
            "  - id: {id}\n    name: {name}\n    description: {description}\n    domain: bank\n    \
             datasource: {id}_source\n\n"
        ));
    }
    Ok(text)
}

/// The dataset file of a database that is held as Parquet files.
fn embedded(listing: &Listing) -> io::Result<String> {
    let Listing { id, name, description } = listing;
    let (name, description) = (quoted(name)?, quoted(description)?);
    Ok(format!(
        "dataset:\n  id: {id}\n  name: {name}\n  description: {description}\n  domain: bank\n\n\
         database:\n  type: parquet\n  connection:\n    path: data/bank/{id}\n"
    ))
}

/// A string as YAML takes it, whatever it holds: JSON is YAML.
fn quoted(text: &str) -> io::Result<String> {
    Ok(serde_json::to_string(text)?)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
