// SPDX-License-Identifier: Apache-2.0
/* Rows between batches; see batch_rows.h. */
#include "codec/batch_rows.h"

#include "codec/json_value.h"

/* ---- columns ---- */

#define COPY(field) d->field[to] = s->field[from]

static void copy_log(log_rows *d, uint32_t to, const log_rows *s, uint32_t from)
{
    COPY(time_ns);
    COPY(observed_ns);
    COPY(severity);
    COPY(severity_text);
    COPY(body);
    COPY(attributes);
    COPY(trace);
    COPY(span);
    COPY(flags);
    COPY(event_name);
    COPY(context);
}

static void copy_span(span_rows *d, uint32_t to, const span_rows *s, uint32_t from)
{
    COPY(trace);
    COPY(span);
    COPY(parent);
    COPY(trace_state);
    COPY(flags);
    COPY(name);
    COPY(kind);
    COPY(start_ns);
    COPY(end_ns);
    COPY(attributes);
    COPY(events);
    COPY(links);
    COPY(status);
    COPY(status_message);
}

static void copy_point(point_rows *d, uint32_t to, const point_rows *s, uint32_t from)
{
    COPY(start_ns);
    COPY(time_ns);
    COPY(flags);
    COPY(attributes);
    COPY(value);
    COPY(exemplars);
}

#undef COPY

/* All but the row's parent. */
static void copy_row(batch *d, uint32_t to, const batch *s, uint32_t from)
{
    switch (s->signal) {
    case SIGNAL_LOGS:
        copy_log(&d->logs, to, &s->logs, from);
        break;
    case SIGNAL_TRACES:
        copy_span(&d->spans, to, &s->spans, from);
        break;
    case SIGNAL_METRICS:
        copy_point(&d->points, to, &s->points, from);
        break;
    case SIGNAL_COUNT:
        break;
    }
}

/* The parent of a row: its metric, or its scope. The member has the same place in all signals. */
static uint32_t *parents(const batch *b)
{
    return b->signal == SIGNAL_METRICS ? b->points.metric : b->logs.scope;
}

static uint32_t add_row(batch *b, uint32_t parent)
{
    switch (b->signal) {
    case SIGNAL_LOGS:
        return batch_add_log(b, parent);
    case SIGNAL_TRACES:
        return batch_add_span(b, parent);
    case SIGNAL_METRICS:
        return batch_add_point(b, parent);
    case SIGNAL_COUNT:
        break;
    }
    return BATCH_FULL;
}

/* ---- appending ---- */

/* Tables of `from` behind those of `to`; indexes move by what was there. */
static bool append_tables(batch *to, const batch *from, uint32_t *ret_parent)
{
    uint32_t resource = to->resource_count, scope = to->scope_count, metric = to->metric_count;
    for (uint32_t i = 0; i < from->resource_count; i++) {
        if (batch_add_resource(to) == BATCH_FULL)
            return false;
        to->resources[resource + i] = from->resources[i];
    }
    for (uint32_t i = 0; i < from->scope_count; i++) {
        uint32_t parent = resource + from->scopes[i].resource;
        if (batch_add_scope(to, parent) == BATCH_FULL)
            return false;
        to->scopes[scope + i] = from->scopes[i];
        to->scopes[scope + i].resource = parent;
    }
    for (uint32_t i = 0; from->signal == SIGNAL_METRICS && i < from->metric_count; i++) {
        uint32_t parent = scope + from->metrics[i].scope;
        if (batch_add_metric(to, parent) == BATCH_FULL)
            return false;
        to->metrics[metric + i] = from->metrics[i];
        to->metrics[metric + i].scope = parent;
    }
    *ret_parent = from->signal == SIGNAL_METRICS ? metric : scope;
    return true;
}

bool batch_append_rows(batch *to, const batch *from, const uint8_t *skip)
{
    uint32_t parent, count = batch_row_count(from);
    if (!append_tables(to, from, &parent) || !batch_reserve(to, count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (skip && skip[i])
            continue;
        uint32_t row = add_row(to, parent + parents(from)[i]);
        if (row == BATCH_FULL)
            return false;
        copy_row(to, row, from, i);
    }
    return true;
}

bool batch_append_view(batch *to, const batch *from)
{
    return batch_append_rows(to, from, NULL);
}

uint32_t batch_remove_rows(batch *b, const uint8_t *skip)
{
    uint32_t count = batch_row_count(b), kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (skip[i])
            continue;
        if (kept != i) {
            copy_row(b, kept, b, i);
            parents(b)[kept] = parents(b)[i];
        }
        kept++;
    }
    b->logs.count = kept; /* the same place in all signals */
    return count - kept;
}

void batch_truncate(batch *b, uint32_t rows)
{
    b->logs.count = MIN(b->logs.count, rows);
}

/* ---- looking ---- */

const batch_scope *batch_row_scope(const batch *b, uint32_t row)
{
    uint32_t parent = parents(b)[row];
    return &b->scopes[b->signal == SIGNAL_METRICS ? b->metrics[parent].scope : parent];
}

batch_resource *batch_row_resource(const batch *b, uint32_t row)
{
    return &b->resources[batch_row_scope(b, row)->resource];
}

attrs *batch_row_attributes(const batch *b, uint32_t row)
{
    switch (b->signal) {
    case SIGNAL_LOGS:
        return &b->logs.attributes[row];
    case SIGNAL_TRACES:
        return &b->spans.attributes[row];
    case SIGNAL_METRICS:
        return &b->points.attributes[row];
    case SIGNAL_COUNT:
        break;
    }
    return NULL;
}

/* ---- attribute lists ---- */

bool attrs_set(arena *a, attrs *list, str key, value v)
{
    uint32_t at = 0;
    while (at < list->count && !str_eq(list->items[at].key, key))
        at++;
    uint32_t count = MAX(list->count, at + 1);
    attr *items = ARENA_ARRAY(a, attr, count);
    if (!items)
        return false;
    if (list->count)
        memcpy(items, list->items, list->count * sizeof(attr));
    items[at] = (attr){ key, v };
    list->items = items;
    list->count = count;
    return true;
}

typedef struct {
    str key;
} other_key;

static bool is_other(void *user, const attr *at)
{
    const other_key *o = user;
    return !str_eq(at->key, o->key);
}

bool attrs_remove(arena *a, attrs *list, str key)
{
    if (!attrs_get(list, key))
        return true;
    return attrs_keep(a, list, is_other, &(other_key){ key });
}

bool attrs_keep(arena *a, attrs *list, bool (*keep)(void *user, const attr *), void *user)
{
    attr *items = ARENA_ARRAY(a, attr, MAX(list->count, 1u));
    uint32_t kept = 0;
    if (!items)
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        if (keep(user, &list->items[i]))
            items[kept++] = list->items[i];
    list->items = items;
    list->count = kept;
    return true;
}

/* ---- text ---- */

str value_text(arena *a, const value *v)
{
    if (v->type == VALUE_STR)
        return v->s;
    buf out;
    buf_init(&out, MiB(16));
    value_to_text(v, &out);
    str text = out.failed ? (str){ 0 } : arena_str(a, buf_view(&out));
    buf_done(&out);
    return text;
}
