// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import {
  DEFAULT_QUERY,
  addMatcher,
  compose,
  findSelector,
  histogramQuery,
  knownLevel,
  labelName,
  parseMatchers,
  quote,
  spanLogs,
} from "../src/lib/logql";

describe("findSelector", () => {
  it("skips braces inside strings", () => {
    const q = '{a="}", b=`}{`} |= "}"';
    expect(findSelector(q)).toEqual([0, 15]);
    expect(findSelector('count_over_time({a="x"}[1m])')).toEqual([16, 23]);
    expect(findSelector("no selector")).toBeNull();
    expect(findSelector('{a="open')).toBeNull();
  });
});

describe("parseMatchers", () => {
  it("reads the four operators and both kinds of strings", () => {
    expect(parseMatchers('{a="1", b != "2",c=~`x\\.y`, d!~"q\\"q"}')).toEqual([
      { key: "a", op: "=", value: "1" },
      { key: "b", op: "!=", value: "2" },
      { key: "c", op: "=~", value: "x\\.y" },
      { key: "d", op: "!~", value: 'q"q' },
    ]);
  });
});

describe("quote", () => {
  it("round-trips through a matcher", () => {
    for (const value of ['a"b', "back\\slash", "line\nbreak", "tab\t", "plain", "{}", ""]) {
      expect(parseMatchers(`{k=${quote(value)}}`)).toEqual([{ key: "k", op: "=", value }]);
    }
  });
});

describe("addMatcher", () => {
  it("replaces the filler of the default query", () => {
    expect(addMatcher(DEFAULT_QUERY, "user_id", "=", "u-17")).toBe('{user_id="u-17"}');
  });
  it("keeps other matchers and the pipeline", () => {
    expect(addMatcher('{service="api", level="error"} |= "x" | json', "level", "=", "warn")).toBe(
      '{service="api", level="warn"} |= "x" | json',
    );
  });
  it("filters out beside what selects", () => {
    expect(addMatcher('{service="api"}', "user_id", "!=", "u-1")).toBe(
      '{service="api", user_id!="u-1"}',
    );
    expect(addMatcher('{service="api", user_id!="u-1"}', "user_id", "!=", "u-2")).toBe(
      '{service="api", user_id!="u-1", user_id!="u-2"}',
    );
    expect(addMatcher('{service="api", user_id!="u-1"}', "user_id", "!=", "u-1")).toBe(
      '{service="api", user_id!="u-1"}',
    );
  });
  it("never leaves a selector that matches everything", () => {
    expect(addMatcher('{service="api"}', "service", "!=", "api")).toBe(
      '{service=~".+", service!="api"}',
    );
  });
  it("writes attribute names as LogQL can", () => {
    expect(addMatcher('{service="api"}', "http.route", "=", "/v1/images")).toBe(
      '{service="api", http_route="/v1/images"}',
    );
    expect(labelName("2xx-count")).toBe("_2xx_count");
  });
});

describe("compose", () => {
  it("is the query alone when nothing narrows it", () => {
    expect(compose("", [], "")).toBe(DEFAULT_QUERY);
    expect(compose(' {service="api"} ', [], " ")).toBe('{service="api"}');
  });
  it("adds levels and text", () => {
    expect(compose('{service="api"}', ["error"], "")).toBe('{service="api", level="error"}');
    expect(compose('{service="api"} | json', ["error", "fatal"], 'say "hi"')).toBe(
      '{service="api", level=~"error|fatal"} | json |= "say \\"hi\\""',
    );
  });
  it("takes bare words as text to look for", () => {
    expect(compose("timeout", [], "")).toBe('{service=~".+"} |= "timeout"');
  });
});

it("asks for the histogram and for a span's logs", () => {
  expect(histogramQuery('{a="b"}', 10)).toBe('sum by (level) (count_over_time({a="b"}[10s]))');
  expect(spanLogs("t1", "s1")).toBe('{trace_id="t1", span_id="s1"}');
});

it("knows levels by their many names", () => {
  const names = ["ERROR", "warning", "Information", "crit", "INFO2", "", "blue"];
  expect(names.map(knownLevel)).toEqual(["error", "warn", "info", "fatal", "info", "", ""]);
});
