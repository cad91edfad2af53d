// SPDX-License-Identifier: Apache-2.0
/* Requests of the client commands, with libcurl; answers are limited to 256 MiB. */
#include "cmd/client.h"

#include "base/clock.h"
#include "cmd/cmd.h"
#include "codec/json_value.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_LIMIT  MiB(256)
#define REQUEST_LIMIT MiB(1)
#define CONNECT_MS    5000L
#define ANSWER_MS     120000L

const char *client_address(const char *option)
{
    const char *environment = getenv("SONDE_ADDR");
    if (option)
        return option;
    return environment && *environment ? environment : CLIENT_DEFAULT_ADDRESS;
}

void client_request_init(client_request *r, const char *path)
{
    buf_init(&r->path, REQUEST_LIMIT);
    buf_init(&r->form, REQUEST_LIMIT);
    buf_str(&r->path, str_c(path));
}

void client_request_done(client_request *r)
{
    buf_done(&r->path);
    buf_done(&r->form);
}

static void put_encoded(buf *out, str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            buf_char(out, (char)c);
        } else {
            buf_char(out, '%');
            buf_char(out, digits[c >> 4]);
            buf_char(out, digits[c & 15]);
        }
    }
}

void client_add_path(client_request *r, str element)
{
    buf_char(&r->path, '/');
    put_encoded(&r->path, element);
}

void client_add(client_request *r, const char *name, str text)
{
    if (r->form.len)
        buf_char(&r->form, '&');
    put_encoded(&r->form, str_c(name));
    buf_char(&r->form, '=');
    put_encoded(&r->form, text);
}

void client_add_fmt(client_request *r, const char *name, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    client_add(r, name, str_c(text));
}

/* ---- the exchange ---- */

static size_t take_body(char *bytes, size_t size, size_t count, void *user)
{
    buf *body = user;
    buf_add(body, bytes, size * count);
    return body->failed ? 0 : size * count;
}

/* What went wrong, from the error shapes of the server's APIs. */
static status server_error(long code, const value *answer, str body, error *err)
{
    status st = code == 404 ? STATUS_NOT_FOUND : STATUS_IO;
    const value *e = json_member(answer, "error");
    str text = json_text(e);
    if (!text.len)
        text = json_text(json_member(e, "message"));
    values errors = json_items(json_member(answer, "errors"));
    if (!text.len && errors.count)
        text = json_text(json_member(&errors.items[0], "msg"));
    if (!text.len)
        text = str_cut(str_trim(body), '\n', &(str){ 0 });
    if (!text.len)
        return fail(err, st, "the server answered %ld", code);
    return fail(err, st, "%.*s", STR_ARG(str_slice(text, 0, 400)));
}

static status parse_answer(long code, const buf *body, arena *a, value *ret, error *err)
{
    json_reader r;
    str text = arena_str(a, buf_view(body));
    bool good = false;
    *ret = (value){ .type = VALUE_EMPTY };
    if (text.ptr) {
        json_read(&r, text, a, 0);
        good = value_from_json(&r, a, ret);
    }
    if (code >= 200 && code < 300 && good)
        return STATUS_OK;
    if (code >= 200 && code < 300)
        return fail(err, STATUS_IO,
                    "the server's answer is not JSON; is this address a sonde server?");
    return server_error(code, good ? ret : NULL, buf_view(body), err);
}

static status perform(const char *url, const buf *form, buf *body, long *ret_code, error *err)
{
    char problem[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    if (!curl)
        return fail(err, STATUS_NO_MEMORY, "no memory for a request");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    if (form) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form->ptr ? form->ptr : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)form->len);
    }
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_code);
    curl_easy_cleanup(curl);
    if (body->failed)
        return fail(err, STATUS_LIMIT, "the answer is larger than %zu MiB; ask for less",
                    ANSWER_LIMIT / MiB(1));
    if (result != CURLE_OK)
        return fail(err, STATUS_IO, "cannot reach %s: %s", url,
                    problem[0] ? problem : curl_easy_strerror(result));
    return STATUS_OK;
}

static status exchange(const client_request *r, const char *address, bool post, arena *a,
                       value *ret, buf *raw, error *err)
{
    buf url, body;
    long code = 0;
    str base = str_c(address);
    while (str_ends(base, STR("/")))
        base.len--;
    buf_init(&url, REQUEST_LIMIT);
    buf_init(&body, ANSWER_LIMIT);
    if (!str_contains(base, STR("://")))
        buf_lit(&url, "http://");
    buf_str(&url, base);
    buf_str(&url, buf_view(&r->path));
    if (!post && r->form.len) {
        buf_char(&url, '?');
        buf_str(&url, buf_view(&r->form));
    }
    buf_char(&url, '\0');
    status st = url.failed || r->form.failed
                    ? fail(err, STATUS_INVALID, "the query is longer than %zu bytes", REQUEST_LIMIT)
                    : perform(url.ptr, post ? &r->form : NULL, &body, &code, err);
    if (st == STATUS_OK)
        st = parse_answer(code, &body, a, ret, err);
    if (st == STATUS_OK && raw)
        buf_str(raw, buf_view(&body));
    buf_done(&url);
    buf_done(&body);
    return st;
}

status client_get(const client_request *r, const char *address, arena *a, value *ret, buf *raw,
                  error *err)
{
    return exchange(r, address, false, a, ret, raw, err);
}

status client_query(const client_request *r, const char *address, arena *a, value *ret, buf *raw,
                    error *err)
{
    return exchange(r, address, true, a, ret, raw, err);
}

/* ---- answers ---- */

const value *json_member(const value *v, const char *name)
{
    return v && v->type == VALUE_MAP ? attrs_get(&v->map, str_c(name)) : NULL;
}

str json_text(const value *v)
{
    return v && v->type == VALUE_STR ? v->s : STR_EMPTY;
}

double json_number(const value *v)
{
    double number = 0;
    if (v && v->type == VALUE_F64)
        return v->f64;
    if (v && v->type == VALUE_I64)
        return (double)v->i64;
    return v && v->type == VALUE_STR && str_to_f64(v->s, &number) ? number : 0;
}

int64_t json_integer(const value *v)
{
    int64_t number = 0;
    if (v && v->type == VALUE_I64)
        return v->i64;
    if (v && v->type == VALUE_STR && str_to_i64(v->s, &number))
        return number;
    return (int64_t)json_number(v);
}

values json_items(const value *v)
{
    return v && v->type == VALUE_ARRAY ? v->array : (values){ 0 };
}

status client_time(const char *option, const char *text, int64_t now_ns, int64_t *ret_ns,
                   error *err)
{
    double seconds;
    int64_t ago_ns;
    str s = str_c(text);
    if (str_is(s, "now")) {
        *ret_ns = now_ns;
    } else if (str_to_f64(s, &seconds) && seconds > -9e9 && seconds < 9e9) {
        *ret_ns = (int64_t)(seconds * 1000) * NS_PER_MS;
    } else if (clock_parse_duration(s, &ago_ns)) {
        *ret_ns = now_ns - ago_ns;
    } else if (!clock_parse_rfc3339(s, ret_ns)) {
        return fail(err, STATUS_INVALID,
                    "%s \"%s\" is no time: write 1h (ago), 2026-01-31T12:00:00Z or Unix seconds",
                    option, text);
    }
    return STATUS_OK;
}

int client_complain(const error *err, bool usage)
{
    fprintf(stderr, "sonde: %s\n", err->message);
    return usage && err->code == STATUS_INVALID ? EXIT_USAGE : EXIT_FAILED;
}
