//! Files that can be read, and what is wrong with them all the same.

use std::sync::Arc;

use hilum_filters::api::Problem;

use super::{Parts, Table};
use crate::config::{Environment, env, routes, yaml};
use crate::identity::SessionStore;
use crate::identity::keys::KeySets;
use crate::identity::memory::MemoryStore;
use crate::identity::metrics::SessionMetrics;
use crate::identity::token::TokenCaches;
use crate::rates::Rates;
use crate::records::Records;
use crate::services::Fleet;
use crate::telemetry::Metrics;

const HEAD: &str = r#"
version: 1
services:
  s: { peers: ["http://127.0.0.1:1"] }
tokens:
  t:
    from: [{ header: X-Token, scheme: Bearer }, { cookie: c }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    identity: { X-User-ID: user_id }
  with_cookie:
    from: [{ cookie: d }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    cookie: { name: d }
  by_header: { from: [{ header: X-Other }], verify: { algorithms: [HS256], secret: "${SECRET}" } }
routes:
  - { match: GET /other, auth: { token: by_header }, respond: {} }
  - { match: GET /all, auth: { token: t }, forward: { service: s } }
  - { match: GET /session, auth: public, session: { show: { token: with_cookie } } }
"#;

/// Every problem of a text, in the folder of this package.
fn problems(text: &str) -> Vec<Problem> {
    let mut node = yaml::parse(text).expect("YAML");
    compiled(&mut node, text, &[("SECRET", "0123456789abcdef0123456789abcdef")]).1
}

/// What a text becomes with these variables, which are expanded in it.
pub(in crate::table) fn compiled(
    node: &mut hilum_filters::api::Node,
    text: &str,
    variables: &[(&str, &str)],
) -> (Option<Table>, Vec<Problem>) {
    compiled_with(node, text, variables, true)
}

fn compiled_with(
    node: &mut hilum_filters::api::Node,
    text: &str,
    variables: &[(&str, &str)],
    has_audit_log: bool,
) -> (Option<Table>, Vec<Problem>) {
    let mut problems = Vec::new();
    env::expand(node, &Environment::of(variables), &mut problems);
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let Some(routes) = routes::read(node, folder, &mut problems) else { return (None, problems) };
    let metrics = Metrics::new().expect("metrics");
    let session_metrics = SessionMetrics::register(&metrics.registry).expect("metrics");
    let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new(8, session_metrics.clone()));
    let parts = Parts {
        fleet: &Fleet::new(&metrics.registry, None).expect("metrics"),
        store: &store,
        metrics: &metrics,
        session_metrics: &session_metrics,
        key_sets: &KeySets::new(&metrics.registry).expect("metrics"),
        token_caches: &TokenCaches::default(),
        rates: &Rates::new(&metrics.registry, None).expect("metrics"),
        records: &Records::default(),
        has_audit_log,
        filters: &[hilum_filters::FILTERS],
    };
    (Table::compile(&routes, text, &parts, &mut problems), problems)
}

/// One more route, a problem's text in it or none, and how its message begins.
#[track_caller]
fn check(cases: &[(&str, &str, &str)]) {
    for (route, place, message) in cases {
        let text = format!("{HEAD}  - {route}\n");
        let told: Vec<_> =
            problems(&text).iter().map(|p| (line(&text, p), format!("{} ({:?})", p.message, p.help))).collect();
        let expected = usize::from(!message.is_empty());
        let fits = told.iter().all(|(at, told)| at.starts_with(place) && told.starts_with(message));
        assert!(fits && told.len() == expected, "{route}: {told:#?}");
    }
}

/// The text from where a problem points at.
fn line<'t>(text: &'t str, problem: &Problem) -> &'t str {
    let line = text.lines().nth(problem.at.line as usize - 1).unwrap_or_default();
    line.get(problem.at.col as usize - 1..).unwrap_or_default()
}

#[test]
fn a_limit_that_limits_nothing_is_a_problem_where_it_is_written() {
    let none = "`time: none` has no effect";
    let whole = "this limit has no effect";
    check(&[
        ("{ match: /a, auth: public, forward: { service: s }, limits: { time: none } }", "", ""),
        ("{ match: /a/**, auth: public, files: { root: src }, limits: { time: none } }", "", ""),
        (
            "{ match: /a, auth: public, forward: { service: s, cookies: pass, authorization: pass, reason: pass } }",
            "",
            "",
        ),
        (
            "{ match: /a, auth: { token: t }, forward: { service: s, authorization: pass } }",
            "pass",
            "`authorization: pass` has no effect here: the route has a token, and Hilum writes the caller's own",
        ),
        ("{ match: /a, auth: public, respond: {}, limits: { time: none } }", "none", none),
        ("{ match: /a, auth: public, redirect: { to: /b }, limits: { time: none } }", "none", none),
        ("{ match: /a, auth: public, health: {}, limits: { time: none } }", "none", none),
        ("{ match: /a, auth: public, session: { logout: { token: t } }, limits: { time: none } }", "none", none),
        (
            "{ match: /a, auth: public, forward: { service: s }, reply: { 200: { json: 1 } }, limits: { time: none } }",
            "none",
            none,
        ),
        ("{ match: /a, auth: public, forward: { service: s }, limits: { reply: 1MiB } }", "1MiB", whole),
        ("{ match: /a, auth: public, respond: {}, limits: { reply: 1MiB } }", "1MiB", whole),
        (
            "{ match: /a, auth: public, forward: { service: s }, reply: { 200: { json: 1 } }, limits: { reply: 1B } }",
            "",
            "",
        ),
        (
            "{ match: /a, auth: public, session: { login: { token: t, service: s, path: /l } }, limits: { reply: 1B } }",
            "",
            "",
        ),
        ("{ group: g, limits: { time: none, reply: 1B }, auth: public, routes: [{ match: /a, respond: {} }] }", "", ""),
    ]);
}

#[test]
fn a_method_without_a_meaning_is_a_problem() {
    check(&[
        ("{ match: \"GET,HEAD /a/**\", auth: public, files: { root: src } }", "", ""),
        ("{ match: /a/**, auth: public, files: { root: src } }", "", ""),
        ("{ match: \"GET,POST /a/**\", auth: public, files: { root: src } }", "\"GET,POST", "`POST` has no meaning"),
        ("{ match: POST /a, auth: public, session: { login: { token: t, service: s, path: /l } } }", "", ""),
        (
            "{ match: GET /a, auth: public, session: { login: { token: t, service: s, path: /l } } }",
            "GET /a",
            "`GET` has no meaning here: a sign-in has a body",
        ),
    ]);
}

#[test]
fn a_folder_with_this_file_in_it_is_not_served() {
    let problem = "has this file in it, and would serve it";
    for root in [".", "..", "src/.."] {
        check(&[(
            &format!("{{ match: /a/**, auth: public, files: {{ root: {root} }} }}"),
            root,
            &format!("`{root}` {problem}"),
        )]);
    }
}

#[test]
fn a_redirect_to_itself_is_a_problem() {
    let denied = |to: &str| {
        format!("{{ match: GET /a, auth: {{ token: with_cookie, when_denied: {{ else: {to} }} }}, respond: {{}} }}")
    };
    check(&[
        ("{ match: GET /a, auth: public, redirect: { to: /a } }", "/a }", "`/a` is this route itself"),
        ("{ match: GET /a, auth: public, redirect: { to: /a?x=1 } }", "/a?x", "`/a?x=1` is this route itself"),
        ("{ match: /a/**, auth: public, redirect: { to: /a/b } }", "/a/b", "`/a/b` is this route itself"),
        ("{ match: /a, auth: public, redirect: { to: /a, status: 308 } }", "/a,", "`/a` is this route itself"),
        ("{ match: POST /a, auth: public, redirect: { to: /a, status: 307 } }", "/a,", "`/a` is this route itself"),
        ("{ match: GET /a, auth: public, redirect: { to: /all } }", "", ""),
        // After a form was sent, the page is shown by another route.
        ("{ match: POST /all, auth: public, redirect: { to: /all, status: 303 } }", "", ""),
        ("{ match: { path: /a, query: { old: \"*\" } }, auth: public, redirect: { to: /a } }", "", ""),
        (
            "{ match: { path: /a, query: { old: \"*\" } }, auth: public, redirect: { to: /a?old=1 } }",
            "/a?old",
            "`/a?old=1` is this route itself",
        ),
        (&denied("{ redirect: /a }"), "/a }", "`/a` is this route itself"),
        (&denied("{ redirect: /a, clear_cookie: true }"), "", ""),
        (&denied("{ redirect: /all }"), "", ""),
    ]);
}

#[test]
fn what_refused_callers_are_told_must_be_able_to_happen() {
    let auth = |token: &str, denied: &str| {
        format!("{{ match: GET /a, auth: {{ token: {token}, when_denied: {{ {denied} }} }}, respond: {{}} }}")
    };
    check(&[
        (&auth("t", "else: { redirect: /b, clear_cookie: true }"), "true", "`clear_cookie` has no effect"),
        (&auth("t", "else: { redirect: /b, clear_cookie: false }"), "", ""),
        (&auth("with_cookie", "else: { redirect: /b, clear_cookie: true }"), "", ""),
        (&auth("t", "login_refused: { redirect: /b }"), "login_refused", "expected `else` or one of token_missing"),
        (&auth("t", "claim_mismatch: { redirect: //b }"), "//b", "a redirect goes to a path of ours"),
    ]);
}

#[test]
fn a_path_that_nobody_can_be_asked_for_is_a_problem() {
    check(&[
        ("{ match: /a, auth: public, forward: { service: s, path: /p/../q } }", "/p/../q", "nobody can be asked for"),
        ("{ match: /a, auth: public, forward: { service: s, path: //x } }", "//x", "nobody can be asked for"),
        ("{ match: /a, auth: public, forward: { service: s, path: x } }", "x }", "a path begins with `/`, found `x`"),
        ("{ match: /a, auth: public, redirect: { to: /b/./c } }", "/b/./c", "nobody can be asked for"),
        (
            "{ match: /a, auth: public, session: { login: { token: t, service: s, path: l } } }",
            "l }",
            "a path begins with `/`, found `l`",
        ),
    ]);
}

#[test]
fn a_name_that_would_always_be_none_is_a_problem() {
    let no_body = "there is no `request.body` here";
    let no_claims = "there are no `claims` here";
    check(&[
        ("{ match: /a, auth: public, respond: { json: \"{{ request.body }}\" } }", "\"{{", no_body),
        ("{ match: /a, auth: public, respond: { json: \"{{ claims.x }}\" } }", "\"{{", no_claims),
        ("{ match: /a, auth: { token: t }, respond: { json: \"{{ claims.x }}\" } }", "", ""),
        ("{ match: /a, auth: public, health: {}, reply: { 200: { json: \"{{ request.body }}\" } } }", "\"{{", no_body),
        ("{ match: /a, auth: public, health: {}, reply: { 200: { json: \"{{ claims.x }}\" } } }", "\"{{", no_claims),
        (
            "{ match: /a, auth: public, session: { show: { token: t } }, reply: { 200: { json: \"{{ claims.x }}\" } } }",
            "",
            "",
        ),
        (
            "{ match: /a, auth: public, session: { show: { token: t } }, reply: { 200: { json: \"{{ request }}\" } } }",
            "\"{{",
            no_body,
        ),
        (
            "{ match: /a, auth: public, forward: { service: s }, reply: { 200: { json: \"{{ request.body }}\" } } }",
            "",
            "",
        ),
        (
            "{ match: /a, auth: public, forward: { service: s }, reply: { 200: { json: \"{{ claims.x }}\" } } }",
            "\"{{",
            no_claims,
        ),
        (
            "{ match: /a, auth: { token: t }, session: { login: { token: t, service: s, path: \"/l/{claims.x}\" } } }",
            "\"/l",
            "a public route has no claims",
        ),
        (
            "{ match: /a, auth: public, session: { login: { token: t, service: s, path: /l, send: { json: \"{{ claims }}\" } } } }",
            "\"{{",
            no_claims,
        ),
        ("{ match: /a, auth: public, forward: { service: s }, reply: {} }", "{}", "`reply` shapes nothing"),
        (
            "{ group: g, auth: public, reply: { 200: { json: 1 } }, routes: [{ match: /a, respond: {}, reply: null }] }",
            "reply",
            "`reply` has no effect: every",
        ),
    ]);
}

#[test]
fn headers_that_belong_to_hilum_are_set_by_nobody_else() {
    let respond = |name: &str| format!("{{ match: /a, auth: public, respond: {{ headers: {{ {name}: x }} }} }}");
    for name in ["Transfer-Encoding", "Content-Length", "Connection", "Keep-Alive", "X-Hilum-Reason", "X-Request-ID"] {
        check(&[(&respond(name), name, &format!("`{name}` is written by Hilum alone"))]);
    }
    check(&[(&respond("X-Team"), "", "")]);
    let edit = |name: &str| {
        format!(
            "{{ match: /a, auth: public, respond: {{}}, filters: [{{ headers: {{ request: {{ set: {{ {name}: x }} }} }} }}] }}"
        )
    };
    check(&[
        (&edit("Authorization"), "Authorization", "`Authorization` belongs to Hilum"),
        (&edit("X-User-ID"), "{ request", "headers: `x-user-id` belongs to a token"),
        (&edit("X-Token"), "{ request", "headers: `x-token` belongs to a token"),
        (&edit("X-Team"), "", ""),
    ]);
}

#[test]
fn peers_chosen_by_a_claim_need_a_route_with_a_token() {
    let file = |auth: &str| {
        HEAD.replace("[\"http://127.0.0.1:1\"]", "[\"http://127.0.0.1:1\"], balance: { hash: { claim: org } }")
            .replace("auth: { token: t }, forward", &format!("auth: {auth}, forward"))
            + "  - { match: GET /t, auth: { token: t }, respond: {} }\n"
    };
    assert_eq!(problems(&file("{ token: t }")), []);
    let text = file("public");
    let told = problems(&text);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(line(&text, &told[0]).starts_with("{ claim: org }"), "{told:?}");
    assert_eq!(told[0].message, "no route that forwards to `s` has a token, so nobody has the claim `org`");
}

#[test]
fn each_mistake_is_told_once() {
    let empty = HEAD.replace("from: [{ header: X-Token, scheme: Bearer }, { cookie: c }]", "from: []");
    let told: Vec<_> = problems(&empty).into_iter().map(|p| p.message).collect();
    assert_eq!(told, ["a token is looked for in one place at least"]);
    let both = format!("{HEAD}  - {{ match: /a, auth: public, redirect: {{ to: \"https://x/\", status: 200 }} }}\n");
    let told: Vec<_> = problems(&both).into_iter().map(|p| p.message).collect();
    assert_eq!(
        told,
        [
            "200 is no redirect: write 301, 302, 303, 307 or 308",
            "a redirect goes to a path of ours, such as `/index.html`, found `https://x/`"
        ]
    );
}

#[test]
fn an_owner_names_a_parameter_of_the_path_and_a_claim() {
    let route =
        |own: &str| format!("{{ match: \"/p/{{id}}\", auth: {{ token: t, own: {own} }}, forward: {{ service: s }} }}");
    let (good, all) = (route("[{ param: id, claim: user_id }]"), route("[{ claims: { kind: admin } }]"));
    let (none, typo) = (route("[]"), route("[{ param: ip, claim: user_id }]"));
    let (no_claim, no_param) = (route("[{ param: id }]"), route("[{ claim: user_id }]"));
    let half = "an owner is known by a `param` of the path and the `claim`";
    check(&[
        (&good, "", ""),
        (&all, "", ""),
        (&none, "[]", "nobody is an owner here"),
        (&typo, "ip", "the path has no `{ip}`"),
        (&no_claim, "id }]", half),
        (&no_param, "user_id", half),
        ("{ match: /a, auth: { token: t, roles: [] }, forward: { service: s } }", "[]", "nobody has a role of no name"),
        ("{ match: /a, auth: { token: t, roles: [nurse] }, forward: { service: s } }", "", ""),
    ]);
}

#[test]
fn who_needs_no_token_needs_no_claims() {
    let route = |more: &str, path: &str| {
        format!(
            "{{ match: /a, auth: {{ token: t, optional: true{more} }}, forward: {{ service: s, path: \"{path}\" }} }}"
        )
    };
    let no_claims = "who comes without a token has no claims";
    check(&[
        (&route("", "/p/{claims.x:-none}"), "", ""),
        (&route("", "/p/{claims.x}"), "\"/p", no_claims),
        (&route(", claims: { kind: a }", "/p"), "kind", "`claims` beside `optional: true`"),
        (&route(", roles: [nurse]", "/p"), "[nurse]", "`roles` beside `optional: true`"),
        (&route(", own: [{ claims: { kind: a } }]", "/p"), "[{ claims", "`own` beside `optional: true`"),
        (&route(", when_denied: { else: { redirect: /all } }", "/p"), "", ""),
        ("{ match: /a, auth: { token: t, optional: false, roles: [nurse] }, forward: { service: s } }", "", ""),
    ]);
}

#[test]
fn what_is_required_is_an_expression_and_a_reason() {
    let route = |entry: &str| {
        format!("{{ match: \"/p/{{id}}\", auth: {{ token: t }}, require: [{entry}], forward: {{ service: s }} }}")
    };
    check(&[
        (&route("{ unless: claims.ref, reason: claim_missing }"), "", ""),
        (&route("{ unless: params.id == claims.ref, status: 404, reason: not_owner, message: no }"), "", ""),
        (&route(""), "[]", "`require` requires nothing"),
        (&route("{ unless: claims.ref }"), "{ unless", "missing key `reason`"),
        (&route("{ unless: claim.ref, reason: not_owner }"), "claim.ref", "nothing is called `claim` here"),
        (&route("{ unless: request.body.a, reason: not_owner }"), "request", "there is no `request.body` here"),
        (&route("{ unless: doctor.a, reason: not_owner }"), "doctor", "nothing is called `doctor` here"),
        (
            &route("{ unless: \"{{ claims.a }}\", reason: not_owner }"),
            "\"{{",
            "`{{ claims.a }}` is an expression already",
        ),
        (
            &route("{ unless: claims.a, reason: deadline }"),
            "deadline",
            "expected a reason with a status from 400 to 499",
        ),
        (
            &route("{ unless: claims.a, reason: not_ownr }"),
            "not_ownr",
            "expected a reason with a status from 400 to 499",
        ),
        (&route("{ unless: claims.a, reason: not_owner, status: 503 }"), "503", "a refusal is the client's"),
        (&route("{ unless: claims.a, reason: not_owner, mesage: x }"), "mesage", "unknown key `mesage`"),
        (
            "{ match: /a, auth: public, require: [{ unless: claims.a, reason: not_owner }], forward: { service: s } }",
            "claims.a",
            "there are no `claims` here",
        ),
        (
            "{ match: /a, auth: { token: t, optional: true }, require: [{ unless: claims.a, reason: not_owner }], respond: {} }",
            "",
            "",
        ),
    ]);
}

#[test]
fn what_is_asked_has_a_service_a_path_and_a_meaning() {
    let require = |entry: &str| {
        let entry = format!("[{{ {entry}, reason: not_owner }}]");
        format!("{{ match: \"/p/{{id}}\", auth: {{ token: t }}, require: {entry}, forward: {{ service: s }} }}")
    };
    let own = |entry: &str| {
        format!("{{ match: \"/p/{{id}}\", auth: {{ token: t, own: [{{ {entry} }}] }}, forward: {{ service: s }} }}")
    };
    let ask = "ask: { service: s, path: \"/d/{id}\" }";
    let two = format!("{ask}, as: d, unless: d.a, reason: not_owner }}, {{ {ask}");
    check(&[
        (&require(ask), "", ""),
        (&require(&format!("{ask}, as: doctor, unless: doctor.a == claims.b, missing: no such doctor")), "", ""),
        (&require(&format!("{two}, as: e, unless: d.a == e.a")), "", ""),
        (
            &require(&format!("{two}, as: d, unless: d.a")),
            "d, unless: d.a, reason: not_owner }], f",
            "`d` is the name of an",
        ),
        (
            &require(&format!("unless: d.a, reason: not_owner }}, {{ {ask}, as: d, unless: d.a")),
            "d.a",
            "nothing is called `d`",
        ),
        (&require(&format!("{ask}, as: doctor")), "doctor", "`as: doctor` has no effect"),
        (&require(&format!("{ask}, as: claims")), "claims", "`claims` is the name of something else"),
        (&require(&format!("{ask}, as: a-b")), "a-b", "`a-b` is no name"),
        (&require(&format!("{ask}, as: not")), "not", "`not` is no name"),
        (&require(&format!("{ask}, as: status, unless: status.a")), "", ""),
        (&require("unless: claims.a, as: doctor"), "doctor", "`as` has no effect without `ask`"),
        (&require("unless: claims.a, missing: x"), "x", "`missing` has no effect without `ask`"),
        (&require("message: x"), "not_owner", "this entry requires nothing"),
        (&require("ask: { service: s, path: /a, is: 200 }"), "200", "`is` has no effect in `require`"),
        (&require("ask: { service: t, path: /a }"), "t, path", "no service is called `t`"),
        (&require("ask: { service: s, path: \"/a/{ip}\" }"), "\"/a", "nothing is called"),
        (&require("ask: { service: s, path: /a?b=1 }"), "/a?b", "an `ask` has no query"),
        (&require("ask: { service: s, path: /a, keep: 0s }"), "0s", "with 0s nothing"),
        (&own(ask), "", ""),
        (&own(&format!("claims: {{ kind: a }}, {ask}")), "", ""),
        (&own("ask: { service: s, path: /a, is: 200, keep: 30s }"), "", ""),
        (&own("ask: { service: s, path: /a, is: 404 }"), "404", "a yes is a status from 200 to 299"),
        (
            &own(&format!("param: id, claim: b, {ask}")),
            "{ service: s, path: \"/d",
            "an owner is known by `param` and `claim`, or",
        ),
        (
            "{ match: /a, auth: public, require: [{ ask: { service: s, path: \"/a/{claims.b}\" }, reason: not_owner }], respond: {} }",
            "\"/a",
            "a public route has no claims",
        ),
        (
            "{ match: /a, auth: { token: t }, limits: { reply: 1KiB }, require: [{ ask: { service: s, path: /a }, reason: not_owner }], respond: {} }",
            "",
            "",
        ),
    ]);
}

#[test]
fn a_token_says_where_its_roles_are_only_where_they_are_asked_for() {
    let file = |roles: &str| HEAD.replace("{ header: X-Other }],", &format!("{{ header: X-Other }}], roles: {roles},"));
    let asks = "  - { match: /a, auth: { token: by_header, roles: [nurse] }, forward: { service: s } }\n";
    assert_eq!(problems(&(file("realm_access.roles") + asks)), []);
    for (text, message) in [
        (file("realm_access.roles"), "`roles` has no effect: no route asks for roles of the token `by_header`"),
        (file("realm_access.") + asks, "`realm_access.` names no claim"),
    ] {
        let told = problems(&text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].message.starts_with(message) && line(&text, &told[0]).starts_with("realm_access."), "{told:?}");
    }
}

#[test]
fn csrf_and_cache_control_are_said_only_where_they_change_something() {
    let csrf = "`csrf: off` has no effect";
    let cache = "`cache_control` has no effect on `files`";
    let header = "where a token is needed, this is not what the answer says";
    check(&[
        ("{ match: /a, auth: { token: t }, respond: { headers: { cache-control: x } } }", "cache-control", header),
        ("{ match: /a, auth: public, respond: { headers: { cache-control: x } } }", "", ""),
        ("{ match: /a, auth: { token: with_cookie }, csrf: off, forward: { service: s } }", "", ""),
        ("{ match: /a, auth: { token: by_header }, csrf: off, forward: { service: s } }", "off", csrf),
        ("{ match: /a, auth: public, csrf: off, forward: { service: s } }", "off", csrf),
        ("{ match: POST /a, auth: public, csrf: off, session: { logout: { token: with_cookie } } }", "", ""),
        ("{ match: /a, auth: public, csrf: on, forward: { service: s } }", "on", "expected `off`, found `on`"),
        ("{ match: /a, auth: public, cache_control: no-store, forward: { service: s } }", "", ""),
        ("{ match: /a/**, auth: public, cache_control: no-store, files: { root: src } }", "no-store", cache),
    ]);
}

#[test]
fn a_rate_that_counts_nothing_is_a_problem() {
    let idle = "this rate has no effect: ";
    let because = |why: &str| format!("{idle}{why}");
    let with = |rate: &str, rest: &str| format!("{{ match: POST /a, rate: [{rate}], {rest} }}");
    let public = "auth: public, forward: { service: s }";
    let known = "auth: { token: t }, forward: { service: s }";
    let login = "auth: public, session: { login: { token: t, service: s, path: /l } }";
    let claim = "{ allow: 1/1s, key: { claim: user_id } }";
    let body = "{ allow: 1/1s, key: { body: email } }";
    let failures = "{ allow: 1/1s, key: client, count: failures }";
    let body_failures = "{ allow: 1/1s, key: { body: email }, count: failures }";
    let typed = "auth: { token: t, claims: { user_type: x } }, forward: { service: s }";
    for (route, place, message) in [
        (with("{ allow: 1/1s, key: client }", public), "", String::new()),
        (with("{ allow: 0/1m, key: client }", public), "0/1m", "with 0/1m nothing would ever be allowed".into()),
        (with("{ allow: 1/1m, key: ip }", public), "ip", "expected `client`, or".into()),
        (with("{ allow: 1/1m, key: client, count: some }", public), "some", "expected `all` or `failures`".into()),
        (
            with("{ allow: 1/1m, key: { header: X-User-ID } }", public),
            "X-User-ID",
            "`x-user-id` is what a client says".into(),
        ),
        (with(claim, public), claim, because("the route is public")),
        (with(claim, known), "", String::new()),
        (with(body, public), "", String::new()),
        (with(body, login), "", String::new()),
        (with(body, "auth: public, respond: {}"), body, because("the route's action reads no body")),
        (format!("{{ match: GET /a, rate: [{body}], {public} }}"), body, because("a GET has no body")),
        (with(failures, login), "", String::new()),
        (with(failures, known), failures, because("nobody signs in here")),
        (with(failures, typed), "", String::new()),
        (with(body_failures, typed), body_failures, because("a caller whose claims don't fit")),
        // A group hands it down to all; that one of them can count by it is enough.
        (
            format!(
                "{{ group: g, rate: [{failures}], routes: [{{ match: POST /a, {login} }}, {{ match: /b, {known} }}] }}"
            ),
            "",
            String::new(),
        ),
        (
            format!(
                "{{ group: g, rate: [{claim}], routes: [{{ match: POST /a, {login} }}, {{ match: /b, {public} }}] }}"
            ),
            claim,
            because("the route is public"),
        ),
        // Read whole because of the rate, so that there is an answer to be limited, and no stream.
        (format!("{{ match: /a, rate: [{body}], {public}, limits: {{ reply: 1MiB }} }}"), "", String::new()),
        (
            format!("{{ match: /a, rate: [{body}], {public}, limits: {{ time: none }} }}"),
            "none",
            "`time: none` has no effect: where `reply`, `validate`, `body` or a rate by the body is".into(),
        ),
    ] {
        check(&[(&route, place, &message)]);
    }
}

#[test]
fn a_record_is_not_written_where_it_would_be_served() {
    check(&[
        (
            "{ group: g, auth: public, routes: [{ match: /a/**, files: { root: src } }, { match: POST /b, respond: { record: { file: src/cli/x, json: 1 } } }] }",
            "src/cli/x",
            "`src/cli/x` is in `src`, which is served",
        ),
        (
            "{ group: g, auth: public, routes: [{ match: /a/**, files: { root: src } }, { match: POST /b, respond: { record: { file: x, json: 1 } } }] }",
            "",
            "",
        ),
    ]);
}

#[test]
fn a_token_is_handed_out_as_it_came_and_kept_by_nobody() {
    let route = |more: &str| format!("{{ match: /a, {more} }}");
    check(&[
        (&route("auth: public, session: { hand_out: { token: t } }"), "", ""),
        (
            &route(
                "auth: { token: t }, session: { hand_out: { token: t } }, reply: { 200: { json: \"{{ token }}\" } }",
            ),
            "",
            "",
        ),
        (
            &route("auth: { token: t }, session: { show: { token: t } }, reply: { 200: { json: \"{{ token }}\" } }"),
            "\"{{",
            "nothing is called `token` here",
        ),
        (
            &route("auth: { token: t }, session: { hand_out: { token: with_cookie } }"),
            "with_cookie",
            "`with_cookie` has no effect: the caller is known by `t`",
        ),
        (
            &route("auth: public, session: { hand_out: { token: t } }, cache_control: max-age=60"),
            "max-age",
            "`cache_control` has no effect on `hand_out`",
        ),
    ]);
}

#[test]
fn what_is_recorded_is_named_by_the_path_or_by_claims() {
    let route = |audit: &str| {
        format!("{{ match: \"PUT /p/{{id}}/{{rest...}}\", auth: {{ token: t }}, respond: {{}}, audit: {audit} }}")
    };
    let public = |audit: &str| format!("{{ match: \"GET /p/{{id}}\", auth: public, respond: {{}}, audit: {audit} }}");
    check(&[
        (&route("{ resource: \"p/{id}/{rest} {claims.user_id}\", action: execute, required: true }"), "", ""),
        (&route("{ resource: \"p/{query.id}\" }"), "\"p/{query.id}\"", "a query has no place in the audit log"),
        (&route("{ resource: \"p/{nope}\" }"), "\"p/{nope}\"", "nothing is called `nope` here"),
        (&route("{ resource: p, action: look }"), "look", "expected one of create, read, update, delete"),
        (&route("{ resource: p, required: maybe }"), "maybe", "expected"),
        (&route("{ action: read }"), "{ action: read }", "missing"),
        (&route("on"), "on", "expected `off`"),
        (&route("off"), "off", "`audit: off` has no effect: no group around says `audit`"),
        (&public("{ resource: \"p/{claims.user_id}\" }"), "\"p/{claims.user_id}\"", "a public route has no claims"),
        (&public("{ resource: \"p/{claims.user_id:-nobody}\" }"), "", ""),
    ]);
}

#[test]
fn a_route_is_recorded_only_where_there_is_a_log() {
    let group = "{ group: g, path: /g, auth: { token: t }, audit: { resource: r }, routes: [{ match: GET /a, respond: {} }, { match: GET /b, respond: {} }, { match: GET /c, respond: {}, audit: off }] }";
    check(&[(group, "", "")]);
    let text = format!("{HEAD}  - {group}\n");
    let mut node = yaml::parse(&text).expect("YAML");
    let variables = [("SECRET", "0123456789abcdef0123456789abcdef")];
    let told = compiled_with(&mut node, &text, &variables, false).1;
    assert_eq!(told.len(), 1, "one group is one problem: {told:?}");
    assert!(told[0].message.starts_with("there is no audit log"), "{told:?}");
}

/// By ratio in one run: how long one of them takes is the machine's affair. Each kind once took the square of its number.
#[test]
fn ten_thousand_routes_cost_no_more_each_than_a_thousand_whatever_is_the_matter_with_them() {
    // The time of this thread: the clock on the wall would measure the other tests as well.
    let busy = || {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel tells it");
        let first = statistics.split(' ').next().expect("three numbers");
        std::time::Duration::from_nanos(first.parse().expect("a number"))
    };
    for kind in [
        "match: GET /a%, rate: [{ allow: 5/1m, key: client }], respond: {}",
        "match: GET /a%, rate: [{ allow: 5/1m, key: { body: a } }], respond: {}",
        "match: { path: /**, host: h%.example.org }, respond: {}",
        "match: GET /, respond: {}",
        "match: POST /a%, respond: { record: { file: target/%, json: \"{{ request.body }}\" } }",
        "match: GET /a%, forward: { service: \"${MISSING_%}\" }",
    ] {
        let took = |routes: usize| {
            let lines =
                (0..routes).map(|n| format!("- {{ name: r%, auth: public, {kind} }}\n").replace('%', &n.to_string()));
            let text = format!("version: 1\nroutes:\n{}", lines.collect::<String>());
            let mut node = yaml::parse(&text).expect("YAML");
            let before = busy();
            let mut problems = compiled(&mut node, &text, &[]).1;
            crate::config::as_written(&node, &mut problems);
            busy() - before
        };
        // The best of several: other tests use the same caches and memory.
        let few = (0..5).map(|_| took(1000)).min().expect("five");
        let many = (0..2).map(|_| took(10_000)).min().expect("two");
        assert!(many < few * 20, "{kind}: 10,000 routes took {many:?}, 1,000 took {few:?}");
    }
}
