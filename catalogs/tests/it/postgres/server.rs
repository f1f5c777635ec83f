//! A PostgreSQL server of a test's own: in a temporary folder, on a free port, gone with the test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use ::postgres::{Client, NoTls, Row};
use tempfile::TempDir;

/// PostgreSQL refuses to run as root; this is `nobody` wherever there is one.
const NOBODY: u32 = 65_534;

/// The password of the user `postgres`. Messages and logs are searched for it.
pub(crate) const PASSWORD: &str = "hunter2 with 'quotes'";

/// A running server.
pub(crate) struct Server {
    folder: TempDir,
    programs: PathBuf,
    pub(crate) port: u16,
}

impl Server {
    /// Starts one, or says why the test is skipped. In CI a missing server fails the test.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// Starts one with lines for its `postgresql.conf`. A relative file name there is one of [`Server::write`].
    pub(crate) fn start_with(settings: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed");
            println!("skipped: PostgreSQL is not installed");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("weft-postgres").tempdir().expect("a temporary folder");
        give_away(folder.path());
        let server = Self { folder, programs, port: 0 };
        server.write("password", PASSWORD);
        let data = server.data();
        let options = ["-A", "scram-sha-256", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
        server.run("initdb", |command| {
            command.args(options).arg("-D").arg(&data).arg("--pwfile").arg(server.path("password"))
        });
        server.write("data/weft.conf", &format!("{FIXED}\n{settings}\n"));
        server.append("data/postgresql.conf", "include 'weft.conf'\n");
        Some(server.listen())
    }

    /// Starts the program on a free port; another port, should somebody have taken it in between.
    fn listen(mut self) -> Self {
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            self.port = free.local_addr().expect("an address").port();
            drop(free);
            if self.try_boot() {
                return self;
            }
        }
        panic!("PostgreSQL does not start: {}", fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    fn try_boot(&self) -> bool {
        let options = format!("-p {} -c listen_addresses=localhost", self.port);
        let mut command = self.command("pg_ctl");
        command
            .arg("start")
            .arg("-w")
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(self.path("log"))
            .arg("-o")
            .arg(options);
        command.status().expect("pg_ctl runs").success()
    }

    /// Starts it again on its port.
    pub(crate) fn boot(&self) {
        assert!(self.try_boot(), "PostgreSQL does not start again");
    }

    /// Stops it as a crash would.
    pub(crate) fn crash(&self) {
        let mut command = self.command("pg_ctl");
        command.arg("stop").arg("-m").arg("immediate").arg("-w").arg("-D").arg(self.data());
        command.status().expect("pg_ctl runs");
    }

    /// The processes of it that wait for connections and work for sources.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let pids = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'weft%'";
        let backends = self.rows(pids).into_iter().map(|row| row.get::<_, i32>(0).unsigned_abs());
        let lock = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        backends.chain(lock.lines().next().and_then(|pid| pid.parse().ok())).collect()
    }

    /// Runs statements in the database `postgres`, from any thread.
    pub(crate) fn sql(&self, sql: &str) {
        self.sql_in("postgres", sql);
    }

    /// Runs statements in another database.
    pub(crate) fn sql_in(&self, database: &str, sql: &str) {
        self.ask(database, |client| client.batch_execute(sql));
    }

    /// The rows of a query.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Row> {
        self.ask("postgres", |client| client.query(sql, &[]))
    }

    /// The number that a query answers with.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.rows(sql).first().expect("one row").get(0)
    }

    /// Waits until a query answers with 0, as the server's own view of itself does after a moment.
    pub(crate) fn wait_until_none(&self, sql: &str) {
        self.wait(&format!("({sql}) = 0"));
    }

    /// Waits until a condition holds in the server.
    pub(crate) fn wait(&self, condition: &str) {
        for _ in 0..1500 {
            let row = self.rows(&format!("SELECT ({condition}), pg_sleep(0.02)"));
            if row.first().is_some_and(|row| row.get(0)) {
                return;
            }
        }
        panic!("this never came to hold: {condition}");
    }

    fn ask<T: Send>(&self, database: &str, ask: impl FnOnce(&mut Client) -> Result<T, ::postgres::Error> + Send) -> T {
        let run = || {
            let mut config = ::postgres::Config::new();
            config.host("localhost").port(self.port).user("postgres").password(PASSWORD).dbname(database);
            let mut client = config.connect(NoTls)?;
            ask(&mut client)
        };
        // The driver blocks, which an async worker must not.
        let result = thread::scope(|scope| scope.spawn(run).join()).expect("no panic");
        result.unwrap_or_else(|error| panic!("{error}: {:?}", error.as_db_error()))
    }

    /// A file in the server's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file there that only the server's user may read.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the file is written");
        fs::set_permissions(self.path(name), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("its mode is set");
        give_away(&self.path(name));
    }

    fn append(&self, name: &str, text: &str) {
        let old = fs::read_to_string(self.path(name)).expect("the file is read");
        self.write(name, &format!("{old}{text}"));
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn run(&self, program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) {
        let mut command = self.command(program);
        let output = arguments(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it runs");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, program: &str) -> Command {
        self.command_of(&self.programs.join(program))
    }

    /// A program that runs as the server's user.
    pub(crate) fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.port != 0 {
            self.crash();
        }
    }
}

const FIXED: &str = "\
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 60
autovacuum = off";

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Makes a file the server's own, where this process may not be the server's user.
fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
}

/// The folder with PostgreSQL's programs: from PATH, or where Debian puts them; the newest of several.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
    let on_path =
        on_path.and_then(|folder| Some(fs::canonicalize(folder.join("initdb")).ok()?.parent()?.to_path_buf()));
    let installed = || {
        let folders = fs::read_dir("/usr/lib/postgresql").ok()?;
        let folders = folders.filter_map(|folder| Some(folder.ok()?.path().join("bin")));
        folders.filter(|folder| folder.join("initdb").is_file()).max()
    };
    on_path.or_else(installed)
}
