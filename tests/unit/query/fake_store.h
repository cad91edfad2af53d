// SPDX-License-Identifier: Apache-2.0
/* A store in memory for the tests of what stands on src/store/store.h: it implements that whole
 * header over plain arrays. Include it in one file of a test program, instead of linking the store.
 * Rows come in batches of two, so that the code under test meets every boundary. */
#ifndef SONDE_TESTS_FAKE_STORE_H
#define SONDE_TESTS_FAKE_STORE_H

#include "query/labels.h"
#include "query/regex.h"
#include "store/store.h"

#include <assert.h>
#include <stdlib.h>

#define FAKE_WATCHERS 8

typedef struct {
    labels labels;
    int64_t *time_ms;
    double *value;
    uint32_t count;
} fake_series;

struct store {
    arena arena;
    fake_series *series;
    uint32_t series_count;
    batch rows[SIGNAL_COUNT]; /* logs and traces; one resource and scope per service */
    struct {
        void (*wake)(void *user, const batch *rows);
        void *user;
    } watchers[FAKE_WATCHERS];
    status fail_with;         /* every read fails with it, unless STATUS_OK */
    series_query last_series; /* what was asked last, without pointers that outlive it */
};

/* ---- filling it ---- */

static inline store *fake_store_new(void)
{
    store *s = calloc(1, sizeof(*s));
    assert(s);
    arena_init(&s->arena, 0);
    batch_init(&s->rows[SIGNAL_LOGS], SIGNAL_LOGS, 0);
    batch_init(&s->rows[SIGNAL_TRACES], SIGNAL_TRACES, 0);
    return s;
}

static inline void fake_store_free(store *s)
{
    batch_done(&s->rows[SIGNAL_LOGS]);
    batch_done(&s->rows[SIGNAL_TRACES]);
    arena_done(&s->arena);
    free(s->series);
    free(s);
}

/* Series with equal labels are joined; samples come in rising order. */
static inline void fake_add_samples(store *s, labels l, const int64_t *time_ms, const double *v,
                                    uint32_t count)
{
    fake_series *to = NULL;
    for (uint32_t i = 0; i < s->series_count; i++)
        if (labels_eq(s->series[i].labels, l))
            to = &s->series[i];
    if (!to) {
        s->series = realloc(s->series, (s->series_count + 1) * sizeof(*s->series));
        assert(s->series);
        to = &s->series[s->series_count++];
        *to = (fake_series){ 0 };
        label *items = ARENA_ARRAY(&s->arena, label, MAX(l.count, 1));
        for (uint32_t i = 0; i < l.count; i++)
            items[i] = (label){ arena_str(&s->arena, l.items[i].name),
                                arena_str(&s->arena, l.items[i].value) };
        to->labels = (labels){ items, l.count };
    }
    int64_t *times = ARENA_ARRAY(&s->arena, int64_t, to->count + count);
    double *cells = ARENA_ARRAY(&s->arena, double, to->count + count);
    uint32_t n = 0, a = 0, b = 0;
    while (a < to->count || b < count) {
        bool old = b == count || (a < to->count && to->time_ms[a] < time_ms[b]);
        if (!old && a < to->count && to->time_ms[a] == time_ms[b])
            a++;
        times[n] = old ? to->time_ms[a] : time_ms[b];
        cells[n++] = old ? to->value[a] : v[b];
        a += old;
        b += !old;
    }
    to->time_ms = times;
    to->value = cells;
    to->count = n;
}

/* "name, value, name, value, …, NULL" as attributes. */
static inline attrs fake_attrs(store *s, const char *const *pairs)
{
    attrs list = { 0 };
    uint32_t capacity = 0;
    for (; pairs && pairs[0]; pairs += 2)
        attrs_append(&s->arena, &list, &capacity, arena_str(&s->arena, str_c(pairs[0])),
                     VALUE_S(arena_str(&s->arena, str_c(pairs[1]))));
    return list;
}

static inline uint32_t fake_scope(store *s, signal_kind signal, const char *service)
{
    batch *b = &s->rows[signal];
    for (uint32_t i = 0; i < b->scope_count; i++)
        if (str_is(
                attrs_get_str(&b->resources[b->scopes[i].resource].attributes, STR("service.name")),
                service))
            return i;
    uint32_t resource = batch_add_resource(b);
    b->resources[resource].attributes =
        fake_attrs(s, (const char *const[]){ "service.name", service, NULL });
    uint32_t scope = batch_add_scope(b, resource);
    b->scopes[scope].name = STR("fake");
    return scope;
}

/* Returns the row, for whatever else a test sets. */
static inline uint32_t fake_add_log(store *s, int64_t time_ns, const char *service,
                                    uint8_t severity, const char *body, const char *const *pairs)
{
    uint32_t scope = fake_scope(s, SIGNAL_LOGS, service);
    uint32_t row = batch_add_log(&s->rows[SIGNAL_LOGS], scope);
    log_rows *l = &s->rows[SIGNAL_LOGS].logs;
    l->time_ns[row] = l->observed_ns[row] = time_ns;
    l->severity[row] = severity;
    l->body[row] = VALUE_S(arena_str(&s->arena, str_c(body)));
    l->attributes[row] = fake_attrs(s, pairs);
    return row;
}

/* ids: a byte that fills the id; parent 0: none. */
static inline uint32_t fake_add_span(store *s, uint8_t trace, uint8_t span, uint8_t parent,
                                     const char *service, const char *name, span_kind kind,
                                     int64_t start_ns, int64_t duration_ns,
                                     const char *const *pairs)
{
    uint32_t scope = fake_scope(s, SIGNAL_TRACES, service);
    uint32_t row = batch_add_span(&s->rows[SIGNAL_TRACES], scope);
    span_rows *r = &s->rows[SIGNAL_TRACES].spans;
    memset(r->trace[row].bytes, trace, sizeof(r->trace[row].bytes));
    memset(r->span[row].bytes, span, sizeof(r->span[row].bytes));
    memset(r->parent[row].bytes, parent, sizeof(r->parent[row].bytes));
    r->name[row] = arena_str(&s->arena, str_c(name));
    r->kind[row] = (uint8_t)kind;
    r->start_ns[row] = start_ns;
    r->end_ns[row] = start_ns + duration_ns;
    r->attributes[row] = fake_attrs(s, pairs);
    return row;
}

/* ---- matching ---- */

static inline bool fake_matches(arena *a, const matcher *m, str text)
{
    bool matched = false;
    if (m->op == MATCH_EQ || m->op == MATCH_NE)
        return str_eq(m->value, text) == (m->op == MATCH_EQ);
    regex *re;
    if (regex_compile(&re, m->value, REGEX_WHOLE, a, NULL) != STATUS_OK ||
        regex_match(re, text, &matched, NULL) != STATUS_OK)
        return false;
    return matched == (m->op == MATCH_RE);
}

static inline str fake_hex(arena *a, const uint8_t *bytes, size_t n)
{
    bool set = false;
    for (size_t i = 0; i < n; i++)
        set = set || bytes[i];
    if (!set)
        return STR_EMPTY;
    char *text = arena_alloc(a, 2 * n);
    str_to_hex(bytes, n, text);
    return str_n(text, 2 * n);
}

static inline str fake_attr_text(arena *a, const attrs *list, str name)
{
    const value *v = attrs_get(list, name);
    char dotted[128];
    if (!v && name.len < sizeof(dotted)) {
        str_copy_c(dotted, sizeof(dotted), name);
        for (char *c = dotted; *c; c++)
            *c = *c == '_' ? '.' : *c;
        v = attrs_get(list, str_c(dotted));
    }
    if (!v)
        return STR_EMPTY;
    if (v->type == VALUE_I64)
        return arena_fmt(a, "%lld", (long long)v->i64);
    return v->type == VALUE_STR ? v->s : STR("?");
}

static inline str fake_level(uint8_t severity)
{
    static const char *const names[] = { "", "trace", "debug", "info", "warn", "error", "fatal" };
    return str_c(names[severity ? MIN((severity - 1) / 4 + 1, 6) : 0]);
}

static inline str fake_log_field(const batch *b, uint32_t row, str name, arena *a)
{
    const log_rows *l = &b->logs;
    const attrs *resource = &b->resources[b->scopes[l->scope[row]].resource].attributes;
    if (str_is(name, "level"))
        return fake_level(l->severity[row]);
    if (str_is(name, "message"))
        return l->body[row].s;
    if (str_is(name, "service") || str_is(name, "service_name"))
        return attrs_get_str(resource, STR("service.name"));
    if (str_is(name, "trace_id"))
        return fake_hex(a, l->trace[row].bytes, 16);
    if (str_is(name, "span_id"))
        return fake_hex(a, l->span[row].bytes, 8);
    str found = fake_attr_text(a, resource, name);
    return found.len ? found : fake_attr_text(a, &l->attributes[row], name);
}

static inline str fake_span_field(const batch *b, uint32_t row, str name, arena *a)
{
    static const char *const kinds[] = { "unspecified", "internal", "server",
                                         "client",      "producer", "consumer" };
    static const char *const statuses[] = { "unset", "ok", "error" };
    const span_rows *r = &b->spans;
    const attrs *resource = &b->resources[b->scopes[r->scope[row]].resource].attributes;
    if (str_is(name, "service"))
        return attrs_get_str(resource, STR("service.name"));
    if (str_is(name, "name"))
        return r->name[row];
    if (str_is(name, "kind"))
        return str_c(kinds[r->kind[row]]);
    if (str_is(name, "status"))
        return str_c(statuses[r->status[row]]);
    if (str_is(name, "trace_id"))
        return fake_hex(a, r->trace[row].bytes, 16);
    str found = fake_attr_text(a, &r->attributes[row], name);
    return found.len ? found : fake_attr_text(a, resource, name);
}

static inline str fake_field(const batch *b, uint32_t row, str name, arena *a)
{
    return b->signal == SIGNAL_LOGS ? fake_log_field(b, row, name, a)
                                    : fake_span_field(b, row, name, a);
}

static inline bool fake_row_matches(const batch *b, uint32_t row, const row_query *q, arena *a)
{
    int64_t at = b->signal == SIGNAL_LOGS ? b->logs.time_ns[row] : b->spans.start_ns[row];
    if (at < q->from_ns || at >= q->to_ns)
        return false;
    for (uint32_t i = 0; i < q->matcher_count; i++)
        if (!fake_matches(a, &q->matchers[i], fake_field(b, row, q->matchers[i].name, a)))
            return false;
    for (uint32_t i = 0; i < q->line_count; i++) {
        str line = b->logs.body[row].s;
        bool found = str_contains(line, q->lines[i].text);
        regex *re;
        if (q->lines[i].op >= LINE_MATCHES &&
            (regex_compile(&re, q->lines[i].text, REGEX_SEARCH, a, NULL) != STATUS_OK ||
             regex_match(re, line, &found, NULL) != STATUS_OK))
            return false;
        if (found != (q->lines[i].op == LINE_CONTAINS || q->lines[i].op == LINE_MATCHES))
            return false;
    }
    if (b->signal != SIGNAL_TRACES)
        return true;
    int64_t duration = b->spans.end_ns[row] - b->spans.start_ns[row];
    return duration >= q->min_duration_ns &&
           (!q->max_duration_ns || duration <= q->max_duration_ns);
}

static inline bool fake_copy_row(batch *to, const batch *from, uint32_t row)
{
    uint32_t scope = from->signal == SIGNAL_LOGS ? from->logs.scope[row] : from->spans.scope[row];
    uint32_t resource = batch_add_resource(to);
    to->resources[resource] = from->resources[from->scopes[scope].resource];
    uint32_t new_scope = batch_add_scope(to, resource);
    to->scopes[new_scope] = from->scopes[scope];
    to->scopes[new_scope].resource = resource;
    if (from->signal == SIGNAL_LOGS) {
        uint32_t r = batch_add_log(to, new_scope);
#define COPY(field) to->logs.field[r] = from->logs.field[row]
        COPY(time_ns), COPY(observed_ns), COPY(severity), COPY(severity_text), COPY(body);
        COPY(attributes), COPY(trace), COPY(span), COPY(flags), COPY(event_name);
#undef COPY
    } else {
        uint32_t r = batch_add_span(to, new_scope);
#define COPY(field) to->spans.field[r] = from->spans.field[row]
        COPY(trace), COPY(span), COPY(parent), COPY(trace_state), COPY(flags), COPY(name);
        COPY(kind), COPY(start_ns), COPY(end_ns), COPY(attributes), COPY(events), COPY(links);
        COPY(status), COPY(status_message);
#undef COPY
    }
    return true;
}

static inline int64_t fake_row_time(const batch *b, uint32_t row)
{
    return b->signal == SIGNAL_LOGS ? b->logs.time_ns[row] : b->spans.start_ns[row];
}

/* ---- the store's interface ---- */

static int fake_order_series(const void *a, const void *b)
{
    const series *x = a, *y = b;
    return labels_cmp((labels){ x->labels, x->label_count }, (labels){ y->labels, y->label_count });
}

status store_series(store *s, const series_query *q, arena *a, series_set *ret, error *err)
{
    s->last_series = *q;
    if (s->fail_with != STATUS_OK)
        return fail(err, s->fail_with, "the fake store fails as told");
    ret->items = ARENA_ARRAY(a, series, MAX(s->series_count, 1));
    ret->count = 0;
    if (!ret->items)
        return fail(err, STATUS_LIMIT, "no memory");
    for (uint32_t i = 0; i < s->series_count; i++) {
        const fake_series *f = &s->series[i];
        bool matched = true;
        for (uint32_t k = 0; k < q->matcher_count && matched; k++)
            matched = fake_matches(a, &q->matchers[k], labels_get(f->labels, q->matchers[k].name));
        uint32_t first = 0, last = f->count;
        while (first < last && f->time_ms[first] < q->from_ms)
            first++;
        while (last > first && f->time_ms[last - 1] > q->to_ms)
            last--;
        if (matched && last > first)
            ret->items[ret->count++] = (series){ .labels = f->labels.items,
                                                 .label_count = f->labels.count,
                                                 .hash = labels_hash(f->labels),
                                                 .time_ms = f->time_ms + first,
                                                 .value = f->value + first,
                                                 .sample_count = last - first };
    }
    qsort(ret->items, ret->count, sizeof(series), fake_order_series);
    return STATUS_OK;
}

struct series_found {
    series_set set;
    series_head *heads;
};

struct series_reader {
    series_found *found;
};

status store_find(store *s, const series_query *q, arena *a, series_found **ret, error *err)
{
    series_found *f = ARENA_NEW(a, series_found);
    if (!f)
        return fail(err, STATUS_LIMIT, "no memory");
    status st = store_series(s, q, a, &f->set, err);
    if (st != STATUS_OK)
        return st;
    f->heads = ARENA_ARRAY(a, series_head, f->set.count + 1);
    if (!f->heads)
        return fail(err, STATUS_LIMIT, "no memory");
    for (uint32_t i = 0; i < f->set.count; i++) {
        const series *one = &f->set.items[i];
        f->heads[i] = (series_head){ one->labels, one->label_count, one->hash, one->sample_count };
    }
    *ret = f;
    return STATUS_OK;
}

const series_head *series_found_heads(const series_found *f, uint32_t *ret_count)
{
    *ret_count = f->set.count;
    return f->heads;
}

void series_found_done(series_found *f)
{
    (void)f;
}

status series_reader_new(series_reader **ret, series_found *f, error *err)
{
    series_reader *r = malloc(sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory");
    r->found = f;
    *ret = r;
    return STATUS_OK;
}

void series_reader_free(series_reader *r)
{
    free(r);
}

status series_read(series_reader *r, uint32_t index, series *ret, error *err)
{
    (void)err;
    *ret = r->found->set.items[index];
    return STATUS_OK;
}

status store_metadata(store *s, arena *a, metric_metadata **ret, uint32_t *ret_count, error *err)
{
    (void)s, (void)err;
    *ret = ARENA_ARRAY(a, metric_metadata, 1);
    (*ret)[0] =
        (metric_metadata){ STR("http_requests_total"), STR("counter"), STR("Requests."), STR("") };
    *ret_count = 1;
    return STATUS_OK;
}

typedef struct {
    int64_t time;
    uint32_t row;
} fake_ordered;

static int fake_oldest_first(const void *a, const void *b)
{
    const fake_ordered *x = a, *y = b;
    return x->time != y->time ? (x->time < y->time ? -1 : 1) : (x->row < y->row ? -1 : 1);
}

status store_rows(store *s, const row_query *q, row_sink *sink, void *user, error *err)
{
    const batch *from = &s->rows[q->signal];
    uint32_t total = batch_row_count(from), n = 0;
    arena scratch;
    if (s->fail_with != STATUS_OK)
        return fail(err, s->fail_with, "the fake store fails as told");
    arena_init(&scratch, 0);
    fake_ordered *rows = ARENA_ARRAY(&scratch, fake_ordered, total + 1);
    for (uint32_t i = 0; i < total; i++)
        if (fake_row_matches(from, i, q, &scratch))
            rows[n++] = (fake_ordered){ fake_row_time(from, i), i };
    qsort(rows, n, sizeof(*rows), fake_oldest_first);
    for (uint32_t i = 0; q->newest_first && i < n / 2; i++) {
        fake_ordered swap = rows[i];
        rows[i] = rows[n - 1 - i];
        rows[n - 1 - i] = swap;
    }
    n = q->limit ? (uint32_t)MIN(n, q->limit) : n;
    bool more = true;
    for (uint32_t i = 0; i < n && more; i += 2) {
        batch part;
        batch_init(&part, q->signal, 0);
        fake_copy_row(&part, from, rows[i].row);
        if (i + 1 < n)
            fake_copy_row(&part, from, rows[i + 1].row);
        more = sink(user, &part);
        batch_done(&part);
    }
    arena_done(&scratch);
    return STATUS_OK;
}

status store_trace(store *s, trace_id id, batch *ret, error *err)
{
    const batch *from = &s->rows[SIGNAL_TRACES];
    int64_t after = INT64_MIN;
    for (;;) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < from->spans.count; i++)
            if (!memcmp(&from->spans.trace[i], &id, sizeof(id)) &&
                from->spans.start_ns[i] > after &&
                (best == UINT32_MAX || from->spans.start_ns[i] < from->spans.start_ns[best]))
                best = i;
        if (best == UINT32_MAX)
            break;
        after = from->spans.start_ns[best];
        for (uint32_t i = 0; i < from->spans.count; i++)
            if (!memcmp(&from->spans.trace[i], &id, sizeof(id)) && from->spans.start_ns[i] == after)
                fake_copy_row(ret, from, i);
    }
    if (ret->spans.count)
        return STATUS_OK;
    return fail(err, STATUS_NOT_FOUND, "trace not found");
}

static int fake_order_text(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

static inline void fake_add_name(arena *a, str_list *list, str name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (str_eq(list->items[i], name))
            return;
    list->items =
        arena_grow(a, list->items, list->count * sizeof(str), (list->count + 1) * sizeof(str));
    list->items[list->count++] = arena_str(a, name);
    qsort(list->items, list->count, sizeof(str), fake_order_text);
}

/* name empty: the names themselves. */
static inline status fake_names(store *s, const names_query *q, str name, arena *a, str_list *ret,
                                error *err)
{
    *ret = (str_list){ 0 };
    if (q->signal == SIGNAL_METRICS) {
        series_query sq = {
            q->matchers, q->matcher_count, q->from_ns / NS_PER_MS, q->to_ns / NS_PER_MS, true, 0,
            0,           q->control
        };
        series_set set;
        status st = store_series(s, &sq, a, &set, err);
        for (uint32_t i = 0; st == STATUS_OK && i < set.count; i++)
            for (uint32_t k = 0; k < set.items[i].label_count; k++)
                if (!name.len)
                    fake_add_name(a, ret, set.items[i].labels[k].name);
                else if (str_eq(set.items[i].labels[k].name, name))
                    fake_add_name(a, ret, set.items[i].labels[k].value);
        return st;
    }
    const batch *b = &s->rows[q->signal];
    row_query rq = { .signal = q->signal,
                     .from_ns = q->from_ns,
                     .to_ns = q->to_ns,
                     .matchers = q->matchers,
                     .matcher_count = q->matcher_count };
    for (uint32_t i = 0; i < batch_row_count(b); i++) {
        if (!fake_row_matches(b, i, &rq, a))
            continue;
        str text = name.len ? fake_field(b, i, name, a) : STR_EMPTY;
        if (text.len)
            fake_add_name(a, ret, text);
        if (!name.len) {
            fake_add_name(a, ret, STR("service_name"));
            fake_add_name(a, ret, STR("level"));
        }
    }
    return STATUS_OK;
}

status store_label_names(store *s, const names_query *q, arena *a, str_list *ret, error *err)
{
    return fake_names(s, q, STR_EMPTY, a, ret, err);
}

status store_label_values(store *s, const names_query *q, str name, arena *a, str_list *ret,
                          error *err)
{
    return fake_names(s, q, name, a, ret, err);
}

int store_watch_logs(store *s, void (*wake)(void *user, const batch *rows), void *user)
{
    for (int i = 0; i < FAKE_WATCHERS; i++) {
        if (s->watchers[i].wake)
            continue;
        s->watchers[i].wake = wake;
        s->watchers[i].user = user;
        return i;
    }
    return -1;
}

void store_unwatch_logs(store *s, int handle)
{
    if (handle >= 0)
        s->watchers[handle].wake = NULL;
}

/* Takes nothing: fake_add_samples and its siblings do. */
status store_ingest(store *s, const batch *b, str encoded, ingest_result *ret, error *err)
{
    (void)s, (void)b, (void)encoded, (void)ret;
    return fail(err, STATUS_UNSUPPORTED, "the fake store takes nothing");
}

status store_exemplars(store *s, const series_query *q, arena *a, stored_exemplar **ret,
                       uint32_t *ret_count, error *err)
{
    (void)q, (void)a;
    if (s->fail_with != STATUS_OK)
        return fail(err, s->fail_with, "the fake store fails as told");
    *ret = NULL;
    *ret_count = 0;
    return STATUS_OK;
}

/* Whatever is asked, it may have changed: nothing stays in a cache. */
uint64_t store_generation(store *s)
{
    (void)s;
    return 1;
}

bool store_changed_since(store *s, uint64_t generation, int64_t time_ms)
{
    (void)s, (void)generation, (void)time_ms;
    return true;
}

void store_get_stats(store *s, store_stats *ret)
{
    *ret = (store_stats){ .series = s->series_count };
}

#endif
