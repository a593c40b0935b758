// The patient's pages.
import { $, h, initials, moment, name, number, or, plural, yes } from './dom.js';
import { data } from './api.js';
import { gauge } from './charts.js';
import { contacts, empty, facts, panel, rows, source, tag, tellMissing } from './panel.js';
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
};

pages[document.body.dataset.page]?.();
