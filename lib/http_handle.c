// SPDX-License-Identifier: Apache-2.0
/* The paths that the library answers, for the admin port and for servers of the program's own: one
 * table. */
#include "lib/health.h"
#include "lib/http.h"
#include "lib/metric.h"
#include "lib/state.h"

#include "base/error.h"
#include "codec/prom_text.h"
#include "codec/recorder_metrics.h"

#include <pthread.h>
#include <stdlib.h>

enum { PAGE_MAX = 64 << 20 };

/* Held while metrics are read, so that the recorder is not closed meanwhile. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;

void http_release(void)
{
    pthread_mutex_lock(&reading);
    pthread_mutex_unlock(&reading);
}

void http_forked(void)
{
    reading = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

typedef struct {
    const sonde_http_request *request;
    buf *out;
    const char *content_type;
} page;

/* ---- /metrics ---- */

/* The page of the current recorder; an empty one before sonde_start. The batch's resource lives in
 * the reader, which therefore stays open until the page is written. */
static status write_metrics(batch *b, prom_format format, buf *out, error *err)
{
    static const prom_text_options options = { .target_info = true };
    recorder_reader *reader = NULL;
    status st = STATUS_OK;
    metric_collect();
    recorder *r = state_recorder();
    if (r)
        st = recorder_open_reader(r, &reader, &(recorder_reader_options){ .read_only = true }, err);
    if (st == STATUS_OK && reader)
        st = recorder_metrics_read(reader, b, err);
    if (st == STATUS_OK)
        st = prom_text_write(b, format, &options, out, NULL, err);
    recorder_reader_close(reader);
    return st;
}

static int metrics_page(page *p)
{
    const sonde_http_request *request = p->request;
    const char *accept = request->header ? request->header(request->user, "accept") : NULL;
    prom_format format = prom_negotiate(str_c(accept));
    batch b;
    error err;
    batch_init(&b, SIGNAL_METRICS, PAGE_MAX);
    pthread_mutex_lock(&reading);
    status st = write_metrics(&b, format, p->out, &err);
    pthread_mutex_unlock(&reading);
    batch_done(&b);
    p->content_type = prom_content_type(format);
    if (st == STATUS_OK)
        return 200;
    buf_clear(p->out);
    buf_fmt(p->out, "%s\n", err.message);
    p->content_type = "text/plain; charset=utf-8";
    return 500;
}

/* ---- health ---- */

static int health_page(page *p)
{
    p->content_type = "application/json";
    return health_report(HEALTH_LIVE, p->out);
}

static int ready_page(page *p)
{
    p->content_type = "application/json";
    return health_report(HEALTH_READY, p->out);
}

static const struct {
    const char *path;
    int (*answer)(page *p);
} paths[] = {
    { "/metrics", metrics_page }, { "/health", health_page }, { "/healthz", health_page },
    { "/ready", ready_page },     { "/readyz", ready_page },
};

bool sonde_http_handle(const sonde_http_request *request, sonde_http_response *ret)
{
    str rest, path = str_cut(str_c(request->path), '?', &rest);
    str method = request->method ? str_c(request->method) : STR("GET");
    size_t i = 0;
    while (i < ARRAY_LEN(paths) && !str_is(path, paths[i].path))
        i++;
    if (i == ARRAY_LEN(paths))
        return false;
    buf out;
    buf_init(&out, PAGE_MAX);
    page p = { .request = request, .out = &out, .content_type = "text/plain; charset=utf-8" };
    int code = 405;
    if (str_is(method, "GET") || str_is(method, "HEAD"))
        code = paths[i].answer(&p);
    else
        buf_lit(&out, "this path answers GET and HEAD\n");
    if (out.failed) {
        buf_done(&out);
        code = 500;
    }
    *ret = (sonde_http_response){
        .status = code, .content_type = p.content_type, .body = out.ptr, .body_len = out.len
    };
    return true;
}

void sonde_http_response_free(sonde_http_response *response)
{
    if (!response)
        return;
    free(response->body);
    response->body = NULL;
    response->body_len = 0;
}
