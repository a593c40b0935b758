// The institution's pages.
import { $, age, day, h, initials, money, mail, moment, name, or, plural } from './dom.js';
import { call, data } from './api.js';
import { bars, byMonth, donut, sparkline } from './charts.js';
import { confirmed, contacts, empty, facts, figures, form, listing, panel, password, rows, source, tag, tellMissing, toast } from './panel.js';

const KINDS = { 1: 'Clínica preventiva', 2: 'Aseguradora', 3: 'Salud pública', 4: 'Hospital', 5: 'Centro de salud' };
const verified = (person) => person.is_verified ?? person.validation_status === 'verified';
const check = (person) => (verified(person) ? tag('Verificado', 'ok') : tag('Sin verificar', 'warn'));
const RISKS = { high: ['Alto', 'bad'], medium: ['Medio', 'warn'], low: ['Bajo', 'ok'] };
const risk = ({ risk_level: level }) => (level ? tag(...(RISKS[level] ?? [level])) : '—');
const ofDoctor = (patient) => or(patient.doctor_name ?? [patient.doctor_first_name, patient.doctor_last_name].filter(Boolean).join(' '));

const pages = {
  'institution-dashboard'() {
    const board = source(async () => {
      const found = await data('/api/web/institution/dashboard');
      tellMissing(found.missing);
      return found;
    });
    const doctors = source(() => data('/api/web/institution/doctors'));
    const patients = source(() => data('/api/web/institution/patients'));
    /** A figure of a service that gave no answer is unknown, whatever number stands there. */
    const known = (found, part, value) => (found.missing?.includes(part) ? null : value);
    panel('figures', board, (found) => figures([
      ['Médicos', known(found, 'doctors', found.total_doctors)], ['Pacientes', known(found, 'patients', found.total_patients)],
      ['Pacientes verificados', known(found, 'patients', found.verified_patients)], ['Nuevos este mes', known(found, 'patients', found.new_patients_this_month)],
    ]));
    panel('verified', board, (found) => {
      const [all, good] = [known(found, 'patients', found.total_patients), known(found, 'patients', found.verified_patients)];
      if (typeof all !== 'number' || typeof good !== 'number') return empty('No disponible.');
      return all ? donut([['Verificados', good], ['Sin verificar', Math.max(0, all - good)]], 'pacientes') : empty('Aún no hay pacientes.');
    });
    panel('load', doctors, ({ doctors: list = [] }) => {
      const loads = list.filter((one) => typeof one.active_patients === 'number').sort((a, b) => b.active_patients - a.active_patients);
      return loads.length ? bars(loads.slice(0, 8).map((one) => [name(one), one.active_patients, one.specialty_name ?? one.specialty])) : empty('Aún no hay médicos.');
    });
    panel('months', patients, ({ patients: list = [] }) => {
      const months = byMonth(list.map((one) => one.created_at));
      return months.length ? sparkline(months, ['alta', 'altas']) : empty('Aún no hay altas.');
    });
    panel('recent-doctors', board, (found) => (known(found, 'doctors', true)
      ? [rows(found.recent_doctors, (one) => [h('div', null, h('b', null, name(one)), h('small', null, or(one.specialty_name ?? one.specialty))), tag(one.is_active === false ? 'Inactivo' : 'Activo', one.is_active === false ? '' : 'ok')], 'Aún no hay médicos.'), h('p', { class: 'more' }, h('a', { href: '/institution/doctors' }, 'Ver todos los médicos'))] : empty('No disponible.')));
    panel('recent-patients', board, (found) => (known(found, 'patients', true)
      ? [rows(found.recent_patients, (one) => [h('div', null, h('b', null, name(one)), h('small', null, ofDoctor(one))), check(one)], 'Aún no hay pacientes.'), h('p', { class: 'more' }, h('a', { href: '/institution/patients' }, 'Ver todos los pacientes'))] : empty('No disponible.')));
  },

  'institution-doctors'() {
    const doctors = source(() => data('/api/web/institution/doctors'));
    const remove = async (doctor) => {
      if (!await confirmed('Dar de baja', `${name(doctor)} ya no podrá iniciar sesión ni atender pacientes en la plataforma.`, 'Dar de baja')) return;
      try {
        const reply = await call(`/api/web/institution/doctors/${encodeURIComponent(doctor.id)}`, { method: 'DELETE' });
        toast(reply?.message ?? 'Médico dado de baja.');
        doctors.again();
      } catch (error) {
        toast(error.message, 'bad');
      }
    };
    panel('doctors', doctors, ({ doctors: list = [] }) => listing({
      caption: 'Médicos de la institución', rows: list, none: 'Aún no hay médicos. Agregue el primero.', words: ['médico', 'médicos'],
      search: (row) => `${name(row)} ${row.specialty_name ?? row.specialty ?? ''} ${row.contact_email ?? ''} ${row.medical_license ?? ''}`,
      columns: [
        { label: 'Médico', cell: (row) => h('span', null, name(row), h('small', null, or(row.specialty_name ?? row.specialty))) },
        { label: 'Correo', cell: (row) => mail(row.contact_email) },
        { label: 'Cédula', keep: true, cell: (row) => or(row.medical_license) },
        { label: 'Consulta', num: true, cell: (row) => money(row.consultation_fee) },
        { label: 'Pacientes', num: true, cell: (row) => or(row.active_patients) },
        { label: 'Estado', cell: (row) => tag(row.is_active === false ? 'Inactivo' : 'Activo', row.is_active === false ? '' : 'ok') },
        { label: 'Acciones', act: true, cell: (row) => row.is_active !== false && h('button', { type: 'button', class: 'button danger small', 'aria-label': `Dar de baja a ${name(row)}`, onclick: () => remove(row) }, 'Dar de baja') },
      ],
    }));
    // Only the doctors that there are say which specialties there are; without them the field is not shown.
    const known = call('/api/v1/doctors?limit=1000').then((all) => {
      const specialties = new Map(all.filter((one) => one.specialty_id && one.specialty_name).map((one) => [one.specialty_name, one.specialty_id]));
      $('#especialidad').append(...[...specialties].sort(([a], [b]) => a.localeCompare(b, 'es')).map(([label, id]) => h('option', { value: id }, label)));
      $('#specialty-field').hidden = !specialties.size;
    });
    known.catch(() => {}); // a doctor is made without one as well
    form($('#doctor-form'), async ({ especialidad, ...values }) => {
      await call('/api/web/institution/doctors', { method: 'POST', body: especialidad ? { ...values, especialidad } : values });
      $('#new-doctor').close();
      toast(`Se agregó a ${values.nombre} ${values.apellido}.`);
      doctors.again();
    });
  },

  'institution-patients'() {
    panel('stats', source(() => call('/api/web/institution/patients/stats')), (found) => figures([
      ['Pacientes', found.total_patients], ['Verificados', found.active_patients], ['Riesgo alto', found.high_risk], ['Nuevos este mes', found.new_this_month]]));
    panel('patients', source(() => data('/api/web/institution/patients')), ({ patients: list = [] }) => listing({
      caption: 'Pacientes de la institución', rows: list, none: 'Aún no hay pacientes.', words: ['paciente', 'pacientes'],
      search: (row) => `${name(row)} ${row.contact_email ?? ''} ${ofDoctor(row)}`,
      filters: { 'Todos': null, 'Verificados': verified, 'Sin verificar': (row) => !verified(row), 'Riesgo alto': (row) => row.risk_level === 'high' },
      columns: [
        { label: 'Paciente', cell: (row) => h('span', null, name(row), h('small', null, mail(row.contact_email))) },
        { label: 'Edad', keep: true, cell: (row) => { const years = age(row.date_of_birth); return years == null ? '—' : plural(years, 'año', 'años'); } },
        { label: 'Médico', cell: ofDoctor },
        { label: 'Alta', keep: true, cell: (row) => day(row.created_at) },
        { label: 'Última actividad', cell: (row) => moment(row.last_activity) },
        { label: 'Riesgo', cell: risk },
        { label: 'Estado', cell: check },
      ],
    }));
  },

  'institution-profile'() {
    password();
    const edit = $('#institution-form');
    const path = `/api/v1/institutions/${encodeURIComponent(edit.dataset.id)}`;
    const profile = source(() => call(path));
    panel('card', profile, (found) => {
      for (const key of ['name', 'license_number', 'website']) edit.elements[key].value = found[key] ?? '';
      return [h('div', { class: 'person' }, h('span', { class: 'avatar', 'aria-hidden': 'true' }, initials(or(found.name))), h('div', null, h('h3', null, or(found.name)), h('p', { class: 'muted' }, KINDS[found.institution_type_id] ?? 'Institución'))),
        contacts({ email: found.contact_email, website: found.website }),
        facts([['Número de licencia', or(found.license_number)], ['Verificación', check(found)]])];
    });
    form(edit, async (values) => {
      await call(path, { method: 'PUT', body: values }); // an empty website takes the old one away
      profile.again();
      return 'Los datos se guardaron.';
    });
  },
};

pages[document.body.dataset.page]?.();
