//! One call as its headers describe it: who asks, what the client calls itself, its session, and its defaults.

use engine::{Error, Presented, Principal, Scope};
use tonic::Request;

use crate::recent::Key;
use crate::session;
use crate::ticket::Defaults;
use crate::{Door, Peer};

/// Names of clients in the journal are cut to this.
const CLIENT_CHARS: usize = 200;

/// What a call says about itself.
pub(crate) struct Call {
    /// Who asks.
    pub(crate) principal: Principal,
    /// What the client calls itself.
    pub(crate) client: Option<String>,
    /// The token that it came with.
    pub(crate) token: Option<String>,
    /// The session it belongs to, where it says one.
    pub(crate) session: Option<Key>,
    /// What holds for questions that don't say it themselves.
    pub(crate) defaults: Defaults,
}

impl Call {
    /// Reads the headers of a call at `door`, and tells who asks.
    ///
    /// # Errors
    /// Those of the authenticator; `invalid_argument` where a header has no value that it could have.
    pub(crate) async fn read<T>(door: &Door, request: &Request<T>) -> Result<Self, Error> {
        // What is borrowed of a request that holds a stream may not live over an `await`.
        let presented = presented(request);
        let metadata = request.metadata().clone();
        let principal = door.authenticator.authenticate(engine::Door::Flight, &presented).await?;
        principal.demand(Scope::Flight)?;
        let principal = principal.at(presented.peer);
        let session = session::of_call(&metadata);
        let chosen = session.and_then(|session| door.sessions.dataset(&session));
        let chosen = chosen.or_else(|| door.options.default_dataset.clone());
        let client = metadata.get("user-agent").and_then(|agent| agent.to_str().ok());
        Ok(Self {
            principal,
            client: client.map(|agent| agent.chars().take(CLIENT_CHARS).collect()),
            token: presented.bearer,
            session,
            defaults: session::defaults(&metadata, chosen)?,
        })
    }
}

/// What a request shows of who sends it.
pub(crate) fn presented<T>(request: &Request<T>) -> Presented {
    // ADBC sends the header twice on calls that follow a handshake; both are the same.
    let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let presented = Presented { certificate: peer.certificate, ..Presented::of_header(header) };
    presented.coming_from(peer.address)
}
