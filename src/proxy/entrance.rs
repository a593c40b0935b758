//! What the listener by which a client came in says: of itself over TLS, and without it, where https is.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use pingora_http::RequestHeader;

use super::front_door::host_of;
use crate::actions::Answer;
use crate::refusal::Reason;
use crate::router::host;

/// The listener of a connection, as far as its answers depend on it.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    /// `Strict-Transport-Security` on every answer.
    hsts: Option<HeaderValue>,
    /// Everything is sent to https on this port.
    to_https: Option<u16>,
}

impl Entrance {
    pub fn new(hsts: Option<Duration>, to_https: Option<u16>) -> Entrance {
        let header = |span: Duration| HeaderValue::try_from(format!("max-age={}", span.as_secs()));
        Entrance { hsts: hsts.and_then(|span| header(span).ok()), to_https }
    }

    pub(super) fn hsts(&self) -> Option<&HeaderValue> {
        self.hsts.as_ref()
    }

    /// The answer to an admitted request that shall come again over TLS; `None`: it may stay.
    ///
    /// # Errors
    /// A client that does not say which host it means can't be told where to go.
    pub(super) fn elsewhere(&self, head: &RequestHeader) -> Option<Result<Answer, Reason>> {
        self.to_https.map(|port| {
            let location = HeaderValue::try_from(https(head, port)?).map_err(|_| Reason::HostRejected)?;
            // 308 keeps the method: a POST that became a GET would be lost without a word.
            let mut answer = Answer::new(StatusCode::PERMANENT_REDIRECT);
            answer.headers.insert(header::LOCATION, location);
            Ok(answer)
        })
    }
}

/// The same resource over TLS. The front door has seen to it that the host is one, and the path no other host.
fn https(head: &RequestHeader, port: u16) -> Result<String, Reason> {
    let host = host::name_of(host_of(head));
    if host.is_empty() {
        return Err(Reason::HostRejected);
    }
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Ok(format!("https://{host}{port}{target}"))
}

#[cfg(test)]
mod tests {
    use super::super::front_door::admit;
    use super::*;

    fn check(target: &str, host: Option<&str>, port: u16, expected: Result<&str, Reason>) {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.set_raw_path(target.as_bytes()).unwrap();
        if let Some(host) = host {
            head.insert_header("host", host).unwrap();
        } else {
            head.set_version(http::Version::HTTP_10);
        }
        let got = admit(&mut head).and_then(|()| Entrance::new(None, Some(port)).elsewhere(&head).unwrap());
        let got = got.map(|answer| {
            assert_eq!(answer.status, 308);
            answer.headers[header::LOCATION].to_str().unwrap().to_owned()
        });
        assert_eq!(got.as_deref().map_err(|reason| *reason), expected, "{target} {host:?}");
    }

    #[test]
    fn a_request_is_sent_to_the_same_resource_and_to_no_other_host() {
        check("/a?b=c", Some("h"), 443, Ok("https://h/a?b=c"));
        check("/a%2db", Some("H.example:8080"), 443, Ok("https://H.example/a-b"));
        check("/", Some("[::1]:80"), 8443, Ok("https://[::1]:8443/"));
        check("http://h/a", Some("h"), 443, Ok("https://h/a"));
        check("http://evil/a", Some("h"), 443, Err(Reason::HostRejected));
        check("//evil/a", Some("h"), 443, Err(Reason::PathRejected));
        check("/\\evil", Some("h"), 443, Err(Reason::PathRejected));
        check("/a", Some("h@evil"), 443, Err(Reason::HostRejected));
        check("/a", Some("h/evil"), 443, Err(Reason::HostRejected));
        check("/a", None, 443, Err(Reason::HostRejected));
    }

    #[test]
    fn a_listener_that_says_nothing_changes_nothing() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("host", "h").unwrap();
        assert!(Entrance::default().elsewhere(&head).is_none() && Entrance::default().hsts().is_none());
        assert_eq!(Entrance::new(Some(Duration::from_secs(3600)), None).hsts().unwrap(), "max-age=3600");
    }
}
