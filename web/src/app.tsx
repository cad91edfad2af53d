// SPDX-License-Identifier: Apache-2.0
// The frame around every page: navigation, the search for an id, the time range, theme and help.
// Pages are loaded when they are first opened.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { pending } from "./lib/api";
import { frozenUrl, go, href, now, param, place, range, setParams, setRange } from "./lib/url";
import { formatTime, parseDuration, shiftRange } from "./lib/range";
import { FindBox } from "./ui/find-box";
import { Help } from "./ui/help";
import { CopyButton, Icon } from "./ui/parts";
import { RangePicker } from "./ui/range-picker";
import { dark, toggleTheme } from "./ui/theme";

type Page = ComponentType;

const PAGES: Record<string, () => Promise<{ default: Page }>> = {
  "/": () => import("./pages/services"),
  "/logs": () => import("./pages/logs"),
  "/traces": () => import("./pages/traces"),
  "/trace": () => import("./pages/trace"),
  "/explore": () => import("./pages/explore"),
};

const NAV: readonly (readonly [string, string, string])[] = [
  ["/", "Services", "s"],
  ["/logs", "Logs", "l"],
  ["/traces", "Traces", "t"],
  ["/explore", "Metrics", "m"],
];

function pageName(path: string): string {
  return path.startsWith("/trace/") ? "/trace" : path;
}

const loaded = new Map<string, Page>();

function usePage(name: string): { page: Page | undefined; failed: boolean } {
  const [, redraw] = useState(0);
  const [failed, setFailed] = useState("");
  useEffect(() => {
    if (loaded.has(name) || !PAGES[name]) return;
    PAGES[name]().then(
      (module) => {
        loaded.set(name, module.default);
        redraw((n) => n + 1);
      },
      () => setFailed(name),
    );
  }, [name]);
  return { page: loaded.get(name), failed: failed === name };
}

/** Reloads relative ranges at the pace of ?refresh=10s. */
function useRefresh(): void {
  const every = parseDuration(param("refresh")) ?? 0;
  useEffect(() => {
    if (every < 1000) return;
    const timer = setInterval(() => {
      if (!document.hidden) now.value = Date.now();
    }, every);
    return () => clearInterval(timer);
  }, [every]);
}

function isTyping(target: EventTarget | null): boolean {
  const e = target as HTMLElement | null;
  return !!e && (e.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName));
}

function shift(share: number): void {
  const r = shiftRange(range.peek(), share);
  setRange(formatTime(r.from), formatTime(r.to));
}

function useKeys(openHelp: () => void): void {
  useEffect(() => {
    let afterG = 0;
    const onKey = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (isTyping(e.target)) {
        if (e.key === "Escape") (e.target as HTMLElement).blur();
        return;
      }
      if (Date.now() - afterG < 1000) {
        afterG = 0;
        const target = NAV.find(([, , key]) => key === e.key);
        if (target) return go(href(target[0]));
      }
      const actions: Record<string, () => void> = {
        "/": () => document.getElementById("find")?.focus(),
        "?": openHelp,
        g: () => (afterG = Date.now()),
        r: () => (now.value = Date.now()),
        d: toggleTheme,
        "[": () => shift(-0.5),
        "]": () => shift(0.5),
      };
      const action = actions[e.key];
      if (!action) return;
      e.preventDefault();
      action();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

function NotFound() {
  return (
    <main class="page">
      <div class="empty">
        <h2>There is no page at {place.value.path}</h2>
        <p>
          <a href={href("/")}>Services</a> shows what reports to this server.
        </p>
      </div>
    </main>
  );
}

export function App() {
  const name = pageName(place.value.path);
  const known = name in PAGES;
  const { page: Current, failed } = usePage(name);
  const [help, setHelp] = useState(false);
  useRefresh();
  useKeys(() => setHelp(true));
  const section = name === "/trace" ? "/traces" : name;
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header class="top">
        <a class="brand" href={href("/")} aria-label="sonde, services">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M3 19h6l3-11 6 17 3-9h8" />
          </svg>
          sonde
        </a>
        <nav aria-label="Pages">
          {NAV.map(([path, label]) => (
            <a key={path} href={href(path)} aria-current={section === path ? "page" : undefined}>
              {label}
            </a>
          ))}
        </nav>
        <FindBox />
        <RangePicker />
        <button
          type="button"
          class="icon-button"
          title="Reload (r)"
          aria-label="Reload"
          onClick={() => (now.value = Date.now())}
        >
          <Icon name="refresh" />
        </button>
        <select
          class="quiet"
          aria-label="Reload every"
          title="Reload every"
          value={param("refresh")}
          onChange={(e) => setParams({ refresh: e.currentTarget.value }, true)}
        >
          <option value="">off</option>
          {["5s", "10s", "30s", "1m"].map((t) => (
            <option key={t}>{t}</option>
          ))}
        </select>
        <CopyButton text={frozenUrl} label="Copy a link to this page with its times fixed" />
        <button
          type="button"
          class="icon-button"
          data-testid="theme"
          title="Light or dark (d)"
          aria-label={dark.value ? "Switch to light" : "Switch to dark"}
          onClick={toggleTheme}
        >
          <Icon name={dark.value ? "sun" : "moon"} />
        </button>
        <button
          type="button"
          class="icon-button"
          title="Help (?)"
          aria-label="Help"
          onClick={() => setHelp(true)}
        >
          <Icon name="help" />
        </button>
        <div class={pending.value ? "progress on" : "progress"} aria-hidden="true" />
      </header>
      <div id="main" tabIndex={-1}>
        {!known ? (
          <NotFound />
        ) : Current ? (
          <Current key={place.value.path} />
        ) : (
          failed && (
            <main class="page">
              <div class="empty" role="alert">
                <h2>This page could not be loaded</h2>
                <p>
                  The server may have been replaced by another version.{" "}
                  <a href="" target="_self">
                    Load again
                  </a>
                </p>
              </div>
            </main>
          )
        )}
      </div>
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}
