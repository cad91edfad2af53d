// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { joinPages, toRow, toRows } from "../src/lib/loki";

const stream = { service_name: "api", level: "info" };

describe("toRow", () => {
  it("reads plain and nested metadata", () => {
    const plain = toRow(stream, [
      "1769860800123456789",
      "job_started",
      { trace_id: "t", span_id: "s", n: 3 },
    ]);
    expect(plain).toMatchObject({
      traceId: "t",
      spanId: "s",
      service: "api",
      level: "info",
      message: "job_started",
    });
    expect(plain.fields.n).toBe("3");
    const nested = toRow(stream, [
      "1",
      "x",
      { structuredMetadata: { trace_id: "t2" }, parsed: { a: "b" } },
    ]);
    expect(nested).toMatchObject({ traceId: "t2", fields: { trace_id: "t2", a: "b" } });
  });
  it("takes the message and fields out of a JSON line, and keeps the line", () => {
    const line = '{"level":"warn","message":"slow","ms":45,"trace_id":"abc"}';
    const row = toRow({ service: "api" }, ["1", line]);
    expect(row).toMatchObject({
      message: "slow",
      line,
      traceId: "abc",
      fields: { ms: "45", trace_id: "abc" },
    });
  });
  it("shows a line that is not JSON after all", () => {
    expect(toRow(stream, ["1", "{not json}"]).message).toBe("{not json}");
  });
});

describe("toRows", () => {
  it("merges streams, newest first, exact to the nanosecond", () => {
    const rows = toRows([
      {
        stream,
        values: [
          ["1769860800000000001", "a"],
          ["1769860800000000003", "c"],
        ],
      },
      { stream: { service_name: "worker" }, values: [["1769860800000000002", "b"]] },
    ]);
    expect(rows.map((r) => r.message)).toEqual(["c", "b", "a"]);
  });
});

describe("joinPages", () => {
  const at = (ns: string, message: string) => toRow(stream, [ns, message]);
  it("neither loses nor doubles lines that share the timestamp at the seam", () => {
    const first = [at("5", "e"), at("4", "d"), at("3", "c1")];
    const older = [at("3", "c1"), at("3", "c2"), at("2", "b")];
    expect(joinPages(first, older).map((r) => r.message)).toEqual(["e", "d", "c1", "c2", "b"]);
  });
  it("starts from nothing", () => {
    expect(joinPages([], [at("1", "a")]).map((r) => r.message)).toEqual(["a"]);
  });
});
