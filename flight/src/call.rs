//! One call as its headers describe it: what the client calls itself, its session, and its defaults.

use engine::Error;
use tonic::metadata::MetadataMap;

use crate::Door;
use crate::recent::Key;
use crate::session;
use crate::ticket::Defaults;

/// Names of clients in the journal are cut to this.
const CLIENT_CHARS: usize = 200;

/// What a call says about itself.
pub(crate) struct Call {
    /// What the client calls itself.
    pub(crate) client: Option<String>,
    /// The session it belongs to, where it says one.
    pub(crate) session: Option<Key>,
    /// What holds for questions that don't say it themselves.
    pub(crate) defaults: Defaults,
}

impl Call {
    /// Reads the headers of a call at `door`.
    ///
    /// # Errors
    /// `invalid_argument` where a header has no value that it could have.
    pub(crate) fn read(door: &Door, metadata: &MetadataMap) -> Result<Self, Error> {
        let session = session::of_call(metadata);
        let chosen = session.and_then(|session| door.sessions.dataset(&session));
        let chosen = chosen.or_else(|| door.options.default_dataset.clone());
        let client = metadata.get("user-agent").and_then(|agent| agent.to_str().ok());
        Ok(Self {
            client: client.map(|agent| agent.chars().take(CLIENT_CHARS).collect()),
            session,
            defaults: session::defaults(metadata, chosen)?,
        })
    }
}
