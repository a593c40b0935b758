// Panels that load, fail and may be empty; tables and lists; forms, dialogs and short messages.
import { $, h, icon, plural } from './dom.js';
import { call } from './api.js';

/** One answer that several panels read: asked once, and again for all of them after a failure. */
export function source(load) {
  let answer;
  return { panels: [], get: () => (answer ??= load()), again() { answer = undefined; this.panels.forEach((draw) => draw()); } };
}

export function panel(key, from, render) {
  const box = $(`[data-panel="${key}"]`);
  if (!box) return;
  const draw = async () => {
    box.setAttribute('aria-busy', 'true');
    // What is there already stays until the new is: nothing jumps under a finger.
    if (!box.firstChild || $('.state.bad', box)) box.replaceChildren(h('p', { class: 'sr' }, 'Cargando…'), ...[1, 2, 3].map(() => h('div', { class: 'bone', 'aria-hidden': 'true' })));
    try {
      box.replaceChildren(...[render(await from.get())].flat(Infinity).filter(Boolean));
    } catch (error) {
      if (!('status' in error)) console.error(error);
      const said = 'status' in error ? error.message : 'Los datos recibidos no se pueden mostrar.';
      box.replaceChildren(h('div', { class: 'state bad', role: 'status' }, icon('alert'), h('p', null, said),
        h('button', { type: 'button', class: 'button small', onclick: () => from.again() }, 'Reintentar')));
    }
    box.removeAttribute('aria-busy');
  };
  from.panels.push(draw);
  draw();
}

export const empty = (text) => h('div', { class: 'state' }, icon('empty'), h('p', null, text));
export const tag = (text, tone = '') => h('span', { class: `tag ${tone}` }, text);
export const facts = (pairs) => h('dl', { class: 'list' }, pairs.map(([label, value, full]) =>
  h('div', full ? { class: 'full' } : null, h('dt', null, label), h('dd', null, value))));
export const rows = (items, draw, none) => (items?.length ? h('ul', { class: 'rows' }, items.map((item) => h('li', null, draw(item)))) : empty(none));

/** Columns are `{label, cell, num?, keep?, act?}`; the first is the head of its row. The caption is shown when it was `told`. */
export function table({ caption, told = false, columns, rows: items, none }) {
  if (!items.length) return empty(none);
  return h('table', { role: 'table' }, h('caption', null, told ? caption : h('span', { class: 'sr' }, caption)),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map((column) =>
      h('th', { scope: 'col', role: 'columnheader', class: column.num && 'num' }, column.act ? h('span', { class: 'sr' }, column.label) : column.label)))),
    h('tbody', { role: 'rowgroup' }, items.map((item) => h('tr', { role: 'row' }, columns.map((column, at) => (at === 0
      ? h('th', { scope: 'row', role: 'rowheader' }, column.cell(item))
      : h('td', { role: 'cell', class: ['act', 'num', 'keep'].find((kind) => column[kind]), 'data-label': column.act ? null : column.label }, column.cell(item))))))));
}

const plain = (text) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
const STEP = 25;

/** A table with a search field and, if wanted, a choice of filters `{label: test}`. */
export function listing({ caption, columns, rows: items, none, search, filters, words: [one, many] }) {
  if (!items.length) return empty(none);
  let shown = STEP;
  const field = h('input', { type: 'search', id: 'search', autocomplete: 'off', oninput: () => draw(STEP) });
  const choice = filters && h('select', { id: 'filter', onchange: () => draw(STEP) }, Object.keys(filters).map((label) => h('option', null, label)));
  const count = h('p', { class: 'hint count', role: 'status' });
  const body = h('div', { class: 'wide' });
  const found = items.map((item) => [plain(search(item)), item]);
  function draw(limit) {
    shown = limit;
    const wanted = plain(field.value).split(/\s+/);
    const test = (filters && filters[choice.value]) || (() => true);
    const left = found.filter(([text, item]) => test(item) && wanted.every((word) => text.includes(word))).map(([, item]) => item);
    count.textContent = plural(left.length, one, many);
    body.replaceChildren(table({ caption, columns, rows: left.slice(0, shown), none: 'Nada coincide con la búsqueda.' }));
    if (left.length > shown) body.append(h('p', { class: 'more' }, h('button', { type: 'button', class: 'button', onclick: () => draw(shown + STEP) }, 'Mostrar más')));
  }
  draw(STEP);
  return [h('div', { class: 'tools' },
    h('div', { class: 'field' }, h('label', { for: 'search' }, 'Buscar'), field),
    choice ? h('div', { class: 'field' }, h('label', { for: 'filter' }, 'Mostrar'), choice) : h('span'), count), body];
}

/** A figure that nobody measured is "no disponible", never zero. */
export function figures(list) {
  return h('dl', { class: 'figures' }, list.map(([label, value], at) => h('div', { class: `figure t${(at % 4) + 1}` },
    h('dt', null, label),
    value == null ? h('dd', { class: 'none' }, 'no disponible') : h('dd', null, typeof value === 'number' ? value.toLocaleString('es-MX', { maximumFractionDigits: 2 }) : String(value)))));
}

const SERVICES = {
  doctors: 'médicos', patients: 'pacientes', institutions: 'instituciones', admins: 'administradores', admin: 'administradores', auth: 'acceso',
  counts: 'recuentos', stats: 'estadísticas', statistics: 'estadísticas', institution: 'instituciones', doctor: 'médicos', patient: 'pacientes', sessions: 'sesiones',
};
export const service = (key) => SERVICES[key] ?? key;

/** Says once, above the panels, which services gave no figures. */
export function tellMissing(missing) {
  const names = [...new Set((Array.isArray(missing) ? missing : []).map(service))];
  $('#notices').replaceChildren(...(names.length
    ? [h('p', { class: 'notice' }, icon('alert'), `Datos parciales. No disponible por ahora: ${names.join(', ')}.`)] : []));
}

let fading;
export function toast(text, tone = 'ok') {
  $('#toast').replaceChildren(h('p', { class: `notice ${tone}` }, text));
  clearTimeout(fading);
  fading = setTimeout(() => $('#toast').replaceChildren(), 8000);
}

function complaint(input, form) {
  const label = input.labels?.[0]?.firstChild?.textContent.trim().toLowerCase() ?? 'este dato';
  const { validity, value } = input;
  if (validity.valueMissing || (input.required && !value.trim())) return `Falta este dato: ${label}.`;
  if (validity.typeMismatch) return input.type === 'email' ? 'Escriba un correo como nombre@ejemplo.com.' : 'Escriba una dirección completa, con https://.';
  if (input.type === 'tel' && value && !/^\+?[\d ()-]{7,30}$/.test(value.trim())) return 'Escriba un teléfono como +52 81 5550 1001.';
  if (validity.tooShort || (value && value.length < input.minLength)) return `Escriba al menos ${input.minLength} caracteres.`;
  if (validity.badInput || validity.stepMismatch) return 'Escriba un número válido.';
  if (validity.rangeUnderflow || validity.rangeOverflow) return input.type === 'date' ? 'La fecha no puede ser futura.' : `Escriba un número entre ${input.min} y ${input.max || 'más'}.`;
  if (input.type === 'email' && value && !/^[\w.%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$/.test(value)) return 'Escriba un correo como nombre@ejemplo.com.';
  if ('strong' in input.dataset && ![/[A-Z]/, /[a-z]/, /\d/, /[!@#$%^&*(),.?":{}|<>]/].every((rule) => rule.test(value))) return 'Faltan caracteres: vea la regla de abajo.';
  if (input.dataset.same && value !== form.elements[input.dataset.same].value) return 'Las contraseñas no coinciden.';
  return '';
}

function mark(input, text) {
  const id = `${input.id}-error`;
  $(`#${id}`)?.remove();
  const hint = (input.getAttribute('aria-describedby') ?? '').split(' ').filter((part) => part && part !== id);
  input.toggleAttribute('aria-invalid', false);
  if (text) {
    input.setAttribute('aria-invalid', 'true');
    input.closest('.field').append(h('p', { class: 'field-error', id }, text));
    hint.unshift(id);
  }
  if (hint.length) input.setAttribute('aria-describedby', hint.join(' '));
  else input.removeAttribute('aria-describedby');
}

/** Checks the fields, sends once at a time, and says how it went beside the button. */
export function form(node, send) {
  const message = $('.form-message', node);
  const tell = (text, tone) => { message.textContent = text; message.className = `form-message ${tone}`; };
  const fields = [...node.querySelectorAll('input:not([type=radio], [type=checkbox], [type=hidden]), select, textarea')];
  fields.forEach((input) => input.addEventListener('input', () => input.hasAttribute('aria-invalid') && mark(input, complaint(input, node))));
  node.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = $('[type=submit]', node);
    if (button.disabled) return;
    fields.forEach((input) => mark(input, complaint(input, node)));
    const wrong = fields.find((input) => input.hasAttribute('aria-invalid'));
    if (wrong) { tell('Revise los datos marcados.', 'bad'); wrong.focus(); return; }
    const values = Object.fromEntries([...new FormData(node)].map(([key, value]) => [key, /password/.test(key) ? value : value.trim()]));
    button.disabled = true;
    tell('Enviando…', '');
    try {
      tell((await send(values)) ?? '', 'ok');
    } catch (error) {
      tell(error.message, 'bad');
    }
    button.disabled = false;
  });
}

/** The form that changes the password, the same for everybody. */
export function password() {
  const node = $('#password-form');
  form(node, async ({ current_password, new_password }) => {
    await call('/api/web/auth/change-password', { method: 'POST', body: { current_password, new_password } });
    node.reset();
    return 'Su contraseña se cambió.';
  });
}

/** Buttons `data-open="id"` open a dialog, `data-close` inside it close it. */
export function dialogs() {
  for (const button of document.querySelectorAll('[data-open]')) {
    const box = document.getElementById(button.dataset.open);
    button.addEventListener('click', () => { $('form', box).reset(); box.showModal(); });
    $('[data-close]', box).addEventListener('click', () => box.close());
    box.addEventListener('close', () => {
      box.querySelectorAll('[aria-invalid]').forEach((input) => mark(input, ''));
      $('.form-message', box).textContent = '';
    });
  }
}

/** Asks before what can't be undone; the answer is yes only by its own button. */
export function confirmed(title, text, action) {
  return new Promise((resolve) => {
    const box = h('dialog', { 'aria-labelledby': 'ask-title', 'aria-describedby': 'ask-text', onclose: () => { box.remove(); resolve(box.returnValue === 'yes'); } },
      h('form', { class: 'form', method: 'dialog' }, h('h2', { id: 'ask-title' }, title), h('p', { id: 'ask-text' }, text),
        h('div', { class: 'buttons' }, h('button', { class: 'button', value: 'no', autofocus: true }, 'Cancelar'), h('button', { class: 'button danger', value: 'yes' }, action))));
    document.body.append(box);
    box.showModal();
  });
}

/** Web, mail and telephone as links; an address that is no http(s) one stays text. */
export function contacts({ email, phone, website, place }) {
  const site = URL.canParse(website ?? '') && /^https?:$/.test(new URL(website).protocol);
  const lines = [
    email && [icon('mail'), h('a', { href: `mailto:${email}` }, email)],
    phone && [icon('phone'), h('a', { href: `tel:${phone.replace(/[^+\d]/g, '')}` }, phone)],
    website && [icon('globe'), site ? h('a', { href: website, rel: 'noopener noreferrer', target: '_blank' }, new URL(website).host, h('span', { class: 'sr' }, ' (se abre en otra pestaña)')) : h('span', null, website)],
    place && [icon('pin'), h('span', null, place)],
  ].filter(Boolean);
  return lines.length ? h('ul', { class: 'links' }, lines.map((line) => h('li', null, line))) : h('p', { class: 'muted' }, 'Sin datos de contacto.');
}
