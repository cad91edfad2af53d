// SPDX-License-Identifier: Apache-2.0
/* What came over the network is data here: it is quoted for the shell and encoded for the URL. */
#include "cmd/trace_curl.h"

#include "base/clock.h"

#include <string.h>

#define PLACEHOLDER "[REDACTED]"
#define HEADER_KEY  "http.request.header."

typedef struct {
    const value *fields; /* of the event */
    str service;
    int64_t time_us;
} kept_request;

static const value *field(const kept_request *r, const char *key)
{
    values fields = json_items(r->fields);
    for (uint32_t i = 0; i < fields.count; i++)
        if (str_is(json_text(json_member(&fields.items[i], "key")), key))
            return json_member(&fields.items[i], "value");
    return NULL;
}

static str field_text(const kept_request *r, const char *key)
{
    return json_text(field(r, key));
}

/* ---- quoting ---- */

/* In single quotes; bash's $'…' only for control characters, which no terminal should be sent. */
static void put_quoted(buf *out, str text)
{
    bool control = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        control = control || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
    }
    buf_str(out, control ? STR("$'") : STR("'"));
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (control && (c < 0x20 || c == 0x7f))
            buf_fmt(out, "\\x%02x", c);
        else if (control && (c == '\'' || c == '\\'))
            buf_fmt(out, "\\%c", c);
        else if (c == '\'')
            buf_lit(out, "'\\''");
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '\'');
}

/* Comments stay on their line. */
static void put_comment_text(buf *out, str text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_char(out, (unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? ' ' : text.ptr[i]);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Bytes that no URL has are encoded; what is encoded already stays. */
static void put_url_part(buf *out, str part, const char *also)
{
    for (size_t i = 0; i < part.len; i++) {
        unsigned char c = (unsigned char)part.ptr[i];
        bool escape =
            c == '%' && i + 2 < part.len && is_hex(part.ptr[i + 1]) && is_hex(part.ptr[i + 2]);
        bool plain = c > 0x20 && c < 0x7f && !strchr("\"<>\\^`#%", c) && !strchr(also, c);
        if (plain || escape)
            buf_char(out, (char)c);
        else
            buf_fmt(out, "%%%02X", c);
    }
}

/* ---- one command ---- */

static void build_url(const kept_request *r, buf *url)
{
    str scheme = field_text(r, "url.scheme"), host = field_text(r, "server.address");
    str path = field_text(r, "url.path"), query = field_text(r, "url.query");
    int64_t port = json_integer(field(r, "server.port"));
    bool v6 = str_find_char(host, ':') != SIZE_MAX;
    buf_str(url, scheme.len ? scheme : STR("http"));
    buf_lit(url, "://");
    if (v6)
        buf_char(url, '[');
    put_url_part(url, host.len ? host : STR("localhost"), "/?@");
    if (v6)
        buf_char(url, ']');
    if (port > 0)
        buf_fmt(url, ":%lld", (long long)port);
    if (!path.len || path.ptr[0] != '/')
        buf_char(url, '/');
    put_url_part(url, path, "?");
    if (query.len) {
        buf_char(url, '?');
        put_url_part(url, query, "");
    }
}

/* Headers that name this one request, or that curl makes itself. */
static bool left_out(str name)
{
    static const char *const names[] = { "x-request-id",     "traceparent",
                                         "tracestate",       "host",
                                         "content-length",   "connection",
                                         "transfer-encoding" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

static str header_name(const value *item)
{
    str key = json_text(json_member(item, "key"));
    if (!str_starts(key, STR(HEADER_KEY)))
        return STR_EMPTY;
    str name = str_slice(key, strlen(HEADER_KEY), key.len);
    return left_out(name) ? STR_EMPTY : name;
}

static void put_headers(const kept_request *r, buf *out)
{
    values fields = json_items(r->fields);
    for (uint32_t i = 0; i < fields.count; i++) {
        char memory[2048];
        buf line = { .ptr = memory, .cap = sizeof(memory), .limit = sizeof(memory) };
        str name = header_name(&fields.items[i]);
        str text = json_text(json_member(&fields.items[i], "value"));
        if (!name.len)
            continue;
        buf_str(&line, name);
        buf_str(&line, text.len ? STR(": ") : STR(";")); /* curl's way to send an empty one */
        buf_str(&line, text);
        buf_lit(out, " \\\n  -H ");
        put_quoted(out, buf_view(&line));
    }
}

static void put_redacted(const kept_request *r, buf *out)
{
    static const struct {
        const char *key, *what;
    } parts[] = { { "url.path", "path" },
                  { "url.query", "query" },
                  { "sonde.request.body", "body" } };
    values fields = json_items(r->fields);
    size_t before = out->len;
    for (uint32_t i = 0; i < fields.count; i++) {
        str name = header_name(&fields.items[i]),
            key = json_text(json_member(&fields.items[i], "key"));
        if (!str_contains(json_text(json_member(&fields.items[i], "value")), STR(PLACEHOLDER)))
            continue;
        for (size_t p = 0; p < ARRAY_LEN(parts); p++)
            if (str_is(key, parts[p].key))
                name = str_c(parts[p].what);
        if (!name.len)
            continue;
        buf_str(out, out->len == before ? STR("# put your own in place of " PLACEHOLDER ": ")
                                        : STR(", "));
        put_comment_text(out, name);
    }
    if (out->len > before)
        buf_char(out, '\n');
}

static void put_comments(const kept_request *r, buf *out)
{
    int64_t size = json_integer(field(r, "http.request.body.size"));
    const value *cut = field(r, "sonde.request.cut");
    char memory[40];
    buf when = { .ptr = memory, .cap = sizeof(memory), .limit = sizeof(memory) };
    clock_format_rfc3339(&when, r->time_us * NS_PER_US, 3);
    buf_lit(out, "# ");
    put_comment_text(out, r->service);
    buf_fmt(out, " answered %lld, %.*s\n",
            (long long)json_integer(field(r, "http.response.status_code")),
            STR_ARG(buf_view(&when)));
    put_redacted(r, out);
    if (size > 0 && !field_text(r, "sonde.request.body").len)
        buf_fmt(out, "# it had a body of %lld bytes that is no text and was not kept\n",
                (long long)size);
    else if (cut && cut->type == VALUE_BOOL && cut->b)
        buf_fmt(out, "# it was too long to be kept whole%s\n",
                size > 0 ? ": see the body's end" : "");
}

static void put_command(const kept_request *r, buf *out)
{
    str method = field_text(r, "http.request.method"), body = field_text(r, "sonde.request.body");
    buf url;
    buf_init(&url, KiB(64));
    build_url(r, &url);
    put_comments(r, out);
    buf_lit(out, "curl");
    if (str_is(method, "HEAD"))
        buf_lit(out, " --head");
    else if (method.len && (!str_is(method, "GET") || body.len)) {
        buf_lit(out, " -X ");
        put_quoted(out, method);
    }
    str where = buf_view(&url);
    if (str_find_char(where, '[') != SIZE_MAX || str_find_char(where, '{') != SIZE_MAX)
        buf_lit(out, " --globoff");
    if (str_contains(where, STR("/.")))
        buf_lit(out, " --path-as-is");
    buf_char(out, ' ');
    put_quoted(out, where);
    put_headers(r, out);
    if (body.len) {
        buf_lit(out, " \\\n  --data-raw ");
        put_quoted(out, body);
    }
    buf_char(out, '\n');
    buf_done(&url);
}

/* ---- the trace ---- */

enum { REQUESTS_MOST = 64 };

static bool is_kept_request(const value *log)
{
    kept_request r = { .fields = json_member(log, "fields") };
    return str_is(field_text(&r, "event"), "sonde.request");
}

uint32_t trace_curl(const value *trace, buf *out)
{
    kept_request found[REQUESTS_MOST];
    uint32_t count = 0;
    values spans = json_items(json_member(trace, "spans"));
    for (uint32_t i = 0; i < spans.count; i++) {
        char process[64];
        values logs = json_items(json_member(&spans.items[i], "logs"));
        str_copy_c(process, sizeof(process), json_text(json_member(&spans.items[i], "processID")));
        const value *owner = json_member(json_member(trace, "processes"), process);
        for (uint32_t n = 0; n < logs.count && count < REQUESTS_MOST; n++) {
            if (!is_kept_request(&logs.items[n]))
                continue;
            kept_request r = { .fields = json_member(&logs.items[n], "fields"),
                               .service = json_text(json_member(owner, "serviceName")),
                               .time_us = json_integer(json_member(&logs.items[n], "timestamp")) };
            uint32_t at = count++;
            for (; at > 0 && found[at - 1].time_us > r.time_us; at--)
                found[at] = found[at - 1];
            found[at] = r;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_char(out, '\n');
        put_command(&found[i], out);
    }
    return count;
}
