//! Starting and stopping.

use hilum_demo::{Options, Ports};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Caller, SECRET, World, detail, get};

#[tokio::test]
async fn a_port_in_use_is_named_with_its_service() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let check = async |ports: Ports, name: &str| {
        let started = hilum_demo::start(Options { secret: SECRET.to_owned(), ports }).await;
        let error = started.err().expect("the port is in use").to_string();
        assert_eq!(error, format!("port {port} ({name}) is already in use"));
    };
    check(Ports { auth_jwt: port, ..Ports::ANY }, "auth-jwt").await;
    check(Ports { doctors: port, ..Ports::ANY }, "doctors").await;
    check(Ports { patients: port, ..Ports::ANY }, "patients").await;
    check(Ports { institutions: port, ..Ports::ANY }, "institutions").await;
    check(Ports { admins: port, ..Ports::ANY }, "admins").await;
}

#[tokio::test]
async fn every_service_is_healthy_and_answers_what_it_does_not_know() {
    let world = World::new().await;
    let healthy = json!({ "status": "healthy" });
    world
        .check(&[
            get("auth-jwt", "GET auth-jwt /health", Caller::Nobody, 200, healthy.clone()),
            get("doctors", "GET doctors /health", Caller::Nobody, 200, healthy.clone()),
            get("patients", "GET patients /health", Caller::Nobody, 200, healthy.clone()),
            get("institutions", "GET institutions /health", Caller::Nobody, 200, healthy),
            get("admins", "GET admins /health", Caller::Nobody, 200, json!({ "service": "service-admins" })),
            get("unknown path", "GET doctors /api/v2", Caller::Nobody, 404, detail("Not Found")),
            get(
                "method that only another path has",
                "POST institutions /api/v1/institutions/doctors",
                Caller::Institution,
                405,
                detail("Method Not Allowed"),
            ),
        ])
        .await;
    let reply = world.send("PATCH doctors /health", &Caller::Nobody, &json!(null)).await;
    assert!(reply.head.contains("allow: get,head"), "{}", reply.head);
}

#[tokio::test]
async fn stopped_services_let_go_of_their_ports() {
    let world = World::new().await;
    let addresses: Vec<_> = world.demo.services().iter().map(|service| service.url.replace("http://", "")).collect();
    assert_eq!(addresses.len(), 5);
    world.demo.stop().await;
    for address in addresses {
        assert!(TcpStream::connect(&address).await.is_err(), "{address} still answers");
    }
}
