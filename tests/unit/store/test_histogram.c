// SPDX-License-Identifier: Apache-2.0
/* Native histograms and exemplars in the store: every shape, mixed with numbers, replayed, sealed,
 * merged; blocks that are damaged. */
#include "fixture.h"

#include "codec/native_convert.h"
#include "codec/prometheus_scope.h"
#include "store/part_histogram.h"
#include "store/series.h"

#include <math.h>

typedef struct {
    char *dir;
    store *s;
} env;

static int set_up(void **state)
{
    env *e = calloc(1, sizeof(*e));
    e->dir = make_dir();
    e->s = open_store(e->dir);
    *state = e;
    return 0;
}

static int tear_down(void **state)
{
    env *e = *state;
    store_close(e->s);
    remove_dir(e->dir);
    free(e);
    return 0;
}

static void reopen(env *e)
{
    store_close(e->s);
    e->s = open_store(e->dir);
}

/* ---- shapes ---- */

static const native_span near_span[] = { { -2, 3 } }, far_spans[] = { { 1, 1 }, { 40, 2 } };
static const native_span at_bounds[] = { { 0, 3 } };
static const double bounds[] = { 0.1, 1 };

/* Number k of a series that grows; `counts` has room for it. */
static histogram shape(unsigned kind, unsigned k, double counts[3])
{
    for (unsigned i = 0; i < 3; i++)
        counts[i] = (double)(100 * i + k * (i + 1)) + (kind == 1 ? 0.5 : 0);
    double sum = counts[0] + counts[1] + counts[2];
    histogram h = { .schema = 3,
                    .hint = (histogram_hint)(k % 4),
                    .zero_threshold = 0x1p-128,
                    .zero_count = kind == 1 ? 0.25 : 2,
                    .count = sum + 2,
                    .sum = sum / 7,
                    .positive = { k % 5 == 4 ? far_spans : near_span, counts, k % 5 == 4 ? 2 : 1,
                                  3 } };
    if (kind == 2)
        h = (histogram){ .schema = NATIVE_SCHEMA_CUSTOM,
                         .count = sum,
                         .sum = NAN,
                         .positive = { at_bounds, counts, 1, 3 },
                         .custom = bounds,
                         .custom_count = 2 };
    if (kind == 3)
        h.negative = h.positive;
    return h;
}

static void same_doubles(const double *a, const double *b, uint32_t count)
{
    if (count)
        assert_memory_equal(a, b, count * sizeof(double));
}

static void same_side(const histogram_side *a, const histogram_side *b)
{
    assert_int_equal(a->span_count, b->span_count);
    assert_int_equal(a->count, b->count);
    if (a->span_count)
        assert_memory_equal(a->spans, b->spans, a->span_count * sizeof(native_span));
    same_doubles(a->counts, b->counts, a->count);
}

static void same(const histogram *a, const histogram *b)
{
    assert_int_equal(a->schema, b->schema);
    /* Of counters, the store finds out by itself what the sender does not say. */
    assert_int_equal(a->hint == HISTOGRAM_GAUGE, b->hint == HISTOGRAM_GAUGE);
    same_doubles(&a->zero_threshold, &b->zero_threshold, 1);
    same_doubles(&a->zero_count, &b->zero_count, 1);
    same_doubles(&a->count, &b->count, 1);
    same_doubles(&a->sum, &b->sum, 1);
    same_side(&a->positive, &b->positive);
    same_side(&a->negative, &b->negative);
    assert_int_equal(a->custom_count, b->custom_count);
    same_doubles(a->custom, b->custom, a->custom_count);
}

/* ---- in and out ---- */

enum { KINDS = 4, NUMBER = 4, STALE = 5 };

/* Which kind sample k of series n has: all shapes, with numbers and stale markers between. */
static unsigned kind_of(unsigned n, unsigned k)
{
    if (k % 7 == 5)
        return STALE;
    return n == KINDS ? (k % 3 ? NUMBER : 0) : n;
}

static void add_sample_of(batch *b, uint32_t scope, const char *name, unsigned kind, unsigned k)
{
    uint32_t m = batch_add_metric(b, scope);
    b->metrics[m].name = str_c(name);
    b->metrics[m].type = METRIC_GAUGE;
    point_value v = { .f64 = k };
    if (kind < KINDS) {
        double counts[3];
        histogram h = shape(kind, k, counts);
        histogram *kept = histogram_copy(&b->arena, &h);
        assert_true(native_to_point(&b->arena, kept, &b->metrics[m].type, &v));
        b->metrics[m].temporality = TEMPORALITY_CUMULATIVE;
    }
    uint32_t p = add_point(b, m, T0_NS + (int64_t)k * NS_PER_S, 0);
    b->points.value[p] = v;
    b->points.flags[p] = kind == STALE ? POINT_FLAG_NO_RECORDED_VALUE : 0;
}

static const char *const names[] = { "whole", "parts", "custom", "both", "mixed" };

static void ingest_samples(env *e, unsigned from, unsigned to)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(64));
    uint32_t scope = add_service(&b, "api");
    b.scopes[scope].name = STR(PROMETHEUS_SCOPE);
    for (unsigned n = 0; n < ARRAY_LEN(names); n++)
        for (unsigned k = from; k < to; k++)
            add_sample_of(&b, scope, names[n], kind_of(n, k), k);
    ingest_result r = ingest(e->s, &b);
    assert_int_equal(r.rejected, 0);
    batch_done(&b);
}

static void check_sample(const series *s, unsigned kind, unsigned k)
{
    assert_int_equal(s->time_ms[k], T0_MS + k * 1000);
    const histogram *h = s->histograms ? s->histograms[k] : NULL;
    if (kind < KINDS) {
        double counts[3];
        histogram want = shape(kind, k, counts);
        assert_non_null(h);
        same(h, &want);
        same_doubles(&s->value[k], &h->sum, 1);
        return;
    }
    uint64_t bits = STALE_NAN_BITS;
    double number = k;
    assert_null(h);
    if (kind == STALE)
        assert_memory_equal(&s->value[k], &bits, 8);
    else
        same_doubles(&s->value[k], &number, 1);
}

/* By store_series, and series by series. */
static void check_samples(env *e, unsigned count)
{
    arena a;
    arena_init(&a, MiB(64));
    series_query q = { .from_ms = T0_MS, .to_ms = T0_MS + 1000000000 };
    series_set set;
    series_found *f;
    series_reader *r;
    assert_int_equal(store_series(e->s, &q, &a, &set, NULL), STATUS_OK);
    assert_int_equal(set.count, ARRAY_LEN(names));
    assert_int_equal(store_find(e->s, &q, &a, &f, NULL), STATUS_OK);
    assert_int_equal(series_reader_new(&r, f, NULL), STATUS_OK);
    for (uint32_t i = 0; i < set.count; i++) {
        series one;
        unsigned n = 0;
        while (!str_is(set.items[i].labels[0].value, names[n]))
            n++;
        assert_int_equal(set.items[i].sample_count, count);
        assert_int_equal(series_read(r, i, &one, NULL), STATUS_OK);
        assert_int_equal(one.sample_count, count);
        for (unsigned k = 0; k < count; k++) {
            check_sample(&set.items[i], kind_of(n, k), k);
            check_sample(&one, kind_of(n, k), k);
        }
    }
    series_reader_free(r);
    series_found_done(f);
    arena_done(&a);
}

static void all_shapes_come_back_from_memory_log_and_parts(void **state)
{
    env *e = *state;
    ingest_samples(e, 0, 40);
    check_samples(e, 40);
    reopen(e); /* nothing was sealed: all of it is replayed */
    check_samples(e, 40);
    seal(e->s);
    check_samples(e, 40);
    ingest_samples(e, 40, 60);
    check_samples(e, 60);
    reopen(e);
    check_samples(e, 60);
}

static uint64_t merges(env *e)
{
    store_stats stats;
    store_get_stats(e->s, &stats);
    return stats.merges;
}

static void parts_with_histograms_are_merged(void **state)
{
    env *e = *state;
    unsigned k = 0;
    for (; k < 12 || (merges(e) == 0 && k < 400); k += 2) {
        ingest_samples(e, k, k + 2);
        seal(e->s);
    }
    for (unsigned waited = 0; merges(e) == 0 && waited < 2000; waited++)
        usleep(10000);
    assert_true(merges(e) > 0);
    check_samples(e, k);
    reopen(e);
    check_samples(e, k);
}

/* The later of two at the same time counts, whatever they are. */
static void a_later_sample_replaces_one_of_another_kind(void **state)
{
    env *e = *state;
    static const unsigned kinds[] = { 0, NUMBER, 2, NUMBER };
    arena a;
    arena_init(&a, MiB(16));
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        batch b;
        batch_init(&b, SIGNAL_METRICS, MiB(1));
        uint32_t scope = add_service(&b, "api");
        b.scopes[scope].name = STR(PROMETHEUS_SCOPE);
        add_sample_of(&b, scope, "x", kinds[i], 0);
        ingest(e->s, &b);
        batch_done(&b);
        if (i == 1)
            seal(e->s);
        series_set set;
        series_query q = { .from_ms = T0_MS, .to_ms = T0_MS };
        assert_int_equal(store_series(e->s, &q, &a, &set, NULL), STATUS_OK);
        assert_int_equal(set.count, 1);
        assert_int_equal(set.items[0].sample_count, 1);
        check_sample(&set.items[0], kinds[i], 0);
    }
    arena_done(&a);
}

/* What was no restart when the samples came may be one when another comes between them. */
static void a_late_sample_takes_hints_away(void **state)
{
    env *e = *state;
    static const unsigned order[] = { 0, 2, 1 };
    arena a;
    series_set set;
    series_query q = { .from_ms = T0_MS, .to_ms = T0_MS + 10000 };
    arena_init(&a, MiB(1));
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        batch b;
        batch_init(&b, SIGNAL_METRICS, MiB(1));
        uint32_t scope = add_service(&b, "api");
        b.scopes[scope].name = STR(PROMETHEUS_SCOPE);
        add_sample_of(&b, scope, "x", 0, order[i] ? 4 * order[i] : 0);
        b.points.time_ns[0] = T0_NS + order[i] * NS_PER_S;
        ingest(e->s, &b);
        batch_done(&b);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_series(e->s, &q, &a, &set, NULL), STATUS_OK);
        assert_int_equal(set.items[0].sample_count, 3);
        assert_int_not_equal(set.items[0].histograms[2]->hint, HISTOGRAM_NO_RESET);
        seal(e->s);
    }
    arena_done(&a);
}

/* No number is taken for an address. */
static void numbers_that_look_like_histograms_are_numbers(void **state)
{
    env *e = *state;
    batch b;
    arena a;
    series_set set;
    uint64_t bits = HISTOGRAM_BOX << 48 | 0x1234;
    arena_init(&a, MiB(1));
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t scope = add_service(&b, "api");
    b.scopes[scope].name = STR(PROMETHEUS_SCOPE);
    for (unsigned k = 0; k < 2; k++)
        add_sample_of(&b, scope, "x", k ? 0 : NUMBER, k);
    memcpy(&b.points.value[0].f64, &bits, 8);
    ingest(e->s, &b);
    batch_done(&b);
    for (int i = 0; i < 2; i++) {
        series_query q = { .from_ms = T0_MS, .to_ms = T0_MS + 1000 };
        assert_int_equal(store_series(e->s, &q, &a, &set, NULL), STATUS_OK);
        assert_null(set.items[0].histograms[0]);
        assert_true(isnan(set.items[0].value[0]));
        check_sample(&set.items[0], 0, 1);
        seal(e->s);
    }
    arena_done(&a);
}

/* ---- OpenTelemetry ---- */

static uint32_t add_exponential(batch *b, temporality t, int scale, uint64_t *counts, uint32_t n)
{
    uint32_t m = batch_add_metric(b, add_service(b, "api"));
    b->metrics[m].name = STR("http.duration");
    b->metrics[m].unit = STR("s");
    b->metrics[m].type = METRIC_EXP_HISTOGRAM;
    b->metrics[m].temporality = t;
    exp_histogram_value *v = ARENA_NEW(&b->arena, exp_histogram_value);
    *v = (exp_histogram_value){ .count = 7,
                                .sum = 2.5,
                                .has_sum = true,
                                .scale = scale,
                                .zero_count = 1,
                                .positive = { 3, n, counts } };
    uint32_t p = add_point(b, m, T0_NS, 0);
    b->points.value[p] = (point_value){ .exp = v };
    return p;
}

static void exponential_histograms_are_one_series(void **state)
{
    env *e = *state;
    batch b;
    arena a;
    series_set set;
    uint64_t counts[] = { 1, 2, 0, 3 };
    static const double joined[] = { 1, 2, 3 };
    arena_init(&a, MiB(1));
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    add_exponential(&b, TEMPORALITY_CUMULATIVE, 9, counts, 4);
    ingest(e->s, &b);
    matcher name = { STR("__name__"), MATCH_RE, STR("http.*") };
    series_query q = { .matchers = &name, .matcher_count = 1, .from_ms = T0_MS, .to_ms = T0_MS };
    assert_int_equal(store_series(e->s, &q, &a, &set, NULL), STATUS_OK);
    assert_int_equal(set.count, 1);
    assert_true(str_is(set.items[0].labels[0].value, "http_duration_seconds"));
    const histogram *h = set.items[0].histograms[0];
    assert_int_equal(h->schema, 8);
    assert_int_equal(h->positive.spans[0].offset, 2); /* bucket 3 of scale 9 is 1 of 8 */
    assert_int_equal(h->positive.count, 3);
    assert_memory_equal(h->positive.counts, joined, sizeof(joined));
    assert_true(h->zero_threshold == 1e-128 && h->zero_count == 1 && h->sum == 2.5);
    b.points.value[0].exp->scale = -5;
    ingest_result r = ingest(e->s, &b);
    assert_int_equal(r.rejected, 1);
    assert_non_null(strstr(r.reason, "schema"));
    batch_done(&b);
    arena_done(&a);
}

static void deltas_of_exponential_histograms_are_added_up(void **state)
{
    env *e = *state;
    arena a;
    series_set set;
    arena_init(&a, MiB(1));
    for (unsigned k = 0; k < 3; k++) {
        batch b;
        uint64_t counts[] = { 1, 2, 3 };
        batch_init(&b, SIGNAL_METRICS, MiB(1));
        uint32_t p = add_exponential(&b, TEMPORALITY_DELTA, k == 2 ? 0 : 1, counts, 3);
        b.points.time_ns[p] += k * NS_PER_S;
        ingest(e->s, &b);
        batch_done(&b);
    }
    matcher name = { STR("__name__"), MATCH_EQ, STR("http_duration_seconds") };
    series_query q = {
        .matchers = &name, .matcher_count = 1, .from_ms = T0_MS, .to_ms = T0_MS + 5000
    };
    assert_int_equal(store_series(e->s, &q, &a, &set, NULL), STATUS_OK);
    assert_int_equal(set.items[0].sample_count, 3);
    static const double second[] = { 2, 4, 6 };
    const histogram *h = set.items[0].histograms[1];
    assert_int_equal(h->schema, 1);
    assert_memory_equal(h->positive.counts, second, sizeof(second));
    h = set.items[0].histograms[2];
    assert_int_equal(h->schema, 0);
    assert_true(h->count == 21 && h->zero_count == 3 && h->sum == 7.5);
    double total = 0;
    for (uint32_t i = 0; i < h->positive.count; i++)
        total += h->positive.counts[i];
    assert_true(total == 18);
    arena_done(&a);
}

/* ---- blocks ---- */

static void damaged_blocks_are_corrupt(void **state)
{
    (void)state;
    enum { N = 50 };
    double counts[N][3];
    histogram all[N];
    const histogram *list[N], *back[N];
    buf out;
    arena a;
    buf_init(&out, 0);
    arena_init(&a, MiB(64));
    for (unsigned k = 0; k < N; k++) {
        all[k] = shape(k / 15, k, counts[k]);
        list[k] = &all[k];
    }
    assert_int_equal(part_histogram_fit(list, N), N);
    part_histogram_write(&out, list, N);
    bytes_reader r = bytes_read(buf_view(&out));
    assert_int_equal(part_histogram_read(&r, N, &a, back), STATUS_OK);
    for (unsigned k = 0; k < N; k++)
        same(back[k], list[k]);
    r = bytes_read(buf_view(&out));
    assert_int_equal(part_histogram_read(&r, N - 1, &a, back), STATUS_CORRUPT);
    /* Uncompressed, so that every byte of the layout is tried. */
    bytes_reader frame = bytes_read(buf_view(&out));
    uint64_t length = get_varint(&frame), stored = get_varint(&frame);
    assert_true(stored > 0 && length > stored);
    for (size_t at = 0; at < out.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            char *copy = malloc(out.len);
            memcpy(copy, out.ptr, out.len);
            copy[at] = (char)(copy[at] ^ 1 << bit);
            r = bytes_read(str_n(copy, out.len));
            (void)!part_histogram_read(&r, N, &a, back); /* no crash */
            free(copy);
        }
        char *cut = malloc(at + 1);
        memcpy(cut, out.ptr, at);
        r = bytes_read(str_n(cut, at));
        assert_int_equal(part_histogram_read(&r, N, &a, back), STATUS_CORRUPT);
        free(cut);
        arena_clear(&a);
    }
    arena tight;
    arena_init(&tight, 512);
    r = bytes_read(buf_view(&out));
    assert_int_equal(part_histogram_read(&r, N, &tight, back), STATUS_LIMIT);
    arena_done(&tight);
    arena_done(&a);
    buf_done(&out);
}

/* ---- exemplars ---- */

static void add_exemplars_at(env *e, const char *name, unsigned from, unsigned to)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t scope = add_service(&b, "api");
    b.scopes[scope].name = STR(PROMETHEUS_SCOPE);
    for (unsigned k = from; k < to; k++) {
        uint32_t m = batch_add_metric(&b, scope);
        b.metrics[m].name = str_c(name);
        b.metrics[m].type = METRIC_SUM;
        b.metrics[m].temporality = TEMPORALITY_CUMULATIVE;
        uint32_t p = add_point(&b, m, T0_NS + (int64_t)k * NS_PER_S, 1);
        exemplar *x = ARENA_NEW(&b.arena, exemplar);
        *x = (exemplar){ .f64 = k };
        x->trace.bytes[15] = (uint8_t)(k + 1);
        add_attr(&b, &x->filtered_attributes, "user", VALUE_S(STR("u1")));
        b.points.exemplars[p] = (exemplars){ x, 1 };
    }
    ingest(e->s, &b);
    batch_done(&b);
}

static void expect_exemplars(env *e, const char *name, unsigned from, unsigned to)
{
    arena a;
    stored_exemplar *list;
    uint32_t count;
    arena_init(&a, MiB(1));
    matcher one = { STR("__name__"), MATCH_EQ, str_c(name) };
    series_query q = {
        .matchers = &one, .matcher_count = 1, .from_ms = T0_MS, .to_ms = T0_MS + 1000000
    };
    assert_int_equal(store_exemplars(e->s, &q, &a, &list, &count, NULL), STATUS_OK);
    assert_int_equal(count, to - from);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(list[i].time_ms, T0_MS + (from + i) * 1000);
        assert_true(list[i].value == from + i);
        assert_int_equal(list[i].own_count, 2);
        assert_true(str_is(list[i].own[0].name, "trace_id"));
        assert_int_equal(list[i].own[0].value.len, 32);
        assert_true(str_is(list[i].own[1].value, "u1"));
        assert_true(str_is(list[i].labels[0].value, name));
    }
    arena_done(&a);
}

static void exemplars_survive_the_log_parts_and_merges(void **state)
{
    env *e = *state;
    add_exemplars_at(e, "a_total", 0, 3);
    add_exemplars_at(e, "b_total", 0, 20);
    add_exemplars_at(e, "a_total", 0, 3); /* the same again */
    expect_exemplars(e, "a_total", 0, 3);
    expect_exemplars(e, "b_total", 4, 20); /* the newest 16 */
    reopen(e);
    expect_exemplars(e, "a_total", 0, 3);
    seal(e->s);
    expect_exemplars(e, "a_total", 0, 3);
    expect_exemplars(e, "b_total", 4, 20);
    unsigned k = 3;
    for (; k < 9 || (merges(e) == 0 && k < 100); k++) {
        add_exemplars_at(e, "a_total", k, k + 1);
        seal(e->s);
    }
    for (unsigned waited = 0; merges(e) == 0 && waited < 2000; waited++)
        usleep(10000);
    assert_true(merges(e) > 0);
    expect_exemplars(e, "b_total", 4, 20);
    expect_exemplars(e, "a_total", k > 16 ? k - 16 : 0, k);
    reopen(e);
    expect_exemplars(e, "b_total", 4, 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_shapes_come_back_from_memory_log_and_parts),
        TEST(parts_with_histograms_are_merged),
        TEST(a_later_sample_replaces_one_of_another_kind),
        TEST(a_late_sample_takes_hints_away),
        TEST(numbers_that_look_like_histograms_are_numbers),
        TEST(exponential_histograms_are_one_series),
        TEST(deltas_of_exponential_histograms_are_added_up),
        cmocka_unit_test(damaged_blocks_are_corrupt),
        TEST(exemplars_survive_the_log_parts_and_merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
