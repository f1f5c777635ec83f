//! Where the audit log of a home is, and by which key its lines hang together.

use catalogs::Settings;
use engine::journal::log::LogOptions;

const FOLDER: &str = "audit";
const PURPOSE: &str = "weft 2026-11 chain of the audit log";

/// How the audit log is kept; None where it is not.
pub(crate) fn options(settings: &Settings) -> Option<LogOptions> {
    let data_dir = settings.data_dir.as_deref().filter(|_| settings.audit.enabled)?;
    Some(LogOptions {
        folder: data_dir.join(FOLDER),
        key: super::secret(data_dir)?.key(PURPOSE),
        keep_for: settings.audit.keep_for,
        keep_bytes: settings.audit.keep_bytes,
    })
}
