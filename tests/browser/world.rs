//! The project's own gateway before the real demo services, and what these say when they are asked without it.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hilum_demo::seed::{ACCOUNTS, Account};
use hilum_demo::{Demo, Options, Ports};
use serde_json::{Value, json};

use crate::harness::{Client, Gateway};
use crate::tab::Tab;

const ROUTES: &str = include_str!("../../routes.yaml");
const SECRET: &str = "a secret of the tests that is long enough";

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    demo: Demo,
}

/// Who is signed in at the services themselves.
pub(crate) struct Caller {
    token: String,
    pub(crate) user_id: String,
    /// The patient, doctor or institution behind the account.
    pub(crate) reference_id: String,
}

impl World {
    pub(crate) async fn start() -> World {
        World::with("").await
    }

    /// With more lines for the gateway's conf.
    pub(crate) async fn with(conf: &str) -> World {
        let options = Options { secret: SECRET.to_owned(), ports: Ports::ANY };
        let demo = hilum_demo::start(options).await.expect("the services start");
        let mut gateway =
            Gateway::with(ROUTES).conf(conf).audited().folder_of_project("static").env("JWT_SECRET_KEY", SECRET);
        for service in demo.services() {
            gateway = gateway.env(service.variable, &service.url);
        }
        World { gateway: gateway.start().await, demo }
    }

    pub(crate) async fn browser(&self) -> Tab {
        Tab::open(format!("http://{}", self.gateway.address())).await
    }

    /// Signs in at the service and not through the gateway.
    pub(crate) async fn caller(&self, account: &Account) -> Caller {
        let body = json!({ "email": account.email, "password": account.password });
        let request = format!("POST /auth/login\nContent-Type: application/json\n\n{body}");
        let answer = Client::connect(self.address("auth-jwt")).await.send(&request).await.json();
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).expect("a payload");
        let claims: Value = serde_json::from_slice(&payload).expect("claims");
        let id = |pointer: &str| claims.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Caller { token, user_id: id("/user_id"), reference_id: id("/metadata/reference_id") }
    }

    /// What a service says to a caller: `patients /api/v1/patients/{user_id}/dashboard`.
    pub(crate) async fn ask(&self, caller: &Caller, what: &str) -> Value {
        let (service, path) = what.split_once(' ').expect("a service and a path");
        let request = format!("GET {path}\nAuthorization: Bearer {}", caller.token);
        let answer = Client::connect(self.address(service)).await.send(&request).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        answer.json()
    }

    fn address(&self, service: &str) -> SocketAddr {
        let url = self.demo.url(service).unwrap_or_else(|| panic!("no service {service}"));
        url.trim_start_matches("http://").parse().expect("an address")
    }
}

pub(crate) fn account(user_type: &str) -> &'static Account {
    ACCOUNTS.iter().find(|account| account.user_type == user_type).expect("there is one of each")
}
