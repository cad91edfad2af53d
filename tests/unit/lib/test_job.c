// SPDX-License-Identifier: Apache-2.0
/* Jobs: metrics, events, context and spans from creation to end. */
#include "unit/lib/live_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void start(void)
{
    sonde_options o = live_options();
    setenv("OTEL_TRACES_EXPORTER", "console", 1);
    assert_int_equal(sonde_start(&o), 0);
}

static void assert_page_has(const char *part, bool has)
{
    sonde_http_response page;
    assert_true(sonde_http_handle(&(sonde_http_request){ .path = "/metrics" }, &page));
    if (str_contains(str_n(page.body, page.body_len), str_c(part)) != has)
        fail_msg("%s %s in\n%.*s", part, has ? "is not" : "is", (int)page.body_len, page.body);
    sonde_http_response_free(&page);
}

static void a_job_is_seen_from_creation_to_end(void **state UNUSED)
{
    start();
    sonde_jobs *jobs = sonde_jobs_new(&(sonde_jobs_options){ .prefix = "sixty" });
    sonde_job *job = sonde_job_created(jobs, &(sonde_job_info){ .id = "j-1", .type = "research" });
    assert_page_has("sixty_active_jobs{job_type=\"research\"} 1", true);
    sonde_job_started(job);
    SONDE_JOB (job) {
        sonde_info("inside");
        SONDE_JOB_SPAN (job, "create_task", sonde_kv("n", 1))
            SONDE_JOB_SPAN (job, "poll_task")
                sonde_job_external_call(job, "yutori", "create_task", 1.5, true);
    }
    sonde_job_progress(job, 50, "halfway");
    sonde_job_completed(job, "failed");
    sonde_info("outside");
    assert_page_has("# HELP sixty_commands_total Total number of commands received", true);
    assert_page_has("sixty_commands_total{intent=\"research\",status=\"created\"} 1", true);
    assert_page_has("sixty_commands_total{intent=\"research\",status=\"failed\"} 1", true);
    assert_page_has("sixty_active_jobs{job_type=\"research\"} 0", true);
    assert_page_has("sixty_job_duration_seconds_count{job_type=\"research\",status=\"failed\"} 1",
                    true);
    assert_page_has("sixty_external_api_calls_total{provider=\"yutori\",status=\"success\"} 1",
                    true);
    assert_page_has("sixty_external_api_latency_seconds_sum{provider=\"yutori\"} 1.5", true);
    assert_page_has("jobs_processed_total", false);
    sonde_jobs_free(jobs);
    sonde_stop();
    static const char *const events[] = { "job_created",   "job_started",       "job_progress",
                                          "job_completed", "external_api_call", "inside" };
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        char part[64];
        snprintf(part, sizeof(part), "\"message\":\"%s\"", events[i]);
        assert_int_equal(live_count(part), 1);
    }
    assert_int_equal(live_count("\"job_id\":\"j-1\""), 8); /* six lines and two spans */
    assert_int_equal(live_count("\"progress\":50"), 1);
    assert_int_equal(live_count("\"level\":\"error\""), 1);
    assert_int_equal(live_count("\"job.type\":\"research\""), 2);
    assert_int_equal(live_count("\"duration_seconds\":1.5"), 1);
    assert_int_equal(live_count("\"parent_span_id\""), 1); /* poll_task is create_task's child */
}

static void a_worker_counts_what_it_took_and_whether_it_had_a_trace(void **state UNUSED)
{
    static const char payload[] = "{\"request_id\":\"req-7\",\"traceparent\":"
                                  "\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}";
    start();
    sonde_jobs *jobs =
        sonde_jobs_new(&(sonde_jobs_options){ .worker = true, .retries_metric = "again_total" });
    sonde_context from = sonde_extract_json(payload, sizeof(payload) - 1);
    sonde_job *job =
        sonde_job_taken(jobs, &(sonde_job_info){ .id = "1", .type = "mail", .context = &from });
    SONDE_JOB_SPAN (job, "send")
        sonde_job_retried(job, 2, "busy");
    sonde_job_completed(job, "done");
    job = sonde_job_taken(jobs, NULL);
    sonde_job_ended(job, "failed", "no luck");
    assert_page_has("jobs_processed_total{status=\"done\",type=\"mail\"} 1", true);
    assert_page_has("job_duration_seconds_count{type=\"mail\"} 1", true);
    assert_page_has("again_total{type=\"mail\"} 1", true);
    assert_page_has("jobs_trace_total{status=\"done\",trace=\"present\",type=\"mail\"} 1", true);
    assert_page_has("jobs_trace_total{status=\"failed\",trace=\"missing\",type=\"job\"} 1", true);
    assert_page_has("commands_total", false);
    sonde_jobs_free(jobs);
    sonde_stop();
    assert_int_equal(live_count("\"request_id\":\"req-7\""), 3);
    assert_int_equal(live_count("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\""), 3);
    assert_int_equal(live_count("\"parent_span_id\":\"00f067aa0ba902b7\""), 1);
    assert_int_equal(live_count("\"error\":\"no luck\""), 1);
}

static void null_is_fine_everywhere(void **state UNUSED)
{
    assert_null(sonde_job_created(NULL, NULL));
    sonde_job_started(NULL);
    sonde_job_progress(NULL, 1, NULL);
    sonde_job_retried(NULL, 1, NULL);
    sonde_job_completed(NULL, NULL);
    sonde_job_external_call(NULL, "a", "b", 1, true);
    SONDE_JOB (NULL)
        SONDE_JOB_SPAN (NULL, "x")
            sonde_jobs_external_call(NULL, "a", "b", 1, true);
    sonde_jobs_free(NULL);
    sonde_jobs *jobs = sonde_jobs_new(NULL);
    sonde_job_completed(sonde_job_created(jobs, NULL), NULL);
    sonde_jobs_free(jobs);
}

static void a_released_job_is_active_no_longer_and_has_no_outcome(void **state UNUSED)
{
    start();
    sonde_jobs *jobs = sonde_jobs_new(&(sonde_jobs_options){ .prefix = "left" });
    sonde_job_released(sonde_job_created(jobs, &(sonde_job_info){ .id = "j-8" }));
    sonde_job_released(NULL);
    assert_page_has("left_active_jobs{job_type=\"job\"} 0", true);
    assert_page_has("left_commands_total{intent=\"job\",status=\"created\"} 1", true);
    assert_page_has("left_job_duration_seconds_count", false);
    sonde_jobs_free(jobs);
    sonde_stop();
    assert_int_equal(live_count("\"message\":\"job_released\""), 1);
    assert_int_equal(live_count("job_completed"), 0);
}

static void events_are_by_the_logger_of_the_options(void **state UNUSED)
{
    start();
    sonde_jobs *jobs = sonde_jobs_new(&(sonde_jobs_options){ .logger = "app.jobs" });
    sonde_job *job = sonde_job_created(jobs, &(sonde_job_info){ .id = "j-9" });
    sonde_job_external_call(job, "yutori", "create_task", 1.5, false);
    sonde_logger_level_set("app.jobs", SONDE_ERROR);
    sonde_job_progress(job, 50, "halfway");
    sonde_job_completed(job, "failed");
    sonde_jobs_free(jobs);
    sonde_stop();
    assert_int_equal(live_count("\"logger\":\"app.jobs\""), 3);
    assert_int_equal(live_count("\"job_id\":\"j-9\""), 3);
    assert_int_equal(live_count("job_progress"), 0);
}

int main(void)
{
#define LIVE(f) cmocka_unit_test_setup_teardown(f, live_make, live_remove)
    const struct CMUnitTest tests[] = {
        LIVE(a_job_is_seen_from_creation_to_end),
        LIVE(a_worker_counts_what_it_took_and_whether_it_had_a_trace),
        LIVE(a_released_job_is_active_no_longer_and_has_no_outcome),
        LIVE(events_are_by_the_logger_of_the_options),
        LIVE(null_is_fine_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
