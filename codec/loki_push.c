// SPDX-License-Identifier: Apache-2.0
/* Loki's push request as protobuf and as JSON, into a batch; see loki_push.h. A stream is one
 * resource with one scope; its labels may come behind its entries, so that what they mean for the
 * rows is set when the stream ends. */
#include "codec/loki_push.h"

#include "base/clock.h"
#include "codec/json_value.h"
#include "codec/log_fields.h"
#include "codec/protobuf.h"

enum { ROWS_MAX = 1 << 20, ATTRIBUTES_MAX = 1024, DEPTH_MAX = 32 };

typedef struct {
    batch *b;
    uint32_t max_rows, max_attributes;
    error *err;
    status st;
} decoder;

static bool refuse(decoder *d, status code, const char *reason)
{
    if (d->st == STATUS_OK)
        d->st = fail(d->err, code, "Loki push request: %s", reason);
    return false;
}

static bool no_memory(decoder *d)
{
    return refuse(d, STATUS_LIMIT, "more than a request may take of memory");
}

static decoder decoder_of(batch *b, const loki_push_limits *limits, error *err)
{
    return (decoder){ .b = b,
                      .max_rows = limits && limits->max_rows ? limits->max_rows : ROWS_MAX,
                      .max_attributes = limits && limits->max_attributes ? limits->max_attributes
                                                                         : ATTRIBUTES_MAX,
                      .err = err };
}

/* ---- what both forms share ---- */

typedef struct {
    uint32_t resource, scope, first_row;
} stream;

static bool stream_begin(decoder *d, stream *ret)
{
    batch *b = d->b;
    ret->resource = batch_add_resource(b);
    ret->scope = ret->resource == BATCH_FULL ? BATCH_FULL : batch_add_scope(b, ret->resource);
    ret->first_row = b->logs.count;
    return ret->scope != BATCH_FULL || no_memory(d);
}

/* Loki's own order, by which it discovers a service's name. */
static const char *const service_labels[] = {
    "service_name",
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
};

/* "shop/api" is what the Collector's exporter makes of namespace and name. */
static bool set_service(decoder *d, attrs *labels)
{
    arena *a = &d->b->arena;
    uint32_t capacity = labels->count;
    str name = STR_EMPTY, rest;
    if (attrs_get(labels, STR("service.name")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(service_labels) && !name.len; i++)
        name = attrs_get_str(labels, str_c(service_labels[i]));
    if (!name.len)
        return true;
    if (str_is(attrs_get_str(labels, STR("exporter")), "OTLP")) {
        str space = str_cut(name, '/', &rest);
        if (rest.len) {
            name = rest;
            if (!attrs_append(a, labels, &capacity, STR("service.namespace"), VALUE_S(space)))
                return no_memory(d);
        }
    }
    return attrs_append(a, labels, &capacity, STR("service.name"), VALUE_S(name)) || no_memory(d);
}

static bool stream_end(decoder *d, const stream *s)
{
    static const char *const level_labels[] = { "level", "detected_level", "severity" };
    batch *b = d->b;
    attrs *labels = &b->resources[s->resource].attributes;
    str level = STR_EMPTY;
    for (size_t i = 0; i < ARRAY_LEN(level_labels) && !level.len; i++)
        level = attrs_get_str(labels, str_c(level_labels[i]));
    uint8_t severity = severity_parse(level);
    for (uint32_t row = s->first_row; severity && row < b->logs.count; row++) {
        if (b->logs.severity[row])
            continue;
        b->logs.severity[row] = severity;
        b->logs.severity_text[row] = level;
    }
    return set_service(d, labels);
}

static bool add_row(decoder *d, const stream *s, uint32_t *ret)
{
    if (d->b->logs.count >= d->max_rows)
        return refuse(d, STATUS_LIMIT, "too many entries");
    *ret = batch_add_log(d->b, s->scope);
    return *ret != BATCH_FULL || no_memory(d);
}

static bool add_metadata(decoder *d, uint32_t row, uint32_t *capacity, str name, value v)
{
    attrs *list = &d->b->logs.attributes[row];
    if (log_set_known_field(d->b, row, name, &v))
        return true;
    if (list->count >= d->max_attributes)
        return refuse(d, STATUS_LIMIT, "too many structured metadata of one entry");
    return attrs_append(&d->b->arena, list, capacity, name, v) || no_memory(d);
}

static bool add_labels(decoder *d, const stream *s, str text)
{
    attrs *labels = &d->b->resources[s->resource].attributes;
    if (labels->count)
        return refuse(d, STATUS_INVALID, "a stream has labels twice");
    d->st = loki_labels_parse(text, d->max_attributes, &d->b->arena, labels, d->err);
    return d->st == STATUS_OK;
}

/* ---- protobuf ---- */

static bool read_text(decoder *d, pb_reader *r, str *ret)
{
    if (!pb_bytes(r, ret))
        return false;
    *ret = arena_utf8(&d->b->arena, *ret);
    return ret->ptr || no_memory(d);
}

static bool pb_time(pb_reader *parent, int64_t *ret)
{
    pb_reader r;
    pb_field f;
    uint64_t seconds = 0, nanos = 0;
    if (!pb_message(parent, &r))
        return false;
    while (pb_next(&r, &f)) {
        uint64_t *to = f.number == 1 ? &seconds : f.number == 2 ? &nanos : NULL;
        if (!(to && f.wire == PB_VARINT ? pb_varint(&r, to) : pb_skip(&r, f)))
            break;
    }
    if (r.problem)
        return pb_fail(parent, r.problem);
    /* Go's zero time, the year 1, and what is out of range count as absent. */
    if ((int64_t)seconds <= 0 || seconds > (uint64_t)(INT64_MAX / NS_PER_S - 1) ||
        nanos >= (uint64_t)NS_PER_S)
        *ret = 0;
    else
        *ret = (int64_t)seconds * NS_PER_S + (int64_t)nanos;
    return true;
}

static bool pb_pair(decoder *d, pb_reader *parent, str *ret_name, str *ret_text)
{
    pb_reader r;
    pb_field f;
    *ret_name = *ret_text = STR_EMPTY;
    if (!pb_message(parent, &r))
        return false;
    while (pb_next(&r, &f)) {
        str *to = f.number == 1 ? ret_name : f.number == 2 ? ret_text : NULL;
        if (!(to && f.wire == PB_LEN ? read_text(d, &r, to) : pb_skip(&r, f)))
            break;
    }
    return r.problem ? pb_fail(parent, r.problem) : d->st == STATUS_OK;
}

static bool pb_entry(decoder *d, pb_reader *parent, const stream *s)
{
    pb_reader r;
    pb_field f;
    uint32_t row, capacity = 0;
    str name, text;
    bool fine = true;
    if (!pb_message(parent, &r) || !add_row(d, s, &row))
        return false;
    d->b->logs.body[row] = VALUE_S(STR_EMPTY);
    while (fine && pb_next(&r, &f)) {
        if (f.number == 1 && f.wire == PB_LEN)
            fine = pb_time(&r, &d->b->logs.time_ns[row]);
        else if (f.number == 2 && f.wire == PB_LEN)
            fine = read_text(d, &r, &d->b->logs.body[row].s);
        else if (f.number == 3 && f.wire == PB_LEN)
            fine = pb_pair(d, &r, &name, &text) &&
                   add_metadata(d, row, &capacity, name, VALUE_S(text));
        else
            fine = pb_skip(&r, f);
    }
    return r.problem ? pb_fail(parent, r.problem) : fine;
}

static bool pb_stream(decoder *d, pb_reader *parent)
{
    pb_reader r;
    pb_field f;
    stream s;
    str text;
    bool fine = true;
    if (!pb_message(parent, &r) || !stream_begin(d, &s))
        return false;
    while (fine && pb_next(&r, &f)) {
        if (f.number == 1 && f.wire == PB_LEN)
            fine = read_text(d, &r, &text) && add_labels(d, &s, text);
        else if (f.number == 2 && f.wire == PB_LEN)
            fine = pb_entry(d, &r, &s);
        else
            fine = pb_skip(&r, f);
    }
    if (r.problem)
        return pb_fail(parent, r.problem);
    return fine && stream_end(d, &s);
}

status loki_push_decode(batch *b, str bytes, const loki_push_limits *limits, error *err)
{
    decoder d = decoder_of(b, limits, err);
    pb_reader r = pb_read(bytes);
    pb_field f;
    while (d.st == STATUS_OK && pb_next(&r, &f)) {
        bool fine = f.number == 1 && f.wire == PB_LEN ? pb_stream(&d, &r) : pb_skip(&r, f);
        if (!fine)
            break;
    }
    if (d.st == STATUS_OK && r.problem)
        return fail(err, STATUS_INVALID, "Loki push request: byte %zu: %s", (size_t)(r.at - r.base),
                    r.problem);
    return d.st;
}

/* ---- JSON ---- */

static bool json_wrong(decoder *d, json_reader *r, const char *problem)
{
    json_refuse(r, problem);
    (void)d;
    return false;
}

static bool json_text(decoder *d, json_reader *r, str *ret, const char *what)
{
    if (json_next(r) != JSON_STRING)
        return json_wrong(d, r, what);
    *ret = r->text;
    return true;
}

/* {"name":"value"} */
static bool json_labels(decoder *d, json_reader *r, const stream *s)
{
    attrs *labels = &d->b->resources[s->resource].attributes;
    uint32_t capacity = 0;
    str name, text;
    if (json_next(r) != JSON_OBJECT || labels->count)
        return json_wrong(d, r, "\"stream\" must be one object of labels");
    while (json_next_key(r, &name)) {
        if (!json_text(d, r, &text, "a label's value must be a string"))
            return false;
        if (labels->count >= d->max_attributes)
            return refuse(d, STATUS_LIMIT, "too many labels of one stream");
        if (!str_starts(name, STR("__")) &&
            !attrs_append(&d->b->arena, labels, &capacity, name, VALUE_S(text)))
            return no_memory(d);
    }
    return r->type != JSON_ERROR;
}

static bool json_metadata(decoder *d, json_reader *r, uint32_t row)
{
    uint32_t capacity = 0;
    str name;
    value v;
    if (r->type != JSON_OBJECT)
        return json_wrong(d, r, "structured metadata must be an object");
    while (json_next_key(r, &name)) {
        if (!value_from_json(r, &d->b->arena, &v) || !add_metadata(d, row, &capacity, name, v))
            return false;
    }
    return r->type != JSON_ERROR;
}

/* ["1700000000000000000","line",{…}] */
static bool json_value_entry(decoder *d, json_reader *r, const stream *s)
{
    uint32_t row;
    str line;
    int64_t time_ns;
    if (r->type != JSON_ARRAY)
        return json_wrong(d, r, "an entry must be an array [\"nanoseconds\", \"line\"]");
    json_type t = json_next(r);
    if ((t != JSON_STRING && t != JSON_NUMBER) || !json_get_i64(r, &time_ns) || time_ns < 0)
        return json_wrong(d, r, "an entry's time must be nanoseconds since 1970 in a string");
    if (!json_text(d, r, &line, "an entry's line must be a string") || !add_row(d, s, &row))
        return false;
    d->b->logs.time_ns[row] = time_ns;
    d->b->logs.body[row] = VALUE_S(line);
    if (!json_next_item(r))
        return r->type != JSON_ERROR;
    if (!json_metadata(d, r, row))
        return false;
    return json_next_item(r) ? json_wrong(d, r, "an entry has three elements at most")
                             : r->type != JSON_ERROR;
}

/* {"ts":"2025-10-12T20:30:00Z","line":"…"} of the older form. */
static bool json_object_entry(decoder *d, json_reader *r, const stream *s)
{
    uint32_t row;
    str key, text;
    if (r->type != JSON_OBJECT)
        return json_wrong(d, r, "an entry must be an object with \"ts\" and \"line\"");
    if (!add_row(d, s, &row))
        return false;
    d->b->logs.body[row] = VALUE_S(STR_EMPTY);
    while (json_next_key(r, &key)) {
        if (str_is(key, "line")) {
            if (!json_text(d, r, &d->b->logs.body[row].s, "\"line\" must be a string"))
                return false;
        } else if (str_is(key, "ts")) {
            if (!json_text(d, r, &text, "\"ts\" must be a string"))
                return false;
            if (!clock_parse_rfc3339(text, &d->b->logs.time_ns[row]))
                return json_wrong(d, r, "\"ts\" must be an RFC 3339 time");
        } else if (!json_skip_next(r)) {
            return false;
        }
    }
    return r->type != JSON_ERROR;
}

typedef bool entry_reader(decoder *d, json_reader *r, const stream *s);

static bool json_entries(decoder *d, json_reader *r, const stream *s, entry_reader *entry)
{
    if (json_next(r) != JSON_ARRAY)
        return json_wrong(d, r, "entries must be an array");
    while (json_next_item(r))
        if (!entry(d, r, s))
            return false;
    return r->type != JSON_ERROR;
}

static bool json_stream(decoder *d, json_reader *r)
{
    stream s;
    str key, text;
    bool fine = true;
    if (r->type != JSON_OBJECT)
        return json_wrong(d, r, "a stream must be an object");
    if (!stream_begin(d, &s))
        return false;
    while (fine && json_next_key(r, &key)) {
        if (str_is(key, "stream"))
            fine = json_labels(d, r, &s);
        else if (str_is(key, "labels"))
            fine = json_text(d, r, &text, "\"labels\" must be a string") && add_labels(d, &s, text);
        else if (str_is(key, "values"))
            fine = json_entries(d, r, &s, json_value_entry);
        else if (str_is(key, "entries"))
            fine = json_entries(d, r, &s, json_object_entry);
        else
            fine = json_skip_next(r);
    }
    return fine && r->type != JSON_ERROR && stream_end(d, &s);
}

status loki_push_decode_json(batch *b, str bytes, const loki_push_limits *limits, error *err)
{
    decoder d = decoder_of(b, limits, err);
    json_reader r;
    str key;
    bool fine = true;
    json_read(&r, bytes, &b->arena, DEPTH_MAX);
    if (json_next(&r) != JSON_OBJECT)
        json_wrong(&d, &r, "an object with \"streams\" was expected");
    while (fine && json_next_key(&r, &key)) {
        if (!str_is(key, "streams")) {
            fine = json_skip_next(&r);
            continue;
        }
        fine = json_next(&r) == JSON_ARRAY || json_wrong(&d, &r, "\"streams\" must be an array");
        while (fine && json_next_item(&r))
            fine = json_stream(&d, &r);
    }
    if (d.st != STATUS_OK)
        return d.st;
    if (fine)
        json_next(&r);
    return json_fail_status(&r, err, "Loki push request");
}
