//! `roles`: is one of them among the caller's?

use hilum_filters::api::{Claims, Problem};

use crate::actions::Build;
use crate::config::auth;
use crate::identity::ClaimPath;

/// The roles of which a caller needs one.
#[derive(Debug)]
pub struct Roles {
    /// Where the token holds them.
    claim: ClaimPath,
    one_of: Box<[Box<str>]>,
}

impl Roles {
    /// Compiles `auth: { roles }`; `None` within: everybody's role is good enough.
    #[allow(clippy::option_option, reason = "outer: could be read; inner: whether roles are asked for")]
    pub(super) fn compile(auth: &auth::Auth, claim: Option<ClaimPath>, build: &mut Build<'_>) -> Option<Option<Roles>> {
        let Some(written) = &auth.roles else { return Some(None) };
        if written.value.is_empty() || written.value.iter().any(|role| role.value.is_empty()) {
            build.problems.push(Problem::new(written.at, "nobody has a role of no name: write `roles: [doctor]`"));
            return None;
        }
        let one_of = written.value.iter().map(|role| role.value.as_str().into()).collect();
        Some(Some(Roles { claim: claim.unwrap_or_else(usual), one_of }))
    }

    /// What they are called.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.one_of.iter().map(|role| &**role)
    }

    /// Whether the token names one of them: its claim is a list of texts, or one text, compared byte for byte.
    pub fn fit(&self, claims: &Claims) -> bool {
        let is_wanted =
            |role: &serde_json::Value| role.as_str().is_some_and(|role| self.one_of.iter().any(|w| **w == *role));
        match self.claim.get(claims) {
            Some(serde_json::Value::Array(roles)) => roles.iter().any(is_wanted),
            Some(role) => is_wanted(role),
            None => false,
        }
    }
}

fn usual() -> ClaimPath {
    "roles".parse().expect("a good path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_one_of_the_list() {
        for (claim, claims, expect) in [
            ("roles", r#"{"roles":["patient","doctor"]}"#, true),
            ("roles", r#"{"roles":"admin"}"#, true),
            ("roles", r#"{"roles":["Doctor"]}"#, false),
            ("roles", r#"{"roles":["doctor,x"]}"#, false),
            ("roles", r#"{"roles":"doctor,admin"}"#, false),
            ("roles", r#"{"roles":[["doctor"]]}"#, false),
            ("roles", r#"{"roles":{"doctor":true}}"#, false),
            ("roles", r#"{"roles":[]}"#, false),
            ("roles", r#"{"role":"doctor"}"#, false),
            ("realm_access.roles", r#"{"realm_access":{"roles":["doctor"]}}"#, true),
            ("realm_access.roles", r#"{"realm_access":{"roles":["patient"]},"roles":["doctor"]}"#, false),
            ("realm_access.roles", r#"{"realm_access.roles":["doctor"]}"#, false),
        ] {
            let one_of = Box::new(["doctor".into(), "admin".into()]);
            let roles = Roles { claim: claim.parse().unwrap(), one_of };
            assert_eq!(roles.fit(&serde_json::from_str(claims).unwrap()), expect, "{claim} {claims}");
        }
    }
}
