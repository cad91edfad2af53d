// SPDX-License-Identifier: Apache-2.0
// Metrics: one PromQL expression as lines over time, with a table of the series that is also the
// legend.
import uPlot from "uplot";
import { useEffect, useState } from "preact/hooks";
import { getJson } from "../lib/api";
import { axisLabels, count, dateTime, short } from "../lib/format";
import type { MatrixSeries } from "../lib/loki";
import { niceStep } from "../lib/range";
import { now, param, range, setParams, zoomTo } from "../lib/url";
import { Chart, timeAxis, valueAxis, type Palette } from "../ui/chart";
import { ErrorBox, Skeleton } from "../ui/parts";
import { useQuery } from "../ui/use-query";

const POINTS = 250;
/**
 * More lines than this are not drawn: nobody can tell them apart, and the table still lists them.
 */
const MAX_LINES = 60;
const MAX_ROWS = 500;

const EXAMPLES: readonly (readonly [string, string])[] = [
  ["sum by (service_name) (rate(http_requests_total[5m]))", "requests a second, by service"],
  [
    "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "95th percentile of the latency",
  ],
  ['rate(http_requests_total{status=~"5.."}[5m])', "failing requests"],
  ["process_resident_memory_bytes", "memory"],
];

interface RangeAnswer {
  data: { resultType: string; result: MatrixSeries[] };
  warnings?: string[];
  infos?: string[];
}

export function seriesName(metric: Record<string, string>): string {
  const { __name__: name = "", ...labels } = metric;
  const list = Object.entries(labels).map(([k, v]) => `${k}="${v}"`);
  return list.length ? `${name}{${list.join(", ")}}` : name || "value";
}

/** Series on one time grid; where a series has no value, null leaves a gap in its line. */
function align(
  series: MatrixSeries[],
  start: number,
  end: number,
  step: number,
): (number | null)[][] {
  const size = Math.floor((end - start) / step) + 1;
  const times = Array.from({ length: size }, (_, i) => start + i * step);
  const rows = series.map((s) => {
    const row: (number | null)[] = Array(size).fill(null);
    for (const [t, text] of s.values) {
      const i = Math.round((t - start) / step);
      const v = Number(text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : text);
      if (i >= 0 && i < size && Number.isFinite(v)) row[i] = v;
    }
    return row;
  });
  return [times, ...rows];
}

function Form({ query }: { query: string }) {
  const [draft, setDraft] = useState(query);
  useEffect(() => setDraft(query), [query]);
  const names = useQuery("names", (abort) =>
    getJson<{ data: string[] }>("/api/v1/label/__name__/values", {}, abort),
  );
  const submit = (e: Event) => {
    e.preventDefault();
    now.value = Date.now();
    setParams({ query: draft.trim(), off: null });
  };
  return (
    <form class="query-form" onSubmit={submit}>
      <input
        class="mono grow"
        aria-label="PromQL query"
        data-testid="promql"
        value={draft}
        spellcheck={false}
        autocomplete="off"
        list="metric-names"
        placeholder="rate(http_requests_total[5m])"
        onInput={(e) => setDraft(e.currentTarget.value)}
      />
      <datalist id="metric-names">
        {names.data?.data?.slice(0, 2000).map((n) => (
          <option key={n} value={n} />
        ))}
      </datalist>
      <button type="submit" class="button primary">
        Run
      </button>
    </form>
  );
}

const lineColor = (i: number) => `var(--s${i % 12})`;

interface GraphProps {
  data: (number | null)[][];
  names: string[];
  off: ReadonlySet<number>;
}

function Graph({ data, names, off }: GraphProps) {
  const shown = names.slice(0, MAX_LINES);
  const options = (palette: Palette): Omit<uPlot.Options, "width" | "height"> => ({
    padding: [10, 18, 0, 0],
    scales: { x: { time: true } },
    axes: [
      timeAxis(palette),
      { ...valueAxis(palette, short), values: (_u, splits) => axisLabels(splits) },
    ],
    cursor: { y: false, points: { show: true, size: 6 } },
    series: [
      {},
      ...shown.map((_, i) => ({
        stroke: palette.color(lineColor(i)),
        width: 1.5,
        show: !off.has(i),
        points: { size: 4 },
      })),
    ],
  });
  const tip = (i: number) => {
    const lines = shown
      .map((name, s) => ({ name, v: data[s + 1]![i], s }))
      .filter((l) => l.v !== null && l.v !== undefined && !off.has(l.s))
      .sort((a, b) => b.v! - a.v!);
    const rest = lines.length > 12 ? [`and ${lines.length - 12} more`] : [];
    return [
      dateTime((data[0]![i] as number) * 1000).slice(0, 19),
      ...lines.slice(0, 12).map((l) => `${short(l.v)}  ${l.name}`),
      ...rest,
    ].join("\n");
  };
  return (
    <Chart
      kind={`${shown.join()} ${[...off].join()}`}
      options={options}
      data={data.slice(0, shown.length + 1) as uPlot.AlignedData}
      height={340}
      label={`Line chart of ${names.length} series`}
      onZoom={zoomTo}
      tip={tip}
    />
  );
}

function stats(row: (number | null)[]): {
  last: number | null;
  min: number | null;
  max: number | null;
  mean: number | null;
} {
  const values = row.filter((v): v is number => v !== null);
  if (!values.length) return { last: null, min: null, max: null, mean: null };
  let min = Infinity,
    max = -Infinity,
    sum = 0;
  for (const v of values) {
    min = Math.min(min, v);
    max = Math.max(max, v);
    sum += v;
  }
  return { last: values[values.length - 1]!, min, max, mean: sum / values.length };
}

function Legend({ data, names, off }: GraphProps) {
  const toggle = (i: number) => {
    const next = new Set(off);
    if (!next.delete(i)) next.add(i);
    setParams({ off: [...next].join(",") }, true);
  };
  return (
    <div class="table-wrap">
      <table class="grid" data-testid="series">
        <thead>
          <tr>
            <th scope="col">
              Series <small>{count(names.length)}</small>
            </th>
            {["Last", "Min", "Max", "Mean"].map((h) => (
              <th key={h} scope="col" class="num">
                {h}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.slice(0, MAX_ROWS).map((name, i) => {
            const s = stats(data[i + 1]!);
            return (
              <tr key={name} class={off.has(i) ? "off" : ""}>
                <td>
                  <button
                    type="button"
                    class="legend-item mono"
                    aria-pressed={!off.has(i)}
                    onClick={() => toggle(i)}
                    disabled={i >= MAX_LINES}
                  >
                    <i
                      style={{ background: i < MAX_LINES ? lineColor(i) : "transparent" }}
                      aria-hidden="true"
                    />
                    {name}
                  </button>
                </td>
                {[s.last, s.min, s.max, s.mean].map((v, k) => (
                  <td key={k} class="num" title={String(v ?? "")}>
                    {short(v)}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
      {names.length > MAX_LINES && (
        <p class="hint">
          The first {MAX_LINES} series are drawn. Aggregate with sum by (…) or topk(10, …) to see
          fewer.
        </p>
      )}
    </div>
  );
}

export default function Explore() {
  const query = param("query");
  const r = range.value;
  const step = niceStep(r, POINTS);
  const end = Math.floor(r.to / 1000 / step) * step;
  const start = Math.ceil(r.from / 1000 / step) * step;
  const answer = useQuery(
    query ? `${query} ${start} ${end} ${step} ${now.value}` : null,
    async (abort) => {
      const a = await getJson<RangeAnswer>(
        "/api/v1/query_range",
        { query, start, end, step },
        abort,
      );
      return {
        data: align(a.data.result, start, end, step),
        names: a.data.result.map((s) => seriesName(s.metric)),
        notes: [...(a.warnings ?? []), ...(a.infos ?? [])],
      };
    },
  );
  const off = new Set(param("off").split(",").filter(Boolean).map(Number));
  document.title = "Metrics · sonde";
  return (
    <main class="page" aria-busy={answer.loading}>
      <h1 class="off-screen">Metrics</h1>
      <Form query={query} />
      {answer.error && <ErrorBox error={answer.error} />}
      {answer.data?.notes.map((n) => (
        <p class="warn-text" key={n}>
          {n}
        </p>
      ))}
      {!query ? (
        <div class="empty">
          <h2>Ask for a metric in PromQL</h2>
          <ul class="plain examples">
            {EXAMPLES.map(([q, what]) => (
              <li key={q}>
                <button type="button" class="example" onClick={() => setParams({ query: q })}>
                  <code>{q}</code>
                </button>
                <span class="hint">{what}</span>
              </li>
            ))}
          </ul>
        </div>
      ) : answer.data ? (
        answer.data.names.length ? (
          <>
            <Graph data={answer.data.data} names={answer.data.names} off={off} />
            <p class="hint">One point every {step} s</p>
            <Legend data={answer.data.data} names={answer.data.names} off={off} />
          </>
        ) : (
          <div class="empty">
            <h2>The query is right, but no series matches it in this range</h2>
            <p>
              Check the metric's name (the box completes it) and its labels, or choose a longer
              range. A rate needs two samples inside its window.
            </p>
          </div>
        )
      ) : (
        !answer.error && <Skeleton rows={10} />
      )}
    </main>
  );
}
