//! What claims must be for a route or a sign-in: compared byte for byte, numbers as decimal text.

use hilum_filters::api::{Claims, Entries, Kind, Node, Problem};

use super::claims::{ClaimPath, as_text};

/// Every claim must have one of its values.
#[derive(Debug, Default)]
pub struct ClaimRules(Box<[(ClaimPath, Box<[String]>)]>);

impl ClaimRules {
    /// Compiles `claims: { user_type: patient, level: [1, 2] }`.
    pub fn compile(written: &Entries<Node>, problems: &mut Vec<Problem>) -> ClaimRules {
        let mut rules = Vec::new();
        for (key, node) in &written.0 {
            let path = key.value.parse::<ClaimPath>().map_err(|why| problems.push(Problem::new(key.at, why)));
            let values = values(node, problems);
            if let (Ok(path), Some(values)) = (path, values) {
                rules.push((path, values));
            }
        }
        ClaimRules(rules.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each claim with the values of which it must have one.
    pub fn iter(&self) -> impl Iterator<Item = (&ClaimPath, &[String])> {
        self.0.iter().map(|(path, values)| (path, &**values))
    }

    /// Whether the claims are as the rules want them. An absent claim, a list or an object fits nothing.
    pub fn fit(&self, claims: &Claims) -> bool {
        self.0.iter().all(|(path, values)| {
            let value = path.get(claims).filter(|v| v.is_string() || v.is_number() || v.is_boolean());
            value.and_then(as_text).is_some_and(|text| values.iter().any(|v| *v == text))
        })
    }
}

/// `user_type=patient level=1|2`
impl std::fmt::Display for ClaimRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (path, values)) in self.0.iter().enumerate() {
            let space = if at > 0 { " " } else { "" };
            write!(f, "{space}{path}={}", values.join("|"))?;
        }
        Ok(())
    }
}

fn values(node: &Node, problems: &mut Vec<Problem>) -> Option<Box<[String]>> {
    let scalar = |node: &Node| match &node.kind {
        Kind::Scalar { text, .. } if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let values: Option<Vec<String>> = match &node.kind {
        Kind::List(items) if !items.is_empty() => items.iter().map(scalar).collect(),
        _ => scalar(node).map(|text| vec![text]),
    };
    if values.is_none() {
        problems.push(Problem::new(node.at, "expected the value that the claim must have, or a list of values"));
    }
    values.map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    #[test]
    fn claims_fit_byte_for_byte() {
        let cases = [
            ("{ user_type: patient }", r#"{ "user_type": "patient" }"#, true),
            ("{ user_type: patient }", r#"{ "user_type": "Patient" }"#, false),
            ("{ user_type: patient }", r#"{ "user_type": ["patient"] }"#, false),
            ("{ user_type: patient }", r#"{ "user_type": null }"#, false),
            ("{ user_type: patient }", "{}", false),
            ("{ user_type: [doctor, patient] }", r#"{ "user_type": "patient" }"#, true),
            ("{ level: 7 }", r#"{ "level": 7 }"#, true),
            ("{ level: 7 }", r#"{ "level": 7.0 }"#, false),
            ("{ m.ref: a, user_type: patient }", r#"{ "user_type": "patient", "m": { "ref": "a" } }"#, true),
            ("{ m.ref: a, user_type: patient }", r#"{ "user_type": "patient", "m": { "ref": "b" } }"#, false),
            ("{ on: true }", r#"{ "on": true }"#, true),
        ];
        for (rules, claims, fits) in cases {
            let mut problems = Vec::new();
            let written: Entries<Node> = yaml::parse(rules).unwrap().read(&mut problems).unwrap();
            let rules_read = ClaimRules::compile(&written, &mut problems);
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(rules_read.fit(&serde_json::from_str(claims).unwrap()), fits, "{rules} {claims}");
        }
    }
}
