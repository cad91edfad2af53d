// SPDX-License-Identifier: Apache-2.0
/* The sending side of exporters; see client.h. Headers and URLs are made for each request in an
 * arena of its own: few and short beside the body. Their values are secrets and are in no message.
 */
#include "pipeline/client.h"

#include "net/client_encoding.h"

#include <stdlib.h>

enum { HEADERS_MAX = 64, HEADER_BYTES = KiB(128) };
static const int64_t no_limit = 3600 * NS_PER_S; /* what timeout: 0 comes to */

struct client {
    component *owner;
    const client_settings *settings;
    const component *authenticator; /* NULL: none */
    http_client *http;
    const char *encoding; /* NULL: none */
    arena request;
    buf packed; /* a compressed body */
};

static const char *text_or_null(str s)
{
    return s.len ? s.ptr : NULL;
}

static tls_client tls_of(const tls_client_settings *t)
{
    return (tls_client){ .ca_file = text_or_null(t->ca_file),
                         .cert_file = text_or_null(t->cert_file),
                         .key_file = text_or_null(t->key_file),
                         .ca_pem = text_or_null(t->ca_pem),
                         .cert_pem = text_or_null(t->cert_pem),
                         .key_pem = text_or_null(t->key_pem),
                         .server_name = text_or_null(t->server_name_override),
                         .min_version = text_or_null(t->min_version),
                         .skip_verify = t->insecure_skip_verify };
}

/* ---- headers ---- */

typedef struct {
    const char **lines; /* HEADERS_MAX + 1 of them, ended by NULL */
    size_t count;
} header_lines;

static bool is_plain(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' && s.ptr[i] != '\t')
            return false;
    return true;
}

static status add_line(header_lines *h, const char *line, error *err)
{
    if (!line)
        return fail(err, STATUS_LIMIT, "headers take more than %d bytes", HEADER_BYTES);
    if (h->count == HEADERS_MAX)
        return fail(err, STATUS_LIMIT, "more than %d headers", HEADERS_MAX);
    h->lines[h->count++] = line;
    return STATUS_OK;
}

static status add_pairs(header_lines *h, arena *a, const pair_list *pairs, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < pairs->count && st == STATUS_OK; i++) {
        str name = pairs->items[i].name, value = pairs->items[i].value;
        if (!name.len || !is_plain(name) || !is_plain(value))
            return fail(err, STATUS_INVALID, "header \"%.*s\" has a character that headers cannot",
                        STR_ARG(name));
        st = add_line(h, arena_fmt(a, "%.*s: %.*s", STR_ARG(name), STR_ARG(value)).ptr, err);
    }
    return st;
}

static status start_lines(header_lines *h, arena *a, error *err)
{
    h->count = 0;
    h->lines = arena_calloc(a, HEADERS_MAX + 1, sizeof(char *));
    return h->lines ? STATUS_OK : fail(err, STATUS_NO_MEMORY, "no memory for headers");
}

static status add_credentials(header_lines *h, arena *a, const component *authenticator, error *err)
{
    pair_list pairs = { 0 };
    status st = authenticator->type->authorize(authenticator->self, a, &pairs, err);
    return st == STATUS_OK ? add_pairs(h, a, &pairs, err) : st;
}

static status find_authenticator(component *c, const client_settings *s, const component **ret,
                                 error *err)
{
    if (!s->has_auth || !s->auth.authenticator.len)
        return STATUS_OK;
    status st = component_extension(c, s->auth.authenticator, ret, err);
    if (st == STATUS_OK && !(*ret)->type->authorize)
        st = fail(err, STATUS_INVALID,
                  "auth.authenticator: extension \"%.*s\" has no credentials "
                  "for requests",
                  STR_ARG(s->auth.authenticator));
    return st;
}

/* ---- HTTP ---- */

const char *client_encoding(const client_settings *s, compression preferred)
{
    static const char *const names[] = { [COMPRESSION_GZIP] = "gzip",
                                         [COMPRESSION_ZSTD] = "zstd",
                                         [COMPRESSION_SNAPPY] = "snappy",
                                         [COMPRESSION_DEFLATE] = "deflate" };
    return names[s->compression == COMPRESSION_DEFAULT ? (int)preferred : s->compression];
}

/* What can be known to be wrong before the first request. */
static status check_headers(client *k, error *err)
{
    header_lines h;
    status st = start_lines(&h, &k->request, err);
    return st == STATUS_OK ? add_pairs(&h, &k->request, &k->settings->headers, err) : st;
}

status client_new(client **ret, component *c, const client_settings *s, compression preferred,
                  error *err)
{
    client *k = calloc(1, sizeof(*k));
    if (!k)
        return fail(err, STATUS_NO_MEMORY, "no memory for a client");
    k->owner = c;
    k->settings = s;
    k->encoding = client_encoding(s, preferred);
    arena_init(&k->request, HEADER_BYTES);
    buf_init(&k->packed, MiB(256));
    http_client_options o = { .tls = tls_of(&s->tls), .proxy = text_or_null(s->proxy_url) };
    status st = find_authenticator(c, s, &k->authenticator, err);
    if (st == STATUS_OK)
        st = check_headers(k, err);
    if (st == STATUS_OK)
        st = http_client_new(&k->http, &o, err);
    if (st != STATUS_OK) {
        client_free(k);
        return st;
    }
    *ret = k;
    return STATUS_OK;
}

void client_free(client *k)
{
    if (!k)
        return;
    http_client_free(k->http);
    arena_done(&k->request);
    buf_done(&k->packed);
    free(k);
}

static status make_headers(client *k, header_lines *h, const char *content_type,
                           const char *const *more, bool packed, error *err)
{
    arena *a = &k->request;
    status st = start_lines(h, a, err);
    if (st == STATUS_OK && content_type)
        st = add_line(h, arena_fmt(a, "Content-Type: %s", content_type).ptr, err);
    if (st == STATUS_OK && packed)
        st = add_line(h, arena_fmt(a, "Content-Encoding: %s", k->encoding).ptr, err);
    for (; more && *more && st == STATUS_OK; more++)
        st = add_line(h, *more, err);
    if (st == STATUS_OK)
        st = add_pairs(h, a, &k->settings->headers, err);
    if (st == STATUS_OK && k->authenticator)
        st = add_credentials(h, a, k->authenticator, err);
    return st;
}

bool client_is_url(str s)
{
    return str_starts(s, STR("http://")) || str_starts(s, STR("https://"));
}

status client_check_url(const client_settings *s, const char *example, char *where,
                        size_t where_size, error *err)
{
    if (client_is_url(s->endpoint))
        return STATUS_OK;
    str_copy_c(where, where_size, STR("endpoint"));
    return fail(err, STATUS_INVALID, "must be a URL as %s, with its path", example);
}

static str url_of(client *k, const char *path)
{
    str base = k->settings->endpoint;
    if (client_is_url(str_c(path)))
        base = STR_EMPTY;
    if (*path == '/' && str_ends(base, STR("/")))
        base.len--;
    return arena_fmt(&k->request, "%.*s%s", STR_ARG(base), path);
}

static status exchange(client *k, const http_request *r, http_answer *answer, send_result *ret,
                       error *err)
{
    status st = http_client_send(k->http, r, answer, err);
    if (st == STATUS_OK)
        st = http_answer_check(answer, r->url, err);
    ret->retry_after_ns = answer->retry_after_ns;
    return st;
}

status client_post(client *k, const char *path, const char *content_type, str body,
                   const char *const *headers, http_answer *answer, send_result *ret, error *err)
{
    http_answer own;
    http_answer *a = answer ? answer : &own;
    header_lines h;
    *ret = (send_result){ 0 };
    *a = (http_answer){ 0 };
    arena_clear(&k->request);
    buf_clear(&k->packed);
    str url = url_of(k, path);
    status st = url.ptr ? make_headers(k, &h, content_type, headers, k->encoding != NULL, err)
                        : fail(err, STATUS_NO_MEMORY, "no memory for a URL");
    if (st == STATUS_OK && k->encoding)
        st = client_compress(k->encoding, body, &k->packed, err);
    if (st == STATUS_OK) {
        http_request r = { .method = "POST",
                           .url = url.ptr,
                           .headers = h.lines,
                           .body = k->encoding ? buf_view(&k->packed) : body,
                           .timeout_ns = k->settings->timeout ? k->settings->timeout : no_limit,
                           .canceled = component_canceled(k->owner) };
        st = exchange(k, &r, a, ret, err);
    }
    if (a == &own)
        http_answer_done(&own);
    return st;
}

/* ---- gRPC ---- */

static status more_headers(void *user, arena *a, const char *const **ret, error *err)
{
    const component *authenticator = user;
    header_lines h;
    status st = start_lines(&h, a, err);
    if (st == STATUS_OK)
        st = add_credentials(&h, a, authenticator, err);
    *ret = h.lines;
    return st;
}

/* "https://host:1", "http://host:1", "dns:///host:1" and "host:1". */
static str grpc_target(const client_settings *s, arena *a, bool *ret_tls)
{
    static const struct {
        const char *prefix, *port;
        int tls; /* -1: as tls.insecure says */
    } schemes[] = { { "https://", "443", 1 }, { "http://", "80", 0 }, { "dns:///", NULL, -1 } };
    str target = s->endpoint;
    const char *port = NULL;
    *ret_tls = !s->tls.insecure;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (!str_starts(target, str_c(schemes[i].prefix)))
            continue;
        target = str_slice(target, strlen(schemes[i].prefix), target.len);
        port = schemes[i].port;
        *ret_tls = schemes[i].tls < 0 ? *ret_tls : schemes[i].tls;
        break;
    }
    if (str_ends(target, STR("/")))
        target.len--;
    bool has_port = !str_ends(target, STR("]")) && str_find_char(target, ':') != SIZE_MAX;
    return has_port || !port ? arena_str(a, target)
                             : arena_fmt(a, "%.*s:%s", STR_ARG(target), port);
}

status client_grpc_new(grpc_client **ret, component *c, const client_settings *s, error *err)
{
    arena a;
    header_lines h;
    const component *authenticator = NULL;
    grpc_client_options o = { .tls = tls_of(&s->tls), .more_headers = NULL };
    arena_init(&a, HEADER_BYTES);
    o.target = grpc_target(s, &a, &o.use_tls).ptr;
    status st = o.target ? start_lines(&h, &a, err)
                         : fail(err, STATUS_NO_MEMORY, "no memory for an address");
    if (st == STATUS_OK)
        st = add_pairs(&h, &a, &s->headers, err);
    if (st == STATUS_OK)
        st = find_authenticator(c, s, &authenticator, err);
    if (st == STATUS_OK) {
        o.headers = h.lines;
        o.more_headers = authenticator ? more_headers : NULL;
        o.user = (void *)(uintptr_t)authenticator;
        st = grpc_client_new(ret, &o, err);
    }
    arena_done(&a);
    return st;
}
