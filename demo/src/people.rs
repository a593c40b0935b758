//! Who is there from the start: what `people.json` says, with its types.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

const PEOPLE: &str = include_str!("people.json");

/// When something happened: on a day that is always the same, or so many whole hours before the
/// start of the demo, for what has to be recent.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Moment {
    Fixed(String),
    HoursAgo(u32),
}

/// Reads `people.json`.
pub(crate) fn read() -> serde_json::Result<People> {
    serde_json::from_str(PEOPLE)
}

impl Moment {
    /// The moment as the database keeps it, in a demo that starts `now`.
    pub(crate) fn text(&self, now: Timestamp) -> String {
        match self {
            Self::Fixed(moment) => moment.clone(),
            Self::HoursAgo(hours) => {
                let moment = now - SignedDuration::from_hours(i64::from(*hours));
                moment.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
            }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct People {
    pub(crate) institutions: Vec<Institution>,
    pub(crate) doctors: Vec<Doctor>,
    pub(crate) patients: Vec<Patient>,
    pub(crate) admins: Vec<Admin>,
}

/// Street, neighbourhood, city, region and postal code.
pub(crate) type Home = (String, String, String, i64, String);

#[derive(Deserialize)]
pub(crate) struct Institution {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) r#type: String,
    pub(crate) website: Option<String>,
    pub(crate) license: String,
    pub(crate) phone: String,
    pub(crate) verified: bool,
    pub(crate) home: Home,
}

#[derive(Deserialize)]
pub(crate) struct Doctor {
    pub(crate) slug: String,
    pub(crate) institution: String,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) license: String,
    pub(crate) specialty: String,
    pub(crate) years: i64,
    pub(crate) fee: Option<f64>,
    pub(crate) phone: String,
    pub(crate) active: bool,
}

#[derive(Deserialize)]
pub(crate) struct Patient {
    pub(crate) slug: String,
    pub(crate) doctor: String,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) born: String,
    pub(crate) sex: i64,
    pub(crate) gender: i64,
    pub(crate) emergency: Option<String>,
    pub(crate) verified: bool,
    pub(crate) home: Home,
    pub(crate) phone: String,
    pub(crate) created: Moment,
    pub(crate) last_login: Option<Moment>,
    pub(crate) health: Option<Health>,
    pub(crate) conditions: Vec<[Option<String>; 3]>,
    pub(crate) medications: Vec<[Option<String>; 4]>,
    pub(crate) allergies: Vec<[Option<String>; 3]>,
    pub(crate) family: Vec<[Option<String>; 3]>,
}

#[derive(Deserialize)]
pub(crate) struct Health {
    pub(crate) height_cm: f64,
    pub(crate) weight_kg: f64,
    pub(crate) blood_type_id: i64,
    pub(crate) is_smoker: bool,
    pub(crate) smoking_years: Option<i64>,
    pub(crate) consumes_alcohol: bool,
    pub(crate) alcohol_frequency: Option<String>,
    pub(crate) physical_activity_minutes_weekly: Option<i64>,
    pub(crate) notes: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Admin {
    pub(crate) slug: String,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) department: String,
    pub(crate) employee: String,
    pub(crate) phone: String,
    /// Unless it says otherwise, an admin is active.
    pub(crate) active: Option<bool>,
    pub(crate) last_login: Option<Moment>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_always_or_so_many_hours_before_the_start() {
        let now = "2026-03-01T06:00:00.5Z".parse().unwrap();
        let check = |written: &str, expect| {
            let moment: Moment = serde_json::from_str(written).unwrap();
            assert_eq!(moment.text(now), expect, "{written}");
        };
        check(r#""2025-01-14T09:30:00+00:00""#, "2025-01-14T09:30:00+00:00");
        check("0", "2026-03-01T06:00:00+00:00");
        check("30", "2026-02-28T00:00:00+00:00");
        assert!(serde_json::from_str::<Moment>("-1").is_err());
    }
}
