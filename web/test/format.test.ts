// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import {
  axisLabels,
  ago,
  count,
  durationMs,
  durationUs,
  exactNs,
  msToNs,
  nsToMs,
  percent,
  rate,
  short,
} from "../src/lib/format";

describe("durations", () => {
  it("keep three digits and the fitting unit", () => {
    const cases: [number, string][] = [
      [0, "0"],
      [0.5, "500 ns"],
      [1, "1 µs"],
      [999, "999 µs"],
      [999.6, "1 ms"],
      [1000, "1 ms"],
      [1234, "1.23 ms"],
      [45_600, "45.6 ms"],
      [999_400, "999 ms"],
      [999_600, "1 s"],
      [1_500_000, "1.5 s"],
      [61_000_000, "1 m 1 s"],
      [3_720_000_000, "1 h 2 m"],
    ];
    for (const [us, text] of cases) expect(durationUs(us)).toBe(text);
  });
  it("show a dash for what is missing", () => {
    expect(durationMs(null)).toBe("–");
    expect(durationUs(NaN)).toBe("–");
  });
});

describe("numbers", () => {
  it("are short with a unit prefix", () => {
    expect([0, 12, 999, 1000, 1234567, 2.5e9, 0.25, 0.00476, 0.000012].map(short)).toEqual([
      "0",
      "12",
      "999",
      "1k",
      "1.23M",
      "2.5G",
      "0.25",
      "0.00476",
      "1.2e-5",
    ]);
    expect(short(Infinity)).toBe("+Inf");
    expect(short(NaN)).toBe("–");
  });
  it("do not lose zeros that count", () => {
    expect([100, 10, 5000, 20].map(short)).toEqual(["100", "10", "5k", "20"]);
    expect(count(1234567)).toBe("1,234,567");
  });
  it("make ratios and rates readable", () => {
    expect([0, 0.00001, 0.0123, 0.5, 1].map(percent)).toEqual([
      "0%",
      "<0.01%",
      "1.23%",
      "50%",
      "100%",
    ]);
    expect(rate(0.2311)).toBe("0.231/s");
  });
});

describe("axisLabels", () => {
  it("tells neighbours apart", () => {
    expect(axisLabels([0.0047, 0.00475, 0.0048])).toEqual(["0.00470", "0.00475", "0.00480"]);
    expect(axisLabels([0, 0.5, 1])).toEqual(["0", "0.5", "1.0"]);
    expect(axisLabels([0, 500, 1000, 1500])).toEqual(["0", "0.5k", "1.0k", "1.5k"]);
    expect(axisLabels([])).toEqual([]);
  });
});

describe("nanoseconds", () => {
  it("survive as text", () => {
    expect(exactNs("1769860800123456789")).toBe("2026-01-31T12:00:00.123456789Z");
    expect(msToNs(1769860800123)).toBe("1769860800123000000");
    expect(msToNs(1769860800123.5)).toBe("1769860800123500000");
    expect(Math.floor(nsToMs("1769860800123456789"))).toBe(1769860800123);
  });
});

it("says how long ago", () => {
  expect(ago(0, 30_000)).toBe("30 s ago");
  expect(ago(0, 3_600_000)).toBe("1 h ago");
});
