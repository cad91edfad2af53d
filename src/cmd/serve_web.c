// SPDX-License-Identifier: Apache-2.0
/* The web UI out of the binary: files whose names hold a hash of their content may be kept for
 * ever, the others are asked for again with their ETag. A path that is no file and no API is a view
 * of the UI, which its index.html finds by itself. */
#include "cmd/serve.h"

#include "web_assets.h"

#include <zlib.h>

static const web_asset *find_asset(str path)
{
    size_t from = 0, to = web_asset_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = str_cmp(str_c(web_assets[middle].path), path);
        if (order == 0)
            return &web_assets[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

static bool is_view(str path)
{
    static const char *const apis[] = { "/api/", "/loki/",  "/tempo/",         "/jaeger/", "/v1/",
                                        "/-/",   "/zipkin", "/elasticsearch/", "/sonde/" };
    for (size_t i = 0; i < ARRAY_LEN(apis); i++)
        if (str_starts(path, str_c(apis[i])))
            return false;
    size_t slash = path.len;
    while (slash > 0 && path.ptr[slash - 1] != '/')
        slash--;
    return str_find_char(str_slice(path, slash, path.len), '.') == SIZE_MAX;
}

static bool accepts_gzip(http_exchange *x)
{
    return str_contains(http_header(x, "accept-encoding"), STR("gzip"));
}

/* For the rare client that takes no gzip. */
static void inflate_asset(const web_asset *a, buf *out)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)a->data, .avail_in = (uInt)a->size };
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return;
    int rc = Z_OK;
    while (rc == Z_OK && buf_reserve(out, KiB(64))) {
        z.next_out = (Bytef *)out->ptr + out->len;
        z.avail_out = (uInt)KiB(64);
        rc = inflate(&z, Z_NO_FLUSH);
        out->len += KiB(64) - z.avail_out;
    }
    inflateEnd(&z);
}

static void handle_web(http_exchange *x, void *user)
{
    str path = http_path(x);
    const web_asset *a = find_asset(path);
    (void)user;
    if (!a && is_view(path))
        a = find_asset(STR("/index.html"));
    if (!a) {
        http_fail(x, 404, "no such path: %.*s", (int)MIN(path.len, (size_t)200), path.ptr);
        return;
    }
    bool hashed = str_starts(str_c(a->path), STR("/assets/"));
    http_set_header(x, "Content-Type", str_c(a->mime));
    http_set_header(x, "ETag", str_c(a->etag));
    http_set_header(x, "Cache-Control",
                    hashed ? STR("public, max-age=31536000, immutable") : STR("no-cache"));
    http_set_header(x, "Vary", STR("Accept-Encoding"));
    http_set_header(x, "X-Content-Type-Options", STR("nosniff"));
    http_set_header(x, "Referrer-Policy", STR("same-origin"));
    http_set_header(x, "Content-Security-Policy",
                    STR("default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' "
                        "data:; font-src 'self' data:; connect-src 'self' ws: wss:; object-src "
                        "'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"));
    if (str_contains(http_header(x, "if-none-match"), str_c(a->etag))) {
        http_set_status(x, 304);
        return;
    }
    if (!*a->encoding) {
        buf_add(http_out(x), a->data, a->size);
    } else if (accepts_gzip(x)) {
        http_set_header(x, "Content-Encoding", str_c(a->encoding));
        buf_add(http_out(x), a->data, a->size);
    } else {
        inflate_asset(a, http_out(x));
    }
}

static const http_route rows[] = {
    { "GET", "/*", handle_web, NULL, POOL_NONE, "the web UI" },
};

const http_route *serve_web_routes(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(rows);
    return rows;
}
