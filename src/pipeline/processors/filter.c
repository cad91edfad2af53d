// SPDX-License-Identifier: Apache-2.0
/* The processor "filter": items for which a condition holds are left out; also the older include
 * and exclude sections. */
#include "pipeline/component.h"
#include "pipeline/ottl.h"
#include "pipeline/processors/match.h"

#include "codec/batch_rows.h"

#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_LIMIT MiB(16)

typedef struct {
    bool has_include, has_exclude;
    match_settings include, exclude;
} legacy_settings;

typedef struct {
    text_list span, spanevent;
} trace_conditions;

typedef struct {
    text_list metric, datapoint;
    legacy_settings legacy;
} metric_conditions;

typedef struct {
    text_list log_record;
    legacy_settings legacy;
} log_conditions;

typedef struct {
    int error_mode;
    trace_conditions traces;
    metric_conditions metrics;
    log_conditions logs;
    legacy_settings spans;
} filter_settings;

/* ---- options ---- */

#define TEXTS(type_, name_, help_) \
    { \
        .name = #name_, .type = OPTION_TEXTS, .offset = offsetof(type_, name_), .help = (help_) \
    }
#define LEGACY(at_, type_, options_, include_, exclude_) \
    { .name = "include", \
      .type = OPTION_SECTION, \
      .offset = offsetof(type_, at_ include), \
      .table = (options_), \
      .present = OPTION_PRESENT(type_, at_ has_include), \
      .help = (include_) }, \
    { \
        .name = "exclude", .type = OPTION_SECTION, .offset = offsetof(type_, at_ exclude), \
        .table = (options_), .present = OPTION_PRESENT(type_, at_ has_exclude), .help = (exclude_) \
    }

static const option trace_rows[] = {
    TEXTS(trace_conditions, span, "spans for which one holds are left out"),
    TEXTS(trace_conditions, spanevent, "events of spans for which one holds are left out"),
};
static const option_table trace_options = OPTION_TABLE(trace_rows, trace_conditions);

static const option metric_rows[] = {
    TEXTS(metric_conditions, metric, "metrics for which one holds are left out"),
    TEXTS(metric_conditions, datapoint, "data points for which one holds are left out"),
    LEGACY(legacy., metric_conditions, &match_metric_options, "only these are kept",
           "these are left out"),
};
static const option_table metric_options = OPTION_TABLE(metric_rows, metric_conditions);

static const option log_rows_[] = {
    TEXTS(log_conditions, log_record, "records for which one holds are left out"),
    LEGACY(legacy., log_conditions, &match_log_options, "only these are kept",
           "these are left out"),
};
static const option_table log_options = OPTION_TABLE(log_rows_, log_conditions);

static const option legacy_rows[] = {
    LEGACY(, legacy_settings, &match_options, "only these are kept", "these are left out"),
};
static const option_table legacy_options = OPTION_TABLE(legacy_rows, legacy_settings);

#define SECTION(name_, table_, help_) \
    { \
        .name = #name_, .type = OPTION_SECTION, .offset = offsetof(filter_settings, name_), \
        .table = (table_), .help = (help_) \
    }
static const option filter_rows[] = {
    { .name = "error_mode",
      .type = OPTION_CHOICE,
      .offset = offsetof(filter_settings, error_mode),
      .choices = ottl_error_modes,
      .fallback = "propagate",
      .help = "when a condition fails on an item: propagate drops the batch, ignore and silent "
              "keep the item, ignore says so in the log" },
    SECTION(traces, &trace_options, "conditions (OTTL) on spans and their events"),
    SECTION(metrics, &metric_options, "conditions (OTTL) on metrics and data points"),
    SECTION(logs, &log_options, "conditions (OTTL) on log records"),
    SECTION(spans, &legacy_options, "older form: properties of spans"),
};

static const struct {
    const char *name;
    ottl_context context;
    size_t offset; /* of a text_list */
} lists[] = {
    { "traces.span", OTTL_SPAN, offsetof(filter_settings, traces.span) },
    { "traces.spanevent", OTTL_SPANEVENT, offsetof(filter_settings, traces.spanevent) },
    { "metrics.metric", OTTL_METRIC, offsetof(filter_settings, metrics.metric) },
    { "metrics.datapoint", OTTL_DATAPOINT, offsetof(filter_settings, metrics.datapoint) },
    { "logs.log_record", OTTL_LOG, offsetof(filter_settings, logs.log_record) },
};
enum { SPAN, SPANEVENT, METRIC, DATAPOINT, LOG_RECORD, LISTS };

static const struct {
    const char *name;
    size_t offset; /* of a legacy_settings */
} legacies[SIGNAL_COUNT] = {
    [SIGNAL_TRACES] = { "spans", offsetof(filter_settings, spans) },
    [SIGNAL_METRICS] = { "metrics", offsetof(filter_settings, metrics.legacy) },
    [SIGNAL_LOGS] = { "logs", offsetof(filter_settings, logs.legacy) },
};

static const text_list *list_at(const void *settings, size_t i)
{
    return (const text_list *)((const char *)settings + lists[i].offset);
}

static const legacy_settings *legacy_at(const void *settings, size_t signal)
{
    return (const legacy_settings *)((const char *)settings + legacies[signal].offset);
}

static status filter_check(const void *settings, char *where, size_t where_size, error *err)
{
    char name[64];
    status st = STATUS_OK;
    for (size_t i = 0; i < LISTS && st == STATUS_OK; i++)
        st = ottl_list_check(lists[i].context, list_at(settings, i), lists[i].name, where,
                             where_size, err);
    for (size_t i = 0; i < SIGNAL_COUNT && st == STATUS_OK; i++) {
        const legacy_settings *l = legacy_at(settings, i);
        snprintf(name, sizeof(name), "%s.include", legacies[i].name);
        if (l->has_include)
            st = match_check(&l->include, name, where, where_size, err);
        snprintf(name, sizeof(name), "%s.exclude", legacies[i].name);
        if (st == STATUS_OK && l->has_exclude)
            st = match_check(&l->exclude, name, where, where_size, err);
    }
    return st;
}

/* ---- the component ---- */

typedef struct {
    component *component;
    ottl_error_mode mode;
    ottl_list conditions[LISTS];
    item_match *include[SIGNAL_COUNT], *exclude[SIGNAL_COUNT];
} filter;

static void filter_close(void *self)
{
    filter *f = self;
    for (size_t i = 0; i < LISTS; i++)
        ottl_list_free(&f->conditions[i]);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        match_free(f->include[i]);
        match_free(f->exclude[i]);
    }
    free(f);
}

static status filter_open(void **ret_self, component *c, error *err)
{
    uint32_t index;
    status st = STATUS_OK;
    filter *f = calloc(1, sizeof(*f));
    if (!f)
        return fail(err, STATUS_NO_MEMORY, "no memory for the processor %s", c->id);
    f->component = c;
    f->mode = (ottl_error_mode)((const filter_settings *)c->settings)->error_mode;
    for (size_t i = 0; i < LISTS && st == STATUS_OK; i++)
        st = ottl_list_parse(&f->conditions[i], lists[i].context, list_at(c->settings, i), &index,
                             err);
    for (size_t i = 0; i < SIGNAL_COUNT && st == STATUS_OK; i++) {
        const legacy_settings *l = legacy_at(c->settings, i);
        if (l->has_include)
            st = match_new(&f->include[i], &l->include, err);
        if (st == STATUS_OK && l->has_exclude)
            st = match_new(&f->exclude[i], &l->exclude, err);
    }
    if (st == STATUS_OK)
        *ret_self = f;
    else
        filter_close(f);
    return st;
}

/* ---- rows ---- */

typedef struct {
    const filter *f;
    batch *b;
    arena scratch;
    uint64_t errors;
    error *err;
} run;

static status any(run *r, size_t list, const ottl_row *row, bool *ret)
{
    status st =
        ottl_any(&r->f->conditions[list], row, r->f->mode, &r->scratch, ret, &r->errors, r->err);
    arena_clear(&r->scratch);
    return st;
}

/* The list is replaced, because it may be shared. */
static status filter_events(run *r, uint32_t row)
{
    span_events *events = &r->b->spans.events[row];
    span_event *kept = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < events->count; i++) {
        bool out = false;
        ottl_row at = { .b = r->b, .row = row, .event = &events->items[i], .event_index = i };
        status st = any(r, SPANEVENT, &at, &out);
        if (st != STATUS_OK)
            return st;
        if (out && !kept) {
            kept = ARENA_ARRAY(&r->b->arena, span_event, events->count);
            if (!kept)
                return fail(r->err, STATUS_NO_MEMORY, "no memory for events of spans");
            memcpy(kept, events->items, i * sizeof(*kept));
            count = i;
        }
        if (kept && !out)
            kept[count++] = events->items[i];
    }
    if (kept)
        *events = (span_events){ kept, count, events->dropped };
    return STATUS_OK;
}

/* Marks the points of metrics for which a condition holds. */
static status filter_metrics(run *r, uint8_t *skip)
{
    const batch *b = r->b;
    uint32_t count = b->metric_count;
    struct span_of_rows {
        uint32_t from, to;
    } *rows = ARENA_ARRAY(&r->b->arena, struct span_of_rows, MAX(count, 1u));
    uint8_t *out = ARENA_ARRAY(&r->b->arena, uint8_t, MAX(count, 1u));
    if (!rows || !out)
        return fail(r->err, STATUS_NO_MEMORY, "no memory for %u metrics", count);
    for (uint32_t i = b->points.count; i-- > 0;) {
        struct span_of_rows *of = &rows[b->points.metric[i]];
        of->from = i;
        of->to = MAX(of->to, i + 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        bool hit = false;
        ottl_row at = { .b = b,
                        .row = rows[i].from,
                        .metric = i,
                        .point_from = rows[i].from,
                        .point_to = rows[i].to };
        status st = rows[i].to ? any(r, METRIC, &at, &hit) : STATUS_OK;
        if (st != STATUS_OK)
            return st;
        out[i] = hit;
    }
    for (uint32_t i = 0; i < b->points.count; i++)
        skip[i] |= out[b->points.metric[i]];
    return STATUS_OK;
}

static status filter_row(run *r, size_t list, uint32_t row, uint8_t *skip)
{
    batch *b = r->b;
    const item_match *include = r->f->include[b->signal], *exclude = r->f->exclude[b->signal];
    bool out = (include && !match_row(include, b, row)) || (exclude && match_row(exclude, b, row));
    ottl_row at = { .b = b,
                    .row = row,
                    .metric = b->signal == SIGNAL_METRICS ? b->points.metric[row] : 0 };
    status st = STATUS_OK;
    if (!out && r->f->conditions[list].count)
        st = any(r, list, &at, &out);
    if (st == STATUS_OK && !out && b->signal == SIGNAL_TRACES && r->f->conditions[SPANEVENT].count)
        st = filter_events(r, row);
    *skip |= out;
    return st;
}

static status filter_process(void *self, batch *b, error *err)
{
    static const size_t list_of[SIGNAL_COUNT] = {
        [SIGNAL_TRACES] = SPAN, [SIGNAL_METRICS] = DATAPOINT, [SIGNAL_LOGS] = LOG_RECORD
    };
    const filter *f = self;
    uint32_t count = batch_row_count(b);
    uint8_t *skip = ARENA_ARRAY(&b->arena, uint8_t, MAX(count, 1u));
    run r = { .f = f, .b = b, .err = err };
    if (!skip)
        return fail(err, STATUS_NO_MEMORY, "no memory for %u items", count);
    arena_init(&r.scratch, SCRATCH_LIMIT);
    status st = STATUS_OK;
    if (b->signal == SIGNAL_METRICS && f->conditions[METRIC].count)
        st = filter_metrics(&r, skip);
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++)
        if (!skip[i])
            st = filter_row(&r, list_of[b->signal], i, &skip[i]);
    arena_done(&r.scratch);
    if (r.errors && f->mode == OTTL_IGNORE)
        component_warn(f->component, "condition_failed",
                       "a condition failed on %llu items, which were kept",
                       (unsigned long long)r.errors);
    if (st != STATUS_OK)
        return st;
    uint32_t removed = batch_remove_rows(b, skip);
    if (removed)
        component_drop(f->component, b->signal, "filtered", removed);
    return STATUS_OK;
}

const component_type filter_processor = {
    .type = "filter",
    .kind = COMPONENT_PROCESSOR,
    .signals = SIGNALS_ALL,
    .help = "Leaves out items for which a condition holds.",
    .options = OPTION_TABLE(filter_rows, filter_settings),
    .check = filter_check,
    .open = filter_open,
    .close = filter_close,
    .process = filter_process,
};
