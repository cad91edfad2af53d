// SPDX-License-Identifier: Apache-2.0
/* Unary gRPC calls; see grpc.h. A message is framed as: flag (1: compressed), 32-bit big-endian
 * length, bytes. */
#include "net/grpc.h"

#include "base/clock.h"
#include "net/server_impl.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>

enum { FRAME_HEAD = 5 };

void grpc_fail(http_exchange *x, grpc_code code, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    str text = { message, n < 0 ? 0 : MIN((size_t)n, sizeof(message) - 1) };
    text.len = utf8_valid_prefix(text);
    buf_clear(http_out(x));
    http_set_header(x, "Content-Type", STR("application/grpc"));
    http_set_grpc_status(x, code, text);
}

static bool refuse(http_exchange *x, const error *err)
{
    switch (err->code) {
    case STATUS_LIMIT:
        grpc_fail(x, GRPC_RESOURCE_EXHAUSTED, "%s", err->message);
        break;
    case STATUS_BUSY:
    case STATUS_NO_MEMORY:
        grpc_fail_retry(x, GRPC_RESOURCE_EXHAUSTED, 1, str_c(err->message));
        break;
    case STATUS_UNSUPPORTED:
        grpc_fail(x, GRPC_UNIMPLEMENTED, "%s", err->message);
        http_set_header(x, "Grpc-Accept-Encoding", STR("identity,gzip,deflate,zstd,snappy"));
        break;
    default:
        grpc_fail(x, GRPC_INVALID_ARGUMENT, "%s", err->message);
    }
    return false;
}

int64_t grpc_timeout_ns(str header)
{
    static const struct {
        char unit;
        int64_t ns;
    } units[] = { { 'H', 3600 * NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'S', NS_PER_S },
                  { 'm', NS_PER_MS },       { 'u', 1000 },          { 'n', 1 } };
    enum { DIGITS = 8 };
    uint64_t n;
    if (header.len < 2 || header.len > DIGITS + 1 ||
        !str_to_u64(str_slice(header, 0, header.len - 1), &n))
        return INT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (units[i].unit == header.ptr[header.len - 1])
            return (int64_t)n * units[i].ns;
    return INT64_MAX;
}

/* Work for a client that has given up helps nobody, least of all a server that is late. */
static bool in_time(http_exchange *x)
{
    int64_t timeout_ns = grpc_timeout_ns(http_header(x, "grpc-timeout"));
    if (clock_mono_ns() - x->begun_mono_ns < timeout_ns)
        return true;
    grpc_fail(x, GRPC_DEADLINE_EXCEEDED,
              "the time that grpc-timeout allows was over before the call was looked at");
    return false;
}

bool grpc_request(http_exchange *x, str *ret)
{
    error err;
    str body = http_body(x), encoding = http_header(x, "grpc-encoding");
    if (!x->is_grpc) {
        http_fail(x, 415,
                  "this path is a gRPC method: call it over HTTP/2 with content type "
                  "application/grpc");
        return false;
    }
    if (!in_time(x))
        return false;
    const uint8_t *b = (const uint8_t *)body.ptr;
    size_t length = 0;
    if (body.len >= FRAME_HEAD)
        length = (size_t)b[1] << 24 | (size_t)b[2] << 16 | (size_t)b[3] << 8 | b[4];
    if (body.len < FRAME_HEAD || b[0] > 1 || length != body.len - FRAME_HEAD) {
        (void)fail(&err, STATUS_INVALID,
                   "a unary call has one message: its frame says %zu bytes, %zu came", length,
                   body.len < FRAME_HEAD ? 0 : body.len - FRAME_HEAD);
        return refuse(x, &err);
    }
    *ret = str_slice(body, FRAME_HEAD, body.len);
    if (b[0] == 0)
        return true;
    if (encoding_is_identity(encoding)) {
        grpc_fail(x, GRPC_INTERNAL,
                  "the message is marked as compressed, but grpc-encoding names no compression");
        return false;
    }
    if (encoding_decode(encoding, *ret, x->body_limit, &x->server->bodies, &x->charged, &x->decoded,
                        &err) != STATUS_OK)
        return refuse(x, &err);
    *ret = buf_view(&x->decoded);
    return true;
}

void grpc_reply(http_exchange *x, str message)
{
    uint8_t head[FRAME_HEAD] = { 0, (uint8_t)(message.len >> 24), (uint8_t)(message.len >> 16),
                                 (uint8_t)(message.len >> 8), (uint8_t)message.len };
    buf_clear(http_out(x));
    buf_add(http_out(x), head, sizeof(head));
    buf_str(http_out(x), message);
    http_set_header(x, "Content-Type", STR("application/grpc"));
    http_set_grpc_status(x, GRPC_OK, STR_EMPTY);
}

/* ---- google.rpc.Status with RetryInfo, for grpc-status-details-bin ---- */

static void put_varint(buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_char(b, (char)(v | 0x80));
    buf_char(b, (char)v);
}

static void put_field(buf *b, unsigned number, str bytes)
{
    put_varint(b, number << 3 | 2);
    put_varint(b, bytes.len);
    buf_str(b, bytes);
}

static str status_details(arena *a, grpc_code code, str message, unsigned seconds)
{
    buf duration, retry, any, all;
    str text = STR_EMPTY;
    buf_init(&duration, 0);
    buf_init(&retry, 0);
    buf_init(&any, 0);
    buf_init(&all, 0);
    put_varint(&duration, 1 << 3); /* Duration.seconds */
    put_varint(&duration, seconds);
    put_field(&retry, 1, buf_view(&duration)); /* RetryInfo.retry_delay */
    put_field(&any, 1, STR("type.googleapis.com/google.rpc.RetryInfo"));
    put_field(&any, 2, buf_view(&retry));
    put_varint(&all, 1 << 3); /* Status.code, message, details */
    put_varint(&all, (uint64_t)code);
    put_field(&all, 2, message);
    put_field(&all, 3, buf_view(&any));
    unsigned char *out = arena_alloc(a, 4 * (all.len / 3 + 1) + 1);
    if (out && !all.failed && !any.failed && !retry.failed && !duration.failed) {
        int n = EVP_EncodeBlock(out, (const unsigned char *)all.ptr, (int)all.len);
        text = str_n(out, n < 0 ? 0 : (size_t)n);
        while (str_ends(text, STR("="))) /* binary headers go without padding */
            text.len--;
    }
    buf_done(&duration);
    buf_done(&retry);
    buf_done(&any);
    buf_done(&all);
    return text;
}

void grpc_fail_retry(http_exchange *x, grpc_code code, unsigned seconds, str message)
{
    message = str_slice(message, 0, 400);
    message.len = utf8_valid_prefix(message);
    grpc_fail(x, code, "%.*s", STR_ARG(message));
    x->grpc_details = status_details(&x->head, code, message, seconds);
}
