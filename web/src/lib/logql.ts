// SPDX-License-Identifier: Apache-2.0
// Just enough LogQL to edit a query from buttons: find the stream selector, add, replace and remove
// matchers, append a line filter. Strings are skipped as the language has them ("…" with escapes,
// `…` raw), so braces and commas inside them do no harm. What follows the selector is kept as it
// was typed.

export type MatchOp = "=" | "!=" | "=~" | "!~";

export interface Matcher {
  key: string;
  op: MatchOp;
  value: string;
}

export const DEFAULT_QUERY = '{service=~".+"}';

export const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;
export type Level = (typeof LEVELS)[number];

export function quote(value: string): string {
  return '"' + value.replace(/[\\"\n\r\t]/g, (c) => ESCAPES[c]!) + '"';
}

const ESCAPES: Record<string, string> = {
  "\\": "\\\\",
  '"': '\\"',
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function unquote(text: string): string {
  if (text.startsWith("`")) return text.slice(1, -1);
  const plain: Record<string, string> = { n: "\n", r: "\r", t: "\t" };
  return text.slice(1, -1).replace(/\\(.)/g, (_, c: string) => plain[c] ?? c);
}

/** Index just past the string that starts at `i`; the end of the text when it is not closed. */
function skipString(text: string, i: number): number {
  const mark = text[i]!;
  for (let k = i + 1; k < text.length; k++) {
    if (text[k] === "\\" && mark === '"') k++;
    else if (text[k] === mark) return k + 1;
  }
  return text.length;
}

/** The braces of the first selector, as [index of "{", index past "}"]; null when there is none. */
export function findSelector(query: string): [number, number] | null {
  let open = -1;
  for (let i = 0; i < query.length;) {
    const c = query[i]!;
    if (c === '"' || c === "`") {
      i = skipString(query, i);
      continue;
    }
    if (c === "{" && open < 0) open = i;
    else if (c === "}" && open >= 0) return [open, i + 1];
    i++;
  }
  return null;
}

export function parseMatchers(query: string): Matcher[] {
  const found = findSelector(query);
  if (!found) return [];
  const inside = query.slice(found[0] + 1, found[1] - 1);
  const pattern =
    /([A-Za-z_][\w.:]*|"(?:[^"\\]|\\.)*")\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|`[^`]*`)/g;
  return [...inside.matchAll(pattern)].map(([, key, op, value]) => ({
    key: key!.startsWith('"') ? unquote(key!) : key!,
    op: op as MatchOp,
    value: unquote(value!),
  }));
}

/** Names as LogQL can write them: `http.method` is asked for as `http_method`. */
export function labelName(key: string): string {
  const name = key.replace(/[^A-Za-z0-9_]/g, "_");
  return /^[0-9]/.test(name) ? "_" + name : name;
}

export function formatMatcher(m: Matcher): string {
  const key = /^[A-Za-z_][\w.:]*$/.test(m.key) ? m.key : quote(m.key);
  return `${key}${m.op}${quote(m.value)}`;
}

function withMatchers(query: string, matchers: Matcher[]): string {
  const found = findSelector(query);
  const list = matchers.length ? matchers : parseMatchers(DEFAULT_QUERY);
  const selector = `{${list.map(formatMatcher).join(", ")}}`;
  if (!found) return query.trim() ? `${selector} |= ${quote(query.trim())}` : selector;
  return query.slice(0, found[0]) + selector + query.slice(found[1]);
}

/** A matcher that selects everything says nothing once there is a better one. */
function isFiller(m: Matcher): boolean {
  return (
    m.op === "=~" &&
    (m.value === ".+" || m.value === ".*") &&
    (m.key === "service" || m.key === "service_name")
  );
}

/**
 * Adds a matcher. "=" replaces what was asked of the same key before; "!=" is added beside others and
 * removes the "=" that it contradicts.
 */
export function addMatcher(query: string, key: string, op: MatchOp, value: string): string {
  const name = labelName(key);
  const kept = parseMatchers(query).filter((m) => {
    if (labelName(m.key) !== name) return true;
    if (op === "=" || op === "=~") return false;
    return !(m.op === op && m.value === value) && !(m.op === "=" && m.value === value);
  });
  const positive = op === "=" || op === "=~";
  const others = positive && value !== "" ? kept.filter((m) => !isFiller(m)) : kept;
  // A selector needs one matcher that does not match the empty string.
  if (!positive && !others.some((m) => m.op === "=" || m.op === "=~"))
    others.unshift(...parseMatchers(DEFAULT_QUERY));
  return withMatchers(query, [...others, { key: name, op, value }]);
}

export function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** What the page asks for: the query box, narrowed by the level buttons and the text box. */
export function compose(query: string, levels: readonly string[], text: string): string {
  let expr = query.trim() || DEFAULT_QUERY;
  if (!findSelector(expr)) expr = withMatchers(expr, []);
  if (levels.length === 1)
    expr = withMatchers(expr, [
      ...parseMatchers(expr),
      { key: "level", op: "=", value: levels[0]! },
    ]);
  else if (levels.length > 1)
    expr = withMatchers(expr, [
      ...parseMatchers(expr),
      { key: "level", op: "=~", value: levels.map(escapeRegex).join("|") },
    ]);
  if (text.trim()) expr += ` |= ${quote(text.trim())}`;
  return expr;
}

export function histogramQuery(expr: string, stepSeconds: number): string {
  return `sum by (level) (count_over_time(${expr}[${stepSeconds}s]))`;
}

/** The logs of one span, and no others. */
export function spanLogs(traceId: string, spanId: string): string {
  return `{trace_id=${quote(traceId)}, span_id=${quote(spanId)}}`;
}

export function traceLogs(traceId: string): string {
  return `{trace_id=${quote(traceId)}}`;
}

const SYNONYMS: Record<string, Level> = {
  critical: "fatal",
  crit: "fatal",
  panic: "fatal",
  emerg: "fatal",
  alert: "fatal",
  err: "error",
  warning: "warn",
  information: "info",
  notice: "info",
  dbug: "debug",
  verbose: "trace",
};

/** One of six names, or "" for a level that says nothing known. */
export function knownLevel(text: string | undefined): Level | "" {
  const s = (text ?? "").toLowerCase();
  if ((LEVELS as readonly string[]).includes(s)) return s as Level;
  const numbered = /^(fatal|error|warn|info|debug|trace)[1-4]$/.exec(s);
  if (numbered) return numbered[1] as Level;
  return SYNONYMS[s] ?? "";
}
