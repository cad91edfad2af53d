// SPDX-License-Identifier: Apache-2.0
// Live log lines over Loki's tail WebSocket. After a lost connection it asks again from the last
// line it saw, so that no line is skipped; lines that come twice are dropped here, what the server
// had to drop is counted.
import { useEffect, useRef, useState } from "preact/hooks";
import { tailUrl, toRows, type LogRow, type LokiStream } from "../lib/loki";

export type TailState = "off" | "connecting" | "open" | "lost";

interface TailMessage {
  streams?: LokiStream[] | null;
  dropped_entries?: unknown[] | null;
}

function identity(r: LogRow): string {
  return `${r.ns} ${r.spanId} ${r.line}`;
}

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

export interface TailOptions {
  query: string;
  on: boolean;
  /** The lines after this instant are wanted. */
  sinceNs: () => string;
  /** Newest first. */
  onRows: (rows: LogRow[]) => void;
}

export function useTail(o: TailOptions): { state: TailState; dropped: number } {
  const [state, setState] = useState<TailState>("off");
  const [dropped, setDropped] = useState(0);
  const latest = useRef(o);
  latest.current = o;
  useEffect(() => {
    setDropped(0);
    if (!o.on) return setState("off");
    let socket: WebSocket | undefined;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let wait = RETRY_MIN_MS;
    let stopped = false;
    let last = latest.current.sinceNs();
    const seen = new Set<string>();
    const receive = (message: TailMessage) => {
      const rows = toRows(message.streams ?? []).filter((r) => !seen.has(identity(r)));
      if (message.dropped_entries?.length) setDropped((n) => n + message.dropped_entries!.length);
      if (!rows.length) return;
      if (rows[0]!.ns > last) {
        last = rows[0]!.ns;
        seen.clear();
      }
      for (const r of rows) if (r.ns === last) seen.add(identity(r));
      latest.current.onRows(rows);
    };
    const connect = () => {
      setState("connecting");
      socket = new WebSocket(tailUrl(o.query, last));
      socket.onopen = () => {
        wait = RETRY_MIN_MS;
        setState("open");
      };
      socket.onmessage = (e) => receive(JSON.parse(String(e.data)) as TailMessage);
      socket.onclose = () => {
        if (stopped) return;
        setState("lost");
        retry = setTimeout(connect, wait);
        wait = Math.min(wait * 2, RETRY_MAX_MS);
      };
    };
    connect();
    return () => {
      stopped = true;
      clearTimeout(retry);
      socket?.close();
    };
  }, [o.on, o.query]);
  return { state, dropped };
}
