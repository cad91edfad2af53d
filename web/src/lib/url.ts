// SPDX-License-Identifier: Apache-2.0
// The URL is the state: a page reads its parameters from `place` and writes them with `setParams`,
// so a copied link shows the same page. The time range travels along when the page changes.
import { computed, signal } from "@preact/signals";
import { DEFAULT_FROM, DEFAULT_TO, formatTime, resolveRange, type Range } from "./range";

export interface Place {
  path: string;
  params: URLSearchParams;
}

function read(): Place {
  return { path: location.pathname, params: new URLSearchParams(location.search) };
}

export const place = signal<Place>(read());

/** "Now" for relative ranges: moves on refresh and on page change, not with every render. */
export const now = signal(Date.now());

export const fromText = computed(() => place.value.params.get("from") || DEFAULT_FROM);
export const toText = computed(() => place.value.params.get("to") || DEFAULT_TO);
export const range = computed<Range>(() => resolveRange(fromText.value, toText.value, now.value));

const TRAVELS = ["from", "to", "refresh"];

export function param(name: string, otherwise = ""): string {
  return place.value.params.get(name) ?? otherwise;
}

export type Params = Record<string, string | number | null | undefined>;

function write(params: URLSearchParams, changes: Params): URLSearchParams {
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") params.delete(key);
    else params.set(key, String(value));
  }
  return params;
}

function join(path: string, params: URLSearchParams): string {
  // Braces, colons, commas, slashes and equal signs stay readable in the address bar: a query may
  // hold them.
  const query = params.toString().replace(/%(3A|2C|2F|7B|7D|3D)/g, decodeURIComponent);
  return query ? `${path}?${query}` : path;
}

/** A link to another page; the time range goes along unless `extra` names its own. */
export function href(path: string, extra: Params = {}): string {
  const params = new URLSearchParams();
  for (const key of TRAVELS) {
    const value = place.value.params.get(key);
    if (value) params.set(key, value);
  }
  return join(path, write(params, extra));
}

export function go(to: string, replace = false): void {
  const before = place.peek().path;
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  const next = read();
  if (next.path !== before) {
    now.value = Date.now();
    scrollTo(0, 0);
  }
  place.value = next;
}

/**
 * Changes parameters of this page. `replace` for what is not worth a step back (typing, scrolling).
 */
export function setParams(changes: Params, replace = false): void {
  const params = write(new URLSearchParams(place.peek().params), changes);
  const to = join(place.peek().path, params);
  if (to !== location.pathname + location.search) go(to, replace);
}

export function setRange(from: string, to: string): void {
  now.value = Date.now();
  setParams({ from, to: to === DEFAULT_TO ? null : to });
}

export function zoomTo(from: number, to: number): void {
  setRange(formatTime(from), formatTime(to));
}

/** This page with its range frozen: what a relative link shows now, it shows tomorrow too. */
export function frozenUrl(): string {
  const r = range.peek();
  const params = new URLSearchParams(place.peek().params);
  write(params, { from: formatTime(r.from), to: formatTime(r.to), refresh: null });
  return location.origin + join(place.peek().path, params);
}

const PAGES = /^\/(?:$|logs$|traces$|trace\/|explore$)/;

/** Follows plain clicks on links to our own pages without loading the document again. */
export function followLinks(): void {
  addEventListener("popstate", () => {
    place.value = read();
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest?.("a");
    if (!link || link.target || link.origin !== location.origin || !PAGES.test(link.pathname))
      return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
