//! `session`: sign-in, sign-out, who is signed in, and by what.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hilum_filters::api::Problem;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pingora_http::RequestHeader;
use tokio::time::Instant;

use super::forward::line;
use super::given::{Given, GivenNames};
use super::{Answer, Build, sent};
use crate::config::action;
use crate::identity::rules::ClaimRules;
use crate::identity::verify::NotVerified;
use crate::identity::{By, Caller, Identity, Now, Presented, Token};
use crate::refusal::{Reason, Refusal, known};
use crate::services::{Call, Pool, Priority, call};
use crate::template::{Body, Filling, Handed, Json, Line, Names, Scope, Use};

/// What is done with a session.
#[derive(Debug)]
pub enum Session {
    Login(Box<Login>),
    Logout(Arc<Token>),
    Show(Arc<Token>),
    /// For scripts of a page that need a bearer: they can't read the cookie themselves.
    HandOut(Arc<Token>),
}

/// How a caller signs in.
#[derive(Debug)]
pub struct Login {
    pub token: Arc<Token>,
    pool: Arc<Pool>,
    path: Line,
    send: Option<Json>,
    given: GivenNames,
    claims: ClaimRules,
}

/// The most a sign-in may send: names and passwords are short, and each costs the service a slow hash.
pub const LOGIN_BODY: u64 = 16 * 1024;

impl Session {
    pub(super) fn compile(written: &action::Session, build: &mut Build<'_>) -> Option<Session> {
        match written {
            action::Session::Login(login) => Login::compile(login, build).map(|l| Session::Login(Box::new(l))),
            action::Session::Logout(name) => {
                build.tokens.find(&name.token, "token", build.problems).map(Session::Logout)
            }
            action::Session::HandOut(name) => {
                build.tokens.find(&name.token, "token", build.problems).map(Session::HandOut)
            }
            action::Session::Show(name) => build.tokens.find(&name.token, "token", build.problems).map(Session::Show),
        }
    }

    /// The word of the file for it.
    pub fn name(&self) -> &'static str {
        match self {
            Session::Login(_) => "login",
            Session::Logout(_) => "logout",
            Session::Show(_) => "show",
            Session::HandOut(_) => "hand_out",
        }
    }

    /// The service that knows passwords.
    pub fn service(&self) -> Option<&Arc<Pool>> {
        match self {
            Session::Login(login) => Some(&login.pool),
            Session::Logout(_) | Session::Show(_) | Session::HandOut(_) => None,
        }
    }

    /// The token it is about.
    pub fn token(&self) -> &Arc<Token> {
        match self {
            Session::Login(login) => &login.token,
            Session::Logout(token) | Session::Show(token) | Session::HandOut(token) => token,
        }
    }
}

/// Who is signed in: 200 with the claims, or why not.
///
/// # Errors
/// The reason that a route with this token would refuse the caller for.
pub fn show(caller: &Caller) -> Result<Answer, Reason> {
    let identity = known(caller)?;
    let body = serde_json::to_vec(&*identity.claims).map_err(|_| Reason::Internal)?;
    Ok(Answer::json(StatusCode::OK, body))
}

/// The caller's own token: 200 with it, or why not; and the token for `reply`.
///
/// # Errors
/// The reason that a route with this token would refuse the caller for.
pub fn hand_out(caller: &Caller) -> Result<(Answer, Handed), Reason> {
    let token = &known(caller)?.token;
    let body = serde_json::json!({ "token": **token }).to_string();
    Ok((Answer::json(StatusCode::OK, body), Handed(token.clone())))
}

/// Nobody is signed in so many times; each costs a look into the store.
const MOST_TOKENS: usize = 8;

/// Ends the sessions of the tokens that came with the request. An unknown token is as good as signed out.
///
/// # Errors
/// `store_unavailable`: the session was not ended, so the cookie stays as well.
pub async fn logout(token: &Token, headers: &HeaderMap, secure: bool, now: Now) -> Result<Answer, Reason> {
    // All that came along, the one beside a better one too: after a sign-out none of them may be of use.
    let found = token.find_all(headers);
    if found.len() > MOST_TOKENS {
        return Err(Reason::TokenInvalid);
    }
    for text in found {
        token.end_session(text, now).await.map_err(|_| Reason::StoreUnavailable)?;
    }
    let mut answer = Answer::json(StatusCode::OK, "{}");
    if let Some(cookie) = token.clear_cookie(secure) {
        answer.headers.append(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

/// A sign-in in progress: what came with the request.
pub struct Attempt<'a> {
    /// The head for the service, forwarded headers written; method, path and body are the login's.
    pub head: RequestHeader,
    pub client_headers: &'a HeaderMap,
    pub body: Bytes,
    pub filling: Filling<'a>,
    pub scope: Scope,
    pub priority: Priority,
    pub secure: bool,
    pub reply_limit: u64,
    pub deadline: Instant,
}

impl Login {
    /// The name of the service that knows passwords.
    pub fn service(&self) -> &Arc<str> {
        self.pool.name()
    }

    fn compile(written: &action::Login, build: &mut Build<'_>) -> Option<Login> {
        let token = build.tokens.find(&written.token, "token", build.problems);
        let pool = build.pools.find(&written.service, "service", build.problems);
        // Whatever token came along: it is not looked at.
        let path = line(&written.path, Use::Path, &mut Build { has_claims: false, ..build.again() });
        let names = Names::REQUEST.without_claims("whoever signs in is nobody yet");
        let send = written.send.as_ref().map(|send| Json::compile(&send.json, names, build.problems));
        let claims = ClaimRules::compile(&written.claims, build.problems);
        if let (Some(token), Some(refresh)) = (&token, &written.refresh)
            && !token.is_refreshed()
        {
            let text = format!("`refresh` has no effect: the token `{}` says nothing of refreshing", token.name());
            build.problems.push(Problem::new(refresh.at, text));
        }
        Some(Login {
            token: token?,
            pool: pool?,
            path: path?,
            send: send.map_or(Some(None), |send| send.map(Some))?,
            given: GivenNames::new(
                &written.access,
                &written.expires,
                &written.refresh.as_ref().map(|it| it.value.clone()),
            ),
            claims,
        })
    }

    /// Asks the service, checks the token it gives, and opens a session with it.
    ///
    /// # Errors
    /// What the client sent wrong, the service's refusal with its status, or what failed on the way.
    pub async fn answer(&self, attempt: Attempt<'_>) -> Result<(Answer, Arc<Identity>), Refusal> {
        // A name that stands twice too: the service may sign in another account than the one whose guesses were counted.
        sent::object(attempt.client_headers, &attempt.body)?;
        let sent = Body::new(attempt.body.clone());
        let body = match &self.send {
            None => attempt.body,
            Some(json) => {
                let scope = Arc::new(Scope { request_body: Some(sent), ..attempt.scope });
                json.render(&scope).map_err(|_| Reason::ValueMissing)?.into()
            }
        };
        let head = self.head(attempt.head, &attempt.filling)?;
        let call_head = Call { head, body, reply_limit: attempt.reply_limit, priority: attempt.priority };
        let answer = call(&self.pool, None, &call_head, attempt.deadline).await.map_err(Reason::from)?;
        match answer.status.as_u16() {
            200..300 => {}
            400..500 => {
                let mut refusal = Refusal::from(Reason::LoginRefused).with_status(answer.status);
                refusal
                    .headers
                    .extend(answer.headers.get(header::RETRY_AFTER).map(|v| (header::RETRY_AFTER, v.clone())));
                return Err(refusal);
            }
            _ => return Err(Reason::PartFailed.into()),
        }
        let Given { token, lifetime, refresh_token } = self.given.read(&answer.body).ok_or(Reason::PeerGarbage)?;
        // The service's own token must pass the same checks as any other; if it does not, service and gateway disagree.
        // The clock has moved on while the service worked.
        let now = Now::read();
        let identity = self.token.verify(&token, now).await.map_err(|why| match why {
            NotVerified::Refused(_) => Reason::PeerGarbage,
            NotVerified::KeyUnknown => Reason::KeysUnavailable,
        })?;
        if !self.claims.fit(&identity.claims) {
            return Err(Reason::ClaimMismatch.into());
        }
        self.end_old_session(attempt.client_headers, now).await?;
        let ttl = self
            .token
            .open_session(&identity, lifetime.unwrap_or(Duration::MAX), refresh_token.as_deref(), now)
            .await
            .map_err(|_| Reason::StoreUnavailable)?;
        let body = match &refresh_token {
            Some(_) if self.token.is_refreshed() => {
                self.given.without_refresh(&answer.body).ok_or(Reason::PeerGarbage)?.into()
            }
            _ => answer.body,
        };
        let mut shown = Answer::json(StatusCode::OK, body);
        if let Some(cookie) = self.token.set_cookie(&identity, ttl, now, attempt.secure) {
            shown.headers.append(header::SET_COOKIE, cookie);
        }
        Ok((shown, identity))
    }

    fn head(&self, mut head: RequestHeader, filling: &Filling<'_>) -> Result<RequestHeader, Refusal> {
        let mut path = String::with_capacity(32);
        self.path.fill(filling, &mut path)?;
        head.set_method(Method::POST);
        head.set_uri(path.parse().map_err(|_| Reason::PathRejected)?);
        for (name, value) in [(header::CONTENT_TYPE, "application/json"), (header::ACCEPT, "application/json")] {
            head.insert_header(name, HeaderValue::from_static(value)).map_err(|_| Reason::Internal)?;
        }
        Ok(head)
    }

    /// A sign-in over a session that was open already ends that one, so that nobody can plant a session (no fixation).
    async fn end_old_session(&self, headers: &HeaderMap, now: Now) -> Result<(), Refusal> {
        if let Presented::Found { token, by: By::Cookie } = self.token.find(headers) {
            self.token.end_session(token, now).await.map_err(|_| Reason::StoreUnavailable)?;
        }
        Ok(())
    }
}
