// SPDX-License-Identifier: Apache-2.0
/* The extension health_check: a page that answers while the collector runs, for load balancers and
 * orchestrators that ask at the Collector's port. */
#include "base/clock.h"
#include "codec/json.h"
#include "pipeline/component.h"

#include <stdlib.h>

typedef struct {
    str healthy, unhealthy;
} body_settings;

typedef struct {
    server_settings server;
    str path;
    body_settings body;
} health_settings;

static const option body_rows[] = {
    { .name = "healthy",
      .type = OPTION_TEXT,
      .offset = offsetof(body_settings, healthy),
      .help = "what is answered instead of the JSON object" },
    { .name = "unhealthy",
      .type = OPTION_IGNORED,
      .help = "the page answers as long as the collector runs" },
};
static const option_table body_options = OPTION_TABLE(body_rows, body_settings);

static const option health_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(health_settings, server.endpoint),
      .fallback = "localhost:13133",
      .address = true,
      .help = "address to listen on: HOST:PORT" },
    { .name = "path",
      .type = OPTION_TEXT,
      .offset = offsetof(health_settings, path),
      .fallback = "/",
      .help = "the page" },
    { .name = "response_body",
      .type = OPTION_SECTION,
      .offset = offsetof(health_settings, body),
      .table = &body_options,
      .help = "other texts to answer" },
    { .name = "check_collector_pipeline",
      .type = OPTION_IGNORED,
      .help = "whether ingest is possible stands at /readyz of the web port" },
    { .name = "server",
      .type = OPTION_INLINE,
      .offset = offsetof(health_settings, server),
      .table = &server_options },
};

typedef struct {
    const health_settings *settings;
    int64_t since_ns, since_mono_ns;
    http_route route;
} health;

static void answer(http_exchange *x, void *user)
{
    const health *h = user;
    if (h->settings->body.healthy.len) {
        http_set_header(x, "Content-Type", STR("text/plain; charset=utf-8"));
        buf_str(http_out(x), h->settings->body.healthy);
        return;
    }
    buf since, uptime;
    buf_init(&since, 64);
    buf_init(&uptime, 64);
    clock_format_rfc3339(&since, h->since_ns, 9);
    clock_format_duration(&uptime, clock_mono_ns() - h->since_mono_ns);
    http_set_header(x, "Content-Type", STR("application/json"));
    json_writer w = json_write(http_out(x));
    json_begin_object(&w);
    json_key(&w, STR("status"));
    json_str(&w, STR("Server available"));
    json_key(&w, STR("upSince"));
    json_str(&w, buf_view(&since));
    json_key(&w, STR("uptime"));
    json_str(&w, buf_view(&uptime));
    json_end_object(&w);
    buf_done(&since);
    buf_done(&uptime);
}

static status health_check_settings(const void *settings, char *where, size_t where_size,
                                    error *err)
{
    const health_settings *s = settings;
    str_copy_c(where, where_size, STR("path"));
    if (!str_starts(s->path, STR("/")) || str_find_char(s->path, '{') != SIZE_MAX ||
        str_find_char(s->path, '*') != SIZE_MAX)
        return fail(err, STATUS_INVALID, "wants a path that begins with \"/\"");
    return STATUS_OK;
}

static status health_open(void **ret_self, component *c, error *err)
{
    health *h = calloc(1, sizeof(*h));
    if (!h)
        return fail(err, STATUS_NO_MEMORY, "no memory for %s", c->id);
    h->settings = c->settings;
    h->since_ns = clock_now_ns();
    h->since_mono_ns = clock_mono_ns();
    h->route = (http_route){ "GET|HEAD", h->settings->path.ptr,
                             answer,     h,
                             POOL_NONE,  "health_check: whether the collector runs" };
    status st = component_listen(c, &h->settings->server, &h->route, 1, h, err);
    if (st == STATUS_OK)
        *ret_self = h;
    else
        free(h);
    return st;
}

const component_type health_check_extension = {
    .type = "health_check",
    .kind = COMPONENT_EXTENSION,
    .help = "A page that answers with 200 while the collector runs.",
    .options = OPTION_TABLE(health_rows, health_settings),
    .check = health_check_settings,
    .open = health_open,
    .close = free,
};
