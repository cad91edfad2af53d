// SPDX-License-Identifier: Apache-2.0
/* From decoded structures to the batch's columns: where rows belong, which of them contradict
 * themselves, the limits, and the place that an error message names. */
#include "codec/otlp_model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { ROWS_DEFAULT = 1 << 20, ATTRIBUTES_DEFAULT = 1024 };

/* Beyond these a bucket's bounds are not distinct doubles. */
enum { SCALE_MIN = -10, SCALE_MAX = 52 };

void otlp_sink_init(otlp_sink *s, batch *b, const otlp_limits *limits, otlp_partial *partial,
                    bool json)
{
    *s = (otlp_sink){ .b = b, .partial = partial, .json = json };
    if (limits)
        s->limits = *limits;
    if (!s->limits.max_rows)
        s->limits.max_rows = ROWS_DEFAULT;
    if (!s->limits.max_attributes)
        s->limits.max_attributes = ATTRIBUTES_DEFAULT;
    if (!s->limits.max_depth)
        s->limits.max_depth = OTLP_DEPTH_DEFAULT;
    s->limits.max_depth = MIN(s->limits.max_depth, OTLP_DEPTH_MAX);
    *partial = (otlp_partial){ 0 };
}

/* ---- failures and their place ---- */

bool otlp_fail(otlp_sink *s, status code, const char *format, ...)
{
    if (s->code != STATUS_OK)
        return false;
    s->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(s->detail, sizeof(s->detail), format, args);
    va_end(args);
    return false;
}

bool otlp_no_memory(otlp_sink *s)
{
    if (s->b->arena.limit)
        return otlp_fail(s, STATUS_LIMIT, "the decoded request would exceed %zu bytes of memory",
                         s->b->arena.limit);
    return otlp_fail(s, STATUS_NO_MEMORY, "no memory for the decoded request");
}

bool otlp_within(otlp_sink *s, const otlp_field *field, uint32_t index)
{
    if (s->inner_count < ARRAY_LEN(s->inner))
        s->inner[s->inner_count++] = (otlp_frame){ field, index };
    return false;
}

static size_t put_frame(const otlp_sink *s, const otlp_frame *f, char *to, size_t size, size_t at)
{
    const char *name = s->json ? f->field->json : f->field->name;
    const char *dot = at ? "." : "";
    int n = f->index == UINT32_MAX ? snprintf(to + at, size - at, "%s%s", dot, name)
                                   : snprintf(to + at, size - at, "%s%s[%u]", dot, name, f->index);
    return MIN(at + (size_t)MAX(n, 0), size - 1);
}

/* resource_logs[0].scope_logs[1].log_records[7].attributes[3] */
static void put_path(const otlp_sink *s, char *to, size_t size)
{
    size_t at = 0;
    to[0] = 0;
    for (uint32_t i = 0; i < s->open_count; i++)
        at = put_frame(s, &s->open[i], to, size, at);
    for (uint32_t i = s->inner_count; i > 0; i--)
        at = put_frame(s, &s->inner[i - 1], to, size, at);
    if (at == 0)
        snprintf(to, size, "request");
}

status otlp_sink_status(const otlp_sink *s, error *err)
{
    if (s->code == STATUS_OK)
        return STATUS_OK;
    char path[256];
    put_path(s, path, sizeof(path));
    return fail(err, s->code, "%s: %s", path, s->detail);
}

static bool reject_row(otlp_sink *s, const char *problem)
{
    char path[160];
    put_path(s, path, sizeof(path));
    if (s->partial->rejected++ == 0)
        snprintf(s->partial->message, sizeof(s->partial->message), "%s: %s", path, problem);
    return true;
}

/* ---- memory ---- */

void *otlp_extend(arena *a, void *items, uint32_t count, uint32_t extra, size_t size)
{
    size_t more;
    if (mul_overflows(&more, extra, size) || extra > UINT32_MAX - count)
        return NULL;
    if (items && (char *)items + count * size == a->cursor &&
        more <= (size_t)(a->end - a->cursor)) {
        a->cursor += more;
        return items;
    }
    char *p = arena_alloc_aligned(a, count * size + more, sizeof(uint64_t));
    if (p && count)
        memcpy(p, items, count * size);
    return p;
}

void otlp_expect_rows(otlp_sink *s, const otlp_field *child, uint32_t rows)
{
    if (child->message->level != LEVEL_ROW)
        return;
    /* When this fails, adding the rows fails too, with a message. */
    bool reserved = batch_reserve(s->b, MIN(rows, s->limits.max_rows - s->rows));
    (void)reserved;
}

/* ---- opening ---- */

static bool open_table_row(otlp_sink *s, otlp_level level)
{
    uint32_t index = BATCH_FULL;
    if (level == LEVEL_RESOURCE) {
        index = s->resource = batch_add_resource(s->b);
    } else if (level == LEVEL_SCOPE) {
        index = s->scope = batch_add_scope(s->b, s->resource);
    } else {
        index = s->metric = batch_add_metric(s->b, s->scope);
        s->type = METRIC_NONE;
        s->data = (otlp_data){ 0 };
    }
    return index != BATCH_FULL || otlp_no_memory(s);
}

bool otlp_open(otlp_sink *s, const otlp_field *child, otlp_row *row)
{
    const otlp_message *m = child->message;
    uint32_t index = m->level == LEVEL_DATA ? UINT32_MAX : s->next[s->open_count]++;
    s->open[s->open_count++] = (otlp_frame){ child, index };
    s->next[s->open_count] = 0;
    memset(row, 0, m->size);
    switch (m->level) {
    case LEVEL_RESOURCE:
    case LEVEL_SCOPE:
    case LEVEL_METRIC:
        return open_table_row(s, m->level);
    case LEVEL_DATA:
        if (s->type != METRIC_NONE && s->type != (metric_type)m->type)
            return otlp_fail(s, STATUS_INVALID, "a metric must not have two kinds of data");
        s->type = (metric_type)m->type;
        row->data = s->data;
        return true;
    case LEVEL_ROW:
        s->row_problem = NULL;
        if (s->rows == s->limits.max_rows)
            return otlp_fail(s, STATUS_LIMIT, "the request has more rows than the limit of %u",
                             s->limits.max_rows);
        s->rows++;
        if (s->b->signal == SIGNAL_METRICS && (s->type == METRIC_GAUGE || s->type == METRIC_SUM))
            row->point.number.is_int = OTLP_NO_NUMBER;
        return true;
    case LEVEL_REQUEST:
    case LEVEL_PART:
        break;
    }
    return true;
}

/* ---- closing ---- */

static bool close_log(otlp_sink *s, const otlp_log *row)
{
    uint32_t i = batch_add_log(s->b, s->scope);
    if (i == BATCH_FULL)
        return otlp_no_memory(s);
    log_rows *to = &s->b->logs;
    to->time_ns[i] = row->time_ns;
    to->observed_ns[i] = row->observed_ns;
    to->severity[i] = row->severity;
    to->severity_text[i] = row->severity_text;
    to->body[i] = row->body;
    to->attributes[i] = row->attributes;
    to->trace[i] = row->trace;
    to->span[i] = row->span;
    to->flags[i] = row->flags;
    to->event_name[i] = row->event_name;
    return true;
}

static bool close_span(otlp_sink *s, const otlp_span *row)
{
    uint32_t i = batch_add_span(s->b, s->scope);
    if (i == BATCH_FULL)
        return otlp_no_memory(s);
    span_rows *to = &s->b->spans;
    to->trace[i] = row->trace;
    to->span[i] = row->span;
    to->parent[i] = row->parent;
    to->trace_state[i] = row->trace_state;
    to->flags[i] = row->flags;
    to->name[i] = row->name;
    to->kind[i] = row->kind;
    to->start_ns[i] = row->start_ns;
    to->end_ns[i] = row->end_ns;
    to->attributes[i] = row->attributes;
    to->events[i] = row->events;
    to->links[i] = row->links;
    to->status[i] = row->status.code;
    to->status_message[i] = row->status.message;
    return true;
}

static const char *histogram_problem(const histogram_value *h)
{
    if (h->bucket_count != h->bound_count + 1 && (h->bucket_count || h->bound_count))
        return "a histogram must have one bucket count more than it has bounds";
    for (uint32_t i = 0; i < h->bound_count; i++)
        if (isnan(h->bounds[i]) || (i > 0 && h->bounds[i] <= h->bounds[i - 1]))
            return "a histogram's bounds must rise";
    return NULL;
}

static const char *exp_problem(const exp_histogram_value *e)
{
    if (e->scale < SCALE_MIN || e->scale > SCALE_MAX)
        return "an exponential histogram's scale must be within -10 to 52";
    if ((int64_t)e->positive.offset + e->positive.count > INT32_MAX ||
        (int64_t)e->negative.offset + e->negative.count > INT32_MAX)
        return "an exponential histogram's bucket indexes must fit 32 bits";
    return NULL;
}

static const char *point_problem(const otlp_sink *s, const otlp_point *row)
{
    switch (s->type) {
    case METRIC_GAUGE:
    case METRIC_SUM:
        if (row->number.is_int == OTLP_NO_NUMBER && !(row->flags & POINT_FLAG_NO_RECORDED_VALUE))
            return "a number point must have as_double or as_int";
        return NULL;
    case METRIC_HISTOGRAM:
        return histogram_problem(&row->histogram);
    case METRIC_EXP_HISTOGRAM:
        return exp_problem(&row->exp);
    case METRIC_SUMMARY:
    case METRIC_NONE:
        break;
    }
    return NULL;
}

/* The value of a row; structures go into the arena. */
static bool point_value_of(otlp_sink *s, const otlp_point *row, point_value *ret)
{
    arena *a = &s->b->arena;
    *ret = (point_value){ 0 };
    if (s->type == METRIC_GAUGE || s->type == METRIC_SUM) {
        ret->is_int = row->number.is_int == 1;
        ret->i64 = row->number.i64;
        return true;
    }
    size_t size = s->type == METRIC_HISTOGRAM       ? sizeof(histogram_value)
                  : s->type == METRIC_EXP_HISTOGRAM ? sizeof(exp_histogram_value)
                                                    : sizeof(summary_value);
    void *p = arena_alloc_aligned(a, size, _Alignof(exp_histogram_value));
    if (!p)
        return otlp_no_memory(s);
    memcpy(p, &row->histogram, size);
    ret->histogram = p;
    return true;
}

static bool close_point(otlp_sink *s, const otlp_point *row)
{
    const char *problem = point_problem(s, row);
    if (problem)
        return reject_row(s, problem);
    point_value v;
    if (!point_value_of(s, row, &v))
        return false;
    uint32_t i = batch_add_point(s->b, s->metric);
    if (i == BATCH_FULL)
        return otlp_no_memory(s);
    point_rows *to = &s->b->points;
    to->start_ns[i] = row->start_ns;
    to->time_ns[i] = row->time_ns;
    to->flags[i] = row->flags;
    to->attributes[i] = row->attributes;
    to->value[i] = v;
    to->exemplars[i] = row->exemplars;
    return true;
}

static bool close_row(otlp_sink *s, const otlp_row *row)
{
    if (s->row_problem)
        return reject_row(s, s->row_problem);
    switch (s->b->signal) {
    case SIGNAL_LOGS:
        return close_log(s, &row->log);
    case SIGNAL_TRACES:
        return close_span(s, &row->span);
    case SIGNAL_METRICS:
        return close_point(s, &row->point);
    case SIGNAL_COUNT:
        break;
    }
    return true;
}

static void close_metric(otlp_sink *s, const batch_metric *row)
{
    batch_metric *to = &s->b->metrics[s->metric];
    to->name = row->name;
    to->description = row->description;
    to->unit = row->unit;
    to->type = s->type;
    to->temporality = (temporality)s->data.temporality;
    to->monotonic = s->data.monotonic;
}

bool otlp_close(otlp_sink *s, const otlp_field *child, const otlp_row *row)
{
    switch (child->message->level) {
    case LEVEL_RESOURCE:
        s->b->resources[s->resource] = row->resource;
        break;
    case LEVEL_SCOPE:
        s->b->scopes[s->scope] = row->scope;
        s->b->scopes[s->scope].resource = s->resource;
        break;
    case LEVEL_METRIC:
        close_metric(s, &row->metric);
        break;
    case LEVEL_DATA:
        s->data = row->data;
        break;
    case LEVEL_ROW:
        if (!close_row(s, row))
            return false;
        break;
    case LEVEL_REQUEST:
    case LEVEL_PART:
        break;
    }
    s->open_count--;
    return true;
}
