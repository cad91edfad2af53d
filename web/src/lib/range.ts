// SPDX-License-Identifier: Apache-2.0
// Time ranges as people and URLs write them: `now-15m`, RFC 3339, Unix seconds or milliseconds.
// Everything inside is milliseconds since 1970.

export interface Range {
  from: number;
  to: number;
}

const UNIT_MS: Record<string, number> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

export const DEFAULT_FROM = "now-15m";
export const DEFAULT_TO = "now";

export const QUICK_RANGES: readonly (readonly [string, string])[] = [
  ["now-5m", "Last 5 minutes"],
  ["now-15m", "Last 15 minutes"],
  ["now-30m", "Last 30 minutes"],
  ["now-1h", "Last hour"],
  ["now-3h", "Last 3 hours"],
  ["now-6h", "Last 6 hours"],
  ["now-12h", "Last 12 hours"],
  ["now-24h", "Last 24 hours"],
  ["now-2d", "Last 2 days"],
  ["now-7d", "Last 7 days"],
  ["now-30d", "Last 30 days"],
];

/** `1h30m`, `90s`, `2d` as milliseconds; null when it is not a duration. */
export function parseDuration(text: string): number | null {
  const s = text.trim();
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(s)) return null;
  let total = 0;
  for (const [, number, , unit] of s.matchAll(/(\d+(\.\d+)?)(ms|s|m|h|d|w)/g)) {
    total += Number(number) * (unit === "ms" ? 1 : UNIT_MS[unit!]!);
  }
  return total;
}

/** One end of a range; null when the text is not a time. */
export function parseTime(text: string, now: number): number | null {
  const s = text.trim();
  if (s === "now") return now;
  const relative = /^now\s*([+-])\s*(\S+)$/.exec(s);
  if (relative) {
    const ms = parseDuration(relative[2]!);
    if (ms === null) return null;
    return relative[1] === "-" ? now - ms : now + ms;
  }
  if (/^-?\d+(\.\d+)?$/.test(s)) {
    const n = Number(s);
    // Twelve digits and more can only be milliseconds: as seconds they are past the year 33000.
    return Math.abs(n) >= 1e11 ? n : n * 1000;
  }
  if (!/^\d{4}-\d\d-\d\d/.test(s)) return null;
  const t = Date.parse(s.replace(" ", "T"));
  return Number.isNaN(t) ? null : t;
}

export function isRelative(text: string): boolean {
  return text.trim().startsWith("now");
}

/** Texts that are not times fall back to the default; a range is never empty or backwards. */
export function resolveRange(from: string, to: string, now: number): Range {
  let b = parseTime(to, now) ?? now;
  let a = parseTime(from, now) ?? b - 15 * 60_000;
  if (a > b) [a, b] = [b, a];
  if (b - a < 1) a = b - 1;
  return { from: a, to: b };
}

/** How a point in time is written into the URL. */
export function formatTime(ms: number): string {
  return new Date(Math.round(ms)).toISOString();
}

export function describeRange(from: string, to: string): string {
  if (to.trim() === "now") {
    const quick = QUICK_RANGES.find(([value]) => value === from.trim());
    if (quick) return quick[1];
    const m = /^now-(\S+)$/.exec(from.trim());
    if (m && parseDuration(m[1]!) !== null) return `Last ${m[1]}`;
  }
  const now = Date.now();
  const a = parseTime(from, now);
  const b = parseTime(to, now);
  if (a === null || b === null) return `${from} to ${to}`;
  const left = new Date(a);
  const right = new Date(b);
  const day = (d: Date) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  const clock = (d: Date) => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  const sameDay = day(left) === day(right);
  return `${day(left)} ${clock(left)} – ${sameDay ? "" : day(right) + " "}${clock(right)}`;
}

function two(n: number): string {
  return n < 10 ? "0" + n : String(n);
}

/** Moves a range by a share of its own length: -0.5 goes half a window back. */
export function shiftRange(r: Range, share: number): Range {
  const by = (r.to - r.from) * share;
  return { from: r.from + by, to: r.to + by };
}

export function zoomOutRange(r: Range, now: number): Range {
  const half = (r.to - r.from) / 2;
  const to = Math.min(r.to + half, Math.max(now, r.to));
  return { from: to - (r.to - r.from) * 2, to };
}

const STEPS_S = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400,
];

/** A round step, in seconds, that cuts the range into at most `points` pieces. */
export function niceStep(r: Range, points: number): number {
  const want = (r.to - r.from) / 1000 / points;
  for (const step of STEPS_S) if (step >= want) return step;
  return Math.ceil(want / 86400) * 86400;
}
