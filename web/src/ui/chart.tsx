// SPDX-License-Identifier: Apache-2.0
// uPlot in a component. The options are rebuilt when `kind` or the theme changes, the data alone
// otherwise. Dragging selects a time range; what a click means is the page's business.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "preact/hooks";
import { dark } from "./theme";
import { resolveColor } from "./colors";

export interface Palette {
  text: string;
  grid: string;
  color: (css: string) => string;
}

export interface ChartProps {
  /** Changes when the options do; the data may change without it. */
  kind: string;
  options: (palette: Palette) => Omit<uPlot.Options, "width" | "height">;
  data: uPlot.AlignedData;
  height: number;
  label: string;
  onZoom?: ((fromMs: number, toMs: number) => void) | undefined;
  onPick?: ((index: number, plot: uPlot) => void) | undefined;
  /** Text of the tooltip at a data index; null hides it. */
  tip?: ((index: number, plot: uPlot) => string | null) | undefined;
}

export function Chart(props: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const isDark = dark.value;

  useEffect(() => {
    const element = host.current!;
    const palette: Palette = {
      text: resolveColor("var(--dim)"),
      grid: resolveColor("var(--grid)"),
      color: resolveColor,
    };
    const given = latest.current.options(palette);
    const u = new uPlot(
      {
        ...given,
        width: element.clientWidth || 600,
        height: latest.current.height,
        legend: { show: false },
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: latest.current.onZoom !== undefined, y: false, setScale: false },
          ...given.cursor,
        },
        hooks: { ...given.hooks, setSelect: [(p) => select(p)], setCursor: [(p) => hover(p)] },
      },
      latest.current.data,
      element,
    );
    plot.current = u;
    const tip = document.createElement("div");
    tip.className = "chart-tip";
    tip.hidden = true;
    u.over.append(tip);

    const select = (p: uPlot) => {
      if (p.select.width < 4) return;
      const from = p.posToVal(p.select.left, "x") * 1000;
      const to = p.posToVal(p.select.left + p.select.width, "x") * 1000;
      p.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      latest.current.onZoom?.(from, to);
    };
    const hover = (p: uPlot) => {
      const { idx, left, top } = p.cursor;
      const text =
        idx === null || idx === undefined || (left ?? -1) < 0
          ? null
          : (latest.current.tip?.(idx, p) ?? null);
      tip.hidden = text === null;
      if (text === null) return;
      tip.textContent = text;
      const width = p.over.clientWidth;
      const right = left! > width / 2;
      tip.style.left = right ? "" : `${left! + 12}px`;
      tip.style.right = right ? `${width - left! + 12}px` : "";
      tip.style.top = `${Math.max(0, Math.min(top!, p.over.clientHeight - 20))}px`;
    };
    let downAt = -1;
    const down = (e: MouseEvent) => (downAt = e.clientX);
    const click = (e: MouseEvent) => {
      const index = u.cursor.idx;
      if (Math.abs(e.clientX - downAt) < 4 && index !== null && index !== undefined)
        latest.current.onPick?.(index, u);
    };
    u.over.addEventListener("mousedown", down);
    u.over.addEventListener("click", click);
    const resized = new ResizeObserver(() => {
      if (element.clientWidth)
        u.setSize({ width: element.clientWidth, height: latest.current.height });
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [props.kind, isDark, props.height]);

  useEffect(() => {
    plot.current?.setData(props.data);
  }, [props.data]);

  return (
    <div
      class="chart"
      ref={host}
      role="img"
      aria-label={props.label}
      style={{ height: `${props.height}px` }}
    />
  );
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

/** Time labels as short as the span of the axis allows, 24-hour clock. */
export function timeAxis(palette: Palette): uPlot.Axis {
  const two = (n: number) => String(n).padStart(2, "0");
  return {
    stroke: palette.text,
    grid: { show: false },
    ticks: { stroke: palette.grid, width: 1, size: 4 },
    font: "11px system-ui, sans-serif",
    size: 26,
    gap: 3,
    space: 70,
    values: (_u, splits, _axis, _space, step) =>
      splits.map((s) => {
        const d = new Date(s * 1000);
        const hm = `${two(d.getHours())}:${two(d.getMinutes())}`;
        if (step >= DAY) return `${two(d.getMonth() + 1)}-${two(d.getDate())}`;
        if (step >= HOUR && d.getHours() === 0)
          return `${two(d.getMonth() + 1)}-${two(d.getDate())}`;
        return step >= MINUTE ? hm : `${hm}:${two(d.getSeconds())}`;
      }),
  };
}

export function valueAxis(palette: Palette, format: (n: number) => string): uPlot.Axis {
  return {
    stroke: palette.text,
    grid: { stroke: palette.grid, width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
    size: 56,
    gap: 4,
    space: 28,
    values: (_u, splits) => splits.map((n) => (n === null || n === undefined ? "" : format(n))),
  };
}
