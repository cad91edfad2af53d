// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { errorPosition, errorText } from "../src/lib/api";
import { traceIds } from "../src/lib/find";

describe("errorText", () => {
  it("finds the message in every API's shape", () => {
    expect(
      errorText(400, '{"status":"error","errorType":"bad_data","error":"1:5: parse error"}'),
    ).toBe("1:5: parse error");
    expect(errorText(400, "parse error at line 1, col 3: no")).toBe(
      "parse error at line 1, col 3: no",
    );
    expect(errorText(404, '{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}')).toBe(
      "trace not found",
    );
    expect(errorText(503, '{"error":{"code":503,"message":"disk full"}}')).toBe("disk full");
  });
  it("says so when there is none", () => {
    expect(errorText(502, "<html>bad gateway</html>")).toContain("502");
    expect(errorText(500, "")).toContain("500");
  });
});

describe("errorPosition", () => {
  it("understands Prometheus, Loki and plain offsets", () => {
    expect(errorPosition("1:5: parse error: x", "sum(up")).toEqual({ line: 0, column: 4 });
    expect(errorPosition('invalid parameter "query": 2:3: parse error', "a\n+ +b")).toEqual({
      line: 1,
      column: 2,
    });
    expect(errorPosition("parse error at line 1, col 3: no", "{a}")).toEqual({
      line: 0,
      column: 2,
    });
    expect(errorPosition("unexpected token at position 7", "rate(up")).toEqual({
      line: 0,
      column: 7,
    });
  });
  it("points nowhere when the message or the query has no such place", () => {
    expect(errorPosition("query timed out", "up")).toBeNull();
    expect(errorPosition("7:1: parse error", "up")).toBeNull();
  });
});

it("finds trace ids wherever the answer has them, once each", () => {
  expect(
    traceIds({ data: [{ kind: "job", trace_id: "a" }, { trace_id: "b" }, { trace_id: "a" }] }),
  ).toEqual(["a", "b"]);
  expect(traceIds({ data: { traceID: "x" } })).toEqual(["x"]);
  expect(traceIds({ data: { trace_ids: ["p", "q"] } })).toEqual(["p", "q"]);
  expect(traceIds({ data: null })).toEqual([]);
});
