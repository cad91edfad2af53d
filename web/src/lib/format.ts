// SPDX-License-Identifier: Apache-2.0
// Numbers, durations and times as text: short, with units, and never wider than the column.

function trim(n: number, digits: number): string {
  const s = n.toFixed(digits);
  return s.includes(".") ? s.replace(/\.?0+$/, "") : s;
}

/** Three significant digits, without a needless tail of zeros. */
function three(n: number): string {
  const a = Math.abs(n);
  return trim(n, a >= 100 ? 0 : a >= 10 ? 1 : 2);
}

/** Microseconds, as Jaeger counts them. */
export function durationUs(us: number): string {
  if (!Number.isFinite(us)) return "–";
  const a = Math.abs(us);
  if (a === 0) return "0";
  if (a < 1) return `${three(us * 1000)} ns`;
  if (a < 999.5) return `${three(us)} µs`;
  if (a < 999_500) return `${three(us / 1000)} ms`;
  if (a < 60_000_000) return `${three(us / 1e6)} s`;
  const minutes = Math.floor(a / 60e6);
  const sign = us < 0 ? "-" : "";
  if (minutes < 60) return `${sign}${minutes} m ${Math.floor((a / 1e6) % 60)} s`;
  return `${sign}${Math.floor(minutes / 60)} h ${minutes % 60} m`;
}

export function durationMs(ms: number | null | undefined): string {
  return ms === null || ms === undefined || !Number.isFinite(ms) ? "–" : durationUs(ms * 1000);
}

/** A whole number with thousands separators. */
export function count(n: number | null | undefined): string {
  return n === null || n === undefined || !Number.isFinite(n)
    ? "–"
    : Math.round(n).toLocaleString("en-US");
}

const SCALES: readonly (readonly [number, string])[] = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

/** Any number, short: 1234567 → 1.23M, 0.00012 → 1.2e-4. */
export function short(n: number | null | undefined): string {
  if (n === null || n === undefined || Number.isNaN(n)) return "–";
  if (!Number.isFinite(n)) return n > 0 ? "+Inf" : "-Inf";
  const a = Math.abs(n);
  if (a === 0) return "0";
  for (const [size, name] of SCALES) if (a >= size * 0.9995) return three(n / size) + name;
  if (a < 0.0001) return n.toExponential(2).replace(/\.?0+e/, "e");
  return a < 1 ? trim(n, 2 - Math.floor(Math.log10(a))) : three(n);
}

/** Labels of an axis: one unit prefix, and as many digits as its steps need. */
export function axisLabels(values: readonly number[]): string[] {
  const top = Math.max(...values.map(Math.abs));
  const step = values.length > 1 ? Math.abs(values[1]! - values[0]!) : top;
  const [size, name] = SCALES.find(([s]) => top >= s) ?? [1, ""];
  if (top > 0 && top < 0.0001) return values.map(short);
  const digits =
    step > 0 ? Math.min(9, Math.max(0, Math.ceil(-Math.log10(step / size) - 1e-9))) : 0;
  return values.map((v) => (v === 0 ? "0" : (v / size).toFixed(digits) + name));
}

export function rate(perSecond: number): string {
  if (!Number.isFinite(perSecond)) return "–";
  return `${short(perSecond)}/s`;
}

export function percent(ratio: number | null | undefined): string {
  if (ratio === null || ratio === undefined || !Number.isFinite(ratio)) return "–";
  const p = ratio * 100;
  if (p === 0) return "0%";
  if (p < 0.01) return "<0.01%";
  return `${p >= 10 ? trim(p, 1) : trim(p, 2)}%`;
}

function pad(n: number, width: number): string {
  return String(n).padStart(width, "0");
}

/** 15:04:05.678 in the reader's time zone. */
export function clock(ms: number): string {
  const d = new Date(ms);
  return `${pad(d.getHours(), 2)}:${pad(d.getMinutes(), 2)}:${pad(d.getSeconds(), 2)}.${pad(d.getMilliseconds(), 3)}`;
}

export function day(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1, 2)}-${pad(d.getDate(), 2)}`;
}

export function dateTime(ms: number): string {
  return `${day(ms)} ${clock(ms)}`;
}

/** RFC 3339 with all nine digits: the exact instant, for tooltips and copying. */
export function exactNs(ns: string): string {
  const digits = ns.padStart(19, "0");
  const seconds = Number(digits.slice(0, -9));
  return new Date(seconds * 1000).toISOString().slice(0, 19) + "." + digits.slice(-9) + "Z";
}

export function nsToMs(ns: string): number {
  return Number(ns) / 1e6;
}

/** Exact: milliseconds times a million leave the integers that a double can hold. */
export function msToNs(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n);
}

export function ago(ms: number, now: number): string {
  const s = Math.round((now - ms) / 1000);
  if (s < 0) return "in the future";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} m ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}
