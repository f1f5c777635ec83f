//! How a connection to PostgreSQL is protected: `sslmode` and `sslrootcert`, with the meaning that libpq gives them.
//!
//! connectorx's own connector never verifies the server's name, so this one is ours.

use std::path::Path;

use engine::{Code, Error};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use postgres::config::SslMode;
use postgres_openssl::MakeTlsConnector;
use schemars::JsonSchema;
use serde::Deserialize;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server can. Nothing is verified: it protects against a listener, not against an impostor.
    #[default]
    Prefer,
    /// Encrypted. The certificate is verified only where `sslrootcert` is set, as libpq does; the name never is.
    Require,
    /// Encrypted, and the certificate is vouched for by an authority.
    VerifyCa,
    /// Encrypted, the certificate is vouched for, and it names the host that was asked for.
    VerifyFull,
}

/// Where systems keep the authorities that they trust. The OpenSSL inside this program is built without a place of its
/// own.
const SYSTEM_AUTHORITIES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/openssl/cert.pem",
];

impl TlsMode {
    /// What the wire protocol is told.
    pub(super) fn negotiation(self) -> SslMode {
        match self {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        }
    }

    fn verifies_certificate(self, authorities: Option<&Path>) -> bool {
        match self {
            TlsMode::Disable | TlsMode::Prefer => false,
            TlsMode::Require => authorities.is_some(),
            TlsMode::VerifyCa | TlsMode::VerifyFull => true,
        }
    }

    /// The connector for this mode, trusting the PEM file `authorities` or else the system's authorities.
    ///
    /// # Errors
    /// `source_rejected` where the file cannot be read.
    pub(super) fn connector(self, authorities: Option<&Path>) -> Result<MakeTlsConnector, Error> {
        let build = || -> Result<SslConnector, openssl::error::ErrorStack> {
            let mut builder = SslConnector::builder(SslMethod::tls_client())?;
            builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
            if !self.verifies_certificate(authorities) {
                builder.set_verify(SslVerifyMode::NONE);
            } else if let Some(file) = authorities {
                builder.set_ca_file(file)?;
            } else if let Some(file) = SYSTEM_AUTHORITIES.iter().find(|file| Path::new(file).is_file()) {
                builder.set_ca_file(file)?;
            }
            Ok(builder.build())
        };
        let connector = build().map_err(|cause| {
            Error::new(Code::SourceRejected, "The file of option \"sslrootcert\" cannot be read as PEM certificates.")
                .hint("Give the path of a PEM file, relative to the home, or \"system\".")
                .cause(cause)
        })?;
        let mut connector = MakeTlsConnector::new(connector);
        if self != TlsMode::VerifyFull {
            connector.set_callback(|connection, _| {
                connection.set_verify_hostname(false);
                Ok(())
            });
        }
        Ok(connector)
    }
}
