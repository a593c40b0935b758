//! What is said of a route, and what is not.

use serde_json::{Value as Json, json};

use super::super::compile::tests::compiled;
use super::*;
use crate::config::yaml;
use crate::template::Fields;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const ROUTES: &str = r#"
version: 1
services:
  beds: { peers: ["${BEDS}"] }
  staff: { peers: ["http://127.0.0.1:4242"] }
tokens:
  web: { from: [{ cookie: c }], verify: { algorithms: [HS256], secret: "${SECRET}" } }
routes:
  - { name: login, match: /login, auth: public, session: { login: { token: web, service: staff, path: /l } }, rate: [{ allow: 10/1m, key: { body: mail }, count: failures }] }
  - { name: maybe, match: /maybe, auth: { token: web, optional: true }, respond: { text: x } }
  - { name: beds, match: "/wards/{ward}/beds", auth: { token: web, claims: { site: "${SITE}" }, roles: [nurse, doctor] }, forward: { service: beds } }
  - { name: keyed, match: { path: /keyed, headers: { X-Key: "${SECRET}" } }, auth: public, forward: { service: beds } }
  - group: outer
    path: /v1
    auth: { token: web }
    routes:
      - group: inner
        path: /wards
        limits: { body: 64KiB, time: none }
        rate: [{ allow: 3/1500ms, key: client }, { allow: 2/1h, key: { claim: sub } }]
        routes:
          - name: ward
            match: "GET,PUT /{ward}"
            auth:
              token: web
              own:
                - { claims: { kind: [ward, floor] }, param: ward, claim: place.id }
                - { claims: { kind: nurse }, ask: { service: staff, path: "/of/{ward}" } }
            require:
              - { unless: "claims.shift == '${SHIFT}'", reason: claim_missing, status: 409 }
              - { ask: { service: staff, path: "/on/{ward}" }, reason: not_owner }
            forward: { service: beds }
"#;

/// What is not to be seen: addresses, secrets, and whatever else stands in a variable.
const VARIABLES: &[(&str, &str)] =
    &[("SECRET", SECRET), ("BEDS", "http://127.0.0.1:4141"), ("SITE", "hidden-site"), ("SHIFT", "hidden-shift")];

/// Both lists, as templates read them.
fn lists() -> (Vec<Json>, Vec<Json>) {
    let mut node = yaml::parse(ROUTES).expect("YAML");
    let (table, problems) = compiled(&mut node, ROUTES, VARIABLES);
    assert!(problems.is_empty(), "{problems:#?}");
    let told = gateway(&table.expect("a table").routes, &node, std::iter::once(&hilum_filters::CORS));
    let list = |list: &Value| serde_json::to_value(list).expect("JSON").as_array().expect("a list").clone();
    (list(&told.routes), list(&told.reasons))
}

#[test]
fn a_route_is_described_in_words() {
    let (routes, _) = lists();
    let column = |key: &str| routes.iter().map(|route| route[key].clone()).collect::<Vec<_>>();
    assert_eq!(column("name"), ["login", "maybe", "beds", "keyed", "ward"]);
    assert_eq!(
        column("match"),
        ["POST /login", "* /maybe", "* /wards/{ward}/beds", "* /keyed", "GET,PUT /v1/wards/{ward}"]
    );
    assert_eq!(
        column("auth"),
        ["public", "web or nobody", "web site=${SITE} roles=nurse|doctor", "public", "web own require"]
    );
    assert_eq!(column("does"), ["session login", "respond", "forward beds", "forward beds", "forward beds"]);
    assert_eq!(column("group"), [Json::Null, Json::Null, Json::Null, Json::Null, "inner".into()]);
    assert_eq!(column("services"), [json!(["staff"]), json!([]), json!(["beds"]), json!(["beds"]), json!(["beds"])]);
    let ward = &routes[4];
    assert_eq!((&ward["methods"], &ward["path"]), (&json!(["GET", "PUT"]), &json!("/v1/wards/{ward}")));
    assert_eq!(ward["limits"], json!({ "body": "64KiB", "reply": "8MiB", "time": "none" }));
    assert_eq!(
        ward["access"]["own"],
        json!([
            { "claims": "kind=ward|floor", "param": "ward", "claim": "place.id", "service": null },
            { "claims": "kind=nurse", "param": null, "claim": null, "service": "staff" },
        ])
    );
    assert_eq!(
        ward["require"],
        json!([
            { "service": null, "reason": "claim_missing", "status": 409 },
            { "service": "staff", "reason": "not_owner", "status": 403 },
        ])
    );
    assert_eq!(
        (&routes[0]["rates"], &ward["rates"]),
        (
            &json!([{ "allow": "10/1m", "key": "body mail", "count": "failures" }]),
            &json!([
                { "allow": "3/1500ms", "key": "client", "count": "all" },
                { "allow": "2/1h", "key": "claim sub", "count": "all" },
            ])
        )
    );
    assert_eq!(routes[2]["access"]["roles"], json!(["nurse", "doctor"]));
}

#[test]
fn no_address_no_secret_and_no_value_of_a_variable_is_said() {
    let (routes, reasons) = lists();
    let said = Json::from(vec![routes, reasons]).to_string();
    let hidden = VARIABLES.iter().map(|(_, value)| *value).chain(["127.0.0.1", "4242", "X-Key"]);
    for hidden in hidden {
        assert!(!said.contains(hidden), "{hidden}: {said}");
    }
}

#[test]
fn every_reason_is_there_with_its_status() {
    let (_, reasons) = lists();
    let own: Vec<_> = reasons.iter().filter(|why| why["filter"].is_null()).collect();
    assert_eq!(own.len(), Reason::all().count());
    for (why, reason) in own.iter().zip(Reason::all()) {
        assert_eq!((&why["reason"], &why["status"]), (&json!(reason.name()), &json!(reason.status().as_u16())));
    }
    let of_filters: Vec<_> = reasons.iter().filter(|why| !why["filter"].is_null()).collect();
    assert_eq!(of_filters.len(), hilum_filters::CORS.reasons.len());
    assert!(of_filters.iter().all(|why| why["filter"] == "cors" && why["status"].is_null()), "{of_filters:?}");
}

#[test]
fn templates_are_checked_by_the_names_that_there_are() {
    let (routes, reasons) = lists();
    for (fields, entry) in [(Fields::ROUTES, &routes[0]), (Fields::REASONS, &reasons[0])] {
        let mut said: Vec<_> = entry.as_object().expect("a map").keys().map(String::as_str).collect();
        let mut known = fields.names.to_vec();
        said.sort_unstable();
        known.sort_unstable();
        assert_eq!(said, known, "{}", fields.list);
    }
}

#[test]
fn amounts_are_written_as_people_write_them() {
    for (millis, text) in [(1, "1ms"), (1_500, "1500ms"), (30_000, "30s"), (90_000, "90s"), (3_600_000, "1h")] {
        assert_eq!(span(Duration::from_millis(millis)), text);
    }
    for (bytes, text) in [(0, "0B"), (1_000, "1000B"), (1 << 10, "1KiB"), (1 << 20, "1MiB"), (3 << 30, "3GiB")] {
        assert_eq!(size(bytes), text);
    }
}
