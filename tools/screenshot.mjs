#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// A picture of one page of a running server, for the README:
//   node tools/screenshot.mjs URL OUT.png [PAGE] [light|dark]
// PAGE is a path such as "/logs?level=error", or "slowest SERVICE": the slowest trace that SERVICE
// took part in, with its slowest span's panel open. Default: "/".
import { openChromium } from "../tests/web/chromium.mjs";

const [url, out, page = "/", scheme = "light"] = process.argv.slice(2);
if (!url || !out) {
    console.error("usage: node tools/screenshot.mjs URL OUT.png [PAGE] [light|dark]");
    process.exit(2);
}

async function slowest(service) {
    const end = Date.now() * 1000;
    const query = new URLSearchParams({ service, start: end - 3600e6, end, limit: 1000 });
    const { data } = await (await fetch(`${url}/jaeger/api/traces?${query}`)).json();
    const length = (t) =>
        Math.max(...t.spans.map((s) => s.startTime + s.duration)) -
        Math.min(...t.spans.map((s) => s.startTime));
    const trace = data.sort((a, b) => length(b) - length(a))[0];
    if (!trace) throw new Error(`${service} has no traces in the last hour`);
    const spans = [...trace.spans].sort((a, b) => b.duration - a.duration);
    const parents = new Set(trace.spans.flatMap((s) => (s.references ?? []).map((r) => r.spanID)));
    const span = spans.find((s) => !parents.has(s.spanID)) ?? spans[0];
    return `/trace/${trace.traceID}?span=${span.spanID}`;
}

const target = page.startsWith("slowest ") ? await slowest(page.slice(8)) : page;
const { page: tab, close } = await openChromium({ colorScheme: scheme });
try {
    await tab.goto(url + target);
    await tab.waitForSelector("main");
    // The bar under the header runs while requests are under way.
    await tab.waitForFunction(
        () => {
            const main = document.querySelector("main");
            return (
                main &&
                main.getAttribute("aria-busy") !== "true" &&
                !document.querySelector(".progress.on") &&
                !document.querySelector(".skeleton")
            );
        },
        undefined,
        { timeout: 15000 },
    );
    await tab.evaluate(
        () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    );
    await tab.screenshot({ path: out });
} finally {
    await close();
}
