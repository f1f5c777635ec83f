//! A MariaDB server of a test's own: in a temporary folder, on a free port, gone with the test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use ::mysql::prelude::{FromRow, Queryable};
use ::mysql::{Conn, OptsBuilder};
use tempfile::TempDir;

/// MariaDB refuses to run as root; this is `nobody` wherever there is one.
const NOBODY: u32 = 65_534;

/// The password of the user `weft`. Messages and logs are searched for it.
pub(crate) const PASSWORD: &str = "hunter2 with 'quotes'";

/// A running server, with the users `weft`, for sources, and `admin`, for the test.
pub(crate) struct Server {
    folder: TempDir,
    program: PathBuf,
    child: Mutex<Option<Child>>,
    pub(crate) port: u16,
}

impl Server {
    /// Starts one, or says why the test is skipped. In CI a missing server fails the test.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// Starts one with lines for its configuration. A relative file name there is one of [`Server::write`].
    pub(crate) fn start_with(settings: &str) -> Option<Self> {
        let programs = ["mariadbd", "mariadb-install-db"].map(program);
        let [Some(program), Some(install)] = programs else {
            assert!(std::env::var_os("CI").is_none(), "MariaDB is not installed");
            println!("skipped: MariaDB is not installed");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("weft-mysql").tempdir().expect("a temporary folder");
        give_away(folder.path());
        let server = Self { folder, program, child: Mutex::new(None), port: 0 };
        let quoted = PASSWORD.replace('\'', "''");
        server.write(
            "init.sql",
            &format!(
                "CREATE DATABASE IF NOT EXISTS bank CHARACTER SET utf8mb4;\n\
                 CREATE USER IF NOT EXISTS weft@'%' IDENTIFIED BY '{quoted}';\n\
                 CREATE USER IF NOT EXISTS admin@'%' IDENTIFIED BY 'admin';\n\
                 GRANT ALL ON *.* TO weft@'%';\n\
                 GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n"
            ),
        );
        let mut command = server.command(&install);
        command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-log-bin"]);
        command.args(["--innodb-log-file-size=8M", "--innodb-flush-method=nosync"]);
        command.arg(format!("--datadir={}", server.path("data").display()));
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(server.listen(settings))
    }

    /// Starts the program on a free port; another port, should somebody have taken it in between.
    fn listen(mut self, settings: &str) -> Self {
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            self.port = free.local_addr().expect("an address").port();
            drop(free);
            self.configure(settings);
            if self.try_boot() {
                return self;
            }
        }
        panic!("MariaDB does not start: {}", fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    /// Writes its configuration anew, with more lines.
    pub(crate) fn configure(&self, settings: &str) {
        let folder = self.folder.path().display();
        let own = format!(
            "[mariadbd]\ndatadir = {folder}/data\nsocket = {folder}/socket\npid-file = {folder}/pid\n\
             init-file = {folder}/init.sql\nport = {}\n{FIXED}\n",
            self.port
        );
        let settings = settings.replace("= server.", &format!("= {folder}/server."));
        self.write("my.cnf", &format!("{own}{settings}\n"));
    }

    fn try_boot(&self) -> bool {
        let log = fs::File::create(self.path("log")).expect("a log");
        let mut command = self.command(&self.program);
        command.arg(format!("--defaults-file={}", self.path("my.cnf").display())).stderr(log);
        let mut child = command.spawn().expect("mariadbd runs");
        for _ in 0..1500 {
            if child.try_wait().expect("its state").is_some() {
                return false;
            }
            if self.connect().is_ok() {
                *self.child.lock().unwrap() = Some(child);
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
        false
    }

    /// Starts it again on its port.
    pub(crate) fn boot(&self) {
        let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(self.try_boot(), "MariaDB does not start again: {}", log());
    }

    /// Stops it as a crash would.
    pub(crate) fn crash(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().expect("it is killed");
            child.wait().expect("it is gone");
        }
    }

    /// The processes of it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.child.lock().unwrap().iter().map(Child::id).collect()
    }

    /// Runs statements in the database `bank`, from any thread.
    pub(crate) fn sql(&self, sql: &str) {
        self.ask(|conn| {
            let mut result = conn.query_iter(sql)?;
            while let Some(set) = result.iter() {
                for row in set {
                    row?;
                }
            }
            Ok(())
        });
    }

    /// The rows of a query.
    pub(crate) fn rows<T: FromRow + Send>(&self, sql: &str) -> Vec<T> {
        self.ask(|conn| conn.query(sql))
    }

    /// The number that a query answers with.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.rows(sql).first().copied().expect("one row")
    }

    /// Waits until a query answers with 0, as the server's own view of itself does after a moment.
    pub(crate) fn wait_until_none(&self, sql: &str) {
        self.wait(&format!("({sql}) = 0"));
    }

    /// Waits until a condition holds in the server.
    pub(crate) fn wait(&self, condition: &str) {
        for _ in 0..1500 {
            let rows: Vec<(bool, i64)> = self.rows(&format!("SELECT ({condition}), SLEEP(0.02)"));
            if rows.first().is_some_and(|(holds, _)| *holds) {
                return;
            }
        }
        let shown: Vec<(i64, String, String, Option<String>)> =
            self.rows("SELECT id, user, command, info FROM information_schema.processlist");
        panic!("this never came to hold: {condition}\n{shown:#?}");
    }

    fn connect(&self) -> ::mysql::Result<Conn> {
        Conn::new(
            OptsBuilder::new()
                .ip_or_hostname(Some("127.0.0.1"))
                .tcp_port(self.port)
                .user(Some("admin"))
                .pass(Some("admin"))
                .db_name(Some("bank"))
                .prefer_socket(false),
        )
    }

    fn ask<T: Send>(&self, ask: impl FnOnce(&mut Conn) -> ::mysql::Result<T> + Send) -> T {
        let mut conn = self.connect().expect("the server is there");
        conn.query_drop("SET NAMES utf8mb4, SESSION sql_mode = 'ALLOW_INVALID_DATES'").expect("the session is set");
        ask(&mut conn).unwrap_or_else(|error| panic!("{error}"))
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

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Its temporary tables, too, are its own: several servers would give them the same names.
        command.env("TMPDIR", self.folder.path());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

const FIXED: &str = "\
bind-address = 127.0.0.1
skip-name-resolve
skip-log-bin
max_connections = 60
innodb_buffer_pool_size = 32M
innodb_log_file_size = 8M
innodb_flush_log_at_trx_commit = 2
innodb_flush_method = nosync
innodb_doublewrite = 0";

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Makes a file the server's own, where this process may not be the server's user.
fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
}

/// One of MariaDB's programs: from PATH, or where Debian puts them.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|program| program.is_file())
}
