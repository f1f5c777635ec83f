//! The signatures of tokens, verified by the library that does TLS here. Nothing is signed.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: |algorithm, key| Ok(Box::new(Verify { algorithm: *algorithm, key: key.clone() })),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes it the way in which this process verifies tokens.
pub(super) fn install() {
    // A second server in one process finds it installed.
    let _ = PROVIDER.install_default();
}

struct Verify {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verify {
    fn is_right(&self, message: &[u8], of: &[u8]) -> Result<bool> {
        let by = |algorithm: &'static dyn VerificationAlgorithm| -> Result<bool> {
            let key = UnparsedPublicKey::new(algorithm, self.key.try_get_as_bytes()?);
            Ok(key.verify(message, of).is_ok())
        };
        let by_rsa = |parameters: &'static RsaParameters| match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                Ok(RsaPublicKeyComponents { n, e }.verify(parameters, message, of).is_ok())
            }
            DecodingKeyKind::SecretOrDer(_) => Err(ErrorKind::InvalidKeyFormat.into()),
        };
        match self.algorithm {
            Algorithm::ES256 => by(&signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => by(&signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => by(&signature::ED25519),
            Algorithm::RS256 => by_rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => by_rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => by_rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => by_rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => by_rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => by_rsa(&signature::RSA_PSS_2048_8192_SHA512),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    }
}

impl Verifier<Vec<u8>> for Verify {
    fn verify(&self, message: &[u8], of: &Vec<u8>) -> std::result::Result<(), Error> {
        match self.is_right(message, of) {
            Ok(true) => Ok(()),
            _ => Err(Error::new()),
        }
    }
}

impl JwtVerifier for Verify {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
