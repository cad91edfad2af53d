// SPDX-License-Identifier: Apache-2.0
/* Database calls: span and metrics; see sonde/db.h. */
#include "lib/db.h"

#include "base/clock.h"
#include "lib/log_attr.h"
#include "lib/redact.h"
#include "sonde/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_READ = 16384, TEXT_KEPT = 2048, ATTRIBUTES = 24 };

static struct {
    pthread_mutex_t lock;
    _Atomic(sonde_histogram *) duration, query;
    _Atomic bool old_names, no_query_text;
    _Atomic bool plain_keys; /* no pattern of the user can be meant for our own keys */
} db = { .lock = PTHREAD_MUTEX_INITIALIZER };

#define DB_BOUNDS SONDE_BOUNDS(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

void db_configure(const sonde_db_options *o, bool old_names)
{
    pthread_mutex_lock(&db.lock);
    db.old_names = old_names;
    db.plain_keys = redact_current()->keys.count == 0;
    db.no_query_text = o->no_query_text;
    /* Handles of an earlier start stay valid: the registry gives the same ones again. */
    if (!o->no_otel_metric)
        db.duration =
            sonde_histogram_new("db.client.operation.duration", "Duration of database operations.",
                                SONDE_LABELS("db.system.name", "db.namespace", "db.collection.name",
                                             "db.operation.name", "db.response.status_code",
                                             "error.type", "server.address", "server.port"),
                                .unit = "s", .bounds = DB_BOUNDS);
    else
        db.duration = NULL;
    db.query = NULL;
    if (o->query_metric)
        db.query = sonde_histogram_new(o->query_metric, "Duration of database queries.",
                                       SONDE_LABELS(), .unit = "s", .bounds = DB_BOUNDS);
    pthread_mutex_unlock(&db.lock);
}

/* ---- begin ---- */

static bool quotes_are_text(str system)
{
    return str_is(system, "mysql") || str_is(system, "mariadb");
}

/* A buffer in an array of the caller's: at its end it is full, and keeps what it has. */
static buf fixed_buf(char *memory, size_t size)
{
    return (buf){ .ptr = memory, .cap = size, .limit = size };
}

static str whole_characters(str s)
{
    return str_slice(s, 0, utf8_valid_prefix(s));
}

static size_t clean(str system, str text, char *ret, size_t size, sql_summary *summary)
{
    char memory[TEXT_READ];
    buf out = fixed_buf(memory, sizeof(memory));
    sql_clean(str_slice(text, 0, TEXT_READ / 2), quotes_are_text(system), &out, summary);
    str kept = whole_characters(str_slice(buf_view(&out), 0, size - 1));
    str_copy_c(ret, size, kept);
    return kept.len;
}

size_t sonde_db_clean_text(const char *system, const char *text, char *ret, size_t size)
{
    sql_summary unused;
    return size && ret ? clean(str_c(system), str_c(text), ret, size, &unused) : 0;
}

typedef struct {
    char memory[TEXT_KEPT + 1];
    sql_summary own;
    const char *text;
    const sql_summary *found;
    const char *summary;
} statement;

/* Only the first bytes of a long text count. */
static void read_text(const sonde_db_query *q, statement *s)
{
    str text = str_slice(str_c(q->text), 0, TEXT_READ / 2);
    bool quotes = quotes_are_text(str_c(q->system));
    const sql_text *known = sql_text_find(text, quotes);
    if (known) {
        s->text = known->clean;
        s->found = &known->found;
        return;
    }
    size_t n = clean(str_c(q->system), text, s->memory, sizeof(s->memory), &s->own);
    sql_text_keep(text, quotes, str_n(s->memory, n), &s->own);
}

/* What the caller did not say is looked for in the text. */
static void read_statement(const sonde_db_query *q, sonde_db_call *call, statement *s)
{
    s->own.operation[0] = s->own.collection[0] = s->own.summary[0] = s->memory[0] = '\0';
    s->text = s->memory;
    s->found = &s->own;
    if (q->text && q->text_is_clean)
        str_copy_c(s->memory, sizeof(s->memory),
                   whole_characters(str_slice(str_c(q->text), 0, TEXT_KEPT)));
    else if (q->text)
        read_text(q, s);
    s->summary = q->summary ? q->summary : s->found->summary;
    str_copy_c(call->operation, sizeof(call->operation),
               str_c(q->operation ? q->operation : s->found->operation));
    str_copy_c(call->collection, sizeof(call->collection),
               str_c(q->collection ? q->collection : s->found->collection));
}

static size_t span_attributes(const sonde_db_query *q, const sonde_db_call *call,
                              const statement *s, sonde_attr ret[ATTRIBUTES])
{
    const struct {
        const char *key, *text;
        str old; /* OpenTelemetry's older name; of no length: none */
    } texts[] = {
        { "db.system.name", call->system, STR("db.system") },
        { "db.namespace", call->name_space, STR("db.name") },
        { "db.collection.name", call->collection, STR("db.sql.table") },
        { "db.operation.name", call->operation, STR("db.operation") },
        { "db.query.summary", s->summary, STR_EMPTY },
        { "db.query.text", db.no_query_text ? "" : s->text, STR("db.statement") },
        { "server.address", call->address, STR_EMPTY },
    };
    str old[ARRAY_LEN(texts)];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].text[0]) {
            old[n] = texts[i].old;
            ret[n++] = sonde_kv_str(texts[i].key, texts[i].text);
        }
    size_t with_old = db.old_names ? n : 0;
    if (call->port)
        ret[n++] = sonde_kv_i64("server.port", call->port);
    if (q->batch_size > 1)
        ret[n++] = sonde_kv_i64("db.operation.batch.size", q->batch_size);
    for (size_t i = 0; i < with_old; i++)
        if (old[i].len) {
            ret[n] = ret[i];
            ret[n].key = old[i].ptr;
            ret[n++].key_len = (uint16_t)old[i].len;
        }
    for (size_t i = 0; i < n && db.plain_keys; i++)
        ret[i].literal = ATTR_PLAIN_KEY;
    return n;
}

sonde_db_call sonde_db_begin(const sonde_db_query *query)
{
    static const sonde_db_query none;
    const sonde_db_query *q = query ? query : &none;
    sonde_db_call call = { .start_ns = clock_mono_ns() };
    sonde_attr attributes[ATTRIBUTES];
    statement s;
    read_statement(q, &call, &s);
    str_copy_c(call.system, sizeof(call.system), str_c(q->system ? q->system : "other_sql"));
    str_copy_c(call.name_space, sizeof(call.name_space), str_c(q->name_space));
    str_copy_c(call.address, sizeof(call.address), str_c(q->server_address));
    call.port = q->server_port;
    const char *name = q->span_name        ? q->span_name
                       : s.summary[0]      ? s.summary
                       : call.operation[0] ? call.operation
                                           : call.system;
    size_t n = span_attributes(q, &call, &s, attributes);
    call.span = sonde_span_start(
        name, &(sonde_span_options){ .kind = SONDE_CLIENT, .attrs = attributes, .attr_count = n });
    return call;
}

/* ---- end ---- */

void sonde_db_end(sonde_db_call *call, const sonde_db_result *result)
{
    static const sonde_db_result good;
    const sonde_db_result *r = result ? result : &good;
    char port[16] = "";
    if (!call || !call->start_ns)
        return;
    double seconds = (double)(clock_mono_ns() - call->start_ns) / (double)NS_PER_S;
    const char *code = r->status_code ? r->status_code : "";
    const char *type = !r->failed ? "" : r->error_type ? r->error_type : code[0] ? code : "_OTHER";
    if (call->port)
        snprintf(port, sizeof(port), "%d", call->port);
    sonde_histogram_record((sonde_histogram *)db.duration, seconds, call->system, call->name_space,
                           call->collection, call->operation, code, type, call->address, port);
    sonde_histogram_record((sonde_histogram *)db.query, seconds);
    if (code[0])
        sonde_span_set_on(call->span, sonde_kv_str("db.response.status_code", code));
    if (r->rows > 0)
        sonde_span_set_on(call->span, sonde_kv_i64("db.response.returned_rows", r->rows));
    if (r->failed) {
        sonde_attr attribute = sonde_kv_str("error.type", type);
        sonde_span_fail_on(call->span, r->message, &attribute, 1);
    }
    sonde_span_end(call->span);
    *call = (sonde_db_call){ 0 };
}

/* ---- pools ---- */

struct sonde_db_pool {
    char name[64];
    sonde_gauge *count, *max, *waiting;
    _Atomic(sonde_bound_gauge *) idle_now, used_now, waiting_now; /* NULL before the first value */
    sonde_counter *timeouts;
    sonde_histogram *wait;
};

#define POOL "db.client.connection.pool.name"

sonde_db_pool *sonde_db_pool_new(const char *name, int most)
{
    sonde_db_pool *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    str_copy_c(p->name, sizeof(p->name), str_c(name));
    p->count =
        sonde_gauge_new("db.client.connection.count", "Connections of a pool by state.",
                        SONDE_LABELS(POOL, "db.client.connection.state"), .unit = "{connection}");
    p->max = sonde_gauge_new("db.client.connection.max", "Connections that a pool has at most.",
                             SONDE_LABELS(POOL), .unit = "{connection}");
    p->waiting = sonde_gauge_new("db.client.connection.pending_requests",
                                 "Requests that wait for a connection.", SONDE_LABELS(POOL),
                                 .unit = "{request}");
    p->timeouts = sonde_counter_new("db.client.connection.timeouts",
                                    "Requests that waited for a connection in vain.",
                                    SONDE_LABELS(POOL), .unit = "{timeout}");
    p->wait = sonde_histogram_new("db.client.connection.wait_time",
                                  "Time to get a connection from a pool.", SONDE_LABELS(POOL),
                                  .unit = "s", .bounds = DB_BOUNDS);
    if (most > 0)
        sonde_gauge_set(p->max, most, p->name);
    return p;
}

void sonde_db_pool_free(sonde_db_pool *p)
{
    if (!p)
        return;
    sonde_gauge_free(p->count);
    sonde_gauge_free(p->max);
    sonde_gauge_free(p->waiting);
    sonde_counter_free(p->timeouts);
    sonde_histogram_free(p->wait);
    free(p);
}

void sonde_db_pool_set(sonde_db_pool *p, int idle, int used, int waiting)
{
    if (!p)
        return;
    if (UNLIKELY(!p->idle_now || !p->used_now || !p->waiting_now)) {
        p->idle_now = sonde_gauge_bind(p->count, p->name, "idle");
        p->used_now = sonde_gauge_bind(p->count, p->name, "used");
        p->waiting_now = sonde_gauge_bind(p->waiting, p->name);
    }
    sonde_gauge_set((sonde_bound_gauge *)p->idle_now, idle);
    sonde_gauge_set((sonde_bound_gauge *)p->used_now, used);
    sonde_gauge_set((sonde_bound_gauge *)p->waiting_now, waiting);
}

void sonde_db_pool_waited(sonde_db_pool *p, double seconds, bool timed_out)
{
    if (!p)
        return;
    if (timed_out)
        sonde_counter_add(p->timeouts, 1, p->name);
    else
        sonde_histogram_record(p->wait, seconds, p->name);
}
