// SPDX-License-Identifier: Apache-2.0
/* What libsonde's calls cost, beside the floors of the machine. Between bursts, outside of the
 * measured time, the records are drained, so that none is dropped; the end says whether that held.
 */
#include "base/clock.h"
#include "benchmarks/measure.h"
#include "codec/recorder.h"
#include "lib/metric_page.h"
#include "lib/state.h"
#include "sonde/metric.h"
#include "sonde/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { BURST = MEASURE_BURST, THREADS_MAX = MEASURE_THREADS_MAX };

static sonde_counter *requests;
static sonde_bound_counter *bound_requests;
static sonde_histogram *durations;
static sonde_bound_histogram *bound_durations, *bound_sizes;
static sonde_counter *answers;

static recorder *the_recorder;
static recorder_reader *reader;
static recorder_cursor *cursor;

/* ---- what is measured ---- */

static __thread volatile uint64_t local_number;
static uint64_t shared_numbers[THREADS_MAX][8]; /* one cache line each */
static char copy_from[256] = "256 bytes";
static __thread char copy_to[256];

static void floor_local_add(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++)
        local_number = local_number + 1;
}

static void floor_xadd(int thread)
{
    for (int i = 0; i < BURST; i++)
        __atomic_fetch_add(&shared_numbers[thread][0], 1, __ATOMIC_RELAXED);
}

static void floor_ticks(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++) {
#if defined(__x86_64__)
        local_number = __rdtsc();
#endif
    }
}

static void floor_clock(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++)
        local_number = (uint64_t)clock_now_ns();
}

static void floor_copy(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++) {
        memcpy(copy_to, copy_from, sizeof(copy_to));
        __asm__ volatile("" ::"r"(copy_to) : "memory");
    }
}

static void log_four_fields(int thread)
{
    for (int i = 0; i < BURST; i++)
        sonde_info("order_placed", sonde_kv("order_id", i), sonde_kv("total", 99.5),
                   sonde_kv("currency", "EUR"), sonde_kv("thread", thread));
}

static void log_disabled(int thread)
{
    for (int i = 0; i < BURST; i++)
        sonde_debug("order_placed", sonde_kv("order_id", i), sonde_kv("total", 99.5),
                    sonde_kv("currency", "EUR"), sonde_kv("thread", thread));
}

static void log_in_context(int thread)
{
    SONDE_CONTEXT (sonde_kv("request_id", "0193d1c2-7f9a-7c11-a5bd-9a3f5a2c1e77")) {
        SONDE_SPAN ("request") {
            log_four_fields(thread);
        }
    }
}

static void span_start_end(int thread)
{
    for (int i = 0; i < BURST; i++) {
        SONDE_SPAN ("checkout", sonde_kv("user.id", thread)) {
            __asm__ volatile("" ::: "memory");
        }
    }
}

static void span_four_attributes(int thread)
{
    for (int i = 0; i < BURST; i++) {
        SONDE_SPAN ("checkout", sonde_kv("user.id", thread), sonde_kv("order.id", i),
                    sonde_kv("order.currency", "EUR"), sonde_kv("order.total", 99.5)) {
            __asm__ volatile("" ::: "memory");
        }
    }
}

/* The root of a trace that another service decided not to sample, and its child. */
static void span_unsampled(int thread)
{
    sonde_context from = { .trace_id = { 1 }, .span_id = { 2 } };
    SONDE_WITH (from) {
        for (int i = 0; i < BURST; i++) {
            SONDE_SPAN ("checkout", sonde_kv("user.id", thread), sonde_kv("order.id", i),
                        sonde_kv("order.currency", "EUR"), sonde_kv("order.total", 99.5)) {
                __asm__ volatile("" ::: "memory");
            }
        }
    }
}

static void counter_add(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++)
        sonde_counter_add(bound_requests, 1);
}

static void counter_add_labels(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++)
        sonde_counter_add(requests, 1, "EUR");
}

static void histogram_record(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++)
        sonde_histogram_record(bound_durations, 0.001 * i);
}

static void counter_add_three_labels(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++)
        sonde_counter_add(answers, 1, "GET", "/users/{id}", "200");
}

static void counter_add_in_span(int thread)
{
    SONDE_SPAN ("request") {
        counter_add(thread);
    }
}

static void exponential_record(int thread)
{
    (void)thread;
    for (int i = 0; i < BURST; i++)
        sonde_histogram_record(bound_sizes, 0.001 * i + 0.0001);
}

static const measure measures[] = {
    { "floor: thread-local add", floor_local_add, "" },
    { "floor: xadd, own cache line", floor_xadd, "" },
    { "floor: rdtsc", floor_ticks, "" },
    { "floor: clock_gettime", floor_clock, "" },
    { "floor: copy of 256 bytes", floor_copy, "" },
    { "log, 4 fields", log_four_fields, "<= 40" },
    { "log, 4 fields, in span and context", log_in_context, "" },
    { "log, level disabled", log_disabled, "" },
    { "span start + end, 1 attribute", span_start_end, "" },
    { "span start + end, 4 attributes", span_four_attributes, "<= 60" },
    { "span unsampled, 4 attributes", span_unsampled, "<= 8" },
    { "counter add, bound", counter_add, "<= 1.5" },
    { "counter add, bound, in a span", counter_add_in_span, "" },
    { "counter add, 1 label", counter_add_labels, "" },
    { "counter add, 3 labels", counter_add_three_labels, "<= 25" },
    { "histogram record, bound", histogram_record, "<= 6" },
    { "histogram record, exponential", exponential_record, "<= 6" },
};

/* ---- running ---- */

static void drain(void)
{
    uint32_t rows;
    bool full;
    error err = { 0 };
    if (recorder_poll(reader, cursor, INT64_MAX, UINT32_MAX, NULL, NULL, &rows, &full, &err) !=
            STATUS_OK ||
        recorder_cursor_commit(reader, cursor, &err) != STATUS_OK) {
        fprintf(stderr, "bench_library: %s\n", err.message);
        exit(1);
    }
}

static void start(void)
{
    error err = { 0 };
    recorder_options options = { .service = STR("bench") };
    state_sampler all = { .parent_based = true };
    if (recorder_open(&the_recorder, &options, &err) != STATUS_OK || err.code != STATUS_OK ||
        state_enable(the_recorder, &options, SONDE_INFO, all, &err) != STATUS_OK ||
        recorder_open_reader(the_recorder, &reader, NULL, &err) != STATUS_OK ||
        recorder_cursor_open(reader, &cursor, STR("bench"), &err) != STATUS_OK) {
        fprintf(stderr, "bench_library: %s\n", err.message);
        exit(1);
    }
    requests = sonde_counter_new("requests_total", "Requests.", SONDE_LABELS("currency"));
    bound_requests = sonde_counter_bind(requests, "EUR");
    durations = sonde_histogram_new("duration_seconds", "Durations.", SONDE_LABELS("route"));
    bound_durations = sonde_histogram_bind(durations, "/users/{id}");
    answers =
        sonde_counter_new("answers_total", "Answers.", SONDE_LABELS("method", "route", "code"));
    bound_sizes = sonde_histogram_bind(
        sonde_histogram_new("size", "Sizes.", SONDE_LABELS("route"), .exponential = true),
        "/users/{id}");
}

/* ---- scrapes ---- */

/* The shortest of some rounds, in ms: the others met something else that the machine did. */
static double scrape_ms(const char *accept, size_t *ret_bytes)
{
    enum { SCRAPES = 60 };
    double best = 1e9;
    for (int i = 0; i < SCRAPES; i++) {
        buf page;
        const char *type;
        buf_init(&page, MiB(64));
        int64_t begin = clock_mono_ns();
        if (metric_page(accept, &page, &type) != 200)
            exit(1);
        double ms = (double)(clock_mono_ns() - begin) / (double)NS_PER_MS;
        best = MIN(best, ms);
        *ret_bytes = page.len;
        buf_done(&page);
    }
    return best;
}

static void scrapes(void)
{
    static const struct {
        const char *name, *accept;
    } formats[] = {
        { "text", "text/plain" },
        { "OpenMetrics", "application/openmetrics-text;version=1.0.0" },
        { "protobuf", "application/vnd.google.protobuf;"
                      "proto=io.prometheus.client.MetricFamily;encoding=delimited" },
    };
    char route[32], code[32];
    sonde_counter *c = sonde_counter_new("scraped_total", "Scraped.", SONDE_LABELS("route", "code"),
                                         .series_limit = 10000);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(route, sizeof(route), "/route/%d", i / 10);
        (void)snprintf(code, sizeof(code), "%d", 200 + i % 10);
        sonde_counter_add(c, i * 7919, route, code);
    }
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        size_t bytes;
        double ms = scrape_ms(formats[i].accept, &bytes);
        printf("%sscrape of 10,000 series, %-12s %8.2f ms %10zu bytes %s\n", i ? "" : "\n",
               formats[i].name, ms, bytes, i ? "" : "  aim: <= 2");
    }
}

int main(void)
{
    start();
    measure_table("libsonde", measures, ARRAY_LEN(measures), drain);
    scrapes();
    uint64_t dropped = 0;
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        for (int reason = 0; reason < RECORDER_DROP_COUNT; reason++)
            dropped += recorder_drops(reader, (signal_kind)s, (recorder_drop)reason);
    }
    printf("\n%llu dropped\n", (unsigned long long)dropped);
    recorder_reader_close(reader);
    recorder_close(state_disable(), true);
    return dropped ? 1 : 0;
}
