// SPDX-License-Identifier: Apache-2.0
/* Lists of alerts and samples of rule tests: in order, compared, and written as promtool does. */
#include "rules/testing/compare.h"

#include "rules/template_internal.h"

#include <math.h>
#include <stdlib.h>

static bool room(arena *a, void **items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    uint32_t more = *capacity ? *capacity * 2 : 8;
    void *grown = arena_grow(a, *items, count * size, more * size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = more;
    return true;
}

/* ---- alerts ---- */

bool alert_list_add(arena *a, alert_list *list, labels l, labels annotations)
{
    void *items = list->items;
    if (!room(a, &items, list->count, &list->capacity, sizeof(test_alert)))
        return false;
    list->items = items;
    list->items[list->count++] = (test_alert){ l, annotations };
    return true;
}

static int compare_alerts(const void *a, const void *b)
{
    const test_alert *x = a, *y = b;
    int order = labels_cmp(x->labels, y->labels);
    return order ? order : labels_cmp(x->annotations, y->annotations);
}

bool alert_lists_equal(alert_list *wanted, alert_list *got)
{
    if (wanted->count)
        qsort(wanted->items, wanted->count, sizeof(test_alert), compare_alerts);
    if (got->count)
        qsort(got->items, got->count, sizeof(test_alert), compare_alerts);
    if (wanted->count != got->count)
        return false;
    for (uint32_t i = 0; i < got->count; i++)
        if (compare_alerts(&wanted->items[i], &got->items[i]) != 0)
            return false;
    return true;
}

void alert_list_print(buf *out, const alert_list *list)
{
    if (!list->count) {
        buf_lit(out, "[]");
        return;
    }
    buf_char(out, '[');
    for (uint32_t i = 0; i < list->count; i++) {
        buf_fmt(out, "%s\n            %u:\n              Labels:", i ? "," : "", i);
        series_text_print_labels(out, list->items[i].labels);
        buf_lit(out, "\n              Annotations:");
        series_text_print_labels(out, list->items[i].annotations);
    }
    buf_lit(out, "\n            ]");
}

/* ---- samples ---- */

bool wanted_samples_add(arena *a, wanted_samples *list, const test_sample *s)
{
    void *items = list->items;
    if (!room(a, &items, list->count, &list->capacity, sizeof(test_sample)))
        return false;
    list->items = items;
    list->items[list->count++] = *s;
    return true;
}

static int compare_samples(const void *a, const void *b)
{
    return labels_cmp(((const test_sample *)a)->labels, ((const test_sample *)b)->labels);
}

static bool values_equal(double x, double y, bool fuzzy)
{
    return x == y || (fuzzy && (nextafter(x, -INFINITY) == y || nextafter(x, INFINITY) == y));
}

bool wanted_samples_equal(wanted_samples *wanted, wanted_samples *got, bool fuzzy)
{
    if (wanted->count)
        qsort(wanted->items, wanted->count, sizeof(test_sample), compare_samples);
    if (got->count)
        qsort(got->items, got->count, sizeof(test_sample), compare_samples);
    if (wanted->count != got->count)
        return false;
    for (uint32_t i = 0; i < got->count; i++) {
        const test_sample *w = &wanted->items[i], *g = &got->items[i];
        if (!labels_eq(w->labels, g->labels) || !str_eq(w->histogram, g->histogram) ||
            !values_equal(w->value, g->value, fuzzy))
            return false;
    }
    return true;
}

void wanted_samples_print(buf *out, const wanted_samples *list)
{
    if (!list->count)
        buf_lit(out, "nil");
    for (uint32_t i = 0; i < list->count; i++) {
        const test_sample *s = &list->items[i];
        if (i)
            buf_lit(out, ", ");
        series_text_print_labels(out, s->labels);
        buf_char(out, ' ');
        if (s->histogram.len)
            buf_str(out, s->histogram);
        else
            template_format_float(out, s->value, 'E', -1);
    }
}

/* ---- durations ---- */

void print_prometheus_duration(buf *out, int64_t ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
        bool exact; /* only when nothing is left over */
    } units[] = { { "y", 31536000000, true }, { "w", 604800000, true }, { "d", 86400000, false },
                  { "h", 3600000, false },    { "m", 60000, false },    { "s", 1000, false },
                  { "ms", 1, false } };
    if (!ms)
        buf_lit(out, "0s");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (units[i].exact && ms % units[i].ms)
            continue;
        int64_t n = ms / units[i].ms;
        if (n)
            buf_fmt(out, "%lld%s", (long long)n, units[i].unit);
        ms -= n * units[i].ms;
    }
}

void print_go_duration(buf *out, int64_t ms)
{
    template_print_duration(out, ms * NS_PER_MS);
}
