//! The commands. Exit 0: good; 1: problems were found; 2: wrong usage.

mod audit;
mod check;
mod filters;
mod health;
mod load;
mod routes;
mod run;
mod schema;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hilum_filters::api::Registration;

/// A pluggable API gateway.
#[derive(Debug, Parser)]
#[command(name = "hilum", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve.
    Run {
        #[command(flatten)]
        paths: Paths,
        /// Take over from the gateway that runs with these settings, without a lost request; `upgrade:` says where it is.
        #[arg(long)]
        upgrade: bool,
    },
    /// Read both files and tell every problem in them.
    Check {
        #[command(flatten)]
        paths: Paths,
        /// Problems as JSON.
        #[arg(long)]
        json: bool,
    },
    /// The routes as they are compiled.
    Routes {
        #[command(flatten)]
        paths: Paths,
        #[arg(long)]
        json: bool,
    },
    /// Ask the running gateway whether it is ready; exit 0 or 1.
    Health {
        /// Its settings, which say where it is asked.
        #[arg(long, default_value = "conf/hilum.yaml")]
        conf: PathBuf,
    },
    /// The audit log: whether it is as it was written.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// The filters that `filters:` may name.
    Filters {
        #[arg(long)]
        json: bool,
    },
    /// The JSON Schema of a file, for editors.
    Schema {
        #[arg(value_enum, default_value_t = schema::File::Routes)]
        file: schema::File,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Paths {
    /// What needs a restart.
    #[arg(long, default_value = "conf/hilum.yaml")]
    conf: PathBuf,
    /// What is edited live.
    #[arg(long, default_value = "routes.yaml")]
    routes: PathBuf,
}

pub fn main(registrations: &[&'static [Registration]]) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no mistakes; their text goes to standard output.
            let code = if e.use_stderr() { 2 } else { 0 };
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    crate::server::hide_panics();
    let done = match cli.command {
        Command::Run { paths, upgrade } => run::run(&paths, upgrade, registrations),
        Command::Check { paths, json } => check::check(&paths, registrations, json),
        Command::Routes { paths, json } => routes::routes(&paths, registrations, json),
        Command::Health { conf } => health::health(&conf),
        Command::Audit(command) => audit::audit(&command),
        Command::Filters { json } => filters::filters(registrations, json),
        Command::Schema { file } => schema::schema(file, registrations),
    };
    done.unwrap_or_else(|e| {
        // The pipe's reader has gone (`hilum routes | head`): nobody is left to tell.
        let broken_pipe =
            e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe);
        if !broken_pipe {
            eprintln!("hilum: {e:#}");
        }
        ExitCode::FAILURE
    })
}

/// One text on standard output, told apart from a reader that has gone.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
