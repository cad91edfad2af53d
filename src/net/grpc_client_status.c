// SPDX-License-Identifier: Apache-2.0
/* What a gRPC answer says: status, message, RetryInfo, and the response message out of its frame
 * (grpc's PROTOCOL-HTTP2.md, http-grpc-status-mapping.md, google/rpc/status.proto). */
#include "net/encoding.h"
#include "net/grpc_client_impl.h"

#include <openssl/evp.h>
#include <stdio.h>

static const char *const code_names[] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"
};
enum { CODE_UNKNOWN = 2, CODE_RESOURCE_EXHAUSTED = 8, CODE_INTERNAL = 13 };
static const int64_t retry_after_max = 3600; /* seconds */

/* ---- google.rpc.Status ---- */

/* The fields of one message, one after another; only what the few messages here need. */
typedef struct {
    str left;
    unsigned number, wire;
    uint64_t value; /* wire 0 */
    str bytes;      /* wire 2 */
} fields;

static bool take_varint(str *left, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; left->len && shift < 64; shift += 7) {
        uint8_t b = (uint8_t)left->ptr[0];
        *left = str_slice(*left, 1, left->len);
        *ret |= (uint64_t)(b & 127) << shift;
        if (b < 128)
            return true;
    }
    return false;
}

static bool next_field(fields *f)
{
    uint64_t tag;
    if (!f->left.len || !take_varint(&f->left, &tag))
        return false;
    f->number = (unsigned)(tag >> 3);
    f->wire = tag & 7;
    if (f->wire == 0)
        return take_varint(&f->left, &f->value);
    if (f->wire == 2 && take_varint(&f->left, &f->value) && f->value <= f->left.len) {
        f->bytes = str_slice(f->left, 0, f->value);
        f->left = str_slice(f->left, f->value, f->left.len);
        return true;
    }
    size_t skip = f->wire == 1 ? 8 : f->wire == 5 ? 4 : SIZE_MAX;
    if (skip > f->left.len)
        return false;
    f->left = str_slice(f->left, skip, f->left.len);
    return true;
}

/* RetryInfo.retry_delay, a Duration. */
static int64_t retry_delay(str info)
{
    int64_t seconds = 0, nanos = 0;
    for (fields f = { .left = info }; next_field(&f);) {
        if (f.number != 1 || f.wire != 2)
            continue;
        for (fields d = { .left = f.bytes }; next_field(&d);) {
            if (d.wire == 0 && d.number == 1)
                seconds = (int64_t)d.value;
            else if (d.wire == 0 && d.number == 2)
                nanos = (int64_t)d.value;
        }
    }
    if (seconds < 0 || nanos < 0 || nanos >= NS_PER_S)
        return 0;
    return MIN(seconds, retry_after_max) * NS_PER_S + nanos;
}

static int64_t retry_in_status(str status_bytes)
{
    for (fields f = { .left = status_bytes }; next_field(&f);) {
        str type = STR_EMPTY, info = STR_EMPTY;
        if (f.number != 3 || f.wire != 2)
            continue;
        for (fields any = { .left = f.bytes }; next_field(&any);) {
            if (any.wire == 2 && any.number == 1)
                type = any.bytes;
            else if (any.wire == 2 && any.number == 2)
                info = any.bytes;
        }
        if (str_ends(type, STR("/google.rpc.RetryInfo")))
            return retry_delay(info);
    }
    return 0;
}

/* Base64 with or without padding. */
static int64_t retry_in_details(str text)
{
    uint8_t in[4096 + 4], out[3 * sizeof(in) / 4];
    while (str_ends(text, STR("=")))
        text.len--;
    if (!text.len || text.len > 4096 || text.len % 4 == 1)
        return 0;
    memcpy(in, text.ptr, text.len);
    size_t padding = (4 - text.len % 4) % 4;
    memset(in + text.len, '=', padding);
    int n = EVP_DecodeBlock(out, in, (int)(text.len + padding));
    return n < (int)padding ? 0 : retry_in_status(str_n(out, (size_t)n - padding));
}

/* ---- the message that people read ---- */

static void put_message(char *out, size_t size, str text)
{
    size_t n = 0;
    uint8_t byte;
    for (size_t i = 0; i < text.len && n + 1 < size; i++) {
        char c = text.ptr[i];
        if (c == '%' && text.len - i > 2 && str_from_hex(str_slice(text, i + 1, i + 3), &byte, 1)) {
            c = (char)byte;
            i += 2;
        }
        out[n++] = (unsigned char)c < ' ' ? ' ' : c;
    }
    out[utf8_valid_prefix((str){ out, n })] = 0;
}

/* ---- the answer ---- */

static int code_of_http(int http)
{
    static const struct {
        int http, code;
    } rows[] = { { 400, 13 }, { 401, 16 }, { 403, 7 },  { 404, 12 },
                 { 429, 14 }, { 502, 14 }, { 503, 14 }, { 504, 14 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].http == http)
            return rows[i].code;
    return CODE_UNKNOWN;
}

static status unframe(const grpc_call *call, buf *out, error *err)
{
    const uint8_t *b = (const uint8_t *)call->body.ptr;
    size_t length = 0;
    if (call->body.len >= GRPC_FRAME_HEAD)
        length = (size_t)b[1] << 24 | (size_t)b[2] << 16 | (size_t)b[3] << 8 | b[4];
    if (call->body.len < GRPC_FRAME_HEAD || length != call->body.len - GRPC_FRAME_HEAD)
        return fail(err, STATUS_INVALID, "not one whole message but %zu bytes", call->body.len);
    str message = str_slice(buf_view(&call->body), GRPC_FRAME_HEAD, call->body.len);
    if (b[0] == 0) {
        buf_str(out, message);
        return buf_check(out, err, "the answer");
    }
    byte_budget budget = { .limit = 4 * GRPC_ANSWER_LIMIT };
    size_t charged = 0;
    return encoding_decode(str_c(call->encoding), message, GRPC_ANSWER_LIMIT, &budget, &charged,
                           out, err);
}

status grpc_call_judge(const grpc_call *call, const char *target, grpc_answer *ret, error *err)
{
    error unread;
    if (call->body.failed)
        return fail(err, STATUS_LIMIT, "%s: the answer is larger than %zu bytes", target,
                    GRPC_ANSWER_LIMIT);
    if (call->code == GRPC_NOT_SAID && call->http_status &&
        (call->http_status != 200 || !call->is_grpc)) {
        ret->code = code_of_http(call->http_status);
        snprintf(ret->message, sizeof(ret->message), "answered with HTTP status %d, not gRPC",
                 call->http_status);
        return STATUS_OK;
    }
    if (call->code == GRPC_NOT_SAID)
        return fail(err, STATUS_IO, "%s: the call ended without an answer%s%s", target,
                    call->reset ? ": " : "",
                    call->reset ? nghttp2_http2_strerror(call->reason) : "");
    ret->code = call->code;
    put_message(ret->message, sizeof(ret->message), buf_view(&call->text));
    if (call->code)
        ret->retry_after_ns = retry_in_details(buf_view(&call->details));
    else if (unframe(call, &ret->body, &unread) != STATUS_OK) {
        ret->code = CODE_INTERNAL;
        char text[256]; /* may have bytes of the server's in it */
        snprintf(text, sizeof(text), "the answer cannot be read: %.200s", unread.message);
        put_message(ret->message, sizeof(ret->message), str_c(text));
    }
    return STATUS_OK;
}

void grpc_answer_done(grpc_answer *a)
{
    buf_done(&a->body);
}

status grpc_answer_check(const grpc_answer *a, const char *target, error *err)
{
    static const uint32_t later = 1u << 1 | 1u << 4 | 1u << 10 | 1u << 11 | 1u << 14 | 1u << 15;
    if (a->code == 0)
        return STATUS_OK;
    bool known = a->code > 0 && (size_t)a->code < ARRAY_LEN(code_names);
    bool again = known && (later >> a->code & 1);
    if (a->code == CODE_RESOURCE_EXHAUSTED)
        again = a->retry_after_ns > 0;
    return fail(err, again ? STATUS_BUSY : STATUS_INVALID, "%s answered %s (%d)%s%s", target,
                known ? code_names[a->code] : "a code that gRPC has not", a->code,
                a->message[0] ? ": " : "", a->message);
}
