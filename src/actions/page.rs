//! `page`: HTML for people, made of a template and what is known of the request.

use std::sync::Arc;

use hilum_filters::api::{Kind, Problem};
use http::{HeaderValue, StatusCode, header};
use minijinja::Value;

use super::{Answer, Build};
use crate::config::action;
use crate::refusal::Reason;
use crate::template::{self, Json, Names, PageNames, Scope};

/// A template with the names that it is given.
#[derive(Debug)]
pub struct Page {
    page: template::Page,
    with: Option<Json>,
}

impl Page {
    pub(super) fn compile(written: &action::Page, build: &mut Build<'_>) -> Option<Page> {
        let mut names = vec!["user"];
        let with = match &written.with {
            None => None,
            Some(node) => {
                let Kind::Map(entries) = &node.kind else {
                    let problem = Problem::new(node.at, "expected names for the template, a map");
                    build.problems.push(problem.help("write `with: { id: \"{{ params.id }}\" }`"));
                    return None;
                };
                for entry in entries {
                    if let Err(why) = is_free(&entry.key) {
                        build.problems.push(Problem::new(entry.at, why));
                    }
                    names.push(&entry.key);
                }
                let known = Names::REQUEST.without_body("a page does not read it");
                let known = if build.has_claims { known } else { known.without_claims("the route is public") };
                Some(Json::compile(node, known, build.problems)?)
            }
        };
        let page = build.pages?.placed(&written.template, &names, build.problems)?;
        Some(Page { page, with })
    }

    /// # Errors
    /// A name whose value this request does not have, or a template that can't be evaluated to its end.
    pub fn answer(&self, scope: &Arc<Scope>) -> Result<Answer, Reason> {
        let more = match &self.with {
            None => Value::default(),
            Some(with) => {
                let json = with.render(scope).map_err(|failed| {
                    log::warn!("page: {}", failed.0);
                    Reason::ValueMissing
                })?;
                serde_json::from_slice(&json).map_err(|_| Reason::Internal)?
            }
        };
        let html = self.page.render(PageNames { user: scope.claims.clone(), more }).map_err(|failed| {
            log::error!("page: {}", failed.0);
            Reason::Internal
        })?;
        let mut answer = Answer::bytes(StatusCode::OK, "text/html; charset=utf-8", html);
        answer.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(answer)
    }
}

/// Whether a template can use the name, and it means nothing else.
fn is_free(name: &str) -> Result<(), String> {
    let good = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric());
    match name {
        "user" => Err("`user` is the caller: choose another name".to_owned()),
        "gateway" => Err("`gateway` is what the gateway says of itself: choose another name".to_owned()),
        "url_for" => Err("`url_for` writes links: choose another name".to_owned()),
        _ if !good || name.is_empty() => {
            Err(format!("`{name}` is no name for a template: write letters, digits and `_`"))
        }
        _ => Ok(()),
    }
}
