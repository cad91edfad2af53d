// SPDX-License-Identifier: Apache-2.0
/* From the recorder to the sinks: what was recorded arrives, once, also after failures of the
 * receiver and after the death of the process. */
#include "unit/lib/live_fixture.h"

#include "unit/lib/stub_server.h"

#include "codec/otlp.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tsan.h"

static char endpoint[64];

static sonde_options otlp_options(const stub_server *server)
{
    sonde_options o = live_options();
    snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server->port);
    o.otlp_endpoint = endpoint;
    return o;
}

/* Requests to a path that hold a text; `first` (may be NULL) gets the first one. */
static size_t requests_with(stub_server *s, const char *path, const char *text)
{
    size_t count = 0;
    char line[64];
    snprintf(line, sizeof(line), "POST %s ", path);
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++)
        count += strncmp(s->requests[i].head, line, strlen(line)) == 0 &&
                 str_contains(buf_view(&s->requests[i].body), str_c(text));
    pthread_mutex_unlock(&s->lock);
    return count;
}

static void lines_arrive_in_the_order_of_time_and_the_file_goes(void **state UNUSED)
{
    sonde_options o = live_options();
    assert_int_equal(sonde_start(&o), 0);
    assert_int_equal(live_files(false), 1);
    for (int i = 0; i < 1000; i++)
        sonde_info("numbered", sonde_kv("n", i));
    sonde_debug("too_low");
    sonde_stop();
    assert_int_equal(live_files(false), 0);
    const char *at = live_lines();
    for (int i = 0; i < 1000; i++) {
        char want[32];
        snprintf(want, sizeof(want), "\"n\":%d}\n", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
    assert_int_equal(live_count("\"message\":\"numbered\""), 1000);
    assert_int_equal(live_count("too_low"), 0);
    assert_int_equal(live_count("\"service\":\"tested\""), 1000);
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 500; i++)
        sonde_info("threaded", sonde_kv("thread", *(int *)arg), sonde_kv("n", i));
    return NULL;
}

static void threads_are_merged_by_time(void **state UNUSED)
{
    pthread_t threads[4];
    int numbers[4];
    sonde_options o = live_options();
    assert_int_equal(sonde_start(&o), 0);
    for (int i = 0; i < 4; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, &numbers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    sonde_stop();
    char before[40] = "", now[40];
    size_t lines = 0;
    for (const char *at = live_lines(); *at; at = strchr(at, '\n') + 1, lines++) {
        assert_int_equal(sscanf(at, "{\"timestamp\":\"%39[^\"]", now), 1);
        assert_true(strcmp(before, now) <= 0);
        memcpy(before, now, sizeof(now));
    }
    assert_int_equal(lines, 2000);
}

static void flush_returns_when_the_sinks_have_it(void **state UNUSED)
{
    sonde_options o = live_options();
    assert_false(sonde_flush(100));
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("flushed");
    assert_true(sonde_flush(10000));
    assert_int_equal(live_count("flushed"), 1);
}

static void all_signals_go_out_by_otlp(void **state UNUSED)
{
    stub_server server;
    stub_start(&server, (const char *const[]){ STUB_OK, NULL });
    sonde_options o = otlp_options(&server);
    assert_int_equal(sonde_start(&o), 0);
    sonde_counter *orders = sonde_counter_new("orders_total", "Orders.", SONDE_LABELS("currency"));
    SONDE_SPAN ("checkout", sonde_kv("user", "u-17")) {
        sonde_info("order_placed");
        sonde_counter_add(orders, 3, "EUR");
    }
    sonde_stop();
    sonde_counter_free(orders);
    assert_int_equal(requests_with(&server, "/v1/logs", "order_placed"), 1);
    assert_int_equal(requests_with(&server, "/v1/traces", "checkout"), 1);
    assert_int_equal(requests_with(&server, "/v1/metrics", "orders_total"), 1);
    assert_int_equal(requests_with(&server, "/v1/logs", "sonde.record.id"), 1);
    assert_int_equal(live_files(false), 0);
    stub_stop(&server);
}

/* The cursor stays where it was while nobody took the data; the next start sends it. */
static void what_a_receiver_did_not_take_is_sent_by_the_next_start(void **state UNUSED)
{
    stub_server server;
    stub_start(&server, (const char *const[]){ STUB_503, NULL });
    sonde_options o = otlp_options(&server);
    o.stop_timeout_ms = 300;
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("kept_for_later");
    int64_t start = clock_mono_ns();
    sonde_stop();
    assert_in_range(clock_mono_ns() - start, 0, 2 * NS_PER_S);
    assert_true(requests_with(&server, "/v1/logs", "kept_for_later") >= 1);
    assert_int_equal(live_files(false), 1);
    assert_int_equal(live_count("kept_for_later"), 1); /* the other sink has it */
    stub_stop(&server);

    stub_start(&server, (const char *const[]){ STUB_OK, NULL });
    o = otlp_options(&server);
    assert_int_equal(sonde_start(&o), 0);
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    while (live_files(false) > 1 && clock_mono_ns() < end)
        sonde_flush(200);
    sonde_stop();
    assert_int_equal(requests_with(&server, "/v1/logs", "kept_for_later"), 1);
    assert_int_equal(live_count("kept_for_later"), 1);
    assert_int_equal(live_files(false), 0);
    stub_stop(&server);
}

static void a_hanging_receiver_holds_up_neither_lines_nor_stop(void **state UNUSED)
{
    stub_server server;
    stub_start(&server, (const char *const[]){ "hang", NULL });
    sonde_options o = otlp_options(&server);
    o.stop_timeout_ms = 300;
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("first");
    assert_true(stub_wait(&server, 1));
    sonde_info("second");
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    while (live_count("second") == 0 && clock_mono_ns() < end)
        usleep(1000);
    assert_int_equal(live_count("second"), 1);
    int64_t start = clock_mono_ns();
    sonde_stop();
    assert_in_range(clock_mono_ns() - start, 0, 2 * NS_PER_S);
    stub_stop(&server);
}

/* Three times what the recorder holds goes by: every line is written, the OTLP side loses and
 * counts. */
static void an_absent_receiver_costs_the_lines_nothing(void **state UNUSED)
{
    char filler[501];
    memset(filler, 'x', 500);
    filler[500] = '\0';
    sonde_options o = live_options();
    o.otlp_endpoint = "http://127.0.0.1:1";
    o.recorder_bytes = MiB(1);
    o.stop_timeout_ms = 100;
    assert_int_equal(sonde_start(&o), 0);
    int64_t end = clock_mono_ns() + 60 * NS_PER_S;
    for (size_t i = 1; i <= 6000; i++) {
        sonde_info("long", sonde_kv("filler", filler));
        while (i % 300 == 0 && live_count("\"long\"") < i && clock_mono_ns() < end)
            usleep(1000);
    }
    assert_int_equal(live_count("\"long\""), 6000);
    sonde_http_response page;
    assert_true(sonde_http_handle(&(sonde_http_request){ .path = "/metrics" }, &page));
    str text = str_n(page.body, page.body_len);
    assert_true(str_contains(text, STR("{reason=\"spool_full\",signal=\"logs\"} ")));
    assert_true(str_contains(text, STR("{reason=\"recorder_full\",signal=\"logs\"} 0\n")));
    sonde_http_response_free(&page);
}

static void a_refusal_is_counted_and_the_rest_goes_on(void **state UNUSED)
{
    stub_server server;
    stub_start(&server, (const char *const[]){ "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
                                               STUB_OK, NULL });
    setenv("OTEL_METRICS_EXPORTER", "none", 1);
    setenv("OTEL_TRACES_EXPORTER", "none", 1);
    setenv("OTEL_BLRP_SCHEDULE_DELAY", "10", 1);
    sonde_options o = otlp_options(&server);
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("refused");
    assert_true(stub_wait(&server, 1));
    sonde_info("taken");
    assert_true(sonde_flush(10000));
    assert_int_equal(requests_with(&server, "/v1/logs", "taken"), 1);
    sonde_http_response page;
    assert_true(sonde_http_handle(&(sonde_http_request){ .path = "/metrics" }, &page));
    str text = str_n(page.body, page.body_len);
    assert_true(str_contains(
        text, STR("sonde_dropped_total{reason=\"export_refused\",signal=\"logs\"} 1")));
    sonde_http_response_free(&page);
    sonde_stop();
    stub_stop(&server);
}

/* ---- death ---- */

/* Runs `work` in a child that then kills itself. */
static void die_after(void (*work)(void))
{
    pid_t child = fork();
    if (child == 0) {
        work();
        kill(getpid(), SIGKILL);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL);
}

static void work_and_leave_a_span_open(void)
{
    sonde_options o = live_options();
    sonde_start(&o);
    sonde_counter *done = sonde_counter_new("jobs_total", "Jobs.", SONDE_LABELS());
    sonde_counter_add(done, 41);
    SONDE_SPAN ("finished_job") {
        sonde_info("job_done");
    }
    sonde_span_start("open_job", &(sonde_span_options){ .kind = SONDE_CONSUMER });
    sonde_info("last_words", sonde_kv("n", 7));
}

static void the_next_start_sends_what_a_killed_process_left(void **state UNUSED)
{
    stub_server server;
    die_after(work_and_leave_a_span_open);
    assert_int_equal(live_files(false), 1);
    stub_start(&server, (const char *const[]){ STUB_OK, NULL });
    sonde_options o = otlp_options(&server);
    assert_int_equal(sonde_start(&o), 0);
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    while (live_files(false) > 1 && clock_mono_ns() < end)
        sonde_flush(200);
    assert_int_equal(live_files(false), 1);
    sonde_stop();
    assert_int_equal(live_count("\"message\":\"last_words\",\"n\":7}"), 1);
    assert_int_equal(live_count("job_done"), 1);
    assert_int_equal(requests_with(&server, "/v1/logs", "last_words"), 1);
    assert_int_equal(requests_with(&server, "/v1/traces", "finished_job"), 1);
    assert_int_equal(requests_with(&server, "/v1/traces", "open_job"), 1);
    assert_int_equal(requests_with(&server, "/v1/traces", "process died before the span ended"), 1);
    assert_int_equal(requests_with(&server, "/v1/metrics", "jobs_total"), 1);
    stub_stop(&server);
}

static void another_service_leaves_it_alone(void **state UNUSED)
{
    die_after(work_and_leave_a_span_open);
    sonde_options o = live_options();
    o.service = "other";
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("hello");
    sonde_stop();
    assert_int_equal(live_count("last_words"), 0);
    assert_int_equal(live_files(false), 1);
}

static void a_damaged_file_is_left_alone(void **state UNUSED)
{
    char path[128];
    buf zeros;
    error err;
    buf_init(&zeros, 0);
    for (int i = 0; i < 100000; i++)
        buf_char(&zeros, 'x');
    assert_int_equal(file_replace(live_dir, "tested-1-abc.rec", buf_view(&zeros), &err), STATUS_OK);
    buf_done(&zeros);
    sonde_options o = live_options();
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("hello");
    sonde_stop();
    assert_int_equal(live_count("hello"), 1);
    snprintf(path, sizeof(path), "%s/tested-1-abc.rec", live_dir);
    assert_int_equal(access(path, F_OK), 0);
}

/* ---- fork, pipes, resources ---- */

static void a_forked_child_drains_its_own(void **state UNUSED)
{
    SKIP_WHERE_FORK_IS_NOT_KNOWN();
    sonde_options o = live_options();
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("parent");
    pid_t child = fork();
    if (child == 0) {
        sonde_info("child");
        sonde_stop();
        _exit(0);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    sonde_stop();
    assert_int_equal(live_count("\"message\":\"child\""), 1);
    assert_int_equal(live_count("\"message\":\"parent\""), 1);
    assert_int_equal(live_files(false), 0);
}

static void a_closed_stdout_does_not_kill(void **state UNUSED)
{
    pid_t child = fork();
    if (child == 0) {
        int fds[2];
        signal(SIGPIPE, SIG_DFL);
        if (pipe(fds) != 0)
            _exit(9);
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        sonde_options o = live_options();
        o.log_output = "stdout";
        sonde_start(&o);
        for (int i = 0; i < 3; i++) {
            sonde_info("into_the_void");
            sonde_flush(5000);
        }
        sonde_stop();
        _exit(0);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    assert_int_equal(live_files(false), 0);
}

static void attribute_limits_hold(void **state UNUSED)
{
    setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "2", 1);
    setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4", 1);
    sonde_options o = live_options();
    assert_int_equal(sonde_start(&o), 0);
    sonde_info("limited", sonde_kv("a", "123456"), sonde_kv("b", 2), sonde_kv("c", 3));
    sonde_stop();
    assert_non_null(strstr(live_lines(), "\"message\":\"limited\",\"a\":\"1234\",\"b\":2}\n"));
}

int main(void)
{
#define LIVE(f) cmocka_unit_test_setup_teardown(f, live_make, live_remove)
    const struct CMUnitTest tests[] = {
        LIVE(lines_arrive_in_the_order_of_time_and_the_file_goes),
        LIVE(threads_are_merged_by_time),
        LIVE(flush_returns_when_the_sinks_have_it),
        LIVE(all_signals_go_out_by_otlp),
        LIVE(what_a_receiver_did_not_take_is_sent_by_the_next_start),
        LIVE(a_hanging_receiver_holds_up_neither_lines_nor_stop),
        LIVE(an_absent_receiver_costs_the_lines_nothing),
        LIVE(a_refusal_is_counted_and_the_rest_goes_on),
        LIVE(the_next_start_sends_what_a_killed_process_left),
        LIVE(another_service_leaves_it_alone),
        LIVE(a_damaged_file_is_left_alone),
        LIVE(a_forked_child_drains_its_own),
        LIVE(a_closed_stdout_does_not_kill),
        LIVE(attribute_limits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
