//! `redirect`: the client is sent to another path of ours, never to another host.

use hilum_filters::api::{Placed, Problem};
use http::{HeaderValue, StatusCode};

use super::Build;
use super::forward::line;
use crate::config::action;
use crate::template::{Filling, Line, Missing, Use};

/// A redirect to an own path.
#[derive(Debug)]
pub struct Redirect {
    to: Line,
    pub status: StatusCode,
}

impl Redirect {
    pub(super) fn compile(written: &action::Redirect, build: &mut Build<'_>) -> Option<Redirect> {
        let status = match written.status.as_ref().map(|s| (s.at, s.value.0)) {
            None => Some(StatusCode::FOUND),
            Some((_, status)) if [301, 302, 303, 307, 308].contains(&status.as_u16()) => Some(status),
            Some((at, status)) => {
                build.problems.push(Problem::new(
                    at,
                    format!("{} is no redirect: write 301, 302, 303, 307 or 308", status.as_u16()),
                ));
                None
            }
        };
        let to = own_path(&written.to, build);
        Some(Redirect { to: to?, status: status? })
    }

    /// The value of `Location`.
    ///
    /// # Errors
    /// A value that the template needs and the request lacks.
    pub fn location(&self, with: &Filling<'_>) -> Result<HeaderValue, Missing> {
        location(&self.to, with)
    }
}

/// A template that can only be a path of ours: it begins with one slash.
pub(crate) fn own_path(text: &Placed<String>, build: &mut Build<'_>) -> Option<Line> {
    if !text.value.starts_with('/') || text.value.starts_with("//") {
        build.problems.push(Problem::new(
            text.at,
            format!("a redirect goes to a path of ours, such as `/index.html`, found `{}`", text.value),
        ));
        return None;
    }
    line(text, Use::Path, build)
}

/// A value may be empty only in a rest, so `//host` could arise there alone: it is refused like any other missing value.
pub(crate) fn location(to: &Line, with: &Filling<'_>) -> Result<HeaderValue, Missing> {
    let mut text = String::with_capacity(64);
    to.fill(with, &mut text)?;
    if text.starts_with("//") {
        return Err(Missing::Value);
    }
    HeaderValue::from_str(&text).map_err(|_| Missing::Value)
}
