// SPDX-License-Identifier: Apache-2.0
/* Tags for what a format has no field for, both ways; see span_tags.h. A table row each. */
#include "codec/span_tags.h"

#include "codec/span_json.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- out ---- */

static void put_text(span_tag_sink *sink, void *user, const char *key, str text)
{
    if (text.len)
        sink(user, str_c(key), &VALUE_S(text));
}

static void put_count(span_tag_sink *sink, void *user, const char *key, uint32_t n)
{
    if (n)
        sink(user, str_c(key), &VALUE_I(n));
}

void span_tags_each(const batch *b, uint32_t row, span_tag_reader reader, span_tag_sink *sink,
                    void *user)
{
    static const str codes[] = { STR_INIT(""), STR_INIT("OK"), STR_INIT("ERROR") };
    const span_rows *s = &b->spans;
    const batch_scope *scope = &b->scopes[s->scope[row]];
    uint8_t code = s->status[row] < ARRAY_LEN(codes) ? s->status[row] : 0;
    if (reader == SPAN_TAGS_JAEGER)
        put_text(sink, user, "span.kind", span_kind_tag(s->kind[row]));
    put_text(sink, user, "otel.scope.name", scope->name);
    put_text(sink, user, "otel.scope.version", scope->version);
    put_text(sink, user, "otel.status_code", codes[code]);
    if (reader == SPAN_TAGS_ZIPKIN) {
        if (code == SPAN_STATUS_ERROR)
            sink(user, STR("error"), &VALUE_S(s->status_message[row]));
    } else {
        if (code == SPAN_STATUS_ERROR)
            sink(user, STR("error"), &VALUE_B(true));
        put_text(sink, user, "otel.status_description", s->status_message[row]);
        put_text(sink, user, "w3c.tracestate", s->trace_state[row]);
    }
    put_count(sink, user, "otel.dropped_attributes_count", s->attributes[row].dropped);
    put_count(sink, user, "otel.dropped_events_count", s->events[row].dropped);
    put_count(sink, user, "otel.dropped_links_count", s->links[row].dropped);
}

str span_kind_tag(uint8_t kind)
{
    return kind == SPAN_KIND_UNSPECIFIED || kind > SPAN_KIND_CONSUMER ? STR_EMPTY
                                                                      : str_c(span_kind_name(kind));
}

bool span_kind_of_tag(str name, uint8_t *ret)
{
    for (uint8_t k = SPAN_KIND_INTERNAL; k <= SPAN_KIND_CONSUMER; k++)
        if (str_eq_nocase(name, span_kind_tag(k))) {
            *ret = k;
            return true;
        }
    return false;
}

/* ---- the builder ---- */

void span_builder_init(span_builder *s, batch *b)
{
    *s = (span_builder){ .b = b, .scope = BATCH_FULL };
    map_init(&s->scopes);
}

void span_builder_done(span_builder *s)
{
    map_done(&s->scopes);
}

bool span_builder_fail(span_builder *s, status code, const char *format, ...)
{
    if (s->code != STATUS_OK)
        return false;
    s->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(s->problem, sizeof(s->problem), format, args);
    va_end(args);
    return false;
}

bool span_builder_full(span_builder *s)
{
    return span_builder_fail(
        s, STATUS_LIMIT, "the decoded request would exceed %zu bytes of memory", s->b->arena.limit);
}

void *span_builder_more(span_builder *s, void *items, uint32_t count, uint32_t *capacity,
                        size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t wanted = MAX(count * 2, 4u);
    void *grown = wanted > count && count <= SPAN_REQUEST_MAX
                      ? arena_grow(&s->b->arena, items, count * size, wanted * size)
                      : NULL;
    if (!grown) {
        span_builder_full(s);
        return NULL;
    }
    *capacity = wanted;
    return grown;
}

bool span_builder_tag(span_builder *s, attrs *list, uint32_t *capacity, str key, value v)
{
    if (list->count == SPAN_TAGS_MAX)
        return span_builder_fail(s, STATUS_LIMIT, "more tags than the limit of %d", SPAN_TAGS_MAX);
    return attrs_append(&s->b->arena, list, capacity, key, v) || span_builder_full(s);
}

/* ---- in ---- */

/* What tags say beside attributes. */
typedef struct {
    str scope_name, scope_version;
    str trace_state;
    str description;
    uint8_t kind, status;
    bool has_status;
    uint32_t dropped_attributes, dropped_events, dropped_links;
} tag_fields;

typedef bool take_tag(tag_fields *f, void *field, const value *v);

static bool take_text(tag_fields *f UNUSED, void *field, const value *v)
{
    if (v->type == VALUE_STR)
        *(str *)field = v->s;
    return v->type == VALUE_STR;
}

static bool take_kind(tag_fields *f UNUSED, void *field, const value *v)
{
    return v->type == VALUE_STR && span_kind_of_tag(v->s, field);
}

static bool take_count(tag_fields *f UNUSED, void *field, const value *v)
{
    int64_t n = v->type == VALUE_I64 ? v->i64 : -1;
    if (v->type == VALUE_STR && !str_to_i64(v->s, &n))
        return false;
    if (n < 0 || n > UINT32_MAX)
        return false;
    *(uint32_t *)field = (uint32_t)n;
    return true;
}

static bool take_status(tag_fields *f, void *field, const value *v)
{
    static const str codes[] = { STR_INIT("UNSET"), STR_INIT("OK"), STR_INIT("ERROR") };
    for (uint8_t i = 0; v->type == VALUE_STR && i < ARRAY_LEN(codes); i++)
        if (str_eq_nocase(v->s, codes[i])) {
            *(uint8_t *)field = i;
            f->has_status = true;
            return true;
        }
    return false;
}

/* OpenTracing's mark, a bool, and Zipkin's, whose text is the reason. What an explicit status says
 * goes before it, but the reason counts. */
static bool take_error(tag_fields *f, void *field, const value *v)
{
    bool failed = v->type == VALUE_BOOL ? v->b : v->type == VALUE_STR && !str_is(v->s, "false");
    if (v->type != VALUE_BOOL && v->type != VALUE_STR)
        return false;
    if (failed && !f->has_status)
        *(uint8_t *)field = SPAN_STATUS_ERROR;
    if (failed && v->type == VALUE_STR && !str_is(v->s, "true") && !f->description.len)
        f->description = v->s;
    return failed;
}

#define ROW(key_, take_, member_) \
    { \
        STR_INIT(key_), (take_), offsetof(tag_fields, member_) \
    }
static const struct {
    str key;
    take_tag *take;
    size_t field;
} known_tags[] = {
    ROW("span.kind", take_kind, kind),
    ROW("error", take_error, status),
    ROW("otel.status_code", take_status, status),
    ROW("otel.status_description", take_text, description),
    ROW("w3c.tracestate", take_text, trace_state),
    ROW("otel.scope.name", take_text, scope_name),
    ROW("otel.scope.version", take_text, scope_version),
    ROW("otel.library.name", take_text, scope_name),
    ROW("otel.library.version", take_text, scope_version),
    ROW("otel.dropped_attributes_count", take_count, dropped_attributes),
    ROW("otel.dropped_events_count", take_count, dropped_events),
    ROW("otel.dropped_links_count", take_count, dropped_links),
};
#undef ROW

static bool take(tag_fields *f, const attr *tag)
{
    for (size_t i = 0; i < ARRAY_LEN(known_tags); i++)
        if (str_eq(tag->key, known_tags[i].key))
            return known_tags[i].take(f, (char *)f + known_tags[i].field, &tag->value);
    return false;
}

/* The newest row's scope, when it is this one: usual requests have long runs of one. */
static bool same_scope(const span_builder *s, uint32_t resource, const tag_fields *f)
{
    if (s->scope == BATCH_FULL)
        return false;
    const batch_scope *c = &s->b->scopes[s->scope];
    return c->resource == resource && str_eq(c->name, f->scope_name) &&
           str_eq(c->version, f->scope_version);
}

static uint32_t scope_of(span_builder *s, uint32_t resource, const tag_fields *f)
{
    bool is_new;
    if (same_scope(s, resource, f))
        return s->scope;
    str key = arena_fmt(&s->b->arena, "%u %zu %.*s%.*s", resource, f->scope_name.len,
                        STR_ARG(f->scope_name), STR_ARG(f->scope_version));
    uint64_t *at = key.ptr ? map_put(&s->scopes, key, BATCH_FULL, &is_new) : NULL;
    if (!at)
        return BATCH_FULL;
    if (is_new) {
        uint32_t scope = batch_add_scope(s->b, resource);
        *at = scope;
        if (scope == BATCH_FULL)
            return BATCH_FULL;
        s->b->scopes[scope].name = f->scope_name;
        s->b->scopes[scope].version = f->scope_version;
    }
    return s->scope = (uint32_t)*at;
}

uint32_t span_builder_row(span_builder *s, uint32_t resource, attrs *tags)
{
    tag_fields f = { .scope_name = STR_EMPTY, .scope_version = STR_EMPTY };
    uint32_t kept = 0;
    for (uint32_t i = 0; i < tags->count; i++)
        if (!take(&f, &tags->items[i]))
            tags->items[kept++] = tags->items[i];
    tags->count = kept;
    tags->dropped = f.dropped_attributes;
    if (s->b->spans.count == SPAN_REQUEST_MAX) {
        span_builder_fail(s, STATUS_LIMIT, "more spans than the limit of %d", SPAN_REQUEST_MAX);
        return BATCH_FULL;
    }
    uint32_t scope = scope_of(s, resource, &f);
    uint32_t row = scope == BATCH_FULL ? BATCH_FULL : batch_add_span(s->b, scope);
    if (row == BATCH_FULL) {
        span_builder_full(s);
        return BATCH_FULL;
    }
    span_rows *r = &s->b->spans;
    r->attributes[row] = *tags;
    r->kind[row] = f.kind;
    r->status[row] = f.status;
    r->status_message[row] = f.description;
    r->trace_state[row] = f.trace_state;
    r->events[row].dropped = f.dropped_events;
    r->links[row].dropped = f.dropped_links;
    return row;
}
