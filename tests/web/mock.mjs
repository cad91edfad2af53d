// SPDX-License-Identifier: Apache-2.0
// A stand-in for `sonde serve` for work on the UI: serves web/dist and answers the APIs that the
// pages use, in the shapes of Prometheus, Loki and Jaeger, from a made-up staging system whose data
// goes on growing.
//   node tests/web/mock.mjs DIST [PORT]        prints the address
import { createHash } from "node:crypto";
import { readFileSync, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const API = "real-staging-api";
const WORKER = "real-staging-worker";
const HISTORY_S = 3600;
const EVERY_MS = 4000;

/** Small deterministic generator (mulberry32), so that two runs show the same system. */
function randomFrom(seed) {
    let a = seed >>> 0;
    return () => {
        a = (a + 0x6d2b79f5) >>> 0;
        let t = Math.imul(a ^ (a >>> 15), 1 | a);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

const MIMES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
};

/**
 * One image staged: the API's request, and the worker's job in the same trace. Times are
 * microseconds.
 */
function makeTrace(number, startUs) {
    const random = randomFrom(number * 7919 + 17);
    const hex = (bytes) =>
        createHash("sha256")
            .update(`${number}-${random()}`)
            .digest("hex")
            .slice(0, bytes * 2);
    const ms = (low, high) => Math.round((low + random() ** 3 * (high - low)) * 1000);
    const trace = {
        traceID: hex(16),
        requestId: `req-${hex(6)}`,
        jobId: `job-${hex(4)}`,
        spans: [],
        logs: [],
    };
    const user = `user_${(number * 31) % 97}`;
    const failing = number % 13 === 5;
    const rejected = number % 29 === 11;

    const span = (service, name, start, duration, parent, kind, tags = {}, error = "") => {
        const s = {
            service,
            id: hex(8),
            name,
            start,
            duration,
            parent,
            kind,
            tags: { ...tags },
            error,
            events: [],
            follows: null,
        };
        trace.spans.push(s);
        return s;
    };
    const log = (s, at, level, message, fields = {}) =>
        trace.logs.push({
            ns: BigInt(Math.round(at)) * 1000n + BigInt(trace.logs.length),
            level,
            message,
            service: s.service,
            fields: {
                trace_id: trace.traceID,
                span_id: s.id,
                request_id: trace.requestId,
                user_id: user,
                ...fields,
            },
        });

    const t = startUs;
    const parts = { jwt: ms(0.2, 3), db: ms(1, 30), s3: ms(2, 18), redis: ms(0.4, 6) };
    const total = rejected ? parts.jwt + 400 : parts.jwt + parts.db + parts.s3 + parts.redis + 1800;
    const http = {
        "http.request.method": "POST",
        "http.route": "/v1/images",
        "url.path": "/v1/images",
        "user.id": user,
    };
    const root = span(API, "POST /v1/images", t, total, null, "server", {
        ...http,
        "http.response.status_code": rejected ? 401 : 202,
    });
    let at = t + 300;
    const jwt = span(
        API,
        "jwt.validate",
        at,
        parts.jwt,
        root,
        "internal",
        { "jwt.alg": "HS256" },
        rejected ? "token expired" : "",
    );
    if (rejected) {
        log(jwt, at + parts.jwt, "warn", "jwt_rejected", { reason: "token expired" });
        log(root, t + total - 50, "info", "http_request", {
            "http.route": "/v1/images",
            status: "401",
            duration_ms: (total / 1000).toFixed(1),
        });
        return trace;
    }
    log(jwt, at + parts.jwt, "debug", "jwt_validated", { alg: "HS256" });
    at += parts.jwt + 200;
    const db = span(API, "db.query get_user", at, parts.db, root, "client", {
        "db.system": "postgresql",
        "db.operation.name": "SELECT",
    });
    log(
        db,
        at + parts.db - 20,
        parts.db > 20_000 ? "warn" : "debug",
        parts.db > 20_000 ? "db_slow_query" : "db_query",
        { rows: "1", duration_ms: (parts.db / 1000).toFixed(1) },
    );
    at += parts.db + 300;
    span(API, "s3.presign", at, parts.s3, root, "internal", {
        "s3.bucket": "staging-originals",
        "s3.key": `img/${trace.jobId}.jpg`,
    });
    at += parts.s3 + 300;
    const enqueue = span(API, "redis.enqueue", at, parts.redis, root, "producer", {
        "messaging.system": "redis",
        "messaging.destination.name": "jobs",
    });
    log(enqueue, at + parts.redis - 10, "info", "job_enqueued", {
        job_id: trace.jobId,
        queue: "jobs",
    });
    log(root, t + total - 50, "info", "http_request", {
        "http.route": "/v1/images",
        status: "202",
        duration_ms: (total / 1000).toFixed(1),
    });

    const wait = ms(2, 400);
    const model = ms(300, number % 47 === 40 ? 9000 : 2200);
    const step = { db1: ms(1, 12), down: ms(20, 180), up: ms(25, 220), db2: ms(1, 12) };
    const start = at + parts.redis + wait;
    const predict = model + ms(10, 60);
    const length = step.db1 + step.down + predict + (failing ? 800 : step.up + step.db2) + 4000;
    const job = span(
        WORKER,
        "job.process",
        start,
        length,
        enqueue,
        "consumer",
        { "job.id": trace.jobId, "job.attempt": 1 },
        failing ? "model answered 503" : "",
    );
    log(job, start + 100, "info", "job_started", {
        job_id: trace.jobId,
        waited_ms: (wait / 1000).toFixed(0),
    });
    at = start + 600;
    span(WORKER, "db.query set_processing", at, step.db1, job, "client", {
        "db.system": "postgresql",
        "db.operation.name": "UPDATE",
    });
    at += step.db1 + 400;
    const download = span(WORKER, "s3.download", at, step.down, job, "client", {
        "s3.bucket": "staging-originals",
        "s3.bytes": 2_400_000 + number,
    });
    log(download, at + step.down - 10, "debug", "image_downloaded", {
        bytes: String(2_400_000 + number),
    });
    at += step.down + 400;
    const replicate = span(
        WORKER,
        "replicate.predict",
        at,
        predict,
        job,
        "client",
        { "server.address": "127.0.0.1", "http.response.status_code": failing ? 503 : 200 },
        failing ? "model answered 503" : "",
    );
    const inference = span(
        WORKER,
        "model.inference",
        at + 3000,
        model,
        replicate,
        "internal",
        {
            "model.name": "staging-v2",
            "model.style": ["modern", "scandinavian", "rustic"][number % 3],
        },
        failing ? "out of memory" : "",
    );
    replicate.events.push({
        at: at + 1500,
        name: "request.sent",
        fields: { "http.request.body.size": 812 },
    });
    if (failing) {
        inference.events.push({
            at: at + model,
            name: "exception",
            fields: {
                "exception.type": "OutOfMemory",
                "exception.message": "CUDA out of memory: tried to allocate 2.00 GiB",
            },
        });
        log(inference, at + model, "error", "model_failed", {
            error: "CUDA out of memory: tried to allocate 2.00 GiB",
            model: "staging-v2",
        });
        log(job, start + length - 60, "error", "job_failed", {
            job_id: trace.jobId,
            attempt: "1",
            error: "model answered 503",
        });
        return trace;
    }
    log(inference, at + model, "info", "model_answered", {
        model: "staging-v2",
        duration_ms: (model / 1000).toFixed(0),
    });
    if (model > 3_000_000)
        log(replicate, at + predict - 30, "warn", "model_slow", {
            limit_ms: "3000",
            duration_ms: (predict / 1000).toFixed(0),
        });
    at += predict + 400;
    span(WORKER, "s3.upload", at, step.up, job, "client", {
        "s3.bucket": "staging-results",
        "s3.bytes": 3_100_000 + number,
    });
    at += step.up + 400;
    span(WORKER, "db.query set_ready", at, step.db2, job, "client", {
        "db.system": "postgresql",
        "db.operation.name": "UPDATE",
    });
    log(job, start + length - 60, "info", "job_completed", {
        job_id: trace.jobId,
        duration_ms: (length / 1000).toFixed(0),
    });
    return trace;
}

/** The made-up past, and what has happened since. Only what has ended by now is visible. */
class World {
    constructor() {
        this.traces = [];
        this.number = 0;
        this.next = Date.now() - HISTORY_S * 1000;
        this.grow();
    }
    grow() {
        while (this.next <= Date.now()) {
            this.traces.push(makeTrace(this.number++, this.next * 1000));
            this.next += EVERY_MS * (0.4 + 0.6 * (1 + Math.sin(this.number / 25)));
        }
    }
    spans(trace) {
        const now = Date.now() * 1000;
        return trace.spans.filter((s) => s.start + s.duration <= now);
    }
    logs() {
        this.grow();
        const now = BigInt(Date.now()) * 1_000_000n;
        return this.traces.flatMap((t) => t.logs).filter((l) => l.ns <= now);
    }
}

function toJaeger(world, trace) {
    const processes = {};
    const ids = {};
    const spans = world.spans(trace).map((s) => {
        ids[s.service] ??= `p${Object.keys(ids).length + 1}`;
        processes[ids[s.service]] ??= {
            serviceName: s.service,
            tags: Object.entries({
                "service.version": "1.4.0",
                "deployment.environment.name": "staging",
                "host.name": "staging-1",
                "process.pid": s.service === API ? 4711 : 4712,
                "telemetry.sdk.name": "sonde",
            }).map(([key, value]) => tag(key, value)),
        };
        const tags = { "span.kind": s.kind, ...s.tags };
        if (s.error)
            Object.assign(tags, {
                error: true,
                "otel.status_code": "ERROR",
                "otel.status_description": s.error,
            });
        return {
            traceID: trace.traceID,
            spanID: s.id,
            operationName: s.name,
            startTime: s.start,
            duration: s.duration,
            references: s.parent
                ? [{ refType: "CHILD_OF", traceID: trace.traceID, spanID: s.parent.id }]
                : [],
            tags: Object.entries(tags).map(([key, value]) => tag(key, value)),
            logs: s.events.map((e) => ({
                timestamp: e.at,
                fields: [
                    tag("event", e.name),
                    ...Object.entries(e.fields).map(([k, v]) => tag(k, v)),
                ],
            })),
            processID: ids[s.service],
            warnings: null,
        };
    });
    return { traceID: trace.traceID, spans, processes, warnings: null };
}

function tag(key, value) {
    return {
        key,
        type: typeof value === "boolean" ? "bool" : typeof value === "number" ? "int64" : "string",
        value,
    };
}

function parseMs(text) {
    const m = /^([\d.]+)(us|µs|ms|s|m|h)$/.exec(text ?? "");
    return m ? Number(m[1]) * { us: 1, µs: 1, ms: 1e3, s: 1e6, m: 60e6, h: 3.6e9 }[m[2]] : 0;
}

class Refused extends Error {}

/** Selector and line filters; enough to check what the pages send. */
function parseLogql(query) {
    const open = query.indexOf("{");
    const close = query.indexOf("}", open);
    if (open < 0 || close < 0)
        throw new Refused(
            'parse error at line 1, col 1: syntax error: unexpected end, a stream selector is {key="value"}',
        );
    const matchers = [];
    const inside = query.slice(open + 1, close);
    const rest = inside.replace(
        /\s*([\w.]+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(,|$)/g,
        (_, key, op, value) => {
            matchers.push({ key, op, value: value.replace(/\\(.)/g, "$1") });
            return "";
        },
    );
    if (rest.trim())
        throw new Refused(
            `parse error at line 1, col ${open + 2 + inside.indexOf(rest.trim())}: syntax error: unexpected "${rest.trim()}"`,
        );
    const filters = [
        ...query.slice(close + 1).matchAll(/(\|=|!=|\|~|!~)\s*"((?:[^"\\]|\\.)*)"/g),
    ].map(([, op, value]) => ({ op, value: value.replace(/\\(.)/g, "$1") }));
    const tests = {
        "=": (a, b) => a === b,
        "!=": (a, b) => a !== b,
        "=~": (a, b) => new RegExp(`^(?:${b})$`).test(a),
        "!~": (a, b) => !new RegExp(`^(?:${b})$`).test(a),
    };
    const lineTests = {
        "|=": (a, b) => a.includes(b),
        "!=": (a, b) => !a.includes(b),
        "|~": (a, b) => new RegExp(b).test(a),
        "!~": (a, b) => !new RegExp(b).test(a),
    };
    return (log) => {
        const field = (key) =>
            ({ service: log.service, service_name: log.service, level: log.level })[key] ??
            log.fields[key] ??
            "";
        return (
            matchers.every((m) => tests[m.op](field(m.key), m.value)) &&
            filters.every((f) => lineTests[f.op](log.message, f.value))
        );
    };
}

function toStreams(logs) {
    const streams = new Map();
    for (const log of logs) {
        const stream = {
            service_name: log.service,
            level: log.level,
            deployment_environment_name: "staging",
        };
        const key = JSON.stringify(stream);
        if (!streams.has(key)) streams.set(key, { stream, values: [] });
        streams.get(key).values.push([String(log.ns), log.message, log.fields]);
    }
    return [...streams.values()];
}

function lokiRange(world, p) {
    const query = p.get("query") ?? "";
    const start = BigInt(p.get("start"));
    const end = BigInt(p.get("end"));
    const metric = /^sum by \(([\w, ]+)\) \(count_over_time\((.*)\[(\d+)s\]\)\)$/s.exec(query);
    if (!metric) {
        const matches = parseLogql(query);
        const backward = p.get("direction") !== "forward";
        const found = world
            .logs()
            .filter((l) => l.ns >= start && l.ns < end && matches(l))
            .sort((a, b) => (a.ns < b.ns ? -1 : 1));
        const limit = Number(p.get("limit") ?? 100);
        const page = backward ? found.reverse().slice(0, limit) : found.slice(0, limit);
        return { resultType: "streams", result: toStreams(page), stats: {} };
    }
    const by = metric[1].split(",").map((s) => s.trim());
    const step = BigInt(parseInt(p.get("step"), 10)) * 1_000_000_000n;
    const window = BigInt(metric[3]) * 1_000_000_000n;
    const logs = world.logs().filter(parseLogql(metric[2]));
    const groups = new Map();
    for (const log of logs) {
        const labels = Object.fromEntries(
            by.map((k) => [k, { service_name: log.service, level: log.level }[k] ?? ""]),
        );
        const key = JSON.stringify(labels);
        for (let t = start; t <= end; t += step) {
            if (!(log.ns > t - window && log.ns <= t)) continue;
            if (!groups.has(key)) groups.set(key, { metric: labels, counts: new Map() });
            const { counts } = groups.get(key);
            const at = Number(t / 1_000_000_000n);
            counts.set(at, (counts.get(at) ?? 0) + 1);
        }
    }
    const result = [...groups.values()].map((g) => ({
        metric: g.metric,
        values: [...g.counts].sort((a, b) => a[0] - b[0]).map(([t, n]) => [t, String(n)]),
    }));
    return { resultType: "matrix", result };
}

function promRange(p) {
    const query = p.get("query") ?? "";
    const depth = [...query].reduce((d, c) => d + (c === "(" ? 1 : c === ")" ? -1 : 0), 0);
    if (depth !== 0)
        throw new Refused(`1:${query.length + 1}: parse error: unclosed left parenthesis`);
    if (/nothing/.test(query)) return { resultType: "matrix", result: [] };
    const start = Number(p.get("start"));
    const end = Number(p.get("end"));
    const step = Number(p.get("step"));
    const one = (metric, base, swing, phase) => {
        const values = [];
        for (let t = start; t <= end; t += step)
            values.push([
                t,
                String(
                    base +
                        swing * Math.sin(t / 300 + phase) +
                        (((t * 7919) % 97) / 97) * swing * 0.2,
                ),
            ]);
        return { metric, values };
    };
    if (/histogram_quantile/.test(query))
        return { resultType: "matrix", result: [one({}, 0.062, 0.02, 0)] };
    return {
        resultType: "matrix",
        result: [API, WORKER].flatMap((service_name, i) =>
            ["200", "202", "401"].map((status, k) =>
                one(
                    { service_name, status, instance: "staging-1" },
                    2 + i * 0.7 - k * 0.6,
                    0.5,
                    i + k,
                ),
            ),
        ),
    };
}

function services(world, start, end) {
    const rows = [API, WORKER].map((service) => {
        const spans = world.traces
            .flatMap((t) => world.spans(t))
            .filter((s) => s.service === service && s.start / 1e6 >= start && s.start / 1e6 < end);
        const requests = spans.filter((s) => s.kind === "server" || s.kind === "consumer");
        const sorted = requests.map((s) => s.duration / 1000).sort((a, b) => a - b);
        const at = (q) =>
            sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? null;
        const errors = requests.filter(
            (s) => s.error || s.tags["http.response.status_code"] >= 400,
        ).length;
        return {
            service,
            requests: requests.length,
            rate: requests.length / Math.max(end - start, 1),
            errors,
            error_ratio: requests.length ? errors / requests.length : 0,
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            spans: spans.length,
            logs: world
                .logs()
                .filter(
                    (l) =>
                        l.service === service &&
                        Number(l.ns) / 1e9 >= start &&
                        Number(l.ns) / 1e9 < end,
                ).length,
        };
    });
    return rows.filter((r) => r.spans || r.logs);
}

function searchTraces(world, p) {
    const service = p.get("service");
    const start = Number(p.get("start") ?? 0);
    const end = Number(p.get("end") ?? Date.now() * 1000);
    const min = parseMs(p.get("minDuration"));
    const tags = Object.entries(JSON.parse(p.get("tags") || "{}"));
    const hit = (s) =>
        (!service || s.service === service) &&
        s.start >= start &&
        s.start <= end &&
        s.duration >= min &&
        (!p.get("operation") || s.name === p.get("operation")) &&
        tags.every(([k, v]) =>
            k === "error" ? String(s.error !== "") === v : String(s.tags[k] ?? "") === v,
        );
    return world.traces
        .filter((t) => world.spans(t).some(hit))
        .reverse()
        .slice(0, Number(p.get("limit") ?? 20))
        .map((t) => toJaeger(world, t));
}

function answer(world, path, p) {
    world.grow();
    if (path === "/api/sonde/v1/services")
        return { data: services(world, Number(p.get("start")), Number(p.get("end"))) };
    if (path === "/api/sonde/v1/find") {
        const id = p.get("id");
        const t = world.traces.find((x) => [x.traceID, x.requestId, x.jobId].includes(id));
        return { data: { trace_ids: t ? [t.traceID] : [] } };
    }
    if (path === "/jaeger/api/services") return { data: [API, WORKER] };
    const operations = /^\/jaeger\/api\/services\/([^/]+)\/operations$/.exec(path);
    if (operations) {
        const names = world.traces
            .flatMap((t) => t.spans)
            .filter((s) => s.service === decodeURIComponent(operations[1]))
            .map((s) => s.name);
        return { data: [...new Set(names)] };
    }
    if (path === "/jaeger/api/traces") return { data: searchTraces(world, p) };
    const one = /^\/jaeger\/api\/traces\/([0-9a-f]+)$/.exec(path);
    if (one) {
        const t = world.traces.find((x) => x.traceID === one[1]);
        return t ? { data: [toJaeger(world, t)] } : null;
    }
    if (path === "/loki/api/v1/query_range")
        return { status: "success", data: lokiRange(world, p) };
    if (path === "/api/v1/query_range") return { status: "success", data: promRange(p) };
    if (path === "/api/v1/label/__name__/values")
        return {
            status: "success",
            data: [
                "http_requests_total",
                "http_request_duration_seconds_bucket",
                "jobs_processed_total",
            ],
        };
    return undefined;
}

function sendError(response, path, status, message) {
    const body = path.startsWith("/jaeger")
        ? JSON.stringify({ data: null, errors: [{ code: status, msg: message }] })
        : path.startsWith("/loki")
          ? message
          : path.startsWith("/api/v1")
            ? JSON.stringify({ status: "error", errorType: "bad_data", error: message })
            : JSON.stringify({ error: { code: status, message } });
    response
        .writeHead(status, {
            "Content-Type": body.startsWith("{") ? "application/json" : "text/plain",
        })
        .end(body);
}

function sendFile(response, dist, path) {
    let file = normalize(join(dist, path));
    if (!file.startsWith(dist) || !existsSync(file) || !statSync(file).isFile()) {
        if (path.startsWith("/assets/")) return response.writeHead(404).end();
        file = join(dist, "index.html");
    }
    // The policy that a server with the UI can send: nothing but its own origin.
    response.writeHead(200, {
        "Content-Type": MIMES[extname(file)] ?? "application/octet-stream",
        "Content-Security-Policy":
            "default-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'",
    });
    response.end(readFileSync(file));
}

/** Server side of RFC 6455, as far as sending text frames under 64 KiB goes. */
function frame(text) {
    const data = Buffer.from(text);
    const head =
        data.length < 126
            ? Buffer.from([0x81, data.length])
            : Buffer.from([0x81, 126, data.length >> 8, data.length & 255]);
    return Buffer.concat([head, data]);
}

function tail(world, request, socket) {
    const p = new URL(request.url, "http://mock").searchParams;
    const accept = createHash("sha1")
        .update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .digest("base64");
    socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    const matches = parseLogql(p.get("query"));
    let after = BigInt(p.get("start")) - 1n;
    const timer = setInterval(() => {
        const logs = world
            .logs()
            .filter((l) => l.ns > after && matches(l))
            .sort((a, b) => (a.ns < b.ns ? -1 : 1))
            .slice(0, 100);
        if (!logs.length) return;
        after = logs[logs.length - 1].ns;
        socket.write(frame(JSON.stringify({ streams: toStreams(logs) })));
    }, 250);
    const end = () => {
        clearInterval(timer);
        socket.destroy();
    };
    socket.on("data", (d) => (d[0] & 15) === 8 && end());
    socket.on("close", end);
    socket.on("error", end);
}

/** Starts the mock; resolves to { url, close }. */
export function startMock(dist, port = 0) {
    const world = new World();
    const sockets = new Set();
    const server = createServer((request, response) => {
        const url = new URL(request.url, "http://mock");
        try {
            const data = answer(world, url.pathname, url.searchParams);
            if (data === undefined)
                return sendFile(response, dist, decodeURIComponent(url.pathname));
            if (data === null)
                return sendError(response, url.pathname, 404, "nothing found for this id");
            response
                .writeHead(200, { "Content-Type": "application/json" })
                .end(JSON.stringify(data));
        } catch (error) {
            sendError(response, url.pathname, error instanceof Refused ? 400 : 500, error.message);
        }
    });
    server.on("upgrade", (request, socket) => tail(world, request, socket));
    server.on("connection", (s) => {
        sockets.add(s);
        s.on("close", () => sockets.delete(s));
    });
    return new Promise((started) => {
        server.listen(port, "127.0.0.1", () => {
            const close = () => {
                for (const s of sockets) s.destroy();
                return new Promise((done) => server.close(done));
            };
            started({ url: `http://127.0.0.1:${server.address().port}`, close });
        });
    });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const [dist, port] = process.argv.slice(2);
    if (!dist) {
        console.error("usage: node tests/web/mock.mjs DIST [PORT]");
        process.exit(2);
    }
    const mock = await startMock(resolve(dist), Number(port ?? 0));
    console.log(mock.url);
}
