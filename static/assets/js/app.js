// What every page behind the sign-in has: its place in the sections, printing, and the way out.
import { $ } from './dom.js';
import { call, leave } from './api.js';
import { dialogs, toast } from './panel.js';

for (const link of document.querySelectorAll('.side a')) {
  const here = location.pathname === new URL(link.href).pathname;
  if (here || (link.dataset.also && location.pathname.startsWith(link.dataset.also))) link.setAttribute('aria-current', here ? 'page' : 'true');
}

$('#logout').addEventListener('click', async ({ currentTarget: button }) => {
  button.disabled = true;
  try {
    await call('/api/web/auth/logout', { method: 'POST', stay: true, accept: [401, 403] });
    leave('done');
  } catch (error) {
    // Still signed in: to say otherwise would leave the session open on a shared computer.
    toast(`La sesión sigue abierta. ${error.message}`, 'bad');
    button.disabled = false;
  }
});

// A page kept by the browser may show what belongs to a session that is over.
addEventListener('pageshow', (event) => event.persisted && location.reload());

$('[data-print]')?.addEventListener('click', () => print());
dialogs();
