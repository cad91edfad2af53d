// SPDX-License-Identifier: Apache-2.0
/* OTLP over gRPC: one unary call is one HTTP/2 POST whose body is a prefix of five bytes and a
 * protobuf message, and whose result is grpc-status in the trailers, or in the headers when there
 * is nothing else (grpc/doc/PROTOCOL-HTTP2.md). */
#include "lib/export_internal.h"

#if SONDE_EXPORT
#include <endian.h>
#include <stdio.h>

enum { PREFIX = 5 };

/* Compressed flag, then the length of the message, big-endian. */
static bool pack_grpc(buf *out, str body, bool gzip)
{
    size_t start = out->len;
    buf_add(out, (char[PREFIX]){ (char)gzip }, PREFIX);
    if (out->failed || (gzip && !export_gzip(out, body)))
        return false;
    if (!gzip)
        buf_str(out, body);
    if (out->failed)
        return false;
    uint32_t length = htobe32((uint32_t)(out->len - start - PREFIX));
    memcpy(out->ptr + start + 1, &length, sizeof(length));
    return true;
}

/* What an answer without grpc-status means (grpc/doc/http-grpc-status-mapping.md). */
static uint64_t code_of_http(long http)
{
    static const struct {
        uint16_t http, code;
    } codes[] = { { 400, 13 }, { 401, 16 }, { 403, 7 },  { 404, 12 },
                  { 429, 14 }, { 502, 14 }, { 503, 14 }, { 504, 14 } };
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].http == http)
            return codes[i].code;
    return 2;
}

static const char *code_name(uint64_t code)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    return code < ARRAY_LEN(names) ? names[code] : "a status without a name";
}

static void judge_grpc(const export_answer *a, signal_kind signal, export_verdict *ret)
{
    uint64_t code;
    str status_text = str_c(a->field[ANSWER_GRPC_STATUS]), body = buf_view(&a->body);
    bool said = str_to_u64(status_text, &code);
    if (!said)
        code = code_of_http(a->http);
    if (said && code == 0) {
        /* A compressed answer was not asked for; it would only say what was rejected. */
        bool whole = body.len > PREFIX && body.ptr[0] == 0;
        export_judge_body(OTLP_PROTOBUF, signal,
                          whole ? str_slice(body, PREFIX, body.len) : STR_EMPTY, ret);
        return;
    }
    int64_t wait_ms = export_retry_info_ms(str_c(a->field[ANSWER_GRPC_DETAILS]));
    *ret = (export_verdict){ .wait_ms = wait_ms };
    ret->kind = export_grpc_is_retryable(code, wait_ms >= 0) ? VERDICT_AGAIN : VERDICT_REFUSED;
    if (said)
        snprintf(ret->why, sizeof(ret->why), "gRPC %s: %.200s", code_name(code),
                 a->field[ANSWER_GRPC_MESSAGE]);
    else
        snprintf(ret->why, sizeof(ret->why), "HTTP %ld without a grpc-status: is this gRPC?",
                 a->http);
}

const export_protocol export_grpc = {
    .name = "grpc",
    .headers = { "Content-Type: application/grpc", "TE: trailers" },
    .gzip_header = "grpc-encoding: gzip",
    .http2 = true,
    .grpc_timeout = true,
    .encode = otlp_encode,
    .pack = pack_grpc,
    .judge = judge_grpc,
};
#endif
