// SPDX-License-Identifier: Apache-2.0
// Requests to the server that served this page, and its errors in the words it used. Each API has
// its own error shape (Prometheus, Loki, Jaeger, sonde); `errorText` knows them all.
import { signal } from "@preact/signals";
import type { Params } from "./url";

/** Requests under way; the frame shows a bar while there are any. */
export const pending = signal(0);

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    /** The query that was refused, when the error may point into it. */
    readonly query?: string,
  ) {
    super(message);
  }
}

/** The message inside an error answer, whatever API it came from. */
export function errorText(status: number, body: string): string {
  let message = "";
  try {
    const json = JSON.parse(body);
    if (typeof json === "string") message = json;
    else if (typeof json.error === "string") message = json.error;
    else if (typeof json.error?.message === "string") message = json.error.message;
    else if (Array.isArray(json.errors) && json.errors.length)
      message = json.errors
        .map((e: { msg?: string; message?: string }) => e.msg ?? e.message)
        .join("; ");
    else if (typeof json.message === "string") message = json.message;
  } catch {
    message = body.trim().startsWith("<") ? "" : body.trim().slice(0, 2000);
  }
  return message || `The server answered ${status} without saying why.`;
}

/** Where in the query an error message points: a 0-based line and column, or null. */
export function errorPosition(
  message: string,
  query: string,
): { line: number; column: number } | null {
  const named = /\bline (\d+),? col(?:umn)? (\d+)/i.exec(message);
  const pair = named ?? /(?:^|[\s(])(\d+):(\d+):/.exec(message);
  const lines = query.split("\n");
  if (pair) {
    const line = Number(pair[1]) - 1;
    const column = Number(pair[2]) - 1;
    if (line < 0 || line >= lines.length || column < 0) return null;
    return { line, column: Math.min(column, lines[line]!.length) };
  }
  const offset = /\b(?:at )?(?:position|offset|char(?:acter)?) (\d+)/i.exec(message);
  if (!offset) return null;
  let rest = Math.min(Number(offset[1]), query.length);
  for (let line = 0; line < lines.length; line++) {
    if (rest <= lines[line]!.length) return { line, column: rest };
    rest -= lines[line]!.length + 1;
  }
  return null;
}

export async function getJson<T>(path: string, params: Params, abort?: AbortSignal): Promise<T> {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(key, String(value));
  }
  const text = query.toString();
  pending.value++;
  try {
    let response: Response;
    try {
      response = await fetch(text ? `${path}?${text}` : path, {
        headers: { Accept: "application/json" },
        ...(abort ? { signal: abort } : {}),
      });
    } catch (error) {
      if (abort?.aborted) throw error;
      throw new ApiError(
        `The server at ${location.host} does not answer. Is \`sonde serve\` running?`,
        0,
      );
    }
    if (!response.ok) {
      const said = errorText(response.status, await response.text());
      throw new ApiError(said, response.status, params.query ? String(params.query) : undefined);
    }
    return (await response.json()) as T;
  } finally {
    pending.value--;
  }
}
