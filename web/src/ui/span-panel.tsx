// SPDX-License-Identifier: Apache-2.0
// Everything about the selected span: its logs first, because they usually hold the answer, then
// attributes, events, links and the process it ran in.
import { useState } from "preact/hooks";
import { durationUs, dateTime, msToNs } from "../lib/format";
import { formatTag, tagValue, type Node, type Tag, type Trace, type Tree } from "../lib/jaeger";
import { spanLogs, traceLogs } from "../lib/logql";
import { queryLogs, type LogRow } from "../lib/loki";
import { formatTime, type Range } from "../lib/range";
import { href } from "../lib/url";
import { LogLine, rowId } from "./log-row";
import { CopyButton, ErrorBox, Icon, Service } from "./parts";
import { useQuery } from "./use-query";

const MAX_LOGS = 1000;

/**
 * Logs of a trace may lie a little outside its spans: clocks differ, and the last line may come
 * late.
 */
export function logRange(tree: Tree): Range {
  return { from: tree.start / 1000 - 60_000, to: tree.end / 1000 + 60_000 };
}

export function logsHref(query: string, r: Range): string {
  return href("/logs", { query, from: formatTime(r.from), to: formatTime(r.to), refresh: null });
}

function SpanLogs({ node, trace, tree }: { node: Node; trace: Trace; tree: Tree }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const query = spanLogs(trace.traceID, node.span.spanID);
  const r = logRange(tree);
  const { data, error } = useQuery<LogRow[]>(`${query} ${r.from} ${r.to}`, async (abort) => {
    const rows = await queryLogs(
      {
        query,
        startNs: msToNs(r.from),
        endNs: msToNs(r.to),
        limit: MAX_LOGS,
        direction: "forward",
      },
      abort,
    );
    return rows.reverse();
  });
  const toggle = (id: string) => {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  };
  return (
    <section
      aria-label="Logs of this span"
      data-testid="span-logs"
      data-loaded={data ? "yes" : "no"}
    >
      <h3>
        Logs {data && <small>{data.length}</small>}
        <a href={logsHref(query, r)}>open in logs</a>
      </h3>
      {error && <ErrorBox error={error} />}
      {data && !data.length && <p class="hint">This span wrote no log lines.</p>}
      {data?.map((row) => {
        const id = rowId(row);
        const offset = row.ms * 1000 - node.span.startTime;
        return (
          <LogLine
            key={id}
            row={row}
            id={id}
            compact
            open={open.has(id)}
            onToggle={toggle}
            timeText={`${offset < 0 ? "−" : "+"}${durationUs(Math.abs(offset))}`}
          />
        );
      })}
      {data?.length === MAX_LOGS && (
        <p class="hint">The first {MAX_LOGS} lines; the logs page has the rest.</p>
      )}
    </section>
  );
}

function Tags({
  title,
  tags,
  service,
}: {
  title: string;
  tags: Tag[] | null | undefined;
  service?: string;
}) {
  if (!tags?.length) return null;
  const rows = [...tags].sort((a, b) => a.key.localeCompare(b.key));
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      <table class="tags">
        <tbody>
          {rows.map((t, i) => (
            <tr key={`${t.key}-${i}`}>
              <th scope="row">{t.key}</th>
              <td class="value">{String(t.value)}</td>
              <td class="acts">
                {service && (
                  <a
                    class="icon-button"
                    title={`Traces of ${service} with ${t.key} = ${t.value}`}
                    aria-label={`Traces with this ${t.key}`}
                    href={href("/traces", { service, tags: formatTag(t.key, t.value) })}
                  >
                    <Icon name="search" />
                  </a>
                )}
                <CopyButton text={String(t.value)} label={`Copy ${t.key}`} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Events({ node }: { node: Node }) {
  const events = [...(node.span.logs ?? [])].sort((a, b) => a.timestamp - b.timestamp);
  if (!events.length) return null;
  return (
    <section aria-label="Events">
      <h3>
        Events <small>{events.length}</small>
      </h3>
      {events.map((e, i) => {
        const name = tagValue(e.fields, "event") ?? tagValue(e.fields, "message") ?? "event";
        const rest = e.fields.filter((f) => f.key !== "event");
        return (
          <details key={i} class="event">
            <summary>
              <time>+{durationUs(e.timestamp - node.span.startTime)}</time> {String(name)}
            </summary>
            <table class="tags">
              <tbody>
                {rest.map((f) => (
                  <tr key={f.key}>
                    <th scope="row">{f.key}</th>
                    <td class="value">{String(f.value)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </details>
        );
      })}
    </section>
  );
}

function Links({ node, trace }: { node: Node; trace: Trace }) {
  const links = (node.span.references ?? []).filter(
    (r) => r.refType === "FOLLOWS_FROM" || r.traceID !== trace.traceID,
  );
  if (!links.length) return null;
  return (
    <section aria-label="Links">
      <h3>Links</h3>
      <ul class="plain mono">
        {links.map((l) => (
          <li key={l.traceID + l.spanID}>
            <a href={href(`/trace/${l.traceID}`, { span: l.spanID })}>
              {l.traceID === trace.traceID
                ? `span ${l.spanID}`
                : `trace ${l.traceID}, span ${l.spanID}`}
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Shown in the head of the panel already. */
const HEAD_TAGS = new Set(["error", "span.kind", "otel.status_code", "otel.status_description"]);

export function SpanPanel({
  node,
  trace,
  tree,
  onClose,
}: {
  node: Node;
  trace: Trace;
  tree: Tree;
  onClose: () => void;
}) {
  const { span } = node;
  const status = String(
    tagValue(span.tags, "otel.status_code") ?? (node.error ? "ERROR" : "UNSET"),
  );
  const description = tagValue(span.tags, "otel.status_description");
  return (
    <aside
      class="panel"
      aria-label={`Span ${span.operationName}`}
      data-testid="span-panel"
      data-span={span.spanID}
    >
      <header>
        <h2>{span.operationName}</h2>
        <button
          type="button"
          class="icon-button close"
          title="Close (Esc)"
          aria-label="Close"
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
        <p>
          <Service name={node.service} />
        </p>
        <dl class="facts">
          <div>
            <dt>Duration</dt>
            <dd>{durationUs(span.duration)}</dd>
          </div>
          <div>
            <dt>Starts at</dt>
            <dd title={dateTime(span.startTime / 1000)}>
              +{durationUs(span.startTime - tree.start)}
            </dd>
          </div>
          <div>
            <dt>Kind</dt>
            <dd>{String(tagValue(span.tags, "span.kind") ?? "internal")}</dd>
          </div>
          <div>
            <dt>Status</dt>
            <dd class={node.error ? "bad" : ""}>{status.toLowerCase()}</dd>
          </div>
        </dl>
        {description !== undefined && description !== "" && (
          <p class="status-text">{String(description)}</p>
        )}
        {span.warnings?.map((w) => (
          <p class="warn-text" key={w}>
            {w}
          </p>
        ))}
      </header>
      <SpanLogs node={node} trace={trace} tree={tree} />
      <Tags
        title="Attributes"
        tags={(span.tags ?? []).filter((t) => !HEAD_TAGS.has(t.key))}
        service={node.service}
      />
      <Events node={node} />
      <Links node={node} trace={trace} />
      <Tags title="Resource" tags={trace.processes[span.processID]?.tags} />
      <p class="hint ids">
        Span <code>{span.spanID}</code> <CopyButton text={span.spanID} label="Copy the span id" />{" "}
        <a href={logsHref(traceLogs(trace.traceID), logRange(tree))}>logs of the whole trace</a>
      </p>
    </aside>
  );
}
