// SPDX-License-Identifier: Apache-2.0
/* Answers to OTLP requests in both formats: Export*ServiceResponse with its partial success, and
 * google.rpc.Status. Small messages, written and read by hand. */
#include "codec/json.h"
#include "codec/otlp.h"
#include "codec/protobuf.h"

enum { RESPONSE_PARTIAL = 1, PARTIAL_REJECTED = 1, PARTIAL_MESSAGE = 2 };
enum { STATUS_FIELD_CODE = 1, STATUS_FIELD_MESSAGE = 2 };

/* Bounds what a broken server can make an exporter keep. */
enum { ANSWER_MEMORY = 64 << 10, ANSWER_DEPTH = 16 };

static const str rejected_names[SIGNAL_COUNT] = {
    [SIGNAL_LOGS] = STR_INIT("rejectedLogRecords"),
    [SIGNAL_METRICS] = STR_INIT("rejectedDataPoints"),
    [SIGNAL_TRACES] = STR_INIT("rejectedSpans"),
};

const char *otlp_content_type(otlp_format format)
{
    return format == OTLP_JSON ? "application/json" : "application/x-protobuf";
}

bool otlp_format_of(str content_type, otlp_format *ret)
{
    str rest;
    str type = str_trim(str_cut(content_type, ';', &rest));
    if (str_eq_nocase(type, STR("application/json")))
        *ret = OTLP_JSON;
    else if (str_eq_nocase(type, STR("application/x-protobuf")) ||
             str_eq_nocase(type, STR("application/protobuf")))
        *ret = OTLP_PROTOBUF;
    else
        return false;
    return true;
}

/* ---- Export*ServiceResponse ---- */

void otlp_encode_response(otlp_format format, signal_kind signal, const otlp_partial *partial,
                          buf *out)
{
    bool some = partial && (partial->rejected || partial->message[0]);
    if (format == OTLP_JSON) {
        json_writer w = json_write(out);
        json_begin_object(&w);
        if (some) {
            json_key(&w, STR("partialSuccess"));
            json_begin_object(&w);
            json_key(&w, rejected_names[signal]);
            json_u64_quoted(&w, partial->rejected);
            JSON_PUT(&w, str, "errorMessage", str_c(partial->message));
            json_end_object(&w);
        }
        json_end_object(&w);
    } else if (some) {
        pb_mark mark = pb_begin(out, RESPONSE_PARTIAL, sizeof(partial->message) / 2);
        if (partial->rejected)
            pb_put_varint(out, PARTIAL_REJECTED, partial->rejected);
        if (partial->message[0])
            pb_put_bytes(out, PARTIAL_MESSAGE, str_c(partial->message));
        pb_end(out, mark);
    }
}

static status pb_status(const pb_reader *r, error *err)
{
    if (!r->problem)
        return STATUS_OK;
    return fail(err, STATUS_INVALID, "OTLP answer: %s, at byte %zu", r->problem,
                (size_t)(r->at - r->base));
}

static void read_partial(pb_reader *outer, otlp_partial *ret)
{
    pb_reader r;
    pb_field f;
    str message;
    uint64_t rejected;
    if (!pb_message(outer, &r))
        return;
    while (pb_next(&r, &f)) {
        if (f.number == PARTIAL_REJECTED && f.wire == PB_VARINT) {
            if (pb_varint(&r, &rejected))
                ret->rejected = (int64_t)rejected < 0 ? 0 : rejected;
        } else if (f.number == PARTIAL_MESSAGE && f.wire == PB_LEN) {
            if (pb_bytes(&r, &message))
                str_copy_c(ret->message, sizeof(ret->message), message);
        } else {
            pb_skip(&r, f);
        }
    }
    if (r.problem) {
        outer->at = r.at;
        pb_fail(outer, r.problem);
    }
}

static void read_json_partial(json_reader *r, signal_kind signal, otlp_partial *ret)
{
    str key;
    while (json_next_key(r, &key)) {
        bool rejected = str_eq(key, rejected_names[signal]);
        bool message = str_is(key, "errorMessage");
        json_type type = json_next(r);
        if (type == JSON_NULL)
            continue;
        if (rejected && !json_get_u64(r, &ret->rejected))
            json_refuse(r, "the number of rejected items must be a whole number");
        else if (message && type == JSON_STRING)
            str_copy_c(ret->message, sizeof(ret->message), r->text);
        else
            json_skip(r);
    }
}

static void read_json_response(json_reader *r, signal_kind signal, otlp_partial *ret)
{
    str key;
    if (json_next(r) != JSON_OBJECT) {
        json_refuse(r, "an answer must be an object");
        return;
    }
    while (json_next_key(r, &key)) {
        bool partial = str_is(key, "partialSuccess");
        if (json_next(r) == JSON_OBJECT && partial)
            read_json_partial(r, signal, ret);
        else
            json_skip(r);
    }
    json_next(r);
}

status otlp_decode_response(otlp_format format, signal_kind signal, str bytes, otlp_partial *ret,
                            error *err)
{
    *ret = (otlp_partial){ 0 };
    if (format == OTLP_JSON) {
        arena memory;
        json_reader r;
        arena_init(&memory, ANSWER_MEMORY);
        json_read(&r, bytes, &memory, ANSWER_DEPTH);
        read_json_response(&r, signal, ret);
        arena_done(&memory);
        return json_fail_status(&r, err, "OTLP answer");
    }
    pb_reader r = pb_read(bytes);
    pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == RESPONSE_PARTIAL && f.wire == PB_LEN)
            read_partial(&r, ret);
        else
            pb_skip(&r, f);
    }
    return pb_status(&r, err);
}

/* ---- google.rpc.Status ---- */

void otlp_encode_status(otlp_format format, int grpc_code, str message, buf *out)
{
    if (format == OTLP_JSON) {
        json_writer w = json_write(out);
        json_begin_object(&w);
        JSON_PUT(&w, i64, "code", grpc_code);
        JSON_PUT(&w, str, "message", message);
        json_end_object(&w);
        return;
    }
    if (grpc_code)
        pb_put_varint(out, STATUS_FIELD_CODE, (uint64_t)(int64_t)grpc_code);
    if (message.len)
        pb_put_bytes(out, STATUS_FIELD_MESSAGE, message);
}

static void read_json_status(json_reader *r, int *ret_code, char *ret_message, size_t size)
{
    str key;
    int64_t code;
    if (json_next(r) != JSON_OBJECT) {
        json_refuse(r, "an error answer must be an object");
        return;
    }
    while (json_next_key(r, &key)) {
        bool is_code = str_is(key, "code"), is_message = str_is(key, "message");
        json_next(r);
        if (is_code && json_get_i64(r, &code))
            *ret_code = (int)code;
        else if (is_message && r->type == JSON_STRING)
            str_copy_c(ret_message, size, r->text);
        else
            json_skip(r);
    }
    json_next(r);
}

status otlp_decode_status(otlp_format format, str bytes, int *ret_code, char *ret_message,
                          size_t size, error *err)
{
    *ret_code = 0;
    str_copy_c(ret_message, size, STR_EMPTY);
    if (format == OTLP_JSON) {
        arena memory;
        json_reader r;
        arena_init(&memory, ANSWER_MEMORY);
        json_read(&r, bytes, &memory, ANSWER_DEPTH);
        read_json_status(&r, ret_code, ret_message, size);
        arena_done(&memory);
        return json_fail_status(&r, err, "OTLP answer");
    }
    pb_reader r = pb_read(bytes);
    pb_field f;
    uint64_t code;
    str message;
    while (pb_next(&r, &f)) {
        if (f.number == STATUS_FIELD_CODE && f.wire == PB_VARINT) {
            if (pb_varint(&r, &code))
                *ret_code = (int)(int64_t)code;
        } else if (f.number == STATUS_FIELD_MESSAGE && f.wire == PB_LEN) {
            if (pb_bytes(&r, &message))
                str_copy_c(ret_message, size, message);
        } else {
            pb_skip(&r, f);
        }
    }
    return pb_status(&r, err);
}
