// What every page must keep, whatever it shows. The answer is a list of complaints.
(() => {
  const wrong = [];
  const name = (node) => `<${node.tagName.toLowerCase()}${node.id ? ` #${node.id}` : ''}> "${(node.innerText ?? '').trim().slice(0, 40)}"`;
  const seen = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !node.closest('.sr, .skip');

  // No reading from side to side.
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll('body *')].filter((node) => seen(node) && node.getBoundingClientRect().right > root.clientWidth + 1);
    wrong.push(`wider than the window: ${root.scrollWidth} > ${root.clientWidth}: ${wide.slice(-3).map(name).join(', ')}`);
  }
  // Nor text that is cut off at the edge of its box.
  for (const node of document.querySelectorAll('h1, h2, h3, p, dt, dd, li, th, td, button, label, a, b, small, span')) {
    if (seen(node) && node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== 'inline' && getComputedStyle(node).overflowX !== 'visible') wrong.push(`cut off: ${name(node)}`);
  }

  if (root.lang !== 'es') wrong.push('no lang="es"');
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  if (!document.title.includes('PredictHealth')) wrong.push(`title: ${document.title}`);
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach((id) => wrong.push(`two of #${id}`));

  // Everything that can be used has a name.
  for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
    if (!field.labels?.length && !field.ariaLabel) wrong.push(`no label: ${name(field)} ${field.name}`);
  }
  for (const node of document.querySelectorAll('a, button')) {
    if (!(node.ariaLabel || node.textContent.trim())) wrong.push(`no name: ${name(node)}`);
  }
  for (const image of document.images) if (!image.hasAttribute('alt')) wrong.push(`no alt: ${image.src}`);
  for (const node of document.querySelectorAll('button, input, select, textarea, nav a')) {
    const box = node.getBoundingClientRect();
    if (seen(node) && box.height < 24) wrong.push(`too small to hit: ${name(node)} ${box.height}`);
  }

  // WCAG 2.2, 1.4.3: text against what stands behind it.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const behind = (node) => {
    if (!node) return rgba(getComputedStyle(root).backgroundColor)[3] ? rgba(getComputedStyle(root).backgroundColor) : [255, 255, 255, 1];
    const own = rgba(getComputedStyle(node).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(node.parentElement));
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !seen(node) || node.closest('script, noscript, option, [disabled]')) continue;
    texts += 1;
    const style = getComputedStyle(node);
    const ground = behind(node);
    const [a, b] = [light(over(rgba(style.color), ground)), light(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) wrong.push(`contrast ${ratio.toFixed(2)}: ${name(node)}`);
  }
  if (!texts) wrong.push('nothing to read');
  return [...new Set(wrong)];
})()
