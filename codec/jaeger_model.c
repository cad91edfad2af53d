// SPDX-License-Identifier: Apache-2.0
/* From a Jaeger span, however it was written, to a row; see jaeger_model.h. */
#include "codec/jaeger_model.h"

#include "base/clock.h"

bool jaeger_time(span_builder *s, int64_t seconds, int64_t ns, int64_t *ret)
{
    int64_t total;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &total) ||
        __builtin_add_overflow(total, ns, &total) || total < 0)
        return span_builder_fail(s, STATUS_INVALID, "a time is before 1970 or past the year 2262");
    *ret = total;
    return true;
}

bool jaeger_process(span_builder *s, uint32_t resource, str service, const attrs *tags)
{
    jaeger_tags out = { .list = { 0 } };
    bool named = service.len && !str_is(service, JAEGER_NO_SERVICE);
    if (named &&
        !span_builder_tag(s, &out.list, &out.capacity, STR("service.name"), VALUE_S(service)))
        return false;
    for (uint32_t i = 0; i < tags->count; i++) {
        const attr *t = &tags->items[i];
        if (named && str_is(t->key, "service.name"))
            continue;
        bool is_host = str_is(t->key, "hostname") && !attrs_get(tags, STR("host.name"));
        if (!span_builder_tag(s, &out.list, &out.capacity, is_host ? STR("host.name") : t->key,
                              t->value))
            return false;
    }
    s->b->resources[resource].attributes = out.list;
    return true;
}

/* The name stands in "event", as OpenTelemetry's specification and OpenTracing have it; older
 * exporters wrote it into "message". */
static const attr *event_name(const attrs *fields)
{
    static const str keys[] = { STR_INIT("event"), STR_INIT("message") };
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        for (uint32_t i = 0; i < fields->count; i++)
            if (str_eq(fields->items[i].key, keys[k]) && fields->items[i].value.type == VALUE_STR)
                return &fields->items[i];
    return NULL;
}

bool jaeger_event(span_builder *s, jaeger_span *span, int64_t time_ns, attrs *fields)
{
    span_event *items = span_builder_more(s, span->events, span->event_count, &span->event_capacity,
                                          sizeof(*items));
    if (!items)
        return false;
    span->events = items;
    span_event *e = &items[span->event_count++];
    const attr *name = event_name(fields);
    uint32_t kept = 0;
    *e = (span_event){ .time_ns = time_ns, .name = name ? name->value.s : STR_EMPTY };
    for (uint32_t i = 0; i < fields->count; i++)
        if (&fields->items[i] != name)
            fields->items[kept++] = fields->items[i];
    fields->count = kept;
    e->attributes = *fields;
    return true;
}

bool jaeger_add_reference(span_builder *s, jaeger_span *span, const jaeger_reference *r)
{
    jaeger_reference *items = span_builder_more(s, span->references, span->reference_count,
                                                &span->reference_capacity, sizeof(*items));
    if (!items)
        return false;
    span->references = items;
    items[span->reference_count++] = *r;
    return true;
}

static bool is_parent(const jaeger_span *span, const jaeger_reference *r)
{
    return memcmp(&r->trace, &span->trace, sizeof(r->trace)) == 0 &&
           memcmp(&r->span, &span->parent, sizeof(r->span)) == 0;
}

/* Without a parent of its own: the first CHILD_OF of the same trace. */
static void find_parent(jaeger_span *span)
{
    for (uint32_t i = 0; i < span->reference_count && !span_id_is_set(span->parent); i++) {
        const jaeger_reference *r = &span->references[i];
        if (r->type == JAEGER_CHILD_OF && memcmp(&r->trace, &span->trace, sizeof(r->trace)) == 0)
            span->parent = r->span;
    }
}

static bool set_links(span_builder *s, uint32_t row, jaeger_span *span)
{
    span_links *links = &s->b->spans.links[row];
    span_link *items = ARENA_ARRAY(&s->b->arena, span_link, MAX(span->reference_count, 1u));
    if (!items)
        return span_builder_full(s);
    bool parent_seen = false;
    for (uint32_t i = 0; i < span->reference_count; i++) {
        const jaeger_reference *r = &span->references[i];
        if (!parent_seen && is_parent(span, r)) {
            parent_seen = true;
            continue;
        }
        span_link *link = &items[links->count++];
        uint32_t capacity = 0;
        *link = (span_link){ .trace = r->trace, .span = r->span, .trace_state = STR_EMPTY };
        if (r->type == JAEGER_CHILD_OF &&
            !span_builder_tag(s, &link->attributes, &capacity, STR(JAEGER_REF_TYPE),
                              VALUE_S(STR("child_of"))))
            return false;
    }
    links->items = items;
    return true;
}

bool jaeger_row(span_builder *s, uint32_t resource, jaeger_span *span)
{
    if (!trace_id_is_set(span->trace) || !span_id_is_set(span->span))
        return span_builder_fail(s, STATUS_INVALID, "it has no %s id",
                                 span_id_is_set(span->span) ? "trace" : "span");
    int64_t end;
    if (!jaeger_time(s, 0, span->start_ns, &end) || !jaeger_time(s, 0, span->duration_ns, &end))
        return false;
    if (__builtin_add_overflow(span->start_ns, span->duration_ns, &end))
        return span_builder_fail(s, STATUS_INVALID, "it ends past the year 2262");
    if (span->flags & JAEGER_DEBUG && !span_builder_tag(s, &span->tags.list, &span->tags.capacity,
                                                        STR("jaeger.debug"), VALUE_B(true)))
        return false;
    if (span->warnings.count &&
        !span_builder_tag(s, &span->tags.list, &span->tags.capacity, STR("jaeger.warnings"),
                          (value){ .type = VALUE_ARRAY, .array = span->warnings }))
        return false;
    uint32_t row = span_builder_row(s, resource, &span->tags.list);
    if (row == BATCH_FULL)
        return false;
    find_parent(span);
    span_rows *r = &s->b->spans;
    r->trace[row] = span->trace;
    r->span[row] = span->span;
    r->parent[row] = span->parent;
    r->name[row] = span->name;
    r->flags[row] = span->flags & JAEGER_SAMPLED;
    r->start_ns[row] = span->start_ns;
    r->end_ns[row] = end;
    r->events[row].items = span->events;
    r->events[row].count = span->event_count;
    return set_links(s, row, span);
}
