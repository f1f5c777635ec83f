//! The demo's folder: what is in it, when it is made, and the files that make it a Weft home.
//!
//! It is complete when `demo.json` is there, which is written last. The files of the home are written on every run, since
//! the bank's port may be another one; its policies only where there are none.

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::bank::{self, Database};
use super::cluster::{Cluster, Programs, Running, secret_file};
use super::panel::{self, write_parquet};
use super::{BankForm, DemoArgs, DemoError, sales};

/// What a run must know of the run that made the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What the data was made from.
    seed: u64,
    scale: f64,
    /// The generator's version: data of another one is made anew.
    version: u32,
    /// The bank's databases.
    databases: Vec<Listing>,
    /// Where the bank is.
    bank: Bank,
}

/// A database of the bank, as the files of the home name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listing {
    id: String,
    name: String,
    description: String,
}

/// Where the bank is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bank {
    /// Parquet files in the home.
    Files,
    /// A PostgreSQL server of our own.
    Postgres(Keys),
}

/// How to reach the bank's server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Keys {
    port: u16,
    owner: String,
    /// Passwords by database: each source has a role of its own.
    readers: BTreeMap<String, String>,
}

const RECORD: &str = "demo.json";
/// Goes up when the same seed would give other data.
const VERSION: u32 = 1;

/// Makes the demo's folder ready to be opened as a home, and runs the bank's server, where there is one.
///
/// # Errors
/// A folder that cannot be written, or that is not ours; a server that does not start.
pub(super) fn prepare(args: &DemoArgs, progress: &mut dyn Write) -> Result<Option<Running>, DemoError> {
    let home = args.home.as_path();
    let failed = |error| DemoError::new(format!("{} cannot be used.", home.display())).because(error);
    refuse_foreign(home)?;
    fs::create_dir_all(home).map_err(failed)?;
    let programs = match args.bank {
        BankForm::Files => None,
        BankForm::Auto | BankForm::Postgres => Programs::find(std::env::var_os("PATH").as_deref()),
    };
    let record = read(home).filter(|record| !args.fresh && record.serves(args));
    let owner = match &record {
        Some(Record { bank: Bank::Postgres(keys), .. }) => keys.owner.clone(),
        _ => password(),
    };
    let cluster = programs.map(|programs| Cluster::at(programs, &home.join("bank"), owner)).transpose();
    if let Some(record) = record {
        match (&record.bank, &cluster) {
            (Bank::Files, _) => return reuse(home, record, None, progress),
            (Bank::Postgres(_), Ok(Some(cluster))) if cluster.exists() => {
                return reuse(home, record, Some(cluster), progress);
            }
            (Bank::Postgres(_), _) => writeln!(progress, "The demo's bank is gone.")?,
        }
    }
    if let Ok(Some(cluster)) = &cluster
        && cluster.is_running()
    {
        return Err(DemoError::new("A demo is running in this folder. End it first, or take another --home."));
    }
    // Until it is complete, it is not there.
    let _ = fs::remove_file(home.join(RECORD));
    let (record, server) = make(home, args, cluster, progress)?;
    if args.fresh {
        files::forget_policies(home)?;
    }
    files::write(home, &record)?;
    save(home, &record)?;
    Ok(server)
}

/// Uses what an earlier run has made.
fn reuse(
    home: &Path,
    mut record: Record,
    cluster: Option<&Cluster>,
    progress: &mut dyn Write,
) -> Result<Option<Running>, DemoError> {
    writeln!(progress, "Using the demo in {} (--fresh makes it anew).", home.display())?;
    let mut server = None;
    if let (Bank::Postgres(keys), Some(cluster)) = (&mut record.bank, cluster) {
        let running = cluster.start(Some(keys.port))?;
        if running.is_shared() {
            writeln!(progress, "The bank is running already, on port {}.", running.port)?;
        }
        keys.port = running.port;
        server = Some(running);
    }
    files::write(home, &record)?;
    save(home, &record)?;
    Ok(server)
}

/// Makes all data. Without a cluster that works the bank is made as files.
fn make(
    home: &Path,
    args: &DemoArgs,
    cluster: Result<Option<Cluster>, DemoError>,
    progress: &mut dyn Write,
) -> Result<(Record, Option<Running>), DemoError> {
    let seed = args.seed;
    writeln!(progress, "Writing a demo into {}.", home.display())?;
    let data = home.join("data");
    if data.exists() {
        fs::remove_dir_all(&data).map_err(|error| DemoError::new("The old demo cannot be removed.").because(error))?;
    }
    let started = Instant::now();
    let written = panel::write(&data.join("panel"), seed, args.scale)?;
    let (people, events) = (grouped(written.people), grouped(written.events));
    writeln!(progress, "  panel: {people} people, {events} events, in Parquet ({})", took(started))?;

    let started = Instant::now();
    let orders = sales::write(&data.join("sales"), seed)?;
    writeln!(progress, "  sales: {} orders, in CSV ({})", grouped(orders), took(started))?;

    let started = Instant::now();
    let databases = bank::databases(seed);
    let rows = grouped(databases.iter().flat_map(|database| &database.tables).map(|table| table.rows).sum());
    let (bank, server) = match cluster.and_then(|cluster| cluster.map(|it| load(it, &databases)).transpose()) {
        Ok(Some((keys, server, place))) => {
            writeln!(progress, "  bank: {rows} rows, in six PostgreSQL databases {place} ({})", took(started))?;
            (Bank::Postgres(keys), Some(server))
        }
        other => {
            let why = other.map_or_else(
                |error| error.to_string(),
                |_| "PostgreSQL's programs are not on this machine, or not wanted.".to_owned(),
            );
            if args.bank == BankForm::Postgres {
                return Err(DemoError::new(why));
            }
            embed(&data.join("bank"), &databases)?;
            writeln!(progress, "  bank: {rows} rows, in Parquet ({}). {why}", took(started))?;
            (Bank::Files, None)
        }
    };
    let databases = databases.iter().map(Listing::of).collect();
    Ok((Record { seed, scale: args.scale, version: VERSION, databases, bank }, server))
}

/// Loads the bank into a new PostgreSQL server, and says where that is.
fn load(cluster: Cluster, databases: &[Database]) -> Result<(Keys, Running, String), DemoError> {
    cluster.create()?;
    let server = cluster.start(None)?;
    let mut readers = BTreeMap::new();
    for database in databases {
        let password = password();
        cluster.load(&server, database, &role(database.id), &password)?;
        readers.insert(database.id.to_owned(), password);
    }
    let place = format!("on port {}, with their files in {}", server.port, cluster.folder().display());
    Ok((Keys { port: server.port, owner: cluster.password().to_owned(), readers }, server, place))
}

/// Writes the bank as files.
fn embed(folder: &Path, databases: &[Database]) -> Result<(), DemoError> {
    for database in databases {
        for table in &database.tables {
            let batch = table.batch().map_err(|error| DemoError::new("The bank cannot be made.").because(error))?;
            write_parquet(&folder.join(database.id).join(format!("{}.parquet", table.name)), &batch)?;
        }
    }
    Ok(())
}

/// The role that reads a database.
fn role(database: &str) -> String {
    format!("{database}_reader")
}

/// A password that nobody can guess, of letters and digits.
fn password() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl Listing {
    fn of(database: &Database) -> Self {
        Self {
            id: database.id.to_owned(),
            name: database.name.to_owned(),
            description: database.description.to_owned(),
        }
    }
}

impl Record {
    /// Whether what was made is what is wanted now.
    fn serves(&self, args: &DemoArgs) -> bool {
        let is_wanted = match args.bank {
            BankForm::Auto => true,
            BankForm::Files => self.bank == Bank::Files,
            BankForm::Postgres => self.bank != Bank::Files,
        };
        is_wanted && self.seed == args.seed && self.scale == args.scale && self.version == VERSION
    }
}

fn read(home: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(home.join(RECORD)).ok()?).ok()
}

fn save(home: &Path, record: &Record) -> Result<(), DemoError> {
    let failed = |error: std::io::Error| DemoError::new(format!("{RECORD} cannot be written.")).because(error);
    let text = serde_json::to_vec_pretty(record).map_err(|error| failed(error.into()))?;
    let temporary = home.join(".demo.json");
    secret_file(&temporary)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, home.join(RECORD)))
        .map_err(failed)
}

/// A folder that holds something else is not written into.
fn refuse_foreign(home: &Path) -> Result<(), DemoError> {
    let is_ours =
        |name: &str| files::NAMES.contains(&name) || [RECORD, ".demo.json", "bank", "data", "state"].contains(&name);
    let Ok(entries) = fs::read_dir(home) else { return Ok(()) };
    match entries.flatten().map(|entry| entry.file_name()).find(|name| !name.to_str().is_some_and(is_ours)) {
        Some(name) => Err(DemoError::new(format!(
            "{} is not empty and not a demo: it holds {}. Take another --home.",
            home.display(),
            name.display()
        ))),
        None => Ok(()),
    }
}

/// A number with commas, for people.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

fn took(started: Instant) -> String {
    format!("{:.1} s", started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([7, 1000, 1_013_999].map(grouped), ["7", "1,000", "1,013,999"]);
    }

    #[test]
    fn a_folder_of_something_else_is_not_written_into() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refuse_foreign(folder.path()).is_ok());
        fs::write(folder.path().join("thesis.doc"), "").unwrap();
        let refused = refuse_foreign(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("thesis.doc"), "{refused}");
    }

    #[test]
    fn a_record_is_read_as_it_was_saved_and_only_its_owner_may() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { seed: 7, scale: 1.0, version: VERSION, databases: Vec::new(), bank: Bank::Files };
        save(folder.path(), &record).unwrap();
        assert_eq!(read(folder.path()), Some(record));
        let mode = fs::metadata(folder.path().join(RECORD)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
