// SPDX-License-Identifier: Apache-2.0
/* The loki receiver: Loki's push API over HTTP (protobuf in snappy, and JSON) and over gRPC.
 * Handlers run on the ingest workers, any number at once, and remember nothing. Who is answered
 * with 204 (or OK) has its entries in the intake log. */
#include "pipeline/component.h"

#include "base/clock.h"
#include "codec/loki_push.h"
#include "net/grpc.h"

#include <snappy-c.h>
#include <stdlib.h>

/* Of a snappy body that says how long it will be. */
#define UNPACKED_MAX MiB(64)

typedef struct {
    bool has_http, has_grpc;
    server_settings http, grpc;
} loki_protocols;

typedef struct {
    loki_protocols protocols;
    bool use_incoming_timestamp;
} loki_settings;

static const option http_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .fallback = "localhost:3500",
      .address = true,
      .help = "address to listen on: HOST:PORT" },
    { .type = OPTION_INLINE, .table = &server_options },
};
static const option_table http_options = OPTION_TABLE(http_rows, server_settings);

static const option grpc_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .fallback = "localhost:3600",
      .address = true,
      .help = "address to listen on: HOST:PORT" },
    { .type = OPTION_INLINE, .table = &server_options },
};
static const option_table grpc_options = OPTION_TABLE(grpc_rows, server_settings);

static const option protocol_rows[] = {
    { .name = "http",
      .type = OPTION_SECTION,
      .offset = offsetof(loki_protocols, http),
      .table = &http_options,
      .present = OPTION_PRESENT(loki_protocols, has_http),
      .help = "POST /loki/api/v1/push and /api/prom/push; absent: not over HTTP" },
    { .name = "grpc",
      .type = OPTION_SECTION,
      .offset = offsetof(loki_protocols, grpc),
      .table = &grpc_options,
      .present = OPTION_PRESENT(loki_protocols, has_grpc),
      .help = "logproto.Pusher/Push; absent: not over gRPC" },
};
static const option_table protocol_options = OPTION_TABLE(protocol_rows, loki_protocols);

static const option loki_rows[] = {
    { .name = "protocols",
      .type = OPTION_SECTION,
      .offset = offsetof(loki_settings, protocols),
      .table = &protocol_options,
      .required = true,
      .help = "how senders may come: http, grpc or both" },
    { .name = "use_incoming_timestamp",
      .type = OPTION_BOOL,
      .offset = offsetof(loki_settings, use_incoming_timestamp),
      .fallback = "true",
      .help =
          "an entry's time is the one that it came with; false: when it arrived (the Collector's "
          "default is false, by which replayed and late entries would lose their time)" },
};

static status loki_check(const void *settings, char *where, size_t where_size, error *err)
{
    const loki_settings *s = settings;
    if (s->protocols.has_http || s->protocols.has_grpc)
        return STATUS_OK;
    str_copy_c(where, where_size, STR("protocols"));
    return fail(err, STATUS_INVALID, "names neither http nor grpc: nothing would be received");
}

/* ---- one request ---- */

static void set_times(batch *b, bool keep)
{
    int64_t now = clock_now_ns();
    for (uint32_t i = 0; i < b->logs.count; i++) {
        b->logs.observed_ns[i] = now;
        if (!keep || !b->logs.time_ns[i])
            b->logs.time_ns[i] = now;
    }
}

static status take(component *c, const char *transport, bool json, str body, error *err)
{
    const loki_settings *s = c->settings;
    batch b;
    ingest_result result = { 0 };
    batch_init(&b, SIGNAL_LOGS, ingest_memory(body.len, 8));
    status st =
        json ? loki_push_decode_json(&b, body, NULL, err) : loki_push_decode(&b, body, NULL, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID; /* as wrong as what is malformed: it would never fit */
    if (st != STATUS_OK) {
        component_failed(c, transport, SIGNAL_LOGS);
    } else if (batch_row_count(&b) > 0) {
        set_times(&b, s->use_incoming_timestamp);
        st = component_ingest(c, transport, &b, STR_EMPTY, &result, err);
        /* Loki, too, takes the good entries and answers 400 for the others. */
        if (st == STATUS_OK && result.rejected)
            st = fail(err, STATUS_INVALID, "%u of %u entries were not taken: %s", result.rejected,
                      batch_row_count(&b), result.reason);
    }
    batch_done(&b);
    return st;
}

/* ---- HTTP ---- */

/* Loki's clients send protobuf in snappy without saying so in Content-Encoding; where they say so,
 * the server has unpacked it. */
static status unpack(str body, char **ret, size_t *ret_len, error *err)
{
    size_t n = 0;
    *ret = NULL;
    if (snappy_uncompressed_length(body.ptr, body.len, &n) != SNAPPY_OK ||
        snappy_validate_compressed_buffer(body.ptr, body.len) != SNAPPY_OK)
        return STATUS_OK; /* not snappy: protobuf as it is */
    if (n > UNPACKED_MAX)
        return fail(err, STATUS_LIMIT, "a snappy body of %zu bytes, the limit is %zu", n,
                    UNPACKED_MAX);
    char *out = malloc(MAX(n, (size_t)1));
    if (!out)
        return fail(err, STATUS_NO_MEMORY, "no memory for a body of %zu bytes", n);
    if (snappy_uncompress(body.ptr, body.len, out, &n) != SNAPPY_OK) {
        free(out);
        return fail(err, STATUS_INVALID, "the snappy body is damaged");
    }
    *ret = out;
    *ret_len = n;
    return STATUS_OK;
}

static status take_protobuf(component *c, str body, error *err)
{
    char *unpacked = NULL;
    size_t n = 0;
    status st = unpack(body, &unpacked, &n, err);
    if (st == STATUS_OK)
        st = take(c, "http", false, unpacked ? str_n(unpacked, n) : body, err);
    else
        component_failed(c, "http", SIGNAL_LOGS);
    free(unpacked);
    return st;
}

static void push_http(http_exchange *x, void *user)
{
    component *c = user;
    error err;
    str rest, type = str_trim(str_cut(http_header(x, "content-type"), ';', &rest));
    status st;
    if (str_eq_nocase(type, STR("application/json"))) {
        st = take(c, "http", true, http_body(x), &err);
    } else if (!type.len || str_eq_nocase(type, STR("application/x-protobuf"))) {
        st = take_protobuf(c, http_body(x), &err);
    } else {
        component_failed(c, "http", SIGNAL_LOGS);
        http_fail(x, 415,
                  "content type \"%.*s\" is no Loki push; application/x-protobuf and "
                  "application/json are",
                  (int)MIN(type.len, (size_t)100), type.ptr);
        return;
    }
    if (st == STATUS_OK)
        http_set_status(x, 204);
    else
        ingest_fail_http(x, &err);
}

static const http_route over_http[] = {
    { "POST", "/loki/api/v1/push", push_http, NULL, POOL_INGEST, "Loki push: log entries" },
    { "POST", "/api/prom/push", push_http, NULL, POOL_INGEST, "Loki push, the older path" },
};

/* ---- gRPC ---- */

static void push_grpc(http_exchange *x, void *user)
{
    component *c = user;
    error err;
    str message;
    if (!grpc_request(x, &message))
        component_failed(c, "grpc", SIGNAL_LOGS);
    else if (take(c, "grpc", false, message, &err) != STATUS_OK)
        ingest_fail_grpc(x, &err);
    else
        grpc_reply(x, STR_EMPTY);
}

static const http_route over_grpc[] = {
    { "POST", "/logproto.Pusher/Push", push_grpc, NULL, POOL_INGEST, "Loki push over gRPC" },
};

/* ---- the component ---- */

static status loki_open(void **ret_self, component *c, error *err)
{
    const loki_protocols *p = &((const loki_settings *)c->settings)->protocols;
    status st = STATUS_OK;
    if (p->has_http)
        st = component_listen(c, &p->http, over_http, ARRAY_LEN(over_http), c, err);
    if (st == STATUS_OK && p->has_grpc)
        st = component_listen(c, &p->grpc, over_grpc, ARRAY_LEN(over_grpc), c, err);
    if (st == STATUS_OK)
        *ret_self = c;
    return st;
}

const component_type loki_receiver = {
    .type = "loki",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_LOGS,
    .help =
        "Takes log entries by Loki's push API, as Promtail, Alloy and Loki's clients send them.",
    .options = OPTION_TABLE(loki_rows, loki_settings),
    .check = loki_check,
    .open = loki_open,
};
