// The landing page: signing in and the contact form.
import { $ } from './dom.js';
import { call } from './api.js';
import { form } from './panel.js';

const TYPES = ['patient', 'doctor', 'institution', 'admin'];
const asked = new URLSearchParams(location.search);
const login = $('#login-form');

const home = (type) => {
  const next = sessionStorage.getItem('next');
  sessionStorage.removeItem('next');
  return next?.startsWith(`/${type}/`) ? next : `/${type}/dashboard`;
};

if (asked.has('expired')) {
  $('#login-hint').textContent = 'Su sesión terminó. Inicie sesión de nuevo para continuar.';
  $('#login-hint').hidden = false;
}
if (asked.has('show_login')) {
  $('#acceso').scrollIntoView();
  $('#email').focus({ preventScroll: true });
}
const signedIn = sessionStorage.getItem('type');
if (TYPES.includes(signedIn) && !asked.has('expired')) {
  $('#signed-in a').href = `/${signedIn}/dashboard`;
  $('#signed-in').hidden = false;
}

for (const link of document.querySelectorAll('[data-kind]')) {
  link.addEventListener('click', () => {
    $(`input[name=kind][value=${link.dataset.kind}]`).checked = true;
    $('#email').focus({ preventScroll: true });
  });
}

$('#reveal').addEventListener('click', ({ currentTarget: button }) => {
  const shown = $('#password').type === 'text';
  $('#password').type = shown ? 'password' : 'text';
  button.setAttribute('aria-pressed', String(!shown));
  button.textContent = shown ? 'Mostrar' : 'Ocultar';
});

form(login, async ({ kind, email, password }) => {
  const path = TYPES.includes(kind) ? `/api/web/auth/${kind}/login` : '/api/web/auth/login';
  const { data } = await call(path, { method: 'POST', body: { email, password }, stay: true }).catch((error) => {
    // What the gateway says to programs is not always Spanish, and tells no more than this.
    throw error.status === 401 || error.status === 403 ? new Error('No se pudo iniciar sesión. Revise el correo, la contraseña y el tipo de cuenta.') : error;
  });
  if (!TYPES.includes(data?.user_type)) throw new Error('Este tipo de cuenta no tiene páginas aquí.');
  sessionStorage.setItem('type', data.user_type);
  location.assign(home(data.user_type));
  return 'Entrando…';
});

form($('#contact-form'), async ({ name, email, phone, message }) => {
  const reply = await call('/api/web/contact', { method: 'POST', body: { name, email, phone, message, timestamp: Date.now() }, stay: true });
  $('#contact-form').reset();
  const when = reply.data?.estimated_response;
  return `${reply.message ?? 'Mensaje enviado'}.${when ? ` Tiempo de respuesta estimado: ${when}.` : ''}`;
});
