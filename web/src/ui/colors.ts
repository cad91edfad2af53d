// SPDX-License-Identifier: Apache-2.0
// A service keeps one colour on every page: its name picks a place in the palette, and the next
// free place is taken when two names meet. The palette itself is in app.css (--s0 … --s11), per
// theme.

const PALETTE = 12;
const taken = new Map<string, number>();

function hash(text: string): number {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}

export function colorIndex(name: string): number {
  let index = taken.get(name);
  if (index === undefined) {
    index = hash(name) % PALETTE;
    const used = new Set(taken.values());
    for (let i = 0; i < PALETTE && used.has(index); i++) index = (index + 1) % PALETTE;
    taken.set(name, index);
  }
  return index;
}

/**
 * Names that appear together are placed in order of name, so that every reader sees the same
 * colours.
 */
export function registerServices(names: readonly string[]): void {
  for (const name of [...names].sort()) colorIndex(name);
}

export function serviceColor(name: string): string {
  return `var(--s${colorIndex(name)})`;
}

/** What a CSS colour is in the present theme, for canvases. */
export function resolveColor(css: string): string {
  const probe = document.createElement("i");
  probe.style.color = css;
  probe.hidden = true;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
