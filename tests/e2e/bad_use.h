/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that misuse the library share: they number what they record, and say at the end
 * how much that was and how much of it the library counted as dropped. */
#ifndef SONDE_TESTS_BAD_USE_H
#define SONDE_TESTS_BAD_USE_H

#include <sonde/sonde.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            dprintf(2, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            _exit(3); \
        } \
    } while (0)

static _Atomic long bad_logs, bad_spans, bad_adds;
static const char *bad_dir, *bad_lines;

/* sonde_dropped_total of a signal, all reasons, as the page /metrics has it. */
static long dropped(const char *signal)
{
    char wanted[64];
    long sum = 0;
    sonde_http_response page = { 0 };
    if (!sonde_http_handle(&(sonde_http_request){ .method = "GET", .path = "/metrics" }, &page))
        return -1;
    char *text = calloc(1, page.body_len + 1);
    memcpy(text, page.body, page.body_len);
    snprintf(wanted, sizeof(wanted), "signal=\"%s\"", signal);
    for (char *line = text; (line = strstr(line, "\nsonde_dropped_total{")); line++) {
        char *end = strchr(line + 1, '\n');
        char *found = strstr(line, wanted);
        if (end && found && found < end)
            sum += strtol(strstr(line, "} ") + 2, NULL, 10);
    }
    free(text);
    sonde_http_response_free(&page);
    return sum;
}

static sonde_options bad_options(void)
{
    return (sonde_options){ .service = "bad-use",
                            .recorder_dir = bad_dir,
                            .log_output = bad_lines,
                            .stop_timeout_ms = 20000 };
}

static void bad_start(void)
{
    sonde_options options = bad_options();
    MUST(sonde_start(&options) == 0);
}

/* One log with a number of its own, safe everywhere. */
static void one_log(void)
{
    long n = atomic_fetch_add(&bad_logs, 1);
    sonde_info("numbered", sonde_kv("n", n), sonde_kv("text", "some text"));
}

static void one_span(void)
{
    atomic_fetch_add(&bad_spans, 1);
    SONDE_SPAN ("step", sonde_kv("n", 1)) {
        sonde_span_set(sonde_kv("late", "value"));
    }
}

/* One line of JSON; the test adds it up. Before sonde_stop. */
static void report(void)
{
    sonde_flush(20000);
    printf("{\"logs\":%ld,\"spans\":%ld,\"adds\":%ld,\"dropped_logs\":%ld,\"dropped_spans\":%ld,"
           "\"dropped_metrics\":%ld}\n",
           (long)bad_logs, (long)bad_spans, (long)bad_adds, dropped("logs"), dropped("traces"),
           dropped("metrics"));
    fflush(stdout);
}

#endif
