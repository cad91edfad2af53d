// SPDX-License-Identifier: Apache-2.0
/* The end of a query with promql-delayed-name-removal: names that were marked go, and what has the
 * same labels then becomes one. */
#include "query/promql/rows.h"

/* Both sorted by time; a time in both is an error. */
static status merge_samples(promql_engine *e, promql_samples *into, const promql_samples *from)
{
    uint32_t count = into->count + from->count, i = 0, j = 0;
    int64_t *times = promql_alloc(e, count, sizeof(int64_t));
    double *values = promql_alloc(e, count, sizeof(double));
    const histogram **histograms = promql_alloc(e, count, sizeof(histogram *));
    if (!times || !values || !histograms)
        return STATUS_LIMIT;
    for (uint32_t n = 0; n < count; n++) {
        bool first = j == from->count || (i < into->count && into->time_ms[i] < from->time_ms[j]);
        const promql_samples *s = first ? into : from;
        uint32_t at = first ? i++ : j++;
        times[n] = s->time_ms[at];
        values[n] = s->value[at];
        histograms[n] = s->histograms ? s->histograms[at] : NULL;
        if (n > 0 && times[n] == times[n - 1])
            return PROMQL_FAIL(e, SAME_LABELSET);
    }
    into->time_ms = times;
    into->value = values;
    into->histograms = into->histograms || from->histograms ? histograms : NULL;
    into->count = count;
    return STATUS_OK;
}

static status finish_series(promql_engine *e, promql_value *v)
{
    label_groups groups;
    uint32_t n = 0;
    groups_init(&groups, e->arena);
    for (uint32_t i = 0; i < v->series_count; i++) {
        promql_samples *s = &v->series[i];
        bool is_new;
        if (s->drop_name && !labels_drop_metric(e->arena, s->labels, &s->labels))
            return promql_no_memory(e);
        uint32_t group = groups_put(&groups, s->labels, &is_new);
        if (group == UINT32_MAX)
            return promql_no_memory(e);
        if (is_new)
            v->series[n++] = *s;
        else
            TRY(merge_samples(e, &v->series[group], s));
    }
    v->series_count = n;
    return STATUS_OK;
}

status promql_finish_names(promql_engine *e, const promql_grid *g, promql_value *v)
{
    if (!delays_names(e))
        return STATUS_OK;
    if (v->type == PROMQL_MATRIX)
        return finish_series(e, v);
    if (v->type != PROMQL_VECTOR)
        return STATUS_OK;
    for (uint32_t r = 0; r < v->row_count; r++)
        if (v->rows[r].drop_name &&
            !labels_drop_metric(e->arena, v->rows[r].labels, &v->rows[r].labels))
            return promql_no_memory(e);
    return promql_merge_rows(e, g, v, SAME_LABELSET);
}
