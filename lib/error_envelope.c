// SPDX-License-Identifier: Apache-2.0
/* The JSON of an error, and what belongs to making one: the log line, the span's status, the mark
 * on the request; see sonde/error.h. */
#include "sonde/error.h"

#include "lib/http.h"
#include "lib/redact.h"
#include "lib/site.h"
#include "sonde/context.h"
#include "sonde/log.h"
#include "sonde/span.h"

#include "codec/json.h"
#include "codec/redact.h"

#include <stdlib.h>

enum { TEXT_MOST = 8192, DETAILS_MOST = 32768, DETAIL_COUNT = 64 };

/* Whole words of a code, the first row that fits. */
static const struct {
    const char *words;
    int status;
} statuses[] = {
    { "UNAUTHENTICATED", 401 },
    { "UNAUTHORIZED", 401 },
    { "TOKEN_EXPIRED", 401 },
    { "PAYMENT_REQUIRED", 402 },
    { "INSUFFICIENT_CREDITS", 402 },
    { "FORBIDDEN", 403 },
    { "PERMISSION", 403 },
    { "METHOD_NOT_ALLOWED", 405 },
    { "NOT_ALLOWED", 403 },
    { "NOT_FOUND", 404 },
    { "UNKNOWN", 404 },
    { "NOT_ACCEPTABLE", 406 },
    { "REQUEST_TIMEOUT", 408 },
    { "ALREADY", 409 },
    { "CONFLICT", 409 },
    { "ABORTED", 409 },
    { "GONE", 410 },
    { "PRECONDITION", 412 },
    { "TOO_LARGE", 413 },
    { "UNSUPPORTED_MEDIA_TYPE", 415 },
    { "UNPROCESSABLE", 422 },
    { "VALIDATION", 422 },
    { "RATE_LIMIT", 429 },
    { "RATE_LIMITED", 429 },
    { "TOO_MANY", 429 },
    { "QUOTA", 429 },
    { "EXHAUSTED", 429 },
    { "NOT_IMPLEMENTED", 501 },
    { "UNIMPLEMENTED", 501 },
    { "BAD_GATEWAY", 502 },
    { "UPSTREAM", 502 },
    { "UNAVAILABLE", 503 },
    { "OVERLOADED", 503 },
    { "TIMEOUT", 504 },
    { "DEADLINE", 504 },
    { "INTERNAL", 500 },
    { "INVALID", 400 },
    { "MISSING", 400 },
    { "BAD_REQUEST", 400 },
    { "MALFORMED", 400 },
};

/* Whether `words` stands in `code` between underscores or ends. */
static bool has_words(str code, str words)
{
    for (size_t at = 0; at + words.len <= code.len; at++) {
        bool starts = at == 0 || code.ptr[at - 1] == '_';
        size_t end = at + words.len;
        bool ends = end == code.len || code.ptr[end] == '_';
        if (starts && ends && str_eq_nocase(str_slice(code, at, end), words))
            return true;
    }
    return false;
}

/* A code is a few words: of a longer text, no more is looked at. */
#define CODE_WORDS_MOST 256

int sonde_error_status(const char *code)
{
    str words = code ? str_n(code, strnlen(code, CODE_WORDS_MOST)) : STR_EMPTY;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (has_words(words, str_c(statuses[i].words)))
            return statuses[i].status;
    return 500;
}

/* ---- JSON ---- */

static str cut_text(str s, size_t most)
{
    str cut = str_slice(s, 0, most);
    return s.len > most ? str_slice(cut, 0, utf8_valid_prefix(cut)) : cut;
}

static void put_clean(json_writer *w, str text, size_t most)
{
    buf clean;
    buf_init(&clean, 4 * TEXT_MOST + 64);
    redact_to_buf(redact_current(), cut_text(text, most), &clean);
    json_str(w, buf_view(&clean));
    buf_done(&clean);
}

static void put_text(json_writer *w, const char *key, const char *text)
{
    json_key(w, str_c(key));
    if (text)
        put_clean(w, str_c(text), TEXT_MOST);
    else
        json_null(w);
}

static void put_id(json_writer *w, const char *key, str id)
{
    json_key(w, str_c(key));
    if (id.len)
        json_str(w, id);
    else
        json_null(w);
}

static void put_detail(json_writer *w, const sonde_attr *a)
{
    str key = str_n(a->key, a->key_len);
    json_key(w, key);
    if (site_key_is_secret(key)) {
        json_str(w, STR(REDACTED));
        return;
    }
    switch (a->type) {
    case SONDE_TYPE_BOOL:
        json_bool(w, a->value.u64 != 0);
        break;
    case SONDE_TYPE_I64:
        json_i64(w, a->value.i64);
        break;
    case SONDE_TYPE_U64:
        json_u64(w, a->value.u64);
        break;
    case SONDE_TYPE_F64:
        json_f64(w, a->value.f64);
        break;
    case SONDE_TYPE_STR:
        put_clean(w, str_n(a->value.ptr, a->len), TEXT_MOST);
        break;
    case SONDE_TYPE_BYTES:
        json_base64(w, str_n(a->value.ptr, MIN(a->len, TEXT_MOST)));
        break;
    default:
        json_null(w);
    }
}

/* What does not fit is left out whole, so that the rest stays JSON. */
static void put_details(json_writer *w, const sonde_details *details)
{
    json_key(w, STR("details"));
    json_begin_object(w);
    size_t begin = w->out->len;
    for (size_t i = 0; i < MIN(details->count, (size_t)DETAIL_COUNT); i++) {
        size_t before = w->out->len;
        bool comma = w->comma;
        put_detail(w, &details->attrs[i]);
        if (w->out->len - begin > DETAILS_MOST) {
            w->out->len = before;
            w->comma = comma;
        }
    }
    json_end_object(w);
}

static void put_envelope(buf *out, const sonde_error *e, const char *code)
{
    char trace[33];
    json_writer w = json_write(out);
    sonde_str request = sonde_request_id();
    sonde_trace_id(trace);
    json_begin_object(&w);
    json_key(&w, STR("error"));
    json_begin_object(&w);
    put_text(&w, "code", code);
    put_text(&w, "message", e->message);
    put_id(&w, "request_id", str_n(request.ptr, request.len));
    put_id(&w, "trace_id", str_c(trace));
    put_details(&w, &e->details);
    put_text(&w, "help", e->help);
    json_end_object(&w);
    json_end_object(&w);
    buf_char(out, '\0');
}

/* ---- the rest ---- */

static void log_error(const char *code, const char *message, int status)
{
    if (status >= 500)
        sonde_error("error_envelope", sonde_kv("code", code), sonde_kv("error", message),
                    sonde_kv("status", status));
    else
        sonde_warn("error_envelope", sonde_kv("code", code), sonde_kv("error", message),
                   sonde_kv("status", status));
}

char *sonde_error_envelope(const sonde_error *e)
{
    static const sonde_error none;
    buf out;
    if (!e)
        e = &none;
    const char *code = e->code ? e->code : "INTERNAL";
    int status = e->status ? e->status : sonde_error_status(code);
    bool first = http_note_error();
    if (e->log && first)
        log_error(code, e->message ? e->message : "", status);
    if (e->fail_span)
        sonde_span_fail(e->message, sonde_kv("error.type", code));
    else
        sonde_span_set(sonde_kv("error.code", code));
    /* Three texts and the details, each byte at most six of JSON, stay within this; what a caller
     * can see is SONDE_ERROR_BYTES. */
    buf_init(&out, (size_t)SONDE_ERROR_BYTES * 8);
    put_envelope(&out, e, code);
    if (!out.failed && out.len <= SONDE_ERROR_BYTES)
        return out.ptr;
    buf_clear(&out);
    put_envelope(&out, &(sonde_error){ .message = "the error was too long to be told" },
                 "ERROR_TOO_LONG");
    if (!out.failed)
        return out.ptr;
    buf_done(&out);
    return NULL;
}
