// SPDX-License-Identifier: Apache-2.0
/* Live tail. The store calls `wake` with each batch that became visible; what the query accepts
 * goes to the client's WebSocket. The watch starts before the lines so far are read, and what
 * arrives meanwhile waits in memory, so that no line falls between; what is in both is sent once.
 * A slow client loses lines, never holds anything up, and is told how many. */
#include "api/tail.h"

#include "api/loki.h"
#include "base/clock.h"
#include "net/websocket.h"

#include <stdatomic.h>
#include <stdlib.h>

#define BACKLOG_DEFAULT   100
#define BACKLOG_LIMIT     5000
#define QUERY_MEMORY      MiB(8)
#define BATCH_MEMORY      MiB(64) /* while one batch is looked at */
#define WAITING_LIMIT     MiB(4)  /* messages while the lines so far are read */
#define DROPPED_TOLD_MOST 10000u  /* entries of dropped_entries in one message */
#define MESSAGE_LIMIT     MiB(1)
#define LINES_A_MESSAGE   100u

struct tail {
    api *api;
    tail *next; /* of api->tails */
    websocket *ws;
    int watch;
    atomic_int refs; /* the api's list, and the closing call-back */
    atomic_bool closed;
    pthread_mutex_t lock; /* of what follows: wakes come from several threads */
    arena memory;         /* of the query */
    const logql_pipeline *pipeline;
    bool starting;
    struct waiting {
        struct waiting *next;
        uint64_t hash;
        size_t length;
        char text[];
    } * first, **last;
    size_t waiting_bytes;
    uint64_t dropped; /* lines not told of yet */
};

static uint64_t line_hash(const logql_line *l)
{
    return hash_mix(hash_mix((uint64_t)l->time_ns, str_hash(l->line)), l->structured.count);
}

static void tail_unref(tail *t)
{
    if (atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    while (t->first) {
        struct waiting *gone = t->first;
        t->first = gone->next;
        free(gone);
    }
    arena_done(&t->memory);
    pthread_mutex_destroy(&t->lock);
    if (t->ws)
        ws_unref(t->ws);
    free(t);
}

static void put_dropped(json_writer *w, uint64_t dropped)
{
    json_key(w, STR("dropped_entries"));
    json_begin_array(w);
    for (uint64_t i = 0; i < MIN(dropped, DROPPED_TOLD_MOST); i++) {
        json_begin_object(w);
        JSON_PUT(w, str, "timestamp", STR("0"));
        json_key(w, STR("labels"));
        json_raw(w, STR("{}"));
        json_end_object(w);
    }
    json_end_array(w);
}

/* Sends or counts as dropped. Under the lock. */
static void send_lines(tail *t, const logql_lines *lines, uint32_t first, uint32_t end)
{
    buf out;
    buf_init(&out, MESSAGE_LIMIT);
    json_writer w = json_write(&out);
    uint64_t told = MIN(t->dropped, DROPPED_TOLD_MOST);
    json_begin_object(&w);
    json_key(&w, STR("streams"));
    loki_write_runs(&w, lines, first, end);
    if (told)
        put_dropped(&w, told);
    json_end_object(&w);
    if (!out.failed && ws_send_text(t->ws, buf_view(&out)))
        t->dropped -= told;
    else
        t->dropped += end - first;
    buf_done(&out);
}

static void send_all(tail *t, const logql_lines *lines)
{
    for (uint32_t i = 0; i < lines->count; i += LINES_A_MESSAGE)
        send_lines(t, lines, i, MIN(i + LINES_A_MESSAGE, lines->count));
}

/* Keeps one line for later, as a message of its own. Under the lock. */
static void wait_line(tail *t, const logql_lines *lines, uint32_t i)
{
    buf out;
    buf_init(&out, MESSAGE_LIMIT);
    json_writer w = json_write(&out);
    json_begin_object(&w);
    json_key(&w, STR("streams"));
    loki_write_runs(&w, lines, i, i + 1);
    json_end_object(&w);
    struct waiting *m = NULL;
    if (!out.failed && t->waiting_bytes + out.len <= WAITING_LIMIT)
        m = malloc(sizeof(*m) + out.len);
    if (m) {
        m->next = NULL;
        m->hash = line_hash(&lines->lines[i]);
        m->length = out.len;
        memcpy(m->text, out.ptr, out.len);
        t->waiting_bytes += out.len;
        *t->last = m;
        t->last = &m->next;
    } else {
        t->dropped++;
    }
    buf_done(&out);
}

static void wake(void *user, const batch *rows)
{
    tail *t = user;
    logql_lines lines;
    arena memory;
    if (atomic_load(&t->closed) || rows->signal != SIGNAL_LOGS)
        return;
    arena_init(&memory, BATCH_MEMORY);
    pthread_mutex_lock(&t->lock);
    if (logql_accept(t->pipeline, rows, UINT32_MAX, &memory, &lines, NULL) != STATUS_OK)
        t->dropped += rows->logs.count - lines.scanned;
    if (t->starting)
        for (uint32_t i = 0; i < lines.count; i++)
            wait_line(t, &lines, i);
    else
        send_all(t, &lines);
    pthread_mutex_unlock(&t->lock);
    arena_done(&memory);
}

/* The connection is gone; on the network thread. */
static void closed(void *user)
{
    tail *t = user;
    atomic_store(&t->closed, true);
    tail_unref(t);
}

/* ---- the list of tails ---- */

/* Takes ended tails off the list and ends their watches. */
static void reap(api *a, bool all)
{
    tail *ended = NULL;
    pthread_mutex_lock(&a->lock);
    for (tail **at = &a->tails; *at;) {
        tail *t = *at;
        if (!all && !atomic_load(&t->closed)) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        t->next = ended;
        ended = t;
        a->tail_count--;
    }
    pthread_mutex_unlock(&a->lock);
    while (ended) {
        tail *t = ended;
        ended = t->next;
        store_unwatch_logs(a->options.store, t->watch);
        ws_close(t->ws, 1001, STR("the server stops"));
        tail_unref(t);
    }
}

void tail_stop_all(api *a)
{
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_mutex_unlock(&a->lock);
    reap(a, true);
}

static bool take_place(api *a)
{
    pthread_mutex_lock(&a->lock);
    bool free_place = !a->stopping && a->tail_count < a->options.tail_clients;
    a->tail_count += free_place;
    pthread_mutex_unlock(&a->lock);
    return free_place;
}

static void give_place(api *a)
{
    pthread_mutex_lock(&a->lock);
    a->tail_count--;
    pthread_mutex_unlock(&a->lock);
}

/* False when the server began to stop meanwhile. */
static bool enlist(tail *t)
{
    pthread_mutex_lock(&t->api->lock);
    bool ok = !t->api->stopping;
    if (ok) {
        t->next = t->api->tails;
        t->api->tails = t;
    }
    pthread_mutex_unlock(&t->api->lock);
    return ok;
}

/* ---- the request ---- */

/* The query, parsed into memory that lives as long as the tail. */
static tail *tail_new(api_request *r)
{
    tail *t = calloc(1, sizeof(*t));
    logql_query query = { 0 };
    if (!t) {
        request_fail(r, STATUS_BUSY, "no memory for a live tail");
        return NULL;
    }
    t->api = r->api;
    t->starting = true;
    t->last = &t->first;
    t->watch = -1;
    atomic_init(&t->refs, 1);
    atomic_init(&t->closed, false);
    pthread_mutex_init(&t->lock, NULL);
    arena_init(&t->memory, QUERY_MEMORY);
    str text = arena_str(&t->memory, request_param(r, "query"));
    status st = text.ptr ? logql_parse(&query, text, &t->memory, &r->err)
                         : fail(&r->err, STATUS_BUSY, "no memory for a live tail");
    if (st == STATUS_OK && !query.pipeline)
        st = fail(&r->err, STATUS_INVALID, "only log queries can be followed live, not metrics");
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        tail_unref(t);
        return NULL;
    }
    t->pipeline = query.pipeline;
    return t;
}

static bool sent_before(const logql_lines *lines, uint64_t hash)
{
    for (uint32_t i = 0; i < lines->count; i++)
        if (line_hash(&lines->lines[i]) == hash)
            return true;
    return false;
}

/* The lines so far, oldest first; then what arrived while they were read. */
static void send_backlog(api_request *r, tail *t, const logql_pipeline *pipeline, int64_t start_ns,
                         uint32_t limit)
{
    logql_options o = { start_ns, TIME_LAST_NS, limit, true, &r->control };
    logql_lines lines = { 0 };
    if (logql_select(r->store, pipeline, &o, r->arena, &lines, &r->err) != STATUS_OK)
        lines.count = 0;
    for (uint32_t i = 0; i < lines.count / 2; i++) {
        logql_line swap = lines.lines[i];
        lines.lines[i] = lines.lines[lines.count - 1 - i];
        lines.lines[lines.count - 1 - i] = swap;
    }
    pthread_mutex_lock(&t->lock);
    send_all(t, &lines);
    for (struct waiting *m = t->first; m; m = t->first) {
        if (!sent_before(&lines, m->hash) && !ws_send_text(t->ws, str_n(m->text, m->length)))
            t->dropped++;
        t->first = m->next;
        free(m);
    }
    t->last = &t->first;
    t->starting = false;
    pthread_mutex_unlock(&t->lock);
}

static void start(api_request *r, tail *t, int64_t start_ns, uint32_t limit)
{
    logql_query query;
    atomic_store(&t->refs, 2); /* ours and that of the closing call-back */
    t->ws = ws_accept(r->x, &(ws_options){ .closed = closed, .user = t });
    if (!t->ws) {
        give_place(r->api);
        atomic_store(&t->refs, 1);
        tail_unref(t);
        return;
    }
    t->watch = store_watch_logs(r->store, wake, t);
    /* The backlog has a parsed query of its own: t's belongs to the threads that call wake. */
    if (logql_parse(&query, request_param(r, "query"), r->arena, &r->err) == STATUS_OK)
        send_backlog(r, t, query.pipeline, start_ns, limit);
    if (enlist(t))
        return;
    store_unwatch_logs(r->store, t->watch);
    ws_close(t->ws, 1001, STR("the server stops"));
    give_place(r->api);
    tail_unref(t);
}

void loki_tail(api_request *r)
{
    int64_t start_ns;
    uint64_t limit;
    reap(r->api, false);
    if (!loki_time(r, "start", clock_now_ns() - 3600 * NS_PER_S, &start_ns) ||
        !request_u64(r, "limit", BACKLOG_DEFAULT, &limit))
        return;
    tail *t = tail_new(r);
    if (!t)
        return;
    if (!take_place(r->api)) {
        request_fail(r, STATUS_BUSY, "%u live tails are open, the limit; or the server stops",
                     r->api->options.tail_clients);
        tail_unref(t);
        return;
    }
    start(r, t, start_ns, (uint32_t)MIN(limit, BACKLOG_LIMIT));
}
