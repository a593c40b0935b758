//! Changes header lines: of the request on its way to the service, and of the response on its way to the client.

use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::{Env, Exchange, Filter, Phases};
use crate::units::Edits;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "headers")]
#[derive(Default)]
pub(crate) struct Config {
    /// Edits of the head that the service gets.
    request: Edits<RequestHeader>,
    /// Edits of the head that the client gets.
    response: Edits<ResponseHeader>,
}

pub(crate) struct Headers {
    request: Edits<RequestHeader>,
    response: Edits<ResponseHeader>,
}

impl Filter for Headers {
    const NAME: &'static str = "headers";
    const EXAMPLE: &'static str =
        r#"headers: { request: { set: { X-Team: cardiology } }, response: { remove: [Server, X-Powered-By] } }"#;
    type Config = Config;
    type State = ();

    fn new(Config { request, response }: Config, env: &Env) -> anyhow::Result<Self> {
        if let Some(name) = request.names().find(|name| env.own_headers.contains(name)) {
            anyhow::bail!("`{name}` belongs to a token (its `from` or `identity` names it), so Hilum alone writes it");
        }
        if request.is_empty() && response.is_empty() {
            anyhow::bail!("nothing to do: write `set`, `add` or `remove` under `request` or `response`");
        }
        Ok(Headers { request, response })
    }

    fn phases(&self, on: &mut Phases<Self>) {
        if !self.request.is_empty() {
            on.upstream_request(Self::edit_request);
        }
        if !self.response.is_empty() {
            on.response(Self::edit_response);
        }
    }
}

impl Headers {
    fn edit_request(&self, _: Exchange<'_>, to_service: &mut RequestHeader) -> Result<()> {
        self.request.apply(to_service)
    }

    fn edit_response(&self, _: Exchange<'_>, answer: &mut ResponseHeader) -> Result<()> {
        self.response.apply(answer)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::Headers;
    use crate::api::{Env, register};
    use crate::testkit;

    fn check(options: &str, expected: &str) {
        let request = "GET /x\nX-A: 1\nX-A: 2\nX-B: 3";
        testkit::check::<Headers>(options, request, "200\nServer: s\nX-A: 1", expected);
    }

    fn check_problems(options: &str, expected: &str) {
        assert_eq!(testkit::problems::<Headers>(options), expected, "{options}");
    }

    #[test]
    fn the_request_is_edited_on_its_way_to_the_service() {
        let answer = "< 200\n< server: s\n< x-a: 1";
        let check =
            |edits: &str, expected: &str| check(&format!("{{ request: {edits} }}"), &format!("{expected}\n{answer}"));
        check("{ set: { X-A: new } }", "> GET /x\n> x-a: new\n> x-b: 3");
        check("{ add: { X-A: new } }", "> GET /x\n> x-a: 1\n> x-a: 2\n> x-a: new\n> x-b: 3");
        check("{ remove: [x-a, X-C] }", "> GET /x\n> x-b: 3");
        check("{ remove: [X-A], add: { X-A: new }, set: { X-B: 4 } }", "> GET /x\n> x-a: new\n> x-b: 4");
        check("{ set: { X-N: 1.10 } }", "> GET /x\n> x-a: 1\n> x-a: 2\n> x-b: 3\n> x-n: 1.10");
    }

    #[test]
    fn the_response_is_edited_on_its_way_to_the_client() {
        check(
            "{ response: { remove: [Server], set: { X-A: new, Cache-Control: no-store } } }",
            "> GET /x\n> x-a: 1\n> x-a: 2\n> x-b: 3\n< 200\n< cache-control: no-store\n< x-a: new",
        );
    }

    #[test]
    fn edits_that_can_not_be_meant_are_refused() {
        let nothing = "headers: nothing to do: write `set`, `add` or `remove` under `request` or `response`";
        check_problems("{}", &format!("1:1 {nothing}"));
        check_problems("{ request: { set: {} } }", &format!("1:1 {nothing}"));
        check_problems(
            "{ request: { set: { Host: x } } }",
            "1:21 `Host` belongs to Hilum: it names the service that is asked",
        );
        check_problems(
            "{ response: { remove: [Content-Length] } }",
            "1:24 `Content-Length` belongs to Hilum: it frames the message (RFC 9112, 6)",
        );
        check_problems(
            r#"{ request: { add: { X-A: "a\r\nB: c" } } }"#,
            r#"1:26 expected a header value of visible ASCII characters, got "a\r\nB: c""#,
        );
        check_problems("{ request: { set: { X-A: 1, x-a: 2 } } }", "1:19 the header `x-a` is written twice");
        check_problems(
            "{ request: { set: { Authorization: Basic } } }",
            "1:21 `Authorization` belongs to Hilum: it is the caller's token, proved",
        );
        check_problems("{ response: { remov: [server] } }", "1:15 unknown key `remov` (did you mean `remove`?)");
        check_problems(
            "{ response: { remov: [server] }, request: { set: { a: b } } }",
            "1:15 unknown key `remov` (did you mean `remove`?)",
        );
    }
    #[test]
    fn headers_of_tokens_are_left_alone() {
        let env = Env { own_headers: vec![HeaderName::from_static("x-user-id")], ..Env::default() };
        let check = |options: &str, expected: &str| {
            let mut problems = Vec::new();
            (register::<Headers>().build)(&testkit::node(options, &[]), &env, &mut problems);
            assert_eq!(testkit::text_of(&problems), expected, "{options}");
        };
        let refused =
            "1:1 headers: `x-user-id` belongs to a token (its `from` or `identity` names it), so Hilum alone writes it";
        check("{ request: { set: { X-User-ID: a } } }", refused);
        check("{ request: { remove: [x-user-id] } }", refused);
        check("{ response: { set: { X-User-ID: a } } }", "");
    }
}
