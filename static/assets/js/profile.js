// The patient's own data: who they are, and how they are reached.
import { $, capital, h, mail, or } from './dom.js';
import { call, data } from './api.js';
import { confirmed, empty, form, panel, password, rows, source, tag, toast } from './panel.js';

const BASE = '/api/web/patient';
const KINDS = { personal: 'Personal', work: 'Trabajo', home: 'Casa', mobile: 'Móvil', emergency: 'Emergencia', other: 'Otro' };
const profile = source(() => data(`${BASE}/profile`));

const edit = $('#info-form');
edit.elements.date_of_birth.max = new Date().toISOString().slice(0, 10);
panel('info', profile, ({ personal_info: info }) => {
  if (!info) return empty('Sin datos personales.');
  for (const key of ['first_name', 'last_name', 'date_of_birth']) edit.elements[key].value = info[key] ?? '';
  edit.hidden = false;
  return h('p', { class: 'hint' }, 'Correo principal: ', mail(info.primary_email));
});
form(edit, async (values) => {
  await call(`${BASE}/personal-info`, { method: 'PUT', body: values });
  return 'Sus datos se guardaron.';
});
password();

/** One kind of contact: its list with what can be done to each, and the dialog that adds one. */
function contacts({ key, one, kind, lines, none, noun, words }) {
  const path = (item) => `${BASE}/${key}/${encodeURIComponent(item.id)}`;
  const change = async (act, said) => {
    try {
      await act();
      toast(said);
      profile.again();
    } catch (error) {
      toast(error.message, 'bad');
    }
  };
  const remove = async (item) => {
    const [text] = lines(item);
    if (await confirmed(`Eliminar ${noun}`, `Se quitará ${text} de su perfil.`, 'Eliminar')) change(() => call(path(item), { method: 'DELETE' }), words.gone);
  };
  panel(key, profile, ({ [key]: items }) => rows(items, (item) => {
    const [text, more] = lines(item);
    const tell = (action) => `${action}: ${text}`;
    return [
      h('div', null, h('b', null, text), more && h('small', null, more),
        h('p', { class: 'tags' }, item.is_primary && tag('Principal', 'ok'), tag(item.is_verified ? 'Verificado' : 'Sin verificar', item.is_verified ? 'ok' : 'warn'), item[kind] && tag(KINDS[item[kind]] ?? capital(item[kind])))),
      !item.is_primary && h('div', { class: 'acts' },
        h('button', { type: 'button', class: 'button small', 'aria-label': tell('Hacer principal'), onclick: () => change(() => call(path(item), { method: 'PUT', body: { is_primary: true } }), words.first) }, 'Hacer principal'),
        h('button', { type: 'button', class: 'button danger small', 'aria-label': tell('Eliminar'), onclick: () => remove(item) }, 'Eliminar'))];
  }, none));
  form($(`#${one}-form`), async ({ is_primary: primary, ...values }) => {
    const said = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));
    await call(`${BASE}/${key}`, { method: 'POST', body: { ...said, is_primary: primary === 'on' } });
    $(`#new-${one}`).close();
    toast(words.added);
    profile.again();
  });
}

contacts({
  key: 'emails', one: 'email', kind: 'email_type', noun: 'correo', none: 'Sin correos registrados.', lines: (item) => [or(item.email_address)],
  words: { added: 'Se agregó el correo.', first: 'El correo es ahora el principal.', gone: 'Se eliminó el correo.' },
});
contacts({
  key: 'phones', one: 'phone', kind: 'phone_type', noun: 'teléfono', none: 'Sin teléfonos registrados.', lines: (item) => [or(item.phone_number)],
  words: { added: 'Se agregó el teléfono.', first: 'El teléfono es ahora el principal.', gone: 'Se eliminó el teléfono.' },
});
contacts({
  key: 'addresses', one: 'address', kind: 'address_type', noun: 'domicilio', none: 'Sin domicilios registrados.',
  lines: (item) => [or(item.street_address), [item.neighborhood, item.postal_code, item.city].filter(Boolean).join(', ')],
  words: { added: 'Se agregó el domicilio.', first: 'El domicilio es ahora el principal.', gone: 'Se eliminó el domicilio.' },
});
