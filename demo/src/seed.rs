//! The people and institutions that are there from the start, all of them invented. `people.json`
//! says who they are; their ids are made from their names, so they are the same at every start. Only
//! what has to be recent (some sign-ups, and when people were last here) is counted back from it.

use std::collections::HashMap;

use anyhow::Context;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::accounts;
use crate::database::Database;
use crate::people::{self, Admin, Doctor, Health, Home, Institution, Moment, Patient};

/// What the ids of the seeded rows are derived from; any fixed UUID does.
const NAMESPACE: Uuid = Uuid::from_u128(0x5a3c_77d2_1f0e_4c8b_9b7a_2e64_d0c1_f395);

/// A seeded account that may be used to sign in.
pub struct Account {
    /// `patient`, `doctor`, `institution` or `admin`.
    pub user_type: &'static str,
    /// What it signs in with.
    pub email: &'static str,
    /// Known to everybody: the demo has nothing to hide.
    pub password: &'static str,
}

/// One account of each type. All accounts of a type have the same password.
pub const ACCOUNTS: [Account; 4] = [
    Account { user_type: "patient", email: "lucia.mendoza@example.com", password: "Paciente.2025" },
    Account { user_type: "doctor", email: "elena.fuentes@example.org", password: "Doctora.2025" },
    Account { user_type: "institution", email: "contacto@hospital-san-rafael.example.org", password: "Hospital.2025" },
    Account { user_type: "admin", email: "teresa.galindo@example.net", password: "Admin.2025" },
];

/// A doctor who was deleted: the password is right, the account is not active.
pub const INACTIVE: Account =
    Account { user_type: "doctor", email: "rosa.ibarra@example.org", password: "Doctora.2025" };

/// The one patient without an account, for a walk through `/users/create`.
const WITHOUT_ACCOUNT: &str = "nicolas.esparza";

/// Fills a new database.
pub(crate) fn fill(database: &Database) -> anyhow::Result<()> {
    let people = people::read().context("reading people.json")?;
    let mut hashes = HashMap::new();
    for account in &ACCOUNTS {
        // One hash for all accounts of a type: to make one for each would only slow the start.
        hashes.insert(account.user_type, accounts::hash_here(account.password)?);
    }
    let filled = database.run_here(|connection| {
        let seeding = Seeding { connection, hashes, now: Timestamp::now() };
        people.institutions.iter().try_for_each(|institution| seeding.institution(institution))?;
        people.doctors.iter().try_for_each(|doctor| seeding.doctor(doctor))?;
        people.patients.iter().try_for_each(|patient| seeding.patient(patient))?;
        people.admins.iter().try_for_each(|admin| seeding.admin(admin))?;
        Ok(())
    });
    filled.map_err(|problem| anyhow::anyhow!("filling the database: {problem:?}"))
}

struct Seeding<'a> {
    connection: &'a Connection,
    hashes: HashMap<&'static str, String>,
    now: Timestamp,
}

impl Seeding<'_> {
    fn institution(&self, new: &Institution) -> rusqlite::Result<()> {
        let id = id("institution", &new.slug);
        self.connection.execute(
            "INSERT INTO institutions VALUES
             (?1, ?2, (SELECT id FROM institution_types WHERE code = ?3), ?4, ?5, TRUE, ?6)",
            params![id, new.name, new.r#type, new.website, new.license, new.verified],
        )?;
        let email = format!("contacto@{}.example.org", new.slug);
        self.reach(&id, &email, &new.phone, "work", new.verified)?;
        self.home(&id, &new.home, "work", new.verified)?;
        self.account(&id, &email, "institution", true, None)
    }

    fn doctor(&self, new: &Doctor) -> rusqlite::Result<()> {
        let specialty = id("specialty", &new.specialty);
        let sql = "INSERT INTO specialties VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.connection.execute(sql, params![specialty, new.specialty])?;

        let institution = id("institution", &new.institution);
        let id = id("doctor", &new.slug);
        let status = if new.active { "active" } else { "inactive" };
        self.connection.execute(
            "INSERT INTO doctors VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                id,
                institution,
                new.first,
                new.last,
                new.license,
                specialty,
                new.years,
                new.fee,
                new.active,
                status
            ],
        )?;
        let email = format!("{}@example.org", new.slug);
        self.reach(&id, &email, &new.phone, "work", true)?;
        self.account(&id, &email, "doctor", new.active, None)
    }

    fn patient(&self, new: &Patient) -> rusqlite::Result<()> {
        let doctor = id("doctor", &new.doctor);
        let id = id("patient", &new.slug);
        self.connection.execute(
            "INSERT INTO patients SELECT ?1, ?2, institution_id, ?3, ?4, ?5, ?6, ?7, ?8, TRUE, ?9, ?10
             FROM doctors WHERE id = ?2",
            params![
                id,
                doctor,
                new.first,
                new.last,
                new.born,
                new.sex,
                new.gender,
                new.emergency,
                new.verified,
                new.created.text(self.now)
            ],
        )?;
        if let Some(health) = &new.health {
            self.health(&id, health)?;
        }
        self.list("conditions", &id, &new.conditions)?;
        self.list("medications", &id, &new.medications)?;
        self.list("allergies", &id, &new.allergies)?;
        self.list("family_history", &id, &new.family)?;

        let email = format!("{}@example.com", new.slug);
        self.reach(&id, &email, &new.phone, "personal", new.verified)?;
        self.home(&id, &new.home, "home", new.verified)?;
        if new.slug == WITHOUT_ACCOUNT {
            return Ok(());
        }
        self.account(&id, &email, "patient", true, new.last_login.as_ref())
    }

    fn admin(&self, new: &Admin) -> rusqlite::Result<()> {
        let id = id("admin", &new.slug);
        let is_active = new.active.unwrap_or(true);
        self.connection.execute(
            "INSERT INTO admins (id, first_name, last_name, department, employee_id, phone, is_active)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![id, new.first, new.last, new.department, new.employee, new.phone, is_active],
        )?;
        self.account(&id, &format!("{}@example.net", new.slug), "admin", is_active, new.last_login.as_ref())
    }

    fn account(
        &self,
        id: &str,
        email: &str,
        user_type: &str,
        is_active: bool,
        last_login: Option<&Moment>,
    ) -> rusqlite::Result<()> {
        self.connection.execute(
            "INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5, TRUE, ?6)",
            params![
                id,
                email,
                self.hashes[user_type],
                user_type,
                is_active,
                last_login.map(|moment| moment.text(self.now))
            ],
        )?;
        Ok(())
    }

    fn health(&self, patient: &str, new: &Health) -> rusqlite::Result<()> {
        self.connection.execute(
            "INSERT INTO health_profiles VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                patient,
                new.height_cm,
                new.weight_kg,
                new.blood_type_id,
                new.is_smoker,
                new.smoking_years,
                new.consumes_alcohol,
                new.alcohol_frequency,
                new.physical_activity_minutes_weekly,
                new.notes
            ],
        )?;
        Ok(())
    }

    /// The entries of one part of a medical record: an id, the patient, and the entry's own columns.
    fn list<const N: usize>(
        &self,
        table: &str,
        patient: &str,
        entries: &[[Option<String>; N]],
    ) -> rusqlite::Result<()> {
        let marks = ", ?".repeat(N);
        let sql = format!("INSERT INTO {table} VALUES (?, ?{marks})");
        for (at, entry) in entries.iter().enumerate() {
            let id = id(table, &format!("{patient}/{at}"));
            let own = entry.iter().map(Option::as_deref);
            let row = [Some(id.as_str()), Some(patient)].into_iter().chain(own);
            self.connection.execute(&sql, rusqlite::params_from_iter(row))?;
        }
        Ok(())
    }

    fn reach(&self, owner: &str, email: &str, phone: &str, kind: &str, verified: bool) -> rusqlite::Result<()> {
        let sql = "INSERT INTO emails VALUES (?1, ?2, ?3, TRUE, ?4, ?5)";
        self.connection.execute(sql, params![id("email", email), owner, email, verified, kind])?;
        let kind = if kind == "work" { "work" } else { "mobile" };
        let sql = "INSERT INTO phones VALUES (?1, ?2, ?3, TRUE, ?4, ?5)";
        self.connection.execute(sql, params![id("phone", phone), owner, phone, verified, kind])?;
        Ok(())
    }

    fn home(&self, owner: &str, home: &Home, kind: &str, verified: bool) -> rusqlite::Result<()> {
        let (street, neighborhood, city, region, postal_code) = home;
        self.connection.execute(
            "INSERT INTO addresses VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, TRUE, ?9)",
            params![id("address", owner), owner, street, neighborhood, city, region, postal_code, kind, verified],
        )?;
        Ok(())
    }
}

/// The id of a seeded row: `kind` is `patient`, `doctor`, `institution` or `admin`, and `name` what
/// `people.json` calls its slug.
pub fn id(kind: &str, name: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{kind}/{name}").as_bytes()).to_string()
}
