// SPDX-License-Identifier: Apache-2.0
/* OTLP over HTTP in its two encodings (opentelemetry-proto, docs/specification.md), and Zipkin's
 * v2 JSON, which goes the same way. */
#include "lib/export_internal.h"

#if SONDE_EXPORT
#include "base/clock.h"
#include "codec/zipkin_json.h"

#include <stdio.h>
#include <zlib.h>

bool export_gzip(buf *out, str in)
{
    z_stream z = { 0 };
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    bool good = buf_reserve(out, deflateBound(&z, in.len));
    if (good) {
        z.next_in = (Bytef *)(uintptr_t)in.ptr;
        z.avail_in = (uInt)in.len;
        z.next_out = (Bytef *)out->ptr + out->len;
        z.avail_out = (uInt)(out->cap - out->len);
        good = deflate(&z, Z_FINISH) == Z_STREAM_END;
        out->len += z.total_out;
    }
    deflateEnd(&z);
    return good;
}

static bool pack_http(buf *out, str body, bool gzip)
{
    if (gzip)
        return export_gzip(out, body);
    buf_str(out, body);
    return !out->failed;
}

void export_judge_body(otlp_format format, signal_kind signal, str body, export_verdict *ret)
{
    otlp_partial partial = { 0 };
    error err;
    *ret = (export_verdict){ .kind = VERDICT_TAKEN, .wait_ms = -1 };
    if (body.len && otlp_decode_response(format, signal, body, &partial, &err) == STATUS_OK) {
        ret->rejected = partial.rejected;
        str_copy_c(ret->why, sizeof(ret->why), str_c(partial.message));
    }
}

/* The text of google.rpc.Status in an error's body, where there is one. */
static void judge_status(otlp_format format, const export_answer *a, export_verdict *ret)
{
    int code;
    char message[200] = "";
    error err;
    *ret = (export_verdict){ .kind = export_status_is_retryable(a->http) ? VERDICT_AGAIN
                                                                         : VERDICT_REFUSED };
    ret->wait_ms = export_retry_after_ms(str_c(a->field[ANSWER_RETRY_AFTER]), clock_now_ns());
    if (otlp_decode_status(format, buf_view(&a->body), &code, message, sizeof(message), &err) !=
        STATUS_OK)
        message[0] = '\0';
    snprintf(ret->why, sizeof(ret->why), "HTTP %ld%s%s", a->http, message[0] ? ": " : "", message);
}

static void judge_http(otlp_format format, const export_answer *a, signal_kind signal,
                       export_verdict *ret)
{
    if (a->http >= 200 && a->http < 300)
        export_judge_body(format, signal, buf_view(&a->body), ret);
    else
        judge_status(format, a, ret);
}

static void judge_protobuf(const export_answer *a, signal_kind signal, export_verdict *ret)
{
    judge_http(OTLP_PROTOBUF, a, signal, ret);
}

static void judge_json(const export_answer *a, signal_kind signal, export_verdict *ret)
{
    judge_http(OTLP_JSON, a, signal, ret);
}

const export_protocol export_http_protobuf = {
    .name = "http/protobuf",
    .headers = { "Content-Type: application/x-protobuf" },
    .gzip_header = "Content-Encoding: gzip",
    .encode = otlp_encode,
    .pack = pack_http,
    .judge = judge_protobuf,
};

const export_protocol export_http_json = {
    .name = "http/json",
    .headers = { "Content-Type: application/json" },
    .gzip_header = "Content-Encoding: gzip",
    .encode = otlp_encode_json,
    .pack = pack_http,
    .judge = judge_json,
};

static status zipkin_spans(const batch *b, buf *out, error *err)
{
    return zipkin_json_encode(b, STR_EMPTY, out, err);
}

/* Its 202 has no body, so the JSON judge finds nothing in it. */
const export_protocol export_zipkin = {
    .name = "zipkin v2 json",
    .headers = { "Content-Type: application/json" },
    .gzip_header = "Content-Encoding: gzip",
    .encode = zipkin_spans,
    .pack = pack_http,
    .judge = judge_json,
};
#endif
