// SPDX-License-Identifier: Apache-2.0
/* The jaeger receiver: spans as Jaeger's clients send them: gRPC (api_v2), Thrift over HTTP, and
 * the agent's two UDP ports. Handlers run on the ingest workers, any number at once, and remember
 * nothing. Who is answered over gRPC or HTTP has its spans in the intake log. */
#include "codec/jaeger.h"
#include "net/grpc.h"
#include "pipeline/receivers/jaeger_agent.h"
#include "pipeline/receivers/span_intake.h"

#include <stdlib.h>

typedef struct {
    bool has_grpc, has_http, has_compact, has_binary;
    server_settings grpc, http;
    jaeger_agent_settings compact, binary;
} jaeger_protocols;

typedef struct {
    jaeger_protocols protocols;
} jaeger_settings;

typedef struct {
    component *component;
    jaeger_agent *compact, *binary;
} jaeger_receiver_state;

#define ENDPOINT_ROW(fallback_) \
    { \
        .name = "endpoint", .type = OPTION_TEXT, .offset = offsetof(server_settings, endpoint), \
        .fallback = (fallback_), .address = true, .help = "address to listen on: HOST:PORT" \
    }
static const option grpc_rows[] = {
    ENDPOINT_ROW("localhost:14250"),
    { .type = OPTION_INLINE, .table = &server_options },
};
static const option http_rows[] = {
    ENDPOINT_ROW("localhost:14268"),
    { .type = OPTION_INLINE, .table = &server_options },
};
static const option_table grpc_options = OPTION_TABLE(grpc_rows, server_settings);
static const option_table http_options = OPTION_TABLE(http_rows, server_settings);

#define PROTOCOL_ROW(name_, member_, table_, help_) \
    { \
        .name = (name_), .type = OPTION_SECTION, .offset = offsetof(jaeger_protocols, member_), \
        .table = &(table_), .present = OPTION_PRESENT(jaeger_protocols, has_##member_), \
        .help = (help_) \
    }
static const option protocol_rows[] = {
    PROTOCOL_ROW("grpc", grpc, grpc_options, "jaeger.api_v2.CollectorService over gRPC"),
    PROTOCOL_ROW("thrift_http", http, http_options, "POST /api/traces with a Thrift batch"),
    PROTOCOL_ROW("thrift_compact", compact, jaeger_compact_options,
                 "the agent's UDP port for the compact protocol"),
    PROTOCOL_ROW("thrift_binary", binary, jaeger_binary_options,
                 "the agent's UDP port for the binary protocol"),
};
static const option_table protocol_options = OPTION_TABLE(protocol_rows, jaeger_protocols);

static const option jaeger_rows[] = {
    { .name = "protocols",
      .type = OPTION_SECTION,
      .offset = offsetof(jaeger_settings, protocols),
      .table = &protocol_options,
      .required = true,
      .help = "how clients may come; each that is named is opened" },
    { .name = "remote_sampling",
      .type = OPTION_IGNORED,
      .help =
          "sampling strategies are not given to clients; tail_sampling decides in the pipeline" },
};

static status jaeger_check(const void *settings, char *where, size_t where_size, error *err)
{
    const jaeger_protocols *p = &((const jaeger_settings *)settings)->protocols;
    if (p->has_grpc || p->has_http || p->has_compact || p->has_binary)
        return STATUS_OK;
    str_copy_c(where, where_size, STR("protocols"));
    return fail(err, STATUS_INVALID,
                "names none of grpc, thrift_http, thrift_compact and thrift_binary: nothing would "
                "be received");
}

/* ---- gRPC ---- */

static status decode_proto(const void *user UNUSED, batch *b, str body, error *err)
{
    return jaeger_proto_decode(b, body, err);
}

static void post_grpc(http_exchange *x, void *user)
{
    component *c = user;
    error err;
    str message;
    if (!grpc_request(x, &message))
        component_failed(c, "grpc", SIGNAL_TRACES);
    else if (span_intake(c, "grpc", message, decode_proto, NULL, &err) == STATUS_OK)
        grpc_reply(x, STR_EMPTY);
    else
        ingest_fail_grpc(x, &err);
}

static const http_route over_grpc[] = {
    { "POST", "/jaeger.api_v2.CollectorService/PostSpans", post_grpc, NULL, POOL_INGEST,
      "Jaeger over gRPC: spans" },
};

/* ---- Thrift over HTTP ---- */

static status decode_thrift(const void *user, batch *b, str body, error *err)
{
    return jaeger_thrift_decode(b, body, *(const thrift_protocol *)user, err);
}

static void post_http(http_exchange *x, void *user)
{
    static const struct {
        str type;
        thrift_protocol protocol;
    } types[] = {
        { STR_INIT("application/x-thrift"), THRIFT_BINARY },
        { STR_INIT("application/vnd.apache.thrift.binary"), THRIFT_BINARY },
        { STR_INIT("application/vnd.apache.thrift.compact"), THRIFT_COMPACT },
    };
    component *c = user;
    error err;
    size_t i = 0;
    str rest, type = str_trim(str_cut(http_header(x, "content-type"), ';', &rest));
    while (i < ARRAY_LEN(types) && !str_eq_nocase(type, types[i].type))
        i++;
    if (i == ARRAY_LEN(types)) {
        component_failed(c, "http", SIGNAL_TRACES);
        http_fail(x, 415,
                  "content type \"%.*s\" is not Jaeger's; application/x-thrift and "
                  "application/vnd.apache.thrift.binary are",
                  (int)MIN(type.len, (size_t)100), type.ptr);
    } else if (span_intake(c, "http", http_body(x), decode_thrift, &types[i].protocol, &err) ==
               STATUS_OK) {
        http_set_status(x, 202);
    } else {
        ingest_fail_http(x, &err);
    }
}

static const http_route over_http[] = {
    { "POST", "/api/traces", post_http, NULL, POOL_INGEST, "Jaeger, Thrift over HTTP: spans" },
};

/* ---- the component ---- */

static void jaeger_close(void *self)
{
    jaeger_receiver_state *r = self;
    jaeger_agent_free(r->compact);
    jaeger_agent_free(r->binary);
    free(r);
}

static status open_all(jaeger_receiver_state *r, const jaeger_protocols *p, error *err)
{
    component *c = r->component;
    status st = STATUS_OK;
    if (p->has_grpc)
        st = component_listen(c, &p->grpc, over_grpc, ARRAY_LEN(over_grpc), c, err);
    if (st == STATUS_OK && p->has_http)
        st = component_listen(c, &p->http, over_http, ARRAY_LEN(over_http), c, err);
    if (st == STATUS_OK && p->has_compact)
        st = jaeger_agent_new(&r->compact, c, &p->compact, THRIFT_COMPACT, err);
    if (st == STATUS_OK && p->has_binary)
        st = jaeger_agent_new(&r->binary, c, &p->binary, THRIFT_BINARY, err);
    return st;
}

static status jaeger_open(void **ret_self, component *c, error *err)
{
    const jaeger_settings *s = c->settings;
    jaeger_receiver_state *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for a receiver");
    r->component = c;
    status st = open_all(r, &s->protocols, err);
    if (st == STATUS_OK)
        *ret_self = r;
    else
        jaeger_close(r);
    return st;
}

static status jaeger_start(void *self, error *err)
{
    jaeger_receiver_state *r = self;
    status st = r->compact ? jaeger_agent_start(r->compact, err) : STATUS_OK;
    return st == STATUS_OK && r->binary ? jaeger_agent_start(r->binary, err) : st;
}

static void jaeger_stop(void *self)
{
    jaeger_receiver_state *r = self;
    jaeger_agent_stop(r->compact);
    jaeger_agent_stop(r->binary);
}

const component_type jaeger_receiver = {
    .type = "jaeger",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_TRACES,
    .help = "Takes spans as Jaeger's clients send them, over gRPC, HTTP and UDP.",
    .options = OPTION_TABLE(jaeger_rows, jaeger_settings),
    .check = jaeger_check,
    .open = jaeger_open,
    .start = jaeger_start,
    .stop = jaeger_stop,
    .close = jaeger_close,
};
