// SPDX-License-Identifier: Apache-2.0
// Small pieces that every page uses: service names, errors, empty states, icons.
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError, errorPosition } from "../lib/api";
import { fromText, setRange, toText } from "../lib/url";
import { describeRange } from "../lib/range";
import { serviceColor } from "./colors";

export function Service({ name }: { name: string }) {
  return (
    <span class="svc">
      <i style={{ background: serviceColor(name) }} aria-hidden="true" />
      {name}
    </span>
  );
}

const ICONS: Record<string, string> = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm5 12 5 5",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 4v5l3.5 2",
  refresh: "M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M4.9 4.9l1.4 1.4m11.4 11.4 1.4 1.4M2 12h2m16 0h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  help: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.7.4-1.1.9-1.1 1.8m0 3v.1",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 1 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 1 0 11 18.7l1-1",
  close: "M6 6l12 12M18 6 6 18",
  chevron: "m9 6 6 6-6 6",
  left: "m15 6-6 6 6 6",
  right: "m9 6 6 6-6 6",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  error: "M12 3 2 20h20zM12 10v4m0 3v.1",
  play: "M7 5v14l11-7z",
  pause: "M8 5v14m8-14v14",
};

export function Icon({ name }: { name: keyof typeof ICONS & string }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  );
}

/** An error in the server's own words; when it points into the query, the place is shown. */
export function ErrorBox({ error }: { error: Error }) {
  const query = error instanceof ApiError ? error.query : undefined;
  const at = query ? errorPosition(error.message, query) : null;
  const line = at && query ? query.split("\n")[at.line]! : "";
  return (
    <div class="error-box" role="alert">
      <Icon name="error" />
      <div>
        <p>{error.message}</p>
        {at && (
          <pre class="error-at">
            {line.slice(0, at.column)}
            <mark>{line[at.column] ?? " "}</mark>
            {line.slice(at.column + 1)}
            {"\n" + " ".repeat(at.column) + "^"}
          </pre>
        )}
      </div>
    </div>
  );
}

export function CopyButton({ text, label }: { text: string | (() => string); label: string }) {
  const [done, setDone] = useState(false);
  const copy = () => {
    const value = typeof text === "function" ? text() : text;
    // Without a secure context there is no clipboard object; then the prompt lets people copy by
    // hand.
    if (navigator.clipboard) void navigator.clipboard.writeText(value).then(() => setDone(true));
    else prompt(label, value);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" class="icon-button" title={label} aria-label={label} onClick={copy}>
      {done ? <span class="copied">copied</span> : <Icon name="copy" />}
    </button>
  );
}

/** Nothing in this range: says so, offers a wider one, and tells how data gets here. */
export function Empty({ what, children }: { what: string; children?: ComponentChildren }) {
  const host = location.hostname || "127.0.0.1";
  const wider = ["now-1h", "now-24h", "now-7d"].filter((from) => from !== fromText.value);
  return (
    <div class="empty">
      <h2>
        No {what} in {describeRange(fromText.value, toText.value).replace(/^Last/, "the last")}
      </h2>
      {children}
      <p class="row">
        Look further back:
        {wider.map((from) => (
          <button type="button" class="button" key={from} onClick={() => setRange(from, "now")}>
            {from.slice(4)}
          </button>
        ))}
      </p>
      <details>
        <summary>How do I send data here?</summary>
        <p>Anything that speaks OTLP can report to this server:</p>
        <table class="kv">
          <tbody>
            <tr>
              <th>OTLP/HTTP</th>
              <td>
                <code>http://{host}:4318</code> (protobuf or JSON)
              </td>
            </tr>
            <tr>
              <th>OTLP/gRPC</th>
              <td>
                <code>{host}:4317</code>
              </td>
            </tr>
          </tbody>
        </table>
        <pre>{`export OTEL_SERVICE_NAME=my-service\nexport OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4318`}</pre>
        <p>
          In C, link with libsonde and call{" "}
          <code>sonde_start(&amp;(sonde_options){'{ .service = "my-service" }'})</code>. To see the
          pages with synthetic data: <code>sonde gen traces --duration 10s</code>.
        </p>
      </details>
    </div>
  );
}

export function Skeleton({ rows = 8 }: { rows?: number }) {
  return (
    <div class="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <i key={i} style={{ width: `${92 - ((i * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

export interface SortHeadProps {
  name: string;
  label: string;
  sort: string;
  onSort: (name: string) => void;
  class?: string;
  title?: string;
}

/** A column head that sorts; aria-sort tells which way. */
export function SortHead({
  name,
  label,
  sort,
  onSort,
  title,
  class: cls,
}: SortHeadProps): JSX.Element {
  const active = sort === name ? "descending" : sort === `-${name}` ? "ascending" : undefined;
  return (
    <th class={cls} aria-sort={active ?? "none"} title={title} scope="col">
      <button
        type="button"
        class="sort"
        onClick={() => onSort(active === "descending" ? `-${name}` : name)}
      >
        {label}
        <span aria-hidden="true">
          {active === "descending" ? " ↓" : active === "ascending" ? " ↑" : ""}
        </span>
      </button>
    </th>
  );
}
