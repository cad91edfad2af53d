// SPDX-License-Identifier: Apache-2.0
/* From a Zipkin span, however it was written, to a row; see zipkin_model.h. */
#include "codec/zipkin_model.h"

#include "base/clock.h"
#include "codec/json_value.h"

/* Levels of JSON in an annotation's attributes; the batch's values may not be deeper. */
enum { ANNOTATION_DEPTH = 16 };

void zipkin_sink_init(zipkin_sink *z, batch *b, const zipkin_options *options)
{
    *z = (zipkin_sink){ .options = *options };
    span_builder_init(&z->build, b);
    map_init(&z->services);
}

status zipkin_sink_done(zipkin_sink *z, uint32_t index, error *err)
{
    const span_builder *s = &z->build;
    map_done(&z->services);
    span_builder_done(&z->build);
    return s->code == STATUS_OK ? STATUS_OK : fail(err, s->code, "span %u: %s", index, s->problem);
}

/* ---- annotations ---- */

static bool as_event(arena *a, str text, bool inner_is_name, span_event *e)
{
    json_reader r;
    value v = { 0 };
    json_read(&r, text, a, ANNOTATION_DEPTH);
    if (!value_from_json(&r, a, &v) || json_next(&r) != JSON_END || v.type != VALUE_MAP)
        return false;
    if (inner_is_name) {
        /* {"name":{"key":"value"}}: no more than one. */
        if (v.map.count != 1 || v.map.items[0].value.type != VALUE_MAP)
            return false;
        e->name = v.map.items[0].key;
        v = v.map.items[0].value;
    }
    if (v.map.count > SPAN_TAGS_MAX)
        return false;
    e->attributes = v.map;
    return true;
}

/* OpenTelemetry's exporters write an event with attributes as "name":{…} or as {"name":{…}}. Any
 * other text is a name. */
static void read_event(arena *a, span_event *e)
{
    str text = e->name;
    json_reader r;
    if (str_starts(text, STR("{"))) {
        as_event(a, text, true, e);
        return;
    }
    if (!str_starts(text, STR("\"")))
        return;
    size_t end = 1;
    while (end < text.len && text.ptr[end] != '"')
        end += text.ptr[end] == '\\' ? 2 : 1;
    str rest = str_slice(text, end + 1, text.len);
    json_read(&r, str_slice(text, 0, end + 1), a, 0);
    if (str_starts(rest, STR(":")) && json_next(&r) == JSON_STRING &&
        as_event(a, str_slice(rest, 1, rest.len), false, e))
        e->name = r.text;
}

bool zipkin_sink_annotation(zipkin_sink *z, zipkin_span *s, uint64_t us, str text)
{
    span_event *items =
        span_builder_more(&z->build, s->events, s->event_count, &s->event_capacity, sizeof(*items));
    if (!items)
        return false;
    if (us > INT64_MAX / NS_PER_US)
        return span_builder_fail(&z->build, STATUS_INVALID,
                                 "annotation %u: its timestamp is past the year 2262; it must be "
                                 "in microseconds",
                                 s->event_count);
    s->events = items;
    span_event *e = &items[s->event_count++];
    *e = (span_event){ .time_ns = (int64_t)us * NS_PER_US, .name = text };
    read_event(&z->build.b->arena, e);
    return true;
}

/* ---- tags ---- */

static value parse_tag(str text)
{
    int64_t i64;
    double f64;
    char first = text.len ? text.ptr[0] : 0;
    if (str_is(text, "true") || str_is(text, "false"))
        return VALUE_B(text.ptr[0] == 't');
    if ((first >= '0' && first <= '9') || first == '-' || first == '+' || first == '.') {
        if (str_to_i64(text, &i64))
            return VALUE_I(i64);
        if (str_to_f64(text, &f64))
            return VALUE_D(f64);
    }
    return VALUE_S(text);
}

static bool is_own_tag(str key)
{
    return str_is(key, "error") || str_starts(key, STR("otel."));
}

bool zipkin_sink_tag(zipkin_sink *z, zipkin_span *s, str key, str text)
{
    value v = z->options.parse_tags && !is_own_tag(key) ? parse_tag(text) : VALUE_S(text);
    return span_builder_tag(&z->build, &s->tags, &s->tag_capacity, key, v);
}

/* An attribute that the tags do not have already. */
static bool add(zipkin_sink *z, zipkin_span *s, const char *key, value v)
{
    return attrs_get(&s->tags, str_c(key)) ||
           span_builder_tag(&z->build, &s->tags, &s->tag_capacity, str_c(key), v);
}

static bool has_text(const attrs *tags, str text)
{
    for (uint32_t i = 0; i < tags->count; i++)
        if (tags->items[i].value.type == VALUE_STR && str_eq(tags->items[i].value.s, text))
            return true;
    return false;
}

/* A name that stands in a tag too is not peer.service: the exporter took it from there. */
static bool add_remote(zipkin_sink *z, zipkin_span *s)
{
    const zipkin_endpoint *r = &s->remote;
    if (r->service.len) {
        if (has_text(&s->tags, r->service))
            return true;
        if (!add(z, s, "peer.service", VALUE_S(r->service)))
            return false;
    }
    return (!r->address.len || add(z, s, "network.peer.address", VALUE_S(r->address))) &&
           (!r->port || add(z, s, "network.peer.port", VALUE_I(r->port)));
}

static bool add_attributes(zipkin_sink *z, zipkin_span *s)
{
    const zipkin_endpoint *l = &s->local;
    return (!l->address.len || add(z, s, "network.local.address", VALUE_S(l->address))) &&
           (!l->port || add(z, s, "network.local.port", VALUE_I(l->port))) && add_remote(z, s) &&
           (!s->shared || add(z, s, "zipkin.shared", VALUE_B(true))) &&
           (!s->debug || add(z, s, "zipkin.debug", VALUE_B(true)));
}

/* ---- spans ---- */

static uint32_t resource_of(zipkin_sink *z, str service)
{
    batch *b = z->build.b;
    uint64_t *at = map_put(&z->services, service.len ? service : STR_EMPTY, BATCH_FULL, NULL);
    uint32_t capacity = 0;
    if (!at)
        return BATCH_FULL;
    if (*at == BATCH_FULL) {
        uint32_t resource = batch_add_resource(b);
        if (resource == BATCH_FULL ||
            (service.len && !attrs_append(&b->arena, &b->resources[resource].attributes, &capacity,
                                          STR("service.name"), VALUE_S(service))))
            return BATCH_FULL;
        *at = resource;
    }
    return (uint32_t)*at;
}

/* Microseconds; a span without a time began with its first annotation, else when it came in. */
static bool set_times(zipkin_sink *z, const zipkin_span *s, uint32_t row)
{
    span_rows *r = &z->build.b->spans;
    uint64_t limit = INT64_MAX / NS_PER_US;
    if (s->start_us > limit || s->duration_us > limit || s->start_us + s->duration_us > limit)
        return span_builder_fail(&z->build, STATUS_INVALID,
                                 "it ends after the year 2262; timestamp and duration must be in "
                                 "microseconds");
    int64_t start = (int64_t)s->start_us * NS_PER_US;
    if (!s->start_us)
        start = s->event_count ? INT64_MAX : z->options.now_ns;
    for (uint32_t i = 0; !s->start_us && i < s->event_count; i++)
        start = MIN(start, s->events[i].time_ns);
    int64_t length = (int64_t)s->duration_us * NS_PER_US;
    r->start_ns[row] = start;
    r->end_ns[row] = length > INT64_MAX - start ? INT64_MAX : start + length;
    return true;
}

/* Some exporters send the resource's name as a tag too. */
static void take_service(zipkin_span *s)
{
    str service = attrs_get_str(&s->tags, STR("service.name"));
    uint32_t kept = 0;
    if (!s->local.service.len)
        s->local.service = service;
    if (!service.len || !str_eq(service, s->local.service))
        return;
    for (uint32_t i = 0; i < s->tags.count; i++)
        if (!str_is(s->tags.items[i].key, "service.name"))
            s->tags.items[kept++] = s->tags.items[i];
    s->tags.count = kept;
}

bool zipkin_sink_span(zipkin_sink *z, zipkin_span *s)
{
    span_builder *build = &z->build;
    if (!trace_id_is_set(s->trace) || !span_id_is_set(s->span))
        return span_builder_fail(build, STATUS_INVALID, "it has no %s",
                                 span_id_is_set(s->span) ? "traceId" : "id");
    take_service(s);
    if (!add_attributes(z, s))
        return false;
    uint32_t resource = resource_of(z, s->local.service);
    if (resource == BATCH_FULL)
        return span_builder_full(build);
    uint32_t row = span_builder_row(build, resource, &s->tags);
    if (row == BATCH_FULL)
        return false;
    span_rows *r = &build->b->spans;
    r->trace[row] = s->trace;
    r->span[row] = s->span;
    r->parent[row] = s->parent;
    r->name[row] = s->name;
    if (s->kind)
        r->kind[row] = s->kind;
    else if (!r->kind[row])
        r->kind[row] = SPAN_KIND_INTERNAL;
    r->flags[row] = s->debug ? 1 : 0;
    r->events[row].items = s->events;
    r->events[row].count = s->event_count;
    return set_times(z, s, row);
}
