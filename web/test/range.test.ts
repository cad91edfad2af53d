// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import {
  describeRange,
  niceStep,
  parseDuration,
  parseTime,
  resolveRange,
  shiftRange,
  zoomOutRange,
} from "../src/lib/range";

const NOW = Date.UTC(2026, 0, 31, 12, 0, 0);
const MINUTE = 60_000;

describe("parseDuration", () => {
  it("adds up units", () => {
    expect(parseDuration("1h30m")).toBe(90 * MINUTE);
    expect(parseDuration("250ms")).toBe(250);
    expect(parseDuration("1.5s")).toBe(1500);
    expect(parseDuration("2w")).toBe(14 * 86_400_000);
  });
  it("refuses what is not a duration", () => {
    for (const text of ["", "5", "m5", "5 minutes", "1h-", "-5m", "5mm"])
      expect(parseDuration(text)).toBeNull();
  });
});

describe("parseTime", () => {
  it("reads relative times", () => {
    expect(parseTime("now", NOW)).toBe(NOW);
    expect(parseTime("now-15m", NOW)).toBe(NOW - 15 * MINUTE);
    expect(parseTime(" now - 1h30m ", NOW)).toBe(NOW - 90 * MINUTE);
    expect(parseTime("now+5m", NOW)).toBe(NOW + 5 * MINUTE);
  });
  it("reads RFC 3339, Unix seconds and Unix milliseconds", () => {
    expect(parseTime("2026-01-31T12:00:00Z", 0)).toBe(NOW);
    expect(parseTime("2026-01-31T13:00:00.000+01:00", 0)).toBe(NOW);
    expect(parseTime(String(NOW / 1000), 0)).toBe(NOW);
    expect(parseTime(`${NOW / 1000}.25`, 0)).toBe(NOW + 250);
    expect(parseTime(String(NOW), 0)).toBe(NOW);
    expect(parseTime("0", 0)).toBe(0);
  });
  it("reads a date and time without a zone as local", () => {
    expect(parseTime("2026-01-31 12:00", 0)).toBe(new Date(2026, 0, 31, 12, 0).getTime());
  });
  it("refuses the rest", () => {
    for (const text of ["", "yesterday", "now-", "now-5", "12:30", "2026-13-45T00:00:00Z"])
      expect(parseTime(text, NOW)).toBeNull();
  });
});

describe("resolveRange", () => {
  it("falls back to the last 15 minutes", () => {
    expect(resolveRange("nonsense", "now", NOW)).toEqual({ from: NOW - 15 * MINUTE, to: NOW });
  });
  it("is never backwards or empty", () => {
    expect(resolveRange("now", "now-1h", NOW)).toEqual({ from: NOW - 60 * MINUTE, to: NOW });
    const r = resolveRange("now", "now", NOW);
    expect(r.to).toBeGreaterThan(r.from);
  });
});

describe("moving a range", () => {
  it("shifts by its own length", () => {
    expect(shiftRange({ from: 100, to: 200 }, -0.5)).toEqual({ from: 50, to: 150 });
  });
  it("zooms out to twice the length, but not into the future", () => {
    expect(zoomOutRange({ from: 1000, to: 2000 }, 10_000)).toEqual({ from: 500, to: 2500 });
    expect(zoomOutRange({ from: 1000, to: 2000 }, 2000)).toEqual({ from: 0, to: 2000 });
  });
});

describe("niceStep", () => {
  it("is round and keeps within the number of points", () => {
    expect(niceStep({ from: 0, to: 15 * MINUTE }, 90)).toBe(10);
    expect(niceStep({ from: 0, to: 24 * 60 * MINUTE }, 90)).toBe(1800);
    expect(niceStep({ from: 0, to: 1000 }, 90)).toBe(1);
    for (const minutes of [1, 7, 61, 1000, 50_000, 5_000_000]) {
      const r = { from: 0, to: minutes * MINUTE };
      expect((r.to - r.from) / 1000 / niceStep(r, 90)).toBeLessThanOrEqual(90);
    }
  });
});

describe("describeRange", () => {
  it("names what people choose", () => {
    expect(describeRange("now-15m", "now")).toBe("Last 15 minutes");
    expect(describeRange("now-42m", "now")).toBe("Last 42m");
    expect(describeRange("2026-01-31T12:00:00Z", "2026-01-31T12:30:00Z")).toMatch(
      /^2026-0\d-\d\d \d\d:\d\d:00 – (2026-\S+ )?\d\d:\d\d:00$/,
    );
  });
});
