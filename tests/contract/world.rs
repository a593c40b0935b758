//! Who there is: the demo's people with a session each, their services, and gateways before services that are well, gone, or talk
//! nonsense. The gateways share a Redis, so that who signed in at one is known to all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hilum_demo::seed::ACCOUNTS;
use hilum_demo::token::{Claims, Key};
use hilum_demo::{Demo, Options, Ports};
use serde_json::{Value, json};

use crate::harness::*;
use crate::row::request;

pub(crate) const ROUTES: &str = include_str!("../../routes.yaml");
pub(crate) const SECRET: &str = "a secret of the tests that is long enough";
pub(crate) const USER_TYPES: [&str; 4] = ["patient", "doctor", "institution", "admin"];

/// The gateway before the demo services, and who is signed in.
pub(crate) struct World {
    pub(crate) demo: Demo,
    pub(crate) redis: Redis,
    pub(crate) gateway: Gateway,
    tokens: HashMap<String, String>,
    ids: HashMap<&'static str, String>,
    count: AtomicU32,
}

impl World {
    pub(crate) async fn new() -> World {
        let redis = Redis::start().await;
        let options = Options { secret: SECRET.to_owned(), ports: Ports::ANY };
        let demo = hilum_demo::start(options).await.expect("the services start");
        let mut gateway = before(&redis.url());
        for service in demo.services() {
            gateway = gateway.env(service.variable, &service.url);
        }
        let gateway = gateway.start().await;
        let (tokens, ids) = (HashMap::new(), HashMap::new());
        let mut world = World { demo, redis, gateway, tokens, ids, count: AtomicU32::new(100) };
        for (name, user_type) in USER_TYPES.iter().map(|of| (*of, *of)).chain([("leaving", "patient")]) {
            let token = world.sign_in(user_type).await;
            world.tokens.insert(name.to_owned(), token);
        }
        world.know_the_nameless().await;
        world.look_around().await;
        world
    }

    /// By the sign-in of its type, whose sessions must be as good as those of the general one.
    async fn sign_in(&self, user_type: &str) -> String {
        let account = ACCOUNTS.iter().find(|account| account.user_type == user_type).expect("there is one of each");
        let body = json!({ "email": account.email, "password": account.password });
        let answer =
            self.gateway.send(&request(&format!("POST /api/web/auth/{user_type}/login\njson {body}"), "")).await;
        expect(user_type, &answer, "200");
        answer.json()["data"]["access_token"].as_str().expect("a token").to_owned()
    }

    /// An institution whose token does not say which.
    async fn know_the_nameless(&mut self) {
        let mut claims = Claims::new("7", "institution", "nadie@example.org");
        claims.metadata.reference_id = None;
        let token = Key::new(SECRET).sign(&claims);
        self.redis.run::<()>(&["SETEX", &format!("access_token:{token}"), "900", &token]).await;
        self.tokens.insert("nameless".to_owned(), token);
    }

    /// Finds the ids that the rows speak of.
    async fn look_around(&mut self) {
        for of in ["patient", "doctor", "institution"] {
            let me = self.ask(of, "/api/web/auth/session/validate").await;
            let id = me["data"]["user"]["user_id"].as_str().expect("an id").to_owned();
            self.ids.insert(of, id);
        }
        let own = self.ids["institution"].clone();
        let elsewhere = |one: &&Value| one["institution_id"] != *own;
        for (name, path) in [("stranger", "/api/v1/patients"), ("other-doctor", "/api/v1/doctors")] {
            let all = self.ask("admin", path).await;
            let one = all.as_array().expect("a list").iter().find(elsewhere).expect("somebody elsewhere").clone();
            self.ids.insert(name, one["id"].as_str().expect("an id").to_owned());
        }
        let all = self.ask("admin", "/api/v1/institutions").await;
        let other = all.as_array().expect("a list").iter().find(|one| one["license_number"] == "CLIN-JA-0392");
        let other = other.expect("the other institution")["id"].as_str().expect("an id").to_owned();
        self.ids.insert("other-institution", other);
    }

    async fn ask(&self, by: &str, path: &str) -> Value {
        let answer = self.gateway.send(&request(&format!("GET {path}"), &self.bearer(by))).await;
        expect(path, &answer, "200");
        answer.json()
    }

    pub(crate) fn bearer(&self, by: &str) -> String {
        self.tokens.get(by).map(|token| format!("Authorization: Bearer {token}")).unwrap_or_default()
    }

    /// As a page of the site sends it.
    pub(crate) fn cookie(&self, by: &str) -> String {
        let with = |token| format!("Cookie: predicthealth_jwt={token}\nSec-Fetch-Site: same-origin");
        self.tokens.get(by).map(with).unwrap_or_default()
    }

    /// Puts real values in the place of `<names>`; `<new-…>` is made for the occasion, `<n>` is a number that was not there before.
    pub(crate) async fn fill(&self, text: &str, by: &str) -> String {
        let mut text = text.to_owned();
        for (name, id) in &self.ids {
            text = text.replace(&format!("<{name}>"), id);
        }
        let account = ACCOUNTS.iter().find(|account| account.user_type == by);
        text = text.replace("<password>", account.map_or("", |account| account.password));
        for made in ["emails", "phones", "addresses", "doctor"] {
            let name = format!("<new-{made}>");
            if text.contains(&name) {
                text = text.replace(&name, &self.make(made).await);
            }
        }
        text.replace("<n>", &self.count.fetch_add(1, Relaxed).to_string())
    }

    async fn make(&self, what: &str) -> String {
        let n = self.count.fetch_add(1, Relaxed);
        let (by, send) = match what {
            "emails" => (
                "patient",
                format!(
                    "POST /api/web/patient/emails\njson {{\"email_address\":\"made.{n}@example.com\",\"email_type\":\"personal\",\"is_primary\":false}}"
                ),
            ),
            "phones" => (
                "patient",
                format!(
                    "POST /api/web/patient/phones\njson {{\"phone_number\":\"+52 81 5551 {n}\",\"phone_type\":\"mobile\",\"is_primary\":false}}"
                ),
            ),
            "addresses" => (
                "patient",
                format!(
                    "POST /api/web/patient/addresses\njson {{\"street_address\":\"Calle {n}\",\"neighborhood\":\"Centro\",\"postal_code\":\"64000\",\"city\":\"Monterrey\",\"region_id\":1,\"country_id\":1,\"address_type\":\"home\",\"is_primary\":false}}"
                ),
            ),
            _ => (
                "institution",
                format!(
                    "POST /api/web/institution/doctors\njson {{\"nombre\":\"Ana\",\"apellido\":\"Luz\",\"email\":\"made.{n}@example.org\",\"licencia_medica\":\"MADE-{n}\",\"password\":\"Doctora.2025\",\"confirm_password\":\"Doctora.2025\"}}"
                ),
            ),
        };
        let answer = self.gateway.send(&request(&send, &self.bearer(by))).await;
        expect(&send, &answer, "201");
        let made = answer.json();
        let id = if what == "doctor" { &made["id"] } else { &made["data"]["id"] };
        id.as_str().expect("an id").to_owned()
    }

    /// A gateway over the same sessions, before these services.
    pub(crate) async fn gateway_before(&self, url: &str) -> Gateway {
        let services = self.demo.services().iter();
        services.fold(before(&self.redis.url()), |gateway, service| gateway.env(service.variable, url)).start().await
    }

    /// A gateway whose session store is gone.
    pub(crate) async fn gateway_without_sessions(&self) -> (Gateway, Refusing) {
        let gone = Refusing::new();
        let url = gone.url().replace("http://", "redis://");
        let gateway = self.demo.services().iter();
        let gateway = gateway.fold(before(&url), |gateway, service| gateway.env(service.variable, &service.url));
        (gateway.start().await, gone)
    }
}

/// More patience than a client would have: what is looked at here is not how fast an outage is told.
const SESSIONS: &str = "sessions: { redis: \"${REDIS_URL}\", timeout: 5s }";

fn before(redis: &str) -> Builder {
    let gateway = Gateway::with(ROUTES).folder_of_project("static").conf(SESSIONS).audited();
    gateway.env("JWT_SECRET_KEY", SECRET).env("REDIS_URL", redis)
}
