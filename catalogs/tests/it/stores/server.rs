//! Servers for the tests of stores: an S3 server with authentication turned on, and files over https. Both are Python, from
//! the environment that `make test` makes; each is a test's own, and gone with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use serde_json::{Value, json};

use crate::folder::Folder;

/// A running server.
pub(crate) struct Server {
    child: Child,
    said: Value,
    pub(crate) folder: Folder,
}

impl Server {
    /// An S3 server with the bucket `lake`, or None, with the reason printed, where Python or moto is missing. In CI that
    /// fails the test.
    pub(crate) fn s3() -> Option<Self> {
        let folder = Folder::new();
        let log = folder.at("requests");
        start(folder, &["s3", log.to_str().unwrap()])
    }

    /// The files of its folder `files` over https, by a certificate of `ca.pem` that names `localhost`.
    pub(crate) fn https() -> Option<Self> {
        let folder = Folder::new();
        let (authority, own) = certificates();
        folder.write("ca.pem", authority);
        folder.write("own.pem", own);
        fs::create_dir_all(folder.path().join("files")).unwrap();
        let paths = ["files", "own.pem", "requests"].map(|name| folder.at(name).to_string_lossy().into_owned());
        start(folder, &["https", &paths[0], &paths[1], &paths[2]])
    }

    pub(crate) fn port(&self) -> u64 {
        self.said["port"].as_u64().unwrap()
    }

    /// Where it answers.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The id and the secret of a user's access key.
    pub(crate) fn key(&self, user: &str) -> (&str, &str) {
        let key = &self.said["keys"][user];
        (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap())
    }

    /// Options of a connection as `user`, to `path`.
    pub(crate) fn options(&self, user: &str, path: &str) -> Value {
        let (id, secret) = self.key(user);
        json!({ "path": path, "endpoint": self.endpoint(), "access_key_id": id, "secret_access_key": secret })
    }

    fn bucket(&self) -> AmazonS3 {
        let (id, secret) = self.key("admin");
        let builder =
            AmazonS3Builder::new().with_endpoint(self.endpoint()).with_allow_http(true).with_bucket_name("lake");
        builder.with_access_key_id(id).with_secret_access_key(secret).build().unwrap()
    }

    /// Puts an object into the bucket.
    pub(crate) async fn put(&self, key: &str, content: impl Into<Vec<u8>>) {
        let key = object_store::path::Path::parse(key).unwrap();
        self.bucket().put(&key, content.into().into()).await.unwrap();
    }

    /// Puts files of a folder, with their paths in it, below `prefix`.
    pub(crate) async fn put_all(&self, prefix: &str, folder: &Folder) {
        let bucket = self.bucket();
        for path in files(folder.path()) {
            let below = path.strip_prefix(folder.path()).unwrap().to_str().unwrap();
            let key = object_store::path::Path::parse(format!("{prefix}/{below}")).unwrap();
            bucket.put_opts(&key, fs::read(&path).unwrap().into(), Default::default()).await.unwrap();
        }
    }

    /// Every request so far, as `GET /lake?prefix=..`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("requests")).unwrap_or_default();
        let request = |line: &str| {
            let inner = line.split('"').nth(1)?.rsplit_once(" HTTP/")?.0;
            // Colors of a terminal stand in front of a failed one.
            Some(inner[inner.find(|c: char| c.is_ascii_uppercase())?..].replace("%3D", "="))
        };
        log.lines().filter_map(request).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input, and is not waited for longer than that takes.
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn start(folder: Folder, arguments: &[&str]) -> Option<Server> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../.venv/bin/python");
    let script = root.join("tests/it/stores/serve.py");
    let is_there = |python: &Path| {
        let mut check = Command::new(python);
        check.args(["-c", "import moto.server"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !python.exists() || !is_there(&python) {
        assert!(std::env::var_os("CI").is_none(), "Python or moto is missing: run `make test`");
        println!("skipped: `make test` makes the Python environment with moto");
        return None;
    }
    let mut command = Command::new(python);
    // Variables of whoever runs the tests would reach a cloud.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server did not start"));
    Some(Server { child, said, folder })
}

/// An authority, and what a server needs whose name is `localhost`: certificate and key, in PEM.
fn certificates() -> (Vec<u8>, Vec<u8>) {
    let (authority_key, server_key) = (key(), key());
    let authority = certificate("Weft test authority", &authority_key, None).unwrap();
    let own = certificate("localhost", &server_key, Some((&authority, &authority_key))).unwrap();
    let mut pem = own.to_pem().unwrap();
    pem.extend(server_key.private_key_to_pem_pkcs8().unwrap());
    (authority.to_pem().unwrap(), pem)
}

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn certificate(name: &str, key: &PKey<Private>, issuer: Option<(&X509, &PKey<Private>)>) -> Result<X509, ErrorStack> {
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_text("CN", name)?;
    let subject = subject.build();
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    let serial = BigNum::from_u32(if issuer.is_some() { 2 } else { 1 })?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(issuer.map_or(&*subject, |(authority, _)| authority.subject_name()))?;
    builder.set_pubkey(key)?;
    let (from, until) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(2)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&until)?;
    let extension = match issuer {
        None => BasicConstraints::new().critical().ca().build()?,
        Some((authority, _)) => {
            SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(Some(authority), None))?
        }
    };
    builder.append_extension(extension)?;
    builder.sign(issuer.map_or(key, |(_, signer)| signer), MessageDigest::sha256())?;
    Ok(builder.build())
}
