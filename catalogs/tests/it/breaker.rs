//! A server that cannot be reached is left alone after five failures, whatever kind of database it should be.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use catalogs::{Connect, Home, Registry, Scope, sources};
use engine::{Catalog, Code, SourceHealth};
use serde_json::json;

use crate::folder::{Folder, no_env};

/// A port that hangs up on everybody, and how many have come.
fn rude_port() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, came) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&came);
    thread::spawn(move || {
        for connection in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(connection);
        }
    });
    (port, came)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_query_fails_at_once_and_says_when_the_next_try_is() {
    for kind in ["mysql", "postgres"] {
        let (port, came) = rude_port();
        let options = json!({"host": "127.0.0.1", "port": port, "user": "u", "password": "p", "database": "d", "sslmode": "disable"});
        let connect = Connect { id: "bank".to_owned(), options, root: PathBuf::from("/nowhere") };
        let source = sources::kind(kind).unwrap().connect(connect).unwrap();
        for _ in 0..5 {
            assert_eq!(source.outage(), None, "{kind}");
            let error = source.tables(&Scope::default()).await.unwrap_err();
            assert_eq!(error.code(), Code::SourceUnavailable, "{kind}: {error}");
            assert!(error.message().contains("cannot be reached"), "{kind}: {error}");
        }
        let tries = came.load(Ordering::SeqCst);
        assert!(tries >= 5, "{kind}: {tries}");
        for _ in 0..20 {
            let error = source.tables(&Scope::default()).await.unwrap_err();
            assert_eq!(error.code(), Code::SourceUnavailable, "{kind}: {error}");
            assert!(error.message().contains("has not been reached since"), "{kind}: {error}");
            assert!(error.hint_text().unwrap().contains("next try"), "{kind}: {error:?}");
        }
        assert_eq!(came.load(Ordering::SeqCst), tries, "{kind}");
        assert!(source.outage().unwrap().contains("The next try is at"), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_told_as_the_health_of_the_source() {
    let (port, _) = rude_port();
    let folder = Folder::new().file(
        "datasets/bank.yaml",
        format!(
            "dataset: {{id: bank}}\ndatabase: {{type: postgres, connection: {{host: 127.0.0.1, port: {port}, sslmode: disable}}}}\n"
        ),
    );
    let registry = Registry::new(&Home::load(folder.path(), &no_env).unwrap());
    let bank = registry.dataset("bank").unwrap();
    for _ in 0..5 {
        registry.tables(&bank).await.unwrap_err();
    }
    let SourceHealth::Unavailable(message) = registry.sources().remove(0).health else { unreachable!() };
    assert!(message.contains("has not been reached since") && message.contains("The next try is at"), "{message}");
}
