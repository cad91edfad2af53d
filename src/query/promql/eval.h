// SPDX-License-Identifier: Apache-2.0
/* What the files of the PromQL evaluator share. A query is evaluated for all of its steps at once:
 * an instant vector is a matrix (series × steps), a scalar one number per step. Everything lives in
 * the query's arena. A missing cell is the stale marker's bit pattern, which no operation yields.
 */
#ifndef SONDE_QUERY_PROMQL_EVAL_H
#define SONDE_QUERY_PROMQL_EVAL_H

#include "query/groups.h"
#include "query/labels.h"
#include "query/promql/ast.h"
#include "query/promql/promql.h"

typedef struct promql_grid {
    int64_t start_ms, step_ms;
    uint32_t steps; /* at least 1 */
    bool has_range; /* from one moment to another, however many steps lie between */
} promql_grid;

/* A cell is a float (cells[i]), a histogram (histograms[i], and cells[i] is absent), or absent. So
 * code that knows nothing of histograms takes them for absent. */
typedef struct {
    labels labels;
    double *cells;                /* one per step */
    const histogram **histograms; /* one per step, or NULL: there is none in the row */
    bool drop_name;               /* "__name__" goes at the end (promql-delayed-name-removal) */
} promql_row;

/* One value of a row, or of a function's result. */
typedef struct promql_cell {
    double value;
    const histogram *histogram; /* NULL: value counts */
} promql_cell;

/* One series of a range vector: all its samples, without stale markers. */
typedef struct {
    labels labels;
    const int64_t *time_ms;
    const double *value;
    const histogram *const *histograms; /* NULL: all floats; else NULL where the sample is one */
    uint32_t count;
    bool drop_name;
} promql_samples;

struct promql_value {
    promql_type type;
    promql_row *rows; /* PROMQL_VECTOR */
    uint32_t row_count;
    bool ordered;   /* rows are in the order that the query asked for (sort, topk) */
    double *scalar; /* PROMQL_SCALAR: one per step */
    str string;
    promql_samples *series; /* PROMQL_MATRIX */
    uint32_t series_count;
    int64_t range_ms;
    promql_shift shift;
};

struct promql_engine {
    store *store;
    const promql_options *options;
    arena *arena;
    error *err;
    str query;
    uint64_t samples;   /* read and produced so far */
    uint64_t read;      /* of these: read from the store */
    uint64_t touched;   /* series that were read */
    uint64_t unchecked; /* samples that may be worked on before the next look at the clock */
    promql_notes *notes;
    struct promql_shared *shared; /* NULL: no expression stands in the query twice */
    double *scratch;              /* for sorting inside one call */
    uint32_t scratch_capacity;
};

/* One step's view of one series of a range vector: samples in (start_ms, end_ms]. */
struct promql_window {
    promql_engine *engine;
    const promql_node *call;
    const int64_t *time_ms;
    const double *value;
    const histogram *const *histograms; /* as in promql_samples */
    uint32_t count;                     /* at least 1 */
    labels labels;                      /* of the series, with its name */
    int64_t start_ms, end_ms;
    int64_t eval_ms;
    double params[PROMQL_MAX_ARGS]; /* the call's scalar arguments at this step */
};

#define TRY(expression) \
    do { \
        status try_status_ = (expression); \
        if (try_status_ != STATUS_OK) \
            return try_status_; \
    } while (0)

static inline uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static inline bool is_absent(double v)
{
    return bits_of(v) == STALE_NAN_BITS;
}

static inline void set_absent(double *cell)
{
    uint64_t bits = STALE_NAN_BITS;
    memcpy(cell, &bits, sizeof(bits));
}

static inline int64_t grid_time(const promql_grid *g, uint32_t step)
{
    return g->start_ms + (int64_t)step * g->step_ms;
}

/* As far as the expression shows (invariant.c). */
bool promql_same_at_all_steps(const promql_node *n);

/* ---- memory, limits (eval.c), notes (notes.c) ---- */

/* Zeroed. NULL with the error set. */
void *promql_alloc(promql_engine *e, size_t count, size_t size);
void promql_report_no_memory(promql_engine *e);
static inline status promql_no_memory(promql_engine *e)
{
    promql_report_no_memory(e);
    return STATUS_LIMIT;
}
/* Values of one row, all absent; counts against the sample limit. NULL with the error set. */
double *promql_values(promql_engine *e, const promql_grid *g);
/* At least n doubles, kept for the next call. NULL with the error set. */
double *promql_scratch(promql_engine *e, uint32_t n);
MUST_USE status promql_count_samples(promql_engine *e, uint64_t n);
uint64_t promql_sample_limit(const promql_engine *e);
/* A deep copy in the engine's arena; NULL with the error set. */
const histogram *promql_keep_histogram(promql_engine *e, const histogram *h);
/* The row's array of histograms, made when there is none; NULL with the error set. */
const histogram **promql_row_histograms(promql_engine *e, const promql_grid *g, promql_row *row);
/* Deadline and cancellation; cheap enough for every row. */
MUST_USE status promql_check_time(promql_engine *e);
/* The same before work on so many samples. */
MUST_USE status promql_check_work(promql_engine *e, uint64_t samples);
/* A warning or info of the answer, with the node's position appended. */
void promql_note(promql_engine *e, bool warning, const promql_node *at, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* The same, whole: an annotation's text as users see it. */
void promql_note_text(promql_engine *e, bool warning, str text);
/* All of another engine, which worked for this one. */
void promql_take_notes(promql_engine *e, const promql_notes *from);
void promql_sort_notes(promql_notes *notes);
/* Whether two texts are one note, wherever in the query they were raised. */
bool promql_same_note(str a, str b);
/* Ends of windows: first_ms, first_ms + step_ms, …; step_ms is 0 where @ holds them. */
typedef struct {
    int64_t first_ms, step_ms;
    uint32_t count;
} promql_steps;
promql_steps promql_window_ends(const promql_engine *e, const promql_shift *shift,
                                const promql_grid *g);
/* The hint for rate and increase of what does not look like a counter. */
void promql_hint_counter(promql_engine *e, const promql_node *call, labels l);
/* By what rate, increase and delta multiply the difference of a window's last and first sample;
 * `first` is the first value. At least 2 samples. */
double promql_extrapolation(const promql_window *w, bool counter, bool per_second, double first,
                            double result);
/* Which argument of a call is the range vector. */
uint32_t promql_range_arg(const promql_node *call);
/* An evaluation error. */
#define PROMQL_FAIL(e, ...) (fail((e)->err, STATUS_INVALID, __VA_ARGS__), STATUS_INVALID)

/* ---- evaluation ---- */

/* The series of a selector, found and not read yet: for what goes through them one by one. */
typedef struct {
    series_found *series;
    const series_head *heads;
    uint32_t count;
    int64_t from_ms, to_ms; /* samples in (from_ms, to_ms] */
} promql_found;

/* What a selector looks at for the steps of the grid: in (first step - back_ms, last step +
 * fore_ms], offset and @ applied. promql_found_done in any case. */
MUST_USE status promql_find(promql_engine *e, const promql_grid *g, const promql_node *n,
                            int64_t back_ms, int64_t fore_ms, promql_found *ret);
void promql_found_done(promql_found *f);

/* Called by several threads at once, each with an engine of its own, whose arena becomes part of
 * the query's: for each series, in no order. `slot` is below WORKERS_MAX and the thread's own.
 * Samples are valid during the call. */
typedef status promql_each(promql_engine *e, void *user, uint32_t slot, uint32_t index,
                           const promql_samples *s);
/* keep_stale: stale markers stay in the samples. Series without samples are left out. */
MUST_USE status promql_each_series(promql_engine *e, const promql_found *f, bool keep_stale,
                                   promql_each *fn, void *user);
/* The same for `wave` series at a time; `after` then gets the numbers of the first and behind the
 * last of them, on the calling thread. */
typedef status promql_wave(promql_engine *e, void *user, uint32_t first, uint32_t end);
MUST_USE status promql_each_wave(promql_engine *e, const promql_found *f, bool keep_stale,
                                 uint32_t wave, promql_each *fn, promql_wave *after, void *user);

/* How the samples of each series of a selector become a row: the newest at each step, or a function
 * of each window. */
typedef struct {
    const promql_node *selector;
    int64_t back_ms;
    bool keep_stale;
    /* row: without cells, or with cells that are all absent; stays without when there is no value.
     * Called by several threads, as promql_each is. */
    status (*make)(promql_engine *e, const void *user, uint32_t slot, const promql_samples *s,
                   promql_row *row);
    const void *user;
} promql_row_maker;

/* In the arena: for an instant selector; for a call with windows of floats or histograms, whose
 * scalar arguments are evaluated here. */
MUST_USE status promql_instant_maker(promql_engine *e, const promql_grid *g, const promql_node *n,
                                     bool want_time, promql_row_maker *ret);
MUST_USE status promql_window_maker(promql_engine *e, const promql_grid *g, const promql_node *call,
                                    const promql_node *matrix, promql_row_maker *ret);
/* All rows, in order of the series. */
MUST_USE status promql_make_rows(promql_engine *e, const promql_grid *g, const promql_row_maker *m,
                                 promql_value *ret);
/* sum, min, max and the like of what a maker makes, without keeping its rows; *ret_done tells
 * whether that was possible. */
MUST_USE status promql_fused_aggregate(promql_engine *e, const promql_grid *g, const promql_node *n,
                                       promql_value *ret, bool *ret_done);

/* Takes out the rows that have no cells and keeps the order; returns how many are left. */
uint32_t promql_pack_rows(promql_row *rows, uint32_t count);
/* How far an instant selector looks back. */
int64_t promql_lookback(const promql_engine *e);
/* The same for what is in memory already. */
MUST_USE status promql_each_samples(promql_engine *e, const promql_value *ranges, promql_each *fn,
                                    void *user);

MUST_USE status promql_eval_node(promql_engine *e, const promql_grid *g, const promql_node *n,
                                 promql_value *ret);
/* Selectors (select.c). want_time: sample times in seconds instead of floats; of histograms, beside
 * them. */
MUST_USE status promql_select_instant(promql_engine *e, const promql_grid *g, const promql_node *n,
                                      bool want_time, promql_value *ret);
MUST_USE status promql_select_range(promql_engine *e, const promql_grid *g, const promql_node *n,
                                    promql_value *ret);
MUST_USE status promql_eval_subquery(promql_engine *e, const promql_grid *g, const promql_node *n,
                                     promql_value *ret);
/* When a selector looks, for a step. */
int64_t promql_shifted_time(const promql_engine *e, const promql_shift *shift, int64_t time_ms);

MUST_USE status promql_eval_call(promql_engine *e, const promql_grid *g, const promql_node *n,
                                 promql_value *ret);
MUST_USE status promql_eval_aggregate(promql_engine *e, const promql_grid *g, const promql_node *n,
                                      promql_value *ret);
MUST_USE status promql_eval_binary(promql_engine *e, const promql_grid *g, const promql_node *n,
                                   promql_value *ret);

/* Rows with equal labels become one; two of them present at one step is the error `message`. Rows
 * without any value are removed. */
MUST_USE status promql_merge_rows(promql_engine *e, const promql_grid *g, promql_value *v,
                                  const char *message);
#define SAME_LABELSET "vector cannot contain metrics with the same labelset"

/* ---- shared arithmetic (math.c) ---- */

/* Compensated summation: what each addition loses, exactly, by Knuth's TwoSum, is added up beside
 * the sum. The same numbers as by Neumaier's comparisons, without a branch. */
typedef struct {
    double sum, lost;
} kahan;
static inline void kahan_add(kahan *k, double v)
{
    double t = k->sum + v, part = t - k->sum;
    double lost = k->lost + ((k->sum - (t - part)) + (v - part));
    k->lost = __builtin_isinf(t) ? 0 : lost;
    k->sum = t;
}
static inline double kahan_value(kahan k)
{
    return k.sum + k.lost;
}
/* Sorts cells in place. NaN for none, -Inf below 0, +Inf above 1. */
double promql_quantile(double q, double *cells, uint32_t count);
double promql_mean(const double *cells, uint32_t count);
/* Population variance. */
double promql_variance(const double *cells, uint32_t count);

/* The functions of the table, by file. */
typedef status promql_general(promql_engine *e, const promql_grid *g, const promql_node *call,
                              promql_value *ret);
promql_general promql_fn_time, promql_fn_timestamp, promql_fn_vector, promql_fn_scalar,
    promql_fn_pi, promql_fn_clamp, promql_fn_clamp_min, promql_fn_clamp_max, promql_fn_round,
    promql_fn_sort, promql_fn_sort_desc, promql_fn_label_replace, promql_fn_label_join,
    promql_fn_absent, promql_fn_absent_over_time, promql_fn_histogram_quantile, promql_fn_max_of,
    promql_fn_min_of, promql_fn_start_timestamp, promql_fn_sort_by_label,
    promql_fn_sort_by_label_desc, promql_fn_info, promql_fn_query_start, promql_fn_query_end,
    promql_fn_query_range, promql_fn_query_step;

typedef double promql_math(double x);
promql_math promql_sgn, promql_deg, promql_rad, promql_minute, promql_hour, promql_day_of_month,
    promql_day_of_week, promql_day_of_year, promql_days_in_month, promql_month, promql_year;

/* Drops "__name__" unless the function keeps it, and merges rows that became equal. */
MUST_USE status promql_finish_call(promql_engine *e, const promql_grid *g, const promql_node *call,
                                   promql_value *v);

typedef bool promql_range(const promql_window *w, double *ret);
promql_range promql_rate, promql_increase, promql_delta, promql_irate, promql_idelta, promql_deriv,
    promql_predict_linear, promql_changes, promql_resets, promql_avg_over_time,
    promql_min_over_time, promql_max_over_time, promql_sum_over_time, promql_count_over_time,
    promql_quantile_over_time, promql_stddev_over_time, promql_stdvar_over_time,
    promql_last_over_time, promql_present_over_time, promql_first_over_time, promql_mad_over_time,
    promql_ts_of_first_over_time, promql_ts_of_last_over_time, promql_ts_of_max_over_time,
    promql_ts_of_min_over_time, promql_double_exponential_smoothing, promql_integral;

#endif
