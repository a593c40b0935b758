//! The five services of PredictHealth, small and real: what a gateway needs behind it to be tried
//! and tested. They keep the contract of the real ones (routes, bodies, statuses, texts, tokens)
//! without the failures that come only from the real stack's drivers, and hold invented people in a
//! database in memory, so that every start is the same, but for what has to be recent: some people
//! signed up, and many were last here, so many hours before the start.
//!
//! ```text
//! lib.rs        the services, started and stopped
//! platform.rs   what the services share ── database.rs, schema.sql, seed.rs, people.rs, people.json
//! auth_jwt.rs   ┐                          token.rs, accounts.rs
//! doctors.rs    │
//! patients.rs   ├ one file per service         contacts.rs: how a patient is reached
//! institutions.rs
//! admins.rs     ┘
//! caller.rs     who is calling      body.rs, rules.rs   what was sent
//! paging.rs     part of a list      problem.rs          what is answered when it does not work
//! main.rs       the demo: services and gateway ── gateway.rs
//! ```

mod accounts;
mod admins;
mod auth_jwt;
mod body;
mod caller;
mod contacts;
mod database;
mod doctors;
mod institutions;
mod medical;
mod paging;
mod patients;
mod people;
mod platform;
mod problem;
mod rules;
pub mod seed;
pub mod token;

use std::fmt::Write;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::database::Database;
use crate::platform::Platform;

/// How long requests in flight may take to finish after [`Demo::stop`].
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How to start the services.
pub struct Options {
    /// Signs and verifies the tokens; the gateway needs the same one.
    pub secret: String,
    /// Where they listen.
    pub ports: Ports,
}

/// The port of each service; 0 lets the system choose.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Sign-in and tokens.
    pub auth_jwt: u16,
    /// Doctors, and what they see of their patients.
    pub doctors: u16,
    /// Patients and their records.
    pub patients: u16,
    /// Institutions, and their doctors and patients.
    pub institutions: u16,
    /// Administrators.
    pub admins: u16,
}

/// The running services. They end when it is dropped; [`Demo::stop`] lets them finish first.
pub struct Demo {
    services: Vec<Service>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// One running service.
#[derive(Clone, Debug)]
pub struct Service {
    /// `auth-jwt`, `doctors`, `patients`, `institutions` or `admins`.
    pub name: &'static str,
    /// The environment variable by which the gateway's `routes.yaml` finds it.
    pub variable: &'static str,
    /// Scheme, address and port, without a final slash.
    pub url: String,
}

impl Ports {
    /// The ports of the real stack.
    pub const FIXED: Self = Self { auth_jwt: 8003, doctors: 8000, patients: 8004, institutions: 8002, admins: 8006 };
    /// Ports that the system chooses.
    pub const ANY: Self = Self { auth_jwt: 0, doctors: 0, patients: 0, institutions: 0, admins: 0 };
}

/// Starts the five services with the seeded people, for this machine alone. All ports are taken before
/// anything else happens, so a port in use stops the start at once and is named.
pub async fn start(options: Options) -> anyhow::Result<Demo> {
    start_on(Ipv4Addr::LOCALHOST.into(), options).await
}

/// The same on another address, which other machines may reach.
pub async fn start_on(listen: IpAddr, options: Options) -> anyhow::Result<Demo> {
    let plan = plan(options.ports);
    let mut listeners = Vec::new();
    for planned in &plan {
        listeners.push(bind(planned, listen).await?);
    }

    let platform = tokio::task::spawn_blocking(move || {
        let database = Database::open()?;
        seed::fill(&database)?;
        Platform::new(database, &options.secret)
    });
    let platform = platform.await.context("preparing the database")??;

    let (stop, stopped) = watch::channel(false);
    let mut demo = Demo { services: Vec::new(), stop, tasks: JoinSet::new() };
    for (planned, listener) in plan.into_iter().zip(listeners) {
        let url = format!("http://{}", listener.local_addr()?);
        let Planned { name, variable, routes, .. } = planned;
        demo.services.push(Service { name, variable, url });
        let app = platform.clone().complete(routes());
        demo.tasks.spawn(serve(listener, app, stopped.clone()));
    }
    Ok(demo)
}

impl Demo {
    /// The five services, in the order of [`Ports`].
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The url of the service with this name.
    pub fn url(&self, name: &str) -> Option<&str> {
        self.services.iter().find(|service| service.name == name).map(|service| service.url.as_str())
    }

    /// Takes no new requests, and waits a moment for those in flight.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, finished).await.is_err() {
            log::warn!("requests in flight were cut off");
        }
    }
}

/// A service before it runs.
struct Planned {
    name: &'static str,
    variable: &'static str,
    port: u16,
    routes: fn() -> Router<Platform>,
}

fn plan(ports: Ports) -> [Planned; 5] {
    let service = |name, variable, port, routes| Planned { name, variable, port, routes };
    [
        service("auth-jwt", "AUTH_SERVICE_URL", ports.auth_jwt, auth_jwt::routes),
        service("doctors", "DOCTORS_SERVICE_URL", ports.doctors, doctors::routes),
        service("patients", "PATIENTS_SERVICE_URL", ports.patients, patients::routes),
        service("institutions", "INSTITUTIONS_SERVICE_URL", ports.institutions, institutions::routes),
        service("admins", "ADMINS_SERVICE_URL", ports.admins, admins::routes),
    ]
}

async fn bind(Planned { name, port, .. }: &Planned, listen: IpAddr) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((listen, *port));
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!("port {port} ({name}) is already in use"),
        _ => anyhow::Error::new(error).context(format!("listening on port {port} ({name})")),
    })
}

async fn serve(listener: TcpListener, app: Router, mut stopped: watch::Receiver<bool>) {
    let told = async move {
        // An error means that the sender is gone, which ends the service as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(told).await {
        log::error!("a service ended: {error}");
    }
}

/// Bytes as lower-case hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all text");
        text
    })
}
