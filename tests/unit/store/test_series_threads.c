// SPDX-License-Identifier: Apache-2.0
/* Series are found and read by several threads while samples come in, are sealed, merged and taken
 * by retention: whoever asks gets all that was acknowledged before. Meant for the thread sanitizer,
 * and true without it. */
#include "fixture.h"

#include "store/store_internal.h"

#include <pthread.h>
#include <stdatomic.h>

enum { WRITERS = 2, READERS = 3, SERIES_EACH = 12, SEALS = 24 };

#define DAY_MS INT64_C(86400000)

typedef struct {
    store *s;
    int64_t base_ms;
    atomic_int acked[WRITERS]; /* samples of each of the writer's series */
    atomic_bool done;
    atomic_uint reads, wrong;
} shared;

typedef struct {
    shared *common;
    unsigned number;
} worker;

static void add(batch *b, const char *name, unsigned writer, unsigned series, int64_t ms, double v)
{
    uint32_t scope = add_service(b, "s");
    uint32_t i = add_point(b, add_gauge(b, scope, name), ms * NS_PER_MS, v);
    add_attr(b, &b->points.attributes[i], "writer", VALUE_S(text(b, "%u", writer)));
    add_attr(b, &b->points.attributes[i], "n", VALUE_S(text(b, "%u", series)));
}

/* Sample k of each series: a second after the one before, with k as its value. */
static void *write_samples(void *user)
{
    worker *w = user;
    shared *c = w->common;
    for (int k = 0; !atomic_load(&c->done); k++) {
        batch b;
        ingest_result r;
        error err;
        batch_init(&b, SIGNAL_METRICS, MiB(4));
        for (unsigned n = 0; n < SERIES_EACH; n++)
            add(&b, "live", w->number, n, c->base_ms + k * 1000, k);
        if (store_ingest(c->s, &b, STR_EMPTY, &r, &err) != STATUS_OK || r.rejected)
            atomic_fetch_add(&c->wrong, 1);
        batch_done(&b);
        atomic_store(&c->acked[w->number], k + 1);
    }
    return NULL;
}

/* ---- readers ---- */

typedef struct {
    shared *common;
    series_found *found;
    uint32_t from, to; /* of its heads */
    uint32_t least;    /* samples that each must have */
} lane;

static bool is_whole(const series *s, int64_t base_ms, uint32_t least)
{
    if (s->sample_count < least)
        return false;
    for (uint32_t i = 0; i < s->sample_count; i++)
        if (s->value[i] != i || s->time_ms[i] != base_ms + (int64_t)i * 1000)
            return false;
    return true;
}

static void *read_lane(void *user)
{
    lane *l = user;
    shared *c = l->common;
    series_reader *r = NULL;
    error err;
    series s;
    if (series_reader_new(&r, l->found, &err) != STATUS_OK) {
        atomic_fetch_add(&c->wrong, 1);
        return NULL;
    }
    for (uint32_t i = l->from; i < l->to; i++)
        if (series_read(r, i, &s, &err) != STATUS_OK || !is_whole(&s, c->base_ms, l->least))
            atomic_fetch_add(&c->wrong, 1);
    series_reader_free(r);
    return NULL;
}

/* The series of one writer, their halves by two threads. */
static void read_live(shared *c, unsigned writer)
{
    char number[4];
    snprintf(number, sizeof(number), "%u", writer);
    matcher m[] = { { STR("__name__"), MATCH_EQ, STR("live") },
                    { STR("writer"), MATCH_EQ, str_c(number) } };
    series_query q = {
        .matchers = m, .matcher_count = 2, .from_ms = c->base_ms - 1, .to_ms = INT64_MAX / 2
    };
    int acked = atomic_load(&c->acked[writer]);
    arena a;
    error err;
    series_found *f = NULL;
    uint32_t count = 0;
    arena_init(&a, MiB(64));
    if (store_find(c->s, &q, &a, &f, &err) != STATUS_OK) {
        atomic_fetch_add(&c->wrong, 1);
    } else {
        series_found_heads(f, &count);
        if (acked && count != SERIES_EACH)
            atomic_fetch_add(&c->wrong, 1);
        lane halves[] = { { c, f, 0, count / 2, (uint32_t)acked },
                          { c, f, count / 2, count, (uint32_t)acked } };
        pthread_t other;
        bool two = pthread_create(&other, NULL, read_lane, &halves[1]) == 0;
        read_lane(&halves[0]);
        if (two)
            pthread_join(other, NULL);
        series_found_done(f);
    }
    arena_done(&a);
    atomic_fetch_add(&c->reads, 1);
}

/* What retention takes: there or not, but no failure. */
static void read_old(shared *c)
{
    matcher m[] = { { STR("__name__"), MATCH_RE, STR("old|none") } };
    series_query q = { .matchers = m, .matcher_count = 1, .to_ms = INT64_MAX / 2 };
    names_query names = { .signal = SIGNAL_METRICS, .to_ns = INT64_MAX };
    arena a;
    series_set set;
    str_list list;
    error err;
    arena_init(&a, MiB(64));
    uint64_t generation = store_generation(c->s);
    if (store_series(c->s, &q, &a, &set, &err) != STATUS_OK || set.count > SERIES_EACH ||
        store_label_values(c->s, &names, STR("n"), &a, &list, &err) != STATUS_OK)
        atomic_fetch_add(&c->wrong, 1);
    (void)store_changed_since(c->s, generation, c->base_ms);
    arena_done(&a);
}

static void *read_series(void *user)
{
    worker *w = user;
    shared *c = w->common;
    for (unsigned i = w->number; !atomic_load(&c->done); i++) {
        read_live(c, i % WRITERS);
        if (i % 4 == 0)
            read_old(c);
    }
    return NULL;
}

/* ---- */

static void ingest_old(shared *c, unsigned k)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(4));
    for (unsigned n = 0; n < SERIES_EACH; n++)
        add(&b, "old", 0, n, c->base_ms - 8 * DAY_MS + k, k);
    ingest(c->s, &b);
    batch_done(&b);
}

static void nothing_acknowledged_is_missed(void **state)
{
    (void)state;
    char *dir = make_dir();
    shared c = { .s = open_with(
                     (store_options){ .dir = dir, .retention_ns = 10 * DAY_MS * 1000000 }),
                 .base_ms = clock_now_ns() / NS_PER_MS - DAY_MS };
    pthread_t threads[WRITERS + READERS];
    worker workers[WRITERS + READERS];
    error err;
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        workers[i] = (worker){ &c, i < WRITERS ? i : i - WRITERS };
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i < WRITERS ? write_samples : read_series, &workers[i]),
                         0);
    }
    for (unsigned k = 0; k < SEALS; k++) {
        ingest_old(&c, k);
        seal(c.s);
        unsigned before = atomic_load(&c.reads); /* each state is read */
        for (int64_t end = clock_mono_ns() + 20 * NS_PER_S;
             c.reads < before + READERS && clock_mono_ns() < end;)
            usleep(500);
        if (k % 6 == 5 &&
            retention_apply(c.s, clock_now_ns() + 4 * DAY_MS * 1000000, &err) != STATUS_OK)
            FAIL("retention_apply: %s", err.message);
    }
    for (int64_t end = clock_mono_ns() + 20 * NS_PER_S;
         !stats_of(c.s).merges && clock_mono_ns() < end;)
        usleep(1000);
    atomic_store(&c.done, true);
    for (unsigned i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    print_message("%u reads, %d and %d samples, %llu merges\n", c.reads, c.acked[0], c.acked[1],
                  (unsigned long long)stats_of(c.s).merges);
    assert_true(stats_of(c.s).merges > 0);
    assert_int_equal(c.wrong, 0);
    assert_true(c.reads >= SEALS);
    store_close(c.s);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_acknowledged_is_missed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
