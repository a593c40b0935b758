//! `hilum check`: every problem of both files at once, and who may call without a token.

use std::fmt::Write as _;
use std::process::ExitCode;

use hilum_filters::api::Registration;

use super::load::{Stop, prepare, tell};
use super::{Paths, print};
use crate::server::Load;

pub(super) fn check(paths: &Paths, filters: &[&'static [Registration]], json: bool) -> anyhow::Result<ExitCode> {
    let loaded = match prepare(paths, filters) {
        Ok(loaded) => loaded,
        Err(Stop::Problems(report)) => {
            // The other file has problems of its own, and all of them are wanted at once.
            let _ = tell(Stop::Problems(report), json)?;
            return Ok(ExitCode::FAILURE);
        }
        Err(stop) => return tell(stop, json),
    };
    let table = match loaded.loader.load()? {
        Load::Table(table) => table,
        Load::Problems(report) => return tell(Stop::Problems(report), json),
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
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
