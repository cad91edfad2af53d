// SPDX-License-Identifier: Apache-2.0
// The span tree beside its bars. Only rows in sight are in the document, so that ten thousand spans
// scroll like ten. Arrow keys move and fold; the selected span lives in the URL.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { durationUs } from "../lib/format";
import type { Node, Tree } from "../lib/jaeger";
import type { LogRow } from "../lib/loki";
import { serviceColor } from "./colors";
import type { View } from "./minimap";
import { memo } from "./memo";
import { Icon } from "./parts";
import { useVirtual } from "./use-virtual";

const ROW = 26;
const INDENT = 14;

export interface WaterfallProps {
  tree: Tree;
  rows: Node[];
  folded: ReadonlySet<string>;
  selected: string;
  view: View;
  onSelect: (spanId: string) => void;
  onFold: (spanId: string, fold: boolean) => void;
  /** The log lines of each span, drawn as marks on its bar. */
  logs: ReadonlyMap<string, LogRow[]>;
  /** What stands above the time marks. */
  children?: ComponentChildren;
}

function Ticks({ tree, view }: { tree: Tree; view: View }) {
  const length = tree.end - tree.start;
  return (
    <div class="ticks" aria-hidden="true">
      {[0, 0.25, 0.5, 0.75].map((s) => (
        <span key={s} style={{ left: `${s * 100}%` }}>
          {durationUs((view.from + (view.to - view.from) * s) * length)}
        </span>
      ))}
      <span class="last">{durationUs(view.to * length)}</span>
    </div>
  );
}

/** More marks than this on one bar are a smear. */
const MAX_MARKS = 100;

function LogMarks({ logs, tree, view }: { logs: LogRow[]; tree: Tree; view: View }) {
  const length = Math.max(tree.end - tree.start, 1);
  return (
    <>
      {logs.slice(0, MAX_MARKS).map((row, i) => {
        const at = ((row.ms * 1000 - tree.start) / length - view.from) / (view.to - view.from);
        if (at < -0.001 || at > 1.001) return null;
        return (
          <i
            key={i}
            class={`log-mark level-${row.level || "none"}`}
            style={{ left: `${Math.min(1, Math.max(0, at)) * 100}%` }}
            title={`${row.level}: ${row.message}`}
          />
        );
      })}
    </>
  );
}

function Bar({
  node,
  tree,
  view,
  logs,
}: {
  node: Node;
  tree: Tree;
  view: View;
  logs: LogRow[] | undefined;
}) {
  const length = Math.max(tree.end - tree.start, 1);
  const width = view.to - view.from;
  const a = ((node.span.startTime - tree.start) / length - view.from) / width;
  const b = ((node.span.startTime + node.span.duration - tree.start) / length - view.from) / width;
  const left = Math.min(1, Math.max(0, a));
  const right = Math.min(1, Math.max(left, b));
  const text = durationUs(node.span.duration);
  // The text stands where there is room: right of the bar, else left of it, else inside.
  const side = right < 0.88 ? "after" : left > 0.12 ? "before" : "inside";
  if (b < 0 || a > 1) return <div class="lane" />;
  return (
    <div class="lane">
      <i
        class={`span-bar ${node.error ? "bad" : ""}`}
        style={{
          left: `${left * 100}%`,
          width: `${(right - left) * 100}%`,
          background: serviceColor(node.service),
        }}
      />
      <span
        class={`bar-text ${side}`}
        style={
          side === "before"
            ? { right: `${(1 - left) * 100}%` }
            : { left: `${(side === "after" ? right : left) * 100}%` }
        }
      >
        {text}
      </span>
      {logs && <LogMarks logs={logs} tree={tree} view={view} />}
    </div>
  );
}

interface SpanRowProps extends Pick<WaterfallProps, "tree" | "view" | "onSelect" | "onFold"> {
  node: Node;
  isFolded: boolean;
  selected: boolean;
  logs: LogRow[] | undefined;
}

const SpanRow = memo(
  ({ node, isFolded, selected, logs, tree, view, onSelect, onFold }: SpanRowProps) => {
    const id = node.span.spanID;
    return (
      <div
        class={`span-row ${selected ? "selected" : ""}`}
        role="treeitem"
        aria-level={node.depth + 1}
        aria-selected={selected}
        aria-expanded={node.children.length ? !isFolded : undefined}
        aria-label={`${node.service} ${node.span.operationName}, ${durationUs(node.span.duration)}${node.error ? ", failed" : ""}`}
        data-testid="span-row"
        data-span={id}
        data-service={node.service}
        data-depth={node.depth}
        onClick={() => onSelect(id)}
      >
        <div
          class="span-name"
          style={{
            paddingLeft: `${6 + node.depth * INDENT}px`,
            borderLeftColor: serviceColor(node.service),
          }}
        >
          {node.children.length ? (
            <button
              type="button"
              class={`caret ${isFolded ? "" : "down"}`}
              tabIndex={-1}
              aria-label={isFolded ? "Unfold" : "Fold"}
              onClick={(e) => {
                e.stopPropagation();
                onFold(id, !isFolded);
              }}
            >
              <Icon name="chevron" />
            </button>
          ) : (
            <span class="caret" />
          )}
          {node.error ? (
            <span class="bad" title="Failed">
              <Icon name="error" />
            </span>
          ) : (
            isFolded &&
            node.errorBelow && (
              <span class="bad hollow" title="A span below failed">
                <Icon name="error" />
              </span>
            )
          )}
          {node.entersService && <span class="span-service">{node.service}</span>}
          <span class="op">{node.span.operationName}</span>
          {isFolded && <small class="below">+{node.below}</small>}
          {node.orphan && (
            <small
              class="warn-text"
              title="Its parent span is not in this trace (not sent, or not yet)"
            >
              parent missing
            </small>
          )}
          {node.span.references?.some((r) => r.refType === "FOLLOWS_FROM") && (
            <small class="dim" title="Linked to another span">
              linked
            </small>
          )}
        </div>
        <Bar node={node} tree={tree} view={view} logs={logs} />
      </div>
    );
  },
);

export function Waterfall(p: WaterfallProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtual({ scroller, count: p.rows.length, rowHeight: ROW, overscan: 20 });
  const index = p.rows.findIndex((n) => n.span.spanID === p.selected);
  useEffect(() => {
    if (index >= 0) virtual.scrollTo(index);
  }, [p.selected]);
  const move = (to: number) => {
    const node = p.rows[Math.min(p.rows.length - 1, Math.max(0, to))];
    if (node) p.onSelect(node.span.spanID);
  };
  const key = (e: KeyboardEvent) => {
    const node = p.rows[index];
    const actions: Record<string, () => void> = {
      ArrowDown: () => move(index + 1),
      ArrowUp: () => move(index - 1),
      j: () => move(index + 1),
      k: () => move(index - 1),
      Home: () => move(0),
      End: () => move(p.rows.length - 1),
      ArrowLeft: () => {
        if (!node) return;
        const id = node.span.spanID;
        if (node.children.length && !p.folded.has(id)) return p.onFold(id, true);
        const parent = p.rows
          .slice(0, index)
          .reverse()
          .find((n) => n.depth < node.depth);
        if (parent) p.onSelect(parent.span.spanID);
      },
      ArrowRight: () => {
        if (!node?.children.length) return;
        if (p.folded.has(node.span.spanID)) p.onFold(node.span.spanID, false);
        else move(index + 1);
      },
    };
    const action = actions[e.key];
    if (!action || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    action();
  };
  const row = (node: Node) => (
    <SpanRow
      node={node}
      tree={p.tree}
      view={p.view}
      isFolded={p.folded.has(node.span.spanID)}
      selected={node === p.rows[index]}
      logs={p.logs.get(node.span.spanID)}
      onSelect={p.onSelect}
      onFold={p.onFold}
    />
  );
  return (
    <div class="waterfall">
      {p.children}
      <div class="span-head">
        <div class="span-name">Service and operation</div>
        <Ticks tree={p.tree} view={p.view} />
      </div>
      <div
        class="span-list"
        ref={scroller}
        role="tree"
        aria-label="Spans"
        tabIndex={0}
        onKeyDown={key}
        data-testid="waterfall"
      >
        <div role="presentation" style={{ height: `${virtual.total}px`, position: "relative" }}>
          {virtual.items.map((item) => (
            <div
              key={item.key}
              role="presentation"
              class="virtual"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              {row(p.rows[item.index]!)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
