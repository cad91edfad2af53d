// SPDX-License-Identifier: Apache-2.0
// One trace as a waterfall; ?span= opens the panel of a span, ?fold= and ?view= keep what is folded
// and zoomed.
import { useEffect, useMemo } from "preact/hooks";
import { ApiError } from "../lib/api";
import { count, dateTime, durationUs, msToNs } from "../lib/format";
import { buildTree, getTrace, visibleRows, type Node, type Trace, type Tree } from "../lib/jaeger";
import { traceLogs } from "../lib/logql";
import { queryLogs, type LogRow } from "../lib/loki";
import { href, now, param, place, setParams } from "../lib/url";
import { registerServices } from "../ui/colors";
import { Minimap, WHOLE, type View } from "../ui/minimap";
import { CopyButton, ErrorBox, Service, Skeleton } from "../ui/parts";
import { SpanPanel, logRange, logsHref } from "../ui/span-panel";
import { useQuery } from "../ui/use-query";
import { Waterfall } from "../ui/waterfall";

/**
 * Folds everything below the roots; after it, "-ID" names the exceptions, so that the address stays
 * short.
 */
const ALL = "all";

function readFolded(text: string, nodes: Node[]): ReadonlySet<string> {
  const items = text.split(",").filter(Boolean);
  const folded = new Set(items.filter((id) => id !== ALL && !id.startsWith("-")));
  if (items.includes(ALL))
    for (const n of nodes) if (n.depth > 0 && n.children.length) folded.add(n.span.spanID);
  for (const id of items) if (id.startsWith("-")) folded.delete(id.slice(1));
  return folded;
}

function fold(id: string, on: boolean): void {
  const items = new Set(param("fold").split(",").filter(Boolean));
  items.delete(on ? `-${id}` : id);
  if (on) items.add(id);
  else if (items.has(ALL)) items.add(`-${id}`);
  setParams({ fold: [...items].join(",") }, true);
}

function select(id: string): void {
  setParams({ span: id }, true);
}

function readView(text: string): View {
  const m = /^(0?\.?\d+)-(\d?\.?\d+)$/.exec(text);
  const from = Number(m?.[1] ?? 0);
  const to = Number(m?.[2] ?? 1);
  return m && from >= 0 && to <= 1 && to - from > 1e-6 ? { from, to } : WHOLE;
}

function setView(v: View): void {
  const text = `${+v.from.toFixed(4)}-${+v.to.toFixed(4)}`;
  setParams({ view: text === "0-1" ? null : text }, true);
}

function Head({ trace, tree }: { trace: Trace; tree: Tree }) {
  const root = tree.roots.find((r) => !r.orphan) ?? tree.roots[0];
  const back = href("/traces", root ? { service: root.service } : {});
  return (
    <header class="trace-head">
      <h1>
        {root && (
          <>
            <Service name={root.service} /> <span class="op">{root.span.operationName}</span>
          </>
        )}
      </h1>
      <dl class="facts">
        <div>
          <dt>Duration</dt>
          <dd>{durationUs(tree.end - tree.start)}</dd>
        </div>
        <div>
          <dt>Started</dt>
          <dd>{dateTime(tree.start / 1000)}</dd>
        </div>
        <div>
          <dt>Spans</dt>
          <dd>{count(tree.nodes.size)}</dd>
        </div>
        <div>
          <dt>Errors</dt>
          <dd class={tree.errors ? "bad" : ""}>{count(tree.errors)}</dd>
        </div>
      </dl>
      <p class="row legend">
        {tree.services.map((s) => (
          <Service key={s} name={s} />
        ))}
        <span class="grow" />
        <code class="id" title="Trace id">
          {trace.traceID}
        </code>
        <CopyButton text={trace.traceID} label="Copy the trace id" />
        <a href={logsHref(traceLogs(trace.traceID), logRange(tree))} data-testid="trace-logs">
          Logs of this trace
        </a>
        <a href={back}>More traces</a>
      </p>
    </header>
  );
}

function Missing({ id }: { id: string }) {
  return (
    <div class="empty">
      <h2>No trace with this id</h2>
      <p>
        <code>{id}</code>
      </p>
      <p>
        Spans show up here when they have ended and were sent. It may not have arrived yet, was not
        sampled, or is older than the retention.{" "}
        <button type="button" class="button" onClick={() => (now.value = Date.now())}>
          Look again
        </button>{" "}
        <a href={href("/logs", { query: traceLogs(id) })}>Search the logs for it</a>
      </p>
    </div>
  );
}

/** At most this many lines of a trace are marked on its bars. */
const MAX_LOGS = 2000;

const NO_LOGS: ReadonlyMap<string, LogRow[]> = new Map();

function useTraceLogs(trace: Trace, tree: Tree): ReadonlyMap<string, LogRow[]> {
  const r = logRange(tree);
  const { data } = useQuery(`${trace.traceID} ${r.from} ${r.to}`, async (abort) => {
    const bySpan = new Map<string, LogRow[]>();
    const query = {
      query: traceLogs(trace.traceID),
      startNs: msToNs(r.from),
      endNs: msToNs(r.to),
      limit: MAX_LOGS,
    };
    for (const row of await queryLogs({ ...query, direction: "forward" }, abort)) {
      const rows = bySpan.get(row.spanId);
      if (rows) rows.push(row);
      else bySpan.set(row.spanId, [row]);
    }
    return bySpan;
  });
  return data ?? NO_LOGS;
}

function Loaded({ trace }: { trace: Trace }) {
  const tree = useMemo(() => buildTree(trace), [trace]);
  const all = useMemo(() => visibleRows(tree, new Set()), [tree]);
  const foldText = param("fold");
  const folded = useMemo(() => readFolded(foldText, all), [foldText, all]);
  const rows = useMemo(() => visibleRows(tree, folded), [tree, folded]);
  const selected = param("span");
  const node = tree.nodes.get(selected);
  const logs = useTraceLogs(trace, tree);
  const viewText = param("view");
  const view = useMemo(() => readView(viewText), [viewText]);
  registerServices(tree.services);
  useEffect(() => {
    const escape = (e: KeyboardEvent) => {
      if (e.key === "Escape" && !document.querySelector("dialog[open]") && param("span"))
        setParams({ span: null }, true);
    };
    document.addEventListener("keydown", escape);
    return () => document.removeEventListener("keydown", escape);
  }, []);
  const root = tree.roots[0];
  document.title = root ? `${root.span.operationName} · sonde` : "Trace · sonde";
  return (
    <>
      <Head trace={trace} tree={tree} />
      {trace.warnings?.map((w) => (
        <p class="warn-text" key={w}>
          {w}
        </p>
      ))}
      <div class="split">
        <Waterfall
          tree={tree}
          rows={rows}
          folded={folded}
          selected={selected}
          view={view}
          logs={logs}
          onSelect={select}
          onFold={fold}
        >
          <div class="minimap-row">
            <div class="span-name row">
              <button
                type="button"
                class="button"
                disabled={all.length <= tree.roots.length}
                onClick={() => setParams({ fold: folded.size ? null : ALL }, true)}
              >
                {folded.size ? "Unfold all" : "Fold all"}
              </button>
              {view !== WHOLE && (
                <button type="button" class="button" onClick={() => setView(WHOLE)}>
                  Whole trace
                </button>
              )}
            </div>
            <Minimap tree={tree} rows={all} view={view} onView={setView} />
          </div>
        </Waterfall>
        {node ? (
          <SpanPanel
            key={selected}
            node={node}
            trace={trace}
            tree={tree}
            onClose={() => setParams({ span: null }, true)}
          />
        ) : (
          selected && (
            <aside class="panel">
              <p class="hint">
                Span <code>{selected}</code> is not in this trace: it may not have ended or not have
                arrived yet.
              </p>
            </aside>
          )
        )}
      </div>
    </>
  );
}

export default function TracePage() {
  const id = decodeURIComponent(place.value.path.slice("/trace/".length));
  const { data, error, loading } = useQuery(`${id} ${now.value}`, async (abort) => ({
    trace: await getTrace(id, abort),
  }));
  const missing = (error instanceof ApiError && error.status === 404) || (data && !data.trace);
  return (
    <main class="page fill" aria-busy={loading}>
      {missing ? (
        <Missing id={id} />
      ) : error ? (
        <ErrorBox error={error} />
      ) : data?.trace ? (
        <Loaded trace={data.trace} />
      ) : (
        <Skeleton rows={12} />
      )}
    </main>
  );
}
