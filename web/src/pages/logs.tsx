// SPDX-License-Identifier: Apache-2.0
// Logs: a LogQL query narrowed by level and text, its volume over time, and the lines, newest
// first. Older lines are loaded by time as the list is scrolled; live mode adds new ones on top.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError } from "../lib/api";
import { count, msToNs } from "../lib/format";
import {
  DEFAULT_QUERY,
  LEVELS,
  addMatcher,
  compose,
  histogramQuery,
  knownLevel,
} from "../lib/logql";
import { joinPages, queryLogCounts, queryLogs, type LogRow } from "../lib/loki";
import { niceStep, type Range } from "../lib/range";
import { now, param, range, setParams, toText, zoomTo } from "../lib/url";
import { registerServices } from "../ui/colors";
import { LevelChart, levelCounts } from "../ui/level-chart";
import { LogLine, rowId } from "../ui/log-row";
import { CopyButton, Empty, ErrorBox, Icon, Skeleton } from "../ui/parts";
import { useQuery } from "../ui/use-query";
import { useTail } from "../ui/use-tail";
import { useVirtual } from "../ui/use-virtual";

const PAGE = 500;
/** The most lines that the server gives at once. */
const MAX_PAGE = 5000;
/** Live mode keeps this many lines; what falls off the end is one "load older" away. */
const LIVE_MAX = 5000;
const BARS = 90;

interface Lines {
  rows: LogRow[];
  more: boolean;
  loading: boolean;
  error: Error | undefined;
  loadOlder: () => void;
  addNewer: (rows: LogRow[]) => void;
}

const NONE: LogRow[] = [];

/** The lines of an expression in a range: the newest page first, older ones on demand. */
function useLines(expr: string, r: Range, key: string): Lines {
  const [state, setState] = useState({
    rows: NONE,
    more: false,
    loading: true,
    error: undefined as Error | undefined,
  });
  const abort = useRef<AbortController | null>(null);
  const load = (older: boolean, limit: number) => {
    abort.current?.abort();
    const mine = (abort.current = new AbortController());
    setState((s) => ({ ...s, loading: true }));
    const edge = older ? state.rows[state.rows.length - 1]?.ns : undefined;
    const endNs = edge ? String(BigInt(edge) + 1n) : msToNs(r.to);
    queryLogs({ query: expr, startNs: msToNs(r.from), endNs, limit }, mine.signal).then(
      (page) => {
        if (mine.signal.aborted) return;
        // A whole page of one instant does not get past it: ask for more at once.
        const stuck = edge && page.length === limit && page[page.length - 1]!.ns === edge;
        if (stuck && limit < MAX_PAGE) return load(true, Math.min(limit * 4, MAX_PAGE));
        setState((s) => ({
          rows: older ? joinPages(s.rows, page) : page,
          more: page.length >= limit && !stuck,
          loading: false,
          error: undefined,
        }));
      },
      (error: Error) => {
        if (!mine.signal.aborted)
          setState((s) => ({ ...s, rows: older ? s.rows : NONE, loading: false, error }));
      },
    );
  };
  useEffect(() => {
    load(false, PAGE);
    return () => abort.current?.abort();
  }, [expr, key]);
  return {
    ...state,
    loadOlder: () => state.loading || !state.more || load(true, PAGE),
    addNewer: (rows) =>
      setState((s) => {
        const all = [...rows, ...s.rows];
        return all.length > LIVE_MAX
          ? { ...s, rows: all.slice(0, LIVE_MAX), more: true }
          : { ...s, rows: all };
      }),
  };
}

function QueryForm({ query, text }: { query: string; text: string }) {
  const [draft, setDraft] = useState(query);
  const [draftText, setDraftText] = useState(text);
  useEffect(() => setDraft(query), [query]);
  useEffect(() => setDraftText(text), [text]);
  const submit = (e: Event) => {
    e.preventDefault();
    now.value = Date.now();
    setParams({
      query: draft.trim() === DEFAULT_QUERY ? null : draft.trim(),
      text: draftText.trim(),
      row: null,
    });
  };
  return (
    <form class="query-form" onSubmit={submit}>
      <input
        class="mono grow"
        aria-label="LogQL query"
        data-testid="logql"
        value={draft}
        spellcheck={false}
        autocomplete="off"
        placeholder={DEFAULT_QUERY}
        onInput={(e) => setDraft(e.currentTarget.value)}
      />
      <input
        class="text"
        type="search"
        aria-label="Text that the line contains"
        value={draftText}
        placeholder="Line contains…"
        onInput={(e) => setDraftText(e.currentTarget.value)}
      />
      <button type="submit" class="button primary">
        Run
      </button>
    </form>
  );
}

function Levels({ chosen }: { chosen: string[] }) {
  const toggle = (level: string) => {
    const next = chosen.includes(level) ? chosen.filter((l) => l !== level) : [...chosen, level];
    setParams({ level: next.join(","), row: null });
  };
  return (
    <div class="levels" role="group" aria-label="Levels; none chosen shows all">
      {LEVELS.map((level) => (
        <button
          type="button"
          key={level}
          class={`chip level-${level}`}
          aria-pressed={chosen.includes(level)}
          onClick={() => toggle(level)}
        >
          {level}
        </button>
      ))}
    </div>
  );
}

function Histogram({
  expr,
  r,
  onTotal,
}: {
  expr: string;
  r: Range;
  onTotal: (n: number | null) => void;
}) {
  const step = niceStep(r, BARS);
  const end = Math.ceil(r.to / 1000 / step) * step;
  const start = Math.floor(r.from / 1000 / step) * step + step;
  const { data } = useQuery(`${expr} ${start} ${end} ${r.to}`, async (abort) =>
    levelCounts(
      await queryLogCounts(histogramQuery(expr, step), start, end, step, abort),
      start,
      end,
      step,
    ),
  );
  useEffect(() => onTotal(data ? data.total : null), [data]);
  return (
    <div class="histogram">
      {data && data.levels.length > 0 && <LevelChart counts={data} onZoom={zoomTo} />}
    </div>
  );
}

interface ListProps {
  lines: Lines;
  live: boolean;
}

function openRows(): Set<string> {
  return new Set(param("row").split(",").filter(Boolean));
}

function toggle(id: string): void {
  const next = openRows();
  if (!next.delete(id)) next.add(id);
  setParams({ row: [...next].join(",") }, true);
}

function filter(key: string, op: "=" | "!=", value: string): void {
  const level = /^(detected_)?level$/.test(key) && op === "=" ? knownLevel(value) : "";
  if (level) setParams({ level, row: null });
  else setParams({ query: addMatcher(param("query", DEFAULT_QUERY), key, op, value), row: null });
}

function List({ lines, live }: ListProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const { rows } = lines;
  const find = param("text").trim();
  const open = openRows();
  // As wide as the longest name, within bounds; the square and its gap take three characters.
  const longest = useMemo(() => rows.reduce((n, r) => Math.max(n, r.service.length), 0), [rows]);
  const serviceWidth = Math.min(24, Math.max(6, longest)) + 3;
  const ids = useMemo(() => rows.map(rowId), [rows]);
  const virtual = useVirtual({
    scroller,
    count: rows.length,
    rowHeight: 24,
    keyOf: (i) => `${ids[i]}-${rows.length - i}`,
  });
  const last = virtual.items[virtual.items.length - 1];
  useEffect(() => {
    if (last && last.index >= rows.length - 30 && !live) lines.loadOlder();
  }, [last?.index, rows.length]);
  useLayoutEffect(() => {
    const wanted = ids.findIndex((id) => open.has(id));
    if (wanted > 20) virtual.scrollTo(wanted);
  }, [rows.length > 0]);
  return (
    <div
      class="log-list"
      style={{ "--service-width": `${serviceWidth}ch` }}
      ref={scroller}
      tabIndex={0}
      aria-label="Log lines, newest first"
    >
      <div style={{ height: `${virtual.total}px`, position: "relative" }}>
        {virtual.items.map((item) => {
          const row = rows[item.index]!;
          return (
            <div
              key={item.key}
              data-index={item.index}
              ref={virtual.measure}
              class="virtual"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <LogLine
                row={row}
                id={ids[item.index]!}
                open={open.has(ids[item.index]!)}
                onToggle={toggle}
                filter={filter}
                find={find}
              />
            </div>
          );
        })}
      </div>
      {rows.length > 0 && (
        <p class="list-end">
          {lines.more ? (
            <button type="button" class="button" disabled={lines.loading} onClick={lines.loadOlder}>
              {lines.loading ? "Loading older lines…" : "Load older lines"}
            </button>
          ) : (
            "No older lines in this range."
          )}
        </p>
      )}
    </div>
  );
}

const TAIL_TEXT = {
  off: "",
  connecting: "connecting…",
  open: "live",
  lost: "connection lost, trying again…",
};

export default function Logs() {
  const query = param("query", DEFAULT_QUERY);
  const text = param("text");
  const levels = param("level")
    .split(",")
    .filter((l) => (LEVELS as readonly string[]).includes(l));
  const live = param("live") === "1";
  const expr = compose(query, levels, text);
  const r = range.value;
  const [total, setTotal] = useState<number | null>(null);
  const [held, setHeld] = useState<LogRow[]>(NONE);
  // In live mode the tail brings what is new; loading the range again would fetch the same lines
  // twice.
  const lines = useLines(expr, r, live ? "live" : `${r.from}-${r.to}`);
  const tail = useTail({
    query: expr,
    on: live && !lines.loading,
    sinceNs: () => (lines.rows[0] ? String(BigInt(lines.rows[0].ns) + 1n) : msToNs(r.to)),
    onRows: (rows) => {
      const box = document.querySelector(".log-list");
      if (box && box.scrollTop > 30) setHeld((h) => [...rows, ...h].slice(0, LIVE_MAX));
      else lines.addNewer(rows);
    },
  });
  useEffect(() => setHeld(NONE), [expr, live]);
  useEffect(() => {
    if (!live) return;
    const timer = setInterval(() => (now.value = Date.now()), 5000);
    return () => clearInterval(timer);
  }, [live]);
  const show = () => {
    lines.addNewer(held);
    setHeld(NONE);
    document.querySelector(".log-list")?.scrollTo({ top: 0 });
  };
  registerServices([...new Set(lines.rows.map((row) => row.service).filter(Boolean))]);
  document.title = "Logs · sonde";
  const setLive = () =>
    setParams(
      live
        ? { live: null }
        : { live: 1, to: null, ...(toText.value === "now" ? {} : { from: null }) },
    );
  const missing = lines.error instanceof ApiError && lines.error.status === 400 && expr !== query;
  return (
    <main class="page fill" aria-busy={lines.loading}>
      <h1 class="off-screen">Logs</h1>
      <QueryForm query={query} text={text} />
      <div class="bar">
        <Levels chosen={levels} />
        <span class="hint grow" data-testid="log-count">
          {lines.rows.length > 0 && `${count(lines.rows.length)} lines loaded`}
          {total !== null && total > lines.rows.length && ` of about ${count(total)}`}
        </span>
        {tail.dropped > 0 && (
          <span class="warn-text">{count(tail.dropped)} lines were dropped by the server</span>
        )}
        {live && (
          <span class={`tail-state ${tail.state}`} role="status">
            {TAIL_TEXT[tail.state]}
          </span>
        )}
        <CopyButton text={expr} label={`Copy the whole query: ${expr}`} />
        <button
          type="button"
          class="button"
          data-testid="live"
          aria-pressed={live}
          onClick={setLive}
        >
          <Icon name={live ? "pause" : "play"} />
          Live
        </button>
      </div>
      <Histogram expr={expr} r={r} onTotal={setTotal} />
      {held.length > 0 && (
        <button type="button" class="held" onClick={show}>
          {count(held.length)} new lines
        </button>
      )}
      {lines.error && <ErrorBox error={lines.error} />}
      {missing && (
        <p class="hint">
          The whole query, with levels and text: <code>{expr}</code>
        </p>
      )}
      {lines.loading && !lines.rows.length ? (
        <Skeleton rows={14} />
      ) : !lines.rows.length && !lines.error ? (
        <Empty what={expr === DEFAULT_QUERY ? "log lines" : "lines that match"}>
          {expr !== DEFAULT_QUERY && (
            <p>
              Asked for: <code>{expr}</code>{" "}
              <button
                type="button"
                class="button"
                onClick={() => setParams({ query: null, level: null, text: null })}
              >
                Clear
              </button>
            </p>
          )}
        </Empty>
      ) : (
        <List lines={lines} live={live} />
      )}
    </main>
  );
}
