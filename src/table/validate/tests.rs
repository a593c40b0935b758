use super::*;
use crate::config::yaml;
use crate::template::Body as SentBody;

/// What is needed beside the list itself, in the folder of this package.
fn compile_all(text: &str, problems: &mut Vec<Problem>) -> Option<Validate> {
    let route = format!("{{ match: \"POST /p/{{id}}\", auth: public, respond: {{}}, validate: {text} }}");
    let file = format!("{{ version: 1, routes: [{route}] }}");
    let node = yaml::parse(&file).expect("YAML");
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let routes = crate::config::routes::read(&node, folder, problems)?;
    let written = routes.routes.first()?;
    let path = "/p/{id}".parse().expect("a path");
    let (pools, tokens) = (crate::actions::Named::new([]), crate::actions::Named::new([]));
    let mut build = Build {
        problems,
        pools: &pools,
        tokens: &tokens,
        path: &path,
        own_headers: &[],
        has_claims: false,
        admits_nobody: false,
        has_body: true,
        reads_body: true,
        pages: None,
        base_dir: &routes.base_dir,
        records: &crate::records::Records::default(),
    };
    Validate::compile(written, None, &mut build)
}

/// A list, and bodies with what becomes of them: `ok`, or the reason and the message.
#[track_caller]
fn check(list: &str, cases: &[(&str, &str)]) {
    let mut problems = Vec::new();
    let validate = compile_all(list, &mut problems);
    assert!(problems.is_empty(), "{list}: {problems:?}");
    let validate = validate.expect("it is good");
    for (body, expected) in cases {
        let (kind, body) =
            body.strip_prefix("as text: ").map_or(("application/json", *body), |body| ("text/plain", body));
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, kind.parse().unwrap());
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let scope = Arc::new(Scope {
            request_body: Some(SentBody::new(bytes.clone())),
            params: vec![("id".into(), "7".into())],
            now: 1_738_310_400,
            ..Scope::default()
        });
        let told = match validate.check(&headers, &bytes, &scope) {
            Ok(()) => "ok".to_owned(),
            Err(refusal) => {
                let message = refusal.message.or(refusal.default_message).unwrap_or_default();
                format!("{} {message}", refusal.reason).trim_end().to_owned()
            }
        };
        assert_eq!(told, *expected, "{list} {body}");
    }
}

#[test]
fn a_body_is_an_object_or_is_refused() {
    check(
        "[{ body: object, message: Datos requeridos }]",
        &[
            ("{}", "ok"),
            (r#"{"a":{"b":null}}"#, "ok"),
            ("", "body_invalid Datos requeridos"),
            ("[]", "body_invalid Datos requeridos"),
            ("null", "body_invalid Datos requeridos"),
            ("{", "body_invalid Datos requeridos"),
            (r#"{"a":1,"a":2}"#, "body_invalid Datos requeridos"),
            ("as text: {}", "content_type"),
            ("as text: ", "body_invalid Datos requeridos"),
        ],
    );
    check("[{ body: object }]", &[("", "body_invalid")]);
}

#[test]
fn the_first_field_that_is_not_there_is_named() {
    check(
        r#"[{ require: [a, b.c], message: "Campo requerido: {{ field }} ({{field}})" }]"#,
        &[
            (r#"{"a":0,"b":{"c":false}}"#, "ok"),
            (r#"{"a":[],"b":{"c":" "}}"#, "ok"),
            (r#"{"b":{"c":1}}"#, "body_invalid Campo requerido: a (a)"),
            (r#"{"a":null,"b":{"c":1}}"#, "body_invalid Campo requerido: a (a)"),
            (r#"{"a":"","b":{"c":1}}"#, "body_invalid Campo requerido: a (a)"),
            (r#"{"a":1,"b":[{"c":1}]}"#, "body_invalid Campo requerido: b.c (b.c)"),
            (r#"{"a":1,"b":"c"}"#, "body_invalid Campo requerido: b.c (b.c)"),
            (r#"{"a":1,"b.c":1}"#, "body_invalid Campo requerido: b.c (b.c)"),
            ("", "body_invalid Campo requerido: a (a)"),
            ("[]", "json_invalid"),
            ("{", "json_invalid"),
            ("as text: {}", "content_type"),
        ],
    );
    check("[{ require: [a] }]", &[("{}", "body_invalid The field a is missing.")]);
    check("[{ require: [a], message: Falta }]", &[("{}", "body_invalid Falta")]);
}

#[test]
fn what_can_not_be_evaluated_does_not_hold() {
    check(
        "[{ unless: \"request.body.age >= 18 and request.body.age < 150\", message: Edad }]",
        &[
            (r#"{"age":18}"#, "ok"),
            (r#"{"age":17}"#, "body_invalid Edad"),
            (r#"{"age":"18"}"#, "body_invalid Edad"),
            (r#"{"age":null}"#, "body_invalid Edad"),
            ("{}", "body_invalid Edad"),
            ("", "body_invalid Edad"),
        ],
    );
    // What says that something is absent must not be true of what was not understood.
    check(
        "[{ unless: request.body.role is not defined }]",
        &[
            ("{}", "ok"),
            ("", "body_invalid"),
            (r#"{"role":null}"#, "ok"),
            (r#"{"role":"admin"}"#, "body_invalid"),
            (r#"[{"role":"admin"}]"#, "json_invalid"),
            (r#"{"role":null,"role":"admin"}"#, "json_invalid"),
            ("role=admin", "json_invalid"),
            ("as text: role=admin", "content_type"),
        ],
    );
    check("[{ unless: \"params.id == '7' and query.x is not defined\" }]", &[("", "ok"), ("as text: x", "ok")]);
    check(
        "[{ unless: \"request.body.mail is matching('[^@ ]+@[^@ ]+') and request.body.at|timestamp <= now\", message: m }]",
        &[
            (r#"{"mail":"a@b","at":"2025-01-31T08:00:00Z"}"#, "ok"),
            (r#"{"mail":"a@b","at":"2025-01-31T08:00:01Z"}"#, "body_invalid m"),
            (r#"{"mail":"a@b","at":"today"}"#, "body_invalid m"),
            (r#"{"mail":"<a@b> ","at":0}"#, "body_invalid m"),
            (r#"{"mail":7,"at":0}"#, "body_invalid m"),
        ],
    );
}

#[test]
fn a_schema_is_held_against_the_whole_body() {
    check(
        r##"[{ message: Esquema, schema: { type: object, required: [n], additionalProperties: false, $defs: { n: { type: integer, minimum: 1 } },
            properties: { n: { $ref: "#/$defs/n" }, t: { type: string, pattern: "^[0-9]+$" }, mail: { format: email }, k: { const: "1" } } } }]"##,
        &[
            (r#"{"n":1,"t":"12","mail":"a@example.org","k":"1"}"#, "ok"),
            (r#"{"n":0}"#, "body_invalid Esquema"),
            (r#"{"n":1,"t":"x"}"#, "body_invalid Esquema"),
            (r#"{"n":1,"x":1}"#, "body_invalid Esquema"),
            (r#"{"n":1,"mail":"nobody"}"#, "body_invalid Esquema"),
            (r#"{"n":1,"k":1}"#, "body_invalid Esquema"),
            ("[]", "body_invalid Esquema"),
            ("", "body_invalid Esquema"),
            ("{", "json_invalid"),
            (r#"{"n":1,"n":2}"#, "json_invalid"),
        ],
    );
    check("[{ schema: { type: array, maxItems: 2 } }]", &[("[1, 2]", "ok"), ("[1, 2, 3]", "body_invalid")]);
}

#[test]
fn entries_are_gone_through_in_order() {
    check(
        "[{ body: object, message: 1 }, { require: [a], message: 2 }, { unless: request.body.a == 1, message: 3 }, { schema: { maxProperties: 1 }, message: 4 }]",
        &[
            ("[]", "body_invalid 1"),
            ("{}", "body_invalid 2"),
            (r#"{"a":2,"b":1}"#, "body_invalid 3"),
            (r#"{"a":1,"b":1}"#, "body_invalid 4"),
            (r#"{"a":1}"#, "ok"),
        ],
    );
}

#[test]
fn what_checks_nothing_or_can_not_be_compiled_is_a_problem() {
    for (list, why) in [
        ("[]", "`validate` checks nothing"),
        ("[{ message: x }]", "an entry checks one thing"),
        ("[{ body: object, require: [a] }]", "an entry checks one thing"),
        ("[{ body: array }]", "expected `object`, found `array`"),
        ("[{ require: [] }]", "`require` requires no field"),
        ("[{ require: [a..b] }]", "`a..b` names no claim"),
        ("[{ require: [a], message: \"{{ fild }}\" }]", "the only name here is `{{ field }}`"),
        ("[{ require: [a], message: \"{{ field\" }]", "the only name here is `{{ field }}`"),
        ("[{ body: object, message: \"{{ field }}\" }]", "this message is a text without"),
        ("[{ unless: claims.a }]", "there are no `claims` here: the route is public"),
        ("[{ unless: body.a }]", "nothing is called `body` here"),
        ("[{ unless: \"request.body.a is matching(query.x)\" }]", "a pattern is written where it is used"),
        ("[{ schema: [] }]", "expected a JSON Schema"),
        ("[{ schema: no-such-file.json }]", "`no-such-file.json` can't be read"),
        ("[{ schema: Cargo.toml }]", "`Cargo.toml` is not JSON"),
        ("[{ schema: { type: objct } }]", "this schema can't be used"),
        ("[{ schema: { pattern: \"(a)\\\\1\" } }]", "this schema can't be used"),
        ("[{ schema: { format: e-mail } }]", "this schema can't be used"),
        (
            "[{ schema: { $ref: \"https://example.org/x.json\" } }]",
            "this schema refers to `https://example.org/x.json`",
        ),
        ("[{ schema: { properties: { a: { $ref: other.json } } } }]", "this schema refers to `other.json`"),
        ("[{ schema: { $ref: \"#/$defs/nothing\" } }]", "this schema can't be used"),
    ] {
        let mut problems = Vec::new();
        compile_all(list, &mut problems);
        let told: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
        assert!(matches!(told[..], [only] if only.starts_with(why)), "{list}: {told:?}");
    }
}
