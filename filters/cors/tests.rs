use super::Cors;
use crate::testkit;

const ALLOW: &str = r#"{ origins: ["https://a.example", "http://localhost:3000"], credentials: true }"#;

fn check(options: &str, request: &str, answer: &str, expected: &str) {
    testkit::check::<Cors>(options, request, answer, expected);
}

/// What the client gets of an answer with these header lines.
fn check_answer(options: &str, request: &str, answer: &str, expected: &str) {
    let found = testkit::run::<Cors>(options, request, answer);
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::trim).filter(|line| line.starts_with('<')).map(str::to_owned).collect()
    };
    assert_eq!(lines(&found), lines(expected), "{request}");
}

fn check_problems(options: &str, expected: &str) {
    assert_eq!(testkit::problems::<Cors>(options), expected, "{options}");
}

#[test]
fn an_allowed_origin_may_read_the_answer() {
    check(
        ALLOW,
        "GET /x\nOrigin: https://a.example",
        "200\nContent-Type: text/plain",
        "> GET /x
         > origin: https://a.example
         < 200
         < access-control-allow-credentials: true
         < access-control-allow-origin: https://a.example
         < content-type: text/plain
         < vary: Origin",
    );
}

#[test]
fn a_foreign_origin_is_served_without_cors_headers() {
    for origin in [
        "null",
        "https://evil.example",
        "https://evila.example",
        "https://a.example.evil.example",
        "http://a.example",
        "https://a.example:8443",
        "https://A.example",
        "https://a.example.",
        "https://a.example/",
        "https://a.example\nOrigin: https://a.example",
    ] {
        check_answer(ALLOW, &format!("GET /x\nOrigin: {origin}"), "200", "< 200\n< vary: Origin");
    }
    check_answer(ALLOW, "GET /x", "200", "< 200\n< vary: Origin");
}

#[test]
fn without_credentials_none_are_promised() {
    check_answer(
        r#"{ origins: ["https://a.example"] }"#,
        "GET /x\nOrigin: https://a.example",
        "200",
        "< 200\n< access-control-allow-origin: https://a.example\n< vary: Origin",
    );
}

#[test]
fn everybody_may_read_when_origins_is_a_star() {
    for origin in ["", "\nOrigin: https://a.example", "\nOrigin: null"] {
        let expected = "< 200\n< access-control-allow-origin: *";
        check_answer(r#"{ origins: "*" }"#, &format!("GET /x{origin}"), "200", expected);
        check_answer(r#"{ origins: ["*"] }"#, &format!("GET /x{origin}"), "200", expected);
    }
}

#[test]
fn vary_is_merged() {
    let check = |vary: &str, expected: &str| {
        check_answer(ALLOW, "GET /x", &format!("200\n{vary}"), &format!("< 200\n{expected}"));
    };
    check("Vary: Accept", "< vary: Accept\n< vary: Origin");
    check("Vary: Accept, oRIGIN", "< vary: Accept, oRIGIN");
    check("Vary: Accept\nVary: Origin", "< vary: Accept\n< vary: Origin");
    check("Vary: *", "< vary: *");
}

#[test]
fn what_a_service_says_of_origins_is_taken_out() {
    let answer = "200
        Access-Control-Allow-Origin: *
        Access-Control-Allow-Credentials: true
        Access-Control-Allow-Methods: GET
        Access-Control-Allow-Headers: x
        Access-Control-Allow-Private-Network: true
        Access-Control-Max-Age: 600
        Access-Control-Expose-Headers: X-Total";
    check_answer(ALLOW, "GET /x\nOrigin: https://evil.example", answer, "< 200\n< vary: Origin");
    check_answer(
        ALLOW,
        "GET /x\nOrigin: https://a.example",
        answer,
        "< 200
         < access-control-allow-credentials: true
         < access-control-allow-origin: https://a.example
         < access-control-expose-headers: X-Total
         < vary: Origin",
    );
}

#[test]
fn a_preflight_is_answered_without_the_service() {
    check(
        ALLOW,
        "OPTIONS /x
         Origin: https://a.example
         Access-Control-Request-Method: PUT
         Access-Control-Request-Headers: x-b, content-type
         Access-Control-Request-Headers: bad name, x-b,, authorization",
        "500",
        "< 200
         < access-control-allow-credentials: true
         < access-control-allow-headers: authorization, content-type, x-b
         < access-control-allow-methods: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT
         < access-control-allow-origin: https://a.example
         < vary: Origin",
    );
    check(
        r#"{ origins: "*" }"#,
        "OPTIONS /x\nOrigin: null\nAccess-Control-Request-Method: PUT",
        "500",
        "< 200
         < access-control-allow-methods: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT
         < access-control-allow-origin: *",
    );
}

#[test]
fn a_preflight_says_what_the_options_say() {
    check(
        r#"{ origins: ["https://a.example"], methods: [GET, PUT], headers: [X-Team, Content-Type], max_age: 10m }"#,
        "OPTIONS /x
         Origin: https://a.example
         Access-Control-Request-Method: DELETE
         Access-Control-Request-Headers: x-evil",
        "500",
        "< 200
         < access-control-allow-headers: x-team, content-type
         < access-control-allow-methods: GET, PUT
         < access-control-allow-origin: https://a.example
         < access-control-max-age: 600
         < vary: Origin",
    );
}

#[test]
fn a_preflight_of_a_foreign_origin_learns_nothing() {
    check(
        ALLOW,
        "OPTIONS /x
         Origin: https://evil.example
         Access-Control-Request-Method: PUT
         Access-Control-Request-Headers: x-b
         Access-Control-Request-Private-Network: true",
        "500",
        "< 200\n< vary: Origin",
    );
}

#[test]
fn too_many_asked_headers_are_not_echoed() {
    let names: Vec<String> = (0..65).map(|n| format!("x-{n}")).collect();
    let request = |names: &[String]| {
        format!(
            "OPTIONS /x\nOrigin: https://a.example\nAccess-Control-Request-Method: PUT\nAccess-Control-Request-Headers: {}",
            names.join(",")
        )
    };
    let echoes = |names: &[String]| testkit::run::<Cors>(ALLOW, &request(names), "500").contains("allow-headers");
    assert!(echoes(&names[..64]) && !echoes(&names));
}

#[test]
fn an_options_request_that_is_no_preflight_goes_on() {
    check(ALLOW, "OPTIONS /x", "204", "> OPTIONS /x\n< 204\n< vary: Origin");
    check_answer(
        ALLOW,
        "OPTIONS /x\nOrigin: https://a.example",
        "204",
        "< 204
         < access-control-allow-credentials: true
         < access-control-allow-origin: https://a.example
         < vary: Origin",
    );
    let asked = "GET /x\nAccess-Control-Request-Method: PUT\nOrigin: https://evil.example";
    check_answer(ALLOW, asked, "200", "< 200\n< vary: Origin");
}

#[test]
fn options_that_can_not_be_meant_are_refused() {
    check_problems("{}", "1:1 missing key `origins`");
    check_problems(
        r#"{ origins: ["https://a.example/x"] }"#,
        concat!(
            r#"1:13 expected an origin such as "https://portal.example.org" or "http://localhost:3000", "#,
            r#"got "https://a.example/x": an origin has no path, not even a final `/`"#,
        ),
    );
    check_problems(
        r#"{ origins: "*", credentials: true }"#,
        concat!(
            r#"1:1 cors: `credentials` with origins "*" would let every page act in its visitor's name: "#,
            "list the origins",
        ),
    );
    check_problems(
        r#"{ origins: "https://a.example" }"#,
        r#"1:12 expected a list of origins, or "*", got "https://a.example""#,
    );
    check_problems(
        r#"{ origins: ["*", "https://a.example"] }"#,
        "1:12 `*` is every origin: it stands alone, or not at all",
    );
    check_problems(
        r#"{ origins: "*", methods: [get] }"#,
        r#"1:27 expected a method in capitals, such as "GET", got "get""#,
    );
    check_problems(
        r#"{ origins: "*", methods: [] }"#,
        "1:1 cors: `methods` is empty: leave it out to allow the usual ones",
    );
    check_problems(
        r#"{ origins: "*", max_age: 600 }"#,
        r#"1:26 expected a duration such as "250ms", "5s" or "10m", got "600""#,
    );
}

#[test]
fn a_variable_may_hold_the_list_or_the_star() {
    let check = |origins: &str, expected: &str| {
        let options = testkit::node(r#"{ origins: "${CORS_ORIGINS}" }"#, &[("CORS_ORIGINS", origins)]);
        let mut problems = Vec::new();
        let link = (crate::CORS.build)(&options, &crate::api::Env::default(), &mut problems);
        let link = link.expect("a good list");
        let found = testkit::run_link(link, "GET /x\nOrigin: http://localhost:3000", "200");
        assert!(found.contains(expected) && problems.is_empty(), "{origins}: {found}");
    };
    check("http://localhost:5000,http://localhost:3000", "access-control-allow-origin: http://localhost:3000");
    check("*", "access-control-allow-origin: *");
    check("", "< 200\n< vary: Origin");
}
