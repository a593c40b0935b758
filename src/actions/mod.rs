//! What a route does, one file each. None of them knows Pingora's session: they take a head and a body, and give an [`Answer`].

pub mod combine;
pub mod files;
pub mod forward;
mod given;
pub mod health;
pub mod page;
pub mod record;
pub mod redirect;
pub mod refresh;
pub mod reply;
pub mod respond;
pub mod sent;
pub mod session;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hilum_filters::api::{Placed, Problem, did_you_mean};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::config::action;
use crate::identity::Token;
use crate::records::Records;
use crate::router::Pattern;
use crate::services::Pool;
use crate::template::Pages;

/// The action of a route, compiled.
#[derive(Debug)]
pub enum Action {
    Forward(forward::Forward),
    Respond(respond::Respond),
    Redirect(redirect::Redirect),
    Files(files::Files),
    Page(page::Page),
    Session(session::Session),
    Health(health::Health),
    Combine(combine::Combine),
}

/// An answer that Hilum writes itself.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
}

#[derive(Debug, Default)]
pub enum Content {
    #[default]
    None,
    Bytes(Bytes),
    /// `len` bytes of a file from where it stands.
    File {
        file: std::fs::File,
        len: u64,
    },
}

impl Answer {
    pub fn new(status: StatusCode) -> Self {
        Answer { status, ..Answer::default() }
    }

    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Answer::bytes(status, "application/json", body)
    }

    pub fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut answer = Answer::new(status);
        answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        answer.content = Content::Bytes(body.into());
        answer
    }

    /// The body when it is in memory.
    pub fn body(&self) -> Bytes {
        match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            _ => Bytes::new(),
        }
    }
}

/// What an action is compiled with.
pub struct Build<'b> {
    pub problems: &'b mut Vec<Problem>,
    pub pools: &'b Named<Pool>,
    pub tokens: &'b Named<Token>,
    /// The path of the route, with the names of its parameters.
    pub path: &'b Pattern,
    /// Headers that carry an identity, of all tokens: Hilum alone writes them.
    pub own_headers: &'b [http::HeaderName],
    /// The route has a token, so that claims exist.
    pub has_claims: bool,
    /// Who brings no token is let in as well, and has none.
    pub admits_nobody: bool,
    /// Clients send one here.
    pub has_body: bool,
    /// It is read before the action has its turn.
    pub reads_body: bool,
    pub base_dir: &'b Path,
    /// The templates of pages, unless there are none to be had; then that was told.
    pub pages: Option<&'b Arc<Pages>>,
    pub records: &'b Records,
}

impl Build<'_> {
    /// The same, for a while.
    fn again(&mut self) -> Build<'_> {
        Build { problems: self.problems, ..*self }
    }
}

/// Whether a header says where a message goes or how it is cut: Hilum and Pingora alone write these.
fn is_framing(name: &http::HeaderName) -> bool {
    [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
    ]
    .contains(name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

/// Things that the file names, and which of them were used.
#[derive(Debug)]
pub struct Named<T> {
    /// `None`: it is named in the file, but could not be built; its own problem says so.
    things: HashMap<String, Option<Arc<T>>>,
    used: std::cell::RefCell<std::collections::HashSet<String>>,
}

impl<T> Named<T> {
    pub fn new(things: impl IntoIterator<Item = (String, Option<Arc<T>>)>) -> Self {
        Named { things: things.into_iter().collect(), used: std::cell::RefCell::default() }
    }

    /// The thing of that name; a name that is not there is a problem, `what` it was looked for as.
    pub fn find(&self, name: &Placed<String>, what: &str, problems: &mut Vec<Problem>) -> Option<Arc<T>> {
        if let Some(thing) = self.things.get(&name.value) {
            self.used.borrow_mut().insert(name.value.clone());
            return thing.clone();
        }
        let mut problem = Problem::new(name.at, format!("no {what} is called `{}`", name.value));
        if let Some(near) = did_you_mean(&name.value, self.things.keys().map(String::as_str)) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        problems.push(problem);
        None
    }

    /// All that could be built.
    pub fn built(&self) -> impl Iterator<Item = Arc<T>> {
        self.things.values().flatten().cloned()
    }

    pub fn is_used(&self, name: &str) -> bool {
        self.used.borrow().contains(name)
    }
}

impl Action {
    /// Compiles what the file says. Every problem is pushed.
    pub fn compile(written: &Placed<action::Action>, build: &mut Build<'_>) -> Option<Action> {
        let at = written.at;
        match &written.value {
            action::Action::Forward(forward) => forward::Forward::compile(forward, build).map(Action::Forward),
            action::Action::Respond(respond) => respond::Respond::compile(respond, at, build).map(Action::Respond),
            action::Action::Redirect(redirect) => redirect::Redirect::compile(redirect, build).map(Action::Redirect),
            action::Action::Files(files) => files::Files::compile(files, at, build).map(Action::Files),
            action::Action::Page(page) => page::Page::compile(page, build).map(Action::Page),
            action::Action::Session(session) => session::Session::compile(session, build).map(Action::Session),
            action::Action::Health(health) => health::Health::compile(health, build).map(Action::Health),
            action::Action::Combine(combine) => combine::Combine::compile(combine, build).map(Action::Combine),
        }
    }

    /// The word of the file for it.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Forward(_) => "forward",
            Action::Respond(_) => "respond",
            Action::Redirect(_) => "redirect",
            Action::Files(_) => "files",
            Action::Page(_) => "page",
            Action::Session(_) => "session",
            Action::Health(_) => "health",
            Action::Combine(_) => "combine",
        }
    }
}
