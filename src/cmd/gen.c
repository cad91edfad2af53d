// SPDX-License-Identifier: Apache-2.0
/* sonde gen: synthetic load over OTLP/HTTP. Workers take numbers from one counter, build a batch,
 * encode and post it, each on its own connection; at the end the program tells what became of every
 * item, and exits with 1 when one was lost. */
#include "cmd/cmd.h"
#include "cmd/gen_items.h"
#include "cmd/gen_send.h"

#include "base/clock.h"
#include "codec/otlp.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { WORKERS_MAX = 256, BATCH_ITEMS_MAX = 100000, NAMES_MAX = 10000000 };

typedef struct {
    signal_kind signal;
    double rate; /* items a second over all workers; 0: as fast as possible */
    int64_t duration_ns;
    uint64_t count; /* items after which it ends; 0: only the time decides */
    const char *endpoint;
    uint64_t workers, batch, services, series;
    bool json;
} gen_arguments;

typedef struct {
    const gen_arguments *arguments;
    char run[17];
    int64_t start_mono_ns, end_mono_ns;
    _Atomic uint64_t next_number;
} gen_run;

typedef struct {
    gen_run *run;
    uint32_t number;
    pthread_t thread;
    bool started;
    uint64_t sent; /* items in requests that were begun */
    gen_result result;
} gen_worker;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- workers ---- */

/* Numbers for the next batch; 0 when the run is over. */
static uint32_t take_numbers(gen_run *r, uint64_t *ret_first)
{
    const gen_arguments *o = r->arguments;
    uint64_t want = o->batch;
    if (o->rate > 0) /* ten batches a second or more, so that a slow rate is still an even one */
        want = MIN(want, (uint64_t)MAX(o->rate / 10 / (double)o->workers, 1.0));
    if (clock_mono_ns() >= r->end_mono_ns || interrupted)
        return 0;
    uint64_t first = atomic_fetch_add(&r->next_number, want);
    if (o->count > 0 && first >= o->count)
        return 0;
    *ret_first = first;
    return (uint32_t)(o->count > 0 ? MIN(want, o->count - first) : want);
}

/* Item n is due n / rate seconds after the start. */
static bool wait_for_turn(const gen_run *r, uint64_t first)
{
    if (r->arguments->rate <= 0)
        return true;
    int64_t due =
        r->start_mono_ns + (int64_t)((double)first / r->arguments->rate * (double)NS_PER_S);
    if (due >= r->end_mono_ns)
        return false;
    struct timespec at = { due / NS_PER_S, due % NS_PER_S };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0 && !interrupted)
        ;
    return !interrupted;
}

static void send_batches(gen_worker *w, gen_source *source, gen_sender *sender, batch *b, buf *body)
{
    gen_run *r = w->run;
    uint64_t first = 0;
    uint32_t items;
    error err;
    while ((items = take_numbers(r, &first)) > 0 && wait_for_turn(r, first)) {
        batch_clear(b);
        buf_clear(body);
        w->sent += items;
        if (gen_fill(source, b, first, items, &err) != STATUS_OK ||
            otlp_encode(b, body, &err) != STATUS_OK) {
            w->result.failed += items;
            (void)snprintf(w->result.reason, sizeof(w->result.reason), "%.255s", err.message);
            return;
        }
        /* What is under way when the time is over may still be taken for half a minute. */
        gen_send(sender, buf_view(body), items, r->end_mono_ns + 30 * NS_PER_S, &w->result);
    }
}

static void *work(void *user)
{
    gen_worker *w = user;
    const gen_arguments *o = w->run->arguments;
    gen_options options = { .signal = o->signal,
                            .services = (uint32_t)o->services,
                            .series = (uint32_t)o->series,
                            .workers = (uint32_t)o->workers,
                            .worker = w->number };
    memcpy(options.run, w->run->run, sizeof(options.run));
    gen_source source;
    gen_sender *sender = NULL;
    error err;
    status st = gen_source_init(&source, &options, &err);
    if (st == STATUS_OK) {
        st = gen_sender_open(&sender, o->endpoint, o->signal, &err);
        if (st == STATUS_OK) {
            batch b;
            buf body;
            batch_init(&b, o->signal, MiB(512));
            buf_init(&body, MiB(256));
            send_batches(w, &source, sender, &b, &body);
            buf_done(&body);
            batch_done(&b);
            gen_sender_close(sender);
        }
        gen_source_done(&source);
    }
    if (st != STATUS_OK) {
        w->result.failed++;
        (void)snprintf(w->result.reason, sizeof(w->result.reason), "%.255s", err.message);
    }
    return NULL;
}

/* ---- the report ---- */

typedef struct {
    uint64_t sent;
    gen_result result;
    double seconds, cpu_seconds;
    const char *run;
} gen_report;

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void print_text(const gen_arguments *o, const gen_report *p)
{
    const gen_result *r = &p->result;
    printf("%s to %s, run %s\n", signal_name(o->signal), o->endpoint, p->run);
    printf("  sent      %12llu\n  accepted  %12llu\n  refused   %12llu\n  failed    %12llu\n",
           (unsigned long long)p->sent, (unsigned long long)r->accepted,
           (unsigned long long)r->refused, (unsigned long long)r->failed);
    printf("  retries   %12llu\n", (unsigned long long)r->retries);
    printf("  items/s   %12.0f\n", (double)r->accepted / p->seconds);
    printf("  MB/s      %12.2f\n", (double)r->bytes / 1e6 / p->seconds);
    printf("  seconds   %12.2f\n  own cpu s %12.2f\n", p->seconds, p->cpu_seconds);
}

static void print_json(const gen_arguments *o, const gen_report *p)
{
    const gen_result *r = &p->result;
    printf("{\"signal\":\"%s\",\"run\":\"%s\",\"sent\":%llu,\"accepted\":%llu,\"refused\":%llu,"
           "\"failed\":%llu,\"retries\":%llu,\"bytes\":%llu,\"seconds\":%.6f,"
           "\"items_per_second\":%.1f,\"mb_per_second\":%.3f,\"cpu_seconds\":%.6f}\n",
           signal_name(o->signal), p->run, (unsigned long long)p->sent,
           (unsigned long long)r->accepted, (unsigned long long)r->refused,
           (unsigned long long)r->failed, (unsigned long long)r->retries,
           (unsigned long long)r->bytes, p->seconds, (double)r->accepted / p->seconds,
           (double)r->bytes / 1e6 / p->seconds, p->cpu_seconds);
}

static void add_result(gen_report *p, const gen_worker *w)
{
    p->sent += w->sent;
    p->result.accepted += w->result.accepted;
    p->result.refused += w->result.refused;
    p->result.failed += w->result.failed;
    p->result.retries += w->result.retries;
    p->result.bytes += w->result.bytes;
    if (p->result.reason[0] == '\0')
        memcpy(p->result.reason, w->result.reason, sizeof(p->result.reason));
}

static int run_workers(const gen_arguments *o)
{
    gen_run run = { .arguments = o };
    gen_report report = { .run = run.run };
    uint8_t id[8];
    (void)random_seed(id, sizeof(id));
    str_to_hex(id, sizeof(id), run.run);
    gen_worker *workers = calloc(o->workers, sizeof(*workers));
    if (!workers) {
        fputs("sonde gen: no memory\n", stderr);
        return EXIT_FAILED;
    }
    run.start_mono_ns = clock_mono_ns();
    run.end_mono_ns = run.start_mono_ns + o->duration_ns;
    for (uint32_t i = 0; i < o->workers; i++) {
        workers[i] = (gen_worker){ .run = &run, .number = i };
        workers[i].started = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
        if (!workers[i].started) {
            workers[i].result.failed++;
            (void)snprintf(workers[i].result.reason, sizeof(workers[i].result.reason),
                           "worker %u could not be started", i);
        }
    }
    for (uint32_t i = 0; i < o->workers; i++) {
        if (workers[i].started)
            pthread_join(workers[i].thread, NULL);
        add_result(&report, &workers[i]);
    }
    free(workers);
    report.seconds = (double)(clock_mono_ns() - run.start_mono_ns) / (double)NS_PER_S;
    report.cpu_seconds = cpu_seconds();
    if (o->json)
        print_json(o, &report);
    else
        print_text(o, &report);
    if (report.result.reason[0] != '\0')
        fprintf(stderr, "sonde gen: %s\n", report.result.reason);
    return report.result.refused + report.result.failed > 0 ? EXIT_FAILED : EXIT_GOOD;
}

/* ---- arguments ---- */

static bool set_rate(gen_arguments *o, str text)
{
    return str_to_f64(text, &o->rate) && o->rate >= 0 && o->rate <= 1e9;
}

static bool set_duration(gen_arguments *o, str text)
{
    return clock_parse_duration(text, &o->duration_ns) && o->duration_ns > 0;
}

static bool set_count(gen_arguments *o, str text)
{
    return str_to_u64(text, &o->count) && o->count > 0;
}

static bool set_endpoint(gen_arguments *o, str text)
{
    o->endpoint = text.ptr; /* an argument of the program: terminated */
    return str_starts(text, STR("http://")) || str_starts(text, STR("https://"));
}

static bool set_number(uint64_t *to, str text, uint64_t most)
{
    return str_to_u64(text, to) && *to > 0 && *to <= most;
}

static bool set_workers(gen_arguments *o, str text)
{
    return set_number(&o->workers, text, WORKERS_MAX);
}

static bool set_batch(gen_arguments *o, str text)
{
    return set_number(&o->batch, text, BATCH_ITEMS_MAX);
}

static bool set_services(gen_arguments *o, str text)
{
    return set_number(&o->services, text, NAMES_MAX);
}

static bool set_series(gen_arguments *o, str text)
{
    return set_number(&o->series, text, NAMES_MAX);
}

static bool set_output(gen_arguments *o, str text)
{
    o->json = str_is(text, "json");
    return o->json || str_is(text, "text");
}

static const struct {
    const char *name;
    bool (*set)(gen_arguments *o, str text);
    const char *wants;
    const char *help;
} options[] = {
    { "--rate", set_rate, "a number, 0 or more", "items a second; 0 is as fast as possible (100)" },
    { "--duration", set_duration, "a duration such as 10s", "how long (10s)" },
    { "--count", set_count, "a number above 0", "end after so many items" },
    { "--endpoint", set_endpoint, "an http:// or https:// URL",
      "base URL (http://127.0.0.1:4318)" },
    { "--workers", set_workers, "1 to 256", "connections at once (2)" },
    { "--batch", set_batch, "1 to 100,000", "items in one request (1000)" },
    { "--services", set_services, "1 to 10,000,000", "different values of service.name (5)" },
    { "--series", set_series, "1 to 10,000,000", "different series of metrics (1000)" },
    { "-o", set_output, "text or json", "form of the report (text)" },
};

static void print_usage(FILE *to)
{
    fputs("usage: sonde gen traces|metrics|logs [OPTION VALUE]...\n\n"
          "Sends items over OTLP/HTTP. Logs and spans have the attributes gen.run and gen.number;\n"
          "of metrics the gauge gen.number has the item's number as value.\n\n",
          to);
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        fprintf(to, "  %-11s %s\n", options[i].name, options[i].help);
}

static bool parse_signal(const char *text, signal_kind *ret)
{
    for (int s = 0; s < SIGNAL_COUNT; s++)
        if (str_is(str_c(text), signal_name((signal_kind)s))) {
            *ret = (signal_kind)s;
            return true;
        }
    return false;
}

/* One option at argv[*at], "--name VALUE" or "--name=VALUE". */
static bool parse_option(gen_arguments *o, char **argv, int *at)
{
    str text;
    str name = str_cut(str_c(argv[*at]), '=', &text);
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (!str_is(name, options[i].name))
            continue;
        if (name.len == strlen(argv[*at])) {
            text = str_c(argv[*at + 1]);
            *at += argv[*at + 1] ? 1 : 0;
        }
        if (text.len > 0 && options[i].set(o, text))
            return true;
        fprintf(stderr, "sonde gen: %s wants %s\n", options[i].name, options[i].wants);
        return false;
    }
    fprintf(stderr, "sonde gen: \"%s\" is no option; see `sonde gen --help`\n", argv[*at]);
    return false;
}

int cmd_gen(int argc, char **argv)
{
    gen_arguments o = { .rate = 100,
                        .duration_ns = 10 * NS_PER_S,
                        .endpoint = "http://127.0.0.1:4318",
                        .workers = 2,
                        .batch = 1000,
                        .services = 5,
                        .series = 1000 };
    if (argc > 1 && (str_is(str_c(argv[1]), "--help") || str_is(str_c(argv[1]), "-h"))) {
        print_usage(stdout);
        return EXIT_GOOD;
    }
    if (argc < 2 || !parse_signal(argv[1], &o.signal)) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    for (int i = 2; i < argc; i++)
        if (!parse_option(&o, argv, &i))
            return EXIT_USAGE;
    if (o.signal == SIGNAL_METRICS)
        o.workers = MIN(o.workers, o.series);
    struct sigaction act = { .sa_handler = on_interrupt };
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int code = run_workers(&o);
    curl_global_cleanup();
    return code;
}
