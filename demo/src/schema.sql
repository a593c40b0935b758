-- One database for the five services, as in the real stack. A column declared BOOLEAN becomes
-- true or false in an answer. The views are the shapes that the services answer with.

CREATE TABLE users (
    -- Also the id of the person or institution that the account stands for, as in the real data.
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password_hash TEXT NOT NULL,
    user_type     TEXT NOT NULL CHECK (user_type IN ('patient', 'doctor', 'institution', 'admin')),
    is_active     BOOLEAN NOT NULL DEFAULT TRUE,
    is_verified   BOOLEAN NOT NULL DEFAULT FALSE,
    last_login    TEXT
);

-- Only the digest is kept: who reads the table can renew nothing. A token works once.
CREATE TABLE refresh_tokens (
    digest     BLOB PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    expires_at INTEGER NOT NULL
);

CREATE TABLE institution_types (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE specialties (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE blood_types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE countries (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE regions (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    country_id INTEGER NOT NULL REFERENCES countries (id)
);

CREATE TABLE institutions (
    id                  TEXT PRIMARY KEY,
    name                TEXT NOT NULL,
    institution_type_id INTEGER NOT NULL REFERENCES institution_types (id),
    website             TEXT,
    license_number      TEXT NOT NULL UNIQUE,
    is_active           BOOLEAN NOT NULL DEFAULT TRUE,
    is_verified         BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE TABLE doctors (
    id                  TEXT PRIMARY KEY,
    institution_id      TEXT NOT NULL REFERENCES institutions (id),
    first_name          TEXT NOT NULL,
    last_name           TEXT NOT NULL,
    medical_license     TEXT NOT NULL UNIQUE,
    specialty_id        TEXT REFERENCES specialties (id),
    years_experience    INTEGER,
    consultation_fee    REAL,
    is_active           BOOLEAN NOT NULL DEFAULT TRUE,
    professional_status TEXT NOT NULL DEFAULT 'active'
);

CREATE TABLE patients (
    id                     TEXT PRIMARY KEY,
    doctor_id              TEXT NOT NULL REFERENCES doctors (id),
    institution_id         TEXT NOT NULL REFERENCES institutions (id),
    first_name             TEXT NOT NULL,
    last_name              TEXT NOT NULL,
    date_of_birth          TEXT NOT NULL,
    sex_id                 INTEGER,
    gender_id              INTEGER,
    emergency_contact_name TEXT,
    is_active              BOOLEAN NOT NULL DEFAULT TRUE,
    is_verified            BOOLEAN NOT NULL DEFAULT FALSE,
    created_at             TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now'))
);

CREATE TABLE admins (
    id          TEXT PRIMARY KEY,
    first_name  TEXT NOT NULL,
    last_name   TEXT NOT NULL,
    department  TEXT,
    employee_id TEXT,
    phone       TEXT,
    is_active   BOOLEAN NOT NULL DEFAULT TRUE,
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now')),
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now'))
);

CREATE TABLE audit_logs (
    id            INTEGER PRIMARY KEY,
    admin_id      TEXT NOT NULL,
    action        TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now'))
);

-- What patients, doctors and institutions have alike; `owner_id` is the id of one of them.
CREATE TABLE emails (
    id            TEXT PRIMARY KEY,
    owner_id      TEXT NOT NULL,
    email_address TEXT NOT NULL,
    is_primary    BOOLEAN NOT NULL DEFAULT TRUE,
    is_verified   BOOLEAN NOT NULL DEFAULT FALSE,
    email_type    TEXT NOT NULL DEFAULT 'personal'
);
CREATE TABLE phones (
    id           TEXT PRIMARY KEY,
    owner_id     TEXT NOT NULL,
    phone_number TEXT NOT NULL,
    is_primary   BOOLEAN NOT NULL DEFAULT TRUE,
    is_verified  BOOLEAN NOT NULL DEFAULT FALSE,
    phone_type   TEXT NOT NULL DEFAULT 'mobile'
);
CREATE TABLE addresses (
    id             TEXT PRIMARY KEY,
    owner_id       TEXT NOT NULL,
    street_address TEXT NOT NULL,
    neighborhood   TEXT,
    city           TEXT,
    region_id      INTEGER REFERENCES regions (id),
    country_id     INTEGER REFERENCES countries (id),
    postal_code    TEXT,
    address_type   TEXT NOT NULL DEFAULT 'home',
    is_primary     BOOLEAN NOT NULL DEFAULT TRUE,
    is_verified    BOOLEAN NOT NULL DEFAULT FALSE
);
-- Of each kind, nobody has more than one primary one.
CREATE UNIQUE INDEX one_primary_email ON emails (owner_id) WHERE is_primary;
CREATE UNIQUE INDEX one_primary_phone ON phones (owner_id) WHERE is_primary;
CREATE UNIQUE INDEX one_primary_address ON addresses (owner_id) WHERE is_primary;

CREATE TABLE health_profiles (
    patient_id                       TEXT PRIMARY KEY REFERENCES patients (id),
    height_cm                        REAL,
    weight_kg                        REAL,
    blood_type_id                    INTEGER REFERENCES blood_types (id),
    is_smoker                        BOOLEAN,
    smoking_years                    INTEGER,
    consumes_alcohol                 BOOLEAN,
    alcohol_frequency                TEXT,
    physical_activity_minutes_weekly INTEGER,
    notes                            TEXT
);
CREATE TABLE conditions (
    id             TEXT PRIMARY KEY,
    patient_id     TEXT NOT NULL REFERENCES patients (id),
    name           TEXT NOT NULL,
    diagnosis_date TEXT,
    notes          TEXT
);
CREATE TABLE medications (
    id         TEXT PRIMARY KEY,
    patient_id TEXT NOT NULL REFERENCES patients (id),
    name       TEXT NOT NULL,
    dosage     TEXT,
    frequency  TEXT,
    start_date TEXT
);
CREATE TABLE allergies (
    id                   TEXT PRIMARY KEY,
    patient_id           TEXT NOT NULL REFERENCES patients (id),
    name                 TEXT NOT NULL,
    severity             TEXT,
    reaction_description TEXT
);
CREATE TABLE family_history (
    id             TEXT PRIMARY KEY,
    patient_id     TEXT NOT NULL REFERENCES patients (id),
    condition_name TEXT NOT NULL,
    relative_type  TEXT,
    notes          TEXT
);

CREATE VIEW primary_emails AS SELECT owner_id, email_address FROM emails WHERE is_primary;
CREATE VIEW primary_phones AS SELECT owner_id, phone_number FROM phones WHERE is_primary;

-- Who was deleted is kept, and in no answer.
CREATE VIEW institution_answers AS
SELECT i.name, i.institution_type_id, i.website, i.license_number, i.id, i.is_active, i.is_verified,
       e.email_address AS contact_email
FROM institutions i LEFT JOIN primary_emails e ON e.owner_id = i.id
WHERE i.is_active;

CREATE VIEW doctor_answers AS
SELECT d.id, d.institution_id, d.first_name, d.last_name, d.medical_license, d.specialty_id,
       d.years_experience, d.consultation_fee, d.is_active, d.professional_status,
       e.email_address AS contact_email, s.name AS specialty_name
FROM doctors d
LEFT JOIN primary_emails e ON e.owner_id = d.id
LEFT JOIN specialties s ON s.id = d.specialty_id
WHERE d.is_active;

CREATE VIEW patient_answers AS
SELECT p.id, p.doctor_id, p.institution_id, p.first_name, p.last_name, p.date_of_birth, p.is_active,
       p.is_verified, p.emergency_contact_name, e.email_address AS contact_email, p.sex_id, p.gender_id
FROM patients p LEFT JOIN primary_emails e ON e.owner_id = p.id
WHERE p.is_active;

CREATE VIEW admin_answers AS
SELECT a.id, u.id AS user_id, u.email, a.first_name, a.last_name, a.department, a.employee_id,
       a.phone, a.is_active, u.last_login, a.created_at, a.updated_at
FROM admins a JOIN users u ON u.id = a.id;

CREATE VIEW health_answers AS
SELECT h.patient_id, h.height_cm, h.weight_kg, b.name AS blood_type, h.is_smoker, h.smoking_years,
       h.consumes_alcohol, h.alcohol_frequency, h.physical_activity_minutes_weekly, h.notes
FROM health_profiles h LEFT JOIN blood_types b ON b.id = h.blood_type_id;

INSERT INTO institution_types VALUES
    (1, 'preventive_clinic', 'Clínica preventiva'), (2, 'insurer', 'Aseguradora'),
    (3, 'public_health', 'Salud pública'), (4, 'hospital', 'Hospital'),
    (5, 'health_center', 'Centro de salud');
INSERT INTO blood_types VALUES
    (1, 'A+'), (2, 'A-'), (3, 'B+'), (4, 'B-'), (5, 'AB+'), (6, 'AB-'), (7, 'O+'), (8, 'O-');
INSERT INTO countries VALUES (1, 'México');
INSERT INTO regions VALUES
    (1, 'Nuevo León', 1), (2, 'Jalisco', 1), (3, 'Puebla', 1), (4, 'Querétaro', 1), (5, 'Yucatán', 1);
