//! TLS: what each `sslmode` verifies, against a server whose certificate names `localhost` only.

use engine::{Code, Error};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use serde_json::{Value, json};

use super::server::Server;
use super::{runtime, source};

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key")
}

fn certificate(name: &str, key: &PKey<Private>, issuer: Option<(&X509, &PKey<Private>)>) -> X509 {
    let build = || -> Result<X509, openssl::error::ErrorStack> {
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
        match issuer {
            None => builder.append_extension(BasicConstraints::new().critical().ca().build()?)?,
            Some((authority, _)) => {
                let names =
                    SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(Some(authority), None))?;
                builder.append_extension(names)?;
            }
        }
        builder.sign(issuer.map_or(key, |(_, signer)| signer), MessageDigest::sha256())?;
        Ok(builder.build())
    };
    build().expect("a certificate")
}

fn pem(certificate: &X509) -> String {
    String::from_utf8(certificate.to_pem().expect("PEM")).expect("text")
}

#[test]
fn each_sslmode_verifies_what_it_says() {
    let Some(server) = Server::start() else { return };
    let (authority_key, server_key) = (key(), key());
    let authority = certificate("Weft test authority", &authority_key, None);
    let stranger = certificate("Weft test authority", &key(), None);
    let own = certificate("localhost", &server_key, Some((&authority, &authority_key)));
    let private = String::from_utf8(server_key.private_key_to_pem_pkcs8().expect("PEM")).expect("text");
    server.write("server.key", &private);
    server.write("server.crt", &pem(&own));
    server.write("ca.pem", &pem(&authority));
    server.write("stranger.pem", &pem(&stranger));
    server.write("torn.pem", "-----BEGIN CERTIFICATE-----\nno");
    let runtime = runtime();
    let test = |options: Value| -> Result<(), Error> { runtime.block_on(source(&server, options).test()) };
    let file = |name: &str| server.path(name).to_string_lossy().into_owned();

    // Without TLS in the server: `prefer` goes on, the others do not.
    assert!(test(json!({"sslmode": "prefer"})).is_ok());
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_eq!(test(json!({"sslmode": mode})).unwrap_err().code(), Code::SourceRejected, "{mode}");
    }
    server.crash();
    server.configure("ssl-cert = server.crt\nssl-key = server.key");
    server.boot();

    let (ca, stranger, torn) = (file("ca.pem"), file("stranger.pem"), file("torn.pem"));
    for (mode, host, authorities, is_accepted) in [
        ("disable", "localhost", None, true),
        ("prefer", "localhost", Some(&stranger), true),
        ("require", "127.0.0.1", None, true),
        ("require", "127.0.0.1", Some(&ca), true),
        ("require", "localhost", Some(&stranger), false),
        ("verify-ca", "127.0.0.1", Some(&ca), true),
        ("verify-ca", "localhost", Some(&stranger), false),
        ("verify-ca", "localhost", None, false),
        ("verify-full", "localhost", Some(&ca), true),
        ("verify-full", "127.0.0.1", Some(&ca), false),
        ("verify-full", "localhost", Some(&stranger), false),
        ("verify-full", "localhost", Some(&torn), false),
    ] {
        let result = test(json!({"sslmode": mode, "host": host, "sslrootcert": authorities}));
        let code = result.err().map(|error| error.code());
        assert_eq!(code, (!is_accepted).then_some(Code::SourceRejected), "{mode} {host} {authorities:?}");
    }
    server.sql("CREATE USER careful@'%' IDENTIFIED BY 'x' REQUIRE SSL; GRANT SELECT ON bank.* TO careful@'%'");
    let careful = |mode: &str| test(json!({"user": "careful", "password": "x", "sslmode": mode}));
    assert_eq!(careful("disable").unwrap_err().code(), Code::SourceRejected);
    assert!(careful("prefer").is_ok());
}
