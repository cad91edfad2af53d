// SPDX-License-Identifier: Apache-2.0
/* The paths that the library answers, for the admin port and for servers of the program's own: one
 * table. */
#include "lib/health.h"
#include "lib/http.h"
#include "lib/metric_page.h"

#include <stdlib.h>

enum { PAGE_MAX = 64 << 20 };

void http_release(void)
{
    metric_page_release();
}

void http_forked(void)
{
    metric_page_forked();
}

typedef struct {
    const sonde_http_request *request;
    buf *out;
    const char *content_type;
} page;

static int metrics_page(page *p)
{
    const sonde_http_request *request = p->request;
    const char *accept = request->header ? request->header(request->user, "accept") : NULL;
    return metric_page(accept, p->out, &p->content_type);
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
