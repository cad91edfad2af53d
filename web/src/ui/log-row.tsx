// SPDX-License-Identifier: Apache-2.0
// One log line, in the list of the logs page and in a span's panel: time, level, service, message;
// opened, it shows every field, and each field narrows the query or leads to its trace.
import { clock, dateTime, exactNs } from "../lib/format";
import type { LogRow } from "../lib/loki";
import { href } from "../lib/url";
import { memo } from "./memo";
import { CopyButton, Icon, Service } from "./parts";

/**
 * Names the row in the URL when it is open: its time, and a checksum for lines of the same instant.
 */
export function rowId(r: LogRow): string {
  let h = 0;
  for (const text of [r.line, r.spanId])
    for (let i = 0; i < text.length; i++) h = (Math.imul(h, 31) + text.charCodeAt(i)) | 0;
  return `${r.ns}.${(h >>> 0).toString(36)}`;
}

/** Fields that other columns or the resource tell already are left out of the one-line view. */
const QUIET =
  /^(level|severity.*|detected_level|service.*|trace_?id|span_?id|flags|observed_.*|telemetry.*|host.*|process.*|os_.*|deployment.*|scope.*|sonde.*|code.*|__.*)$/i;

function Preview({ row }: { row: LogRow }) {
  const said = Object.entries(row.fields).filter(
    ([key, value]) => !QUIET.test(key.replace(/\./g, "_")) && value !== row.message,
  );
  // Ids say little to the eye: they come last.
  const isId = (key: string) => /(^|[_.])id$/i.test(key);
  const shown = [...said.filter(([key]) => !isId(key)), ...said.filter(([key]) => isId(key))];
  return (
    <>
      {shown.slice(0, 8).map(([key, value]) => (
        <span class="pair" key={key}>
          <b>{key}</b>={value.length > 80 ? value.slice(0, 80) + "…" : value}
        </span>
      ))}
    </>
  );
}

export function traceHref(row: LogRow): string {
  return href(`/trace/${row.traceId}`, row.spanId ? { span: row.spanId } : {});
}

export type Filter = (key: string, op: "=" | "!=", value: string) => void;

function FieldRow({
  name,
  value,
  row,
  filter,
}: {
  name: string;
  value: string;
  row: LogRow;
  filter?: Filter | undefined;
}) {
  const isTrace = value === row.traceId && /trace/i.test(name);
  const isSpan = value === row.spanId && /span/i.test(name);
  return (
    <tr>
      <td class="acts">
        {filter && (
          <>
            <button
              type="button"
              class="icon-button"
              title={`Only ${name} = ${value}`}
              aria-label={`Filter for ${name}`}
              onClick={() => filter(name, "=", value)}
            >
              <Icon name="plus" />
            </button>
            <button
              type="button"
              class="icon-button"
              title={`Without ${name} = ${value}`}
              aria-label={`Filter out ${name}`}
              onClick={() => filter(name, "!=", value)}
            >
              <Icon name="minus" />
            </button>
          </>
        )}
        <CopyButton text={value} label={`Copy ${name}`} />
      </td>
      <th scope="row">{name}</th>
      <td class="value">
        {isTrace ? (
          <a href={href(`/trace/${row.traceId}`)}>{value}</a>
        ) : isSpan && row.traceId ? (
          <a href={traceHref(row)}>{value}</a>
        ) : (
          value
        )}
      </td>
    </tr>
  );
}

export function LogFields({ row, filter }: { row: LogRow; filter?: Filter | undefined }) {
  const names = (o: Record<string, string>) =>
    Object.entries(o).sort(([a], [b]) => a.localeCompare(b));
  const labels = names(row.labels).filter(([key]) => !(key in row.fields));
  return (
    <div class="fields">
      {row.line !== row.message && <pre class="line">{row.line}</pre>}
      <table>
        <tbody>
          <tr>
            <td class="acts">
              <CopyButton text={exactNs(row.ns)} label="Copy the time" />
            </td>
            <th scope="row">time</th>
            <td class="value">{exactNs(row.ns)}</td>
          </tr>
          {names(row.fields).map(([k, v]) => (
            <FieldRow key={k} name={k} value={v} row={row} filter={filter} />
          ))}
          {labels.map(([k, v]) => (
            <FieldRow key={k} name={k} value={v} row={row} filter={filter} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

export interface LogLineProps {
  row: LogRow;
  /** What rowId gives; onToggle gets it back, so that one function serves all rows. */
  id: string;
  open: boolean;
  onToggle: (id: string) => void;
  filter?: Filter | undefined;
  /** In a span's panel the time is told from the span's start, and service and trace are known. */
  timeText?: string;
  compact?: boolean;
  /** The text that was searched for, to be marked in the message. */
  find?: string;
}

function Marked({ text, find }: { text: string; find?: string | undefined }) {
  if (!find || !text.includes(find)) return <>{text}</>;
  return <>{text.split(find).map((part, i) => (i ? [<mark key={i}>{find}</mark>, part] : part))}</>;
}

/** The end of a selection over the text is not a click on the row. */
function isSelecting(): boolean {
  return String(getSelection() ?? "") !== "";
}

export const LogLine = memo(
  ({ row, id, open, onToggle, filter, timeText, compact, find }: LogLineProps) => {
    return (
      <div
        class={`log ${compact ? "compact" : ""} ${open ? "open" : ""} level-${row.level || "none"}`}
        data-testid="log-row"
        data-ns={row.ns}
      >
        <div class="log-main" onClick={() => isSelecting() || onToggle(id)}>
          <button
            type="button"
            class="caret"
            aria-expanded={open}
            aria-label={`${clock(row.ms)} ${row.level} ${row.message}`.slice(0, 200)}
            onClick={(e) => {
              e.stopPropagation();
              onToggle(id);
            }}
          >
            <Icon name="chevron" />
          </button>
          <time title={dateTime(row.ms)} dateTime={exactNs(row.ns)}>
            {timeText ?? clock(row.ms)}
          </time>
          <span class="level">{row.level || "–"}</span>
          {!compact && <Service name={row.service || "–"} />}
          <span class="message">
            <Marked text={row.message} find={find} />
            {!open && <Preview row={row} />}
          </span>
          {!compact && row.traceId && (
            <a
              class="to-trace"
              href={traceHref(row)}
              title="Open its trace at its span"
              onClick={(e) => e.stopPropagation()}
            >
              trace
            </a>
          )}
        </div>
        {open && <LogFields row={row} filter={filter} />}
      </div>
    );
  },
);
