// SPDX-License-Identifier: Apache-2.0
/* The cache of range queries over a real store: whatever comes and goes between two refreshes of a
 * dashboard, its answer is the one without the cache, bit by bit; bounded; used by threads at once.
 */
#include "unit/store/fixture.h"

#include "query/promql/cache.h"
#include "store/store_internal.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SERIES = 12, STEP_MS = 15000, REFRESHES = 260 };

static const char *const expressions[] = {
    "m",
    "rate(m[1m])",
    "sum by (a) (rate(m[2m]))",
    "sum(sum by (b) (m))",
    "avg(avg by (b, a) (m) / 3)",
    "stddev(max by (b) (m) + on (b) group_left sum by (b) (m))",
    "topk(2, sum by (b) (m > bool 40))",
    "bottomk(1, m) or topk(1, m)",
    "quantile(0.3, m) by (a)",
    "count_values('v', clamp_max(m, 3))",
    "sum(count_values('v', clamp_max(m, 3)) / 7)",
    "m offset 1m",
    "rate(m[1m] offset 45s) - rate(m[1m])",
    "m offset -2m",
    "max_over_time(m[1m] offset -90s)",
    "m @ TIME + m",
    "sum(m @ TIME offset -1m)",
    "max_over_time(rate(m[1m])[3m:20s])",
    "sum_over_time(m[2m:7s] offset 10s)",
    "avg_over_time((sum(m offset -1m))[2m:30s])",
    "absent(m{a='1'})",
    "absent_over_time(m{b='2'}[30s])",
    "absent(nothing{x='y'})",
    "histogram_quantile(0.7, sum by (le) (label_replace(m, 'le', '$1', 'b', '(.*)')))",
    "label_join(m, 'c', '-', 'a', 'b') * on (c) group_right label_join(m, 'c', '-', 'a', 'b')",
    "m and on (a) m > 50 or m unless on (b) m < 10",
    "deriv(m[2m]) + predict_linear(m[2m], 60)",
    "changes(m[3m]) + resets(m[3m])",
    "quantile_over_time(0.4, m[2m]) + stddev_over_time(m[2m])",
    "timestamp(m) - time()",
    "scalar(sum(m)) + vector(1)",
    "time() % 60",
    "quantile_over_time(1.5, m[1m])",
    "quantile_over_time(scalar(floor(max(m) / 20)) / 6, m[1m])",
    "quantile(time() % 600 / 300, m)",
    "sum(rate(m{a='1'}[1m])) / sum(rate(m{b='2'}[1m]))",
    "rate(m{b='1'}[45s]) > 3",
    "sort(m)",
    "limit_ratio(scalar(floor(max(m) / 20)) / 6, m)",
    "limit_ratio(1.5, m)",
    "limitk(1, sum by (b) (m))",
    "last_over_time(m[1m]) == ignoring (a) group_left m{a='2'}",
    "increase(m[2m] anchored)",
    "rate(m[2m] smoothed)",
    "m smoothed",
};

typedef struct {
    char *dir;
    store *s;
    promql_cache *cache;
    int64_t base_ms; /* an hour ago, at a full minute */
    unsigned seed;
    unsigned compared;
} env;

static unsigned any(env *e, unsigned n)
{
    return (unsigned)rand_r(&e->seed) % n;
}

static int set_up(void **state)
{
    env *e = calloc(1, sizeof(*e));
    e->dir = make_dir();
    e->s = open_store(e->dir);
    e->base_ms = (clock_now_ns() / NS_PER_MS - 3600000) / 60000 * 60000;
    const char *seed = getenv("SEED"); /* another run of the same */
    e->seed = seed ? (unsigned)strtoul(seed, NULL, 10) : 7;
    assert_int_equal(promql_cache_new(&e->cache, 0, NULL), STATUS_OK);
    *state = e;
    return 0;
}

static int tear_down(void **state)
{
    env *e = *state;
    promql_cache_free(e->cache);
    store_close(e->s);
    remove_dir(e->dir);
    free(e);
    return 0;
}

/* ---- data ---- */

static uint32_t add_sample(batch *b, unsigned number, int64_t ms, double v)
{
    uint32_t scope = add_service(b, "s");
    uint32_t i = add_point(b, add_gauge(b, scope, "m"), ms * NS_PER_MS, v);
    add_attr(b, &b->points.attributes[i], "a", VALUE_S(text(b, "%u", 9 - number % 4)));
    add_attr(b, &b->points.attributes[i], "b", VALUE_S(text(b, "%u", number / 4)));
    return i;
}

/* As if some seconds went by: changes are remembered together for so long. */
static void let_time_pass(env *e)
{
    changes *c = &e->s->changes;
    pthread_mutex_lock(&c->lock);
    for (uint64_t i = 0; i < MIN(c->count, (uint64_t)CHANGE_STRETCHES); i++)
        c->stretches[i].began_ns -= 2 * CHANGE_STRETCH_S * NS_PER_S;
    pthread_mutex_unlock(&c->lock);
}

/* The samples of a quarter of a minute; some of them late, twice, or the end of their series. */
static void let_samples_come(env *e, int64_t now_ms)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(8));
    unsigned known = (unsigned)MIN((now_ms - e->base_ms) / 100000 + 5, SERIES);
    for (unsigned n = 0; n < known; n++) {
        if (any(e, 7) == 0)
            continue;
        uint32_t i = add_sample(&b, n, now_ms - any(e, 15000), any(e, 1000) / 7.0);
        if (any(e, 25) == 0)
            b.points.flags[i] |= POINT_FLAG_NO_RECORDED_VALUE;
    }
    if (any(e, 8) == 0) /* late, now and then very late or the same time again */
        add_sample(&b, any(e, SERIES), now_ms - any(e, any(e, 3) ? 60000 : 600000), any(e, 100));
    if (batch_row_count(&b))
        ingest(e->s, &b);
    batch_done(&b);
}

/* ---- comparing ---- */

static void put_result(buf *out, const promql_result *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const promql_series *s = &r->series[i];
        labels_print_all(out, s->labels);
        for (uint32_t k = 0; k < s->count; k++) {
            uint64_t bits;
            memcpy(&bits, &s->value[k], sizeof(bits));
            buf_fmt(out, " %lld:%llx", (long long)s->time_ms[k], (unsigned long long)bits);
            if (s->histograms && s->histograms[k])
                buf_str(out, STR("h"));
        }
        buf_char(out, '\n');
    }
    for (uint32_t i = 0; i < r->notes.count; i++)
        buf_fmt(out, "%d %.*s\n", r->notes.warning[i], STR_ARG(r->notes.items[i]));
}

static void ask(env *e, promql_cache *cache, const char *query, promql_options o, buf *out)
{
    arena a;
    const promql_node *n;
    promql_result r;
    error err = { 0 };
    o.features = ~UINT32_C(0) & ~(uint32_t)PROMQL_DELAYED_NAME_REMOVAL;
    arena_init(&a, MiB(64));
    if (promql_parse(&n, str_c(query), o.features, &a, &err) != STATUS_OK)
        FAIL("%s: %s", query, err.message);
    if (promql_cached_range(cache, e->s, n, str_c(query), &o, &a, &r, &err) == STATUS_OK)
        put_result(out, &r);
    else
        buf_str(out, str_c(err.message));
    arena_done(&a);
}

static void compare(env *e, const char *query, promql_options o)
{
    buf cached, plain;
    buf_init(&cached, 0);
    buf_init(&plain, 0);
    ask(e, e->cache, query, o, &cached);
    ask(e, NULL, query, o, &plain);
    buf_char(&cached, 0);
    buf_char(&plain, 0);
    if (strcmp(cached.ptr, plain.ptr))
        FAIL("%s, %lld to %lld by %lld\ncached:\n%.4000s\nwithout:\n%.4000s", query,
             (long long)o.start_ms, (long long)o.end_ms, (long long)o.step_ms, cached.ptr,
             plain.ptr);
    e->compared++;
    buf_done(&cached);
    buf_done(&plain);
}

/* A dashboard of `length`, up to now, as it is drawn: most of them aligned to the step. */
static promql_options window_of(env *e, int64_t now_ms, unsigned panel)
{
    static const int64_t steps[] = { STEP_MS, 30000, 7000 };
    int64_t step = steps[panel % ARRAY_LEN(steps)], length = (panel % 2 ? 10 : 4) * 60000;
    int64_t end = any(e, 9) ? now_ms - now_ms % step : now_ms - any(e, 60000);
    int64_t back = any(e, 9) == 0 ? (int64_t)any(e, 20) * step : 0; /* scrolled into the past */
    return (promql_options){ .start_ms = end - back - length / step * step,
                             .end_ms = end - back + any(e, 2) * (step - 1),
                             .step_ms = step,
                             .lookback_ms = panel % 4 == 1 ? 40000 : 0 };
}

static void refresh(env *e, int64_t now_ms)
{
    for (unsigned i = 0; i < ARRAY_LEN(expressions); i++) {
        char query[300];
        if (any(e, 4))
            continue;
        const char *at = strstr(expressions[i], "TIME");
        str_copy_c(query, sizeof(query), str_c(expressions[i]));
        if (at)
            snprintf(query, sizeof(query), "%.*s%lld%s", (int)(at - expressions[i]), expressions[i],
                     (long long)(e->base_ms / 1000 + 300), at + strlen("TIME"));
        compare(e, query, window_of(e, now_ms, i));
    }
}

static void reopen(env *e)
{
    promql_cache_free(e->cache);
    store_close(e->s);
    e->s = open_store(e->dir);
    assert_int_equal(promql_cache_new(&e->cache, 0, NULL), STATUS_OK);
}

static void a_cached_answer_is_the_answer(void **state)
{
    env *e = *state;
    promql_cache_stats total = { 0 }, st;
    for (unsigned i = 0; i < REFRESHES; i++) {
        int64_t now_ms = e->base_ms + (int64_t)i * STEP_MS / 2;
        let_samples_come(e, now_ms);
        let_time_pass(e);
        if (any(e, 20) == 0)
            seal(e->s);
        if (i % 80 == 79) {
            promql_cache_get_stats(e->cache, &st);
            total.hits += st.hits;
            total.stale += st.stale;
            reopen(e);
        }
        refresh(e, now_ms);
    }
    promql_cache_get_stats(e->cache, &st);
    total.hits += st.hits;
    total.stale += st.stale;
    print_message("%u compared, %llu with steps from the cache, %llu outdated\n", e->compared,
                  (unsigned long long)total.hits, (unsigned long long)total.stale);
    assert_true(total.hits > e->compared / 20);
    assert_true(total.stale > 10);
}

/* ---- by itself ---- */

static promql_options hour(const env *e)
{
    return (promql_options){ .start_ms = e->base_ms,
                             .end_ms = e->base_ms + 1200000,
                             .step_ms = STEP_MS };
}

static void fill(env *e, unsigned series)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(64));
    for (unsigned n = 0; n < series; n++)
        for (int64_t t = 0; t < 1200000; t += 60000)
            add_sample(&b, n, e->base_ms + t, n + (double)t / 7);
    ingest(e->s, &b);
    batch_done(&b);
}

static void says_what_was_there(void **state)
{
    env *e = *state;
    promql_options o = hour(e);
    promql_cache_stats st;
    fill(e, 4);
    compare(e, "sum(m)", o);
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.misses, 1);
    assert_int_equal(st.entries, 1);
    compare(e, "sum( m )", o); /* the same, written otherwise */
    o.end_ms += STEP_MS, o.start_ms += STEP_MS;
    compare(e, "sum(m)", o);
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.hits, 2);
    batch b; /* behind the last step: nothing changed */
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    add_sample(&b, 1, e->base_ms + 3000000, 1);
    let_time_pass(e);
    ingest(e->s, &b);
    batch_done(&b);
    compare(e, "sum(m)", o);
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.hits, 3);
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    add_sample(&b, 1, e->base_ms + 500, 1);
    ingest(e->s, &b);
    batch_done(&b);
    compare(e, "sum(m)", o);
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.stale, 1);
}

static void what_retention_takes_is_gone(void **state)
{
    env *e = *state;
    fill(e, 4);
    seal(e->s);
    compare(e, "count(m)", hour(e));
    compare(e, "count(m)", hour(e));
    e->s->options.retention_ns = 30 * 86400 * NS_PER_S;
    error err;
    assert_int_equal(retention_apply(e->s, clock_now_ns() + 40 * 86400 * NS_PER_S, &err),
                     STATUS_OK);
    compare(e, "count(m)", hour(e));
    promql_cache_stats st;
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.hits, 1);
    assert_int_equal(st.stale, 1);
    e->s->options.retention_ns = 0;
}

/* "m" does not look like a counter, and 1.5 is no quantile. */
static void keeps_notes(void **state)
{
    env *e = *state;
    promql_options o = hour(e);
    promql_cache_stats st;
    fill(e, 4);
    for (unsigned i = 0; i < 6; i++) {
        compare(e, "rate(m[5m])", o); /* of all steps: each refresh brings one more */
        compare(e, "quantile(1.5, m)", o);
        o.end_ms += STEP_MS, o.start_ms += STEP_MS;
    }
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.misses, 2);
    assert_int_equal(st.hits, 10);
    assert_int_equal(st.partial, 10);
    o.end_ms -= STEP_MS, o.start_ms -= STEP_MS;
    compare(e, "quantile_over_time(scalar(m{a='9',b='0'}) / 100000 + 0.9, m[5m])", o);
    compare(e, "quantile_over_time(scalar(m{a='9',b='0'}) / 100000 + 0.9, m[5m])", o);
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.hits, 11); /* many notes, and all of them of these steps */
    o.end_ms += 2 * STEP_MS, o.start_ms += 2 * STEP_MS;
    compare(e, "quantile_over_time(scalar(m{a='9',b='0'}) / 100000 + 0.9, m[5m])", o);
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.hits, 11);
    compare(e, "quantile_over_time(1 + time() % 3000 / 7, m[5m])",
            hour(e)); /* more notes than are kept */
    compare(e, "quantile_over_time(1 + time() % 3000 / 7, m[5m])", hour(e));
    promql_cache_get_stats(e->cache, &st);
    assert_int_equal(st.hits, 11);
}

static void holds_its_limit(void **state)
{
    env *e = *state;
    promql_cache_stats st;
    fill(e, 200);
    promql_cache_free(e->cache);
    assert_int_equal(promql_cache_new(&e->cache, KiB(512), NULL), STATUS_OK);
    for (unsigned i = 0; i < 300; i++) {
        char query[64];
        snprintf(query, sizeof(query), i % 40 ? "sum(m) + %u" : "m + %u", i);
        compare(e, query, hour(e)); /* 200 series are above what one answer may take */
        promql_cache_get_stats(e->cache, &st);
        assert_true(st.bytes <= KiB(512));
    }
    assert_in_range(st.entries, 5, 290);
    assert_in_range(st.evictions, 1, 295);
}

static void far_times_are_no_trouble(void **state)
{
    env *e = *state;
    fill(e, 1);
    compare(e, "m offset -200y", hour(e));
    compare(e, "sum_over_time(m[1m:10s] offset -200y) + m", hour(e));
    compare(e, "m @ 9000000000 + m", hour(e));
}

/* ---- by threads ---- */

typedef struct {
    env *e;
    unsigned seed;
    atomic_bool *done;
    atomic_uint *failed;
} dashboard;

/* Counts of a series that is whole: whoever evaluates, the answer is known. */
static void *draw(void *user)
{
    dashboard *d = user;
    env *e = d->e;
    while (!atomic_load(d->done)) {
        char query[64];
        promql_options o = hour(e);
        int64_t slide = (int64_t)(rand_r(&d->seed) % 20) * STEP_MS;
        o.start_ms += slide;
        o.end_ms = o.start_ms + 600000;
        snprintf(query, sizeof(query), "count(m{b='0'}) * %d", rand_r(&d->seed) % 5 + 1);
        buf cached, plain;
        buf_init(&cached, 0);
        buf_init(&plain, 0);
        ask(e, e->cache, query, o, &cached);
        ask(e, NULL, query, o, &plain);
        if (!str_eq(buf_view(&cached), buf_view(&plain)))
            atomic_fetch_add(d->failed, 1);
        buf_done(&cached);
        buf_done(&plain);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    env *e = *state;
    atomic_bool done = false;
    atomic_uint failed = 0;
    pthread_t threads[4];
    dashboard boards[4];
    fill(e, 4);
    promql_cache_free(e->cache);
    assert_int_equal(promql_cache_new(&e->cache, KiB(64), NULL), STATUS_OK); /* entries go */
    for (unsigned i = 0; i < 4; i++) {
        boards[i] = (dashboard){ e, i, &done, &failed };
        assert_int_equal(pthread_create(&threads[i], NULL, draw, &boards[i]), 0);
    }
    for (unsigned i = 0; i < 60; i++) {
        batch b; /* makes all of them outdated, and changes no answer */
        batch_init(&b, SIGNAL_METRICS, MiB(1));
        add_sample(&b, 8 + i % 4, e->base_ms + i, i);
        ingest(e->s, &b);
        batch_done(&b);
        if (i % 20 == 10)
            seal(e->s);
    }
    promql_cache_stats st = { 0 }; /* now that nothing comes any more, some are found */
    for (int64_t end = clock_mono_ns() + 20 * NS_PER_S; !st.hits && clock_mono_ns() < end;) {
        usleep(1000);
        promql_cache_get_stats(e->cache, &st);
    }
    atomic_store(&done, true);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(failed, 0);
    assert_true(st.hits > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cached_answer_is_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_was_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_retention_takes_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_notes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(holds_its_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(far_times_are_no_trouble, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_share_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
