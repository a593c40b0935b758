// The doctor's pages.
import { $, age, day, h, initials, mail, moment, money, name, or, plural, toDate } from './dom.js';
import { call, data } from './api.js';
import { columns as columnChart, donut } from './charts.js';
import { contacts, empty, facts, figures, form, listing, panel, password, source, table, tellMissing } from './panel.js';
import { record } from './record.js';

const open = (patient) => h('a', { href: `/doctor/patient-detail/${encodeURIComponent(patient.id)}` }, name(patient));
const COLUMNS = [
  { label: 'Paciente', cell: open },
  { label: 'Edad', cell: (row) => { const years = age(row.date_of_birth); return years == null ? '—' : plural(years, 'año', 'años'); } },
  { label: 'Correo', cell: (row) => mail(row.contact_email) },
  { label: 'Teléfono', keep: true, cell: (row) => or(row.contact_phone) },
  { label: 'Último acceso', cell: (row) => (row.last_login ? moment(row.last_login) : 'Nunca') },
];
const AGES = [['0–17', 18], ['18–29', 30], ['30–44', 45], ['45–59', 60], ['60–74', 75], ['75+', 200]];
const DAY = 86400000;

const pages = {
  'doctor-dashboard'() {
    const board = source(async () => {
      const found = await data('/api/web/doctor/dashboard');
      tellMissing(found.missing);
      return found;
    });
    const patients = source(() => data('/api/web/doctor/patients'));
    const hello = call('/api/v1/doctors/me/profile').then((profile) => { $('#hello').textContent = `Buen día, ${profile.first_name}`; });
    hello.catch(() => {}); // only the greeting is poorer for it
    panel('figures', board, (found) => figures([['Pacientes a su cargo', found.total_patients], ['Citas de hoy', found.today_appointments], ['Revisiones pendientes', found.pending_reviews]]));
    panel('ages', patients, ({ patients: list = [] }) => {
      const ages = list.map((patient) => age(patient.date_of_birth)).filter((years) => years != null);
      if (!ages.length) return empty('Aún no hay pacientes asignados.');
      return columnChart(AGES.map(([label, end], at) => [label, ages.filter((years) => years < end && years >= (at ? AGES[at - 1][1] : 0)).length]));
    });
    panel('seen', patients, ({ patients: list = [] }) => {
      if (!list.length) return empty('Aún no hay pacientes asignados.');
      const since = (patient) => (Date.now() - toDate(patient.last_login)) / DAY;
      const seen = list.filter((patient) => toDate(patient.last_login));
      return donut([['Última semana', seen.filter((one) => since(one) <= 7).length], ['Antes', seen.filter((one) => since(one) > 7).length], ['Nunca', list.length - seen.length]], list.length === 1 ? 'paciente' : 'pacientes');
    });
    panel('short', patients, ({ patients: list = [] }) => [
      table({ told: true, caption: list.length > 5 ? 'Los cinco primeros por apellido' : 'Por apellido', columns: COLUMNS, rows: list.slice(0, 5), none: 'Aún no hay pacientes asignados.' }),
      list.length > 5 && h('p', { class: 'more' }, h('a', { class: 'button', href: '/doctor/patients' }, `Ver los ${list.length}`))]);
  },

  'doctor-patients'() {
    panel('patients', source(() => data('/api/web/doctor/patients')), ({ patients: list = [] }) => listing({
      caption: 'Pacientes a su cargo', columns: COLUMNS, rows: list, none: 'Aún no hay pacientes asignados.', words: ['paciente', 'pacientes'],
      search: (row) => `${name(row)} ${row.contact_email ?? ''} ${row.contact_phone ?? ''}`,
    }));
  },

  'doctor-patient'() {
    const id = location.pathname.split('/').filter(Boolean).at(-1);
    record(source(async () => {
      const found = await data(`/api/web/doctor/patients/${id}/medical-record`);
      const info = found.patient_info ?? {};
      const years = age(info.date_of_birth);
      $('#hello').textContent = name(info) || 'Expediente del paciente';
      const bits = [years != null && plural(years, 'año', 'años'), info.date_of_birth && `Nacimiento: ${day(info.date_of_birth)}`, info.contact_email, info.contact_phone];
      $('#contact').replaceChildren(...bits.filter(Boolean).flatMap((bit, at) => [at ? ' · ' : '', h('span', null, bit)]));
      return found;
    }));
  },

  'doctor-institution'() {
    panel('institution', source(() => call('/api/v1/doctors/me/institution')), (found) => {
      const at = found.address ?? {};
      const place = [at.street_address, at.postal_code, at.city, at.region_name, at.country_name].filter(Boolean).join(', ');
      return [h('div', { class: 'person' }, h('span', { class: 'avatar', 'aria-hidden': 'true' }, initials(or(found.name))), h('div', null, h('h2', null, or(found.name)), h('p', { class: 'muted' }, or(found.type)))),
        contacts({ ...found, place }), facts([['Número de licencia', or(found.license_number)]])];
    });
  },

  'doctor-profile'() {
    password();
    const edit = $('#practice-form');
    const profile = source(() => call('/api/v1/doctors/me/profile'));
    panel('card', profile, (found) => {
      edit.elements.years_experience.value = found.years_experience ?? '';
      edit.elements.consultation_fee.value = found.consultation_fee ?? '';
      return [h('div', { class: 'person' }, h('span', { class: 'avatar', 'aria-hidden': 'true' }, initials(name(found))), h('div', null, h('h3', null, name(found)), h('p', { class: 'muted' }, or(found.specialty_name, 'Sin especialidad registrada')))),
        contacts(found),
        facts([['Institución', or(found.institution_name)], ['Experiencia', found.years_experience == null ? '—' : plural(found.years_experience, 'año', 'años')], ['Consulta', money(found.consultation_fee)]])];
    });
    form(edit, async (values) => {
      await call('/api/v1/doctors/me/profile', { method: 'PUT', body: { years_experience: Number(values.years_experience), consultation_fee: Number(values.consultation_fee) } });
      profile.again();
      return 'Sus datos se guardaron.';
    });
  },
};

pages[document.body.dataset.page]?.();
