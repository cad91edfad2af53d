// SPDX-License-Identifier: Apache-2.0
// Log lines over time, stacked by level. A bar covers the step that ends at its timestamp; a click
// on it, or dragging, zooms in.
import uPlot from "uplot";
import { count, dateTime } from "../lib/format";
import { LEVELS, knownLevel } from "../lib/logql";
import type { MatrixSeries } from "../lib/loki";
import { Chart, timeAxis, valueAxis, type Palette } from "./chart";

/** Bottom to top: errors stand on the axis, where their number can be read. */
const ORDER = [...LEVELS, ""] as const;

export interface LevelCounts {
  /** Ends of the bars, in seconds. */
  times: number[];
  step: number;
  /** One row per level of ORDER that occurs. */
  levels: { level: string; counts: number[] }[];
  total: number;
}

export function levelCounts(
  series: MatrixSeries[],
  start: number,
  end: number,
  step: number,
): LevelCounts {
  const size = Math.round((end - start) / step) + 1;
  const rows = new Map<string, number[]>();
  let total = 0;
  for (const s of series) {
    const level = knownLevel(s.metric.level);
    let row = rows.get(level);
    if (!row) rows.set(level, (row = Array(size).fill(0)));
    for (const [t, text] of s.values) {
      const i = Math.round((t - start) / step);
      if (i < 0 || i >= size) continue;
      row[i]! += Number(text);
      total += Number(text);
    }
  }
  return {
    times: Array.from({ length: size }, (_, i) => start + i * step),
    step,
    levels: ORDER.filter((l) => rows.has(l)).map((level) => ({ level, counts: rows.get(level)! })),
    total,
  };
}

/** Stacked: each level on top of those before it, the tallest drawn first. */
function stacked(c: LevelCounts): uPlot.AlignedData {
  const sums: number[][] = [];
  let below = c.times.map(() => 0);
  for (const { counts } of c.levels) {
    below = below.map((n, i) => n + counts[i]!);
    sums.push(below);
  }
  // Bars are centred, so that the value nearest to the pointer is the bar under it.
  return [c.times.map((t) => t - c.step / 2), ...sums.reverse()] as uPlot.AlignedData;
}

export function levelColor(level: string): string {
  return `var(--level-${level || "none"})`;
}

export function LevelChart({
  counts,
  onZoom,
}: {
  counts: LevelCounts;
  onZoom: (fromMs: number, toMs: number) => void;
}) {
  const drawn = [...counts.levels].reverse();
  const first = counts.times[0]! - counts.step;
  const last = counts.times[counts.times.length - 1]!;
  const options = (palette: Palette): Omit<uPlot.Options, "width" | "height"> => ({
    padding: [6, 18, 0, 0],
    scales: {
      x: { time: true, range: [first, last] },
      y: { range: (_u, _min, max) => [0, Math.max(max, 1) * 1.05] },
    },
    axes: [
      timeAxis(palette),
      {
        ...valueAxis(palette, count),
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6],
      },
    ],
    series: [
      {},
      ...drawn.map(({ level }) => ({
        fill: palette.color(levelColor(level)),
        width: 0,
        points: { show: false },
        paths: uPlot.paths.bars!({ size: [0.82, 60] }),
      })),
    ],
  });
  const tip = (index: number) => {
    const lines = counts.levels
      .filter((l) => l.counts[index])
      .map((l) => `${l.level || "no level"}: ${count(l.counts[index])}`);
    return [dateTime((counts.times[index]! - counts.step) * 1000).slice(0, 19), ...lines].join(
      "\n",
    );
  };
  const names = counts.levels.map((l) => l.level).join();
  return (
    <Chart
      kind={`${first}-${last}-${names}`}
      options={options}
      data={stacked(counts)}
      height={110}
      label={`Histogram of ${count(counts.total)} log lines by level`}
      onZoom={onZoom}
      onPick={(index) =>
        onZoom((counts.times[index]! - counts.step) * 1000, counts.times[index]! * 1000)
      }
      tip={tip}
    />
  );
}
