// SPDX-License-Identifier: Apache-2.0
/* `sonde serve`: opens the store, then the listeners, and runs until a signal ends it. Wiring only:
 * what happens to a request stands in pipeline (ingest) and api (queries). */
#include "cmd/serve.h"

#include "api/api.h"
#include "base/file.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STOP_MS = 10000, DESCRIPTORS = 8192, RECORDER_BYTES = 2 << 20, READY_CHECK_S = 5 };

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
    sonde_info("listening", sonde_kv("otlp_grpc", s->options.otlp_grpc),
               sonde_kv("otlp_grpc_port", grpc_port), sonde_kv("otlp_http", s->options.otlp_http),
               sonde_kv("otlp_http_port", otlp_port), sonde_kv("http", s->options.http),
               sonde_kv("http_port", s->http_port));
    return STATUS_OK;
}

static void report_recorder(recorder_news news, const char *path, const char *detail)
{
    switch (news) {
    case RECORDER_SAYS_FOUND:
        sonde_info("recorder_found", sonde_kv("path", path));
        break;
    case RECORDER_SAYS_FINISHED:
        sonde_info("recorder_finished", sonde_kv("path", path), sonde_kv("detail", detail));
        break;
    case RECORDER_SAYS_PUT_OFF:
        sonde_warn("recorder_put_off", sonde_kv("path", path), sonde_kv("detail", detail));
        break;
    case RECORDER_SAYS_REFUSED:
        sonde_error("recorder_rows_refused", sonde_kv("path", path), sonde_kv("detail", detail));
        break;
    case RECORDER_SAYS_NOT_READ:
        sonde_warn("recorder_not_read", sonde_kv("path", path), sonde_kv("detail", detail));
        break;
    }
}

static status serve_open(serve *s, error *err)
{
    store_options store_opts = { .dir = s->options.data,
                                 .retention_ns = s->options.retention_ns,
                                 .seal_after_ns = s->options.seal_after_ns };
    status st = store_open(&s->store, &store_opts, err);
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
    if (st == STATUS_OK && s->options.recorders.dir_count)
        s->options.recorders.report = report_recorder;
    if (st == STATUS_OK && s->options.recorders.dir_count)
        st = recorder_receiver_new(&s->self.recorders, s->store, &s->options.recorders, err);
    return st == STATUS_OK ? http_server_start(s->server, err) : st;
}

static void serve_close(serve *s)
{
    http_server_free(s->server);
    recorder_receiver_free(s->self.recorders);
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
            sonde_warn("receiver_open_to_others", sonde_kv("address", addresses[i]),
                       sonde_kv("detail", "any machine that reaches it can send telemetry"));
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

/* Meanwhile says when ingest stops being possible, and when it is again. */
static int wait_for_signal(const serve *s, const sigset_t *signals)
{
    const struct timespec pause = { .tv_sec = READY_CHECK_S };
    bool was_ready = true;
    for (;;) {
        error err;
        int number = sigtimedwait(signals, NULL, &pause);
        if (number > 0)
            return number;
        bool ready = store_ready(s->store, &err) == STATUS_OK;
        if (was_ready && !ready)
            sonde_error("ingest_refused", sonde_kv("detail", (const char *)err.message));
        else if (ready && !was_ready)
            sonde_info("ingest_resumed", sonde_kv("data", s->options.data));
        was_ready = ready;
    }
}

static void run_until_signal(serve *s, const sigset_t *signals)
{
    int number = wait_for_signal(s, signals);
    sonde_info("stopping", sonde_kv("signal", strsignal(number)));
    atomic_store(&s->self.stopping, true);
    signal(SIGTERM, SIG_DFL); /* a second one ends the process at once */
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    api_stop(s->api);
    if (!http_server_stop(s->server, STOP_MS)) {
        /* Nothing acknowledged is lost: it is in the intake log. */
        sonde_warn("stopped_with_requests", sonde_kv("detail", "some were still running"));
        sonde_stop();
        _exit(EXIT_GOOD);
    }
}

/* Prometheus's names. What they switch on there is either always on here or not built; a command
 * line that was written for Prometheus still starts. */
static void warn_features(const char *list)
{
    str rest = str_c(list);
    while (rest.len) {
        str name = str_trim(str_cut(rest, ',', &rest));
        sonde_warn("feature_without_effect",
                   sonde_kv("feature", ((sonde_str){ name.ptr, name.len })),
                   sonde_kv("detail", "this build has no such feature to switch on"));
    }
}

/* The server's own logs go to stderr. Its recorder lies with the data, not where the recorders of
 * the programs are that it watches; the environment's settings are for those programs. */
static status start_telemetry(const serve_options *o, char *dir, size_t size, error *err)
{
    if (snprintf(dir, size, "%s/recorder", o->data) >= (int)size)
        return fail(err, STATUS_INVALID, "--data: the path is too long");
    status st = file_make_dirs(o->data, 0750, err);
    if (st == STATUS_OK)
        st = file_make_dirs(dir, 0700, err);
    if (st != STATUS_OK)
        return st;
    sonde_options options = {
        .service = "sonde",
        .version = SONDE_VERSION,
        .log_level = o->log_level,
        .log_output = "stderr",
        .recorder_dir = dir,
        .recorder_bytes = RECORDER_BYTES,
        .stop_timeout_ms = 1000,
        .ignore_environment = true,
    };
    (void)sonde_start(
        &options); /* it has said why when it stays off; the server runs all the same */
    return STATUS_OK;
}

static status serve_run(serve *s, const sigset_t *signals, error *err)
{
    status st = serve_open(s, err);
    if (st != STATUS_OK) {
        if (s->server)
            (void)http_server_stop(s->server, 0);
        return st;
    }
    warn_open_receivers(&s->options);
    warn_features(s->options.features);
    print_ready(s);
    run_until_signal(s, signals);
    sonde_info("stopped", sonde_kv("data", s->options.data));
    return STATUS_OK;
}

int cmd_serve(int argc, char **argv)
{
    error err;
    sigset_t signals;
    char recorder[4096];
    serve s = { .http_port = 0 };
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
    status st = start_telemetry(&s.options, recorder, sizeof(recorder), &err);
    if (st == STATUS_OK)
        st = serve_run(&s, &signals, &err);
    if (st != STATUS_OK)
        fprintf(stderr, "sonde serve: %s\n", err.message);
    serve_close(&s);
    sonde_stop();
    return st == STATUS_OK ? EXIT_GOOD : EXIT_FAILED;
}
