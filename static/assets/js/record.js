// A medical record, as its patient and as the doctor see it.
import { capital, day, h, icon, number, or, plural, toDate, yes } from './dom.js';
import { bars, scale } from './charts.js';
import { empty, facts, panel, table, tag } from './panel.js';

const SEVERE = /sever|grave|alta|high/i;

export const bmiScale = (bmi) => scale(bmi, 15, [[18.5, 'Bajo', 4], [25, 'Normal', 1], [30, 'Sobrepeso', 3], [36, 'Obesidad', 2]]);

export function bmiOf(profile) {
  const metres = profile?.height_cm / 100;
  return metres > 0 && profile.weight_kg > 0 ? Math.round((profile.weight_kg / metres ** 2) * 100) / 100 : null;
}

/** Minutes a week beside the 150 that the WHO recommends for adults. */
export function activity(minutes) {
  return [bars([['Actividad física semanal', minutes, minutes >= 150 ? 'alcanza lo recomendado' : 'recomendado: 150 min']], { max: Math.max(150, minutes), tone: minutes >= 150 ? 1 : 3, format: (value) => `${number(value)} min` })];
}

export function record(from) {
  panel('allergies', from, ({ allergies }) => (allergies?.length
    ? h('ul', { class: 'alerts' }, allergies.map((allergy) => h('li', { class: SEVERE.test(allergy.severity ?? '') && 'bad' }, icon('alert'),
      h('div', null, h('b', null, `${or(allergy.name)}${allergy.severity ? ` · ${allergy.severity}` : ''}`), or(allergy.reaction_description, 'Sin reacción descrita')))))
    : empty('Sin alergias registradas.')));

  panel('profile', from, ({ health_profile: profile }) => {
    if (!profile) return empty('Aún no hay un perfil de salud registrado.');
    const bmi = bmiOf(profile);
    return h('div', { class: 'chart' },
      facts([
        ['Estatura', profile.height_cm == null ? '—' : `${number(profile.height_cm)} cm`],
        ['Peso', profile.weight_kg == null ? '—' : `${number(profile.weight_kg)} kg`],
        ['Tipo de sangre', or(profile.blood_type)],
        ['Fuma', profile.is_smoker && profile.smoking_years != null ? `Sí, ${plural(profile.smoking_years, 'año', 'años')}` : yes(profile.is_smoker)],
        ['Consume alcohol', profile.consumes_alcohol && profile.alcohol_frequency ? `Sí, ${profile.alcohol_frequency}` : yes(profile.consumes_alcohol)],
        ['Índice de masa corporal', bmi == null ? '—' : number(bmi)],
        ...(profile.notes ? [['Notas', profile.notes, true]] : []),
      ]),
      bmi != null && bmiScale(bmi),
      profile.physical_activity_minutes_weekly != null && activity(profile.physical_activity_minutes_weekly));
  });

  panel('timeline', from, ({ conditions, medications }) => {
    const events = [
      ...(conditions ?? []).map((item) => [item.diagnosis_date, 'Diagnóstico', item.name, '']),
      ...(medications ?? []).map((item) => [item.start_date, 'Inicio de tratamiento', item.name, 'med']),
    ].filter(([date]) => toDate(date)).sort(([a], [b]) => toDate(b) - toDate(a));
    return events.length
      ? h('ol', { class: 'time' }, events.map(([date, kind, what, tone]) => h('li', { class: tone }, h('time', { datetime: date }, day(date)), h('b', null, or(what)), h('small', null, kind))))
      : empty('Sin fechas registradas.');
  });

  panel('conditions', from, ({ conditions }) => table({
    caption: 'Diagnósticos registrados', none: 'Sin condiciones registradas.', rows: conditions ?? [],
    columns: [{ label: 'Condición', cell: (row) => or(row.name) }, { label: 'Diagnóstico', cell: (row) => day(row.diagnosis_date) }, { label: 'Notas', cell: (row) => or(row.notes) }],
  }));
  panel('medications', from, ({ medications }) => table({
    caption: 'Tratamiento registrado', none: 'Sin medicamentos registrados.', rows: medications ?? [],
    columns: [{ label: 'Medicamento', cell: (row) => or(row.name) }, { label: 'Dosis', cell: (row) => or(row.dosage) }, { label: 'Frecuencia', cell: (row) => or(row.frequency) }, { label: 'Desde', cell: (row) => day(row.start_date) }],
  }));
  panel('family', from, ({ family_history: family }) => table({
    caption: 'Enfermedades en la familia', none: 'Sin antecedentes registrados.', rows: family ?? [],
    columns: [{ label: 'Condición', cell: (row) => or(row.condition_name) }, { label: 'Parentesco', cell: (row) => (row.relative_type ? tag(capital(row.relative_type)) : '—') }, { label: 'Notas', cell: (row) => or(row.notes) }],
  }));
}
