// Is asked after each press of Tab: 'on', or 'end' with a list of complaints when the focus has been everywhere.
(() => {
  const state = (window.hilumFocus ??= { met: new Set(), wrong: [] });
  const name = (node) => `<${node.tagName.toLowerCase()}${node.id ? ` #${node.id}` : ''}> "${(node.innerText ?? '').trim().slice(0, 40)}"`;
  const now = document.activeElement;
  const first = state.met.values().next().value;
  if (now && now !== document.body && now !== document.documentElement && !(state.met.size > 1 && now === first)) {
    // A date is one field with several stops.
    if (!state.met.has(now)) {
      state.met.add(now);
      // A choice shows its focus on the words beside it.
      const shown = getComputedStyle(now).opacity === '0' ? now.nextElementSibling : now;
      const style = getComputedStyle(shown);
      if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) state.wrong.push(`focus is not seen: ${name(now)}`);
      const box = shown.getBoundingClientRect();
      const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      if (!top || !(now.contains(top) || top.contains(now) || shown.contains(top))) state.wrong.push(`focus is covered: ${name(now)} by ${top && name(top)}`);
    }
    return 'on';
  }
  const scope = document.querySelector('dialog[open]') ?? document;
  // A dialog begins with its first field: the way around it goes once through the end.
  state.ends = (state.ends ?? 0) + 1;
  if (scope !== document && state.ends < 2 && now !== first) return 'on';
  const all = [...scope.querySelectorAll('a[href], button:enabled, input:enabled:not([type=hidden]), select:enabled, textarea:enabled')]
    .filter((node) => node.checkVisibility({ visibilityProperty: true }))
    .filter((node) => node.type !== 'radio' || node.checked);
  const never = all.filter((node) => !state.met.has(node)).map((node) => `never reached: ${name(node)}`);
  delete window.hilumFocus;
  return { end: [...state.wrong, ...never] };
})()
