//! `hilum routes`: what the file became.

use std::fmt::Write as _;
use std::process::ExitCode;

use hilum_filters::api::Registration;

use super::load::{load, tell};
use super::{Paths, print};
use crate::actions::Action;
use crate::table::{Access, Route};

pub(super) fn routes(paths: &Paths, filters: &[&'static [Registration]], json: bool) -> anyhow::Result<ExitCode> {
    let table = match load(paths, filters)? {
        Ok(loaded) => loaded.table,
        Err(reports) => return tell(&reports, json),
    };
    if json {
        let rows = table.routes.iter().map(|route| {
            let (auth, does) = (auth(route), does(route));
            serde_json::json!({ "name": &*route.name, "match": route.rule, "auth": auth, "action": route.action.name(), "does": does })
        });
        let rows: Vec<_> = rows.collect();
        print(&serde_json::to_string_pretty(&rows)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<[String; 4]> =
        table.routes.iter().map(|r| [r.rule.clone(), r.name.to_string(), auth(r), does(r)]).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let (rule, name, who) = (width(0), width(1), width(2));
    let mut text = String::new();
    for row in &rows {
        writeln!(text, "{:<rule$}  {:<name$}  {:<who$}  {}", row[0], row[1], row[2], row[3])?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn auth(route: &Route) -> String {
    match &route.access {
        Access::Public => "public".to_owned(),
        Access::Token { token, optional, claims, .. } => match claims.to_string() {
            _ if *optional => format!("{} or nobody", token.name()),
            claims if claims.is_empty() => token.name().to_owned(),
            claims => format!("{} {claims}", token.name()),
        },
    }
}

fn does(route: &Route) -> String {
    let how = if route.is_buffered() && matches!(route.action, Action::Forward(_)) { " (buffered)" } else { "" };
    match &route.action {
        Action::Forward(forward) => format!("forward {}{how}", forward.pool.name()),
        Action::Combine(combine) => {
            let mut services: Vec<&str> = combine.parts.iter().map(|part| &**part.pool.name()).collect();
            services.dedup();
            format!("combine {}", services.join(", "))
        }
        action => action.name().to_owned(),
    }
}
