//! Tokens of a provider that listens on this machine, signed by keys of each kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::Scope;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// What the provider says at present; None = it is down.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Option<Value>>>);

/// A provider, and what believes it.
struct House {
    issuer: String,
    said: Said,
    provider: Arc<Provider>,
    tasks: JoinSet<()>,
}

fn settings(issuer: &str) -> Oidc {
    Oidc {
        issuer: issuer.to_owned(),
        audience: vec!["weft".to_owned()],
        resource: None,
        name: "sub".to_owned(),
        roles: "realm_access.roles".to_owned(),
        role_names: BTreeMap::from([("bank-analyst".to_owned(), "analyst".to_owned())]),
        projects: Some("groups".to_owned()),
        tenant: Some("org".to_owned()),
        attributes: BTreeMap::from([("regions".to_owned(), "https://id/regions".to_owned())]),
        leeway: Duration::from_secs(60),
        keep_keys_for: Duration::from_secs(3600),
    }
}

impl House {
    async fn open(keys: Value) -> Self {
        let said = Said(Arc::new(Mutex::new(Some(keys))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let description = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(move || async { Json(description) }))
            .route(
                "/realm/keys",
                get(|State(said): State<Said>| async move {
                    let said = said.0.lock().unwrap().clone();
                    said.map(Json).ok_or(axum::http::StatusCode::SERVICE_UNAVAILABLE)
                }),
            )
            .with_state(said.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut house = Self { provider: Arc::new(Provider::new(settings(&issuer))), issuer, said, tasks: task };
        house.believe(Provider::new(settings(&house.issuer)));
        house
    }

    fn believe(&mut self, provider: Provider) {
        self.provider = Arc::new(provider);
        let reading = Arc::clone(&self.provider);
        self.tasks.spawn(async move { reading.serve(CancellationToken::new()).await });
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": ["other", "weft"], "sub": "meera", "exp": now() + 300, "nbf": now() - 5,
            "realm_access": {"roles": ["bank-analyst", "admin"]}, "groups": ["ads"], "org": "acme",
            "https://id/regions": ["north", "south"],
        })
    }

    async fn code(&self, token: &str) -> Code {
        self.provider.principal(token).await.unwrap_err().code()
    }
}

/// A key that signs, and how it is published.
enum Signer {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
}

impl Signer {
    fn ed() -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap())
    }

    fn ec() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Signer::Ed(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id, "use": "sig", "alg": "EdDSA"})
            }
            Signer::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id})
            }
        }
    }

    fn sign(&self, id: &str, claims: &Value) -> String {
        let algorithm = if matches!(self, Signer::Ed(_)) { "EdDSA" } else { "ES256" };
        self.sign_as(json!({"alg": algorithm, "typ": "JWT", "kid": id}), claims)
    }

    fn sign_as(&self, header: Value, claims: &Value) -> String {
        let [header, claims] = [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = format!("{header}.{claims}");
        let signature = match self {
            Signer::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Signer::Ec(pair) => pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[tokio::test]
async fn a_token_says_who_asks_with_which_rights() {
    for signer in [Signer::ed(), Signer::ec()] {
        let house = House::open(json!({"keys": [signer.jwk("one")]})).await;
        let token = signer.sign("one", &house.claims());
        let principal = house.provider.principal(&token).await.unwrap();
        assert_eq!(principal.name(), "meera");
        // The provider's own administrators are none here.
        assert_eq!(principal.roles().iter().collect::<Vec<_>>(), ["analyst"]);
        let shown = format!("{principal:?}");
        for part in ["\"ads\"", "\"acme\"", "\"regions\": [\"north\", \"south\"]", "token of http://"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains(&token));
        let mut claims = house.claims();
        claims["scope"] = json!("openid weft:mcp weft:nothing");
        let of_mcp = house.provider.principal(&signer.sign("one", &claims)).await.unwrap();
        assert!(of_mcp.demand(Scope::Mcp).is_ok() && of_mcp.demand(Scope::Rest).is_err());
    }
}

#[tokio::test]
async fn a_token_that_is_not_for_here_or_not_of_now_is_refused() {
    let (signer, stranger) = (Signer::ed(), Signer::ed());
    let house = House::open(json!({"keys": [signer.jwk("one")]})).await;
    let with = |claim: &str, value: Value| {
        let mut claims = house.claims();
        claims[claim] = value;
        claims
    };
    for (claim, value) in [
        ("iss", json!("http://127.0.0.1:1/realm")),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("exp", json!(now() - 61)),
        ("exp", Value::Null),
        ("exp", json!("soon")),
        ("nbf", json!(now() + 120)),
        ("sub", json!("")),
        ("sub", json!("two\nlines")),
        ("sub", Value::Null),
    ] {
        assert_eq!(
            house.code(&signer.sign("one", &with(claim, value.clone()))).await,
            Code::Unauthenticated,
            "{claim} {value}"
        );
    }
    // A clock that is off by less than a minute.
    for (claim, value) in [("exp", json!(now() - 30)), ("nbf", json!(now() + 30))] {
        assert!(house.provider.principal(&signer.sign("one", &with(claim, value))).await.is_ok(), "{claim}");
    }
    let good = signer.sign("one", &house.claims());
    let (head, tail) = good.split_at(good.len() / 2);
    let changed = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
    let (message, _) = good.rsplit_once('.').unwrap();
    let public = signer.jwk("one")["x"].as_str().unwrap().to_owned();
    for (what, token) in [
        ("another key", stranger.sign("one", &house.claims())),
        ("a changed letter", changed),
        ("no signature", format!("{message}.")),
        (
            "an extension that must be known",
            signer.sign_as(json!({"alg": "EdDSA", "kid": "one", "crit": ["for"], "for": "others"}), &house.claims()),
        ),
        ("no algorithm", signer.sign_as(json!({"alg": "none", "kid": "one"}), &house.claims())),
        (
            "an HMAC by the public key",
            signer.sign_as(json!({"alg": "HS256", "kid": "one", "k": public}), &house.claims()),
        ),
        ("an algorithm of other keys", signer.sign_as(json!({"alg": "RS256", "kid": "one"}), &house.claims())),
        (
            "a key of its own",
            signer.sign_as(json!({"alg": "EdDSA", "kid": "two", "jwk": stranger.jwk("two")}), &house.claims()),
        ),
        ("no JSON", "a.b.c".to_owned()),
    ] {
        assert_eq!(house.code(&token).await, Code::Unauthenticated, "{what}");
    }
}

#[tokio::test]
async fn keys_are_exchanged_and_believed_while_the_provider_is_down() {
    let (old, new) = (Signer::ed(), Signer::ec());
    let mut house = House::open(json!({"keys": [old.jwk("old")]})).await;
    assert!(house.provider.principal(&old.sign("old", &house.claims())).await.is_ok());
    let ends = house.provider.tokens().ending[0].ends.clone();
    *house.said.0.lock().unwrap() = Some(json!({"keys": [new.jwk("new")]}));
    // Anybody can name a key that there is not: the provider is not asked for each.
    let since = std::time::Instant::now();
    assert_eq!(house.code(&new.sign("new", &house.claims())).await, Code::Unauthenticated);
    assert!(since.elapsed() < Duration::from_secs(5));
    // With the next look the new key is there, and what came by the one that is gone ends.
    house.believe(Provider::new(settings(&house.issuer)));
    assert!(house.provider.principal(&new.sign("new", &house.claims())).await.is_ok());
    assert_eq!(house.code(&old.sign("old", &house.claims())).await, Code::Unauthenticated);
    {
        let mut tokens = house.provider.tokens();
        let (_, known) = tokens.known.iter_mut().next().unwrap();
        known.key = serde_json::from_value(old.jwk("old")).unwrap();
        let key = known.key.clone();
        tokens.ending.push(Ending { key, ends_at: u64::MAX, ends: ends.clone() });
    }
    house.provider.follow();
    assert!(ends.is_cancelled() && house.provider.tokens().known.is_empty());
    // Down: the keys that are known do.
    *house.said.0.lock().unwrap() = None;
    assert!(house.provider.principal(&new.sign("new", &house.claims())).await.is_ok());
    // Without any, nobody knows.
    house.believe(Provider::new(settings(&house.issuer)));
    assert_eq!(house.code(&new.sign("new", &house.claims())).await, Code::SourceUnavailable);
}

#[tokio::test]
async fn requests_at_once_are_one_caller() {
    let signer = Signer::ed();
    let house = House::open(json!({"keys": [signer.jwk("one")]})).await;
    let token = signer.sign("one", &house.claims());
    let asked = futures::future::join_all((0..8).map(|_| house.provider.principal(&token))).await;
    assert!(asked.iter().all(Result::is_ok));
    assert_eq!(house.provider.tokens().ending.len(), 1);
}

#[tokio::test]
async fn queries_of_a_token_end_when_it_does() {
    let signer = Signer::ed();
    let house = House::open(json!({"keys": [signer.jwk("one")]})).await;
    house.provider.principal(&signer.sign("one", &house.claims())).await.unwrap();
    let ends = house.provider.tokens().ending[0].ends.clone();
    house.provider.follow();
    assert!(!ends.is_cancelled());
    house.provider.tokens().ending.iter_mut().for_each(|ending| ending.ends_at = now());
    house.provider.tokens().known.values_mut().for_each(|known| known.ends_at = now());
    house.provider.follow();
    assert!(ends.is_cancelled());
    assert!(house.provider.tokens().known.is_empty());
}
