// Elements and words. Text only ever enters the page as text nodes, so no answer can become markup.

const SVG = 'http://www.w3.org/2000/svg';
const ICONS = new URL('../images/icons.svg', import.meta.url).pathname;

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

export const h = (tag, attributes, ...children) => make(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => make(document.createElementNS(SVG, tag), attributes, children);
export const icon = (name) => svg('svg', { class: 'icon', 'aria-hidden': 'true' }, svg('use', { href: `${ICONS}#${name}` }));
export const $ = (selector, within = document) => within.querySelector(selector);

/** Sets a style through the CSSOM, which the strict content policy allows. */
export function styled(node, styles) {
  Object.assign(node.style, styles);
  return node;
}

export const NONE = '—';
export const or = (value, otherwise = NONE) => (value == null || value === '' ? otherwise : String(value));
export const name = (person) => [person?.first_name, person?.last_name].filter(Boolean).join(' ');
export const initials = (text) => text.split(/\s+/).slice(0, 2).map((word) => word[0] ?? '').join('').toUpperCase();
export const capital = (text) => (text ? text[0].toUpperCase() + text.slice(1) : NONE);
/** An address may break before its @, never within a word. */
export const mail = (text) => (text ? String(text).split(/(?=@)/).flatMap((part, at) => (at ? [h('wbr'), part] : [part])) : NONE);
export const yes = (value) => (value == null ? NONE : value ? 'Sí' : 'No');

const numbers = new Intl.NumberFormat('es-MX', { maximumFractionDigits: 2 });
const pesos = new Intl.NumberFormat('es-MX', { style: 'currency', currency: 'MXN' });
export const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? numbers.format(value) : or(value));
export const money = (value) => (typeof value === 'number' ? pesos.format(value) : NONE);
export const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

/** A day without a time is that day everywhere: it must not move with the time zone. */
export function toDate(text) {
  const day = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text ?? '');
  const date = day ? new Date(day[1], day[2] - 1, day[3]) : new Date(text ?? NaN);
  return Number.isNaN(date.getTime()) ? null : date;
}
const days = new Intl.DateTimeFormat('es-MX', { day: 'numeric', month: 'short', year: 'numeric' });
const times = new Intl.DateTimeFormat('es-MX', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
export const day = (text) => { const date = toDate(text); return date ? days.format(date) : NONE; };
export const moment = (text) => { const date = toDate(text); return date ? times.format(date) : NONE; };

export function age(born, today = new Date()) {
  const date = toDate(born);
  if (!date) return null;
  const had = today.getMonth() > date.getMonth() || (today.getMonth() === date.getMonth() && today.getDate() >= date.getDate());
  const years = today.getFullYear() - date.getFullYear() - (had ? 0 : 1);
  return years < 0 ? null : years;
}
