//! `make demo`: the five services and the gateway before them, in one terminal, with nothing to
//! set up. It says where the gateway is and who can sign in, and ends everything on Ctrl-C.

mod gateway;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use clap::Parser;
use hilum_demo::seed::ACCOUNTS;
use hilum_demo::{Demo, Options, Ports};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::gateway::{Gateway, Ready, Secrets};

/// Starts the demo services of PredictHealth and the gateway.
#[derive(Parser)]
#[command(name = "hilum-demo")]
struct Arguments {
    /// Let the system choose the services' ports
    #[arg(long)]
    any_port: bool,
    /// Start the services and no gateway. They sign with JWT_SECRET_KEY where it is set, else with a fresh secret
    #[arg(long)]
    services_only: bool,
    /// The address on which the services listen; other machines reach any but loopback
    #[arg(long, default_value = "127.0.0.1", requires = "services_only")]
    listen: std::net::IpAddr,
    /// The gateway's settings
    #[arg(long, default_value = "conf/hilum.yaml")]
    conf: PathBuf,
    /// The gateway's routes
    #[arg(long, default_value = "routes.yaml")]
    routes: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hilum-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // Before anything starts, so that nothing that has started is left behind.
    let mut signals = Signals::new()?;
    #[allow(clippy::disallowed_methods, reason = "in a container nobody sees a secret that was made here")]
    let given = std::env::var("JWT_SECRET_KEY").ok().filter(|secret| arguments.services_only && !secret.is_empty());
    let secret = given.clone().unwrap_or_else(random_secret);
    let ports = if arguments.any_port { Ports::ANY } else { Ports::FIXED };
    let demo = hilum_demo::start_on(arguments.listen, Options { secret: secret.clone(), ports }).await?;

    if arguments.services_only {
        let _note = Note::write(&demo, None)?;
        print_services(&demo, given.is_none().then_some(&secret));
        signals.next().await;
        demo.stop().await;
        return Ok(ExitCode::SUCCESS);
    }

    let root = std::env::current_dir().context("finding the current directory")?;
    let (conf, routes) = (root.join(&arguments.conf), root.join(&arguments.routes));
    let secrets = Secrets { tokens: secret, audit: random_secret(), audit_file: new_log(&root)? };
    let mut gateway = Gateway::start(&conf, &routes, &secrets, demo.services())?;
    let code = watch(&demo, &secrets, &mut gateway, &mut signals).await?;
    demo.stop().await;
    Ok(code)
}

/// Stays until somebody wants an end, or the gateway comes to one by itself.
async fn watch(
    demo: &Demo,
    secrets: &Secrets,
    gateway: &mut Gateway,
    signals: &mut Signals,
) -> anyhow::Result<ExitCode> {
    let ready = tokio::select! {
        ready = gateway.ready() => ready?,
        () = signals.next() => return finish(gateway, signals).await,
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(status) => return Ok(report("the gateway did not start", status)),
    };
    let _note = Note::write(demo, Some(&ready))?;
    print_gateway(&ready, secrets);
    tokio::select! {
        status = gateway.ended() => Ok(report("the gateway ended by itself", status?)),
        () = signals.next() => finish(gateway, signals).await,
    }
}

/// Lets the gateway finish the requests in flight; a second signal does not wait for them.
async fn finish(gateway: &mut Gateway, signals: &mut Signals) -> anyhow::Result<ExitCode> {
    eprintln!("hilum-demo: stopping (once more: at once)");
    gateway.terminate()?;
    tokio::select! {
        status = gateway.ended() => { status?; }
        () = signals.next() => gateway.kill().await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what became of the gateway, and answers its code, or 1 where that would mean success.
fn report(what: &str, status: ExitStatus) -> ExitCode {
    eprintln!("hilum-demo: {what}: {status}");
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.filter(|code| *code != 0).unwrap_or(1))
}

/// The signals that ask for an end. SIGHUP is one: the terminal was closed, and the gateway, in a
/// group of its own, would go on without us.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// `target/demo.json`, for programs that want to know where things are; gone when the demo is.
struct Note(PathBuf);

impl Note {
    fn write(demo: &Demo, ready: Option<&Ready>) -> anyhow::Result<Self> {
        let services = demo.services().iter().map(|service| (service.name.to_owned(), json!(service.url)));
        let accounts = ACCOUNTS.iter().map(
            |account| json!({ "user_type": account.user_type, "email": account.email, "password": account.password }),
        );
        let note = json!({
            "url": ready.map(url),
            "admin": ready.map(|ready| format!("http://{}", ready.admin)),
            "services": Value::Object(services.collect()),
            "accounts": accounts.collect::<Vec<_>>(),
        });
        let path = Path::new("target").join("demo.json");
        std::fs::create_dir_all("target").context("making the folder target")?;
        // Renamed into place: who waits for the file never reads half of it.
        let draft = path.with_extension("json.new");
        std::fs::write(&draft, format!("{note:#}\n")).with_context(|| format!("writing {}", draft.display()))?;
        std::fs::rename(&draft, &path).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::warn!("{} stays behind: {error}", self.0.display());
        }
    }
}

fn url(ready: &Ready) -> String {
    // A listener on all addresses is reached by the loopback one.
    format!("http://{}", ready.listener.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:"))
}

fn print_gateway(ready: &Ready, secrets: &Secrets) {
    println!("\n  PredictHealth   {}", url(ready));
    println!("  Admin           http://{}", ready.admin);
    println!("  Audit log       {}.*, key {}\n", secrets.audit_file.display(), secrets.audit);
    print_accounts();
}

/// `secret`: one that was made here, and nobody else knows.
fn print_services(demo: &Demo, secret: Option<&String>) {
    println!("\n  The services run. For a gateway of your own:\n");
    if let Some(secret) = secret {
        println!("  export JWT_SECRET_KEY={secret}");
    }
    for service in demo.services() {
        println!("  export {}={}", service.variable, service.url);
    }
    println!();
    print_accounts();
}

fn print_accounts() {
    for account in &ACCOUNTS {
        println!("  {:<13} {:<42} {}", account.user_type, account.email, account.password);
    }
    println!("\n  Ctrl-C stops everything.\n");
}

/// Where the audit log of this demo begins: with a new key there is nothing to go on with.
fn new_log(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join("target").join("demo-audit");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("clearing {}", folder.display()))
        }
        _ => Ok(folder.join("log")),
    }
}

/// A new secret for every start: 32 random bytes.
fn random_secret() -> String {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    hilum_demo::hex(&bytes)
}
