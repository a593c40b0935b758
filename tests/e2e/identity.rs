//! Who is calling: good and bad tokens, where they come from, and where pages send who is refused.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hilum_demo::token::{Claims, Key};

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
routes:
  - { name: any, match: /any, auth: { token: web }, forward: { service: a, path: /echo } }
  - { name: patients, match: /patients, auth: { token: web, claims: { user_type: [patient, admin] } }, forward: { service: a, path: /echo } }
  - name: page
    match: /page
    auth:
      token: web
      claims: { user_type: patient }
      when_denied:
        claim_mismatch: { redirect: "/{claims.user_type}/home" }
        token_missing: { redirect: /sign-in }
        else: { redirect: /sign-in?again=1, clear_cookie: true }
    respond: { text: page }
  - { name: nurses, match: /nurses, auth: { token: web, roles: [nurse, doctor] }, respond: { text: hello } }
  - name: own
    match: "/patients/{patient_id}/**"
    auth:
      token: web
      own:
        - { claims: { user_type: patient }, param: patient_id, claim: user_id }
        - { claims: { user_type: admin } }
    forward: { service: a, path: /echo }
  - { name: shown, match: /shown, auth: { token: web }, respond: { json: { id: "{{ claims.user_id }}" } } }
"#;

fn by_header(path: &str, token: &str) -> String {
    format!("GET {path}\nAuthorization: Bearer {token}")
}

fn by_cookie(path: &str, token: &str) -> String {
    format!("GET {path}\nCookie: a=b; jwt={token}; c=d")
}

fn until(exp: f64) -> String {
    sign(&Claims { exp, ..claims("patient") })
}

#[tokio::test]
async fn a_good_token_is_taken_by_header_or_cookie_and_the_header_wins() {
    let (gateway, _service) = before_a_puppet(&[TOKENS, ROUTES].concat()).await;
    let good = token("patient");
    let (no_cookie, both, twice) = (
        format!("GET /any\nCookie: jwt={good}; jwt={good}"),
        format!("GET /any\nAuthorization: Bearer bad\nCookie: jwt={good}"),
        format!("GET /any\nAuthorization: Bearer {good}\nAuthorization: Bearer {good}"),
    );
    check(
        &gateway,
        &[
            (&by_header("/any", &good), "200"),
            (&by_header("/any", &good).replace("Bearer", "bearer"), "200"),
            (&by_cookie("/any", &good), "200"),
            (&format!("{}\nCookie: jwt=bad", by_header("/any", &good)), "200"),
            (&format!("{}\nAuthorization: Basic YTpi", by_cookie("/any", &good)), "200"),
            (&by_header("/shown", &good), "200\n{\"id\":\"7\"}"),
            ("GET /any", "401 token_missing\nwww-authenticate: Bearer"),
            ("GET /any\nAuthorization: Basic YTpi", "401 token_missing"),
            ("GET /any\nCookie: jwt=", "401 token_missing"),
            (&format!("GET /any?access_token={good}"), "401 token_missing"),
            (&both, "401 token_invalid\nwww-authenticate: Bearer"),
            (&no_cookie, "401 token_invalid"),
            (&twice, "401 token_invalid"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_that_is_not_exactly_right_is_refused() {
    let (gateway, _service) = before_a_puppet(&[TOKENS, ROUTES].concat()).await;
    let good = token("patient");
    let parts: Vec<&str> = good.split('.').collect();
    let with_header = |header: &str| format!("{}.{}.{}", BASE64.encode(header), parts[1], parts[2]);
    let soon = now() + 60.0;
    for (what, token, reason) in [
        ("no token", "nonsense".to_owned(), "token_invalid"),
        ("another secret", Key::new("another secret that is long enough").sign(&claims("patient")), "token_invalid"),
        ("alg none", with_header(r#"{"alg":"none"}"#), "token_invalid"),
        ("unsigned", format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), parts[1]), "token_invalid"),
        ("another algorithm", with_header(r#"{"alg":"HS512"}"#), "token_invalid"),
        ("crit", with_header(r#"{"alg":"HS256","crit":["exp"]}"#), "token_invalid"),
        (
            "claims changed",
            format!("{}.{}.{}", parts[0], BASE64.encode(r#"{"user_id":"1","exp":9999999999}"#), parts[2]),
            "token_invalid",
        ),
        ("no exp", sign_json(r#"{"user_id":"7"}"#), "token_invalid"),
        ("exp as text", sign_json(r#"{"user_id":"7","exp":"9999999999"}"#), "token_invalid"),
        ("no object", sign_json("[1]"), "token_invalid"),
        ("a claim twice", sign_json(&format!(r#"{{"user_id":"7","user_id":"8","exp":{soon}}}"#)), "token_invalid"),
        ("too far ahead", until(now() + 25.0 * 3600.0), "token_invalid"),
        ("not yet", sign_json(&format!(r#"{{"nbf":{},"exp":{soon}}}"#, now() + 30.0)), "token_invalid"),
        (
            "a line break",
            sign_json(&format!(r#"{{"user_id":"7\r\nX-User-Type: admin","exp":{soon}}}"#)),
            "token_invalid",
        ),
        ("oversized", sign_json(&format!(r#"{{"pad":"{}","exp":{soon}}}"#, "x".repeat(7000))), "token_invalid"),
        ("over", until(now() - 1.0), "token_expired"),
        ("over within this second", until(now().floor() + 0.999), "token_expired"),
        ("over as an integer", sign_json(&format!(r#"{{"exp":{}}}"#, now() as u64 - 5)), "token_expired"),
    ] {
        for request in [by_header("/any", &token), by_cookie("/any", &token)] {
            let answer = gateway.send(&request).await;
            expect(what, &answer, &format!("401 {reason}\n!~ {token}\n!set-cookie"));
        }
    }
}

#[tokio::test]
async fn a_token_is_taken_until_its_last_second_and_not_after_even_when_it_is_known() {
    let (gateway, _service) = before_a_puppet(&[TOKENS, ROUTES].concat()).await;
    let end = now().floor() + 2.0;
    let token = until(end + 0.5);
    check(&gateway, &[(&by_header("/any", &token), "200"), (&by_header("/any", &token), "200")]).await;
    let refused = eventually("the token to run out", async || {
        let answer = gateway.send(&by_header("/any", &token)).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    expect("over", &refused, "401 token_expired");
    assert!((end..end + 1.0).contains(&now()), "it was over {} s after its floor", now() - end);
}

#[tokio::test]
async fn claims_decide_who_may_and_the_service_learns_who_it_is() {
    let (gateway, service) = before_a_puppet(&[TOKENS, ROUTES].concat()).await;
    check(
        &gateway,
        &[
            (&by_header("/patients", &token("patient")), "200"),
            (&by_header("/patients", &token("admin")), "200"),
            (&by_header("/patients", &token("doctor")), "403 claim_mismatch\n!www-authenticate"),
            (&by_header("/patients", &token("Patient")), "403 claim_mismatch"),
            (
                &by_header("/patients", &sign_json(&format!(r#"{{"user_type":["patient"],"exp":{}}}"#, now() + 60.0))),
                "403 claim_mismatch",
            ),
            (&by_header("/patients", &sign_json(&format!(r#"{{"exp":{}}}"#, now() + 60.0))), "403 claim_mismatch"),
        ],
    )
    .await;
    let two_roles = sign(&Claims { roles: vec!["a".into(), "b".into()], ..claims("doctor") });
    let bare = sign_json(&format!(r#"{{"user_id":42,"exp":{}}}"#, now() + 60.0));
    sees(
        &gateway,
        &service,
        &[
            (&by_header("/any", &two_roles), "GET /echo\nX-User-ID: 7\nX-User-Type: doctor\nX-User-Email: u7@example.org\nX-User-Roles: a,b\nX-Reference: 7"),
            (&by_cookie("/any", &bare), &format!("GET /echo\nX-User-ID: 42\n!X-User-Type\n!X-User-Email\n!X-User-Roles\n!X-Reference\nAuthorization: Bearer {bare}\n!Cookie")),
        ],
    )
    .await;
}

#[tokio::test]
async fn pages_send_refused_callers_away_and_clear_only_what_was_refused() {
    let (gateway, _service) = before_a_puppet(&[TOKENS, ROUTES].concat()).await;
    let cleared = "set-cookie: jwt=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Path=/; SameSite=Lax";
    let old = until(now() - 5.0);
    check(
        &gateway,
        &[
            (&by_cookie("/page", &token("patient")), "200\n= page"),
            (&by_cookie("/page", &token("doctor")), "302 claim_mismatch\nlocation: /doctor/home\n!set-cookie"),
            ("GET /page", "302 token_missing\nlocation: /sign-in\n!set-cookie"),
            (&by_cookie("/page", "bad"), &format!("302 token_invalid\nlocation: /sign-in?again=1\n{cleared}")),
            (&by_cookie("/page", &old), &format!("302 token_expired\nlocation: /sign-in?again=1\n{cleared}")),
            (&by_header("/page", &old), "302 token_expired\nlocation: /sign-in?again=1\n!set-cookie"),
            // A claim can't send the browser to another host: a target that would be ambiguous is passed over.
            (&by_cookie("/page", &token("/evil.test")), "302 claim_mismatch\nlocation: /sign-in?again=1\n!set-cookie"),
            (
                &by_cookie("/page", &sign_json(&format!(r#"{{"exp":{}}}"#, now() + 60.0))),
                "302 claim_mismatch\nlocation: /sign-in?again=1\n!set-cookie",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_patient_reaches_only_what_is_the_patients_own_and_a_role_opens_its_routes() {
    let (gateway, service) = before_a_puppet(&format!("{TOKENS}{ROUTES}")).await;
    let by = |path: &str, user_type: &str| by_header(path, &token(user_type));
    let refused = [
        (by("/patients/8", "patient"), "403 not_owner"),
        (by("/patients/8/record", "patient"), "403 not_owner"),
        (by("/patients/07/record", "patient"), "403 not_owner"),
        (by("/patients/7/record", "doctor"), "403 not_owner"),
        (by_cookie("/patients/8", &token("patient")), "403 not_owner\n!set-cookie"),
        ("GET /patients/7".to_owned(), "401 token_missing"),
        (by("/nurses", "patient"), "403 role_missing"),
    ];
    for (request, expectation) in &refused {
        expect(request, &gateway.send(request).await, expectation);
    }
    assert!(service.seen().is_empty(), "nothing of it reached the service");
    for request in [
        by("/patients/7", "patient"),
        by("/patients/7/record/2", "patient"),
        by("/patients/%37/record", "patient"),
        by("/patients/8/record", "admin"),
        by("/nurses", "doctor"),
    ] {
        expect(&request, &gateway.send(&request).await, "200");
    }
}
