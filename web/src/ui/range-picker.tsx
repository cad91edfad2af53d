// SPDX-License-Identifier: Apache-2.0
// The time range: quick choices, or any two times. It only writes ?from= and ?to=.
import { useEffect, useRef, useState } from "preact/hooks";
import { dateTime } from "../lib/format";
import {
  QUICK_RANGES,
  describeRange,
  formatTime,
  parseTime,
  shiftRange,
  zoomOutRange,
  type Range,
} from "../lib/range";
import { fromText, range, setRange, toText } from "../lib/url";
import { Icon } from "./parts";

function apply(r: Range): void {
  setRange(formatTime(r.from), formatTime(r.to));
}

/**
 * Times typed into the form stand in the reader's zone; relative ones and RFC 3339 stay as they
 * are.
 */
function forInput(text: string): string {
  const ms = parseTime(text, 0);
  return text.startsWith("now") || ms === null ? text : dateTime(ms).slice(0, 19);
}

/** A local date and time becomes an instant, so that the link means the same in every zone. */
function forUrl(text: string): string {
  const ms = parseTime(text, Date.now());
  return text.trim().startsWith("now") || ms === null ? text.trim() : formatTime(ms);
}

function Form({ close }: { close: () => void }) {
  const [from, setFrom] = useState(forInput(fromText.value));
  const [to, setTo] = useState(forInput(toText.value));
  const t = Date.now();
  const a = parseTime(from, t);
  const b = parseTime(to, t);
  const problem =
    a === null
      ? "From is not a time"
      : b === null
        ? "To is not a time"
        : a >= b
          ? "From is not before To"
          : "";
  const submit = (e: Event) => {
    e.preventDefault();
    if (problem) return;
    setRange(forUrl(from), forUrl(to));
    close();
  };
  return (
    <form class="range-form" onSubmit={submit}>
      <label>
        From
        <input value={from} spellcheck={false} onInput={(e) => setFrom(e.currentTarget.value)} />
      </label>
      <label>
        To
        <input value={to} spellcheck={false} onInput={(e) => setTo(e.currentTarget.value)} />
      </label>
      <p class="hint">
        {problem
          ? `${problem}: write now-2h, 2026-01-31 14:05 or Unix seconds.`
          : "now-2h, 2026-01-31 14:05 or Unix seconds"}
      </p>
      <button type="submit" class="button primary" disabled={!!problem}>
        Apply
      </button>
    </form>
  );
}

export function RangePicker() {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const outside = (e: MouseEvent) => {
      if (!box.current?.contains(e.target as globalThis.Node)) setOpen(false);
    };
    const escape = (e: KeyboardEvent) => {
      if (e.key !== "Escape") return;
      e.stopPropagation();
      close();
    };
    document.addEventListener("mousedown", outside);
    document.addEventListener("keydown", escape, true);
    return () => {
      document.removeEventListener("mousedown", outside);
      document.removeEventListener("keydown", escape, true);
    };
  }, [open]);
  const r = range.value;
  const exact = `${new Date(r.from).toISOString()} – ${new Date(r.to).toISOString()}`;
  return (
    <div class="range" ref={box}>
      <button
        type="button"
        class="icon-button"
        title="Half a window back ([)"
        aria-label="Half a window back"
        onClick={() => apply(shiftRange(r, -0.5))}
      >
        <Icon name="left" />
      </button>
      <button
        type="button"
        class="button range-button"
        ref={button}
        data-testid="range"
        title={exact}
        aria-haspopup="dialog"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        <Icon name="clock" />
        {describeRange(fromText.value, toText.value)}
      </button>
      <button
        type="button"
        class="icon-button"
        title="Half a window forward (])"
        aria-label="Half a window forward"
        onClick={() => apply(shiftRange(r, 0.5))}
      >
        <Icon name="right" />
      </button>
      {open && (
        <div class="popover" role="dialog" aria-label="Time range">
          <div class="quick">
            {QUICK_RANGES.map(([value, label]) => (
              <button
                type="button"
                key={value}
                aria-pressed={fromText.value === value && toText.value === "now"}
                onClick={() => {
                  setRange(value, "now");
                  close();
                }}
              >
                {label}
              </button>
            ))}
          </div>
          <div>
            <Form close={close} />
            <button type="button" class="button" onClick={() => apply(zoomOutRange(r, Date.now()))}>
              <Icon name="minus" />
              Zoom out
            </button>
          </div>
        </div>
      )}
    </div>
  );
}
