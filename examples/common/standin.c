// SPDX-License-Identifier: Apache-2.0
/* Stand-ins for what the examples call outside: an S3 that checks presigned URLs, and an image
 * model with Replicate's prediction API. Not observed itself.
 *
 *   PUT, GET /BUCKET/KEY                 presigned by the account of s3.h; objects live in memory
 *   POST /v1/predictions                 201, {"id", "status":"starting"}
 *   GET /v1/predictions/ID               200, status "processing" until its time, then "succeeded"
 *   POST /control?delay_ms=N&fail=P      what the model does from now on: slow, failing P percent
 *
 * STANDIN_PORT (9000), MODEL_DELAY_MS (120), MODEL_FAIL_PERCENT (0). At most 256 objects of 1 MiB;
 * the oldest goes first. */
#include "examples/common/config.h"
#include "examples/common/s3.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OBJECTS = 256, MAX_OBJECT_BYTES = 1 << 20, MAX_PREDICTIONS = 4096 };

typedef struct {
    char path[512];
    char *bytes;
    size_t size;
} object;

typedef struct {
    struct timespec done_at;
    bool fails;
} prediction;

static struct {
    pthread_mutex_t lock;
    s3_account account;
    object objects[MAX_OBJECTS];
    unsigned object_count;
    prediction predictions[MAX_PREDICTIONS];
    unsigned prediction_count;
    long delay_ms, fail_percent;
} standin = { .lock = PTHREAD_MUTEX_INITIALIZER };

typedef struct {
    char *bytes;
    size_t size;
    bool begun;
    char target[2048]; /* path and query as they were sent */
} request;

static enum MHD_Result answer(struct MHD_Connection *c, unsigned code, const char *type,
                              const char *bytes, size_t size)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(size, (void *)bytes, MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result result = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *c, unsigned code, const char *text)
{
    return answer(c, code, *text == '{' ? "application/json" : "text/plain", text, strlen(text));
}

static object *find_object(const char *path)
{
    for (unsigned i = 0; i < MAX_OBJECTS; i++)
        if (strcmp(standin.objects[i].path, path) == 0)
            return &standin.objects[i];
    return NULL;
}

static enum MHD_Result put_object(struct MHD_Connection *c, const char *path, request *r)
{
    object *o = find_object(path);
    if (!o)
        o = &standin.objects[standin.object_count++ % MAX_OBJECTS];
    free(o->bytes);
    snprintf(o->path, sizeof(o->path), "%s", path);
    o->bytes = r->bytes;
    o->size = r->size;
    r->bytes = NULL;
    return answer_text(c, 200, "");
}

static enum MHD_Result serve_object(struct MHD_Connection *c, const char *method, const char *path,
                                    request *r)
{
    const char *why;
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    if (!s3_check(&standin.account, method, host ? host : "", r->target, time(NULL), &why))
        return answer_text(c, 403, why);
    if (strcmp(method, "PUT") == 0)
        return put_object(c, path, r);
    object *o = find_object(path);
    return o ? answer(c, 200, "image/jpeg", o->bytes, o->size) : answer_text(c, 404, "no such key");
}

static enum MHD_Result create_prediction(struct MHD_Connection *c)
{
    char text[128];
    unsigned id = standin.prediction_count++;
    prediction *p = &standin.predictions[id % MAX_PREDICTIONS];
    /* Half to one and a half times the configured time, by the id. */
    long ms = standin.delay_ms / 2 + (long)(id * 7919u % 101) * standin.delay_ms / 100;
    clock_gettime(CLOCK_MONOTONIC, &p->done_at);
    p->done_at.tv_sec += ms / 1000;
    p->done_at.tv_nsec += ms % 1000 * 1000000;
    p->fails = (long)(id * 104729u % 100) < standin.fail_percent;
    snprintf(text, sizeof(text), "{\"id\":\"%u\",\"status\":\"starting\"}", id);
    return answer_text(c, 201, text);
}

static enum MHD_Result show_prediction(struct MHD_Connection *c, const char *id)
{
    char text[160];
    struct timespec now;
    unsigned long n = strtoul(id, NULL, 10);
    if (n >= standin.prediction_count || n + MAX_PREDICTIONS < standin.prediction_count)
        return answer_text(c, 404, "{\"detail\":\"not found\"}");
    const prediction *p = &standin.predictions[n % MAX_PREDICTIONS];
    clock_gettime(CLOCK_MONOTONIC, &now);
    bool done = now.tv_sec > p->done_at.tv_sec ||
                (now.tv_sec == p->done_at.tv_sec && now.tv_nsec >= p->done_at.tv_nsec);
    snprintf(text, sizeof(text), "{\"id\":\"%lu\",\"status\":\"%s\"%s}", n,
             !done      ? "processing"
             : p->fails ? "failed"
                        : "succeeded",
             done && p->fails ? ",\"error\":\"CUDA out of memory\"" : "");
    return answer_text(c, 200, text);
}

static enum MHD_Result control(struct MHD_Connection *c)
{
    const char *delay = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "delay_ms");
    const char *fail = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "fail");
    if (delay)
        standin.delay_ms = strtol(delay, NULL, 10);
    if (fail)
        standin.fail_percent = strtol(fail, NULL, 10);
    return answer_text(c, 200, "{}");
}

static enum MHD_Result take_body(request *r, const char *data, size_t *size)
{
    char *more = r->size + *size <= MAX_OBJECT_BYTES ? realloc(r->bytes, r->size + *size) : NULL;
    if (!more)
        return MHD_NO;
    memcpy(more + r->size, data, *size);
    r->bytes = more;
    r->size += *size;
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    static const char predictions[] = "/v1/predictions";
    (void)user, (void)version;
    request *r = *state;
    if (*size)
        return take_body(r, data, size);
    if (!r->begun) { /* the first call brings the headers only */
        r->begun = true;
        return MHD_YES;
    }
    pthread_mutex_lock(&standin.lock);
    enum MHD_Result result;
    if (strcmp(path, predictions) == 0 && strcmp(method, "POST") == 0)
        result = create_prediction(c);
    else if (strncmp(path, predictions, sizeof(predictions) - 1) == 0)
        result = show_prediction(c, path + sizeof(predictions));
    else if (strcmp(path, "/control") == 0)
        result = control(c);
    else if (strcmp(path, "/health") == 0)
        result = answer_text(c, 200, "{\"status\":\"ok\"}");
    else
        result = serve_object(c, method, path, r);
    pthread_mutex_unlock(&standin.lock);
    return result;
}

/* Called by the server with the target before it is decoded, which the signature covers. */
static void *keep_target(void *user, const char *target, struct MHD_Connection *c)
{
    (void)user, (void)c;
    request *r = calloc(1, sizeof(*r));
    if (r)
        snprintf(r->target, sizeof(r->target), "%s", target);
    return r;
}

static void completed(void *user, struct MHD_Connection *c, void **state,
                      enum MHD_RequestTerminationCode why)
{
    (void)user, (void)c, (void)why;
    request *r = *state;
    if (r)
        free(r->bytes);
    free(r);
}

int main(void)
{
    config_catch_signals();
    standin.account = s3_account_from_environment("real-staging");
    standin.delay_ms = config_number("MODEL_DELAY_MS", 120, 0, 600000);
    standin.fail_percent = config_number("MODEL_FAIL_PERCENT", 0, 0, 100);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(
                                       (uint16_t)config_number("STANDIN_PORT", 9000, 1, 65535)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct MHD_Daemon *d =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, handle,
                         NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_URI_LOG_CALLBACK,
                         keep_target, NULL, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                         MHD_OPTION_CONNECTION_TIMEOUT, 75u, MHD_OPTION_END);
    if (!d) {
        fprintf(stderr, "standin: cannot listen on port %d\n", ntohs(address.sin_port));
        return 1;
    }
    while (!config_wait(1000))
        continue;
    MHD_stop_daemon(d);
    for (unsigned i = 0; i < MAX_OBJECTS; i++)
        free(standin.objects[i].bytes);
    return 0;
}
