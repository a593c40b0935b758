//! `hilum check`: every problem of both files at once, and who may call without a token.

use std::fmt::Write as _;
use std::process::ExitCode;

use hilum_filters::api::Registration;

use super::load::{load, tell};
use super::{Paths, print};

pub(super) fn check(paths: &Paths, filters: &[&'static [Registration]], json: bool) -> anyhow::Result<ExitCode> {
    let (table, listeners) = match load(paths, filters)? {
        Ok(loaded) => (loaded.table, loaded.listeners),
        Err(reports) => return tell(&reports, json),
    };
    if json {
        print("[]")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "{} and {}: no problems, {} routes\n",
        paths.conf.display(),
        paths.routes.display(),
        table.routes.len()
    );
    let public: Vec<_> = table.routes.iter().filter(|route| route.access.is_public()).collect();
    writeln!(text, "{} of them are public:", public.len())?;
    for route in public {
        writeln!(text, "  {:<28} {}", route.name, route.rule)?;
    }
    for token in table.tokens.iter().filter(|token| token.has_weak_secret()) {
        writeln!(text, "warning: the secret of the token `{}` is too short to be safe", token.name())?;
    }
    for warning in listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| tls.warnings()) {
        writeln!(text, "warning: {warning}")?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
