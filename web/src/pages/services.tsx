// SPDX-License-Identifier: Apache-2.0
// What reports to this server and how it does: rate, errors, latency per service, and the volume of
// its logs.
import { getJson } from "../lib/api";
import { count, durationMs, percent, rate } from "../lib/format";
import { queryLogCounts, type MatrixSeries } from "../lib/loki";
import { DEFAULT_QUERY, knownLevel, quote } from "../lib/logql";
import { niceStep, type Range } from "../lib/range";
import { href, param, range, setParams } from "../lib/url";
import { registerServices } from "../ui/colors";
import { Empty, ErrorBox, Service, Skeleton, SortHead } from "../ui/parts";
import { useQuery } from "../ui/use-query";

interface ServiceRow {
  service: string;
  requests: number;
  rate: number;
  errors: number;
  error_ratio: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  spans: number;
  logs: number;
}

function latency(s: ServiceRow, ms: number | null): string {
  return s.requests ? durationMs(ms) : "–";
}

type NumberKey = Exclude<keyof ServiceRow, "service">;

const COLUMNS: readonly {
  key: NumberKey;
  label: string;
  title: string;
  text: (s: ServiceRow) => string;
}[] = [
  { key: "rate", label: "Rate", title: "Requests a second", text: (s) => rate(s.rate) },
  {
    key: "requests",
    label: "Requests",
    title: "Requests in this range",
    text: (s) => count(s.requests),
  },
  {
    key: "error_ratio",
    label: "Errors",
    title: "Share of requests that failed",
    text: (s) => (s.requests ? percent(s.error_ratio) : "–"),
  },
  {
    key: "p50_ms",
    label: "p50",
    title: "Half of the requests took less",
    text: (s) => latency(s, s.p50_ms),
  },
  {
    key: "p95_ms",
    label: "p95",
    title: "95 of 100 requests took less",
    text: (s) => latency(s, s.p95_ms),
  },
  {
    key: "p99_ms",
    label: "p99",
    title: "99 of 100 requests took less",
    text: (s) => latency(s, s.p99_ms),
  },
];

const BARS = 40;

interface Volume {
  all: number[];
  bad: number[];
}

/** Log lines per service and slice of time; the bad ones (error, fatal) once more on their own. */
async function logVolumes(r: Range, abort: AbortSignal): Promise<Map<string, Volume>> {
  const step = niceStep(r, BARS);
  const end = Math.ceil(r.to / 1000 / step) * step;
  const start = Math.floor(r.from / 1000 / step) * step + step;
  const query = `sum by (service_name, level) (count_over_time(${DEFAULT_QUERY}[${step}s]))`;
  const series: MatrixSeries[] = await queryLogCounts(query, start, end, step, abort);
  const size = Math.round((end - start) / step) + 1;
  const out = new Map<string, Volume>();
  for (const s of series) {
    const name = s.metric.service_name ?? s.metric.service ?? "";
    let v = out.get(name);
    if (!v) out.set(name, (v = { all: Array(size).fill(0), bad: Array(size).fill(0) }));
    const level = knownLevel(s.metric.level);
    for (const [t, n] of s.values) {
      const i = Math.round((t - start) / step);
      if (i < 0 || i >= size) continue;
      v.all[i]! += Number(n);
      if (level === "error" || level === "fatal") v.bad[i]! += Number(n);
    }
  }
  return out;
}

function Spark({ volume }: { volume: Volume | undefined }) {
  if (!volume) return <svg class="spark" aria-hidden="true" />;
  const top = Math.max(...volume.all, 1);
  const n = volume.all.length;
  const path = (values: number[], least: number) =>
    values
      .map((v, i) => (v ? `M${i + 0.5} 20v${-Math.max(least, (v / top) * 19).toFixed(1)}` : ""))
      .join("");
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${n} 20`}
      preserveAspectRatio="none"
      role="img"
      aria-label="Log lines over time, errors in red"
    >
      <path class="all" d={path(volume.all, 1)} />
      <path class="bad" d={path(volume.bad, 3)} />
    </svg>
  );
}

function state(s: ServiceRow): string {
  if (s.error_ratio >= 0.05) return "bad";
  return s.error_ratio >= 0.01 ? "warn" : "good";
}

function sorted(rows: ServiceRow[], sort: string): ServiceRow[] {
  const key = sort.replace(/^-/, "") as keyof ServiceRow;
  const sign = sort.startsWith("-") ? 1 : -1;
  return [...rows].sort((a, b) => {
    if (key === "service") return -sign * a.service.localeCompare(b.service);
    return sign * ((a[key] ?? -1) - (b[key] ?? -1)) || a.service.localeCompare(b.service);
  });
}

function Row({ s, volume }: { s: ServiceRow; volume: Volume | undefined }) {
  return (
    <tr data-service={s.service} class={state(s)}>
      <td>
        <a class="strong" href={href("/traces", { service: s.service })}>
          <Service name={s.service} />
        </a>
      </td>
      {COLUMNS.map((c) => (
        <td
          key={c.key}
          class={`num ${c.key === "error_ratio" ? state(s) : ""} ${c.key === "p95_ms" || c.key === "rate" ? "strong" : ""}`}
        >
          {c.key === "error_ratio" && s.errors > 0 ? (
            <a
              href={href("/traces", { service: s.service, error: "1" })}
              title={`${count(s.errors)} failed requests`}
            >
              {c.text(s)}
            </a>
          ) : (
            c.text(s)
          )}
        </td>
      ))}
      <td class="spark-cell">
        <Spark volume={volume} />
      </td>
      <td class="num">
        <a
          href={href("/logs", { query: `{service_name=${quote(s.service)}}` })}
          aria-label={`${count(s.logs)} log lines of ${s.service}`}
        >
          {count(s.logs)} lines
        </a>
      </td>
      <td class="num">
        <a
          href={href("/traces", { service: s.service, sort: "slowest" })}
          aria-label={`Slowest traces of ${s.service}`}
        >
          slowest
        </a>
      </td>
    </tr>
  );
}

export default function Services() {
  const r = range.value;
  const key = `${r.from}-${r.to}`;
  const { data, error, loading } = useQuery(key, (abort) =>
    getJson<{ data: ServiceRow[] | null }>(
      "/api/sonde/v1/services",
      { start: r.from / 1000, end: r.to / 1000 },
      abort,
    ),
  );
  const volumes = useQuery(key, (abort) => logVolumes(r, abort));
  const rows = data?.data ?? [];
  registerServices(rows.map((s) => s.service));
  const sort = param("sort", "rate");
  const onSort = (name: string) => setParams({ sort: name === "rate" ? null : name }, true);
  document.title = "Services · sonde";
  return (
    <main class="page" aria-busy={loading}>
      <h1>Services</h1>
      {error ? (
        <ErrorBox error={error} />
      ) : !data ? (
        <Skeleton />
      ) : !rows.length ? (
        <Empty what="services" />
      ) : (
        <div class="table-wrap">
          <table class="grid" data-testid="services">
            <thead>
              <tr>
                <SortHead name="service" label="Service" sort={sort} onSort={onSort} />
                {COLUMNS.map((c) => (
                  <SortHead
                    key={c.key}
                    class="num"
                    name={c.key}
                    label={c.label}
                    title={c.title}
                    sort={sort}
                    onSort={onSort}
                  />
                ))}
                <th scope="col">Log lines, errors in red</th>
                <SortHead class="num" name="logs" label="Logs" sort={sort} onSort={onSort} />
                <th scope="col" class="num">
                  Traces
                </th>
              </tr>
            </thead>
            <tbody>
              {sorted(rows, sort).map((s) => (
                <Row key={s.service} s={s} volume={volumes.data?.get(s.service)} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </main>
  );
}
