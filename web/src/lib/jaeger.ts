// SPDX-License-Identifier: Apache-2.0
// Jaeger's traces: their types, the span tree, and the summary that a list row shows. All times are
// microseconds, as the API has them; clocks of different hosts are not corrected.
import { getJson } from "./api";

export interface Tag {
  key: string;
  type?: string;
  value: string | number | boolean;
}

export interface Reference {
  refType: "CHILD_OF" | "FOLLOWS_FROM";
  traceID: string;
  spanID: string;
}

export interface Span {
  traceID: string;
  spanID: string;
  operationName: string;
  references?: Reference[] | null;
  startTime: number;
  duration: number;
  tags?: Tag[] | null;
  logs?: { timestamp: number; fields: Tag[] }[] | null;
  processID: string;
  warnings?: string[] | null;
}

export interface Process {
  serviceName: string;
  tags?: Tag[] | null;
}

export interface Trace {
  traceID: string;
  spans: Span[];
  processes: Record<string, Process>;
  warnings?: string[] | null;
}

export interface Node {
  span: Span;
  service: string;
  depth: number;
  children: Node[];
  /** Spans below this one, all levels. */
  below: number;
  error: boolean;
  /** An error somewhere below, so that a folded row still shows it. */
  errorBelow: boolean;
  /**
   * Its parent belongs to another service, or it has none: the name of the service is worth
   * showing.
   */
  entersService: boolean;
  /** It names a parent that the trace does not have. */
  orphan: boolean;
}

export interface Tree {
  roots: Node[];
  nodes: Map<string, Node>;
  start: number;
  end: number;
  services: string[];
  errors: number;
}

export function tagValue(tags: Tag[] | null | undefined, key: string): Tag["value"] | undefined {
  return tags?.find((t) => t.key === key)?.value;
}

export function isError(span: Span): boolean {
  const error = tagValue(span.tags, "error");
  if (error !== undefined) return error === true || error === "true";
  return tagValue(span.tags, "otel.status_code") === "ERROR";
}

export function serviceOf(trace: Trace, span: Span): string {
  return trace.processes[span.processID]?.serviceName ?? "unknown";
}

function byStart(a: Node, b: Node): number {
  return a.span.startTime - b.span.startTime || b.span.duration - a.span.duration;
}

/** Span ids that the server sent twice are shown once: a resent batch is not a second span. */
export function buildTree(trace: Trace): Tree {
  const nodes = new Map<string, Node>();
  const services = new Set<string>();
  let start = Infinity;
  let end = -Infinity;
  let errors = 0;
  for (const span of trace.spans) {
    if (nodes.has(span.spanID)) continue;
    const service = serviceOf(trace, span);
    const error = isError(span);
    services.add(service);
    if (error) errors++;
    start = Math.min(start, span.startTime);
    end = Math.max(end, span.startTime + span.duration);
    nodes.set(span.spanID, {
      span,
      service,
      error,
      depth: 0,
      children: [],
      below: 0,
      errorBelow: false,
      entersService: true,
      orphan: false,
    });
  }
  const roots = link(trace.traceID, nodes);
  settle(roots);
  if (!nodes.size) start = end = 0;
  return { roots, nodes, start, end, services: [...services], errors };
}

/** Hangs every span below its parent; the others are roots, in order of their start. */
function link(traceId: string, nodes: Map<string, Node>): Node[] {
  const parents = new Map<Node, Node>();
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const reference = node.span.references?.find(
      (r) => r.refType === "CHILD_OF" && r.traceID === traceId,
    );
    const parent = reference && nodes.get(reference.spanID);
    if (parent && parent !== node) parents.set(node, parent);
    else {
      node.orphan = reference !== undefined;
      roots.push(node);
    }
  }
  for (const node of ringBreakers(nodes, parents)) {
    parents.delete(node);
    node.orphan = true;
    roots.push(node);
  }
  for (const [node, parent] of parents) {
    parent.children.push(node);
    node.entersService = parent.service !== node.service;
  }
  return roots.sort(byStart);
}

/**
 * Malformed traces may name each other as parents in a ring: one span of each ring, to become a
 * root.
 */
function ringBreakers(nodes: Map<string, Node>, parents: Map<Node, Node>): Node[] {
  const walkOf = new Map<Node, number>();
  const found: Node[] = [];
  let walk = 0;
  for (const start of nodes.values()) {
    walk++;
    let n: Node | undefined = start;
    while (n && !walkOf.has(n)) {
      walkOf.set(n, walk);
      n = parents.get(n);
    }
    if (n && walkOf.get(n) === walk) found.push(n);
  }
  return found;
}

/** Depths, order and sums; a stack instead of recursion, because a trace may be a long chain. */
function settle(roots: Node[]): void {
  const order: Node[] = [];
  const stack = [...roots];
  while (stack.length) {
    const node = stack.pop()!;
    order.push(node);
    node.children.sort(byStart);
    for (const child of node.children) {
      child.depth = node.depth + 1;
      stack.push(child);
    }
  }
  for (const node of order.reverse()) {
    for (const child of node.children) {
      node.below += child.below + 1;
      node.errorBelow ||= child.error || child.errorBelow;
    }
  }
}

/** The rows of the waterfall, top to bottom, without what hides below a folded span. */
export function visibleRows(tree: Tree, folded: ReadonlySet<string>): Node[] {
  const rows: Node[] = [];
  const stack = [...tree.roots].reverse();
  while (stack.length) {
    const node = stack.pop()!;
    rows.push(node);
    if (folded.has(node.span.spanID)) continue;
    for (let i = node.children.length - 1; i >= 0; i--) stack.push(node.children[i]!);
  }
  return rows;
}

export interface Summary {
  /** A span names a parent that is not there. */
  incomplete: boolean;
  traceId: string;
  start: number;
  duration: number;
  service: string;
  operation: string;
  services: { name: string; spans: number }[];
  spans: number;
  errors: number;
}

export function summarize(trace: Trace): Summary {
  const tree = buildTree(trace);
  const root = tree.roots.find((r) => !r.orphan) ?? tree.roots[0];
  const counts = new Map<string, number>();
  for (const node of tree.nodes.values())
    counts.set(node.service, (counts.get(node.service) ?? 0) + 1);
  return {
    traceId: trace.traceID,
    start: tree.start,
    duration: tree.end - tree.start,
    service: root?.service ?? "",
    operation: root?.span.operationName ?? "",
    services: [...counts]
      .map(([name, spans]) => ({ name, spans }))
      .sort((a, b) => a.name.localeCompare(b.name)),
    spans: tree.nodes.size,
    errors: tree.errors,
    incomplete: tree.roots.some((r) => r.orphan),
  };
}

/**
 * `http.method=GET error=true user.id="a b"` as the API's JSON object; null when a part has no "=".
 */
export function parseTags(text: string): Record<string, string> | null {
  const out: Record<string, string> = {};
  const rest = text.replace(
    /([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)/g,
    (_, key: string, value: string) => {
      out[key] =
        value.startsWith('"') && value.endsWith('"') && value.length > 1
          ? value.slice(1, -1).replace(/\\(.)/g, "$1")
          : value;
      return "";
    },
  );
  return rest.trim() ? null : out;
}

export function formatTag(key: string, value: Tag["value"]): string {
  const v = String(value);
  return /[\s"]/.test(v) || v === "" ? `${key}="${v.replace(/[\\"]/g, "\\$&")}"` : `${key}=${v}`;
}

export interface TraceSearch {
  /** Empty: all services. */
  service: string;
  operation?: string;
  minDuration?: string;
  maxDuration?: string;
  tags?: Record<string, string>;
  limit: number;
  startUs: number;
  endUs: number;
}

export async function searchTraces(s: TraceSearch, abort?: AbortSignal): Promise<Trace[]> {
  const answer = await getJson<{ data: Trace[] | null }>(
    "/jaeger/api/traces",
    {
      service: s.service,
      operation: s.operation,
      minDuration: s.minDuration,
      maxDuration: s.maxDuration,
      tags: s.tags && Object.keys(s.tags).length ? JSON.stringify(s.tags) : "",
      limit: s.limit,
      start: Math.floor(s.startUs),
      end: Math.ceil(s.endUs),
      lookback: "custom",
    },
    abort,
  );
  return answer.data ?? [];
}

export async function listServices(abort?: AbortSignal): Promise<string[]> {
  const answer = await getJson<{ data: string[] | null }>("/jaeger/api/services", {}, abort);
  return [...(answer.data ?? [])].sort((a, b) => a.localeCompare(b));
}

export async function listOperations(service: string, abort?: AbortSignal): Promise<string[]> {
  const path = `/jaeger/api/services/${encodeURIComponent(service)}/operations`;
  const answer = await getJson<{ data: (string | { name: string })[] | null }>(path, {}, abort);
  const names = (answer.data ?? []).map((o) => (typeof o === "string" ? o : o.name));
  return [...new Set(names)].sort((a, b) => a.localeCompare(b));
}

export async function getTrace(id: string, abort?: AbortSignal): Promise<Trace | undefined> {
  const path = `/jaeger/api/traces/${encodeURIComponent(id)}`;
  const answer = await getJson<{ data: Trace[] | null }>(path, {}, abort);
  return answer.data?.[0];
}
