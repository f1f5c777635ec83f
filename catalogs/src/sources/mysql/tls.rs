//! How a connection to MySQL is protected: `sslmode` and `sslrootcert`, with the meaning that libpq gives them.

use std::fs;
use std::path::{Path, PathBuf};

use engine::{Code, Error};
use mysql::SslOpts;
use openssl::x509::X509;
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
    /// Whether a connection that is not encrypted will do.
    pub(super) fn takes_plain(self) -> bool {
        matches!(self, TlsMode::Disable | TlsMode::Prefer)
    }

    fn verifies_certificate(self, authorities: Option<&Path>) -> bool {
        match self {
            TlsMode::Disable | TlsMode::Prefer => false,
            TlsMode::Require => authorities.is_some(),
            TlsMode::VerifyCa | TlsMode::VerifyFull => true,
        }
    }

    /// What the client is told, trusting the PEM file `authorities` or else the system's authorities. None: no encryption.
    ///
    /// # Errors
    /// `source_rejected` where the file cannot be read.
    pub(super) fn options(self, authorities: Option<&Path>) -> Result<Option<SslOpts>, Error> {
        if self == TlsMode::Disable {
            return Ok(None);
        }
        let options = SslOpts::default().with_danger_skip_domain_validation(self != TlsMode::VerifyFull);
        if !self.verifies_certificate(authorities) {
            return Ok(Some(options.with_danger_accept_invalid_certs(true)));
        }
        let Some(file) = authorities else {
            let system = SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|file| file.is_file());
            return Ok(Some(options.with_root_cert_path(system)));
        };
        // The client takes a file without certificates for no file at all.
        let unreadable = || {
            Error::new(Code::SourceRejected, "The file of option \"sslrootcert\" cannot be read as PEM certificates.")
                .hint("Give the path of a PEM file, relative to the home, or \"system\".")
        };
        let text = fs::read(file).map_err(|cause| unreadable().cause(cause))?;
        match X509::stack_from_pem(&text) {
            Ok(certificates) if !certificates.is_empty() => {
                Ok(Some(options.with_root_cert_path(Some(file.to_owned()))))
            }
            Ok(_) => Err(unreadable()),
            Err(cause) => Err(unreadable().cause(cause)),
        }
    }
}
