//! A patient's medical record, as the patient and its doctor see it, and the figures that the
//! dashboard shows.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::database;
use crate::problem::Problem;

/// What a patient said about itself and about how it lives; null when nothing was.
pub(crate) fn health_profile(connection: &Connection, patient: &str) -> Result<Value, Problem> {
    let sql = "SELECT height_cm, weight_kg, blood_type, is_smoker, smoking_years, consumes_alcohol,
                      alcohol_frequency, physical_activity_minutes_weekly, notes
               FROM health_answers WHERE patient_id = (SELECT id FROM patient_answers WHERE id = ?1)";
    Ok(database::row(connection, sql, [patient])?.into())
}

/// Adds the five parts of a medical record to an answer. Of a patient who is unknown or was deleted
/// they are empty, as in the real service.
pub(crate) fn add_record(connection: &Connection, patient: &str, answer: &mut Value) -> Result<(), Problem> {
    const PARTS: [(&str, &str); 4] = [
        ("conditions", "SELECT id, name, diagnosis_date, notes FROM conditions"),
        ("medications", "SELECT id, name, dosage, frequency, start_date FROM medications"),
        ("allergies", "SELECT id, name, severity, reaction_description FROM allergies"),
        ("family_history", "SELECT id, condition_name, relative_type, notes FROM family_history"),
    ];
    answer["health_profile"] = health_profile(connection, patient)?;
    for (part, select) in PARTS {
        let patient_is = "patient_id = (SELECT id FROM patient_answers WHERE id = ?1)";
        let sql = format!("{select} WHERE {patient_is} ORDER BY rowid");
        answer[part] = database::rows(connection, &sql, [patient])?.into();
    }
    Ok(())
}

/// What a patient sees first; nothing for one who is unknown.
pub(crate) fn dashboard(connection: &Connection, id: &str) -> Result<Option<Value>, Problem> {
    let sql = "SELECT p.first_name, p.last_name, p.date_of_birth, h.is_smoker, h.consumes_alcohol,
                      h.physical_activity_minutes_weekly, h.height_cm, h.weight_kg
               FROM patient_answers p LEFT JOIN health_profiles h ON h.patient_id = p.id
               WHERE p.id = ?1";
    let Some(patient) = database::row(connection, sql, [id])? else { return Ok(None) };
    let sql = "SELECT name, dosage, frequency FROM medications WHERE patient_id = ?1 ORDER BY rowid";
    let medications = database::rows(connection, sql, [id])?;
    let sql = "SELECT name FROM conditions WHERE patient_id = ?1 ORDER BY rowid";
    let conditions = database::rows(connection, sql, [id])?;
    let bmi = bmi(&patient);
    Ok(Some(json!({
        "health_score": health_score(&patient, conditions.len()),
        "age": patient["date_of_birth"].as_str().and_then(age),
        "bmi": bmi.map(|(bmi, _)| bmi),
        "bmi_classification": bmi.map(|(_, class)| class),
        "patient": patient,
        "medications": medications,
        "conditions": conditions,
        "appointments": [],
        "recent_activity": [],
    })))
}

/// How urgently somebody should look at a patient, from the health score: `high` below 60 points,
/// `medium` below 80, and `low` from there on. Nothing counts against a patient of whom nothing is
/// known, who is `low` as everybody is in the real service. No medical statement either.
pub(crate) fn risk_level(connection: &Connection, patient: &str) -> Result<&'static str, Problem> {
    let profile = health_profile(connection, patient)?;
    let sql = "SELECT count(*) FROM conditions WHERE patient_id = ?1";
    let conditions = usize::try_from(database::count(connection, sql, [patient])?).unwrap_or(usize::MAX);
    Ok(risk(health_score(&profile, conditions)))
}

fn risk(health_score: u32) -> &'static str {
    match health_score {
        ..60 => "high",
        60..80 => "medium",
        80.. => "low",
    }
}

/// Whole years since the birth.
fn age(date_of_birth: &str) -> Option<i16> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    age_on(today, date_of_birth.parse().ok()?)
}

fn age_on(today: Date, born: Date) -> Option<i16> {
    let had_birthday = (today.month(), today.day()) >= (born.month(), born.day());
    let years = today.year() - born.year() - i16::from(!had_birthday);
    (years >= 0).then_some(years)
}

/// The body mass index with two decimals, and the name of its class (WHO).
fn bmi(profile: &Value) -> Option<(f64, &'static str)> {
    let metres = profile["height_cm"].as_f64().filter(|height| *height > 0.0)? / 100.0;
    let bmi = (profile["weight_kg"].as_f64()? / (metres * metres) * 100.0).round() / 100.0;
    let class = match bmi {
        ..18.5 => "Bajo peso",
        ..25.0 => "Normal",
        ..30.0 => "Sobrepeso",
        _ => "Obesidad",
    };
    Some((bmi, class))
}

/// A score from 0 to 100 for the dashboard. It is invented for the demo and no medical statement.
fn health_score(profile: &Value, conditions: usize) -> u32 {
    let weight = match bmi(profile) {
        Some((_, "Normal")) | None => 0,
        Some((_, "Obesidad")) => 15,
        Some(_) => 8,
    };
    let smoking = if profile["is_smoker"] == json!(true) { 20 } else { 0 };
    let minutes = profile["physical_activity_minutes_weekly"].as_i64();
    let rest = if minutes.is_some_and(|minutes| minutes < 150) { 10 } else { 0 };
    let conditions = u32::try_from(conditions).unwrap_or(u32::MAX).saturating_mul(7);
    100_u32.saturating_sub(weight + smoking + rest).saturating_sub(conditions)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_year_of_age_counts_from_the_birthday_on() {
        let check = |today, born, expect| assert_eq!(age_on(today, born), expect, "{today} {born}");
        check(date(2025, 6, 14), date(1990, 6, 15), Some(34));
        check(date(2025, 6, 15), date(1990, 6, 15), Some(35));
        check(date(2025, 2, 28), date(2004, 2, 29), Some(20));
        check(date(2025, 6, 15), date(2025, 6, 16), None);
    }

    #[test]
    fn figures_are_null_without_what_they_need() {
        assert_eq!(bmi(&json!({ "height_cm": 170.0, "weight_kg": 70.0 })), Some((24.22, "Normal")));
        assert_eq!(bmi(&json!({ "height_cm": 170.0, "weight_kg": null })), None);
        assert_eq!(bmi(&Value::Null), None);
        assert_eq!(health_score(&Value::Null, 0), 100);
        assert_eq!([100, 80, 79, 60, 59, 0].map(risk), ["low", "low", "medium", "medium", "high", "high"]);
        assert_eq!(health_score(&json!({ "is_smoker": true }), 20), 0);
    }
}
