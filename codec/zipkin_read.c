// SPDX-License-Identifier: Apache-2.0
/* Zipkin's v2 JSON in; see zipkin_read.h. Members that it does not know are passed over. */
#include "codec/zipkin_read.h"

#include "codec/json.h"
#include "codec/zipkin_model.h"

enum { DEPTH = 16 };

typedef struct {
    zipkin_sink sink;
    json_reader r;
} decoder;

/* Takes over the reader's problem; always false. */
static bool malformed(decoder *d)
{
    size_t line, column;
    if (!d->r.problem)
        return false;
    json_position(&d->r, &line, &column);
    return span_builder_fail(&d->sink.build, d->r.code, "%s, at line %zu, column %zu", d->r.problem,
                             line, column);
}

static bool refuse(decoder *d, const char *problem)
{
    json_refuse(&d->r, problem);
    return malformed(d);
}

/* ---- members; the value's first token was read and is not null ---- */

typedef bool member_reader(decoder *d, void *to);

typedef struct {
    str key;
    member_reader *read;
    size_t offset;
} member;

#define MEMBER(type_, key_, read_, field_) \
    { \
        STR_INIT(key_), (read_), offsetof(type_, field_) \
    }

static bool read_members(decoder *d, const member *members, size_t count, void *to)
{
    str key;
    if (d->r.type != JSON_OBJECT)
        return refuse(d, "an object is expected here");
    while (json_next_key(&d->r, &key)) {
        size_t i = 0;
        while (i < count && !str_eq(members[i].key, key))
            i++;
        if (i == count) {
            json_skip_next(&d->r);
        } else if (json_next(&d->r) != JSON_NULL &&
                   (d->r.type == JSON_ERROR ||
                    !members[i].read(d, (char *)to + members[i].offset))) {
            return malformed(d);
        }
    }
    return d->r.type == JSON_OBJECT_END || malformed(d);
}

static bool read_text(decoder *d, void *to)
{
    if (d->r.type != JSON_STRING)
        return refuse(d, "text in quotes is expected here");
    *(str *)to = d->r.text;
    return true;
}

/* Ids that are shorter than usual have zeros in front. */
static bool read_id(decoder *d, uint8_t *to, size_t size, const char *problem)
{
    char digits[32];
    str text = d->r.text;
    if (d->r.type != JSON_STRING || text.len == 0 || text.len > 2 * size)
        return refuse(d, problem);
    memset(digits, '0', sizeof(digits));
    memcpy(digits + 2 * size - text.len, text.ptr, text.len);
    return str_from_hex(str_n(digits, 2 * size), to, size) || refuse(d, problem);
}

static bool read_trace_id(decoder *d, void *to)
{
    return read_id(d, to, sizeof(trace_id),
                   "traceId must be 1 to 32 hexadecimal digits in quotes, usually 32 or 16");
}

static bool read_span_id(decoder *d, void *to)
{
    return read_id(d, to, sizeof(span_id),
                   "a span's id must be 1 to 16 hexadecimal digits in quotes");
}

static bool read_us(decoder *d, void *to)
{
    return json_get_u64(&d->r, to) ||
           refuse(d, "a time must be a whole number of microseconds, not negative");
}

static bool read_port(decoder *d, void *to)
{
    int64_t port;
    if (!json_get_i64(&d->r, &port) || port < 0 || port > UINT16_MAX)
        return refuse(d, "a port must be a number from 0 to 65535");
    *(int64_t *)to = port;
    return true;
}

static bool read_flag(decoder *d, void *to)
{
    if (d->r.type != JSON_BOOL)
        return refuse(d, "true or false is expected here");
    *(bool *)to = d->r.boolean;
    return true;
}

static bool read_kind(decoder *d, void *to)
{
    return (d->r.type == JSON_STRING && span_kind_of_tag(d->r.text, to)) ||
           refuse(d, "kind must be CLIENT, SERVER, PRODUCER or CONSUMER");
}

static bool read_endpoint(decoder *d, void *to)
{
    static const member members[] = {
        MEMBER(zipkin_endpoint, "serviceName", read_text, service),
        MEMBER(zipkin_endpoint, "ipv4", read_text, address),
        MEMBER(zipkin_endpoint, "ipv6", read_text, address),
        MEMBER(zipkin_endpoint, "port", read_port, port),
    };
    return read_members(d, members, ARRAY_LEN(members), to);
}

typedef struct {
    uint64_t us;
    str value;
} annotation;

static bool read_annotations(decoder *d, void *to)
{
    static const member members[] = {
        MEMBER(annotation, "timestamp", read_us, us),
        MEMBER(annotation, "value", read_text, value),
    };
    if (d->r.type != JSON_ARRAY)
        return refuse(d, "annotations must be an array");
    while (json_next_item(&d->r)) {
        annotation a = { 0, STR_EMPTY };
        if (!read_members(d, members, ARRAY_LEN(members), &a) ||
            !zipkin_sink_annotation(&d->sink, to, a.us, a.value))
            return false;
    }
    return d->r.type == JSON_ARRAY_END || malformed(d);
}

static bool read_tags(decoder *d, void *to)
{
    str key;
    if (d->r.type != JSON_OBJECT)
        return refuse(d, "tags must be an object");
    while (json_next_key(&d->r, &key)) {
        json_type type = json_next(&d->r);
        if (type == JSON_NULL)
            continue;
        if (type != JSON_STRING)
            return refuse(d, "a tag's value must be text in quotes");
        if (!zipkin_sink_tag(&d->sink, to, key, d->r.text))
            return false;
    }
    return d->r.type == JSON_OBJECT_END || malformed(d);
}

static bool read_span(decoder *d)
{
    static const member members[] = {
        MEMBER(zipkin_span, "traceId", read_trace_id, trace),
        MEMBER(zipkin_span, "id", read_span_id, span),
        MEMBER(zipkin_span, "parentId", read_span_id, parent),
        MEMBER(zipkin_span, "name", read_text, name),
        MEMBER(zipkin_span, "kind", read_kind, kind),
        MEMBER(zipkin_span, "timestamp", read_us, start_us),
        MEMBER(zipkin_span, "duration", read_us, duration_us),
        MEMBER(zipkin_span, "localEndpoint", read_endpoint, local),
        MEMBER(zipkin_span, "remoteEndpoint", read_endpoint, remote),
        MEMBER(zipkin_span, "debug", read_flag, debug),
        MEMBER(zipkin_span, "shared", read_flag, shared),
        /* The whole span, since their lists belong to it. */
        { STR_INIT("annotations"), read_annotations, 0 },
        { STR_INIT("tags"), read_tags, 0 },
    };
    zipkin_span s = { .name = STR_EMPTY };
    return read_members(d, members, ARRAY_LEN(members), &s) && zipkin_sink_span(&d->sink, &s);
}

status zipkin_json_decode(batch *b, str bytes, const zipkin_options *options, error *err)
{
    decoder d;
    uint32_t index = 0;
    zipkin_sink_init(&d.sink, b, options);
    json_read(&d.r, bytes, &b->arena, DEPTH);
    if (json_next(&d.r) != JSON_ARRAY) {
        refuse(&d, "a request must be an array of spans");
    } else {
        while (json_next_item(&d.r) && read_span(&d))
            index++;
        if (d.sink.build.code == STATUS_OK && !d.r.problem)
            json_next(&d.r);
        malformed(&d);
    }
    return zipkin_sink_done(&d.sink, index, err);
}
