//! The running services, somebody of each type who is signed in, and `check`: a case is a request
//! and what to expect of its answer.

use hilum_demo::seed::ACCOUNTS;
use hilum_demo::token::{Claims, Key};
use hilum_demo::{Demo, Options, Ports};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const SECRET: &str = "the secret of these tests";
pub(crate) const NOTHING: &str = "No hay datos para actualizar.";
pub(crate) const EMAIL_TAKEN: &str = "El email ya está en uso.";

pub(crate) struct World {
    pub(crate) demo: Demo,
    /// Id and token of somebody of each type, in the order of `ACCOUNTS`.
    people: Vec<(String, String)>,
}

/// One request and its answer.
pub(crate) struct Case {
    /// A sentence that says what holds.
    pub(crate) name: &'static str,
    /// Method, service and path; `{patient}` and the like are the ids of who is signed in.
    pub(crate) send: &'static str,
    pub(crate) caller: Caller,
    /// Null sends no body.
    pub(crate) body: Value,
    pub(crate) status: u16,
    /// What the answer has at least; the text "*" is any value but null.
    pub(crate) answer: Value,
}

#[derive(Clone)]
pub(crate) enum Caller {
    Nobody,
    Patient,
    Doctor,
    Institution,
    Admin,
    /// Whatever this header says.
    Header(String),
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// A case that needs no body.
pub(crate) fn get(name: &'static str, send: &'static str, caller: Caller, status: u16, answer: Value) -> Case {
    Case { name, send, caller, body: Value::Null, status, answer }
}

/// A case with a body.
pub(crate) fn case(
    name: &'static str,
    send: &'static str,
    caller: Caller,
    body: Value,
    status: u16,
    answer: Value,
) -> Case {
    Case { name, send, caller, body, status, answer }
}

/// An answer `{"detail": …}`.
pub(crate) fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

/// A 422 answer with faults at these places, in this order.
pub(crate) fn faults(places: &[Value]) -> Value {
    json!({ "detail": places.iter().map(|place| json!({ "loc": place, "msg": "*", "type": "*" })).collect::<Vec<_>>() })
}

/// The body with another value in one field.
pub(crate) fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

impl World {
    pub(crate) async fn new() -> Self {
        let options = Options { secret: SECRET.to_owned(), ports: Ports::ANY };
        let demo = hilum_demo::start(options).await.unwrap();
        let mut world = Self { demo, people: Vec::new() };
        for account in &ACCOUNTS {
            let person = world.sign_in(account.email, account.password).await;
            world.people.push(person);
        }
        world
    }

    /// The id and the access token of an account.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> (String, String) {
        let body = json!({ "email": email, "password": password });
        let reply = self.send("POST auth-jwt /auth/login", &Caller::Nobody, &body).await;
        assert_eq!(reply.status, 200, "{email}: {}", reply.body);
        let text = |field: &str| reply.body[field].as_str().unwrap().to_owned();
        (text("user_id"), text("access_token"))
    }

    pub(crate) fn id(&self, user_type: &str) -> &str {
        let at = ACCOUNTS.iter().position(|account| account.user_type == user_type).unwrap();
        &self.people[at].0
    }

    pub(crate) async fn check(&self, cases: &[Case]) {
        for case in cases {
            let reply = self.send(case.send, &case.caller, &case.body).await;
            let name = case.name;
            assert_eq!(reply.status, case.status, "{name}\n{}\nanswered {}", case.send, reply.body);
            let expected = self.fill(&case.answer.to_string());
            let expected = serde_json::from_str(&expected).unwrap();
            assert!(
                has(&reply.body, &expected),
                "{name}\n{}\nexpected {expected:#}\nanswered {:#}",
                case.send,
                reply.body
            );
        }
    }

    /// Makes something and answers its id.
    pub(crate) async fn make(&self, line: &'static str, caller: Caller, body: &Value) -> String {
        let reply = self.send(line, &caller, body).await;
        assert_eq!(reply.status, 201, "{line}: {}", reply.body);
        reply.body["id"].as_str().unwrap().to_owned()
    }

    /// Checks cases about something that was made: `{new}` is its id.
    pub(crate) async fn check_new(&self, id: &str, cases: Vec<Case>) {
        for case in cases {
            let line = case.send.replace("{new}", id).leak();
            self.check(&[Case { send: line, ..case }]).await;
        }
    }

    pub(crate) async fn send(&self, line: &str, caller: &Caller, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { self.fill(&body.to_string()) };
        self.send_text(line, caller, "application/json", &body).await
    }

    pub(crate) async fn send_text(&self, line: &str, caller: &Caller, content_type: &str, body: &str) -> Reply {
        let line = self.fill(line);
        let mut words = line.split(' ');
        let (method, service, path) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let host = self.demo.url(service).unwrap().strip_prefix("http://").unwrap();
        let person = |at: usize| format!("Authorization: Bearer {}\r\n", self.people[at].1);
        let authorization = match caller {
            Caller::Nobody => String::new(),
            Caller::Patient => person(0),
            Caller::Doctor => person(1),
            Caller::Institution => person(2),
            Caller::Admin => person(3),
            Caller::Header(value) => format!("Authorization: {value}\r\n"),
        };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n{authorization}\r\n{body}"
        );
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Reply {
            status: head[9..12].parse().unwrap(),
            head: head.to_lowercase(),
            body: if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() },
        }
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (account, (id, _)) in ACCOUNTS.iter().zip(&self.people) {
            text = text.replace(&format!("{{{}}}", account.user_type), id);
        }
        text
    }
}

/// A caller with these claims, signed by somebody with this secret.
pub(crate) fn bearer(secret: &str, claims: &Claims) -> Caller {
    Caller::Header(format!("Bearer {}", Key::new(secret).sign(claims)))
}

fn has(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (_, Value::String(any)) if any == "*" => !actual.is_null(),
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| actual.get(name).is_some_and(|actual| has(actual, value)))
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, e)| has(a, e))
        }
        (actual, expected) => actual == expected,
    }
}
