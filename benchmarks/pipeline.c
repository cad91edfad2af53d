// SPDX-License-Identifier: Apache-2.0
/* What stands around the collector in ./bench pipeline, a process each: `load` sends numbered spans
 * or log records by OTLP/gRPC, `sink` takes them and compares each with what it must be, `floor` is
 * a proxy of bytes that makes durable what it passes on: what any collector has to do at least.
 *
 * usage: bench_pipeline load traces|logs PORT ITEMS ROWS CONNECTIONS
 *        bench_pipeline sink PORT ITEMS changed|same      prints "ready", then a line of JSON
 *        bench_pipeline floor PORT SINK_PORT FILE
 *        bench_pipeline pages PORT SERIES                 /t/N: what target N exposes */
#include "base/clock.h"
#include "base/file.h"
#include "codec/batch_rows.h"
#include "codec/otlp.h"
#include "net/client_dial.h"
#include "net/grpc.h"
#include "net/grpc_client.h"
#include "net/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT(signal) "/opentelemetry.proto.collector." signal "Service/Export"
static const char *const paths[] = {
    [SIGNAL_LOGS] = EXPORT("logs.v1.Logs"), [SIGNAL_TRACES] = EXPORT("trace.v1.Trace")
};
enum { ATTRIBUTES = 4, THREADS_MAX = 64, CHUNK = KiB(256) };
static const int64_t time_base = 1760000000 * NS_PER_S;

static _Noreturn void die(const char *what, const error *err)
{
    fprintf(stderr, "bench_pipeline: %s: %s\n", what, err ? err->message : "wrong usage");
    exit(1);
}

static uint64_t number(const char *text)
{
    uint64_t n = 0;
    if (!str_to_u64(str_c(text), &n))
        die(text, NULL);
    return n;
}

/* ---- the items ---- */

/* Item n. `changed`: as it is when the collector has renamed one attribute and deleted another. */
static void item_attributes(attr *list, uint64_t n)
{
    list[0] = (attr){ STR("http.request.method"), VALUE_S(STR("GET")) };
    list[1] = (attr){ STR("path"), VALUE_S(STR("/api/orders/checkout")) };
    list[2] = (attr){ STR("user.token"), VALUE_S(STR("0123456789abcdef")) };
    list[3] = (attr){ STR("item"), VALUE_I((int64_t)n) };
}

static void item_ids(uint64_t n, trace_id *trace, span_id *span)
{
    uint64_t mixed = hash_mix(n + 1, 0x9e3779b97f4a7c15u);
    memcpy(trace->bytes, &mixed, 8);
    memcpy(trace->bytes + 8, &n, 8);
    mixed |= 1;
    memcpy(span->bytes, &mixed, 8);
}

static void set_item(batch *b, uint32_t row, uint64_t n)
{
    int64_t time_ns = time_base + (int64_t)n * 1000;
    item_attributes(batch_row_attributes(b, row)->items, n);
    if (b->signal == SIGNAL_TRACES) {
        item_ids(n, &b->spans.trace[row], &b->spans.span[row]);
        b->spans.start_ns[row] = time_ns;
        b->spans.end_ns[row] = time_ns + 12345678;
        b->spans.name[row] = STR("GET /api/orders/checkout");
        b->spans.kind[row] = SPAN_KIND_SERVER;
    } else {
        item_ids(n, &b->logs.trace[row], &b->logs.span[row]);
        b->logs.time_ns[row] = b->logs.observed_ns[row] = time_ns;
        b->logs.severity[row] = 9;
        b->logs.severity_text[row] = STR("INFO");
        b->logs.body[row] = VALUE_S(STR("request served from the cache of the second level"));
    }
}

static bool make_batch(batch *b, signal_kind signal, uint32_t rows)
{
    batch_init(b, signal, 0);
    attr *resource = arena_calloc(&b->arena, 1, sizeof(attr));
    attr *list = arena_calloc(&b->arena, (size_t)rows * ATTRIBUTES, sizeof(attr));
    if (!resource || !list || !batch_reserve(b, rows))
        return false;
    *resource = (attr){ STR("service.name"), VALUE_S(STR("checkout")) };
    (void)batch_add_resource(b);
    (void)batch_add_scope(b, 0);
    b->resources[0].attributes = (attrs){ resource, 1, 0 };
    b->scopes[0].name = STR("bench");
    for (uint32_t i = 0; i < rows; i++) {
        (void)(signal == SIGNAL_TRACES ? batch_add_span(b, 0) : batch_add_log(b, 0));
        *batch_row_attributes(b, i) = (attrs){ list + (size_t)i * ATTRIBUTES, ATTRIBUTES, 0 };
    }
    return true;
}

/* ---- load ---- */

typedef struct {
    signal_kind signal;
    unsigned port;
    uint64_t items;
    uint32_t rows;
    atomic_uint_fast64_t next; /* item that no connection has taken yet */
    atomic_uint_fast64_t again;
} load;

/* The same request until it is taken: what is refused for now is not lost. */
static void send_request(load *l, grpc_client *k, str body, const char *target)
{
    for (;;) {
        error err;
        grpc_answer answer;
        status st =
            grpc_client_call(k, paths[l->signal], body, NULL, 60 * NS_PER_S, NULL, &answer, &err);
        if (st == STATUS_OK)
            st = grpc_answer_check(&answer, target, &err);
        grpc_answer_done(&answer);
        if (st == STATUS_OK)
            return;
        if (st != STATUS_BUSY)
            die("load", &err);
        atomic_fetch_add(&l->again, 1);
        (void)poll(NULL, 0, 5);
    }
}

static void *load_run(void *user)
{
    load *l = user;
    error err;
    batch b;
    buf body;
    char target[40];
    grpc_client *k = NULL;
    snprintf(target, sizeof(target), "127.0.0.1:%u", l->port);
    grpc_client_options o = { .target = target };
    if (grpc_client_new(&k, &o, &err) != STATUS_OK)
        die("load", &err);
    if (!make_batch(&b, l->signal, l->rows))
        die("no memory", NULL);
    buf_init(&body, 0);
    for (uint64_t n; (n = atomic_fetch_add(&l->next, l->rows)) < l->items;) {
        for (uint32_t i = 0; i < l->rows; i++)
            set_item(&b, i, n + i);
        buf_clear(&body);
        if (otlp_encode(&b, &body, &err) != STATUS_OK)
            die("load", &err);
        send_request(l, k, buf_view(&body), target);
    }
    buf_done(&body);
    batch_done(&b);
    grpc_client_free(k);
    return NULL;
}

static int run_load(char **argv)
{
    static load l;
    pthread_t threads[THREADS_MAX];
    l.signal = str_is(str_c(argv[0]), "logs") ? SIGNAL_LOGS : SIGNAL_TRACES;
    l.port = (unsigned)number(argv[1]);
    l.items = number(argv[2]);
    l.rows = (uint32_t)number(argv[3]);
    unsigned count = (unsigned)MIN(number(argv[4]), (uint64_t)THREADS_MAX);
    l.items -= l.items % l.rows;
    int64_t begin = clock_mono_ns();
    for (unsigned i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, load_run, &l);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("{\"items\": %llu, \"again\": %llu, \"seconds\": %.3f}\n", (unsigned long long)l.items,
           (unsigned long long)atomic_load(&l.again), (double)(clock_mono_ns() - begin) / 1e9);
    return 0;
}

/* ---- sink ---- */

typedef struct {
    uint64_t items;
    bool changed;
    atomic_uint_fast64_t requests, bytes, first, twice, wrong;
    _Atomic uint8_t *seen; /* a bit for each item */
} sink;
static sink the_sink;

static bool same_value(const value *a, const value *b)
{
    return a && a->type == b->type &&
           (a->type == VALUE_STR ? str_eq(a->s, b->s) : a->i64 == b->i64);
}

static bool same_attributes(const attrs *got, uint64_t n)
{
    attr list[ATTRIBUTES];
    item_attributes(list, n);
    bool good = got->count == (the_sink.changed ? ATTRIBUTES - 1 : ATTRIBUTES);
    for (unsigned i = 0; i < ATTRIBUTES && good; i++) {
        bool renamed = the_sink.changed && str_is(list[i].key, "path");
        if (the_sink.changed && str_is(list[i].key, "user.token"))
            continue;
        good = same_value(attrs_get(got, renamed ? STR("url.path") : list[i].key), &list[i].value);
    }
    return good;
}

/* Every column of the row against that of the item made anew in `model`. */
static bool is_same(const batch *b, uint32_t row, batch *model, uint64_t n)
{
    set_item(model, 0, n);
    if (!same_attributes(batch_row_attributes(b, row), n) ||
        !str_is(attrs_get_str(&batch_row_resource(b, row)->attributes, STR("service.name")),
                "checkout"))
        return false;
    if (b->signal == SIGNAL_TRACES)
        return !memcmp(&b->spans.trace[row], model->spans.trace, sizeof(trace_id)) &&
               !memcmp(&b->spans.span[row], model->spans.span, sizeof(span_id)) &&
               b->spans.start_ns[row] == model->spans.start_ns[0] &&
               b->spans.end_ns[row] == model->spans.end_ns[0] &&
               str_eq(b->spans.name[row], model->spans.name[0]) &&
               b->spans.kind[row] == model->spans.kind[0];
    return !memcmp(&b->logs.trace[row], model->logs.trace, sizeof(trace_id)) &&
           b->logs.time_ns[row] == model->logs.time_ns[0] &&
           b->logs.severity[row] == model->logs.severity[0] &&
           str_eq(b->logs.severity_text[row], model->logs.severity_text[0]) &&
           same_value(&b->logs.body[row], &model->logs.body[0]);
}

static void check_rows(const batch *b)
{
    batch model;
    uint64_t first = 0, twice = 0, wrong = 0;
    if (!make_batch(&model, b->signal, 1))
        die("no memory", NULL);
    for (uint32_t i = 0; i < batch_row_count(b); i++) {
        const value *v = attrs_get(batch_row_attributes(b, i), STR("item"));
        uint64_t n = v && v->type == VALUE_I64 ? (uint64_t)v->i64 : UINT64_MAX;
        if (n >= the_sink.items || !is_same(b, i, &model, n)) {
            wrong++;
            continue;
        }
        uint8_t bit = (uint8_t)(1u << n % 8);
        if (atomic_fetch_or(&the_sink.seen[n / 8], bit) & bit)
            twice++;
        else
            first++;
    }
    batch_done(&model);
    atomic_fetch_add(&the_sink.twice, twice);
    atomic_fetch_add(&the_sink.wrong, wrong);
    atomic_fetch_add(&the_sink.first, first);
}

static void sink_take(http_exchange *x, void *user)
{
    str message;
    batch b;
    error err;
    buf answer;
    signal_kind signal = *(const signal_kind *)user;
    if (!grpc_request(x, &message))
        return;
    batch_init(&b, signal, MiB(512));
    if (otlp_decode(&b, message, NULL, NULL, &err) != STATUS_OK) {
        grpc_fail(x, GRPC_INVALID_ARGUMENT, "%s", err.message);
    } else {
        check_rows(&b);
        atomic_fetch_add(&the_sink.requests, 1);
        atomic_fetch_add(&the_sink.bytes, message.len);
        buf_init(&answer, KiB(1));
        otlp_encode_response(OTLP_PROTOBUF, signal, NULL, &answer);
        grpc_reply(x, buf_view(&answer));
        buf_done(&answer);
    }
    batch_done(&b);
}

static int run_sink(char **argv)
{
    static signal_kind kinds[] = { SIGNAL_LOGS, SIGNAL_TRACES };
    static const http_route routes[] = {
        { "POST", EXPORT("logs.v1.Logs"), sink_take, &kinds[0], POOL_INGEST, "" },
        { "POST", EXPORT("trace.v1.Trace"), sink_take, &kinds[1], POOL_INGEST, "" },
    };
    http_route_table table = { .rows = routes, .count = ARRAY_LEN(routes) };
    http_server *s = NULL;
    char address[40];
    unsigned port;
    error err;
    snprintf(address, sizeof(address), "127.0.0.1:%s", argv[0]);
    the_sink.items = number(argv[1]);
    the_sink.changed = str_is(str_c(argv[2]), "changed");
    the_sink.seen = calloc(the_sink.items / 8 + 1, 1);
    if (!the_sink.seen || http_server_new(&s, NULL, &err) != STATUS_OK ||
        http_server_listen(s, address, &table, 1, &port, &err) != STATUS_OK ||
        http_server_start(s, &err) != STATUS_OK)
        die("sink", &err);
    puts("ready");
    fflush(stdout);
    uint64_t before = 0, got = 0;
    int64_t moved = clock_mono_ns();
    while (got < the_sink.items && clock_mono_ns() - moved < 30 * NS_PER_S) {
        (void)poll(NULL, 0, 2);
        got = atomic_load(&the_sink.first);
        if (got != before)
            moved = clock_mono_ns();
        before = got;
    }
    printf("{\"items\": %llu, \"lost\": %llu, \"twice\": %llu, \"changed\": %llu, "
           "\"requests\": %llu, \"bytes\": %llu}\n",
           (unsigned long long)got, (unsigned long long)(the_sink.items - got),
           (unsigned long long)the_sink.twice, (unsigned long long)the_sink.wrong,
           (unsigned long long)the_sink.requests, (unsigned long long)the_sink.bytes);
    fflush(stdout);
    (void)http_server_stop(s, 1000);
    return 0;
}

/* ---- floor ---- */

typedef struct {
    int from, to;
    int file; /* -1: answers are not kept */
} pipe_ends;

static void *copy_bytes(void *user)
{
    pipe_ends p = *(pipe_ends *)user;
    error err;
    char *bytes = malloc(CHUNK);
    free(user);
    for (ssize_t n; bytes && (n = recv(p.from, bytes, CHUNK, 0)) > 0;) {
        if (p.file >= 0 && (file_write_all(p.file, bytes, (size_t)n, &err) != STATUS_OK ||
                            file_sync(p.file, &err) != STATUS_OK))
            die("floor", &err);
        for (ssize_t sent = 0, k; sent < n; sent += k)
            if ((k = send(p.to, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL)) <= 0)
                goto done;
    }
done:
    shutdown(p.to, SHUT_WR);
    free(bytes);
    return NULL;
}

static void start_copy(int from, int to, int file)
{
    pthread_t thread;
    pipe_ends *p = malloc(sizeof(*p));
    if (!p)
        die("no memory", NULL);
    *p = (pipe_ends){ from, to, file };
    pthread_create(&thread, NULL, copy_bytes, p);
    pthread_detach(thread);
}

static int run_floor(char **argv)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)number(argv[0])) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int file = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (file < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64))
        die(strerror(errno), NULL);
    puts("ready");
    fflush(stdout);
    for (int from; (from = accept(fd, NULL, NULL)) >= 0;) {
        error err;
        int to = -1;
        int64_t limit = clock_mono_ns() + 10 * NS_PER_S;
        if (client_dial(&to, "127.0.0.1", argv[1], limit, NULL, &err) != STATUS_OK)
            die("floor", &err);
        fcntl(to, F_SETFL, 0);
        start_copy(from, to, file);
        start_copy(to, from, -1);
    }
    return 0;
}

/* ---- pages ---- */

enum { SERIES_OF_METRIC = 50 };
static uint64_t page_series;

/* Counters that rise from scrape to scrape, fifty series of a metric. */
static void give_page(http_exchange *x, void *user)
{
    (void)user;
    buf *out = http_out(x);
    uint64_t now = (uint64_t)(clock_mono_ns() / NS_PER_MS);
    http_set_header(x, "Content-Type", STR("text/plain; version=0.0.4"));
    for (uint64_t i = 0; i < page_series; i++) {
        uint64_t metric = i / SERIES_OF_METRIC;
        if (i % SERIES_OF_METRIC == 0)
            buf_fmt(out,
                    "# HELP bench_requests_%llu_total Requests.\n"
                    "# TYPE bench_requests_%llu_total counter\n",
                    (unsigned long long)metric, (unsigned long long)metric);
        buf_fmt(out,
                "bench_requests_%llu_total{method=\"GET\",path=\"/api/v1/orders/%llu\"} %llu\n",
                (unsigned long long)metric, (unsigned long long)(i % SERIES_OF_METRIC),
                (unsigned long long)(now * (i % 7 + 1)));
    }
}

static int run_pages(char **argv)
{
    static const http_route routes[] = { { "GET", "/t/*", give_page, NULL, POOL_QUERY, "" } };
    http_route_table table = { .rows = routes, .count = ARRAY_LEN(routes) };
    http_server *s = NULL;
    char address[40];
    unsigned port;
    error err;
    snprintf(address, sizeof(address), "127.0.0.1:%s", argv[0]);
    page_series = number(argv[1]);
    if (http_server_new(&s, NULL, &err) != STATUS_OK ||
        http_server_listen(s, address, &table, 1, &port, &err) != STATUS_OK ||
        http_server_start(s, &err) != STATUS_OK)
        die("pages", &err);
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        int (*run)(char **argv);
    } modes[] = { { "load", 5, run_load },
                  { "sink", 3, run_sink },
                  { "floor", 3, run_floor },
                  { "pages", 2, run_pages } };
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(modes); i++)
        if (str_is(str_c(argv[1]), modes[i].name) && argc == 2 + modes[i].arguments)
            return modes[i].run(argv + 2);
    die("load, sink, floor or pages", NULL);
}
