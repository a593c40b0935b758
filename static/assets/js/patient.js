// The patient's pages.
import { $, capital, day, h, initials, moment, name, number, or, plural, yes } from './dom.js';
import { call, data } from './api.js';
import { gauge } from './charts.js';
import { contacts, empty, facts, form, panel, rows, source, tag, tellMissing } from './panel.js';
import { activity, bmiScale, record } from './record.js';

const pages = {
  'patient-dashboard'() {
    const board = source(async () => {
      const found = await data('/api/web/patient/dashboard');
      if (found.patient?.first_name) $('#hello').textContent = `Hola, ${found.patient.first_name}`;
      tellMissing(found.missing);
      return found;
    });
    panel('score', board, ({ health_score: score }) => (score == null ? empty('Aún no se puede calcular su índice.') : [
      h('div', { class: 'chart' }, gauge(score, 100, 'de 100', score >= 75 ? 1 : score >= 50 ? 3 : 2),
        h('p', { class: 'hint' }, 'Es una orientación a partir de sus datos. No es un diagnóstico: coméntelo con su médico.'))]));
    panel('body', board, ({ patient = {}, age, bmi, bmi_classification: kind }) => h('div', { class: 'chart' },
      facts([
        ['Edad', age == null ? '—' : plural(age, 'año', 'años')],
        ['Estatura', patient.height_cm == null ? '—' : `${number(patient.height_cm)} cm`],
        ['Peso', patient.weight_kg == null ? '—' : `${number(patient.weight_kg)} kg`],
        ['Masa corporal (IMC)', bmi == null ? '—' : `${number(bmi)}${kind ? ` · ${kind}` : ''}`],
        ['Fuma', yes(patient.is_smoker)],
        ['Consume alcohol', yes(patient.consumes_alcohol)],
      ]),
      bmi != null && bmiScale(bmi),
      patient.physical_activity_minutes_weekly != null && activity(patient.physical_activity_minutes_weekly)));
    panel('medications', board, ({ medications }) => rows(medications, (item) => [h('div', null, h('b', null, or(item.name)), h('small', null, or(item.frequency))), tag(or(item.dosage))], 'Sin medicamentos registrados.'));
    panel('conditions', board, ({ conditions }) => rows(conditions, (item) => h('b', null, or(item.name)), 'Sin condiciones registradas.'));
    const event = (item) => [h('b', null, or(item.title ?? item.description ?? item.type ?? item.reason)), h('small', null, moment(item.date ?? item.datetime ?? item.created_at))];
    panel('appointments', board, ({ appointments }) => rows(appointments, event, 'No tiene citas programadas.'));
    panel('activity', board, ({ recent_activity: recent }) => rows(recent, event, 'Sin actividad reciente.'));
  },

  'patient-record'() { record(source(() => data('/api/web/patient/medical-record'))); },

  'patient-team'() {
    const team = source(() => data('/api/web/patient/care-team'));
    panel('doctor', team, ({ doctor }) => (doctor ? [
      h('div', { class: 'person' }, h('span', { class: 'avatar', 'aria-hidden': 'true' }, initials(name(doctor))), h('div', null, h('h3', null, name(doctor)), h('p', { class: 'muted' }, or(doctor.specialty, 'Sin especialidad registrada')))),
      contacts(doctor), facts([['Experiencia', doctor.years_experience == null ? '—' : plural(doctor.years_experience, 'año', 'años')]])] : empty('No tiene un médico asignado.')));
    panel('institution', team, ({ institution }) => {
      if (!institution) return empty('No tiene una institución asignada.');
      const at = institution.address ?? {};
      const place = [at.street_address ?? at.street, at.neighborhood, at.postal_code, at.city, at.region, at.country].filter(Boolean).join(', ');
      return [h('div', { class: 'person' }, h('span', { class: 'avatar', 'aria-hidden': 'true' }, initials(or(institution.name))), h('div', null, h('h3', null, or(institution.name)), h('p', { class: 'muted' }, or(institution.type)))),
        contacts({ ...institution, place })];
    });
  },

  'patient-profile'() {
    const profile = source(() => data('/api/web/patient/profile'));
    const edit = $('#info-form');
    edit.elements.date_of_birth.max = new Date().toISOString().slice(0, 10);
    panel('info', profile, ({ personal_info: info }) => {
      if (!info) return empty('Sin datos personales.');
      for (const key of ['first_name', 'last_name', 'date_of_birth']) edit.elements[key].value = info[key] ?? '';
      edit.hidden = false;
      return h('p', { class: 'hint' }, `Correo principal: ${or(info.primary_email)}`);
    });
    form(edit, async (values) => {
      await call(`/api/v1/patients/${encodeURIComponent(edit.dataset.user)}`, { method: 'PUT', body: values });
      return 'Sus datos se guardaron.';
    });
    const KINDS = { personal: 'Personal', work: 'Trabajo', home: 'Casa', mobile: 'Móvil', emergency: 'Emergencia', other: 'Otro' };
    const marks = (item, kind) => h('span', null, item.is_primary && [tag('Principal', 'ok'), ' '], tag(item.is_verified ? 'Verificado' : 'Sin verificar', item.is_verified ? 'ok' : 'warn'), ' ', kind && tag(KINDS[kind] ?? capital(kind)));
    panel('emails', profile, ({ emails }) => rows(emails, (item) => [h('b', null, or(item.email_address)), marks(item, item.email_type)], 'Sin correos registrados.'));
    panel('phones', profile, ({ phones }) => rows(phones, (item) => [h('b', null, or(item.phone_number)), marks(item, item.phone_type)], 'Sin teléfonos registrados.'));
    panel('addresses', profile, ({ addresses }) => rows(addresses, (item) => [
      h('div', null, h('b', null, or(item.street_address)), h('small', null, [item.neighborhood, item.postal_code, item.city].filter(Boolean).join(', '))), marks(item, item.address_type)], 'Sin domicilios registrados.'));
  },
};

pages[document.body.dataset.page]?.();
