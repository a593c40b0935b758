//! What people change by the forms of their pages, seen again on the page and at the service behind it.

use serde_json::Value;

use crate::journeys::sign_in;
use crate::looks;
use crate::tab::Tab;
use crate::world::{Caller, World, account};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_changes_their_own_data_and_password() {
    let (world, tab, caller) = signed_in("patient", "/patient/profile").await;
    tab.fill("#last", "Mendoza de la Torre").await;
    tab.click("#info-form [type=submit]").await;
    tab.reads("Sus datos se guardaron.").await;

    add(&tab, "new-email", &[("#email-text", "sin arroba")], "Escriba un correo como").await;
    looks::at(&tab, "patient-profile-email").await;
    looks::by_keyboard(&tab, "patient-profile-email").await;
    tab.fill("#email-text", "lucia@trabajo.example").await;
    tab.choose("#email-kind", "Trabajo").await;
    tab.click("#email-form [type=submit]").await;
    tab.reads("Se agregó el correo.").await;
    add(&tab, "new-phone", &[("#phone-text", "+52 81 5550 9999")], "Se agregó el teléfono.").await;
    let street = [("#street", "Calle Nueva 5"), ("#quarter", "Centro"), ("#zip", "64000"), ("#city", "Monterrey")];
    add(&tab, "new-address", &street, "Se agregó el domicilio.").await;
    tab.settled("/patient/profile").await;
    looks::at(&tab, "patient-profile-more").await;

    tab.click("[aria-label='Hacer principal: +52 81 5550 9999']").await;
    tab.reads("El teléfono es ahora el principal.").await;
    tab.settled("/patient/profile").await;
    tab.click("[aria-label='Eliminar: lucia@trabajo.example']").await;
    tab.reads("Se quitará lucia@trabajo.example de su perfil.").await;
    looks::at(&tab, "patient-profile-confirm").await;
    tab.click("dialog[open] button[value=yes]").await;
    tab.reads("Se eliminó el correo.").await;
    tab.settled("/patient/profile").await;
    tab.went_wrong("the profile", &[]);

    let profile = world.ask(&caller, &format!("patients /api/v1/patients/{}/profile", caller.user_id)).await;
    assert_eq!(profile["personal_info"]["last_name"], "Mendoza de la Torre");
    assert_eq!(profile["emails"].as_array().map(Vec::len), Some(1), "{profile}");
    let primary = |list: &Value, field: &str| {
        let found = list.as_array().into_iter().flatten().find(|one| one["is_primary"] == true);
        found.map(|one| one[field].clone())
    };
    assert_eq!(primary(&profile["phones"], "phone_number"), Some("+52 81 5550 9999".into()));
    assert_eq!(profile["addresses"][1]["street_address"], "Calle Nueva 5");

    let new = "Otra.Clave.2026";
    for (current, again, said, wrong) in [
        ("no es esta", new, "La contraseña actual es incorrecta.", &["400 POST /api/web/auth/change-password"][..]),
        (account("patient").password, "Otra.Clave.2027", "Las contraseñas no coinciden.", &[]),
        (account("patient").password, new, "Su contraseña se cambió.", &[]),
    ] {
        tab.fill("#current", current).await;
        tab.fill("#new", new).await;
        tab.fill("#again", again).await;
        tab.click("#password-form [type=submit]").await;
        tab.until("!document.querySelector('#password-form [type=submit]').disabled").await;
        let text = tab.eval("document.querySelector('#password-form').innerText").await;
        assert!(text.as_str().is_some_and(|text| text.contains(said)), "{said}: {text}");
        tab.went_wrong(said, wrong);
    }
    tab.click("#logout").await;
    tab.settled("/index.html").await;
    sign_in(&tab, account("patient").email, new, "/patient/dashboard").await;
    tab.went_wrong("with the new password", &[]);
    tab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_changes_their_practice() {
    let (world, tab, caller) = signed_in("doctor", "/doctor/profile").await;
    tab.fill("#fee", "1050.5").await;
    tab.click("#practice-form [type=submit]").await;
    tab.reads("Sus datos se guardaron.").await;
    tab.reads("$1,050.50").await;
    let profile = world.ask(&caller, "doctors /api/v1/doctors/me/profile").await;
    assert_eq!(profile["consultation_fee"], 1050.5);
    tab.went_wrong("the practice", &[]);
    tab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_institution_adds_and_removes_a_doctor_and_changes_itself() {
    let (world, tab, caller) = signed_in("institution", "/institution/doctors").await;
    let mut doctor = vec![
        ("#nombre", "Aurora"),
        ("#apellido", "Quiroga Sáenz"),
        ("#email", "aurora.quiroga@example.org"),
        ("#licencia", "CED-9000001"),
        ("#password", "débil"),
        ("#confirm", "débil"),
    ];
    add(&tab, "new-doctor", &doctor, "Revise los datos marcados.").await;
    looks::at(&tab, "institution-doctors-new").await;
    looks::by_keyboard(&tab, "institution-doctors-new").await;
    tab.click("dialog[open] [data-close]").await;
    doctor.truncate(4);
    doctor.extend([("list #especialidad", "Cardiología"), ("#password", "Doctora.2026"), ("#confirm", "Doctora.2026")]);
    add(&tab, "new-doctor", &doctor, "Se agregó a Aurora Quiroga Sáenz.").await;
    tab.settled("/institution/doctors").await;
    let made = |found: &Value| {
        let list = found["doctors"].as_array().cloned().unwrap_or_default();
        list.into_iter().find(|one| one["first_name"] == "Aurora")
    };
    let found = made(&world.ask(&caller, "institutions /api/v1/institutions/doctors").await).expect("the new doctor");
    assert_eq!((&found["medical_license"], &found["specialty_name"]), (&"CED-9000001".into(), &"Cardiología".into()));

    tab.click("[aria-label='Dar de baja a Aurora Quiroga Sáenz']").await;
    tab.reads("ya no podrá iniciar sesión").await;
    looks::at(&tab, "institution-doctors-remove").await;
    looks::by_keyboard(&tab, "institution-doctors-remove").await;
    tab.click("dialog[open] button[value=yes]").await;
    tab.reads("Doctor eliminado exitosamente").await;
    tab.settled("/institution/doctors").await;
    let left = made(&world.ask(&caller, "institutions /api/v1/institutions/doctors").await);
    assert!(left.is_none(), "{left:?}");

    tab.click("nav a[href='/institution/profile']").await;
    tab.settled("/institution/profile").await;
    tab.fill("#name", "Hospital San Rafael Arcángel").await;
    tab.eval("document.querySelector('#site').value = ''").await;
    tab.click("#institution-form [type=submit]").await;
    tab.reads("Los datos se guardaron.").await;
    tab.settled("/institution/profile").await;
    let own = world.ask(&caller, &format!("institutions /api/v1/institutions/{}", caller.reference_id)).await;
    assert_eq!((&own["name"], &own["website"]), (&"Hospital San Rafael Arcángel".into(), &"".into()));
    assert!(!tab.text().await.contains(" hospital-san-rafael.example.org"), "the website is gone");
    tab.went_wrong("the institution", &[]);
    tab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_adds_an_institution_and_an_admin() {
    let (world, tab, caller) = signed_in("admin", "/admin/institutions").await;
    let institution = [
        ("#name", "Hospital del Valle Nuevo"),
        ("#license", "HOSP-NL-0999"),
        ("#mail", "contacto@valle-nuevo.example.org"),
        ("#phone", "+52 81 5550 0999"),
        ("#address", "Av. del Valle 9"),
        ("#password", "Hospital.2026"),
        ("#confirm", "Hospital.2026"),
    ];
    add(&tab, "new-institution", &institution, "Falta este dato: tipo.").await;
    looks::at(&tab, "admin-institutions-new").await;
    looks::by_keyboard(&tab, "admin-institutions-new").await;
    tab.choose("#kind", "Hospital").await;
    tab.click("#institution-form [type=submit]").await;
    tab.reads("Se agregó Hospital del Valle Nuevo.").await;
    tab.settled("/admin/institutions").await;
    assert!(tab.text().await.contains("HOSP-NL-0999"));
    add(&tab, "new-institution", &institution, "Falta este dato: tipo.").await;
    tab.choose("#kind", "Hospital").await;
    tab.click("#institution-form [type=submit]").await;
    tab.reads("El email ya está en uso.").await;
    tab.went_wrong("an institution that is there", &["409 POST /api/web/admin/institutions"]);
    let all = world.ask(&caller, "institutions /api/v1/institutions?limit=1000").await;
    let made = all.as_array().into_iter().flatten().find(|one| one["license_number"] == "HOSP-NL-0999");
    assert_eq!(made.map(|one| &one["institution_type_id"]), Some(&4.into()), "{all}");
    tab.click("dialog[open] [data-close]").await;

    tab.click("nav a[href='/admin/admins']").await;
    tab.settled("/admin/admins").await;
    let admin = [
        ("#first", "Irene"),
        ("#last", "Cavazos Mora"),
        ("#mail", "irene.cavazos@example.net"),
        ("#password", "Admin.2026"),
        ("#confirm", "Admin.2027"),
    ];
    add(&tab, "new-admin", &admin, "Las contraseñas no coinciden.").await;
    looks::at(&tab, "admin-admins-new").await;
    looks::by_keyboard(&tab, "admin-admins-new").await;
    tab.fill("#confirm", "Admin.2026").await;
    tab.click("#admin-form [type=submit]").await;
    tab.reads("Se agregó a Irene Cavazos Mora.").await;
    tab.settled("/admin/admins").await;
    assert!(tab.text().await.contains("irene.cavazos"));
    tab.went_wrong("admins", &[]);
    tab.close().await;
}

async fn signed_in(user_type: &str, page: &str) -> (World, Tab, Caller) {
    let world = World::start().await;
    let tab = world.browser().await;
    let account = account(user_type);
    let caller = world.caller(account).await;
    tab.go("/", "/").await;
    sign_in(&tab, account.email, account.password, &format!("/{user_type}/dashboard")).await;
    tab.go(page, page).await;
    (world, tab, caller)
}

/// Opens a dialog by its button, fills it, sends it, and waits for what is said.
async fn add(tab: &Tab, dialog: &str, fields: &[(&str, &str)], said: &str) {
    tab.until("!document.querySelector('[aria-busy]')").await;
    tab.click(&format!("[data-open={dialog}]")).await;
    tab.until(&format!("document.querySelector('#{dialog}').open")).await;
    for (field, text) in fields {
        match field.strip_prefix("list ") {
            Some(list) => tab.choose(list, text).await,
            None => tab.fill(field, text).await,
        }
    }
    tab.click(&format!("#{dialog} [type=submit]")).await;
    tab.reads(said).await;
}
