// SPDX-License-Identifier: Apache-2.0
/* Stand-ins for what the examples call outside, each with the paths and answers of the real thing:
 * an S3 that checks presigned URLs, and models by HTTP. Not observed itself.
 *
 *   POST /control?service=NAME&delay_ms=N&fail=P&hang=P   how a service (without a name: all)
 *                          behaves from now on: slow, failing P percent, P percent without answer
 *   GET /control           how they behave
 *   GET /seen?service=NAME its last 32 requests with their traceparent
 *   GET /health
 *
 * STANDIN_PORT (9000), BIND_ADDRESS (127.0.0.1), and for the models MODEL_DELAY_MS (120) and
 * MODEL_FAIL_PERCENT (0). */
#include "examples/common/standin.h"

#include "examples/common/config.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request that is given no answer is held so long; clients have long given up then. */
enum { HANG_MS = 30000, SEEN = 32, MAX_DELAY_MS = 600000, CALM_MS = 86400000 };

typedef struct {
    char method[12], path[256], traceparent[64], request_id[96];
} seen_request;

struct standin_service {
    const char *name, *prefix;
    standin_handler *handler;
    bool is_model;
    long delay_ms, fail, hang; /* milliseconds, percent, percent */
    unsigned outcomes, requests;
    seen_request seen[SEEN];
};

/* The first whose prefix fits answers. */
static standin_service services[] = {
    { "replicate", "/v1/predictions", standin_replicate, .is_model = true },
    { "anthropic", "/v1/messages", standin_anthropic, .is_model = true },
    { "yutori", "/v1/research/tasks", standin_yutori, .is_model = true },
    { "freepik", "/v1/ai/text-to-image", standin_freepik, .is_model = true },
    { "s3", "/", standin_s3 },
};
enum { SERVICES = sizeof(services) / sizeof(services[0]) };

/* The settings of a service by name, for /control in both directions. */
static const struct {
    const char *name;
    size_t offset;
    long max;
} settings[] = {
    { "delay_ms", offsetof(standin_service, delay_ms), MAX_DELAY_MS },
    { "fail", offsetof(standin_service, fail), 100 },
    { "hang", offsetof(standin_service, hang), 100 },
};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

/* A request, and its place among those that wait for their time. */
typedef struct held held;
struct held {
    standin_request request;
    bool begun, waits, hangs;
    struct timespec until;
    held *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    held *first;
    bool ends;
} waiting = { .lock = PTHREAD_MUTEX_INITIALIZER };

static long *setting(standin_service *s, size_t i)
{
    return (long *)(void *)((char *)s + settings[i].offset);
}

static struct timespec after(long ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static bool earlier(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* ---- for the services ---- */

/* Spreads P of 100 evenly: `step` shares no factor with 100. */
static bool is_chosen(unsigned n, unsigned step, long percent)
{
    return (long)(n % 100 * step % 100) < percent;
}

bool standin_fails(const standin_request *r)
{
    return is_chosen(r->service->outcomes++, 29, r->service->fail);
}

void standin_answer_bytes(standin_request *r, unsigned status, const char *type, const char *bytes,
                          size_t size)
{
    r->status = status;
    r->response = MHD_create_response_from_buffer(size, (void *)bytes, MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(r->response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
}

void standin_answer(standin_request *r, unsigned status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    standin_answer_bytes(r, status, "application/json", text ? text : "", text ? strlen(text) : 0);
    free(text);
    json_decref(body);
}

json_t *standin_body(const standin_request *r)
{
    json_t *body = json_loadb(r->bytes ? r->bytes : "", r->size, 0, NULL);
    if (json_is_object(body))
        return body;
    json_decref(body);
    return NULL;
}

void standin_task_start(standin_tasks *list, standin_request *r, char ret_id[32])
{
    unsigned id = list->count++;
    long ms = r->delay_ms / 2 + (long)(id * 7919u % 101) * r->delay_ms / 100;
    list->tasks[id % STANDIN_MAX_TASKS].done_at = after(ms);
    list->tasks[id % STANDIN_MAX_TASKS].fails = standin_fails(r);
    r->delay_ms = 0;
    snprintf(ret_id, 32, "%.16s%u", list->id_prefix, id);
}

standin_task_state standin_task_look(const standin_tasks *list, standin_request *r, const char *id)
{
    size_t prefix = strlen(list->id_prefix);
    char *end;
    r->delay_ms = 0;
    if (strncmp(id, list->id_prefix, prefix) != 0)
        return TASK_UNKNOWN;
    unsigned long n = strtoul(id + prefix, &end, 10);
    if (end == id + prefix || *end || n >= list->count || n + STANDIN_MAX_TASKS < list->count)
        return TASK_UNKNOWN;
    struct timespec now = after(0);
    if (earlier(&now, &list->tasks[n % STANDIN_MAX_TASKS].done_at))
        return TASK_RUNNING;
    return list->tasks[n % STANDIN_MAX_TASKS].fails ? TASK_FAILED : TASK_SUCCEEDED;
}

/* ---- requests that wait ---- */

/* The request goes on when its time has come, or when the program ends. */
static void hold(held *h, long ms)
{
    h->until = after(ms);
    h->waits = true;
    MHD_suspend_connection(h->request.connection);
    pthread_mutex_lock(&waiting.lock);
    h->next = waiting.first;
    waiting.first = h;
    pthread_cond_signal(&waiting.changed);
    pthread_mutex_unlock(&waiting.lock);
}

/* Lets go on whose time has come; when the next one's comes. */
static struct timespec release_due(void)
{
    struct timespec now = after(0), next = after(CALM_MS);
    for (held **at = &waiting.first, *h; (h = *at) != NULL;) {
        if (!waiting.ends && earlier(&now, &h->until)) {
            if (earlier(&h->until, &next))
                next = h->until;
            at = &h->next;
            continue;
        }
        *at = h->next;
        MHD_resume_connection(h->request.connection);
    }
    return next;
}

static void *run_clock(void *user)
{
    (void)user;
    pthread_mutex_lock(&waiting.lock);
    for (;;) {
        struct timespec next = release_due();
        if (waiting.ends)
            break;
        pthread_cond_timedwait(&waiting.changed, &waiting.lock, &next);
    }
    pthread_mutex_unlock(&waiting.lock);
    return NULL;
}

/* ---- /control, /seen ---- */

static standin_service *find_service(const char *name)
{
    for (size_t i = 0; i < SERVICES; i++)
        if (strcmp(services[i].name, name) == 0)
            return &services[i];
    return NULL;
}

static void answer_unknown_service(standin_request *r, const char *name)
{
    json_t *names = json_array();
    for (size_t i = 0; i < SERVICES; i++)
        json_array_append_new(names, json_string(services[i].name));
    standin_answer(r, 400,
                   json_pack("{so so}", "error", json_sprintf("there is no service '%.64s'", name),
                             "services", names));
}

static void show_control(standin_request *r)
{
    json_t *all = json_object();
    for (size_t i = 0; i < SERVICES; i++) {
        json_t *one = json_object();
        for (size_t k = 0; k < SETTINGS; k++)
            json_object_set_new(one, settings[k].name, json_integer(*setting(&services[i], k)));
        json_object_set_new(all, services[i].name, one);
    }
    standin_answer(r, 200, all);
}

/* The number of a setting; -1 when it is absent, -2 when the request was answered with 400. */
static long control_number(standin_request *r, size_t i)
{
    char *end;
    const char *text =
        MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, settings[i].name);
    if (!text)
        return -1;
    long n = strtol(text, &end, 10);
    if (*text && !*end && n >= 0 && n <= settings[i].max)
        return n;
    standin_answer(r, 400,
                   json_pack("{so}", "error",
                             json_sprintf("%s is '%.32s'; it must be a whole number from 0 to %ld",
                                          settings[i].name, text, settings[i].max)));
    return -2;
}

static void set_control(standin_request *r)
{
    const char *name = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "service");
    standin_service *only = name ? find_service(name) : NULL;
    long numbers[SETTINGS];
    if (name && !only) {
        answer_unknown_service(r, name);
        return;
    }
    for (size_t k = 0; k < SETTINGS; k++)
        if ((numbers[k] = control_number(r, k)) == -2)
            return;
    for (size_t i = 0; i < SERVICES; i++)
        for (size_t k = 0; k < SETTINGS; k++)
            if (numbers[k] >= 0 && (!only || only == &services[i]))
                *setting(&services[i], k) = numbers[k];
    show_control(r);
}

static void control(standin_request *r)
{
    if (strcmp(r->method, "POST") == 0)
        set_control(r);
    else
        show_control(r);
}

static void note_seen(standin_service *s, standin_request *r)
{
    const char *parent = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "traceparent");
    const char *id = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "X-Request-ID");
    seen_request *one = &s->seen[s->requests++ % SEEN];
    snprintf(one->method, sizeof(one->method), "%s", r->method);
    snprintf(one->path, sizeof(one->path), "%.255s", r->path);
    snprintf(one->traceparent, sizeof(one->traceparent), "%s", parent ? parent : "");
    snprintf(one->request_id, sizeof(one->request_id), "%s", id ? id : "");
}

static void show_seen(standin_request *r)
{
    const char *name = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "service");
    const standin_service *s = name ? find_service(name) : NULL;
    if (!s) {
        answer_unknown_service(r, name ? name : "");
        return;
    }
    json_t *list = json_array();
    for (unsigned i = s->requests < SEEN ? 0 : s->requests - SEEN; i < s->requests; i++) {
        const seen_request *one = &s->seen[i % SEEN];
        json_array_append_new(list, json_pack("{ss ss ss ss}", "method", one->method, "path",
                                              one->path, "traceparent", one->traceparent,
                                              "request_id", one->request_id));
    }
    standin_answer(r, 200,
                   json_pack("{ss sI so}", "service", s->name, "total", (json_int_t)s->requests,
                             "requests", list));
}

static void show_health(standin_request *r)
{
    standin_answer(r, 200, json_pack("{ss}", "status", "ok"));
}

static const struct {
    const char *path;
    standin_handler *handler;
} own_paths[] = { { "/control", control }, { "/seen", show_seen }, { "/health", show_health } };

/* ---- requests ---- */

static void dispatch(held *h)
{
    standin_request *r = &h->request;
    for (size_t i = 0; i < sizeof(own_paths) / sizeof(own_paths[0]); i++)
        if (strcmp(r->path, own_paths[i].path) == 0) {
            own_paths[i].handler(r);
            return;
        }
    standin_service *s = services;
    while (strncmp(r->path, s->prefix, strlen(s->prefix)) != 0)
        s++; /* the last one has every path */
    r->service = s;
    r->rest = r->path + strlen(s->prefix);
    r->delay_ms = s->delay_ms;
    h->hangs = is_chosen(s->requests, 19, s->hang);
    note_seen(s, r);
    if (!h->hangs)
        s->handler(r);
}

static enum MHD_Result take_body(standin_request *r, const char *data, size_t *size)
{
    char *more =
        r->size + *size <= STANDIN_MAX_BODY_BYTES ? realloc(r->bytes, r->size + *size) : NULL;
    if (!more)
        return MHD_NO;
    memcpy(more + r->size, data, *size);
    r->bytes = more;
    r->size += *size;
    *size = 0;
    return MHD_YES;
}

/* Called for the headers, for each piece of the body, at its end, and again after a wait. */
static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    (void)user, (void)version;
    held *h = *state;
    standin_request *r = &h->request;
    if (*size)
        return take_body(r, data, size);
    if (!h->begun) {
        h->begun = true;
        return MHD_YES;
    }
    if (!h->waits) {
        r->connection = c;
        snprintf(r->method, sizeof(r->method), "%s", method);
        snprintf(r->path, sizeof(r->path), "%s", path);
        dispatch(h);
        if (h->hangs || r->delay_ms > 0) {
            hold(h, h->hangs ? HANG_MS : r->delay_ms);
            return MHD_YES;
        }
    }
    return h->hangs ? MHD_NO : MHD_queue_response(c, r->status, r->response);
}

/* Called by the server with the target before it is decoded, which S3's signature covers. */
static void *keep_target(void *user, const char *target, struct MHD_Connection *c)
{
    (void)user, (void)c;
    held *h = calloc(1, sizeof(*h));
    if (!h)
        abort();
    snprintf(h->request.target, sizeof(h->request.target), "%s", target);
    return h;
}

static void completed(void *user, struct MHD_Connection *c, void **state,
                      enum MHD_RequestTerminationCode why)
{
    (void)user, (void)c, (void)why;
    held *h = *state;
    if (!h)
        return;
    if (h->request.response)
        MHD_destroy_response(h->request.response);
    free(h->request.bytes);
    free(h);
}

static void start_clock(pthread_t *ret)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&waiting.changed, &monotonic);
    if (pthread_create(ret, NULL, run_clock, NULL) != 0)
        abort();
}

static void stop_clock(pthread_t clock)
{
    pthread_mutex_lock(&waiting.lock);
    waiting.ends = true;
    pthread_cond_signal(&waiting.changed);
    pthread_mutex_unlock(&waiting.lock);
    pthread_join(clock, NULL);
}

int main(void)
{
    config_catch_signals();
    for (size_t i = 0; i < SERVICES; i++)
        if (services[i].is_model) {
            services[i].delay_ms = config_number("MODEL_DELAY_MS", 120, 0, MAX_DELAY_MS);
            services[i].fail = config_number("MODEL_FAIL_PERCENT", 0, 0, 100);
        }
    uint16_t port = (uint16_t)config_number("STANDIN_PORT", 9000, 1, 65535);
    const char *where = config_text("BIND_ADDRESS", "127.0.0.1");
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (inet_pton(AF_INET, where, &address.sin_addr) != 1) {
        fprintf(stderr, "BIND_ADDRESS is '%s'; it must be an IPv4 address\n", where);
        return 2;
    }
    pthread_t clock;
    start_clock(&clock);
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        handle, NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_URI_LOG_CALLBACK, keep_target,
        NULL, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_CONNECTION_TIMEOUT, 75u,
        MHD_OPTION_END);
    if (!d)
        fprintf(stderr, "standin: cannot listen on %s:%u\n", where, port);
    while (d && !config_wait(1000))
        continue;
    if (d)
        MHD_quiesce_daemon(d);
    stop_clock(clock);
    if (d)
        MHD_stop_daemon(d);
    return d ? 0 : 1;
}
