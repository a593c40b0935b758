//! `own`: whose is what the path names? Decided by the caller's claims alone.

use hilum_filters::api::{Claims, Problem};

use crate::actions::Build;
use crate::config::auth;
use crate::identity::ClaimPath;
use crate::identity::claims::scalar_text;
use crate::identity::rules::ClaimRules;
use crate::template::decoded;

/// One way of being allowed.
#[derive(Debug)]
pub struct Owner {
    /// Which callers it is about.
    claims: ClaimRules,
    /// The place of the path's parameter, and the claim that must be equal to it; `None`: all such callers may.
    equal: Option<(usize, ClaimPath)>,
}

impl Owner {
    /// Compiles one entry; every problem is pushed.
    pub(super) fn compile(written: &auth::Owner, at: hilum_filters::api::At, build: &mut Build<'_>) -> Option<Owner> {
        let claims = ClaimRules::compile(&written.claims, build.problems);
        let equal = match (&written.param, &written.claim) {
            (Some(param), Some(claim)) => {
                let Some(place) = build.path.params().position(|name| name == param.value) else {
                    let text = format!("the path has no `{{{}}}`", param.value);
                    build.problems.push(Problem::new(param.at, text).help("name a parameter of the route's path"));
                    return None;
                };
                Some((place, claim.value.clone()))
            }
            (None, None) if !written.claims.0.is_empty() => None,
            (param, claim) => {
                let at = param.as_ref().map(|p| p.at).or(claim.as_ref().map(|c| c.at)).unwrap_or(at);
                let text = "an owner is known by a `param` of the path and the `claim` that must be equal to it";
                build
                    .problems
                    .push(Problem::new(at, text).help("write both, or `claims` alone for callers who may all"));
                return None;
            }
        };
        Some(Owner { claims, equal })
    }

    /// Whether the caller is one of these. `params` are as they stand in the canonical path. An absent claim, a list or an object is
    /// equal to nothing, and nothing is an empty text's own.
    pub fn fits(&self, claims: &Claims, params: &[&str]) -> bool {
        self.claims.fit(claims)
            && self.equal.as_ref().is_none_or(|(place, claim)| {
                let own = claim.get(claims).filter(|value| !value.is_boolean()).and_then(scalar_text);
                match (own, params.get(*place)) {
                    (Some(own), Some(param)) => !own.is_empty() && own == decoded(param),
                    _ => false,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(place: usize, claim: &str) -> Owner {
        Owner { claims: ClaimRules::default(), equal: Some((place, claim.parse().unwrap())) }
    }

    fn check(claims: &str, param: &str, expect: bool) {
        let claims = serde_json::from_str(claims).unwrap();
        assert_eq!(owner(1, "m.id").fits(&claims, &["other", param]), expect, "{claims:?} {param}");
    }

    #[test]
    fn an_owner_is_equal_byte_for_byte() {
        check(r#"{"m":{"id":"7"}}"#, "7", true);
        check(r#"{"m":{"id":7}}"#, "7", true);
        check(r#"{"m":{"id":"7"}}"#, "07", false);
        check(r#"{"m":{"id":"7"}}"#, "8", false);
        check(r#"{"m":{"id":"a b"}}"#, "a%20b", true);
        check(r#"{"m":{"id":"AB"}}"#, "ab", false);
        check(r#"{"m":{"id":"\u00e9"}}"#, "%C3%A9", true);
        check(r#"{"m":{"id":"e\u0301"}}"#, "%C3%A9", false);
        for nobody in [
            r#"{"m":{"id":["7"]}}"#,
            r#"{"m":{"id":{"7":7}}}"#,
            r#"{"m":{"id":null}}"#,
            r#"{"m":{}}"#,
            r#"{"id":"7"}"#,
            "{}",
        ] {
            check(nobody, "7", false);
        }
        check(r#"{"m":{"id":""}}"#, "", false);
        check(r#"{"m":{"id":true}}"#, "true", false);
        let claims = serde_json::from_str(r#"{"m":{"id":"7"}}"#).unwrap();
        assert!(!owner(2, "m.id").fits(&claims, &["7", "7"]), "no such parameter");
    }
}
