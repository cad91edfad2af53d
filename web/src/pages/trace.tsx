// SPDX-License-Identifier: Apache-2.0
// One trace as a waterfall; ?span= opens the panel of a span, ?fold= and ?view= keep what is folded and zoomed.
import { useEffect, useMemo } from "preact/hooks";
import { ApiError } from "../lib/api";
import { count, dateTime, durationUs } from "../lib/format";
import { buildTree, getTrace, visibleRows, type Trace, type Tree } from "../lib/jaeger";
import { traceLogs } from "../lib/logql";
import { href, now, param, place, setParams } from "../lib/url";
import { registerServices } from "../ui/colors";
import { Minimap, WHOLE, type View } from "../ui/minimap";
import { CopyButton, ErrorBox, Service, Skeleton } from "../ui/parts";
import { SpanPanel, logRange, logsHref } from "../ui/span-panel";
import { useQuery } from "../ui/use-query";
import { Waterfall } from "../ui/waterfall";

function readView(): View {
  const m = /^(0?\.?\d+)-(\d?\.?\d+)$/.exec(param("view"));
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
        {root && <><Service name={root.service} /> <span class="op">{root.span.operationName}</span></>}
      </h1>
      <dl class="facts">
        <div><dt>Duration</dt><dd>{durationUs(tree.end - tree.start)}</dd></div>
        <div><dt>Started</dt><dd>{dateTime(tree.start / 1000)}</dd></div>
        <div><dt>Spans</dt><dd>{count(tree.nodes.size)}</dd></div>
        <div><dt>Errors</dt><dd class={tree.errors ? "bad" : ""}>{count(tree.errors)}</dd></div>
      </dl>
      <p class="row legend">
        {tree.services.map((s) => <Service key={s} name={s} />)}
        <span class="grow" />
        <code class="id" title="Trace id">{trace.traceID}</code>
        <CopyButton text={trace.traceID} label="Copy the trace id" />
        <a href={logsHref(traceLogs(trace.traceID), logRange(tree))} data-testid="trace-logs">Logs of this trace</a>
        <a href={back}>More traces</a>
      </p>
    </header>
  );
}

function Missing({ id }: { id: string }) {
  return (
    <div class="empty">
      <h2>No trace with this id</h2>
      <p><code>{id}</code></p>
      <p>
        Spans show up here when they have ended and were sent. It may not have arrived yet, was not sampled, or is older than
        the retention. <button type="button" class="button" onClick={() => (now.value = Date.now())}>Look again</button>{" "}
        <a href={href("/logs", { query: traceLogs(id) })}>Search the logs for it</a>
      </p>
    </div>
  );
}

function Loaded({ trace }: { trace: Trace }) {
  const tree = useMemo(() => buildTree(trace), [trace]);
  const foldText = param("fold");
  const folded = useMemo(() => new Set(foldText.split(",").filter(Boolean)), [foldText]);
  const rows = useMemo(() => visibleRows(tree, folded), [tree, folded]);
  const all = useMemo(() => visibleRows(tree, new Set()), [tree]);
  const selected = param("span");
  const node = tree.nodes.get(selected);
  const view = readView();
  registerServices(tree.services);
  useEffect(() => {
    const escape = (e: KeyboardEvent) => {
      if (e.key === "Escape" && !document.querySelector("dialog[open]") && param("span")) setParams({ span: null }, true);
    };
    document.addEventListener("keydown", escape);
    return () => document.removeEventListener("keydown", escape);
  }, []);
  const fold = (id: string, on: boolean) => {
    const next = new Set(folded);
    if (on) next.add(id);
    else next.delete(id);
    setParams({ fold: [...next].join(",") }, true);
  };
  const parents = all.filter((n) => n.children.length && n.depth > 0).map((n) => n.span.spanID);
  const root = tree.roots[0];
  document.title = root ? `${root.span.operationName} · sonde` : "Trace · sonde";
  return (
    <>
      <Head trace={trace} tree={tree} />
      {trace.warnings?.map((w) => <p class="warn-text" key={w}>{w}</p>)}
      <div class="split">
        <Waterfall
          tree={tree} rows={rows} folded={folded} selected={selected} view={view}
          onSelect={(id) => setParams({ span: id }, true)} onFold={fold}
        >
          <div class="minimap-row">
            <div class="span-name row">
              <button type="button" class="button" disabled={!parents.length} onClick={() => setParams({ fold: folded.size ? null : parents.join(",") }, true)}>
                {folded.size ? "Unfold all" : "Fold all"}
              </button>
              {view !== WHOLE && <button type="button" class="button" onClick={() => setView(WHOLE)}>Whole trace</button>}
            </div>
            <Minimap tree={tree} rows={all} view={view} onView={setView} />
          </div>
        </Waterfall>
        {node ? (
          <SpanPanel key={selected} node={node} trace={trace} tree={tree} onClose={() => setParams({ span: null }, true)} />
        ) : selected && (
          <aside class="panel">
            <p class="hint">Span <code>{selected}</code> is not in this trace: it may not have ended or not have arrived yet.</p>
          </aside>
        )}
      </div>
    </>
  );
}

export default function TracePage() {
  const id = decodeURIComponent(place.value.path.slice("/trace/".length));
  const { data, error, loading } = useQuery(`${id} ${now.value}`, async (abort) => ({ trace: await getTrace(id, abort) }));
  const missing = (error instanceof ApiError && error.status === 404) || (data && !data.trace);
  return (
    <main class="page fill" aria-busy={loading}>
      {missing ? <Missing id={id} /> : error ? <ErrorBox error={error} /> : data?.trace ? <Loaded trace={data.trace} /> : <Skeleton rows={12} />}
    </main>
  );
}
