// SPDX-License-Identifier: Apache-2.0
// Traces: a search form, durations over time, and the list. The server gives the newest matches up
// to a limit; sorting happens here.
import uPlot from "uplot";
import { useEffect, useState } from "preact/hooks";
import { ago, count, dateTime, durationUs } from "../lib/format";
import {
  formatTag,
  listOperations,
  listServices,
  parseTags,
  searchTraces,
  summarize,
  type Summary,
  type TraceSearch,
} from "../lib/jaeger";
import { parseDuration, type Range } from "../lib/range";
import { findSlowest } from "../lib/slowest";
import { go, href, now, param, range, setParams, zoomTo } from "../lib/url";
import { Chart, timeAxis, valueAxis, type Palette } from "../ui/chart";
import { registerServices } from "../ui/colors";
import { Empty, ErrorBox, Icon, Service, Skeleton, SortHead } from "../ui/parts";
import { useQuery } from "../ui/use-query";

const LIMITS = [50, 100, 200, 500, 1000, 1500];
const DEFAULT_LIMIT = 200;

/** Empty for what the API would refuse; "250ms", "1.5s" and plain milliseconds are durations. */
function durationParam(text: string): string {
  const s = text.trim();
  if (/^\d+(\.\d+)?$/.test(s)) return `${s}ms`;
  return parseDuration(s) !== null || /^\d+(\.\d+)?[uµ]s$/.test(s) ? s.replace("µ", "u") : "";
}

interface Found {
  traces: Summary[];
  /** What may be missing, for people; empty when nothing is. */
  missing: string;
}

async function find(search: TraceSearch, slowest: boolean, abort: AbortSignal): Promise<Found> {
  const run = (s: TraceSearch) => searchTraces(s, abort);
  const found = slowest
    ? await findSlowest(search, run)
    : { traces: await run(search), leastUs: 0, cut: false };
  const full = found.traces.length >= search.limit;
  const newest = `the newest ${search.limit}`;
  let missing = "";
  if (found.leastUs && !found.cut)
    missing = `${newest}, and all with a span of at least ${durationUs(found.leastUs)}`;
  else if (full) missing = `${newest}; older ones may match too`;
  return { traces: found.traces.filter((t) => t.spans.length).map(summarize), missing };
}

function Form({ services }: { services: string[] }) {
  const service = param("service");
  const operations = useQuery(service || null, (abort) => listOperations(service, abort));
  const [min, setMin] = useState(param("min"));
  const [tags, setTags] = useState(param("tags"));
  useEffect(() => setMin(param("min")), [param("min")]);
  useEffect(() => setTags(param("tags")), [param("tags")]);
  const badMin = min.trim() !== "" && !durationParam(min);
  const badTags = parseTags(tags) === null;
  const submit = (e: Event) => {
    e.preventDefault();
    if (badMin || badTags) return;
    now.value = Date.now();
    setParams({ min: min.trim(), tags: tags.trim() });
  };
  const names = service && !services.includes(service) ? [service, ...services] : services;
  return (
    <form class="query-form" onSubmit={submit}>
      <label>
        Service
        <select
          data-testid="service"
          value={service}
          onChange={(e) => setParams({ service: e.currentTarget.value, operation: null })}
        >
          <option value="">all services</option>
          {names.map((s) => (
            <option key={s}>{s}</option>
          ))}
        </select>
      </label>
      <label>
        Operation
        <select
          value={param("operation")}
          disabled={!service}
          onChange={(e) => setParams({ operation: e.currentTarget.value })}
        >
          <option value="">{service ? "all operations" : "choose a service first"}</option>
          {(operations.data ?? (param("operation") ? [param("operation")] : [])).map((o) => (
            <option key={o}>{o}</option>
          ))}
        </select>
      </label>
      <label>
        At least
        <input
          class="narrow"
          value={min}
          placeholder="250ms"
          aria-invalid={badMin}
          spellcheck={false}
          title="Shortest duration: 250ms, 1.5s, 2m"
          onInput={(e) => setMin(e.currentTarget.value)}
        />
      </label>
      <label class="grow">
        Attributes
        <input
          class="mono"
          value={tags}
          placeholder="http.response.status_code=500 user.id=u-17"
          aria-invalid={badTags}
          spellcheck={false}
          title="key=value, separated by spaces; quote values that hold spaces"
          onInput={(e) => setTags(e.currentTarget.value)}
        />
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={param("error") === "1"}
          onChange={(e) => setParams({ error: e.currentTarget.checked ? 1 : null })}
        />
        only errors
      </label>
      <button type="submit" class="button primary">
        Search
      </button>
    </form>
  );
}

/** How far from a point the pointer may be and still mean it. */
const REACH_PX = 14;

/** On a logarithmic scale only the powers of ten get a line. */
function logAxis(axis: uPlot.Axis): uPlot.Axis {
  const filter: uPlot.Axis.Filter = (_u, splits) =>
    splits.map((n) => (Number.isInteger(Math.round(Math.log10(n) * 1e6) / 1e6) ? n : null));
  return { ...axis, filter, space: 18, grid: { ...axis.grid, filter } };
}

function Scatter({ traces, r }: { traces: Summary[]; r: Range }) {
  const points = [...traces].sort((a, b) => a.start - b.start);
  const value = (t: Summary) => Math.max(t.duration, 1) / 1000;
  const data = [
    points.map((t) => t.start / 1e6),
    points.map((t) => (t.errors ? null : value(t))),
    points.map((t) => (t.errors ? value(t) : null)),
  ] as uPlot.AlignedData;
  /** The point under the pointer: uPlot itself only looks for the nearest time. */
  const nearest = (plot: uPlot): Summary | undefined => {
    const { left = -1, top = -1 } = plot.cursor;
    let found: Summary | undefined;
    let best = REACH_PX * REACH_PX;
    for (const t of points) {
      const dx = plot.valToPos(t.start / 1e6, "x") - left;
      const dy = plot.valToPos(value(t), "y") - top;
      if (dx * dx + dy * dy < best) [best, found] = [dx * dx + dy * dy, t];
    }
    return found;
  };
  const options = (palette: Palette): Omit<uPlot.Options, "width" | "height"> => {
    const dots = (css: string): uPlot.Series => {
      const color = palette.color(css);
      return {
        stroke: color,
        paths: () => null,
        points: { show: true, size: 6, width: 0, fill: color, stroke: color },
      };
    };
    return {
      padding: [8, 18, 0, 0],
      scales: { x: { time: true, range: [r.from / 1000, r.to / 1000] }, y: { distr: 3 } },
      axes: [timeAxis(palette), logAxis(valueAxis(palette, (ms) => durationUs(ms * 1000)))],
      series: [{}, dots("var(--accent)"), dots("var(--bad)")],
    };
  };
  return (
    <Chart
      kind={`${r.from}-${r.to}`}
      options={options}
      data={data}
      height={130}
      label={`Durations of ${points.length} traces over time; failed ones in red`}
      onZoom={zoomTo}
      onPick={(_, plot) => {
        const t = nearest(plot);
        if (t) go(href(`/trace/${t.traceId}`));
      }}
      tip={(_, plot) => {
        const t = nearest(plot);
        return t
          ? `${durationUs(t.duration)}  ${t.service}: ${t.operation}${t.errors ? "\nfailed" : ""}`
          : null;
      }}
    />
  );
}

const SORTS: Record<string, (a: Summary, b: Summary) => number> = {
  newest: (a, b) => b.start - a.start,
  slowest: (a, b) => b.duration - a.duration || b.start - a.start,
  spans: (a, b) => b.spans - a.spans || b.start - a.start,
  errors: (a, b) => b.errors - a.errors || b.start - a.start,
};

function order(traces: Summary[], sort: string): Summary[] {
  const compare = SORTS[sort.replace(/^-/, "")] ?? SORTS.newest!;
  return [...traces].sort(sort.startsWith("-") ? (a, b) => compare(b, a) : compare);
}

function Row({ t, longest, at }: { t: Summary; longest: number; at: number }) {
  const to = href(`/trace/${t.traceId}`);
  return (
    <tr
      data-testid="trace-row"
      data-trace={t.traceId}
      data-duration={t.duration}
      onClick={(e) => {
        if (!(e.target as Element).closest("a") && !String(getSelection())) go(to);
      }}
    >
      <td class="nowrap" title={ago(t.start / 1000, at)}>
        {dateTime(t.start / 1000)}
      </td>
      <td>
        <a class="strong" href={to}>
          <Service name={t.service} /> <span class="op">{t.operation}</span>
        </a>
      </td>
      <td class="wrap">
        {t.services.map((s) => (
          <span class="svc-count" key={s.name}>
            <Service name={s.name} /> <small>{s.spans}</small>
          </span>
        ))}
      </td>
      <td class="num">{count(t.spans)}</td>
      <td class={`num ${t.errors ? "bad" : ""}`}>
        {t.errors ? (
          <>
            <Icon name="error" /> {count(t.errors)}
          </>
        ) : (
          "–"
        )}
      </td>
      <td class={`num duration ${t.errors ? "bad" : ""}`}>
        <b aria-hidden="true">
          <i style={{ width: `${longest ? (t.duration / longest) * 100 : 0}%` }} />
        </b>
        {durationUs(t.duration)}
      </td>
    </tr>
  );
}

const SHOWN = 200;

export default function Traces() {
  const r = range.value;
  const service = param("service");
  const sort = param("sort", "newest");
  const limit = Number(param("limit")) || DEFAULT_LIMIT;
  const services = useQuery("services", (abort) => listServices(abort));
  const tags = parseTags(param("tags")) ?? {};
  if (param("error") === "1") tags.error = "true";
  const search: TraceSearch = {
    service,
    operation: service ? param("operation") : "",
    minDuration: durationParam(param("min")),
    tags,
    limit,
    startUs: r.from * 1000,
    endUs: r.to * 1000,
  };
  const slowest = sort === "slowest";
  const found = useQuery<Found>(JSON.stringify([search, slowest]), (abort) =>
    find(search, slowest, abort),
  );
  const error = found.error ?? services.error;
  registerServices([
    ...(services.data ?? []),
    ...(found.data?.traces.flatMap((t) => t.services.map((s) => s.name)) ?? []),
  ]);
  const sorted = order(found.data?.traces ?? [], sort);
  const longest = Math.max(0, ...sorted.map((t) => t.duration));
  const onSort = (name: string) => setParams({ sort: name === "newest" ? null : name }, true);
  document.title = "Traces · sonde";
  return (
    <main class="page" aria-busy={found.loading}>
      <h1 class="off-screen">Traces</h1>
      <Form services={services.data ?? []} />
      {error && <ErrorBox error={error} />}
      {!error &&
        (found.data ? (
          sorted.length ? (
            <>
              <Scatter traces={sorted} r={r} />
              <div class="bar">
                <span class="hint grow">
                  {count(sorted.length)} traces
                  {found.data.missing && ` (${found.data.missing})`}
                </span>
                <label class="inline">
                  Newest
                  <select
                    value={String(limit)}
                    onChange={(e) =>
                      setParams({
                        limit:
                          e.currentTarget.value === String(DEFAULT_LIMIT)
                            ? null
                            : e.currentTarget.value,
                      })
                    }
                  >
                    {LIMITS.map((n) => (
                      <option key={n}>{n}</option>
                    ))}
                  </select>
                </label>
                <label class="inline">
                  Sort by
                  <select
                    data-testid="sort"
                    value={sort.replace(/^-/, "")}
                    onChange={(e) => onSort(e.currentTarget.value)}
                  >
                    {Object.keys(SORTS).map((s) => (
                      <option key={s}>{s}</option>
                    ))}
                  </select>
                </label>
              </div>
              <div class="table-wrap">
                <table class="grid clickable" data-testid="traces">
                  <thead>
                    <tr>
                      <SortHead name="newest" label="Time" sort={sort} onSort={onSort} />
                      <th scope="col">Root</th>
                      <th scope="col">Services</th>
                      <SortHead
                        class="num"
                        name="spans"
                        label="Spans"
                        sort={sort}
                        onSort={onSort}
                      />
                      <SortHead
                        class="num"
                        name="errors"
                        label="Errors"
                        sort={sort}
                        onSort={onSort}
                      />
                      <SortHead
                        class="num"
                        name="slowest"
                        label="Duration"
                        sort={sort}
                        onSort={onSort}
                      />
                    </tr>
                  </thead>
                  <tbody>
                    {sorted.slice(0, SHOWN).map((t) => (
                      <Row key={t.traceId} t={t} longest={longest} at={now.value} />
                    ))}
                  </tbody>
                </table>
                {sorted.length > SHOWN && (
                  <p class="hint">
                    The first {SHOWN} of {count(sorted.length)} are listed; the plot shows all.
                  </p>
                )}
              </div>
            </>
          ) : (
            <Empty what={service ? `traces of ${service}` : "traces"}>
              {Object.keys(tags).length > 0 && (
                <p>
                  Asked for:{" "}
                  <code>
                    {Object.entries(tags)
                      .map(([k, v]) => formatTag(k, v))
                      .join(" ")}
                  </code>
                </p>
              )}
            </Empty>
          )
        ) : (
          <Skeleton rows={12} />
        ))}
    </main>
  );
}
