// SPDX-License-Identifier: Apache-2.0
// The UI as a person uses it, in Debian's Chromium, against any running server that the staging
// system reports to (the real `sonde serve`, or tests/web/mock.mjs). What a page shows is compared
// with what the APIs answer.
//   node tests/web/browser.mjs URL [--api NAME] [--worker NAME] [--only TEXT] [--shots DIR]
// Without names, the services whose names end in "api" and "worker" are taken. Prints a line per
// test and "N passed, N failed"; exit code 0 only when none failed.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openChromium } from "./chromium.mjs";
import { auditContrast, auditNames } from "./audit.mjs";

const WAIT_MS = 20_000;
/**
 * Until the staging system has been seen end to end: it starts, works and exports within this time.
 */
const DATA_WAIT_MS = 90_000;
/** So many equal answers in a row, 200 ms apart, mean that nothing more arrives. */
const STILL_POLLS = 20;

const args = process.argv.slice(2);
const flag = (name) => {
    const i = args.indexOf(`--${name}`);
    return i < 0 ? undefined : args.splice(i, 2)[1];
};
const names = { api: flag("api"), worker: flag("worker") };
const only = flag("only");
const shots = flag("shots");
const [base] = args;
if (!base) {
    console.error(
        "usage: node tests/web/browser.mjs URL [--api NAME] [--worker NAME] [--only TEXT] [--shots DIR]",
    );
    process.exit(2);
}
const origin = new URL(base).origin;

async function api(path, params = {}) {
    const query = new URLSearchParams(params).toString();
    const response = await fetch(`${origin}${path}${query ? `?${query}` : ""}`);
    assert.ok(response.ok, `${path} answered ${response.status}`);
    return response.json();
}

/** Polls until `check` gives something true, and returns it. */
async function until(what, check, limitMs = WAIT_MS) {
    const end = Date.now() + limitMs;
    let last;
    for (;;) {
        try {
            const found = await check();
            if (found) return found;
        } catch (error) {
            last = error;
        }
        if (Date.now() > end)
            throw new Error(
                `${what}: not within ${limitMs / 1000} s${last ? ` (${last.message})` : ""}`,
            );
        await new Promise((done) => setTimeout(done, 200));
    }
}

const service = (trace, span) => trace.processes[span.processID].serviceName;
const traceEnd = (t) => Math.max(...t.spans.map((s) => s.startTime + s.duration));
const traceStart = (t) => Math.min(...t.spans.map((s) => s.startTime));
const duration = (t) => traceEnd(t) - traceStart(t);

/** The range that all comparisons use: fixed, and past, so that what is in it stands still. */
const range = { from: 0, to: 0 };
const iso = (ms) => new Date(ms).toISOString();
const at = (path, params = {}) =>
    `${origin}${path}?${new URLSearchParams({ from: iso(range.from), to: iso(range.to), ...params })}`;

async function workerTraces() {
    const { data } = await api("/jaeger/api/traces", {
        service: names.worker,
        limit: 1000,
        start: range.from * 1000,
        end: range.to * 1000,
    });
    return data;
}

/** Log lines by the API itself, sorted as [nanoseconds, line]. */
async function logsOf(query, fromMs, toMs, direction = "forward") {
    const { data } = await api("/loki/api/v1/query_range", {
        query,
        start: `${Math.floor(fromMs)}000000`,
        end: `${Math.ceil(toMs)}000000`,
        limit: 1000,
        direction,
    });
    const rows = data.result.flatMap((s) =>
        s.values.map(([ns, line, meta]) => ({
            ns,
            line,
            meta: meta?.structuredMetadata ?? meta ?? {},
        })),
    );
    return rows.sort((a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : 0));
}

/** Waits until a job has gone all the way: API and worker in one trace. */
async function findNames() {
    await until(
        "the API and the worker report",
        async () => {
            const { data } = await api("/jaeger/api/services");
            names.api ??= data.find((n) => /api$/.test(n));
            names.worker ??= data.find((n) => /worker$/.test(n));
            return (
                names.api && names.worker && data.includes(names.api) && data.includes(names.worker)
            );
        },
        DATA_WAIT_MS,
    );
    await until(
        "a trace through both",
        async () => {
            range.to = Date.now();
            range.from = range.to - 3_600_000;
            const whole = (await workerTraces()).filter((t) =>
                new Set(t.spans.map((s) => service(t, s))).has(names.api),
            );
            return whole.length >= 3;
        },
        DATA_WAIT_MS,
    );
    await standsStill();
}

/**
 * Spans and lines of the range may still be on their way; the comparisons start when no more come.
 */
async function standsStill() {
    let before = "";
    let same = 0;
    await until(
        "the range stands still",
        async () => {
            const { data } = await api("/api/sonde/v1/services", {
                start: range.from / 1000,
                end: range.to / 1000,
            });
            const now = JSON.stringify(data);
            same = now === before ? same + 1 : 0;
            before = now;
            return same >= STILL_POLLS;
        },
        DATA_WAIT_MS,
    );
}

const console_errors = [];
const foreign = [];
/** Errors that a test provokes on purpose are expected for this long. */
let expectErrors = false;

function watch(page) {
    page.on("console", (m) => {
        if (m.type() === "error" && !expectErrors) console_errors.push(m.text());
    });
    page.on("pageerror", (e) => console_errors.push(String(e)));
    page.on("request", (r) => {
        if (new URL(r.url()).origin !== origin && !/^(data|blob|about):/.test(r.url()))
            foreign.push(r.url());
    });
    page.on("websocket", (w) => {
        if (new URL(w.url()).host !== new URL(origin).host) foreign.push(w.url());
    });
}

/** The page has loaded what it asked for. */
async function settled(page) {
    await page.waitForSelector("main");
    await page.waitForFunction(
        () => {
            const main = document.querySelector("main");
            return (
                main &&
                main.getAttribute("aria-busy") !== "true" &&
                !document.querySelector(".skeleton, .progress.on")
            );
        },
        undefined,
        { timeout: WAIT_MS },
    );
}

async function open(page, url) {
    await page.goto(url);
    await settled(page);
}

let slowest; // the trace that the waterfall tests use

const tests = {
    async "services page shows rate, errors and p95 of the API and the worker"(page) {
        await open(page, at("/"));
        const { data } = await api("/api/sonde/v1/services", {
            start: range.from / 1000,
            end: range.to / 1000,
        });
        for (const name of [names.api, names.worker]) {
            const row = page.locator(`[data-testid=services] tr[data-service="${name}"]`);
            await row.waitFor();
            const expected = data.find((s) => s.service === name);
            const text = await row.innerText();
            assert.match(text, /\d\/s/, "the rate has a unit");
            assert.match(text, /\d%/, "the error ratio is a percentage");
            assert.match(text, /\d (µs|ms|s)\b/, "p95 has a unit");
            assert.ok(expected.requests > 0, `${name} has requests`);
            assert.ok(
                text.replace(/,/g, "").includes(String(expected.requests)),
                `${name}: ${expected.requests} requests in "${text}"`,
            );
        }
    },

    async "a service row leads to its traces and its logs"(page) {
        await open(page, at("/"));
        const row = page.locator(`tr[data-service="${names.worker}"]`);
        await row.locator("a", { hasText: "lines" }).click();
        await page.waitForURL(/\/logs\?/);
        await page.locator("[data-testid=log-row]").first().waitFor();
        const shown = await page.locator("[data-testid=log-row] .svc").allInnerTexts();
        assert.ok(
            shown.length > 0 && shown.every((s) => s.trim() === names.worker),
            `only ${names.worker}: ${[...new Set(shown)]}`,
        );
        await page.goBack();
        await row.locator("a", { hasText: names.worker }).click();
        await page.waitForURL(/\/traces\?/);
        await page.locator("[data-testid=trace-row]").first().waitFor();
        assert.equal(await page.locator("[data-testid=service]").inputValue(), names.worker);
    },

    async "traces of the worker, slowest first"(page) {
        const before = await workerTraces();
        await open(page, at("/traces", { service: names.worker, limit: 1000 }));
        await page.locator("[data-testid=sort]").selectOption("slowest");
        const rows = page.locator("[data-testid=trace-row]");
        await rows.first().waitFor();
        const durations = await rows.evaluateAll((all) =>
            all.map((r) => Number(r.dataset.duration)),
        );
        assert.deepEqual(
            durations,
            [...durations].sort((a, b) => b - a),
            "durations fall",
        );
        const after = await workerTraces();
        const top = await rows.first().getAttribute("data-trace");
        const best = [before, after].map(
            (list) => [...list].sort((a, b) => duration(b) - duration(a))[0].traceID,
        );
        assert.ok(best.includes(top), `first row ${top}, slowest by the API ${best}`);
        slowest = after.find((t) => t.traceID === top);
        await page.reload();
        await settled(page);
        assert.equal(await rows.first().getAttribute("data-trace"), top, "the order is in the URL");
    },

    async "the slowest trace is one waterfall with the API's spans above the worker's"(page) {
        await open(page, at("/traces", { service: names.worker, limit: 1000, sort: "slowest" }));
        await page.locator("[data-testid=trace-row]").first().locator("a").first().click();
        await page.waitForURL(new RegExp(`/trace/${slowest.traceID}`));
        await page.locator("[data-testid=span-row]").first().waitFor();
        assert.equal(await page.locator("[data-testid=waterfall]").count(), 1);
        const rows = await page.locator("[data-testid=span-row]").evaluateAll((all) =>
            all.map((r) => ({
                service: r.dataset.service,
                depth: Number(r.dataset.depth),
                id: r.dataset.span,
            })),
        );
        const { data } = await api(`/jaeger/api/traces/${slowest.traceID}`);
        assert.deepEqual(
            new Set(rows.map((r) => r.id)),
            new Set(data[0].spans.map((s) => s.spanID)),
            "every span has a row",
        );
        assert.equal(
            rows.filter((r) => r.depth === 0).length,
            1,
            "one root: the worker's spans hang below the API's",
        );
        const lastApi = rows.findLastIndex((r) => r.service === names.api);
        const firstWorker = rows.findIndex((r) => r.service === names.worker);
        assert.ok(lastApi >= 0 && firstWorker >= 0, "both services have spans");
        assert.ok(
            lastApi < firstWorker,
            `the API's last row ${lastApi} is above the worker's first ${firstWorker}`,
        );
        slowest = data[0];
    },

    async "a click on a span shows exactly its logs"(page) {
        const from = traceStart(slowest) / 1000 - 60_000;
        const to = traceEnd(slowest) / 1000 + 60_000;
        const all = await logsOf(`{trace_id="${slowest.traceID}"}`, from, to);
        assert.ok(all.length > 0, "the trace has logs");
        await open(page, at(`/trace/${slowest.traceID}`));
        let shownInAll = 0;
        for (const span of slowest.spans.slice(0, 40)) {
            const expected = await logsOf(
                `{trace_id="${slowest.traceID}", span_id="${span.spanID}"}`,
                from,
                to,
            );
            const own = all.filter((r) => r.meta.span_id === span.spanID);
            assert.deepEqual(
                expected.map((r) => r.ns),
                own.map((r) => r.ns),
                `${span.operationName}: the selector gives the span's lines and no others`,
            );
            await page.locator(`[data-testid=span-row][data-span="${span.spanID}"]`).click();
            const panel = page.locator(`[data-testid=span-panel][data-span="${span.spanID}"]`);
            await panel.locator("[data-testid=span-logs][data-loaded=yes]").waitFor();
            const shown = await panel
                .locator("[data-testid=log-row]")
                .evaluateAll((rows) => rows.map((r) => r.dataset.ns));
            assert.deepEqual(
                shown,
                expected.map((r) => r.ns),
                `${span.operationName}: the panel shows its lines, in order`,
            );
            shownInAll += shown.length;
        }
        assert.ok(shownInAll > 0, "some span has logs");
    },

    async "log lines stand as marks on the bars of their spans"(page) {
        const all = await logsOf(
            `{trace_id="${slowest.traceID}"}`,
            traceStart(slowest) / 1000 - 60_000,
            traceEnd(slowest) / 1000 + 60_000,
        );
        await open(page, at(`/trace/${slowest.traceID}`));
        const spans = new Set(slowest.spans.map((s) => s.spanID));
        const expected = all.filter((r) => spans.has(r.meta.span_id)).length;
        await until(
            `${expected} marks`,
            async () => (await page.locator(".log-mark").count()) === expected,
        );
    },

    async "from a span to its logs, and from a log line back to its span"(page) {
        const from = traceStart(slowest) / 1000 - 60_000;
        const to = traceEnd(slowest) / 1000 + 60_000;
        const all = await logsOf(`{trace_id="${slowest.traceID}"}`, from, to);
        const spanId = all.find((r) => r.meta.span_id)?.meta.span_id;
        assert.ok(spanId, "a line of the trace names its span");
        await open(page, at(`/trace/${slowest.traceID}`, { span: spanId }));
        await page.locator("[data-testid=span-logs] a", { hasText: "open in logs" }).click();
        await page.waitForURL(/\/logs\?/);
        const rows = page.locator("[data-testid=log-row]");
        await rows.first().waitFor();
        await settled(page);
        const expected = all
            .filter((r) => r.meta.span_id === spanId)
            .map((r) => r.ns)
            .reverse();
        assert.deepEqual(
            await rows.evaluateAll((list) => list.map((r) => r.dataset.ns)),
            expected,
            "the logs page has the span's lines, newest first",
        );
        await rows.first().locator("a", { hasText: "trace" }).click();
        await page.waitForURL(new RegExp(`/trace/${slowest.traceID}\\?.*span=${spanId}`));
        await page.locator(`[data-testid=span-panel][data-span="${spanId}"]`).waitFor();
        assert.equal(
            await page
                .locator(`[data-testid=span-row][data-span="${spanId}"]`)
                .getAttribute("aria-selected"),
            "true",
        );
    },

    async "an opened log line shows its fields, and a field narrows the query"(page) {
        await open(page, at("/logs"));
        const row = page.locator("[data-testid=log-row]").first();
        await row.locator(".log-main").click();
        await row.getByRole("button", { name: "Filter for trace_id" }).click();
        await page.waitForURL(/trace_id/);
        await settled(page);
        const id = /trace_id="([0-9a-f]+)"/.exec(
            await page.locator("[data-testid=logql]").inputValue(),
        )[1];
        const expected = await logsOf(`{trace_id="${id}"}`, range.from, range.to);
        await until(
            "the lines of this trace",
            async () => (await page.locator("[data-testid=log-row]").count()) === expected.length,
        );
    },

    async "levels, text and the histogram narrow the lines"(page) {
        await open(page, at("/logs"));
        await page.locator(".levels button", { hasText: "info" }).click();
        await page.waitForURL(/level=info/);
        await until("only info", async () => {
            const levels = await page.locator("[data-testid=log-row] .level").allInnerTexts();
            return levels.length > 0 && levels.every((l) => l === "info");
        });
        await page.locator(".histogram canvas").first().waitFor();
        const box = await page.locator(".histogram .u-over").boundingBox();
        const before = page.url();
        await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2);
        await page.mouse.down();
        await page.mouse.move(box.x + box.width * 0.99, box.y + box.height / 2, { steps: 4 });
        await page.mouse.up();
        await until(
            "the range follows the drag",
            () => page.url() !== before && /from=2/.test(page.url()),
        );
        const params = new URL(page.url()).searchParams;
        const length = Date.parse(params.get("to")) - Date.parse(params.get("from"));
        const share = length / (range.to - range.from);
        assert.ok(share > 0.3 && share < 0.5, `zoomed to ${share} of the range`);
    },

    async "scrolling loads older lines without a gap"(page) {
        const newest = (await logsOf('{service=~".+"}', range.from, range.to, "backward")).map(
            (r) => r.ns,
        );
        await open(page, at("/logs"));
        const list = page.locator(".log-list");
        const seen = new Set();
        const wanted = Math.min(newest.length, 800);
        await until(
            `${wanted} lines`,
            async () => {
                for (const ns of await page
                    .locator("[data-testid=log-row]")
                    .evaluateAll((l) => l.map((r) => r.dataset.ns)))
                    seen.add(ns);
                await list.evaluate((e) => (e.scrollTop += e.clientHeight * 0.8));
                return seen.size >= new Set(newest.slice(-wanted)).size;
            },
            60_000,
        );
        const oldest = [...seen].sort()[0];
        const missed = newest.filter((ns) => ns >= oldest && !seen.has(ns));
        assert.deepEqual(missed, [], "every line down to the oldest seen was shown");
    },

    async "live mode shows new lines as they come"(page) {
        await page.goto(`${origin}/logs?from=now-1m&live=1`);
        await page.locator(".tail-state.open").waitFor();
        await page.locator(".log-list").waitFor();
        const newest = () => page.locator("[data-testid=log-row]").first().getAttribute("data-ns");
        const first = await until("a first line", newest, DATA_WAIT_MS);
        const next = await until(
            "a newer line",
            async () => {
                const ns = await newest();
                return ns > first && ns;
            },
            DATA_WAIT_MS,
        );
        assert.ok(BigInt(next) > BigInt(first));
    },

    async "the search box opens a trace by its id and by a request id"(page) {
        await open(page, at("/"));
        await page.keyboard.press("/");
        assert.equal(await page.evaluate(() => document.activeElement.id), "find");
        await page.keyboard.type(slowest.traceID);
        await page.keyboard.press("Enter");
        await page.waitForURL(new RegExp(`/trace/${slowest.traceID}`));
        const logs = await logsOf(
            `{trace_id="${slowest.traceID}"}`,
            traceStart(slowest) / 1000 - 60_000,
            traceEnd(slowest) / 1000 + 60_000,
        );
        const requestId = logs.map((r) => r.meta.request_id).find(Boolean);
        assert.ok(requestId, "a line carries a request id");
        await open(page, at("/logs"));
        await page.locator("#find").fill(requestId);
        await page.locator("#find").press("Enter");
        await page.waitForURL(new RegExp(`/trace/${slowest.traceID}`));
        await page.locator("[data-testid=span-row]").first().waitFor();
    },

    async "the time range is in the URL and survives a reload"(page) {
        await open(page, `${origin}/traces`);
        assert.match(await page.locator("[data-testid=range]").innerText(), /Last 15 minutes/);
        await page.locator("[data-testid=range]").click();
        await page.getByRole("button", { name: "Last hour", exact: true }).click();
        assert.equal(new URL(page.url()).searchParams.get("from"), "now-1h");
        await page.reload();
        await settled(page);
        assert.match(await page.locator("[data-testid=range]").innerText(), /Last hour/);
        await page.getByRole("link", { name: "Logs", exact: true }).click();
        await page.waitForURL(/\/logs\?/);
        assert.equal(
            new URL(page.url()).searchParams.get("from"),
            "now-1h",
            "it travels to the next page",
        );
        await page.goBack();
        await page.goBack();
        assert.match(
            await page.locator("[data-testid=range]").innerText(),
            /Last 15 minutes/,
            "and goes back with the browser",
        );
        await page.locator("[data-testid=range]").click();
        await page.getByLabel("From").fill("now-2h");
        await page.getByLabel("To", { exact: true }).fill("now-1h");
        await page.getByRole("button", { name: "Apply" }).click();
        assert.equal(new URL(page.url()).searchParams.get("to"), "now-1h");
    },

    async "dark and light follow the system, and the choice is kept"(page) {
        const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        await page.emulateMedia({ colorScheme: "light" });
        await open(page, at("/"));
        const light = await ground();
        await page.emulateMedia({ colorScheme: "dark" });
        const dark = await ground();
        assert.notEqual(light, dark, "the system decides at first");
        await page.locator("[data-testid=theme]").click();
        assert.equal(await ground(), light, "the button switches");
        await page.reload();
        await settled(page);
        assert.equal(await ground(), light, "and is remembered");
        await page.locator("[data-testid=theme]").click();
        assert.equal(await ground(), dark);
        await page.evaluate(() => localStorage.removeItem("sonde.theme"));
        await page.emulateMedia({ colorScheme: "light" });
    },

    async "keyboard: help opens and closes, the waterfall folds and moves"(page) {
        await open(page, at(`/trace/${slowest.traceID}`));
        await page.keyboard.press("?");
        await page.getByRole("dialog", { name: "Help" }).waitFor();
        await page.keyboard.press("Escape");
        await page.getByRole("dialog", { name: "Help" }).waitFor({ state: "detached" });
        const rows = page.locator("[data-testid=span-row]");
        const all = await rows.count();
        await page.locator("[data-testid=waterfall]").focus();
        await page.keyboard.press("ArrowDown");
        assert.equal(await rows.first().getAttribute("aria-selected"), "true");
        await page.keyboard.press("ArrowLeft");
        await until("all below the root is folded", async () => (await rows.count()) === 1);
        await page.keyboard.press("ArrowRight");
        await until("and unfolded", async () => (await rows.count()) === all);
        await page.keyboard.press("Escape");
        await page.locator("[data-testid=span-panel]").waitFor({ state: "detached" });
    },

    async "metrics: a query draws lines and lists its series"(page) {
        const { data } = await api("/api/v1/label/__name__/values");
        const name = data.find((n) => n === "http_requests_total") ?? data[0];
        assert.ok(name, "there are metrics");
        await open(page, at("/explore"));
        await page.locator("[data-testid=promql]").fill(`sum(${name})`);
        await page.getByRole("button", { name: "Run" }).click();
        await page.locator("[data-testid=series] tbody tr").first().waitFor();
        await page.locator(".chart canvas").waitFor();
    },

    async "contrast is at least 4.5 and every control has a name, light and dark"(page) {
        const span = slowest.spans.at(-1).spanID;
        const pages = [
            at("/"),
            at("/logs"),
            at("/traces"),
            at(`/trace/${slowest.traceID}`, { span }),
            at("/explore"),
            at("/logs", { text: "no such text" }),
        ];
        for (const colorScheme of ["light", "dark"]) {
            await page.emulateMedia({ colorScheme });
            for (const url of pages) {
                await open(page, url);
                const path = new URL(url).pathname;
                const low = await page.evaluate(auditContrast, 4.5);
                assert.deepEqual(low, [], `${colorScheme} ${path}`);
                assert.deepEqual(await page.evaluate(auditNames), [], path);
                if (shots)
                    await page.screenshot({
                        path: join(shots, `${path.split("/")[1] || "services"}-${colorScheme}.png`),
                    });
            }
        }
        await page.emulateMedia({ colorScheme: "light" });
    },

    async "no console errors, and no request left the origin"() {
        assert.deepEqual(console_errors, []);
        assert.deepEqual(foreign, []);
    },

    async "an error of the API is shown in its words, with its place in the query"(page) {
        expectErrors = true;
        for (const [path, query] of [
            ["/explore", "sum(rate(up[5m])"],
            ["/logs", '{service="api" oops}'],
        ]) {
            await open(page, at(path, { query }));
            const box = page.getByRole("alert");
            await box.waitFor();
            assert.ok((await box.innerText()).length > 15, "it says something");
            assert.equal(await box.locator("mark").count(), 1, "and points into the query");
        }
        await open(page, at("/trace/00000000000000000000000000000001"));
        await page.getByText("No trace with this id").waitFor();
    },
};

async function main() {
    if (shots) mkdirSync(shots, { recursive: true });
    await findNames();
    const { page, close } = await openChromium();
    page.setDefaultTimeout(WAIT_MS);
    watch(page);
    let passed = 0;
    let failed = 0;
    try {
        for (const [name, run] of Object.entries(tests)) {
            if (only && !name.includes(only) && !/slowest/.test(name)) continue;
            try {
                await run(page);
                passed++;
                console.log(`ok    web: ${name}`);
            } catch (error) {
                failed++;
                console.log(
                    `FAIL  web: ${name}\n      at ${page.url()}\n      ${String(error.message).split("\n").join("\n      ")}`,
                );
                if (shots) await page.screenshot({ path: join(shots, `failed-${failed}.png`) });
            }
        }
    } finally {
        await close();
    }
    console.log(`${passed} passed, ${failed} failed`);
    return failed ? 1 : 0;
}

process.exitCode = await main().catch((error) => {
    console.log(`FAIL  web: ${error.message}\n0 passed, 1 failed`);
    return 1;
});
