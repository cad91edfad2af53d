// SPDX-License-Identifier: Apache-2.0
/* Aggregations over windows with native histograms. */
#include "query/promql/histogram.h"

static bool total(const promql_window *w, bool mean, promql_cell *ret)
{
    histogram_total t;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < w->count; i++) {
        if (!w->histograms[i]) {
            promql_note_mixed(w);
            return false;
        }
    }
    histogram_total_init(&t, mean);
    for (uint32_t i = 0; st == STATUS_OK && i < w->count; i++)
        st = histogram_total_add(&t, w->histograms[i]);
    if (st == STATUS_OK && !(ret->histogram = histogram_total_result(&t, w->engine->arena, false)))
        st = STATUS_NO_MEMORY;
    if (st == STATUS_OK)
        promql_note_total(w->engine, w->call->call.args[0], &t);
    else if (st == STATUS_INVALID)
        promql_note_schemas(w);
    else
        promql_report_no_memory(w->engine);
    histogram_total_done(&t);
    return st == STATUS_OK;
}

bool promql_sum_over_time_native(const promql_window *w, promql_cell *ret)
{
    return total(w, false, ret);
}

bool promql_avg_over_time_native(const promql_window *w, promql_cell *ret)
{
    return total(w, true, ret);
}

static bool sample(const promql_window *w, uint32_t at, promql_cell *ret)
{
    ret->value = w->value[at];
    if (w->histograms[at] &&
        !(ret->histogram = promql_keep_histogram(w->engine, w->histograms[at])))
        return false;
    return true;
}

bool promql_last_over_time_native(const promql_window *w, promql_cell *ret)
{
    return sample(w, w->count - 1, ret);
}

bool promql_first_over_time_native(const promql_window *w, promql_cell *ret)
{
    return sample(w, 0, ret);
}

bool promql_any_native(const promql_window *w, promql_cell *ret)
{
    return w->call->call.function->range(w, &ret->value);
}
