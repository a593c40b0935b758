//! Pages: templates as Flask renders them, for who may see them; the others are sent where they belong.

use super::world::{SECRET, now, sign_json};
use crate::harness::*;

const ROUTES: &str = r#"
version: 1
tokens:
  web:
    from: [{ cookie: predicthealth_jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    cookie: { name: predicthealth_jwt }
routes:
  - { name: static, match: "/static/**", endpoint: static, auth: public, files: { root: static/assets } }
  - { name: home, match: GET /, endpoint: index, auth: public, page: { template: index.html } }
  - { name: kept, match: GET /kept, auth: public, page: { template: index.html }, cache_control: "public, max-age=60" }
  - name: search
    match: GET /search
    auth: public
    page: { template: search.html, with: { q: "{{ query.q }}", pages: [1, 2], about: { n: "{{ query.n | int }}" } } }
  - group: patient
    path: /patient
    auth: &patient
      token: web
      claims: { user_type: patient }
      when_denied:
        claim_mismatch: { redirect: "/{claims.user_type}/dashboard" }
        else: { redirect: /, clear_cookie: true }
    routes:
      - { match: GET /dashboard, endpoint: patient_dashboard, page: { template: patient/dashboard.html } }
      - { match: "GET /record/{record_id}", endpoint: record, page: { template: patient/record.html, with: { id: "{{ params.record_id }}" } } }
  - match: GET /doctor/dashboard
    auth:
      token: web
      claims: { user_type: doctor }
      when_denied: { claim_mismatch: { redirect: "/{claims.user_type}/dashboard" }, else: { redirect: /, clear_cookie: true } }
    page: { template: index.html }
"#;

fn builder() -> Builder {
    Gateway::with(&ROUTES.replace("&patient", ""))
        .env("SECRET", SECRET)
        .file("static/assets/css/x.css", "p{}")
        .file(
            "static/pages/base.html",
            "<!DOCTYPE html>\n<title>{% block title %}PredictHealth{% endblock %}</title>\n\
             <link href=\"{{ url_for('static', filename='css/x.css') }}\">\n\
             {% if user %}<p>{{ user.email }} {{ user.user_type }}</p>{% else %}<a href=\"/login\">Entrar</a>{% endif %}\n\
             {% block body %}{% endblock %}\n",
        )
        .file(
            "static/pages/index.html",
            "{% extends \"base.html\" %}{% block body %}{% include 'part.html' %}{% endblock %}",
        )
        .file("static/pages/part.html", "<a href=\"{{ url_for('frontend.patient_dashboard') }}\">Panel</a>")
        .file("static/pages/search.html", "<p>{{ q }}</p>{% for n in pages %}<i>{{ n + 1 }}</i>{% endfor %}{{ about.n }}")
        .file("static/pages/patient/dashboard.html", "{% extends 'base.html' %}{% block title %}Panel{% endblock %}")
        .file(
            "static/pages/patient/record.html",
            "<p>{{ id }}</p><a href=\"{{ url_for('frontend.record', record_id=id, tab='a&b') }}\">x</a>",
        )
}

#[tokio::test]
async fn a_page_is_html_made_of_its_templates() {
    let gateway = builder().start().await;
    let home = gateway.send("GET /").await;
    assert_eq!(
        home.text(),
        "<!DOCTYPE html>\n<title>PredictHealth</title>\n<link href=\"/static/css/x.css\">\n<a href=\"/login\">Entrar</a>\n\
         <a href=\"/patient/dashboard\">Panel</a>"
    );
    check(
        &gateway,
        &[
            ("GET /", "200\ncontent-type: text/html; charset=utf-8\nx-content-type-options: nosniff\n!cache-control"),
            ("GET /kept", "200\ncache-control: public, max-age=60"),
            ("GET /static/css/x.css", "200\n= p{}"),
            ("POST /\nContent-Length: 0", "405 method_not_allowed\nallow: GET, HEAD"),
            ("GET /static/pages/index.html", "404 file_missing"),
        ],
    )
    .await;
    let head = gateway.send("HEAD /").await;
    assert_eq!((head.status, head.body.len()), (200, 0), "{head:?}");
    assert_eq!(head.header("content-length"), Some(home.body.len().to_string()));
}

#[tokio::test]
async fn what_a_client_sends_is_never_html() {
    let gateway = builder().start().await;
    let attack = "%3Cscript%3Ealert(%22%27%26/%22)%3C/script%3E";
    check(
        &gateway,
        &[
            (
                &format!("GET /search?q={attack}&n=7"),
                "200\n= <p>&lt;script&gt;alert(&#34;&#39;&amp;/&#34;)&lt;/script&gt;</p><i>2</i><i>3</i>7",
            ),
            ("GET /search?n=1&q=%7B%7B7*7%7D%7D", "200\n= <p>{{7*7}}</p><i>2</i><i>3</i>1"),
            ("GET /search?q=x&n=x", "400 value_missing"),
        ],
    )
    .await;
}

#[tokio::test]
async fn who_may_not_see_a_page_is_sent_where_they_belong() {
    let gateway = builder().start().await;
    let cookie = |claims: &str| {
        let payload = format!(r#"{{"exp":{},{claims}}}"#, now() as u64 + 600);
        format!("Cookie: predicthealth_jwt={}", sign_json(&payload))
    };
    let patient = cookie(r#""user_id":"7","user_type":"patient","email":"a<b>@example.com""#);
    let doctor = cookie(r#""user_id":"9","user_type":"doctor""#);
    let odd = cookie(r#""user_id":"9","user_type":"/evil.example/x""#);
    check(
        &gateway,
        &[
            (
                &format!("GET /patient/dashboard\n{patient}"),
                "200\n~ <p>a&lt;b&gt;@example.com patient</p>\n~ <title>Panel</title>\ncache-control: private, no-store",
            ),
            (
                &format!("GET /patient/record/a%20%C3%B1%26\n{patient}"),
                "200\n= <p>a ñ&amp;</p><a href=\"/patient/record/a%20%C3%B1&amp;?tab=a%26b\">x</a>",
            ),
            (&format!("GET /patient/dashboard\n{doctor}"), "302 claim_mismatch\nlocation: /doctor/dashboard\n!set-cookie"),
            (&format!("GET /doctor/dashboard\n{doctor}"), "200"),
            (&format!("GET /doctor/dashboard\n{patient}"), "302 claim_mismatch\nlocation: /patient/dashboard\n!set-cookie"),
            (
 &format!("GET /patient/dashboard\n{odd}"),
 "302 claim_mismatch\nlocation: /\n!set-cookie",
),
            ("GET /patient/dashboard", "302 token_missing\nlocation: /\n!set-cookie"),
            (
                "GET /patient/dashboard\nCookie: predicthealth_jwt=bad",
                "302 token_invalid\nlocation: /\nset-cookie: *predicthealth_jwt=;*",
            ),
        ],
    )
    .await;
}

const SITE: &str = r#"
version: 1
defaults: { auth: public, errors: { else: { json: { reason: "{{ reason }}" } } } }
routes:
  - group: site
    path: /
    errors: { 404: { page: errors/404.html }, else: { page: errors/500.html } }
    routes:
      - { match: GET /, page: { template: index.html } }
      - { match: GET /broken, page: { template: broken.html } }
      - { match: GET /endless, page: { template: endless.html } }
      - { match: GET /large, page: { template: large.html } }
  - group: api
    path: /api
    routes: [{ match: GET /x, respond: { text: x } }, { match: GET /page, page: { template: broken.html } }]
"#;

fn site() -> Builder {
    Gateway::with(SITE)
        .file("static/pages/index.html", "one {% include 'part.html' %}")
        .file("static/pages/part.html", "first")
        .file("static/pages/broken.html", "canary {{ user.email }}")
        .file(
            "static/pages/endless.html",
            "canary {% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        )
        .file("static/pages/large.html", "{% for a in range(9000) %}{{ 'x' * 1000 }}{% endfor %}")
        .file(
            "static/pages/errors/404.html",
            "{% extends 'errors/base.html' %}{% block text %}No hay nada{% endblock %}",
        )
        .file("static/pages/errors/500.html", "{% extends 'errors/base.html' %}")
        .file(
            "static/pages/errors/base.html",
            "<h1>{{ status }} {{ reason }}</h1>{% block text %}{{ message }}{% endblock %}<i>{{ request_id }}</i>",
        )
}

#[tokio::test]
async fn people_get_a_page_and_programs_json() {
    let gateway = site().start().await;
    let id = "X-Request-ID: 0123456789abcdef";
    check(
        &gateway,
        &[
            (
                &format!("GET /nope\n{id}"),
                "404 no_route\ncontent-type: text/html; charset=utf-8\n\
                 = <h1>404 no_route</h1>No hay nada<i>0123456789abcdef</i>",
            ),
            ("GET /apix", "404 no_route\n~ No hay nada"),
            (
                "POST /\nContent-Length: 0",
                "405 method_not_allowed\nallow: GET, HEAD\n~ <h1>405 method_not_allowed</h1>The method",
            ),
            ("GET /api/nope", "404 no_route\ncontent-type: application/json\n{\"reason\":\"no_route\"}"),
            ("POST /api/x\nContent-Length: 0", "405 method_not_allowed\n{\"reason\":\"method_not_allowed\"}"),
            ("GET /api/page", "500 internal\n{\"reason\":\"internal\"}"),
        ],
    )
    .await;
    for path in ["/broken", "/endless", "/large"] {
        check(
            &gateway,
            &[(
                &format!("GET {path}"),
                "500 internal\n~ <h1>500 internal</h1>Something went wrong here.<i>\n!~ canary\n!~ xxx",
            )],
        )
        .await;
        gateway.said(&format!("static/pages{path}.html:1: ")).await;
    }
    let head = gateway.send("HEAD /nope").await;
    assert_eq!((head.status, head.body.len()), (404, 0), "{head:?}");
}

#[tokio::test]
async fn an_edit_of_a_template_is_live_and_a_broken_one_is_not() {
    let gateway = site().start().await;
    let put = |path: &str, text: &str| {
        let path = gateway.folder().join("static/pages").join(path);
        std::fs::write(path, text).expect("a file in our own folder");
    };
    let shows = async |text: &str| {
        eventually(text, async || (gateway.send("GET /").await.text() == text).then_some(())).await;
    };
    shows("one first").await;
    put("part.html", "second");
    shows("one second").await;
    put("index.html", "two {% include 'part.html' %}");
    shows("two second").await;
    put("index.html", "three {% if %}");
    gateway.said("static/pages/index.html:1: ").await;
    put("part.html", "third");
    gateway.counts("hilum_reloads_total", &[("result", "refused")], |n| n >= 2.0).await;
    assert_eq!(gateway.send("GET /").await.text(), "two second", "the running templates are kept");
    put("index.html", "four {% include 'part.html' %}");
    shows("four third").await;
    // A file that was refused for a template is taken when the template is there.
    gateway.edit(&SITE.replace("template: index.html", "template: new.html"));
    gateway.said("there is no template `new.html` in static/pages").await;
    put("new.html", "five");
    shows("five").await;
}
