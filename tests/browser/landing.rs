//! The pages of who is not signed in: the landing page and its two forms, and what says that something is not there.

use crate::harness::{Redis, eventually};
use crate::journeys::sign_in;
use crate::looks;
use crate::world::{World, account};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_landing_page_says_what_is_missing_and_what_was_refused() {
    let world = World::start().await;
    let tab = world.browser().await;
    tab.go("/", "/").await;
    looks::at(&tab, "landing").await;
    looks::by_keyboard(&tab, "landing").await;
    tab.went_wrong("the landing page", &[]);

    tab.click("#login-form [type=submit]").await;
    tab.until("document.querySelectorAll('#login-form [aria-invalid=true]').length === 2").await;
    assert!(tab.text().await.contains("Falta este dato: correo electrónico."));
    tab.fill("#email", "lucia.mendoza@example.com").await;
    tab.fill("#password", "no es esta").await;
    tab.press("Enter").await;
    tab.until("document.querySelector('#login-form .form-message').innerText.startsWith('No se pudo iniciar sesión')")
        .await;
    looks::at(&tab, "landing-refused").await;
    tab.went_wrong("a refused sign-in", &["401 POST /api/web/auth/login"]);

    // The right password of another kind of account is no sign-in either, and is told in the same words.
    let patient = account("patient");
    tab.click("input[name=kind][value=doctor]").await;
    tab.fill("#password", patient.password).await;
    tab.press("Enter").await;
    tab.until("!document.querySelector('#login-form [type=submit]').disabled").await;
    tab.reads("No se pudo iniciar sesión.").await;
    tab.went_wrong("a sign-in as somebody else", &["403 POST /api/web/auth/doctor/login"]);
    for kind in ["patient", "doctor", "institution", "admin"] {
        let account = account(kind);
        tab.go("/", "/").await;
        tab.click(&format!("input[name=kind][value={kind}]")).await;
        sign_in(&tab, account.email, account.password, &format!("/{kind}/dashboard")).await;
        tab.click("#logout").await;
        tab.settled("/index.html").await;
    }
    tab.went_wrong("sign-ins by kind", &[]);
    tab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_to_us_learns_whether_it_arrived() {
    let world = World::start().await;
    let tab = world.browser().await;
    tab.go("/", "/").await;
    tab.fill("#c-name", "Graciela Peña").await;
    tab.fill("#c-email", "graciela@").await;
    tab.click("#contact-form [type=submit]").await;
    tab.reads("Escriba un correo como nombre@ejemplo.com.").await;
    tab.reads("Falta este dato: mensaje.").await;
    looks::at(&tab, "landing-contact-incomplete").await;
    tab.fill("#c-email", "graciela@example.com").await;
    tab.fill("#c-message", "¿Cómo registro mi clínica?").await;
    tab.click("#contact-form [type=submit]").await;
    tab.reads("Mensaje enviado exitosamente. Tiempo de respuesta estimado: 24 horas.").await;
    looks::at(&tab, "landing-contact-sent").await;
    tab.went_wrong("a message", &[]);
    let kept = std::fs::read_to_string(world.gateway.folder().join("contact.jsonl")).expect("messages are kept");
    assert!(kept.contains("¿Cómo registro mi clínica?") && kept.lines().count() == 1, "{kept}");

    // A page that lets too much through is told so by the gateway.
    tab.fill("#c-name", "Graciela Peña").await;
    tab.fill("#c-email", "graciela@example.com").await;
    tab.eval("document.querySelector('#c-message').value = 'a'.repeat(70000)").await;
    tab.click("#contact-form [type=submit]").await;
    tab.reads("La petición es demasiado grande").await;
    looks::at(&tab, "landing-contact-refused").await;
    tab.went_wrong("a message that is too long", &["413 POST /api/web/contact"]);
    tab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_and_what_is_down_are_pages_for_people() {
    let mut redis = Redis::start().await;
    let world = World::with(&format!("sessions: \"{}\"", redis.url())).await;
    let tab = world.browser().await;
    tab.go("/no/existe", "/no/existe").await;
    let text = tab.text().await;
    assert!(
        text.contains(" 404 ") && text.contains("Esta página no existe") && text.contains("indique esta referencia: "),
        "{text}"
    );
    looks::at(&tab, "404").await;
    looks::by_keyboard(&tab, "404").await;
    tab.went_wrong("a page that is not there", &["404 GET /no/existe"]);

    tab.go("/", "/").await;
    let patient = account("patient");
    sign_in(&tab, patient.email, patient.password, "/patient/dashboard").await;
    redis.kill().await;
    eventually("the cached session to end", async || {
        tab.go("/patient/profile", "/patient/profile").await;
        (tab.eval("document.querySelector('.lost-code')?.innerText").await == "503").then_some(())
    })
    .await;
    tab.forget();
    tab.go("/patient/profile", "/patient/profile").await;
    let text = tab.text().await;
    assert!(
        text.contains("El servicio de sesiones no está disponible") && text.contains("(store_unavailable)"),
        "{text}"
    );
    looks::at(&tab, "500").await;
    looks::by_keyboard(&tab, "500").await;
    tab.went_wrong("without the sessions", &["503 GET /patient/profile"]);
    tab.close().await;
}
