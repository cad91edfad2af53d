// SPDX-License-Identifier: Apache-2.0
/* Names and values that exist: labels of series, attributes of logs and spans, metric families.
 * For rows the resources answer from the streams alone where they can; attributes of rows are taken
 * from the newest rows in the range (NAMES_ROWS of them). */
#include "store/label_index.h"
#include "store/part_series.h"
#include "store/row_scan.h"
#include "store/token.h"

#include <stdlib.h>

enum { NAMES_LIMIT = 10000, NAMES_ROWS = 20000, VALUES_ROWS = 200000 };

/* A set of texts in the caller's arena. */
typedef struct {
    arena *a;
    map seen;
    uint32_t limit;
    bool failed;
} text_set;

static bool add_text(text_set *t, str text)
{
    if (text.len == 0 || map_get(&t->seen, text))
        return true;
    if (t->seen.count >= t->limit)
        return false;
    str copy = arena_str(t->a, text);
    if (!copy.ptr || !map_put(&t->seen, copy, 0, NULL)) {
        t->failed = true;
        return false;
    }
    return true;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

static status sorted_texts(text_set *t, str_list *ret, error *err)
{
    str *items = ARENA_ARRAY(t->a, str, MAX(t->seen.count, (size_t)1));
    if (!items || t->failed)
        return fail(err, STATUS_LIMIT, "the names need more memory than the query may use");
    uint32_t n = 0;
    for (map_slot *s = NULL; (s = map_next(&t->seen, s));)
        items[n++] = s->key;
    if (n)
        qsort(items, n, sizeof(str), by_text);
    *ret = (str_list){ items, n };
    return STATUS_OK;
}

/* ---- series ---- */

static int64_t floor_ms(int64_t ns)
{
    int64_t ms = ns / NS_PER_MS;
    return ms - (ns % NS_PER_MS < 0);
}

/* name.len 0: the names of labels, else the values of that one. */
static status series_texts(store *s, const names_query *q, str name, text_set *out, error *err)
{
    arena scratch;
    arena_init(&scratch, s->options.query_memory);
    series_query sq = { .matchers = q->matchers,
                        .matcher_count = q->matcher_count,
                        .from_ms = floor_ms(q->from_ns),
                        .to_ms = floor_ms(q->to_ns),
                        .labels_only = true,
                        .control = q->control };
    series_set set;
    status st = store_series(s, &sq, &scratch, &set, err);
    bool more = true;
    for (uint32_t i = 0; st == STATUS_OK && more && i < set.count; i++) {
        for (uint32_t k = 0; k < set.items[i].label_count && more; k++) {
            const label *l = &set.items[i].labels[k];
            if (name.len == 0)
                more = add_text(out, l->name);
            else if (str_eq(l->name, name))
                more = add_text(out, l->value);
        }
    }
    arena_done(&scratch);
    return st;
}

/* ---- rows ---- */

typedef struct {
    text_set *out;
    signal_kind signal;
    str name; /* empty: names */
    uint64_t rows, most;
    const char *last_resource;
    buf scratch;
    buf label;
    arena memory;
} row_names_call;

/* '.' and other characters become '_', as label names of the query languages need it. */
static str as_label(row_names_call *c, str key)
{
    if (c->signal != SIGNAL_LOGS)
        return key;
    buf_clear(&c->label);
    for (size_t i = 0; i < key.len; i++)
        buf_char(&c->label, token_char(key.ptr[i]) ? key.ptr[i] : '_');
    return buf_view(&c->label);
}

static bool add_names(row_names_call *c, str attributes)
{
    bytes_reader it = enc_attrs_begin(attributes, NULL);
    str key;
    enc_view v;
    bool more = true;
    while (more && enc_attrs_next(&it, &key, &v))
        more = add_text(c->out, as_label(c, key));
    return more;
}

static bool add_found(row_names_call *c, str attributes, str name, bool *ret_found)
{
    enc_view v;
    *ret_found = enc_find(attributes, name, &v);
    return !*ret_found || add_text(c->out, enc_text(v, &c->scratch, &c->memory));
}

/* As row_filter_resource finds a service. */
static bool add_service(row_names_call *c, str attributes, bool *ret_found)
{
    if (c->signal == SIGNAL_LOGS && str_eq(c->name, STR("service"))) {
        bool more = add_found(c, attributes, c->name, ret_found);
        if (*ret_found)
            return more;
    }
    return add_found(c, attributes, STR("service.name"), ret_found);
}

static bool add_value(row_names_call *c, const row *r, str resource)
{
    bool logs = c->signal == SIGNAL_LOGS, found, more;
    str attributes = enc_resource_attrs(resource);
    arena_clear(&c->memory);
    if (logs && (str_eq(c->name, STR("level")) || str_eq(c->name, STR("detected_level"))))
        return add_text(c->out, row_level(r));
    if (!logs && str_eq(c->name, STR("name")))
        return add_text(c->out, r->text[ROW_MAIN]);
    if (!logs && (str_eq(c->name, STR("kind")) || str_eq(c->name, STR("status"))))
        return add_text(c->out, row_field_text(r, c->name));
    bool service = str_eq(c->name, STR("service")) || str_eq(c->name, STR("service_name"));
    str first = logs || service ? attributes : r->text[ROW_ATTRS];
    str second = logs || service ? r->text[ROW_ATTRS] : attributes;
    more = service ? add_service(c, first, &found) : add_found(c, first, c->name, &found);
    if (!found)
        more = add_found(c, second, c->name, &found);
    return more;
}

static status on_row(void *user, const row *r, const row_names *names, bool *ret_more, error *err)
{
    row_names_call *c = user;
    (void)err;
    str resource = names->resources[r->resource];
    *ret_more = ++c->rows < c->most;
    bool more = true;
    if (c->name.len) {
        more = add_value(c, r, resource);
    } else {
        more = add_names(c, r->text[ROW_ATTRS]);
        if (more && c->last_resource != resource.ptr)
            more = add_names(c, enc_resource_attrs(resource));
        c->last_resource = resource.ptr;
    }
    *ret_more = *ret_more && more;
    return STATUS_OK;
}

static bool resource_value_is_enough(const names_query *q, str name)
{
    return q->matcher_count == 0 &&
           (str_eq(name, STR("service")) || str_eq(name, STR("service_name")) ||
            str_eq(name, STR("service.name")));
}

static status resources_of_part(part *p, row_names_call *c, error *err)
{
    arena a;
    part_rows pr;
    arena_init(&a, GiB(1));
    status st = part_rows_open(&pr, p, &a, err);
    bool found;
    for (uint32_t i = 0; st == STATUS_OK && i < pr.names.resource_count; i++)
        add_service(c, enc_resource_attrs(pr.names.resources[i]), &found);
    if (st == STATUS_OK)
        part_rows_close(&pr);
    arena_done(&a);
    return st == STATUS_CORRUPT ? STATUS_OK : st;
}

/* Services come from the streams, without reading a row. */
static status service_values(store *s, const names_query *q, row_names_call *c, error *err)
{
    snapshot sn;
    status st = snapshot_take(s, q->signal, q->from_ns, q->to_ns, &sn, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t i = 0; i < sn.part_count && st == STATUS_OK; i++)
        st = resources_of_part(sn.parts[i], c, err);
    for (uint32_t i = 0; i < sn.mem_count; i++) {
        const row_chunk *chunk = sn.mems[i].first;
        for (uint32_t n = 0; n < sn.mems[i].chunk_count; n++) {
            bool found, outside = chunk->max_time_ns < q->from_ns || chunk->min_time_ns >= q->to_ns;
            for (uint32_t k = 0; !outside && k < chunk->names.resource_count; k++)
                add_service(c, enc_resource_attrs(chunk->names.resources[k]), &found);
            if (n + 1 < sn.mems[i].chunk_count)
                chunk = chunk->next;
        }
    }
    snapshot_done(&sn);
    return st;
}

static uint32_t columns_for(signal_kind signal, str name)
{
    uint32_t columns = COLUMN_BIT(COLUMN_TIME) | COLUMN_BIT(COLUMN_TEXT + ROW_ATTRS);
    if (name.len == 0)
        return columns;
    if (signal == SIGNAL_TRACES && str_eq(name, STR("name")))
        return COLUMN_BIT(COLUMN_TIME) | COLUMN_BIT(COLUMN_TEXT + ROW_MAIN);
    return columns | COLUMN_BIT(COLUMN_LEVEL) | COLUMN_BIT(COLUMN_STATUS) |
           COLUMN_BIT(COLUMN_TEXT + ROW_INFO);
}

static status row_texts(store *s, const names_query *q, str name, text_set *out, error *err)
{
    row_names_call c = {
        .out = out, .signal = q->signal, .name = name, .most = name.len ? VALUES_ROWS : NAMES_ROWS
    };
    buf_init(&c.scratch, MiB(64));
    buf_init(&c.label, MiB(1));
    arena_init(&c.memory, MiB(64));
    status st;
    if (resource_value_is_enough(q, name)) {
        st = service_values(s, q, &c, err);
    } else {
        row_query rq = { .signal = q->signal,
                         .from_ns = q->from_ns,
                         .to_ns = q->to_ns,
                         .matchers = q->matchers,
                         .matcher_count = q->matcher_count,
                         .newest_first = true,
                         .limit = c.most,
                         .control = q->control };
        st = row_scan(s, &rq, columns_for(q->signal, name), on_row, &c, err);
    }
    buf_done(&c.scratch);
    buf_done(&c.label);
    arena_done(&c.memory);
    return st;
}

static status fixed_names(const names_query *q, text_set *out)
{
    static const str logs[] = { STR_INIT("service_name"), STR_INIT("level") };
    static const str traces[] = { STR_INIT("service"), STR_INIT("name"), STR_INIT("kind"),
                                  STR_INIT("status") };
    for (size_t i = 0; q->signal == SIGNAL_LOGS && i < ARRAY_LEN(logs); i++)
        add_text(out, logs[i]);
    for (size_t i = 0; q->signal == SIGNAL_TRACES && i < ARRAY_LEN(traces); i++)
        add_text(out, traces[i]);
    return STATUS_OK;
}

static status find_texts(store *s, const names_query *q, str name, arena *a, str_list *ret,
                         error *err)
{
    text_set out = { .a = a, .limit = q->limit ? q->limit : NAMES_LIMIT };
    map_init(&out.seen);
    status st = q->signal == SIGNAL_METRICS ? series_texts(s, q, name, &out, err)
                                            : row_texts(s, q, name, &out, err);
    if (st == STATUS_OK && name.len == 0 && out.seen.count)
        st = fixed_names(q, &out);
    if (st == STATUS_OK)
        st = sorted_texts(&out, ret, err);
    map_done(&out.seen);
    return st;
}

status store_label_names(store *s, const names_query *q, arena *a, str_list *ret, error *err)
{
    return find_texts(s, q, STR_EMPTY, a, ret, err);
}

status store_label_values(store *s, const names_query *q, str name, arena *a, str_list *ret,
                          error *err)
{
    if (name.len == 0)
        return fail(err, STATUS_INVALID, "the name of a label is missing");
    return find_texts(s, q, name, a, ret, err);
}

/* ---- metric families ---- */

typedef struct {
    arena *a;
    map seen; /* name -> index */
    metric_metadata *items;
    uint32_t count, capacity;
} family_set;

/* Called with the newest first, which stands; but what says something about the metric (remote
 * write may come to that later than to samples) before what does not. */
static status add_family(family_set *fs, const family *f, error *err)
{
    uint64_t *known = map_get(&fs->seen, f->name);
    if (known && (fs->items[*known].help.len || !f->help.len))
        return STATUS_OK;
    if (!known && fs->count == fs->capacity) {
        uint32_t capacity = fs->capacity ? fs->capacity * 2 : 64;
        metric_metadata *grown =
            arena_grow(fs->a, fs->items, fs->count * sizeof(*grown), capacity * sizeof(*grown));
        if (!grown)
            return fail(err, STATUS_LIMIT, "metadata need more memory than the query may use");
        fs->items = grown;
        fs->capacity = capacity;
    }
    metric_metadata m = { arena_str(fs->a, f->name), arena_str(fs->a, f->type),
                          arena_str(fs->a, f->help), arena_str(fs->a, f->unit) };
    if (!m.metric.ptr || !m.type.ptr || !m.help.ptr || !m.unit.ptr ||
        (!known && !map_put(&fs->seen, m.metric, fs->count, NULL)))
        return fail(err, STATUS_LIMIT, "metadata need more memory than the query may use");
    fs->items[known ? *known : fs->count++] = m;
    return STATUS_OK;
}

static int by_metric(const void *a, const void *b)
{
    return str_cmp(((const metric_metadata *)a)->metric, ((const metric_metadata *)b)->metric);
}

static status families_of_mem(store *s, const mem_view *v, family_set *fs, error *err)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&s->metrics_lock);
    for (uint32_t i = v->mem->metrics.family_count; i-- > 0 && st == STATUS_OK;)
        st = add_family(fs, &v->mem->metrics.families[i], err);
    pthread_mutex_unlock(&s->metrics_lock);
    return st;
}

status store_metadata(store *s, arena *a, metric_metadata **ret, uint32_t *ret_count, error *err)
{
    family_set fs = { .a = a };
    snapshot sn;
    status st = snapshot_take(s, SIGNAL_METRICS, INT64_MIN, INT64_MAX, &sn, err);
    if (st != STATUS_OK)
        return st;
    map_init(&fs.seen);
    for (uint32_t i = sn.mem_count; i-- > 0 && st == STATUS_OK;)
        st = families_of_mem(s, &sn.mems[i], &fs, err);
    for (uint32_t i = sn.part_count; i-- > 0 && st == STATUS_OK;) {
        family *f;
        uint32_t count = 0;
        arena scratch;
        arena_init(&scratch, s->options.query_memory);
        st = part_families_read(sn.parts[i], &scratch, &f, &count, err);
        if (st == STATUS_CORRUPT)
            st = STATUS_OK; /* counted by the part */
        for (uint32_t k = 0; k < count && st == STATUS_OK; k++)
            st = add_family(&fs, &f[k], err);
        arena_done(&scratch);
    }
    if (st == STATUS_OK && fs.count)
        qsort(fs.items, fs.count, sizeof(metric_metadata), by_metric);
    *ret = fs.items;
    *ret_count = fs.count;
    map_done(&fs.seen);
    snapshot_done(&sn);
    return st;
}
