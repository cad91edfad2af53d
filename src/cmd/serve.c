// SPDX-License-Identifier: Apache-2.0
/* `sonde serve`: opens the store, then the listeners, and runs until a signal ends it. Wiring only:
 * what happens to a request stands in pipeline (ingest) and api (queries). */
#include "cmd/serve.h"

#include "api/api.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/feature.h"
#include "pipeline/exporters/sonde.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STOP_MS = 5000, DESCRIPTORS = 8192, RECORDER_BYTES = 2 << 20, LOOK_S = 1 };

/* Everything that runs; opened in this order, closed backwards. */
typedef struct {
    serve_options options;
    collector *collector;
    store *store;
    serve_rules rules;
    api *api;
    http_server *server;
    serve_self self;
    server_settings web[2]; /* of the running file, and of the next one */
    unsigned web_at;
    int64_t retention, seal_after; /* of the exporter sonde when the store was opened; ns */
    http_route_table tables[4];
    file_mark mark;
    buf shown;      /* the configuration that was read last, without secrets */
    buf flags_text; /* what flags point to */
    text_pair flags[SERVE_FLAGS_MAX];
} serve;

/* ---- what happens, in the log ---- */

static void say(bool warning, const char *component, const char *event, const char *text)
{
    if (warning)
        sonde_warn("component_warning", sonde_kv("component_event", event),
                   sonde_kv("component", component), sonde_kv("detail", text));
    else
        sonde_info("component_news", sonde_kv("component_event", event),
                   sonde_kv("component", component), sonde_kv("detail", text));
}

/* Other machines can reach a receiver that listens on all addresses: said once, because by default
 * nothing is reachable. */
static void say_port(void *user, const char *endpoint, unsigned port, const char *components)
{
    const serve *s = user;
    bool loopback = true;
    sonde_info("listening", sonde_kv("address", endpoint), sonde_kv("port", port),
               sonde_kv("components", components));
    if (http_address_is_loopback(endpoint, &loopback, NULL) == STATUS_OK && !loopback &&
        !str_is(s->web[s->web_at].endpoint, endpoint))
        sonde_warn("receiver_open_to_others", sonde_kv("address", endpoint),
                   sonde_kv("components", components),
                   sonde_kv("detail", "any machine that reaches it can send telemetry"));
}

/* ---- opening and closing ---- */

static void fill_tables(serve *s)
{
    http_route_table *t = s->tables;
    t[0] = (http_route_table){ .user = &s->self };
    t[0].rows = serve_health_routes(&t[0].count);
    t[1] = (http_route_table){ .user = &s->self };
    t[1].rows = serve_self_routes(&t[1].count);
    t[2] = (http_route_table){ 0 };
    t[2].rows = api_routes(s->api, &t[2].count);
    t[3] = (http_route_table){ 0 };
    t[3].rows = serve_web_routes(&t[3].count);
}

static status open_store(serve *s, error *err)
{
    const sonde_exporter_settings *kept =
        collector_settings(s->collector, COMPONENT_EXPORTER, "sonde");
    store_options options = { .dir = s->options.data,
                              .intake_limit = s->options.intake_limit,
                              .router = collector_router(s->collector) };
    if (kept) {
        options.retention_ns = s->retention = kept->retention;
        options.seal_after_ns = s->seal_after = kept->seal_after;
    }
    return store_open(&s->store, &options, err);
}

/* The file and what it says of the query and UI port; on failure nothing is kept. */
static status read_config(serve *s, config *ret, bool running, error *err)
{
    server_settings web;
    status st = serve_read_config(ret, &s->options, running, err);
    if (st != STATUS_OK)
        return st;
    st = serve_web_settings(&web, &s->options, ret, err);
    if (st != STATUS_OK) {
        config_done(ret);
        return st;
    }
    s->web[s->web_at = 1 - s->web_at] = web;
    buf_clear(&s->shown);
    buf_str(&s->shown, ret->shown);
    return STATUS_OK;
}

static collector_web web_of(const serve *s)
{
    return (collector_web){ &s->web[s->web_at], s->tables, ARRAY_LEN(s->tables), 1 };
}

static status open_collector(serve *s, error *err)
{
    config file;
    collector_options options = { .data = s->options.data, .say = say };
    (void)serve_config_changed(&s->options, &s->mark);
    status st = collector_new(&s->collector, &options, err);
    if (st == STATUS_OK)
        st = read_config(s, &file, false, err);
    return st == STATUS_OK ? collector_configure(s->collector, &file, err) : st;
}

static void find_web_port(void *user, const char *endpoint, unsigned port, const char *components)
{
    unsigned *ret = user;
    (void)endpoint;
    if (strstr(components, "the query and UI port"))
        *ret = port;
}

static serve_rules_options rules_settings(const serve *s)
{
    unsigned port = 0;
    if (s->collector)
        collector_ports(s->collector, find_web_port, &port);
    return (serve_rules_options){
        .data = s->options.data,
        .store = s->store,
        .features = feature_bits(s->options.features),
        .web = &s->web[s->web_at],
        .port = port,
        .settings = collector_settings(s->collector, COMPONENT_EXTENSION, "sonde_rules"),
    };
}

static status open_api(serve *s, error *err)
{
    api_options options = { .store = s->store,
                            .retention_ns = s->retention,
                            .features = feature_bits(s->options.features),
                            .config = buf_view(&s->shown),
                            .flags = s->flags,
                            .flag_count = serve_flags(&s->options, s->flags, &s->flags_text),
                            .rules = s->rules.rules,
                            .alertmanager = s->rules.alertmanager,
                            .alert_forwarder = s->rules.forwarder };
    return api_new(&s->api, &options, err);
}

static status serve_open(serve *s, error *err)
{
    status st = open_collector(s, err);
    if (st == STATUS_OK)
        st = open_store(s, err);
    if (st != STATUS_OK)
        return st;
    serve_rules_options rules = rules_settings(s);
    st = serve_rules_open(&s->rules, &rules, err);
    if (st == STATUS_OK)
        st = open_api(s, err);
    if (st == STATUS_OK)
        st = http_server_new(&s->server, NULL, err);
    if (st != STATUS_OK)
        return st;
    s->self.store = s->store;
    s->self.server = s->server;
    s->self.collector = s->collector;
    s->self.rules = &s->rules;
    s->self.api = s->api;
    fill_tables(s);
    collector_web web = web_of(s);
    st = collector_start(s->collector, s->store, s->server, &web, err);
    if (st == STATUS_OK)
        collector_ports(s->collector, say_port, s);
    rules = rules_settings(s);
    if (st == STATUS_OK)
        st = serve_rules_bound(&s->rules, &rules, err);
    if (st == STATUS_OK)
        st = serve_rules_start(&s->rules, err);
    return st == STATUS_OK ? http_server_start(s->server, err) : st;
}

static void serve_close(serve *s)
{
    serve_rules_stop(&s->rules);
    http_server_free(s->server);
    api_free(s->api);
    collector_stop(s->collector);
    serve_rules_close(&s->rules);
    store_close(s->store);
    collector_free(s->collector);
    buf_done(&s->shown);
    buf_done(&s->flags_text);
}

static void print_ready(const serve *s)
{
    char host[256];
    unsigned port = 0;
    collector_ports(s->collector, find_web_port, &port);
    const server_settings *web = &s->web[s->web_at];
    size_t colon = web->endpoint.len;
    while (colon > 0 && web->endpoint.ptr[colon - 1] != ':')
        colon--;
    str_copy_c(host, sizeof(host), str_n(web->endpoint.ptr, colon ? colon - 1 : 0));
    bool all = !*host || str_is(str_c(host), "0.0.0.0") || str_is(str_c(host), "[::]");
    printf("sonde is ready: %s://%s:%u\n", web->has_tls ? "https" : "http",
           all ? "127.0.0.1" : host, port);
    fflush(stdout);
}

/* An idle server is small: few malloc arenas, and what is freed goes back to the system. But what
 * each request needs again is kept: to map, clear and unmap pages took two fifths of the time of a
 * busy server. (Once M_TRIM_THRESHOLD is set, the one of mapping would stay at 128 KiB by itself.)
 */
static void limit_memory(void)
{
    struct rlimit files;
    mallopt(M_ARENA_MAX, 4);
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
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
    sigaddset(ret, SIGHUP);
    pthread_sigmask(SIG_BLOCK, ret, NULL); /* inherited by every thread; the main one waits */
    signal(SIGPIPE, SIG_IGN);
}

/* ---- running ---- */

/* The store was opened once, with the values of that time. */
static void warn_store_settings(const serve *s)
{
    const sonde_exporter_settings *kept =
        collector_settings(s->collector, COMPONENT_EXPORTER, "sonde");
    if (kept && (kept->retention != s->retention || kept->seal_after != s->seal_after))
        sonde_warn("restart_needed",
                   sonde_kv("detail", "exporter sonde: retention and seal_after are those of the "
                                      "start until the server is started anew"));
}

static void reload(serve *s)
{
    error err;
    config file;
    if (!s->options.config) {
        serve_rules_options rules = rules_settings(s);
        serve_rules_reload(&s->rules, &rules);
        return;
    }
    unsigned before = s->web_at;
    status st = read_config(s, &file, true, &err);
    if (st == STATUS_OK) {
        collector_web web = web_of(s);
        st = collector_reload(s->collector, &file, &web, &err);
    }
    if (st == STATUS_OK) {
        sonde_info("configuration_reloaded", sonde_kv("path", s->options.config));
        api_set_config(s->api, buf_view(&s->shown));
        warn_store_settings(s);
        serve_rules_options rules = rules_settings(s);
        serve_rules_reload(&s->rules, &rules);
        collector_ports(s->collector, say_port, s);
        if (collector_complete(s->collector, &err) != STATUS_OK)
            sonde_error("configuration_incomplete", sonde_kv("path", s->options.config),
                        sonde_kv("detail", (const char *)err.message));
    } else {
        s->web_at = before;
        api_config_refused(s->api);
        sonde_error("configuration_refused", sonde_kv("path", s->options.config),
                    sonde_kv("detail", (const char *)err.message));
    }
}

/* Says when ingest stops being possible, and when it is again. */
static void watch_ready(const serve *s, bool *was_ready)
{
    error err;
    bool ready = store_ready(s->store, &err) == STATUS_OK;
    if (*was_ready && !ready)
        sonde_error("ingest_refused", sonde_kv("detail", (const char *)err.message));
    else if (ready && !*was_ready)
        sonde_info("ingest_resumed", sonde_kv("data", s->options.data));
    *was_ready = ready;
}

static int wait_for_signal(serve *s, const sigset_t *signals)
{
    const struct timespec pause = { .tv_sec = LOOK_S }, none = { 0 };
    bool was_ready = true;
    sigset_t ends = *signals;
    sigdelset(&ends, SIGHUP);
    for (;;) {
        int number = sigtimedwait(&ends, NULL, &none); /* the lower number would come first */
        if (number < 0)
            number = sigtimedwait(signals, NULL, &pause);
        if (number > 0 && number != SIGHUP)
            return number;
        bool changed = serve_config_changed(&s->options, &s->mark);
        if (changed || number == SIGHUP)
            reload(s);
        serve_rules_look(&s->rules);
        watch_ready(s, &was_ready);
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
    feature_tell(s->options.features);
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
    serve s = { 0 };
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
