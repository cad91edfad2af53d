// SPDX-License-Identifier: Apache-2.0
/* `sonde serve`: opens the store, then the listeners, and runs until a signal ends it. Wiring only:
 * what happens to a request stands in pipeline (ingest) and api (queries). */
#include "cmd/serve.h"

#include "api/api.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/slog.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STOP_MS = 10000, DESCRIPTORS = 8192 };

/* Everything that runs; opened in this order, closed backwards. */
typedef struct {
    serve_options options;
    store *store;
    otlp_receiver *receiver;
    api *api;
    http_server *server;
    serve_self self;
    unsigned http_port;
} serve;

static status listen_all(serve *s, error *err)
{
    http_route_table otlp_http = { .user = s->receiver }, otlp_grpc = { .user = s->receiver };
    http_route_table self = { .user = &s->self }, queries = { 0 }, web = { 0 };
    unsigned grpc_port = 0, otlp_port = 0;
    char grpc_text[16], otlp_text[16], http_text[16];
    otlp_http.rows = otlp_http_routes(&otlp_http.count);
    otlp_grpc.rows = otlp_grpc_routes(&otlp_grpc.count);
    self.rows = serve_self_routes(&self.count);
    queries.rows = api_routes(s->api, &queries.count);
    web.rows = serve_web_routes(&web.count);
    http_route_table everything[] = { otlp_http, otlp_grpc, self, queries, web };
    status st = http_server_listen(s->server, s->options.otlp_grpc, &otlp_grpc, 1, &grpc_port, err);
    if (st == STATUS_OK)
        st = http_server_listen(s->server, s->options.otlp_http, &otlp_http, 1, &otlp_port, err);
    if (st == STATUS_OK)
        st = http_server_listen(s->server, s->options.http, everything, ARRAY_LEN(everything),
                                &s->http_port, err);
    if (st != STATUS_OK)
        return st;
    snprintf(grpc_text, sizeof(grpc_text), "%u", grpc_port);
    snprintf(otlp_text, sizeof(otlp_text), "%u", otlp_port);
    snprintf(http_text, sizeof(http_text), "%u", s->http_port);
    SLOG(SLOG_INFO, "listening", { "otlp_grpc", s->options.otlp_grpc },
         { "otlp_grpc_port", grpc_text }, { "otlp_http", s->options.otlp_http },
         { "otlp_http_port", otlp_text }, { "http", s->options.http }, { "http_port", http_text });
    return STATUS_OK;
}

static status serve_open(serve *s, error *err)
{
    store_options store_opts = { .dir = s->options.data, .retention_ns = s->options.retention_ns };
    status st = file_make_dirs(s->options.data, 0750, err);
    if (st == STATUS_OK)
        st = store_open(&s->store, &store_opts, err);
    if (st == STATUS_OK)
        st = otlp_receiver_new(&s->receiver, s->store, err);
    if (st == STATUS_OK)
        st = api_new(&s->api, &(api_options){ .store = s->store }, err);
    if (st == STATUS_OK)
        st = http_server_new(&s->server, NULL, err);
    if (st != STATUS_OK)
        return st;
    s->self.store = s->store;
    s->self.server = s->server;
    s->self.receiver = s->receiver;
    st = listen_all(s, err);
    return st == STATUS_OK ? http_server_start(s->server, err) : st;
}

static void serve_close(serve *s)
{
    http_server_free(s->server);
    api_free(s->api);
    otlp_receiver_free(s->receiver);
    store_close(s->store);
}

/* Other machines can reach a receiver that listens on all addresses: said once, because by default
 * nothing is reachable. */
static void warn_open_receivers(const serve_options *o)
{
    const char *const addresses[] = { o->otlp_grpc, o->otlp_http };
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        bool loopback = true;
        if (http_address_is_loopback(addresses[i], &loopback, NULL) == STATUS_OK && !loopback)
            SLOG(SLOG_WARN, "receiver_open_to_others", { "address", addresses[i] },
                 { "message", "any machine that reaches this address can send telemetry" });
    }
}

static void print_ready(const serve *s)
{
    char host[256];
    size_t colon = strlen(s->options.http);
    while (colon > 0 && s->options.http[colon - 1] != ':')
        colon--;
    str_copy_c(host, sizeof(host), str_n(s->options.http, colon ? colon - 1 : 0));
    bool all = !*host || str_is(str_c(host), "0.0.0.0") || str_is(str_c(host), "[::]");
    printf("sonde is ready: http://%s:%u\n", all ? "127.0.0.1" : host, s->http_port);
    fflush(stdout);
}

/* An idle server is small: few malloc arenas, and what is freed goes back to the system. */
static void limit_memory(void)
{
    struct rlimit files;
    mallopt(M_ARENA_MAX, 4);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < DESCRIPTORS) {
        files.rlim_cur = MIN((rlim_t)DESCRIPTORS, files.rlim_max);
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void block_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    pthread_sigmask(SIG_BLOCK, ret, NULL); /* inherited by every thread; the main one waits */
    signal(SIGPIPE, SIG_IGN);
}

static void run_until_signal(serve *s, const sigset_t *signals)
{
    int number = 0;
    while (sigwait(signals, &number) != 0)
        ;
    SLOG(SLOG_INFO, "stopping", { "signal", strsignal(number) });
    atomic_store(&s->self.stopping, true);
    signal(SIGTERM, SIG_DFL); /* a second one ends the process at once */
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    api_stop(s->api);
    if (!http_server_stop(s->server, STOP_MS)) {
        /* Nothing acknowledged is lost: it is in the intake log. */
        SLOG(SLOG_WARN, "stopped_with_requests", { "message", "requests were still running" });
        _exit(EXIT_GOOD);
    }
}

int cmd_serve(int argc, char **argv)
{
    error err;
    sigset_t signals;
    serve s = { .self.started_ns = clock_now_ns() };
    if (serve_parse(&s.options, argc, argv, &err) != STATUS_OK) {
        fprintf(stderr, "sonde serve: %s\n", err.message);
        return EXIT_USAGE;
    }
    if (s.options.help) {
        serve_print_help();
        return EXIT_GOOD;
    }
    limit_memory();
    block_signals(&signals);
    status st = serve_open(&s, &err);
    if (st == STATUS_OK) {
        warn_open_receivers(&s.options);
        print_ready(&s);
        run_until_signal(&s, &signals);
        SLOG(SLOG_INFO, "stopped", { "data", s.options.data });
    } else {
        fprintf(stderr, "sonde serve: %s\n", err.message);
        if (s.server)
            (void)http_server_stop(s.server, 0);
    }
    serve_close(&s);
    return st == STATUS_OK ? EXIT_GOOD : EXIT_FAILED;
}
