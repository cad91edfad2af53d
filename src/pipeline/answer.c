// SPDX-License-Identifier: Apache-2.0
/* How much memory a request may take, and what senders are told when their items could not be
 * taken: a row for each reason. OTLP's rules stand for all protocols: 429 and 503 (UNAVAILABLE) ask
 * for another try, other errors say that it would fail again. */
#include "pipeline/component.h"

#include "net/grpc.h"

#include <stdio.h>

static const struct {
    status code;
    ingest_failure failure;
} failures[] = {
    { STATUS_INVALID, { 400, GRPC_INVALID_ARGUMENT, 0 } },
    { STATUS_UNSUPPORTED, { 400, GRPC_INVALID_ARGUMENT, 0 } },
    { STATUS_NOT_FOUND, { 404, GRPC_UNIMPLEMENTED, 0 } },
    { STATUS_LIMIT, { 413, GRPC_RESOURCE_EXHAUSTED, 0 } },
    { STATUS_BUSY, { 429, GRPC_RESOURCE_EXHAUSTED, 1 } },
    { STATUS_FULL, { 503, GRPC_UNAVAILABLE, 30 } }, /* 507 would make senders drop what they have */
    { STATUS_IO, { 503, GRPC_UNAVAILABLE, 5 } },
    { STATUS_NO_MEMORY, { 503, GRPC_UNAVAILABLE, 1 } },
    { STATUS_CANCELED, { 503, GRPC_UNAVAILABLE, 1 } },
};

size_t ingest_memory(size_t request_bytes, unsigned times)
{
    return MIN(MAX(request_bytes * times, (size_t)MiB(16)), (size_t)MiB(512));
}

ingest_failure ingest_failure_of(status code)
{
    for (size_t i = 0; i < ARRAY_LEN(failures); i++)
        if (failures[i].code == code)
            return failures[i].failure;
    return (ingest_failure){ 500, GRPC_INTERNAL, 0 };
}

void ingest_fail_http(http_exchange *x, const error *err)
{
    ingest_failure f = ingest_failure_of(err->code);
    char seconds[16];
    http_set_status(x, f.http);
    http_set_header(x, "Content-Type", STR("text/plain; charset=utf-8"));
    if (f.retry_s) {
        snprintf(seconds, sizeof(seconds), "%u", f.retry_s);
        http_set_header(x, "Retry-After", str_c(seconds));
    }
    buf_fmt(http_out(x), "%s\n", err->message);
}

void ingest_fail_grpc(http_exchange *x, const error *err)
{
    ingest_failure f = ingest_failure_of(err->code);
    if (f.retry_s)
        grpc_fail_retry(x, (grpc_code)f.grpc, f.retry_s, str_c(err->message));
    else
        grpc_fail(x, (grpc_code)f.grpc, "%s", err->message);
}
