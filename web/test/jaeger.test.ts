// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import {
  buildTree,
  formatTag,
  parseTags,
  summarize,
  visibleRows,
  type Reference,
  type Span,
  type Trace,
} from "../src/lib/jaeger";

function span(
  spanID: string,
  startTime: number,
  duration: number,
  parent?: string,
  over: Partial<Span> = {},
): Span {
  const references: Reference[] = parent
    ? [{ refType: "CHILD_OF", traceID: "t", spanID: parent }]
    : [];
  return {
    traceID: "t",
    spanID,
    operationName: spanID,
    startTime,
    duration,
    references,
    processID: "p1",
    ...over,
  };
}

function trace(...spans: Span[]): Trace {
  return {
    traceID: "t",
    spans,
    processes: { p1: { serviceName: "api" }, p2: { serviceName: "worker" } },
  };
}

const ids = (t: Trace, folded: string[] = []) =>
  visibleRows(buildTree(t), new Set(folded)).map((n) => n.span.spanID);

describe("buildTree", () => {
  it("orders by parent, then by start", () => {
    const t = trace(
      span("late", 30, 5, "root"),
      span("leaf", 12, 1, "early"),
      span("root", 0, 100),
      span("early", 10, 5, "root"),
    );
    expect(ids(t)).toEqual(["root", "early", "leaf", "late"]);
    const tree = buildTree(t);
    expect(tree.nodes.get("leaf")!.depth).toBe(2);
    expect(tree.nodes.get("root")!.below).toBe(3);
    expect([tree.start, tree.end]).toEqual([0, 100]);
  });
  it("puts the API's spans above the worker's that the queue joined to them", () => {
    const t = trace(
      span("job", 500, 1000, "enqueue", { processID: "p2" }),
      span("request", 0, 100),
      span("enqueue", 90, 5, "request"),
      span("db", 10, 5, "request"),
    );
    const rows = visibleRows(buildTree(t), new Set());
    expect(rows.map((n) => n.service)).toEqual(["api", "api", "api", "worker"]);
    expect(rows.map((n) => n.entersService)).toEqual([true, false, false, true]);
  });
  it("shows a span whose parent is missing as a root, and says so", () => {
    const tree = buildTree(trace(span("a", 5, 1, "gone"), span("root", 0, 10)));
    expect(tree.roots.map((n) => [n.span.spanID, n.orphan])).toEqual([
      ["root", false],
      ["a", true],
    ]);
  });
  it("survives spans that name each other as parents, or themselves", () => {
    expect(ids(trace(span("a", 0, 1, "b"), span("b", 1, 1, "a"))).sort()).toEqual(["a", "b"]);
    expect(ids(trace(span("self", 0, 1, "self")))).toEqual(["self"]);
  });
  it("keeps links out of the tree", () => {
    const link: Reference = { refType: "FOLLOWS_FROM", traceID: "t", spanID: "root" };
    const tree = buildTree(
      trace(span("root", 0, 10), span("linked", 5, 1, undefined, { references: [link] })),
    );
    expect(tree.roots).toHaveLength(2);
    expect(tree.roots[1]!.orphan).toBe(false);
  });
  it("counts a span that came twice once", () => {
    expect(buildTree(trace(span("a", 0, 1), span("a", 0, 1))).nodes.size).toBe(1);
  });
  it("marks errors, also those below", () => {
    const tree = buildTree(
      trace(
        span("root", 0, 10),
        span("bad", 1, 1, "root", { tags: [{ key: "error", value: true }] }),
        span("also", 2, 1, "root", { tags: [{ key: "otel.status_code", value: "ERROR" }] }),
        span("fine", 3, 1, "root", { tags: [{ key: "error", value: false }] }),
      ),
    );
    expect(tree.errors).toBe(2);
    expect(tree.nodes.get("root")).toMatchObject({ error: false, errorBelow: true });
    expect(tree.nodes.get("fine")!.error).toBe(false);
  });
  it("takes a chain of 20,000 spans", () => {
    const spans = Array.from({ length: 20_000 }, (_, i) =>
      span(`s${i}`, i, 1, i ? `s${i - 1}` : undefined),
    );
    const tree = buildTree(trace(...spans));
    expect(tree.nodes.get("s19999")!.depth).toBe(19_999);
    expect(tree.roots[0]!.below).toBe(19_999);
  }, 20_000);
  it("is empty without spans", () => {
    expect(buildTree(trace())).toMatchObject({ start: 0, end: 0, roots: [] });
  });
});

it("folds what hangs below a span", () => {
  const t = trace(
    span("root", 0, 100),
    span("a", 1, 5, "root"),
    span("a1", 2, 1, "a"),
    span("b", 10, 1, "root"),
  );
  expect(ids(t, ["a"])).toEqual(["root", "a", "b"]);
  expect(ids(t, ["root"])).toEqual(["root"]);
});

it("sums up a trace for the list", () => {
  const s = summarize(
    trace(
      span("root", 100, 50, undefined, { operationName: "GET /" }),
      span("w", 160, 90, "root", { processID: "p2" }),
    ),
  );
  expect(s).toMatchObject({
    service: "api",
    operation: "GET /",
    start: 100,
    duration: 150,
    spans: 2,
    errors: 0,
    services: [
      { name: "api", spans: 1 },
      { name: "worker", spans: 1 },
    ],
  });
});

describe("tags", () => {
  it("are read from text", () => {
    expect(parseTags('http.method=GET error=true user="a b" url=/x?y=1')).toEqual({
      "http.method": "GET",
      error: "true",
      user: "a b",
      url: "/x?y=1",
    });
    expect(parseTags("")).toEqual({});
    expect(parseTags("just words")).toBeNull();
  });
  it("come back as they were written", () => {
    for (const value of ["plain", "with space", 'quo"te', ""])
      expect(parseTags(formatTag("k", value))).toEqual({ k: value });
  });
});
