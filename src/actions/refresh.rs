//! The service that gives out the next token of a session: asked with POST, by the refresh token when there is one, else by the
//! token itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hilum_filters::api::Problem;
use http::{HeaderValue, Method, header};
use pingora_http::RequestHeader;
use tokio::time::Instant;

use super::Named;
use super::given::{Given, GivenNames};
use crate::config::token;
use crate::identity::Identity;
use crate::identity::refresh::{Issued, Issuer, Refresh};
use crate::services::{Call, Pool, Priority, call};

/// The service, and how it is asked.
struct Service {
    pool: Arc<Pool>,
    head: RequestHeader,
    names: GivenNames,
}

/// Longer answers hold no token.
const REPLY: u64 = 64 * 1024;
/// For the whole question. No request waits for so long.
const TIME: Duration = Duration::from_secs(5);
const BEFORE: Duration = Duration::from_secs(2 * 60);
const MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Compiles `refresh:`.
pub fn compile(written: &token::Refresh, pools: &Named<Pool>, problems: &mut Vec<Problem>) -> Option<Refresh> {
    let pool = pools.find(&written.service, "service", problems);
    let path = &written.path.value;
    let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !is_path || path.parse::<http::Uri>().is_err() {
        problems.push(Problem::new(written.path.at, "expected a path that can be asked as it stands: `/auth/refresh`"));
        return None;
    }
    let mut head = RequestHeader::build(Method::POST, path.as_bytes(), None).expect("a path that was read");
    for name in [header::CONTENT_TYPE, header::ACCEPT] {
        head.insert_header(name, HeaderValue::from_static("application/json")).expect("is a header");
    }
    let same = match &written.same {
        None => vec!["sub".parse().expect("a good path")],
        Some(same) if same.value.is_empty() => {
            problems.push(Problem::new(same.at, "without a claim to compare, anybody's token would do"));
            return None;
        }
        Some(same) => same.value.iter().map(|path| path.0.clone()).collect::<Option<_>>()?,
    };
    Some(Refresh {
        same,
        before: written.before.and_then(|it| it.0).map_or(BEFORE, |it| it.get()),
        max: written.max.and_then(|it| it.0).map_or(MAX, |it| it.get()),
        issuer: Box::new(Service {
            pool: pool?,
            head,
            names: GivenNames::new(&written.access, &written.expires, &written.refresh),
        }),
    })
}

#[async_trait]
impl Issuer for Service {
    async fn next(&self, old: &Identity, refresh_token: Option<&str>) -> Result<Issued, String> {
        let mut head = self.head.clone();
        head.insert_header(header::AUTHORIZATION, old.authorization.clone()).map_err(|_| "no header".to_owned())?;
        let body = match refresh_token {
            Some(token) => serde_json::json!({ "refresh_token": token }).to_string(),
            None => "{}".to_owned(),
        };
        let question = Call { head, body: body.into(), reply_limit: REPLY, priority: Priority::default() };
        let answer = call(&self.pool, None, &question, Instant::now() + TIME).await.map_err(|why| why.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("the service {} answered {}", self.pool.name(), answer.status.as_u16()));
        }
        let given = self.names.read(&answer.body);
        let Some(Given { token, lifetime, refresh_token }) = given else {
            return Err(format!("the answer of the service {} holds no token", self.pool.name()));
        };
        Ok(Issued { token, lifetime, refresh_token: refresh_token.map(Into::into) })
    }
}
