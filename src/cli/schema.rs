//! `hilum schema`: JSON Schemas from the same structs that read the files.

use std::process::ExitCode;

use hilum_filters::api::Registration;

use super::print;
use crate::config;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum File {
    /// routes.yaml
    Routes,
    /// conf/hilum.yaml
    Conf,
}

pub(super) fn schema(file: File, registrations: &[&'static [Registration]]) -> anyhow::Result<ExitCode> {
    let schema = match file {
        File::Conf => config::schema::conf(),
        File::Routes => config::schema::routes(registrations),
    };
    print(&serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}
