// SPDX-License-Identifier: Apache-2.0
/* Health checks: side by side, with a time limit, cached; the shapes of the reports. */
#include "lib/health.h"
#include "sonde/health.h"

#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

/* A check that waits until it is let go. */
typedef struct {
    _Atomic int runs;
    _Atomic bool good;
    bool waits;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool released;
} probe;

#define PROBE(...) \
    { \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, __VA_ARGS__ \
    }

static bool run_probe(void *user, char *detail, size_t size)
{
    probe *p = user;
    p->runs++;
    pthread_mutex_lock(&p->lock);
    while (p->waits && !p->released)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
    if (!p->good)
        snprintf(detail, size, "no route");
    return p->good;
}

static void release(probe *p)
{
    pthread_mutex_lock(&p->lock);
    p->released = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static const char *report(health_kind kind, int want_status)
{
    static char text[2048];
    buf out;
    buf_init(&out, 0);
    int code = health_report(kind, &out);
    str_copy_c(text, sizeof(text), buf_view(&out));
    buf_done(&out);
    if (code != want_status)
        fail_msg("%d: %s", code, text);
    return text;
}

static void configure(sonde_health_options o)
{
    health_configure(&o, STR("1.4.0"));
}

static void without_checks_the_process_is_ready(void **state UNUSED)
{
    configure((sonde_health_options){ 0 });
    assert_string_equal(report(HEALTH_LIVE, 200),
                        "{\"status\":\"ok\",\"version\":\"1.4.0\",\"uptime_seconds\":0}\n");
    assert_string_equal(
        report(HEALTH_READY, 200),
        "{\"status\":\"ok\",\"checks\":{},\"version\":\"1.4.0\",\"uptime_seconds\":0}\n");
}

static void a_failed_check_makes_not_ready_but_stays_alive(void **state UNUSED)
{
    configure((sonde_health_options){ 0 });
    probe db = PROBE(.good = true), redis = PROBE(.good = false);
    sonde_health_check *a = sonde_health_check_new("db", run_probe, &db, 1000);
    sonde_health_check *b = sonde_health_check_new("redis", run_probe, &redis, 1000);
    assert_non_null(a);
    assert_null(sonde_health_check_new("db", run_probe, &db, 1000));
    const char *text = report(HEALTH_READY, 503);
    assert_non_null(strstr(text, "{\"status\":\"failed\",\"checks\":{\"db\":{\"status\":\"ok\","));
    assert_non_null(strstr(text, "\"redis\":{\"status\":\"failed\","));
    assert_non_null(strstr(text, "\"detail\":\"no route\""));
    assert_null(strstr(report(HEALTH_LIVE, 200), "redis"));
    assert_false(sonde_health_ready());
    sonde_health_check_free(b);
    assert_true(sonde_health_ready());
    sonde_health_check_free(a);
}

static void the_flat_shape_is_the_guides(void **state UNUSED)
{
    configure((sonde_health_options){ .shape = SONDE_HEALTH_FLAT, .health_has_checks = true });
    probe db = PROBE(.good = true), redis = PROBE(.good = true);
    sonde_health_check *a = sonde_health_check_new("database", run_probe, &db, 0);
    sonde_health_check *b = sonde_health_check_new("redis", run_probe, &redis, 0);
    assert_string_equal(report(HEALTH_LIVE, 200),
                        "{\"status\":\"healthy\",\"database\":\"connected\","
                        "\"redis\":\"connected\",\"uptime_seconds\":0}\n");
    sonde_health_check_free(a);
    sonde_health_check_free(b);
}

static void the_shape_of_words_says_what_is_wrong(void **state UNUSED)
{
    configure((sonde_health_options){ .shape = SONDE_HEALTH_WORDS });
    probe db = PROBE(.good = true), s3 = PROBE(.good = false);
    sonde_health_check *a = sonde_health_check_new("database", run_probe, &db, 0);
    assert_string_equal(report(HEALTH_LIVE, 200), "{\"status\":\"ok\"}\n");
    assert_string_equal(report(HEALTH_READY, 200),
                        "{\"status\":\"ok\",\"checks\":{\"database\":\"ok\"},"
                        "\"version\":\"1.4.0\"}\n");
    sonde_health_check *b = sonde_health_check_new("s3", run_probe, &s3, 0);
    assert_string_equal(report(HEALTH_READY, 503),
                        "{\"status\":\"degraded\",\"checks\":{\"database\":\"ok\","
                        "\"s3\":\"no route\"},\"version\":\"1.4.0\"}\n");
    sonde_health_check_free(a);
    sonde_health_check_free(b);
}

static void not_ready_can_answer_200(void **state UNUSED)
{
    configure((sonde_health_options){ .ready_always_200 = true });
    probe db = PROBE(.good = false);
    sonde_health_check *a = sonde_health_check_new("db", run_probe, &db, 0);
    assert_non_null(strstr(report(HEALTH_READY, 200), "\"status\":\"failed\""));
    sonde_health_check_free(a);
}

static void a_result_is_used_again_for_a_while(void **state UNUSED)
{
    configure((sonde_health_options){ .cache_ms = 60000 });
    probe db = PROBE(.good = true);
    sonde_health_check *a = sonde_health_check_new("db", run_probe, &db, 0);
    for (int i = 0; i < 5; i++)
        report(HEALTH_READY, 200);
    assert_int_equal(db.runs, 1);
    configure((sonde_health_options){ .cache_ms = 1 });
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    while (db.runs < 2 && clock_mono_ns() < end)
        report(HEALTH_READY, 200);
    assert_int_equal(db.runs, 2);
    sonde_health_check_free(a);
}

static void hanging_checks_cost_one_time_limit_and_one_thread(void **state UNUSED)
{
    configure((sonde_health_options){ .cache_ms = 1 });
    probe one = PROBE(.good = true, .waits = true), two = PROBE(.good = true, .waits = true);
    sonde_health_check *a = sonde_health_check_new("one", run_probe, &one, 200);
    sonde_health_check *b = sonde_health_check_new("two", run_probe, &two, 200);
    int64_t start = clock_mono_ns();
    assert_non_null(strstr(report(HEALTH_READY, 503), "no answer within 200 ms"));
    int64_t took = clock_mono_ns() - start;
    assert_in_range(took, 190 * NS_PER_MS, 390 * NS_PER_MS); /* side by side */
    start = clock_mono_ns();
    report(HEALTH_READY, 503); /* they are late already: no second wait, no second run */
    assert_in_range(clock_mono_ns() - start, 0, 100 * NS_PER_MS);
    assert_int_equal(one.runs, 1);
    release(&one);
    release(&two);
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    bool ready = false;
    while (!ready && clock_mono_ns() < end)
        ready = sonde_health_ready();
    assert_true(ready);
    sonde_health_check_free(a);
    sonde_health_check_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_checks_the_process_is_ready),
        cmocka_unit_test(a_failed_check_makes_not_ready_but_stays_alive),
        cmocka_unit_test(the_flat_shape_is_the_guides),
        cmocka_unit_test(the_shape_of_words_says_what_is_wrong),
        cmocka_unit_test(not_ready_can_answer_200),
        cmocka_unit_test(a_result_is_used_again_for_a_while),
        cmocka_unit_test(hanging_checks_cost_one_time_limit_and_one_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
