// SPDX-License-Identifier: Apache-2.0
/* An HTTP client's configuration; see prometheus_http.h. Credentials are texts of the
 * configuration, or files that are read at each request, so that renewed ones are taken. */
#include "settings/prometheus_http.h"

#include "base/file.h"

#define IGNORED(name_, why_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (why_) \
    }
#define WHY_HTTP2 "requests are made by HTTP/1.1"
#define WHY_PROXY "proxy_url names the proxy; the environment is not asked"

/* ---- the table ---- */

#define AT(member) offsetof(prometheus_basic_auth, member)
static const option basic_rows[] = {
    { .name = "username", .type = OPTION_TEXT, .offset = AT(username), .help = "user name" },
    { .name = "username_file",
      .type = OPTION_TEXT,
      .offset = AT(username_file),
      .help = "file with the user name, read at each request" },
    { .name = "password", .type = OPTION_SECRET, .offset = AT(password), .help = "password" },
    { .name = "password_file",
      .type = OPTION_TEXT,
      .offset = AT(password_file),
      .help = "file with the password, read at each request" },
};
#undef AT
static const option_table basic_options = OPTION_TABLE(basic_rows, prometheus_basic_auth);

#define AT(member) offsetof(prometheus_authorization, member)
static const option authorization_rows[] = {
    { .name = "type",
      .type = OPTION_TEXT,
      .offset = AT(type),
      .fallback = "Bearer",
      .help = "word before the credentials" },
    { .name = "credentials", .type = OPTION_SECRET, .offset = AT(credentials), .help = "token" },
    { .name = "credentials_file",
      .type = OPTION_TEXT,
      .offset = AT(credentials_file),
      .help = "file with the token, read at each request" },
};
#undef AT
static const option_table authorization_options =
    OPTION_TABLE(authorization_rows, prometheus_authorization);

static const char *const tls_versions[] = { "", "TLS10", "TLS11", "TLS12", "TLS13", NULL };

#define AT(member) offsetof(prometheus_tls, member)
static const option tls_rows[] = {
    { .name = "ca_file",
      .type = OPTION_TEXT,
      .offset = AT(ca_file),
      .help = "authorities that sign servers' certificates, PEM; absent: the system's" },
    { .name = "ca", .type = OPTION_TEXT, .offset = AT(ca), .help = "the same as text" },
    { .name = "cert_file",
      .type = OPTION_TEXT,
      .offset = AT(cert_file),
      .help = "the client's certificate, PEM" },
    { .name = "cert", .type = OPTION_TEXT, .offset = AT(cert), .help = "the same as text" },
    { .name = "key_file",
      .type = OPTION_TEXT,
      .offset = AT(key_file),
      .help = "private key of the client's certificate, PEM" },
    { .name = "key", .type = OPTION_SECRET, .offset = AT(key), .help = "the same as text" },
    { .name = "server_name",
      .type = OPTION_TEXT,
      .offset = AT(server_name),
      .help = "name that the certificate must have, instead of the URL's" },
    { .name = "insecure_skip_verify",
      .type = OPTION_BOOL,
      .offset = AT(insecure_skip_verify),
      .help = "certificates are not verified" },
    { .name = "min_version",
      .type = OPTION_CHOICE,
      .offset = AT(min_version),
      .fallback = "TLS12",
      .choices = tls_versions,
      .help = "oldest version of TLS" },
    IGNORED("max_version", "the newest version that both sides have is used"),
};
#undef AT
const option_table prometheus_tls_options = OPTION_TABLE(tls_rows, prometheus_tls);

#define AT(member) offsetof(prometheus_header, member)
static const option header_rows[] = {
    { .name = "values",
      .type = OPTION_TEXTS,
      .offset = AT(values),
      .help = "values of the header" },
    { .name = "secrets",
      .type = OPTION_TEXTS,
      .offset = AT(secrets),
      .help = "values that are not shown" },
    { .name = "files",
      .type = OPTION_TEXTS,
      .offset = AT(files),
      .help = "files with values, read at each request" },
};
#undef AT
static const option_table header_options = OPTION_TABLE(header_rows, prometheus_header);

#define AT(member) offsetof(prometheus_http, member)
static const option http_rows[] = {
    { .name = "basic_auth",
      .type = OPTION_SECTION,
      .offset = AT(basic_auth),
      .table = &basic_options,
      .present = OPTION_PRESENT(prometheus_http, has_basic_auth),
      .help = "user and password" },
    { .name = "authorization",
      .type = OPTION_SECTION,
      .offset = AT(authorization),
      .table = &authorization_options,
      .present = OPTION_PRESENT(prometheus_http, has_authorization),
      .help = "the Authorization header" },
    { .name = "oauth2",
      .type = OPTION_VALUE,
      .offset = AT(oauth2),
      .help = "not supported: refused" },
    { .name = "bearer_token",
      .type = OPTION_SECRET,
      .offset = AT(bearer_token),
      .help = "as authorization.credentials" },
    { .name = "bearer_token_file",
      .type = OPTION_TEXT,
      .offset = AT(bearer_token_file),
      .help = "as authorization.credentials_file" },
    { .name = "tls_config",
      .type = OPTION_SECTION,
      .offset = AT(tls),
      .table = &prometheus_tls_options,
      .present = OPTION_PRESENT(prometheus_http, has_tls),
      .help = "encryption, where the scheme is https" },
    { .name = "proxy_url",
      .type = OPTION_TEXT,
      .offset = AT(proxy_url),
      .help = "proxy that requests go through" },
    { .name = "follow_redirects",
      .type = OPTION_BOOL,
      .offset = AT(follow_redirects),
      .fallback = "true",
      .help = "whether redirects are followed" },
    { .name = "http_headers",
      .type = OPTION_NAMED,
      .offset = AT(headers),
      .table = &header_options,
      .help = "more request headers, by name" },
    IGNORED("enable_http2", WHY_HTTP2),
    IGNORED("no_proxy", WHY_PROXY),
    IGNORED("proxy_from_environment", WHY_PROXY),
    IGNORED("proxy_connect_header", WHY_PROXY),
};
#undef AT
const option_table prometheus_http_options = OPTION_TABLE(http_rows, prometheus_http);

/* ---- requests ---- */

static const char *text_or_null(str s)
{
    return s.len ? s.ptr : NULL;
}

void prometheus_http_client(http_client_options *o, const prometheus_http *h)
{
    static const char *const versions[] = { NULL, "1.0", "1.1", "1.2", "1.3" };
    *o = (http_client_options){
        .tls = { .ca_file = text_or_null(h->tls.ca_file),
                 .cert_file = text_or_null(h->tls.cert_file),
                 .key_file = text_or_null(h->tls.key_file),
                 .ca_pem = text_or_null(h->tls.ca),
                 .cert_pem = text_or_null(h->tls.cert),
                 .key_pem = text_or_null(h->tls.key),
                 .server_name = text_or_null(h->tls.server_name),
                 .min_version = versions[h->tls.min_version],
                 .skip_verify = h->tls.insecure_skip_verify },
        .proxy = text_or_null(h->proxy_url),
        .follow_redirects = h->follow_redirects,
    };
}

status prometheus_http_check(const prometheus_http *h, const char **ret_option, error *err)
{
    int ways = h->has_basic_auth + h->has_authorization +
               (h->bearer_token.len || h->bearer_token_file.len);
    *ret_option = "oauth2";
    if (h->oauth2.type != VALUE_EMPTY)
        return fail(err, STATUS_UNSUPPORTED,
                    "oauth2 is not supported; basic_auth and authorization are");
    *ret_option = "authorization";
    if (ways > 1)
        return fail(err, STATUS_INVALID,
                    "more than one of basic_auth, authorization and bearer_token: a request has "
                    "one Authorization header");
    if (h->has_authorization && str_eq_nocase(h->authorization.type, STR("basic")))
        return fail(err, STATUS_INVALID, "the type Basic is what basic_auth is for");
    return STATUS_OK;
}

static status read_secret(str text, str path, buf *out, error *err)
{
    if (path.len == 0) {
        buf_str(out, text);
        return STATUS_OK;
    }
    size_t from = out->len;
    status st = file_read(path.ptr, out, err);
    while (st == STATUS_OK && out->len > from &&
           (out->ptr[out->len - 1] == '\n' || out->ptr[out->len - 1] == '\r'))
        out->len--;
    return st;
}

status prometheus_auth_set(prometheus_auth *a, const prometheus_http *s, error *err)
{
    status st = STATUS_OK;
    *a = (prometheus_auth){ 0 };
    buf_init(&a->header, KiB(64));
    buf_init(&a->name, KiB(4));
    buf_init(&a->password, KiB(64));
    if (s->has_basic_auth) {
        a->basic = true;
        st = read_secret(s->basic_auth.username, s->basic_auth.username_file, &a->name, err);
        if (st == STATUS_OK)
            st =
                read_secret(s->basic_auth.password, s->basic_auth.password_file, &a->password, err);
        buf_char(&a->name, 0);
        buf_char(&a->password, 0);
    } else if (s->has_authorization) {
        buf_fmt(&a->header, "Authorization: %.*s ", STR_ARG(s->authorization.type));
        st = read_secret(s->authorization.credentials, s->authorization.credentials_file,
                         &a->header, err);
    } else if (s->bearer_token.len || s->bearer_token_file.len) {
        buf_lit(&a->header, "Authorization: Bearer ");
        st = read_secret(s->bearer_token, s->bearer_token_file, &a->header, err);
    }
    if (a->header.len)
        buf_char(&a->header, 0);
    if (st == STATUS_OK && (a->header.failed || a->name.failed || a->password.failed))
        st = fail(err, STATUS_LIMIT, "credentials are longer than 64 KiB");
    return st;
}

void prometheus_auth_done(prometheus_auth *a)
{
    buf_done(&a->header);
    buf_done(&a->name);
    buf_done(&a->password);
}

static status add_header(arena *a, str name, str text, const char **lines, unsigned *count,
                         unsigned max, error *err)
{
    str line = arena_fmt(a, "%.*s: %.*s", STR_ARG(name), STR_ARG(text));
    if (*count >= max || !line.ptr || str_find_char(line, '\n') != SIZE_MAX)
        return fail(err, STATUS_LIMIT, "the header %.*s: too many headers, or a line break in one",
                    STR_ARG(name));
    lines[(*count)++] = line.ptr;
    return STATUS_OK;
}

status prometheus_http_headers(arena *a, const prometheus_http *s, const char **lines,
                               unsigned *count, unsigned max, error *err)
{
    const prometheus_header *h = s->headers.items;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < s->headers.count; i++) {
        const text_list *lists[] = { &h[i].values, &h[i].secrets, &h[i].files };
        for (unsigned l = 0; l < ARRAY_LEN(lists); l++)
            for (uint32_t k = 0; k < lists[l]->count && st == STATUS_OK; k++) {
                buf text;
                bool file = lists[l] == &h[i].files;
                buf_init(&text, KiB(64));
                st = read_secret(file ? STR_EMPTY : lists[l]->items[k],
                                 file ? lists[l]->items[k] : STR_EMPTY, &text, err);
                if (st == STATUS_OK)
                    st = add_header(a, h[i].name, buf_view(&text), lines, count, max, err);
                buf_done(&text);
            }
    }
    return st;
}
