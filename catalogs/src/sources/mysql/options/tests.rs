//! Options as people write them, and what is said of those that are wrong.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Settings, TlsMode};

fn parse(options: Value) -> Result<Settings, engine::Error> {
    Settings::parse(&options, Path::new("home"))
}

#[test]
fn url_is_taken_apart_and_options_win_over_it() {
    let settings = parse(json!({
        "url": "mariadb://us%40er:p%3Ass@[::1]:6543/my%20db?sslmode=verify-full&connect_timeout=3",
        "port": "7000",
        "sslrootcert": "ca.pem",
    }))
    .unwrap();
    assert_eq!(settings.user, "us@er");
    assert_eq!(settings.password.as_deref(), Some("p:ss"));
    assert_eq!(settings.location(), "[::1]:7000/my db");
    assert_eq!(settings.tls, TlsMode::VerifyFull);
    assert_eq!(settings.connect_timeout, Duration::from_secs(3));
    assert_eq!(settings.authorities.as_deref(), Some(Path::new("home/ca.pem")));
}

#[test]
fn values_may_be_text_or_numbers() {
    let settings = parse(json!({
        "host": "db", "database": "shop", "port": "3307", "password": 1234, "min_pool_size": "2", "max_pool_size": 4,
        "statement_timeout": "1500ms",
    }))
    .unwrap();
    assert_eq!(settings.password.as_deref(), Some("1234"));
    assert_eq!((settings.min_pool_size, settings.max_pool_size), (2, 4));
    assert_eq!(settings.statement_timeout, Some(Duration::from_millis(1500)));
    assert_eq!((settings.database.as_str(), settings.user.as_str()), ("shop", "root"));
}

#[test]
fn unknown_option_names_the_nearest_one() {
    let error = parse(json!({"pasword": "hunter2"})).unwrap_err();
    assert_eq!(error.message(), "A mysql source has no option \"pasword\".");
    assert_eq!(error.hint_text(), Some("Did you mean \"password\"?"));
}

#[test]
fn messages_name_the_option_and_not_its_value() {
    for options in [
        json!({"password": ["hunter2"]}),
        json!({"port": "hunter2"}),
        json!({"connect_timeout": "hunter2"}),
        json!({"sslmode": "hunter2"}),
        json!({"url": "hunter2"}),
        json!({"url": "postgres://hunter2@x/y"}),
        json!({"url": "mysql://a:hunter2@x:99999999/y"}),
        json!({"min_pool_size": 3, "max_pool_size": 2}),
        json!({"password": "hunter2"}),
        json!("hunter2"),
    ] {
        let error = parse(options).unwrap_err();
        assert_eq!(error.code(), engine::Code::InvalidArgument);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn debug_output_holds_no_password() {
    let settings = parse(json!({"password": "hunter2", "host": "/var/run", "database": "shop"})).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert_eq!(settings.location(), "socket:3306/shop");
}
