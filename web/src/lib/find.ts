// SPDX-License-Identifier: Apache-2.0
// Which trace belongs to a trace id, request id or job id. The server knows; a trace id that it
// does not recognise is still opened, so that the trace page can say what is missing.
import { ApiError, getJson } from "./api";
import { quote } from "./logql";

interface FindAnswer {
  data?: unknown;
}

/** Trace ids anywhere in the answer, in its order, each once. */
export function traceIds(answer: unknown): string[] {
  const found = new Set<string>();
  const walk = (value: unknown, depth: number) => {
    if (depth > 4 || value === null || typeof value !== "object") return;
    for (const [key, v] of Object.entries(value)) {
      if (/^trace_?id$/i.test(key) && typeof v === "string" && v) found.add(v);
      else if (/^(trace_?ids|traces)$/i.test(key) && Array.isArray(v)) {
        for (const item of v)
          if (typeof item === "string") found.add(item);
          else walk(item, depth + 1);
      } else walk(v, depth + 1);
    }
  };
  walk(answer, 0);
  return [...found];
}

export function looksLikeTraceId(id: string): boolean {
  return /^[0-9a-f]{32}$/i.test(id);
}

/** A query for the lines that carry the id, when no trace does. */
export function logsQueryFor(id: string): string {
  return `{service=~".+"} |= ${quote(id)}`;
}

export async function findTraces(id: string): Promise<string[]> {
  try {
    const answer = await getJson<FindAnswer>("/api/sonde/v1/find", { id });
    const found = traceIds(answer);
    if (found.length) return found;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
  }
  return looksLikeTraceId(id) ? [id.toLowerCase()] : [];
}
