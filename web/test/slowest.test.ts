// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Trace, TraceSearch } from "../src/lib/jaeger";
import { findSlowest } from "../src/lib/slowest";

const search: TraceSearch = { service: "api", limit: 20, startUs: 0, endUs: 1e12 };

function trace(id: number, duration: number): Trace {
  const traceID = String(id);
  return {
    traceID,
    spans: [{ traceID, spanID: "1", operationName: "op", startTime: id, duration, processID: "p" }],
    processes: { p: { serviceName: "api" } },
  };
}

/** A server with these durations, oldest first; it answers as Jaeger does, and counts. */
function server(durations: number[]) {
  const all = durations.map((d, i) => trace(i, d)).reverse();
  const asked: (string | undefined)[] = [];
  const run = async (s: TraceSearch) => {
    asked.push(s.minDuration);
    const least = parseFloat(s.minDuration ?? "0");
    return all.filter((t) => t.spans[0]!.duration >= least).slice(0, s.limit);
  };
  return { run, asked };
}

const slowest = (traces: Trace[]) => Math.max(...traces.map((t) => t.spans[0]!.duration));

describe("findSlowest", () => {
  it("asks once when everything fits", async () => {
    const { run, asked } = server([5, 9, 7]);
    const found = await findSlowest(search, run);
    expect(found).toMatchObject({ leastUs: 0, cut: false });
    expect(found.traces).toHaveLength(3);
    expect(asked).toHaveLength(1);
  });
  it("finds an old slow trace behind thousands of newer ones", async () => {
    const durations = Array.from({ length: 5000 }, (_, i) => 100 + ((i * 7919) % 900));
    durations[3] = 50_000;
    const { run, asked } = server(durations);
    const found = await findSlowest(search, run);
    expect(slowest(found.traces)).toBe(50_000);
    expect(found.cut).toBe(false);
    expect(asked.length).toBeLessThan(8);
    const expected = durations.filter((d) => d >= found.leastUs).length;
    expect(found.traces.filter((t) => t.spans[0]!.duration >= found.leastUs)).toHaveLength(
      expected,
    );
  });
  it("ends when all are equally slow, and says that there are more", async () => {
    const { run, asked } = server(Array(500).fill(77));
    const found = await findSlowest(search, run);
    expect(found.cut).toBe(true);
    expect(asked.length).toBeLessThan(4);
  });
});
