// SPDX-License-Identifier: Apache-2.0
/* The zipkin receiver: Zipkin's v2 spans by POST /api/v2/spans, as JSON and as protobuf. Handlers
 * run on the ingest workers, any number at once, and remember nothing. Who is answered with 202 has
 * its spans in the intake log. */
#include "base/clock.h"
#include "codec/zipkin_read.h"
#include "pipeline/receivers/span_intake.h"

typedef struct {
    server_settings server;
    bool parse_string_tags;
} zipkin_settings;

static const option zipkin_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(zipkin_settings, server.endpoint),
      .fallback = "localhost:9411",
      .address = true,
      .help = "address to listen on: HOST:PORT" },
    { .name = "parse_string_tags",
      .type = OPTION_BOOL,
      .offset = offsetof(zipkin_settings, parse_string_tags),
      .help =
          "tags that look like a bool, an integer or a number become one; Zipkin has only text" },
    { .type = OPTION_INLINE,
      .offset = offsetof(zipkin_settings, server),
      .table = &server_options },
};

static zipkin_options options_of(const component *c)
{
    const zipkin_settings *s = c->settings;
    return (zipkin_options){ .now_ns = clock_now_ns(), .parse_tags = s->parse_string_tags };
}

static status decode_json(const void *user, batch *b, str body, error *err)
{
    zipkin_options options = options_of(user);
    return zipkin_json_decode(b, body, &options, err);
}

static status decode_proto(const void *user, batch *b, str body, error *err)
{
    zipkin_options options = options_of(user);
    return zipkin_proto_decode(b, body, &options, err);
}

static void post_spans(http_exchange *x, void *user)
{
    component *c = user;
    error err;
    str rest, type = str_trim(str_cut(http_header(x, "content-type"), ';', &rest));
    span_decoder *decode = NULL;
    if (!type.len || str_eq_nocase(type, STR("application/json")))
        decode = decode_json;
    else if (str_eq_nocase(type, STR("application/x-protobuf")) ||
             str_eq_nocase(type, STR("application/protobuf")))
        decode = decode_proto;
    if (!decode) {
        component_failed(c, "http", SIGNAL_TRACES);
        http_fail(x, 415,
                  "content type \"%.*s\" is not Zipkin's; application/json and "
                  "application/x-protobuf are",
                  (int)MIN(type.len, (size_t)100), type.ptr);
    } else if (span_intake(c, "http", http_body(x), decode, c, &err) == STATUS_OK) {
        http_set_status(x, 202);
    } else {
        ingest_fail_http(x, &err);
    }
}

static const http_route routes[] = {
    { "POST", "/api/v2/spans", post_spans, NULL, POOL_INGEST, "Zipkin v2: spans" },
};

static status zipkin_open(void **ret_self, component *c, error *err)
{
    const zipkin_settings *s = c->settings;
    *ret_self = c;
    return component_listen(c, &s->server, routes, ARRAY_LEN(routes), c, err);
}

const component_type zipkin_receiver = {
    .type = "zipkin",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_TRACES,
    .help = "Takes spans in Zipkin's v2 format, JSON or protobuf, by POST /api/v2/spans.",
    .options = OPTION_TABLE(zipkin_rows, zipkin_settings),
    .open = zipkin_open,
};
