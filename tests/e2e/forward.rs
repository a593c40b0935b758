use crate::harness::*;

#[tokio::test]
async fn first_light() {
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(r#"
version: 1
services: { a: { peers: ["${A}"] } }
routes:
  - { name: all, match: "/**", auth: public, forward: { service: a } }
"#).env("A", service.url()).start().await;
    check(&gateway, &[
        ("GET /echo/x?y=1", "200\n~ \"target\":\"/echo/x?y=1\""),
        ("GET /status/404", "404\n{\"status\":404}"),
        ("GET /chunked", "200\n= one two three"),
        ("GET /close", "502 peer_reset"),
    ]).await;
    println!("{}", gateway.send("POST /echo/x?y=1\n\nhello").await.text());
    println!("{:?}", gateway.access_log());
    let mut gateway = gateway;
    assert!(gateway.stop().await.success());
}
