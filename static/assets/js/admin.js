// The administrator's pages.
import { $, capital, day, h, mail, moment, name, number, or } from './dom.js';
import { call, data } from './api.js';
import { bars, donut } from './charts.js';
import { empty, facts, figures, form, listing, panel, rows, service, source, tag, tellMissing, toast } from './panel.js';

const KINDS = { 1: 'Clínica preventiva', 2: 'Aseguradora', 3: 'Salud pública', 4: 'Hospital', 5: 'Centro de salud' };
const IDS = { preventive_clinic: 1, insurer: 2, public_health: 3, hospital: 4, health_center: 5 };
const PAGE = 100;
const PAGES = 20;
/** All pages of a list, one after the other; `cut` when it goes on after the last that is asked for. */
async function everything(load) {
  const all = [];
  for (let page = 0; page < PAGES; page += 1) {
    const items = await load(page);
    all.push(...items);
    if (items.length < PAGE) return { all, cut: false };
  }
  return { all, cut: true };
}
const least = (cut) => cut && h('p', { class: 'notice' }, `Se muestran los primeros ${number(PAGE * PAGES)}; hay más.`);
/** The services answer with a bare list, older ones with the list under its name. */
const list = (found, key) => (Array.isArray(found) ? found : found?.[key] ?? []);

const pages = {
  'admin-dashboard'() {
    const said = [];
    const heard = (found) => { said.push(...(found.missing ?? [])); tellMissing(said); return found; };
    const stats = source(async () => heard(await data('/api/web/admin/statistics')));
    const board = source(async () => heard(await data('/api/web/admin/dashboard')));
    const gone = (found, part) => found.missing?.includes(part);
    /** A figure of a list that was cut at its limit is only a least one. */
    const cut = (found, part) => (found.at_least ?? found.statistics?.at_least)?.includes(part);
    const known = (found, part, value) => (gone(found, part) ? null : value != null && cut(found, part) ? `≥ ${number(value)}` : value);
    panel('figures', stats, (found) => {
      const all = found.overview ?? {};
      return figures([
        ['Instituciones', known(found, 'institutions', all.total_institutions)], ['Médicos', known(found, 'doctors', all.total_doctors)],
        ['Pacientes', known(found, 'patients', all.total_patients)], ['Administradores', known(found, 'admins', all.total_admins)]]);
    });
    panel('patients', stats, (found) => {
      const all = found.patients ?? {};
      if (gone(found, 'patients') || typeof all.total !== 'number') return empty('No disponible.');
      const more = [['Riesgo alto', all.high_risk], ['Nuevos este mes', all.new_this_month]].filter(([, value]) => value != null);
      return h('div', { class: 'chart' },
        all.total && typeof all.active === 'number' ? donut([['Activos', all.active], ['Inactivos', all.inactive ?? all.total - all.active]], 'pacientes') : empty('Aún no hay pacientes.'),
        cut(found, 'patients') && h('p', { class: 'hint' }, 'Son cifras mínimas: la lista está incompleta.'),
        more.length > 0 && facts(more.map(([label, value]) => [label, number(value)])));
    });
    panel('averages', stats, (found) => rows([
      ['Médicos por institución', gone(found, 'doctors') ? null : found.institutions?.avg_doctors_per_institution],
      ['Pacientes por institución', gone(found, 'patients') ? null : found.institutions?.avg_patients_per_institution],
      ['Pacientes por médico', gone(found, 'patients') || gone(found, 'doctors') ? null : found.doctors?.avg_patients_per_doctor],
    ], ([label, value]) => [h('span', null, label), value == null ? tag('no disponible', 'warn') : h('b', null, number(value))]));
    panel('services', source(() => call('/health/services', { accept: [503] })), (found) => rows(Object.entries(found.services ?? {}), ([key, state]) => [
      h('div', null, h('b', null, capital(service(key))), h('small', null, `${number(state.up)} de ${number(state.peers)} en marcha`)),
      state.status === 'healthy' ? tag('Disponible', 'ok') : tag('No disponible', 'bad')], 'No hay servicios que vigilar.'));
    const per = (part) => (found) => {
      if (gone(found, part) || gone(found, 'institutions')) return empty('No disponible.');
      const items = list(found[part], part);
      const counts = list(found.institutions, 'institutions').map((one) => [or(one.name), items.filter((item) => item.institution_id === one.id).length]);
      return counts.length ? [bars(counts.sort(([, a], [, b]) => b - a).slice(0, 10), { tone: part === 'doctors' ? 1 : 4 }),
        (cut(found, part) || cut(found, 'institutions')) && h('p', { class: 'hint more' }, 'Son cifras mínimas: la lista está incompleta.')] : empty('Aún no hay instituciones.');
    };
    panel('doctors', board, per('doctors'));
    panel('people', board, per('patients'));
  },

  'admin-institutions'() {
    const found = source(() => everything(async (page) => list((await call(`/api/web/admin/institutions?skip=${page * PAGE}&limit=${PAGE}`)).institutions, 'institutions')));
    panel('institutions', found, ({ all, cut }) => [least(cut), listing({
      caption: 'Instituciones de la plataforma', rows: all, none: 'Aún no hay instituciones.', words: ['institución', 'instituciones'],
      search: (row) => `${row.name ?? ''} ${row.contact_email ?? ''} ${row.license_number ?? ''}`,
      columns: [
        { label: 'Institución', cell: (row) => or(row.name) },
        { label: 'Tipo', cell: (row) => KINDS[row.institution_type_id] ?? or(row.institution_type) },
        { label: 'Licencia', keep: true, cell: (row) => or(row.license_number) },
        { label: 'Correo', cell: (row) => mail(row.contact_email) },
        { label: 'Verificación', cell: (row) => (row.is_verified ? tag('Verificada', 'ok') : tag('Sin verificar', 'warn')) },
      ],
    })]);
    form($('#institution-form'), async ({ confirm_password: _, institution_type: kind, website, ...values }) => {
      const body = { ...values, institution_type_id: IDS[kind], ...(website && { website }) };
      await call('/api/web/admin/institutions', { method: 'POST', body });
      $('#new-institution').close();
      toast(`Se agregó ${values.name}.`);
      found.again();
    });
  },

  'admin-admins'() {
    const found = source(() => everything(async (page) => list((await call(`/api/web/admin/admins?page=${page + 1}&limit=${PAGE}`)).admins, 'admins')));
    panel('admins', found, ({ all, cut }) => [least(cut), listing({
      caption: 'Administradores de la plataforma', rows: all, none: 'Aún no hay administradores.', words: ['administrador', 'administradores'],
      search: (row) => `${name(row)} ${row.email ?? ''} ${row.department ?? ''}`,
      columns: [
        { label: 'Nombre', cell: name },
        { label: 'Correo', cell: (row) => mail(row.email) },
        { label: 'Área', cell: (row) => or(row.department) },
        { label: 'Teléfono', keep: true, cell: (row) => or(row.phone) },
        { label: 'Último acceso', cell: (row) => (row.last_login ? moment(row.last_login) : 'Nunca') },
        { label: 'Desde', keep: true, cell: (row) => day(row.created_at) },
        { label: 'Estado', cell: (row) => tag(row.is_active ? 'Activo' : 'Inactivo', row.is_active ? 'ok' : '') },
      ],
    })]);
    form($('#admin-form'), async ({ confirm_password: _, phone, ...values }) => {
      await call('/api/web/admin/admins', { method: 'POST', body: phone ? { ...values, phone } : values });
      $('#new-admin').close();
      toast(`Se agregó a ${values.first_name} ${values.last_name}.`);
      found.again();
    });
  },
};

pages[document.body.dataset.page]?.();
