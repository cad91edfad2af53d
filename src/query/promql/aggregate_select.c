// SPDX-License-Identifier: Apache-2.0
/* Aggregations that keep some of the rows of each group: topk, bottomk, limitk, limit_ratio. The k
 * largest are kept in a heap as Go's container/heap orders it, so that of equal values the same
 * ones stay as in Prometheus. */
#include "query/promql/aggregate.h"

#include "query/promql/histogram.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

#define SMALL_SORT 12 /* so many are sorted by insertion */

typedef struct {
    double value;
    uint32_t row;
} candidate;

typedef struct {
    promql_engine *e;
    const promql_grid *g;
    const promql_node *n;
    const promql_value *v;
    const grouping *by;
    uint8_t kind;
    candidate *heap; /* of one group and step */
    uint32_t count;
    const double *offsets; /* limit_ratio: where a row stands between 0 and 1 */
    promql_value *ret;
    promql_row **taken; /* the row of the result for a row of the input, or NULL */
} selection;

/* ---- the heap: its first element is the next to go ---- */

static bool before(const selection *s, uint32_t i, uint32_t j)
{
    double a = s->heap[i].value, b = s->heap[j].value;
    if (isnan(a))
        return true;
    return s->kind == AGG_BOTTOMK ? a > b : a < b;
}

static void swap(selection *s, uint32_t i, uint32_t j)
{
    candidate moved = s->heap[i];
    s->heap[i] = s->heap[j];
    s->heap[j] = moved;
}

static void push(selection *s, candidate c)
{
    uint32_t j = s->count++;
    s->heap[j] = c;
    while (j > 0) {
        uint32_t parent = (j - 1) / 2;
        if (!before(s, j, parent))
            return;
        swap(s, parent, j);
        j = parent;
    }
}

static void replace_first(selection *s, candidate c)
{
    uint32_t i = 0;
    s->heap[0] = c;
    while (2 * i + 1 < s->count) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < s->count && before(s, child + 1, child))
            child++;
        if (!before(s, child, i))
            return;
        swap(s, i, child);
        i = child;
    }
}

static int compare(const void *left, const void *right, double sign)
{
    double a = ((const candidate *)left)->value, b = ((const candidate *)right)->value;
    if (isnan(a) || isnan(b))
        return (int)isnan(a) - (int)isnan(b); /* NaN last */
    return a == b ? 0 : (a < b) == (sign > 0) ? -1 : 1;
}

static int rising(const void *a, const void *b)
{
    return compare(a, b, 1);
}

static int falling(const void *a, const void *b)
{
    return compare(a, b, -1);
}

static void sort_heap(selection *s)
{
    if (s->count > SMALL_SORT) {
        qsort(s->heap, s->count, sizeof(candidate), s->kind == AGG_BOTTOMK ? rising : falling);
        return;
    }
    for (uint32_t i = 1; i < s->count; i++)
        for (uint32_t j = i; j > 0 && before(s, j - 1, j); j--)
            swap(s, j, j - 1);
}

/* ---- choosing ---- */

static void offer(selection *s, uint32_t k, candidate c)
{
    if (s->count < k) {
        push(s, c);
        return;
    }
    double first = s->heap[0].value;
    bool better = s->kind == AGG_BOTTOMK ? first > c.value : first < c.value;
    if (better || (isnan(first) && !isnan(c.value)))
        replace_first(s, c);
}

static bool ratio_takes(double ratio, double offset)
{
    ratio = fmax(-1, fmin(1, ratio));
    return ratio >= 0 ? offset < ratio : offset >= 1 + ratio;
}

/* A number of 0 to 1 that depends on the labels alone: Prometheus's hash of them, so that the same
 * series are taken. */
static status hash_rows(selection *s)
{
    double *offsets = promql_alloc(s->e, s->v->row_count, sizeof(double));
    buf text;
    if (!offsets)
        return STATUS_LIMIT;
    buf_init(&text, MiB(1));
    for (uint32_t r = 0; r < s->v->row_count; r++) {
        labels l = s->v->rows[r].labels;
        buf_clear(&text);
        for (uint32_t i = 0; i < 2 * l.count; i++) {
            str part = i % 2 ? l.items[i / 2].value : l.items[i / 2].name;
            if (part.len < 255) {
                buf_char(&text, (char)part.len);
            } else {
                buf_char(&text, (char)0xff);
                for (int shift = 0; shift < 24; shift += 8)
                    buf_char(&text, (char)(part.len >> shift));
            }
            buf_str(&text, part);
        }
        offsets[r] = (double)XXH64(text.ptr, text.len, 0) / 18446744073709551615.0;
    }
    bool failed = text.failed;
    buf_done(&text);
    s->offsets = offsets;
    return failed ? promql_no_memory(s->e) : STATUS_OK;
}

static bool is_histogram(const selection *s, uint32_t row, uint32_t step)
{
    return row_histogram(&s->v->rows[row], step) != NULL;
}

static void choose_step(selection *s, uint32_t group, uint32_t step, double param)
{
    uint32_t k = param >= s->v->row_count ? s->v->row_count : (uint32_t)MAX(param, 0);
    bool top = s->kind == AGG_TOPK || s->kind == AGG_BOTTOMK;
    s->count = 0;
    for (uint32_t m = s->by->first[group]; m < s->by->first[group + 1]; m++) {
        uint32_t row = s->by->members[m];
        candidate c = { s->v->rows[row].cells[step], row };
        if (!row_has(&s->v->rows[row], step))
            continue;
        if (s->kind == AGG_LIMIT_RATIO) {
            if (ratio_takes(param, s->offsets[row]))
                s->heap[s->count++] = c;
        } else if (top && is_histogram(s, row, step)) {
            if (k > 0)
                promql_note(s->e, false, s->n, "ignored histogram in %s aggregation",
                            s->n->aggregate.aggregation->name);
        } else if (top && k > 0) {
            offer(s, k, c);
        } else if (s->count < k) {
            s->heap[s->count++] = c;
        }
    }
    if (top)
        sort_heap(s);
}

static status take(selection *s, const candidate *c, uint32_t step)
{
    const promql_row *from = &s->v->rows[c->row];
    promql_row *row = s->taken[c->row];
    if (!row) {
        row = s->taken[c->row] = &s->ret->rows[s->ret->row_count++];
        *row = (promql_row){ .labels = from->labels, .drop_name = from->drop_name };
        if (!(row->cells = promql_values(s->e, s->g)))
            return STATUS_LIMIT;
    }
    return row_set(s->e, s->g, row, step, row_cell(from, step));
}

/* ---- the parameter ---- */

typedef struct {
    double least, most;
    bool nan;
} bounds;

static bounds bounds_of(const double *param, uint32_t steps)
{
    bounds b = { INFINITY, -INFINITY, false };
    for (uint32_t i = 0; i < steps; i++) {
        b.nan = b.nan || isnan(param[i]);
        b.least = fmin(b.least, param[i]);
        b.most = fmax(b.most, param[i]);
    }
    return b;
}

static const char *number(char memory[40], double v)
{
    buf text = { .ptr = memory, .cap = 39, .limit = 39 };
    histogram_print_number(&text, v);
    memory[text.len] = 0;
    return memory;
}

/* STATUS_NOT_FOUND: nothing is wanted. */
static status check_count(promql_engine *e, bounds b)
{
    char text[40];
    if (b.nan)
        return PROMQL_FAIL(e, "Parameter value is NaN");
    if (b.most < 1)
        return STATUS_NOT_FOUND;
    if (b.least <= -9223372036854775808.0)
        return PROMQL_FAIL(e, "Scalar value %s underflows int64", number(text, b.least));
    if (b.most >= 9223372036854774784.0)
        return PROMQL_FAIL(e, "Scalar value %s overflows int64", number(text, b.most));
    return STATUS_OK;
}

static status check_ratio(promql_engine *e, const promql_node *n, bounds b)
{
    char text[40];
    if (b.nan)
        return PROMQL_FAIL(e, "Ratio value is NaN");
    if (b.least == 0 && b.most == 0)
        return STATUS_NOT_FOUND;
    if (b.most > 1)
        promql_note(e, true, n->aggregate.param,
                    "ratio value should be between -1 and 1, got %s, capping to 1",
                    number(text, b.most));
    if (b.least < -1)
        promql_note(e, true, n->aggregate.param,
                    "ratio value should be between -1 and 1, got %s, capping to -1",
                    number(text, b.least));
    return STATUS_OK;
}

/* ---- all steps ---- */

static status select_all(selection *s, const double *param)
{
    for (uint32_t i = 0; i < s->g->steps; i++) {
        for (uint32_t group = 0; group < s->by->groups.count; group++) {
            TRY(promql_check_time(s->e));
            choose_step(s, group, i, param[i]);
            for (uint32_t c = 0; c < s->count; c++)
                TRY(take(s, &s->heap[c], i));
        }
    }
    return STATUS_OK;
}

status aggregate_select(promql_engine *e, const promql_grid *g, const promql_node *n,
                        const promql_value *v, const grouping *by, const double *param,
                        promql_value *ret)
{
    selection s = { .e = e, .g = g, .n = n, .v = v, .by = by, .ret = ret };
    s.kind = n->aggregate.aggregation->kind;
    bounds b = bounds_of(param, g->steps);
    status st = s.kind == AGG_LIMIT_RATIO ? check_ratio(e, n, b) : check_count(e, b);
    if (st == STATUS_NOT_FOUND || !v->row_count)
        return st == STATUS_NOT_FOUND ? STATUS_OK : st;
    TRY(st);
    s.heap = promql_alloc(e, v->row_count, sizeof(candidate));
    s.taken = promql_alloc(e, v->row_count, sizeof(promql_row *));
    ret->rows = promql_alloc(e, v->row_count, sizeof(promql_row));
    if (!s.heap || !s.taken || !ret->rows)
        return STATUS_LIMIT;
    if (s.kind == AGG_LIMIT_RATIO)
        TRY(hash_rows(&s));
    TRY(select_all(&s, param));
    /* Rows are made in the order in which they are first taken: with one step, that of the answer.
     */
    ret->ordered = g->steps == 1 && (s.kind == AGG_TOPK || s.kind == AGG_BOTTOMK);
    return STATUS_OK;
}
