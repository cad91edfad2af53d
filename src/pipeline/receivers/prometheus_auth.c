// SPDX-License-Identifier: Apache-2.0
/* Credentials of scrapes and of http_sd: texts of the configuration, or files that are read at each
 * request, so that renewed ones are taken. */
#include "base/file.h"
#include "pipeline/receivers/prometheus_internal.h"

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

status scrape_auth_set(scrape_auth *a, const scrape_http *s, error *err)
{
    status st = STATUS_OK;
    *a = (scrape_auth){ 0 };
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

void scrape_auth_done(scrape_auth *a)
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

status scrape_headers(arena *a, const scrape_http *s, const char **lines, unsigned *count,
                      unsigned max, error *err)
{
    const scrape_header *h = s->headers.items;
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
