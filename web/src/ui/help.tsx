// SPDX-License-Identifier: Apache-2.0
// The keyboard and the query languages in one card.
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./parts";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "find a trace, request or job id"],
  ["g s, g l, g t, g m", "services, logs, traces, metrics"],
  ["[  ]", "half a window back, forward"],
  ["r", "reload"],
  ["d", "light or dark"],
  ["↑ ↓", "trace: previous, next span"],
  ["← →", "trace: fold, unfold"],
  ["Esc", "close what is open"],
  ["?", "this help"],
];

const QUERIES: readonly (readonly [string, string])[] = [
  ['{service="api"}', "logs of one service"],
  ['{service="api", level=~"error|fatal"}', "its errors"],
  ['{request_id="r-17"} |= "timeout"', "one request's lines that hold a text"],
  ["rate(http_requests_total[5m])", "requests a second (Metrics)"],
  [
    "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "p95 latency",
  ],
];

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      class="card"
      aria-labelledby="help-title"
      onClose={onClose}
      onClick={(e) => e.target === dialog.current && dialog.current?.close()}
    >
      <div class="card-in">
        <button
          type="button"
          class="icon-button close"
          aria-label="Close"
          onClick={() => dialog.current?.close()}
        >
          <Icon name="close" />
        </button>
        <h2 id="help-title">Help</h2>
        <h3>Keys</h3>
        <table class="kv">
          <tbody>
            {KEYS.map(([key, what]) => (
              <tr key={key}>
                <th>
                  {key.split(", ").map((k) => (
                    <kbd key={k}>{k}</kbd>
                  ))}
                </th>
                <td>{what}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <h3>Times</h3>
        <p>
          <code>now-15m</code>, <code>now-2h30m</code>, <code>2026-01-31 14:05</code>,{" "}
          <code>2026-01-31T13:05:00Z</code>, or Unix seconds. Drag over a chart to zoom in. The
          address of a page is a link to exactly what it shows.
        </p>
        <h3>Queries</h3>
        <table class="kv">
          <tbody>
            {QUERIES.map(([query, what]) => (
              <tr key={query}>
                <th>
                  <code>{query}</code>
                </th>
                <td>{what}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </dialog>
  );
}
