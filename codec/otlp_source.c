// SPDX-License-Identifier: Apache-2.0
/* From the batch's columns back to the tree that OTLP has: children are grouped by their parent
 * with one counting sort a level, so rows may stand in any order. */
#include "codec/otlp_model.h"

#include <assert.h>
#include <stdlib.h>

/* `keys` points to the first child's parent index, the others follow every `stride` bytes. */
static bool groups_init(otlp_groups *g, const void *keys, size_t stride, uint32_t count,
                        uint32_t parents)
{
    g->starts = calloc((size_t)parents + 2, sizeof(*g->starts));
    g->order = calloc(MAX(count, 1u), sizeof(*g->order));
    if (!g->starts || !g->order)
        return false;
    /* starts[p + 2] counts p's children, then starts[p + 1] is where p's next child goes. */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t parent;
        memcpy(&parent, (const char *)keys + i * stride, sizeof(parent));
        assert(parent < parents);
        g->starts[parent + 2]++;
    }
    for (uint32_t p = 2; p < parents + 2; p++)
        g->starts[p] += g->starts[p - 1];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t parent;
        memcpy(&parent, (const char *)keys + i * stride, sizeof(parent));
        g->order[g->starts[parent + 1]++] = i;
    }
    return true;
}

static void groups_done(otlp_groups *g)
{
    free(g->starts);
    free(g->order);
}

bool otlp_source_init(otlp_source *s, const batch *b)
{
    *s = (otlp_source){ .b = b };
    bool ok = groups_init(&s->scopes, b->scopes ? &b->scopes->resource : NULL, sizeof(batch_scope),
                          b->scope_count, b->resource_count);
    if (b->signal == SIGNAL_METRICS) {
        ok = ok && groups_init(&s->metrics, b->metrics ? &b->metrics->scope : NULL,
                               sizeof(batch_metric), b->metric_count, b->scope_count);
        ok = ok && groups_init(&s->rows, b->points.metric, sizeof(uint32_t), b->points.count,
                               b->metric_count);
    } else {
        const uint32_t *scope = b->signal == SIGNAL_LOGS ? b->logs.scope : b->spans.scope;
        ok = ok &&
             groups_init(&s->rows, scope, sizeof(uint32_t), batch_row_count(b), b->scope_count);
    }
    if (!ok)
        otlp_source_done(s);
    return ok;
}

void otlp_source_done(otlp_source *s)
{
    groups_done(&s->scopes);
    groups_done(&s->metrics);
    groups_done(&s->rows);
}

static const otlp_groups *groups_of(const otlp_source *s, otlp_level level)
{
    return level == LEVEL_SCOPE ? &s->scopes : level == LEVEL_METRIC ? &s->metrics : &s->rows;
}

uint32_t otlp_child_count(const otlp_source *s, const otlp_field *child, uint32_t parent)
{
    otlp_level level = child->message->level;
    if (level == LEVEL_RESOURCE)
        return s->b->resource_count;
    if (level == LEVEL_DATA)
        return s->b->metrics[parent].type == (metric_type)child->message->type;
    const otlp_groups *g = groups_of(s, level);
    return g->starts[parent + 1] - g->starts[parent];
}

static void load_log(const log_rows *from, uint32_t i, otlp_log *row)
{
    *row = (otlp_log){
        .time_ns = from->time_ns[i],
        .observed_ns = from->observed_ns[i],
        .severity = from->severity[i],
        .severity_text = from->severity_text[i],
        .body = from->body[i],
        .attributes = from->attributes[i],
        .trace = from->trace[i],
        .span = from->span[i],
        .flags = from->flags[i],
        .event_name = from->event_name[i],
    };
}

static void load_span(const span_rows *from, uint32_t i, otlp_span *row)
{
    *row = (otlp_span){
        .trace = from->trace[i],
        .span = from->span[i],
        .parent = from->parent[i],
        .trace_state = from->trace_state[i],
        .flags = from->flags[i],
        .name = from->name[i],
        .kind = from->kind[i],
        .start_ns = from->start_ns[i],
        .end_ns = from->end_ns[i],
        .attributes = from->attributes[i],
        .events = from->events[i],
        .links = from->links[i],
        .status = { from->status[i], from->status_message[i] },
    };
}

static void load_point(const batch *b, uint32_t i, otlp_point *row)
{
    const point_rows *from = &b->points;
    row->start_ns = from->start_ns[i];
    row->time_ns = from->time_ns[i];
    row->flags = from->flags[i];
    row->attributes = from->attributes[i];
    row->exemplars = from->exemplars[i];
    const point_value *v = &from->value[i];
    switch (b->metrics[from->metric[i]].type) {
    case METRIC_HISTOGRAM:
        row->histogram = *v->histogram;
        break;
    case METRIC_EXP_HISTOGRAM:
        row->exp = *v->exp;
        break;
    case METRIC_SUMMARY:
        row->summary = *v->summary;
        break;
    case METRIC_GAUGE:
    case METRIC_SUM:
    case METRIC_NONE:
        row->number = (otlp_number){ .is_int = v->is_int, .i64 = v->i64 };
        break;
    }
}

static void load_row(const batch *b, uint32_t i, otlp_row *row)
{
    if (b->signal == SIGNAL_LOGS)
        load_log(&b->logs, i, &row->log);
    else if (b->signal == SIGNAL_TRACES)
        load_span(&b->spans, i, &row->span);
    else
        load_point(b, i, &row->point);
}

uint32_t otlp_load(const otlp_source *s, const otlp_field *child, uint32_t parent, uint32_t nth,
                   otlp_row *row)
{
    const batch *b = s->b;
    otlp_level level = child->message->level;
    if (level == LEVEL_RESOURCE) {
        row->resource = b->resources[nth];
        return nth;
    }
    if (level == LEVEL_DATA) {
        row->data =
            (otlp_data){ (uint8_t)b->metrics[parent].temporality, b->metrics[parent].monotonic };
        return parent;
    }
    const otlp_groups *g = groups_of(s, level);
    uint32_t i = g->order[g->starts[parent] + nth];
    if (level == LEVEL_SCOPE)
        row->scope = b->scopes[i];
    else if (level == LEVEL_METRIC)
        row->metric = b->metrics[i];
    else
        load_row(b, i, row);
    return i;
}
