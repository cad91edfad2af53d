// SPDX-License-Identifier: Apache-2.0
/* A batch as Loki streams, by the rules of the Collector's Loki exporter: default labels, the hints
 * loki.attribute.labels, loki.resource.labels, loki.format and loki.tenant, everything else in the
 * line. See loki_push.h. */
#include "codec/loki_push.h"

#include "base/map.h"
#include "codec/batch_rows.h"
#include "codec/log_json.h"
#include "codec/prom_name.h"
#include "codec/protobuf.h"

#include <stdlib.h>

enum { LABELS_MAX = 128 };
#define LINE_MAX_BYTES MiB(16)

#define HINT_ATTRIBUTES STR("loki.attribute.labels")
#define HINT_RESOURCES  STR("loki.resource.labels")
#define HINT_FORMAT     STR("loki.format")
#define HINT_TENANT     STR("loki.tenant")

typedef struct {
    str name, text;
} stream_label;

typedef struct {
    const batch *b;
    const loki_default_labels *defaults;
    arena *arena;
    buf scratch;
    stream_label labels[LABELS_MAX]; /* by name; of the row at hand */
    uint32_t label_count;
    map index; /* tenant, NUL, labels -> stream */
    loki_streams *out;
    bool failed; /* no memory */
} builder;

/* ---- labels of one row ---- */

static str kept(builder *k)
{
    str s = arena_str(k->arena, buf_view(&k->scratch));
    if (!s.ptr || k->scratch.failed) {
        k->failed = true;
        return STR_EMPTY;
    }
    return s;
}

/* A later one of the same name counts. */
static void set_label(builder *k, str name, str text)
{
    uint32_t at = 0;
    while (at < k->label_count && str_cmp(k->labels[at].name, name) < 0)
        at++;
    if (at < k->label_count && str_eq(k->labels[at].name, name)) {
        k->labels[at].text = text;
        return;
    }
    if (k->label_count == LABELS_MAX)
        return;
    memmove(&k->labels[at + 1], &k->labels[at], (k->label_count - at) * sizeof(k->labels[0]));
    k->labels[at] = (stream_label){ name, text };
    k->label_count++;
}

static str normal_name(builder *k, str key)
{
    buf_clear(&k->scratch);
    return prom_label_name(&k->scratch, key) ? kept(k) : STR_EMPTY;
}

/* The attribute of that name, or "a.b" as member b of a. */
static const value *find_nested(const attrs *a, str name)
{
    for (;;) {
        const value *v = attrs_get(a, name);
        if (v)
            return v;
        str rest, first = str_cut(name, '.', &rest);
        v = rest.len ? attrs_get(a, first) : NULL;
        if (!v || v->type != VALUE_MAP)
            return NULL;
        a = &v->map;
        name = rest;
    }
}

static void promote_one(builder *k, const attrs *from, str name)
{
    name = str_trim(name);
    const value *v = name.len ? find_nested(from, name) : NULL;
    if (!v)
        return;
    str label = normal_name(k, name), text = value_text(k->arena, v);
    k->failed |= text.ptr == NULL;
    if (label.len && !k->failed)
        set_label(k, label, text);
}

/* A hint is "a, b" or a list of names. */
static void promote(builder *k, const attrs *from, const value *hint)
{
    str rest, name;
    if (hint && hint->type == VALUE_STR) {
        for (rest = hint->s; rest.len;) {
            name = str_cut(rest, ',', &rest);
            promote_one(k, from, name);
        }
    } else if (hint && hint->type == VALUE_ARRAY) {
        for (uint32_t i = 0; i < hint->array.count; i++)
            if (hint->array.items[i].type == VALUE_STR)
                promote_one(k, from, hint->array.items[i].s);
    }
}

static str level_of(builder *k, const attrs *own, uint8_t severity)
{
    static const char *const names[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };
    const value *v = attrs_get(own, STR("level"));
    if (v)
        return value_text(k->arena, v);
    str name = str_c(names[(severity - 1) / 4]);
    unsigned more = (severity - 1u) % 4;
    return more ? arena_fmt(k->arena, "%.*s%u", STR_ARG(name), more + 1) : name;
}

static void default_labels(builder *k, const attrs *own, const attrs *resource, uint8_t severity)
{
    const loki_default_labels *d = k->defaults;
    str name = attrs_get_str(resource, STR("service.name"));
    str space = attrs_get_str(resource, STR("service.namespace"));
    str instance = attrs_get_str(resource, STR("service.instance.id"));
    if (d->exporter)
        set_label(k, STR("exporter"), STR("OTLP"));
    if (d->job && name.len) {
        str job =
            space.len ? arena_fmt(k->arena, "%.*s/%.*s", STR_ARG(space), STR_ARG(name)) : name;
        k->failed |= job.ptr == NULL;
        set_label(k, STR("job"), job);
    }
    if (d->instance && instance.len)
        set_label(k, STR("instance"), instance);
    if (d->level && severity >= 1 && severity <= 24) {
        str level = level_of(k, own, severity);
        k->failed |= level.ptr == NULL;
        set_label(k, STR("level"), level);
    }
}

static void quote_label(buf *out, str text)
{
    buf_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"' || c == '\\') {
            buf_char(out, '\\');
            buf_char(out, c);
        } else if (c == '\n') {
            buf_lit(out, "\\n");
        } else if ((unsigned char)c < 0x20 || c == 0x7f) {
            buf_fmt(out, "\\x%02x", (unsigned char)c);
        } else {
            buf_char(out, c);
        }
    }
    buf_char(out, '"');
}

/* Loki takes no stream without a label. */
static str labels_text(builder *k)
{
    if (!k->label_count)
        set_label(k, STR("exporter"), STR("OTLP"));
    buf_clear(&k->scratch);
    for (uint32_t i = 0; i < k->label_count; i++) {
        buf_str(&k->scratch, i ? STR(", ") : STR("{"));
        buf_str(&k->scratch, k->labels[i].name);
        buf_char(&k->scratch, '=');
        quote_label(&k->scratch, k->labels[i].text);
    }
    buf_char(&k->scratch, '}');
    return kept(k);
}

static str tenant_of(const attrs *own, const attrs *resource)
{
    str hint = attrs_get_str(own, HINT_TENANT);
    if (!hint.len)
        hint = attrs_get_str(resource, HINT_TENANT);
    str tenant = hint.len ? attrs_get_str(resource, hint) : STR_EMPTY;
    return tenant.len || !hint.len ? tenant : attrs_get_str(own, hint);
}

/* ---- what is left for the line ---- */

static bool is_promoted(builder *k, str key)
{
    static const char *const hints[] = { "loki.attribute.labels", "loki.resource.labels",
                                         "loki.format", "loki.tenant" };
    for (size_t i = 0; i < ARRAY_LEN(hints); i++)
        if (str_is(key, hints[i]))
            return true;
    buf_clear(&k->scratch);
    if (!prom_label_name(&k->scratch, key))
        return false;
    for (uint32_t i = 0; i < k->label_count; i++)
        if (str_eq(k->labels[i].name, buf_view(&k->scratch)))
            return true;
    return false;
}

static attrs without_labels(builder *k, const attrs *from)
{
    attrs rest = { .items = ARENA_ARRAY(k->arena, attr, MAX(from->count, 1u)) };
    if (!rest.items) {
        k->failed = true;
        return rest;
    }
    for (uint32_t i = 0; i < from->count; i++)
        if (!is_promoted(k, from->items[i].key))
            rest.items[rest.count++] = from->items[i];
    return rest;
}

typedef enum { LINE_JSON, LINE_LOGFMT, LINE_RAW, LINE_FORMATS } line_format;

static line_format format_of(const attrs *own, const attrs *resource)
{
    static const char *const names[LINE_FORMATS] = { "json", "logfmt", "raw" };
    const value *hint = attrs_get(own, HINT_FORMAT);
    if (!hint)
        hint = attrs_get(resource, HINT_FORMAT);
    if (!hint)
        return LINE_JSON;
    line_format f = LINE_JSON;
    while (f < LINE_FORMATS && !(hint->type == VALUE_STR && str_is(hint->s, names[f])))
        f++;
    return f;
}

static str line_of(builder *k, uint32_t row, line_format format)
{
    loki_record r = { .rows = k->b, .row = row };
    r.attributes = without_labels(k, &k->b->logs.attributes[row]);
    r.resource = without_labels(k, &batch_row_resource(k->b, row)->attributes);
    if (k->failed)
        return STR_EMPTY;
    buf_clear(&k->scratch);
    if (format == LINE_JSON)
        loki_line_json(&r, &k->scratch);
    else if (format == LINE_LOGFMT)
        loki_line_logfmt(&r, k->arena, &k->scratch);
    else
        loki_line_raw(&r, &k->scratch);
    return kept(k);
}

/* ---- streams ---- */

static loki_stream *stream_of(builder *k, str tenant, str labels)
{
    bool fresh;
    loki_streams *s = k->out;
    str key = arena_fmt(k->arena, "%.*s%c%.*s", STR_ARG(tenant), 0, STR_ARG(labels));
    uint64_t *at = key.ptr ? map_put(&k->index, key, s->count, &fresh) : NULL;
    if (!at)
        return NULL;
    if (!fresh)
        return &s->items[*at];
    if (s->count == s->capacity) {
        uint32_t capacity = MAX(s->capacity * 2, 16u);
        loki_stream *more =
            arena_grow(k->arena, s->items, s->count * sizeof(*more), capacity * sizeof(*more));
        if (!more)
            return NULL;
        s->items = more;
        s->capacity = capacity;
    }
    s->items[s->count] = (loki_stream){ .tenant = tenant, .labels = labels };
    return &s->items[s->count++];
}

static bool add_entry(builder *k, loki_stream *s, loki_entry e)
{
    if (s->count == s->capacity) {
        uint32_t capacity = MAX(s->capacity * 2, 16u);
        loki_entry *more =
            arena_grow(k->arena, s->entries, s->count * sizeof(*more), capacity * sizeof(*more));
        if (!more)
            return false;
        s->entries = more;
        s->capacity = capacity;
    }
    s->entries[s->count++] = e;
    return true;
}

static bool add_record(builder *k, uint32_t row, int64_t now_ns, uint32_t *refused)
{
    const log_rows *l = &k->b->logs;
    const attrs *own = &l->attributes[row];
    const attrs *resource = &batch_row_resource(k->b, row)->attributes;
    line_format format = format_of(own, resource);
    if (format == LINE_FORMATS) {
        ++*refused;
        return true;
    }
    k->label_count = 0;
    default_labels(k, own, resource, l->severity[row]);
    promote(k, resource, attrs_get(resource, HINT_RESOURCES));
    promote(k, resource, attrs_get(own, HINT_RESOURCES));
    promote(k, own, attrs_get(own, HINT_ATTRIBUTES));
    str labels = labels_text(k), line = line_of(k, row, format);
    int64_t time_ns = log_row_time(k->b, row);
    loki_stream *s = k->failed ? NULL : stream_of(k, tenant_of(own, resource), labels);
    return s && add_entry(k, s, (loki_entry){ time_ns ? time_ns : now_ns, line, row });
}

static int by_time(const void *a, const void *b)
{
    const loki_entry *x = a, *y = b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static int by_tenant(const void *a, const void *b)
{
    const loki_stream *x = a, *y = b;
    int order = str_cmp(x->tenant, y->tenant);
    return order ? order : str_cmp(x->labels, y->labels);
}

status loki_streams_build(const batch *b, const loki_default_labels *defaults, int64_t now_ns,
                          arena *a, loki_streams *ret, uint32_t *ret_refused, error *err)
{
    builder k = { .b = b, .defaults = defaults, .arena = a, .out = ret };
    bool fine = true;
    *ret = (loki_streams){ 0 };
    *ret_refused = 0;
    buf_init(&k.scratch, LINE_MAX_BYTES);
    map_init(&k.index);
    for (uint32_t row = 0; row < b->logs.count && fine; row++)
        fine = add_record(&k, row, now_ns, ret_refused);
    map_done(&k.index);
    buf_done(&k.scratch);
    if (!fine)
        return fail(err, STATUS_LIMIT, "%u log records need more than %zu bytes as Loki streams",
                    b->logs.count, a->limit);
    if (ret->count)
        qsort(ret->items, ret->count, sizeof(*ret->items), by_tenant);
    for (uint32_t i = 0; i < ret->count; i++)
        qsort(ret->items[i].entries, ret->items[i].count, sizeof(loki_entry), by_time);
    return STATUS_OK;
}

/* ---- protobuf ---- */

static void put_entry(const loki_entry *e, buf *out)
{
    pb_mark entry = pb_begin(out, 2, e->line.len + 16);
    pb_mark time = pb_begin(out, 1, 12);
    int64_t seconds = e->time_ns / NS_PER_S, nanos = e->time_ns % NS_PER_S;
    if (seconds)
        pb_put_varint(out, 1, (uint64_t)seconds);
    if (nanos)
        pb_put_varint(out, 2, (uint64_t)nanos);
    pb_end(out, time);
    pb_put_bytes(out, 2, e->line);
    pb_end(out, entry);
}

status loki_push_encode(const loki_stream *streams, uint32_t count, buf *out, error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        pb_mark stream = pb_begin(out, 1, 0);
        pb_put_bytes(out, 1, streams[i].labels);
        for (uint32_t n = 0; n < streams[i].count; n++)
            put_entry(&streams[i].entries[n], out);
        pb_end(out, stream);
    }
    return buf_check(out, err, "a Loki push request");
}
