//! Who is let in to something, or in at all, leaves a record: what of the project's own routes declares `audit`, and what does not.

use serde_json::Value;

use super::{SECRET, hilum, root};

/// Routes that ask for a token, or are about one, and are not recorded; and why.
const UNRECORDED: &[(&str, &str)] =
    &[("page", "a page without anybody's data, which its script asks for at a route that is recorded")];

/// Changes that are done where they can't be recorded; and why.
const NOT_REQUIRED: &[(&str, &str)] = &[
    ("login", "nobody could sign in, and nobody be treated, because a disk is full"),
    ("login-patient", "the same"),
    ("login-doctor", "the same"),
    ("login-institution", "the same"),
    ("login-admin", "the same"),
    ("logout", "a session must end where somebody wants it to"),
];

fn routes() -> Vec<Value> {
    let ran = hilum(&root(), "routes --json", &[("JWT_SECRET_KEY", SECRET), ("HILUM_AUDIT_KEY", SECRET)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[test]
fn whatever_asks_for_a_token_or_gives_one_is_recorded() {
    let mut met = 0;
    for route in routes() {
        let is_session = route["action"] == "session" || route["group"] == "sign-in";
        let excused = UNRECORDED.iter().any(|(action, _)| route["action"] == *action);
        met += usize::from(excused && route["access"]["public"] == false);
        if (is_session || route["access"]["public"] == false) && !excused {
            assert!(route["audit"]["resource"].is_string(), "{} has no `audit`", route["name"]);
        }
    }
    assert!(met > 10, "the exception is not needed any more");
}

#[test]
fn what_changes_anything_is_not_done_unrecorded() {
    let mut met = Vec::new();
    let mut required = 0;
    for route in routes() {
        let changes = |method: &Value| ["POST", "PUT", "PATCH", "DELETE"].iter().any(|of| method == of);
        let methods = route["methods"].as_array().expect("a list");
        if route["audit"].is_null() {
            continue;
        }
        let name = route["name"].as_str().expect("a name");
        let is_required = route["audit"]["required"] == true;
        required += usize::from(is_required);
        match NOT_REQUIRED.iter().any(|(of, _)| *of == name) {
            true => met.push(name.to_owned()),
            false => assert_eq!(is_required, methods.is_empty() || methods.iter().any(changes), "{name}"),
        }
    }
    assert_eq!((met.len(), required), (NOT_REQUIRED.len(), 19), "{met:?}");
}

#[test]
fn whose_record_it_is_stands_in_the_log_whoever_reads_it() {
    let cases = [
        ("doctor-patient-record", "patient/{patient_id}/medical-record"),
        ("doctor-self-patient-record", "patient/{patient_id}/medical-record"),
        ("patient-record", "patient/{claims.user_id}/medical-record"),
        ("doctor-self-patients", "doctor/{claims.user_id}/patients"),
        ("doctor-self", "doctor/{claims.user_id}"),
        ("doctor-self-change", "doctor/{claims.user_id}"),
    ];
    let routes = routes();
    for (name, resource) in cases {
        let route = routes.iter().find(|route| route["name"] == name).unwrap_or_else(|| panic!("no route {name}"));
        assert_eq!(route["audit"]["resource"], resource, "{name}");
    }
    // A path that names a patient is about that patient.
    for route in routes.iter().filter(|route| route["path"].as_str().is_some_and(|path| path.contains("{patient_id}")))
    {
        let name = &route["name"];
        let resource = route["audit"]["resource"].as_str();
        assert!(resource.is_none_or(|resource| resource.starts_with("patient/{patient_id}")), "{name}");
    }
}
