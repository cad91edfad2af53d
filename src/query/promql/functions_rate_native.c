// SPDX-License-Identifier: Apache-2.0
/* rate and its siblings over windows with native histograms. A rate of counters is a gauge, whose
 * buckets each went the way a float does: differences, restarts put back, extrapolation by the
 * histogram's count. What lies between goes into an arena of its own. */
#include "query/promql/histogram.h"

#include <math.h>

static const promql_node *position(const promql_window *w)
{
    return w->call->call.args[0];
}

static str metric_name(const promql_window *w)
{
    return str_slice(labels_get(w->labels, LABEL_NAME), 0, NOTE_NAME_MAX);
}

void promql_note_mixed(const promql_window *w)
{
    promql_note(w->engine, true, position(w), NOTE_MIXED_FLOATS_HISTOGRAMS "\"%.*s\"",
                STR_ARG(metric_name(w)));
}

void promql_note_schemas(const promql_window *w)
{
    promql_note(w->engine, true, position(w), NOTE_MIXED_SCHEMAS "\"%.*s\"",
                STR_ARG(metric_name(w)));
}

static void note_not(const promql_window *w, const char *kind)
{
    promql_note(w->engine, true, position(w), "this native histogram metric is not a %s: \"%.*s\"",
                kind, STR_ARG(metric_name(w)));
}

static bool all_histograms(const promql_window *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (!w->histograms[i])
            return false;
    return true;
}

/* What two histograms combined say; true when there is a result. */
static bool settle(const promql_window *w, status st, const histogram_findings *found,
                   const char *operation)
{
    if (st == STATUS_INVALID)
        promql_note_schemas(w);
    else if (st != STATUS_OK)
        promql_report_no_memory(w->engine);
    else if (found->reconciled)
        promql_note(w->engine, false, position(w), NOTE_RECONCILED "%s", operation);
    return st == STATUS_OK;
}

/* The lowest resolution in the window; false when exponential and custom buckets are mixed, which
 * matters only between the samples that count. */
static bool lowest_schema(const promql_window *w, const histogram *first, bool counter,
                          int32_t *ret_schema)
{
    const histogram *last = w->histograms[w->count - 1];
    bool custom = histogram_is_custom(first), gauge = false, same = true;
    *ret_schema = MIN(first->schema, last->schema);
    if (histogram_is_custom(last) != custom)
        return false;
    for (uint32_t i = 1; counter && same && i + 1 < w->count; i++) {
        const histogram *h = w->histograms[i];
        gauge = gauge || h->hint == HISTOGRAM_GAUGE;
        *ret_schema = MIN(*ret_schema, h->schema);
        same = histogram_is_custom(h) == custom;
    }
    if (same && gauge)
        note_not(w, "counter");
    return same;
}

/* Puts back what the counter had before each restart; NULL without a result. */
static const histogram *put_back(const promql_window *w, arena *a, const histogram *first,
                                 const histogram *h)
{
    const histogram *before = first;
    histogram_findings found = { 0 };
    for (uint32_t i = 1; i < w->count; before = w->histograms[i++])
        if (histogram_detect_reset(w->histograms[i], before) &&
            !settle(w, histogram_add(a, h, before, &found, &h), &found, "addition"))
            return NULL;
    return h;
}

/* last - first, with the counter's restarts. NULL without a result. */
static const histogram *difference(const promql_window *w, arena *a, bool counter)
{
    const histogram *first = w->histograms[0], *last = w->histograms[w->count - 1], *h;
    bool gauges = first->hint == HISTOGRAM_GAUGE && last->hint == HISTOGRAM_GAUGE,
         any_gauge = first->hint == HISTOGRAM_GAUGE || last->hint == HISTOGRAM_GAUGE;
    histogram_findings found = { 0 };
    histogram nothing;
    int32_t schema;
    if (counter && histogram_detect_reset(w->histograms[1], first)) {
        /* What the first one was like does not matter then. */
        nothing = (histogram){ .schema = w->histograms[1]->schema,
                               .custom = w->histograms[1]->custom,
                               .custom_count = w->histograms[1]->custom_count };
        first = &nothing;
    }
    if (!lowest_schema(w, first, counter, &schema)) {
        promql_note_schemas(w);
        return NULL;
    }
    if (counter && any_gauge)
        note_not(w, "counter");
    if (!(h = histogram_reduce(a, last, schema))) {
        promql_report_no_memory(w->engine);
        return NULL;
    }
    if (!settle(w, histogram_subtract(a, h, first, &found, &h), &found, "subtraction"))
        return NULL;
    if (counter)
        return put_back(w, a, first, h);
    if (!gauges)
        note_not(w, "gauge");
    return h;
}

/* In the engine's arena, with nothing of the window's; false without memory. */
static bool keep(const promql_window *w, const histogram *h, double factor, promql_cell *ret)
{
    histogram scaled = *h;
    scaled.hint = HISTOGRAM_GAUGE;
    histogram *kept = histogram_copy(w->engine->arena, &scaled);
    if (!kept) {
        promql_report_no_memory(w->engine);
        return false;
    }
    histogram_scale_own(kept, factor);
    ret->histogram = kept;
    return true;
}

static bool extrapolate(const promql_window *w, bool counter, bool per_second, promql_cell *ret)
{
    arena scratch;
    bool done = false;
    if (!all_histograms(w)) {
        promql_note_mixed(w);
        return false;
    }
    if (w->count < 2)
        return false;
    arena_init(&scratch, w->engine->arena->limit);
    const histogram *h = difference(w, &scratch, counter);
    if (h)
        done = keep(w, h,
                    promql_extrapolation(w, counter, per_second, w->histograms[0]->count, h->count),
                    ret);
    arena_done(&scratch);
    return done;
}

bool promql_rate_native(const promql_window *w, promql_cell *ret)
{
    return extrapolate(w, true, true, ret);
}

bool promql_increase_native(const promql_window *w, promql_cell *ret)
{
    return extrapolate(w, true, false, ret);
}

bool promql_delta_native(const promql_window *w, promql_cell *ret)
{
    return extrapolate(w, false, false, ret);
}

/* The last two samples, of which one at least is a histogram. */
static bool last_two(const promql_window *w, bool rate, promql_cell *ret)
{
    const histogram *const *two = w->histograms + w->count - 2, *h = two[1];
    int64_t span_ms = w->time_ms[w->count - 1] - w->time_ms[w->count - 2];
    histogram_findings found = { 0 };
    arena scratch;
    bool done = true;
    if (span_ms == 0)
        return false;
    if (!two[0] || !two[1]) {
        promql_note_mixed(w);
        return false;
    }
    int gauges = (two[0]->hint == HISTOGRAM_GAUGE) + (two[1]->hint == HISTOGRAM_GAUGE);
    if (rate ? gauges > 0 : gauges < 2)
        note_not(w, rate ? "counter" : "gauge");
    arena_init(&scratch, w->engine->arena->limit);
    if (!rate || !histogram_detect_reset(two[1], two[0]))
        done = settle(w, histogram_subtract(&scratch, two[1], two[0], &found, &h), &found,
                      "subtraction");
    else if (!(h = histogram_compact(&scratch, h)))
        done = settle(w, STATUS_LIMIT, &found, "");
    if (done && rate && !(h = histogram_divide(&scratch, h, (double)span_ms / 1000)))
        done = settle(w, STATUS_LIMIT, &found, "");
    done = done && keep(w, h, 1, ret);
    arena_done(&scratch);
    return done;
}

bool promql_irate_native(const promql_window *w, promql_cell *ret)
{
    if (w->count < 2)
        return false;
    if (!w->histograms[w->count - 1] && !w->histograms[w->count - 2])
        return promql_irate(w, &ret->value);
    return last_two(w, true, ret);
}

bool promql_idelta_native(const promql_window *w, promql_cell *ret)
{
    if (w->count < 2)
        return false;
    if (!w->histograms[w->count - 1] && !w->histograms[w->count - 2])
        return promql_idelta(w, &ret->value);
    return last_two(w, false, ret);
}

/* ---- how often something happened ---- */

/* A change between a float and a histogram counts in any case. */
static double count_pairs(const promql_window *w,
                          bool (*histograms)(const histogram *now, const histogram *before),
                          bool (*floats)(double now, double before))
{
    double n = 0;
    for (uint32_t i = 1; i < w->count; i++) {
        const histogram *now = w->histograms[i], *before = w->histograms[i - 1];
        if (now && before)
            n += histograms(now, before);
        else
            n += now || before || floats(w->value[i], w->value[i - 1]);
    }
    return n;
}

static bool histograms_differ(const histogram *now, const histogram *before)
{
    return !histogram_equal(now, before);
}

static bool floats_differ(double now, double before)
{
    return now != before && !(isnan(now) && isnan(before));
}

static bool float_fell(double now, double before)
{
    return now < before;
}

bool promql_changes_native(const promql_window *w, promql_cell *ret)
{
    ret->value = count_pairs(w, histograms_differ, floats_differ);
    return true;
}

bool promql_resets_native(const promql_window *w, promql_cell *ret)
{
    ret->value = count_pairs(w, histogram_detect_reset, float_fell);
    return true;
}
