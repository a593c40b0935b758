//! `own`: whose is what the path names? Decided by the caller's claims, or by a service that is asked.

use hilum_filters::api::{At, Claims, Problem};

use super::ask::{Answers, Ask, Said, Unsaid, Yes};
use super::decide::Stop;
use crate::actions::Build;
use crate::config::auth;
use crate::identity::ClaimPath;
use crate::identity::claims::scalar_text;
use crate::identity::rules::ClaimRules;
use crate::refusal::Reason;
use crate::template::{Filling, decoded};

/// One way of being allowed.
#[derive(Debug)]
pub struct Owner {
    /// Which callers it is about.
    claims: ClaimRules,
    proof: Proof,
}

/// What makes one of these callers the owner.
#[derive(Debug)]
enum Proof {
    /// Nothing more: all such callers may.
    None,
    /// The place of the path's parameter, and the claim that must be equal to it.
    Equal(usize, ClaimPath),
    Ask(std::sync::Arc<Ask>),
}

impl Owner {
    /// Compiles one entry; every problem is pushed.
    pub(super) fn compile(written: &auth::Owner, at: At, build: &mut Build<'_>) -> Option<Owner> {
        let claims = ClaimRules::compile(&written.claims, build.problems);
        let proof = match (&written.param, &written.claim, &written.ask) {
            (Some(param), Some(claim), None) => {
                let Some(place) = build.path.params().position(|name| name == param.value) else {
                    let text = format!("the path has no `{{{}}}`", param.value);
                    build.problems.push(Problem::new(param.at, text).help("name a parameter of the route's path"));
                    return None;
                };
                Proof::Equal(place, claim.value.clone())
            }
            (None, None, Some(ask)) => Proof::Ask(Ask::compile(ask.value.0.as_ref()?, Yes::Success, build)?),
            (None, None, None) if !written.claims.0.is_empty() => Proof::None,
            (Some(_), _, Some(ask)) | (_, Some(_), Some(ask)) => {
                let text = "an owner is known by `param` and `claim`, or by `ask`: the entry has both";
                build.problems.push(Problem::new(ask.at, text).help("make it two entries"));
                return None;
            }
            (param, claim, None) => {
                let at = param.as_ref().map(|p| p.at).or(claim.as_ref().map(|c| c.at)).unwrap_or(at);
                let text = "an owner is known by a `param` of the path and the `claim` that must be equal to it";
                build
                    .problems
                    .push(Problem::new(at, text).help("write both, or `claims` alone for callers who may all"));
                return None;
            }
        };
        Some(Owner { claims, proof })
    }

    /// Which callers it is about.
    pub(super) fn claims(&self) -> &ClaimRules {
        &self.claims
    }

    /// The place of the parameter that must be equal to a claim, and the claim.
    pub(super) fn equal(&self) -> Option<(usize, &ClaimPath)> {
        match &self.proof {
            Proof::Equal(place, claim) => Some((*place, claim)),
            Proof::None | Proof::Ask(_) => None,
        }
    }

    /// Who is asked.
    pub(super) fn ask(&self) -> Option<&Ask> {
        match &self.proof {
            Proof::Ask(ask) => Some(ask),
            Proof::None | Proof::Equal(..) => None,
        }
    }

    /// Whether the caller is one of these, as far as claims say. `params` are as they stand in the canonical path. An absent claim, a
    /// list or an object is equal to nothing, and nothing is an empty text's own.
    fn fits(&self, claims: &Claims, params: &[&str]) -> bool {
        self.claims.fit(claims)
            && match &self.proof {
                Proof::None => true,
                Proof::Equal(place, claim) => {
                    let own = claim.get(claims).filter(|value| !value.is_boolean()).and_then(scalar_text);
                    match (own, params.get(*place)) {
                        (Some(own), Some(param)) => !own.is_empty() && own == decoded(param),
                        _ => false,
                    }
                }
                Proof::Ask(_) => false,
            }
    }
}

/// Whether the caller fits one entry. Who does by claims alone is not asked about, and the first yes is enough.
pub(super) fn check(owners: &[Owner], claims: &Claims, answers: &Answers, with: &Filling<'_>) -> Result<(), Stop> {
    if owners.is_empty() || owners.iter().any(|owner| owner.fits(claims, with.params)) {
        return Ok(());
    }
    let mut failed = false;
    for owner in owners.iter().filter(|owner| owner.claims.fit(claims)) {
        let Proof::Ask(ask) = &owner.proof else { continue };
        match ask.said(answers, with) {
            Ok(Said::Yes(_)) => return Ok(()),
            // Without what it would be asked by, the caller is not such an owner.
            Ok(Said::No) | Err(Unsaid::Missing(_)) => {}
            Ok(Said::Failed) => failed = true,
            Err(Unsaid::Ask(question)) => return Err(Stop::Ask(question)),
        }
    }
    // That nobody said yes is no refusal where somebody could not be asked.
    Err(if failed { Reason::AskFailed } else { Reason::NotOwner }.into())
}

#[cfg(test)]
mod tests {
    use super::super::ask::testkit;
    use super::*;

    fn owner(place: usize, claim: &str) -> Owner {
        Owner { claims: ClaimRules::default(), proof: Proof::Equal(place, claim.parse().unwrap()) }
    }

    fn check_equal(claims: &str, param: &str, expect: bool) {
        let claims = serde_json::from_str(claims).unwrap();
        assert_eq!(owner(1, "m.id").fits(&claims, &["other", param]), expect, "{claims:?} {param}");
    }

    #[test]
    fn an_owner_is_equal_byte_for_byte() {
        check_equal(r#"{"m":{"id":"7"}}"#, "7", true);
        check_equal(r#"{"m":{"id":7}}"#, "7", true);
        check_equal(r#"{"m":{"id":"7"}}"#, "07", false);
        check_equal(r#"{"m":{"id":"7"}}"#, "8", false);
        check_equal(r#"{"m":{"id":"a b"}}"#, "a%20b", true);
        check_equal(r#"{"m":{"id":"AB"}}"#, "ab", false);
        check_equal(r#"{"m":{"id":"\u00e9"}}"#, "%C3%A9", true);
        check_equal(r#"{"m":{"id":"e\u0301"}}"#, "%C3%A9", false);
        for nobody in [
            r#"{"m":{"id":["7"]}}"#,
            r#"{"m":{"id":{"7":7}}}"#,
            r#"{"m":{"id":null}}"#,
            r#"{"m":{}}"#,
            r#"{"id":"7"}"#,
            "{}",
        ] {
            check_equal(nobody, "7", false);
        }
        check_equal(r#"{"m":{"id":""}}"#, "", false);
        check_equal(r#"{"m":{"id":true}}"#, "true", false);
        let claims = serde_json::from_str(r#"{"m":{"id":"7"}}"#).unwrap();
        assert!(!owner(2, "m.id").fits(&claims, &["7", "7"]), "no such parameter");
    }

    /// `said`: one letter for each ask, in order: yes, no, failed, or `?` for not asked yet. `expect`: a reason, a question, or nothing.
    fn check_asks(claims: &str, said: &str, expect: &str) {
        let entry = |claims: &str, proof| {
            let mut problems = Vec::new();
            let written = crate::config::yaml::parse(claims).unwrap().read(&mut problems).unwrap();
            Owner { claims: ClaimRules::compile(&written, &mut problems), proof }
        };
        let asks = ["/one/{id}", "/two/{claims.team}"].map(|path| testkit::ask(path, Yes::Success, None));
        let owners = [
            entry("{ kind: doctor }", Proof::Ask(asks[0].clone())),
            entry("{ kind: doctor }", Proof::Ask(asks[1].clone())),
            entry("{}", Proof::Equal(0, "id".parse().unwrap())),
        ];
        let mut answers = Answers::default();
        for (ask, said) in asks.iter().zip(said.chars()) {
            match said {
                'y' => answers.note(ask.clone(), Said::Yes(true.into())),
                'n' => answers.note(ask.clone(), Said::No),
                'f' => answers.note(ask.clone(), Said::Failed),
                _ => {}
            }
        }
        let claims: Claims = serde_json::from_str(claims).unwrap();
        let with = Filling { params: &["7"], query: None, claims: Some(&claims) };
        let got = match check(&owners, &claims, &answers, &with) {
            Ok(()) => String::new(),
            Err(Stop::Refuse(reason, _)) => reason.name().to_owned(),
            Err(Stop::Ask(question)) => question.target,
        };
        assert_eq!(got, expect, "{claims:?} {said}");
    }

    #[test]
    fn the_first_yes_is_enough_and_an_outage_is_no_answer() {
        let doctor = r#"{"kind":"doctor","team":"t"}"#;
        for (said, expect) in [
            ("??", "/one/7"),
            ("y?", ""),
            ("n?", "/two/t"),
            ("f?", "/two/t"),
            ("ny", ""),
            ("fy", ""),
            ("nn", "not_owner"),
            ("nf", "ask_failed"),
            ("fn", "ask_failed"),
        ] {
            check_asks(doctor, said, expect);
        }
        // Nothing is asked that claims decide, and nobody is asked for whom the path can't be filled.
        check_asks(r#"{"kind":"doctor","team":"t","id":7}"#, "??", "");
        check_asks(r#"{"kind":"patient","id":"8"}"#, "??", "not_owner");
        check_asks(r#"{"kind":"doctor"}"#, "n?", "not_owner");
    }
}
