// SPDX-License-Identifier: Apache-2.0
/* What libsonde's calls cost, beside the floors of the machine: medians over bursts of calls, for
 * one thread and for two at once. Between bursts, outside of the measured time, the records are
 * drained, so that none is dropped; the end says whether that held. */
#include "base/clock.h"
#include "codec/recorder.h"
#include "lib/state.h"
#include "sonde/metric.h"
#include "sonde/span.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { BURST = 1000, ROUNDS = 400, WARM_UP = 40, THREADS_MAX = 2 };

static sonde_counter *requests;
static sonde_bound_counter *bound_requests;
static sonde_histogram *durations;
static sonde_bound_histogram *bound_durations;

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

typedef struct {
    const char *name;
    void (*run)(int thread);
    const char *aim;
} measure;

static const measure measures[] = {
    { "floor: thread-local add", floor_local_add, "" },
    { "floor: xadd, own cache line", floor_xadd, "" },
    { "floor: rdtsc", floor_ticks, "" },
    { "floor: clock_gettime", floor_clock, "" },
    { "floor: copy of 256 bytes", floor_copy, "" },
    { "log, 4 fields", log_four_fields, "<= 40" },
    { "log, 4 fields, in span and context", log_in_context, "" },
    { "log, level disabled", log_disabled, "" },
    { "span start + end", span_start_end, "<= 150" },
    { "counter add, bound", counter_add, "<= 5" },
    { "counter add, 1 label", counter_add_labels, "" },
    { "histogram record, bound", histogram_record, "" },
};

/* ---- running ---- */

typedef struct {
    const measure *what;
    int thread, threads;
    pthread_barrier_t *barrier;
    double ns[ROUNDS];
} worker;

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

static void *work(void *argument)
{
    worker *w = argument;
    for (int round = -WARM_UP; round < ROUNDS; round++) {
        pthread_barrier_wait(w->barrier);
        int64_t start = clock_mono_ns();
        w->what->run(w->thread);
        int64_t end = clock_mono_ns();
        if (round >= 0)
            w->ns[round] = (double)(end - start) / BURST;
        pthread_barrier_wait(w->barrier);
        if (w->thread == 0)
            drain();
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *all, size_t n)
{
    qsort(all, n, sizeof(*all), compare);
    return all[n / 2];
}

static double run(const measure *what, int threads)
{
    static worker workers[THREADS_MAX];
    static double all[ROUNDS * THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int t = 0; t < threads; t++) {
        workers[t] = (worker){ .what = what, .thread = t, .threads = threads, .barrier = &barrier };
        if (pthread_create(&ids[t], NULL, work, &workers[t]) != 0)
            exit(1);
    }
    for (int t = 0; t < threads; t++) {
        pthread_join(ids[t], NULL);
        memcpy(all + t * ROUNDS, workers[t].ns, sizeof(workers[t].ns));
    }
    pthread_barrier_destroy(&barrier);
    return median(all, (size_t)threads * ROUNDS);
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
}

int main(void)
{
    start();
    printf("libsonde, ns per call: median of %d bursts of %d calls\n\n", ROUNDS, BURST);
    printf("%-36s %10s %10s %8s\n", "", "1 thread", "2 threads", "aim");
    for (size_t i = 0; i < ARRAY_LEN(measures); i++) {
        double one = run(&measures[i], 1), two = run(&measures[i], 2);
        printf("%-36s %10.1f %10.1f %8s\n", measures[i].name, one, two, measures[i].aim);
        fflush(stdout);
    }
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
