//! Each kind of user: signs in by typing, sees real figures on every page they have, signs out, and is out.
//!
//! What must stand on a page is made of what the service behind it says, asked without the gateway.

use serde_json::Value;

use crate::looks;
use crate::tab::Tab;
use crate::world::{World, account};

/// A page: its address, and what the services say that must be read on it. `{user_id}`, `{reference_id}` and `{patient}` (the
/// first of a doctor's list) are filled in.
struct Page {
    path: &'static str,
    shows: &'static [(&'static str, fn(&Value) -> Vec<String>)],
}

const PATIENT: &[Page] = &[
    Page {
        path: "/patient/dashboard",
        shows: &[("patients /api/v1/patients/{user_id}/dashboard", |found| {
            let mut shown = vec![
                format!("Hola, {}", word(&found["patient"]["first_name"])),
                format!("{} de 100", number(&found["health_score"])),
                format!("{} años", number(&found["age"])),
                format!("{} kg", number(&found["patient"]["weight_kg"])),
                format!("{} · {}", number(&found["bmi"]), word(&found["bmi_classification"])),
            ];
            shown.extend(each(&found["medications"], |one| {
                format!("{} {} {}", word(&one["name"]), word(&one["frequency"]), word(&one["dosage"]))
            }));
            shown.extend(each(&found["conditions"], |one| word(&one["name"])));
            shown
        })],
    },
    Page { path: "/patient/medical-record", shows: &[("patients /api/v1/patients/{user_id}/medical-record", record)] },
    Page {
        path: "/patient/my-care-team",
        shows: &[("patients /api/v1/patients/{user_id}/care-team", |found| {
            let (doctor, institution) = (&found["doctor"], &found["institution"]);
            let mut shown = vec![person(doctor), format!("{} años", number(&doctor["years_experience"]))];
            shown.extend(
                [
                    &doctor["specialty"],
                    &doctor["email"],
                    &institution["name"],
                    &institution["email"],
                    &institution["phone"],
                ]
                .map(word),
            );
            shown
        })],
    },
    Page {
        path: "/patient/profile",
        shows: &[("patients /api/v1/patients/{user_id}/profile", |found| {
            let info = &found["personal_info"];
            let mut shown = [&info["first_name"], &info["last_name"], &info["date_of_birth"], &info["primary_email"]]
                .map(word)
                .to_vec();
            shown.extend(each(&found["emails"], |one| word(&one["email_address"])));
            shown.extend(each(&found["phones"], |one| word(&one["phone_number"])));
            shown.extend(each(&found["addresses"], |one| word(&one["street_address"])));
            shown
        })],
    },
];

const DOCTOR: &[Page] = &[
    Page {
        path: "/doctor/dashboard",
        shows: &[
            ("doctors /api/v1/doctors/me/dashboard", |found| {
                vec![
                    format!("Pacientes a su cargo {}", number(&found["total_patients"])),
                    format!("Citas de hoy {}", number(&found["today_appointments"])),
                ]
            }),
            ("doctors /api/v1/doctors/me/profile", |found| vec![format!("Buen día, {}", word(&found["first_name"]))]),
            ("doctors /api/v1/doctors/me/patients", |found| {
                each(&found["patients"], person).into_iter().take(5).collect()
            }),
        ],
    },
    Page {
        path: "/doctor/patients",
        shows: &[("doctors /api/v1/doctors/me/patients", |found| {
            let mut shown = vec![counted(&found["patients"], "paciente", "pacientes")];
            shown.extend(first(&found["patients"], person));
            shown.extend(first(&found["patients"], |one| word(&one["contact_email"])));
            shown
        })],
    },
    Page {
        path: "/doctor/patient-detail/{patient}",
        shows: &[("doctors /api/v1/doctors/me/patients/{patient}/medical-record", |found| {
            let mut shown = vec![person(&found["patient_info"]), word(&found["patient_info"]["contact_email"])];
            shown.extend(record(found));
            shown
        })],
    },
    Page {
        path: "/doctor/my-institution",
        shows: &[("doctors /api/v1/doctors/me/institution", |found| {
            let mut shown =
                [&found["name"], &found["license_number"], &found["email"], &found["phone"]].map(word).to_vec();
            shown.push(word(&found["address"]["city"]));
            shown
        })],
    },
    Page {
        path: "/doctor/profile",
        shows: &[("doctors /api/v1/doctors/me/profile", |found| {
            let mut shown = [&found["specialty_name"], &found["email"], &found["institution_name"]].map(word).to_vec();
            shown.extend([person(found), format!("{} años", number(&found["years_experience"]))]);
            shown
        })],
    },
];

const INSTITUTION: &[Page] = &[
    Page {
        path: "/institution/dashboard",
        shows: &[
            ("institutions /api/v1/institutions/doctors", |found| {
                let mut shown = vec![format!("Médicos {}", items(&found["doctors"]).len())];
                shown.extend(each(&found["doctors"], person).into_iter().take(5));
                shown
            }),
            ("institutions /api/v1/institutions/patients", |found| {
                let list = items(&found["patients"]);
                let verified = list.iter().filter(|one| one["is_verified"] == true).count();
                vec![
                    format!("Pacientes {}", list.len()),
                    format!("Pacientes verificados {verified}"),
                    "Nuevos este mes ".to_owned(),
                ]
            }),
        ],
    },
    Page {
        path: "/institution/doctors",
        shows: &[("institutions /api/v1/institutions/doctors", |found| {
            let mut shown = vec![counted(&found["doctors"], "médico", "médicos")];
            shown.extend(first(&found["doctors"], person));
            shown.extend(first(&found["doctors"], |one| word(&one["medical_license"])));
            shown.extend(first(&found["doctors"], |one| word(&one["specialty_name"])));
            shown
        })],
    },
    Page {
        path: "/institution/patients",
        shows: &[("institutions /api/v1/institutions/patients", |found| {
            let high = items(&found["patients"]).iter().filter(|one| one["risk_level"] == "high").count();
            let mut shown = vec![counted(&found["patients"], "paciente", "pacientes"), format!("Riesgo alto {high}")];
            shown.extend(first(&found["patients"], person));
            shown.extend(first(&found["patients"], |one| word(&one["doctor_name"])));
            shown
        })],
    },
    Page {
        path: "/institution/profile",
        shows: &[("institutions /api/v1/institutions/{reference_id}", |found| {
            [&found["name"], &found["license_number"], &found["contact_email"], &found["website"]].map(word).to_vec()
        })],
    },
];

const ADMIN: &[Page] = &[
    Page {
        path: "/admin/dashboard",
        shows: &[
            ("institutions /api/v1/institutions?limit=1000", |found| {
                let mut shown = vec![format!("Instituciones {}", items(found).len())];
                shown.extend(each(found, |one| word(&one["name"])).into_iter().take(5));
                shown
            }),
            ("doctors /api/v1/doctors?limit=1000", |found| vec![format!("Médicos {}", items(found).len())]),
            ("patients /api/v1/patients?limit=1000", |found| {
                let active = items(found).iter().filter(|one| one["is_active"] == true).count();
                vec![format!("Pacientes {}", items(found).len()), format!("Activos {active}")]
            }),
            ("admins /api/v1/admins/statistics", |found| {
                vec![format!("Administradores {}", number(&found["total_admins"]))]
            }),
        ],
    },
    Page {
        path: "/admin/institutions",
        shows: &[("institutions /api/v1/institutions?limit=1000", |found| {
            let mut shown = vec![counted(found, "institución", "instituciones")];
            shown.extend(first(found, |one| word(&one["name"])));
            shown.extend(first(found, |one| word(&one["license_number"])));
            shown
        })],
    },
    Page {
        path: "/admin/admins",
        shows: &[("admins /api/v1/admins/?limit=100", |found| {
            let mut shown = vec![counted(&found["admins"], "administrador", "administradores")];
            shown.extend(first(&found["admins"], person));
            shown.extend(first(&found["admins"], |one| word(&one["email"])));
            shown
        })],
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_sees_their_own_health_on_every_page() {
    journey("patient", PATIENT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_sees_their_patients_on_every_page() {
    journey("doctor", DOCTOR).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_institution_sees_its_doctors_and_patients_on_every_page() {
    journey("institution", INSTITUTION).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_sees_the_whole_platform_on_every_page() {
    journey("admin", ADMIN).await;
}

async fn journey(user_type: &str, pages: &[Page]) {
    let world = World::start().await;
    let tab = world.browser().await;
    let account = account(user_type);
    let caller = world.caller(account).await;
    let mut names = vec![("{user_id}", caller.user_id.clone()), ("{reference_id}", caller.reference_id.clone())];
    if user_type == "doctor" {
        let patients = world.ask(&caller, "doctors /api/v1/doctors/me/patients").await;
        names.push(("{patient}", word(&patients["patients"][0]["id"])));
    }
    let filled = |text: &str| names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));

    tab.go("/", "/").await;
    sign_in(&tab, account.email, account.password, &format!("/{user_type}/dashboard")).await;
    for page in pages {
        let path = filled(page.path);
        if page.path != pages[0].path {
            tab.click(&format!("a[href='{path}']")).await;
            tab.settled(&path).await;
        }
        let text = tab.text().await;
        for (service, shown) in page.shows {
            let said = world.ask(&caller, &filled(service)).await;
            let wanted = shown(&said);
            assert!(!wanted.is_empty(), "{path}: {service} says nothing: {said}");
            for wanted in wanted {
                assert!(
                    !wanted.is_empty() && text.contains(&format!(" {wanted}")),
                    "{path} does not show {wanted:?}: {text}"
                );
            }
        }
        let failed = tab
            .eval("[...document.querySelectorAll('.state.bad, #notices .notice')].map((one) => one.innerText)")
            .await;
        assert_eq!(failed, serde_json::json!([]), "{path}");
        let name = page.path.trim_start_matches('/').replace("/{patient}", "").replace('/', "-");
        looks::at(&tab, &name).await;
        looks::by_keyboard(&tab, &name).await;
        tab.went_wrong(&path, &[]);
    }

    tab.click("#logout").await;
    tab.settled("/index.html").await;
    tab.back("/index.html").await;
    tab.go(pages[0].path, "/index.html").await;
    assert!(tab.text().await.contains("Iniciar sesión"), "who is out is asked to sign in");
    tab.went_wrong("signed out", &[]);
    tab.close().await;
}

/// Types into the form of the landing page, and lets Enter send it.
pub(crate) async fn sign_in(tab: &Tab, email: &str, password: &str, to: &str) {
    tab.fill("#email", email).await;
    tab.fill("#password", password).await;
    tab.press("Enter").await;
    tab.settled(to).await;
}

fn record(found: &Value) -> Vec<String> {
    let mut shown = vec![format!("{} cm", number(&found["health_profile"]["height_cm"]))];
    for list in ["conditions", "medications", "allergies"] {
        shown.extend(each(&found[list], |one| word(&one["name"])));
    }
    shown.extend(each(&found["family_history"], |one| word(&one["condition_name"])));
    shown
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], |items| items.as_slice())
}

fn each(list: &Value, say: fn(&Value) -> String) -> Vec<String> {
    items(list).iter().map(say).collect()
}

/// Of what a list shows before anybody asks for more.
fn first(list: &Value, say: fn(&Value) -> String) -> Vec<String> {
    each(list, say).into_iter().take(25).collect()
}

fn counted(list: &Value, one: &str, many: &str) -> String {
    let count = items(list).len();
    format!("{count} {}", if count == 1 { one } else { many })
}

fn person(one: &Value) -> String {
    format!("{} {}", word(&one["first_name"]), word(&one["last_name"]))
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim_start_matches("https://").to_owned()
}

/// As people read it: at most two places, no final zeros.
fn number(value: &Value) -> String {
    let number = value.as_f64().unwrap_or(f64::NAN);
    format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}
