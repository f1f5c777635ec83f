//! A private PostgreSQL server in the demo's folder, made from the programs that are on the machine.
//!
//! It listens on the loopback address only, with passwords, and ends with this process, however that ends. A server that
//! somebody else runs is never touched.

mod account;
mod programs;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use account::Account;
pub(super) use programs::Programs;

use super::DemoError;
use super::bank::Database;

/// The role that owns the databases; the sources do not use it.
const OWNER: &str = "weft_demo";
/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a cluster is, and as whom it runs.
#[derive(Debug)]
pub(super) struct Cluster {
    programs: Programs,
    folder: PathBuf,
    account: Option<Account>,
    password: String,
}

/// A cluster that runs. When it is dropped, or when this process is killed, its server stops.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) port: u16,
    /// None where another process runs it.
    guard: Option<Child>,
}

impl Cluster {
    /// The cluster in `folder`, or where the account that must run it cannot reach that, in a temporary folder.
    ///
    /// # Errors
    /// A folder that cannot be made; root, and no other account to run as.
    pub(super) fn at(programs: Programs, folder: &Path, password: String) -> Result<Self, DemoError> {
        let failed = |error| DemoError::new(format!("{} cannot be made.", folder.display())).because(error);
        fs::create_dir_all(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let account = Account::for_servers(&folder)?;
        let folder = match &account {
            Some(account) if !account.can_enter(&folder) => account.folder_elsewhere(&folder)?,
            Some(account) => {
                account.own(&folder).map_err(failed)?;
                folder
            }
            None => folder,
        };
        Ok(Self { programs, folder, account, password })
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The owner's password.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// Whether it has been made.
    pub(super) fn exists(&self) -> bool {
        self.data().join("PG_VERSION").exists()
    }

    /// Whether a process runs it.
    pub(super) fn is_running(&self) -> bool {
        self.port_in_use().is_some()
    }

    /// Makes an empty cluster; what was there before goes.
    ///
    /// # Errors
    /// What initdb says.
    pub(super) fn create(&self) -> Result<(), DemoError> {
        let data = self.data();
        if data.exists() {
            fs::remove_dir_all(&data)
                .map_err(|error| DemoError::new("The old bank cannot be removed.").because(error))?;
        }
        let password_file = self.folder.join("password");
        self.write_secret(&password_file)
            .map_err(|error| DemoError::new("The bank's password cannot be written.").because(error))?;
        let mut command = self.command(&self.programs.initdb);
        command
            .arg("--no-sync")
            .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={OWNER}"))
            .arg(format!("--pwfile={}", password_file.display()))
            .arg("--pgdata")
            .arg(&data);
        let made = succeed(&mut command, "initdb");
        let _ = fs::remove_file(&password_file);
        made
    }

    /// Starts the server on `port` if it is free, else on another one. One that another demo runs here is used as it is.
    ///
    /// # Errors
    /// What the server's log says.
    pub(super) fn start(&self, port: Option<u16>) -> Result<Running, DemoError> {
        if let Some(port) = self.port_in_use() {
            return Ok(Running { port, guard: None });
        }
        let port = free_port(port).map_err(|error| DemoError::new("There is no free port.").because(error))?;
        let log = self.folder.join("server.log");
        let failed = |error| DemoError::new(format!("{} cannot be written.", log.display())).because(error);
        // What an earlier run said is not about this one.
        let said = File::create(&log).map_err(failed)?;
        // The shell waits for the end of its input, which this process holds: it comes also when we are killed.
        let mut command = self.command(Path::new("/bin/sh"));
        command
            .arg("-c")
            .arg(r#""$@" </dev/null & server=$!; read -r _; kill -INT "$server"; wait "$server""#)
            .arg("weft-demo")
            .arg(&self.programs.postgres)
            .arg("-D")
            .arg(self.data())
            .args(["-p", &port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "max_connections=120"])
            .args(["-c", "synchronous_commit=off"])
            .args(["-c", "timezone=UTC"])
            // Ctrl-C in the terminal is for us; the server is told when we end.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(said.try_clone().map_err(failed)?)
            .stderr(said);
        let guard = command.spawn().map_err(|error| DemoError::new("PostgreSQL cannot be run.").because(error))?;
        let running = Running { port, guard: Some(guard) };
        self.wait_until_ready(port, &log)?;
        Ok(running)
    }

    /// Makes a database with its tables and rows, and a role that may read it and nothing else.
    ///
    /// # Errors
    /// What psql says.
    pub(super) fn load(
        &self,
        running: &Running,
        database: &Database,
        role: &str,
        password: &str,
    ) -> Result<(), DemoError> {
        let id = database.id;
        self.psql(running, "postgres", |script| {
            writeln!(script, "CREATE DATABASE {id};")?;
            writeln!(script, "COMMENT ON DATABASE {id} IS '{}';", database.description.replace('\'', "''"))?;
            writeln!(script, "CREATE ROLE {role} LOGIN PASSWORD '{password}';")?;
            writeln!(script, "REVOKE ALL ON DATABASE {id} FROM PUBLIC;")?;
            writeln!(script, "GRANT CONNECT ON DATABASE {id} TO {role};")
        })?;
        self.psql(running, id, |script| {
            writeln!(script, "BEGIN;")?;
            for table in &database.tables {
                let name = table.name;
                let columns: Vec<String> = table.columns.iter().map(|(name, sql)| format!("{name} {sql}")).collect();
                writeln!(script, "CREATE TABLE {name} ({});", columns.join(", "))?;
                writeln!(script, "COMMENT ON TABLE {name} IS '{}';", table.comment.replace('\'', "''"))?;
                writeln!(script, "COPY {name} FROM STDIN WITH (FORMAT csv);")?;
                script.write_all(table.csv.as_bytes())?;
                writeln!(script, "\\.")?;
                if table.columns.iter().any(|(name, _)| *name == "customer_id") && name != "customers" {
                    writeln!(script, "CREATE INDEX ON {name} (customer_id);")?;
                }
            }
            writeln!(script, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};")?;
            writeln!(script, "COMMIT;")?;
            writeln!(script, "VACUUM ANALYZE;")
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A command that runs as the account that may run servers, in a folder that it can be in.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("LC_ALL", "C").stdin(Stdio::null());
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid).env("HOME", &self.folder);
        }
        command
    }

    /// Runs a script through psql; the first error ends it.
    fn psql(
        &self,
        running: &Running,
        database: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), DemoError> {
        let failed = |error| DemoError::new("psql cannot be run.").because(error);
        let mut child = Command::new(&self.programs.psql)
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--host=127.0.0.1"])
            .arg(format!("--port={}", running.port))
            .arg(format!("--username={OWNER}"))
            .arg(format!("--dbname={database}"))
            .env("PGPASSWORD", &self.password)
            .env("PGCLIENTENCODING", "UTF8")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // A failed write means that psql ended early: its own words are better than "broken pipe".
        let written = child.stdin.take().map_or(Ok(()), |stdin| {
            let mut script = io::BufWriter::with_capacity(1 << 16, stdin);
            write(&mut script).and_then(|()| script.flush())
        });
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return written.map_err(failed);
        }
        Err(DemoError::new(format!("The bank cannot be loaded: {}", last_line(&output.stderr))))
    }

    /// The port on which another process runs this very cluster.
    fn port_in_use(&self) -> Option<u16> {
        // The fourth line of the file is the port; the file stays behind when a server is killed.
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let port = text.lines().nth(3)?.trim().parse().ok()?;
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1)).ok()?;
        Some(port)
    }

    fn wait_until_ready(&self, port: u16, log: &Path) -> Result<(), DemoError> {
        // The file's last line says `ready` when the server takes connections; `starting` and `stopping` come before.
        let started = Instant::now();
        let status = self.data().join("postmaster.pid");
        while started.elapsed() < PATIENCE {
            let is_ready = fs::read_to_string(&status).is_ok_and(|text| {
                let mut lines = text.lines();
                lines.nth(3).is_some_and(|line| line.trim() == port.to_string())
                    && lines.last().is_some_and(|line| line.trim() == "ready")
            });
            if is_ready {
                return Ok(());
            }
            let said = fs::read(log).unwrap_or_default();
            if let Some(line) = String::from_utf8_lossy(&said).lines().rev().find(|line| line.contains("FATAL")) {
                return Err(DemoError::new(format!("PostgreSQL does not start: {line}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(DemoError::new(format!("PostgreSQL did not start within {} s.", PATIENCE.as_secs())))
    }

    /// Writes the password for initdb alone to read.
    fn write_secret(&self, path: &Path) -> io::Result<()> {
        let mut file = secret_file(path)?;
        file.write_all(self.password.as_bytes())?;
        self.account.as_ref().map_or(Ok(()), |account| account.own(path))
    }
}

impl Running {
    /// Whether another process runs it.
    pub(super) fn is_shared(&self) -> bool {
        self.guard.is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(guard) = &mut self.guard {
            drop(guard.stdin.take());
            // There is nobody left to tell that it did not stop in order.
            let _ = guard.wait();
        }
    }
}

/// Makes a file that only its owner reads; an old one is emptied.
pub(super) fn secret_file(path: &Path) -> io::Result<File> {
    // The mode is for new files only, so an old one goes first.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn free_port(wanted: Option<u16>) -> io::Result<u16> {
    let bind = |port| TcpListener::bind(("127.0.0.1", port));
    let listener = match wanted.map(bind) {
        Some(Ok(listener)) => listener,
        _ => bind(0)?,
    };
    Ok(listener.local_addr()?.port())
}

fn succeed(command: &mut Command, name: &str) -> Result<(), DemoError> {
    let output = command.output().map_err(|error| DemoError::new(format!("{name} cannot be run.")).because(error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(DemoError::new(format!("{name} failed: {}", last_line(&output.stderr))))
}

/// The last thing that a program said.
fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
}
