// SPDX-License-Identifier: Apache-2.0
// The whole trace in 44 pixels of height. Dragging chooses the part that the waterfall shows; a
// double click shows all again. Keyboard users zoom by + and - on the focused map.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Node, Tree } from "../lib/jaeger";
import { resolveColor, serviceColor } from "./colors";
import { dark } from "./theme";

/** Shares of the trace, 0 to 1. */
export interface View {
  from: number;
  to: number;
}

export const WHOLE: View = { from: 0, to: 1 };

const HEIGHT = 44;

function draw(canvas: HTMLCanvasElement, tree: Tree, rows: Node[]): void {
  const width = canvas.clientWidth;
  const ratio = devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = HEIGHT * ratio;
  const g = canvas.getContext("2d");
  if (!g) return;
  g.scale(ratio, ratio);
  const length = Math.max(tree.end - tree.start, 1);
  const height = Math.max(1, Math.min(4, (HEIGHT - 6) / rows.length));
  const colors = new Map(tree.services.map((s) => [s, resolveColor(serviceColor(s))]));
  const bad = resolveColor("var(--bad)");
  rows.forEach((node, i) => {
    const x = ((node.span.startTime - tree.start) / length) * width;
    g.fillStyle = node.error ? bad : colors.get(node.service)!;
    g.fillRect(
      x,
      3 + (i / rows.length) * (HEIGHT - 6),
      Math.max(1, (node.span.duration / length) * width),
      height,
    );
  });
}

export interface MinimapProps {
  tree: Tree;
  rows: Node[];
  view: View;
  onView: (v: View) => void;
}

export function Minimap({ tree, rows, view, onView }: MinimapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [drag, setDrag] = useState<View | null>(null);
  const isDark = dark.value;
  useEffect(() => {
    const element = canvas.current!;
    const redraw = () => draw(element, tree, rows);
    redraw();
    const resized = new ResizeObserver(redraw);
    resized.observe(element);
    return () => resized.disconnect();
  }, [tree, rows, isDark]);

  const share = (e: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    return Math.min(1, Math.max(0, (e.clientX - box.left) / box.width));
  };
  const down = (e: PointerEvent) => {
    (e.currentTarget as Element).setPointerCapture(e.pointerId);
    const at = share(e);
    setDrag({ from: at, to: at });
  };
  const up = () => {
    if (drag && Math.abs(drag.to - drag.from) > 0.005)
      onView({ from: Math.min(drag.from, drag.to), to: Math.max(drag.from, drag.to) });
    setDrag(null);
  };
  const key = (e: KeyboardEvent) => {
    const middle = (view.from + view.to) / 2;
    const factor = e.key === "+" ? 0.25 : e.key === "-" ? 1 : 0;
    if (!factor) return;
    const half = (view.to - view.from) * factor;
    onView({ from: Math.max(0, middle - half), to: Math.min(1, middle + half) });
  };
  const shown = drag
    ? { from: Math.min(drag.from, drag.to), to: Math.max(drag.from, drag.to) }
    : view;
  return (
    <div
      class="minimap"
      tabIndex={0}
      role="group"
      aria-label="Overview of the trace; drag to zoom, double click for all"
      title="Drag to zoom, double click for all"
      onPointerDown={down}
      onPointerMove={(e) => drag && setDrag({ ...drag, to: share(e) })}
      onPointerUp={up}
      onDblClick={() => onView(WHOLE)}
      onKeyDown={key}
    >
      <canvas ref={canvas} style={{ height: `${HEIGHT}px` }} />
      <i class="shade" style={{ left: 0, width: `${shown.from * 100}%` }} />
      <i class="shade" style={{ left: `${shown.to * 100}%`, right: 0 }} />
    </div>
  );
}
