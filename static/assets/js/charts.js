// Small charts of our own. Each says its figures in words too: as labels beside it or for a screen reader.
import { h, number, plural, styled, svg, toDate } from './dom.js';

const R = 50;
const ROUND = 2 * Math.PI * R;

/** Lets a bar or an arc grow from nothing once it stands in the page. */
const grow = (set) => requestAnimationFrame(() => requestAnimationFrame(set));

function circle(parts, round, middle, words) {
  const arcs = [];
  let start = 0;
  for (const [share, tone] of parts) {
    const arc = svg('circle', { class: `arc s${tone}`, cx: 60, cy: 60, r: R, transform: `rotate(${start * 360 - 90} 60 60)`, 'stroke-dasharray': `0 ${ROUND}` });
    const gap = parts.length > 1 ? 2 : 0;
    grow(() => arc.setAttribute('stroke-dasharray', `${Math.max(0, share * ROUND - gap)} ${ROUND}`));
    if (share > 0) arcs.push(arc);
    start += share;
  }
  return h('div', { class: `ring ${round ? 'round' : ''}`, role: 'img', 'aria-label': words },
    svg('svg', { viewBox: '0 0 120 120', 'aria-hidden': 'true' }, svg('circle', { class: 'track', cx: 60, cy: 60, r: R }), arcs),
    h('p', { 'aria-hidden': 'true' }, middle));
}

export function gauge(value, max, unit, tone) {
  return circle([[Math.min(1, Math.max(0, value / max)), tone]], true, [h('b', null, number(value)), unit], `${number(value)} ${unit}`);
}

/** Parts are `[label, count]`. */
export function donut(parts, unit) {
  const known = parts.filter(([, count]) => count > 0);
  const total = known.reduce((sum, [, count]) => sum + count, 0);
  const words = parts.map(([label, count]) => `${label}: ${number(count)}`).join(', ');
  return h('div', { class: 'chart' },
    circle(known.map(([label, count]) => [count / total, parts.findIndex(([other]) => other === label) + 1]), false, [h('b', null, number(total)), unit], words),
    h('ul', { class: 'legend', 'aria-hidden': 'true' }, parts.map(([label, count], at) => h('li', null, h('i', { class: `b${at + 1}` }), `${label} `, h('b', null, number(count))))));
}

/** Items are `[label, count, hint?]`, drawn in the given order. */
export function bars(items, { max = Math.max(...items.map(([, count]) => count), 1), tone = 1, format = number } = {}) {
  return h('ul', { class: 'bars' }, items.map(([label, count, hint]) => {
    const fill = h('i', { class: `b${tone}` });
    styled(fill, { width: '0' });
    grow(() => styled(fill, { width: `${Math.min(100, (count / max) * 100)}%` }));
    return h('li', null, h('span', null, label, hint && h('small', { class: 'muted' }, ` · ${hint}`)), h('b', null, format(count)), h('span', { class: 'track', 'aria-hidden': 'true' }, count > 0 && fill));
  }));
}

export function columns(items, tone = 1) {
  const max = Math.max(...items.map(([, count]) => count), 1);
  return h('ul', { class: 'columns' }, items.map(([label, count]) => {
    const fill = styled(h('i', { class: `b${count ? tone : 5}`, 'aria-hidden': 'true' }), { height: '0' });
    grow(() => styled(fill, { height: `${(count / max) * 82}%` }));
    return h('li', null, h('div', { class: 'well' }, h('b', null, number(count)), fill), h('span', null, label));
  }));
}

/** A scale of bands `[upTo, label, tone]` from `low`, with a pin at the value. */
export function scale(value, low, bands) {
  const high = bands.at(-1)[0];
  const at = Math.min(high, Math.max(low, value));
  const widths = bands.map(([end], index) => end - (index ? bands[index - 1][0] : low));
  const which = Math.max(0, bands.findIndex(([end]) => value < end) === -1 ? bands.length - 1 : bands.findIndex(([end]) => value < end));
  const pin = styled(h('b', { class: 'pin' }, number(value)), { left: `${Math.min(96, Math.max(4, ((at - low) / (high - low)) * 100))}%` });
  return h('div', { class: 'scale', role: 'img', 'aria-label': `${number(value)}: ${bands[which][1]}` },
    h('div', { class: 'strip', 'aria-hidden': 'true' }, bands.map(([, , tone], index) => styled(h('i', { class: `b${tone}` }), { flex: `${widths[index]} 1 0` })), pin),
    h('ol', { 'aria-hidden': 'true' }, bands.map(([, label], index) => styled(h('li', { class: index === which && 'on' }, label), { flex: `${widths[index]} 1 0` }))));
}

const month = new Intl.DateTimeFormat('es-MX', { month: 'short', year: 'numeric' });

/** How many dates fall in each month, from the first to the last one that has any. */
export function byMonth(dates) {
  const found = dates.map(toDate).filter(Boolean).sort((a, b) => a - b);
  if (!found.length) return [];
  const index = (date) => date.getFullYear() * 12 + date.getMonth();
  const first = index(found[0]);
  const months = Array.from({ length: index(found.at(-1)) - first + 1 }, (_, at) => [month.format(new Date(0, first + at - 1900 * 12, 1)), 0]);
  found.forEach((date) => { months[index(date) - first][1] += 1; });
  return months.slice(-24);
}

export function sparkline(items, [one, many]) {
  if (items.length <= 8) return columns(items);
  const max = Math.max(...items.map(([, count]) => count), 1);
  const points = items.map(([, count], at) => `${((at / (items.length - 1)) * 100).toFixed(2)},${(38 - (count / max) * 34).toFixed(2)}`);
  const peak = items.reduce((best, item) => (item[1] > best[1] ? item : best));
  const total = items.reduce((sum, [, count]) => sum + count, 0);
  return h('figure', { class: 'line chart' },
    h('div', { role: 'img', 'aria-label': items.map(([label, count]) => `${label}: ${count}`).join(', ') },
      svg('svg', { viewBox: '0 0 100 40', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
        svg('polygon', { class: 'area', points: `0,40 ${points.join(' ')} 100,40` }), svg('polyline', { class: 'stroke', points: points.join(' ') })),
      h('div', { class: 'ends', 'aria-hidden': 'true' }, h('span', null, items[0][0]), h('span', null, items.at(-1)[0]))),
    h('figcaption', { class: 'muted' }, `${plural(total, one, many)} en ${plural(items.length, 'mes', 'meses')}; el mayor, ${peak[0]}, con ${number(peak[1])}.`));
}
