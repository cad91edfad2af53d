// SPDX-License-Identifier: Apache-2.0
// Loki's answers as rows. A value is [nanoseconds, line, metadata]; metadata is either plain fields
// or Loki's { structuredMetadata, parsed }. Timestamps stay strings: a double cannot hold
// nanoseconds.
import { getJson } from "./api";
import { nsToMs } from "./format";
import { knownLevel, type Level } from "./logql";

export interface LokiStream {
  stream: Record<string, string>;
  values: [string, string, Record<string, unknown>?][];
}

export interface LogRow {
  ns: string;
  ms: number;
  level: Level | "";
  service: string;
  message: string;
  line: string;
  labels: Record<string, string>;
  /** Structured metadata and the fields of a JSON line. */
  fields: Record<string, string>;
  traceId: string;
  spanId: string;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

function flatten(meta: Record<string, unknown> | undefined): Record<string, string> {
  const out: Record<string, string> = {};
  if (!meta) return out;
  for (const [key, value] of Object.entries(meta)) {
    if (
      (key === "structuredMetadata" || key === "parsed") &&
      value !== null &&
      typeof value === "object"
    ) {
      for (const [k, v] of Object.entries(value)) out[k] = text(v);
    } else out[key] = text(value);
  }
  return out;
}

const MESSAGE_KEYS = ["message", "msg", "event", "body"];
/** Fields of a JSON line that repeat what the row shows in columns of its own. */
const COLUMN_KEYS = new Set(["timestamp", "time", "ts", "@timestamp", "level", "severity"]);

export function toRow(stream: Record<string, string>, value: LokiStream["values"][number]): LogRow {
  const [ns, line, meta] = value;
  const fields = flatten(meta);
  let message = line;
  if (line.startsWith("{") && line.endsWith("}")) {
    try {
      const json = JSON.parse(line) as Record<string, unknown>;
      const key = MESSAGE_KEYS.find((k) => typeof json[k] === "string");
      if (key) message = json[key] as string;
      for (const [k, v] of Object.entries(json))
        if (k !== key && !COLUMN_KEYS.has(k) && !(k in fields)) fields[k] = text(v);
    } catch {
      // A line that only looks like JSON is shown as it is.
    }
  }
  const pick = (...names: string[]) => {
    for (const name of names) {
      const found = fields[name] ?? stream[name];
      if (found) return found;
    }
    return "";
  };
  return {
    ns,
    ms: nsToMs(ns),
    level: knownLevel(pick("level", "detected_level", "severity_text", "severity")),
    service: pick("service_name", "service", "service.name"),
    message,
    line,
    labels: stream,
    fields,
    traceId: pick("trace_id", "traceID", "traceid"),
    spanId: pick("span_id", "spanID", "spanid"),
  };
}

/** Newest first; equal timestamps keep the server's order. */
export function newestFirst(a: LogRow, b: LogRow): number {
  if (a.ns.length !== b.ns.length) return b.ns.length - a.ns.length;
  return a.ns < b.ns ? 1 : a.ns > b.ns ? -1 : 0;
}

export function toRows(streams: LokiStream[]): LogRow[] {
  const rows: LogRow[] = [];
  for (const s of streams) for (const v of s.values) rows.push(toRow(s.stream, v));
  return rows.sort(newestFirst);
}

/**
 * Joins the next, older page to the rows so far. The page was asked for up to and including the oldest
 * timestamp shown, because rows may share it; those rows come again and replace the ones that were there.
 */
export function joinPages(rows: LogRow[], older: LogRow[]): LogRow[] {
  const edge = rows[rows.length - 1]?.ns;
  return [...rows.filter((r) => r.ns !== edge), ...older];
}

interface QueryAnswer {
  data: { resultType: string; result: LokiStream[] };
}

export interface MatrixSeries {
  metric: Record<string, string>;
  values: [number, string][];
}

export interface LogsRequest {
  query: string;
  startNs: string;
  endNs: string;
  limit: number;
  direction?: "forward" | "backward";
}

export async function queryLogs(r: LogsRequest, abort?: AbortSignal): Promise<LogRow[]> {
  const answer = await getJson<QueryAnswer>(
    "/loki/api/v1/query_range",
    {
      query: r.query,
      start: r.startNs,
      end: r.endNs,
      limit: r.limit,
      direction: r.direction ?? "backward",
    },
    abort,
  );
  return toRows(answer.data.result ?? []);
}

export async function queryLogCounts(
  query: string,
  start: number,
  end: number,
  step: number,
  abort?: AbortSignal,
): Promise<MatrixSeries[]> {
  const answer = await getJson<{ data: { result: MatrixSeries[] } }>(
    "/loki/api/v1/query_range",
    { query, start: `${start}000000000`, end: `${end}000000000`, step: `${step}s` },
    abort,
  );
  return answer.data.result ?? [];
}

export function tailUrl(query: string, startNs: string): string {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const params = new URLSearchParams({ query, start: startNs, limit: "500" });
  return `${scheme}//${location.host}/loki/api/v1/tail?${params}`;
}
