// SPDX-License-Identifier: Apache-2.0
/* sort, sort_desc, sort_by_label, sort_by_label_desc. Only an instant query has an order: a range
 * query's series are sorted by their labels, and the answer says so, unless the argument is the
 * same at all steps: such a call is evaluated as an instant query. */
#include "query/promql/rows.h"

#include <ctype.h>
#include <math.h>

typedef struct {
    const promql_node *call;
    bool descending;
} sorting;

typedef int order_rows(const sorting *s, const promql_row *a, const promql_row *b);

static int by_value(const sorting *s, const promql_row *left, const promql_row *right)
{
    double a = left->cells[0], b = right->cells[0];
    if (isnan(a) || isnan(b))
        return (int)isnan(a) - (int)isnan(b); /* NaN last in both directions */
    int order = a < b ? -1 : a > b;
    return s->descending ? -order : order;
}

/* The length of the leading run of digits, or of what is none; *ret_number: it is a number that an
 * int64 holds. */
static size_t chunk(str s, int64_t *number, bool *ret_number)
{
    size_t n = 0;
    uint64_t value = 0;
    bool digits = s.len && isdigit((unsigned char)s.ptr[0]), fits = digits;
    while (n < s.len && (isdigit((unsigned char)s.ptr[n]) != 0) == digits) {
        uint64_t digit = (uint64_t)(s.ptr[n++] - '0');
        if (!fits)
            continue;
        fits = value <= ((uint64_t)INT64_MAX - digit) / 10;
        if (fits)
            value = value * 10 + digit;
    }
    *number = (int64_t)value;
    *ret_number = fits;
    return n;
}

/* Numbers inside compare as numbers: node2 stands before node10. */
static bool natural_before(str a, str b)
{
    while (a.len && b.len) {
        int64_t x, y;
        bool x_is_number, y_is_number;
        size_t n = chunk(a, &x, &x_is_number), m = chunk(b, &y, &y_is_number);
        str left = str_slice(a, 0, n), right = str_slice(b, 0, m);
        bool numbers = x_is_number && y_is_number;
        if (numbers ? x != y : !str_eq(left, right))
            return numbers ? x < y : str_cmp(left, right) < 0;
        if (n == a.len)
            return true;
        a = str_slice(a, n, a.len);
        b = str_slice(b, m, b.len);
    }
    return false;
}

static str string_arg(const promql_node *n)
{
    return promql_bare(n)->string;
}

static int by_label(const sorting *s, const promql_row *a, const promql_row *b)
{
    for (uint32_t i = 1; i < s->call->call.arg_count; i++) {
        str name = string_arg(s->call->call.args[i]);
        str x = labels_get(a->labels, name), y = labels_get(b->labels, name);
        if (!str_eq(x, y))
            return natural_before(x, y) != s->descending ? -1 : 1;
    }
    int order = labels_cmp(a->labels, b->labels);
    return s->descending ? -order : order;
}

/* Stable, and safe with orders that contradict themselves ("01" and "1" stand before each other).
 */
static void merge_sort(const sorting *s, order_rows *order, promql_row *rows, promql_row *scratch,
                       uint32_t count)
{
    uint32_t half = count / 2, i = 0, j = half, n = 0;
    if (count <= 12) {
        for (i = 1; i < count; i++)
            for (j = i; j > 0 && order(s, &rows[j], &rows[j - 1]) < 0; j--) {
                promql_row moved = rows[j];
                rows[j] = rows[j - 1];
                rows[j - 1] = moved;
            }
        return;
    }
    merge_sort(s, order, rows, scratch, half);
    merge_sort(s, order, rows + half, scratch, count - half);
    while (i < half && j < count)
        scratch[n++] = order(s, &rows[j], &rows[i]) < 0 ? rows[j++] : rows[i++];
    while (i < half)
        scratch[n++] = rows[i++];
    memcpy(rows, scratch, n * sizeof(promql_row));
}

static status sort_rows(promql_engine *e, const promql_grid *g, const promql_node *n,
                        order_rows *order, bool descending, bool floats, promql_value *ret)
{
    sorting s = { n, descending };
    TRY(promql_eval_node(e, g, n->call.args[0], ret));
    for (uint32_t r = 0; floats && r < ret->row_count; r++)
        ret->rows[r].histograms = NULL; /* they have no order */
    TRY(promql_finish_call(e, g, n, ret));
    bool several = g->steps != 1 || g->has_range;
    if (several && promql_same_at_all_steps(n))
        return STATUS_OK;
    if (several) {
        promql_note(e, true, n,
                    "sort is ineffective for range queries since results are always ordered by "
                    "labels");
        return STATUS_OK;
    }
    promql_row *scratch = promql_alloc(e, ret->row_count, sizeof(promql_row));
    if (!scratch)
        return STATUS_LIMIT;
    merge_sort(&s, order, ret->rows, scratch, ret->row_count);
    ret->ordered = true;
    return STATUS_OK;
}

status promql_fn_sort(promql_engine *e, const promql_grid *g, const promql_node *n,
                      promql_value *ret)
{
    return sort_rows(e, g, n, by_value, false, true, ret);
}

status promql_fn_sort_desc(promql_engine *e, const promql_grid *g, const promql_node *n,
                           promql_value *ret)
{
    return sort_rows(e, g, n, by_value, true, true, ret);
}

status promql_fn_sort_by_label(promql_engine *e, const promql_grid *g, const promql_node *n,
                               promql_value *ret)
{
    return sort_rows(e, g, n, by_label, false, false, ret);
}

status promql_fn_sort_by_label_desc(promql_engine *e, const promql_grid *g, const promql_node *n,
                                    promql_value *ret)
{
    return sort_rows(e, g, n, by_label, true, false, ret);
}
