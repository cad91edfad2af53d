// SPDX-License-Identifier: Apache-2.0
/* Content encodings; see encoding.h. Output grows in steps that are charged before they are
 * allocated, so a bomb costs at most its limit and usually much less. */
#include "net/encoding.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* A copy of 64 bytes takes three in snappy's format: more than this no byte can stand for. */
enum { SNAPPY_MAX_RATIO = 24 };

/* 8 MiB of window: what RFC 8878 asks every decoder to support, and no more. */
enum { ZSTD_WINDOW_LOG = 23 };

bool budget_take(byte_budget *b, size_t n)
{
    size_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
    do {
        if (n > b->limit || used > b->limit - n)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->used, &used, used + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void budget_give(byte_budget *b, size_t n)
{
    atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
}

bool encoding_is_identity(str encoding)
{
    return encoding.len == 0 || str_eq_nocase(encoding, STR("identity"));
}

/* Where decoded bytes go, with both bounds. */
typedef struct {
    buf *out;
    size_t limit;
    byte_budget *budget;
    size_t *charged;
} sink;

static status sink_take(sink *s, size_t n, error *err)
{
    if (!budget_take(s->budget, n))
        return fail(err, STATUS_BUSY, "the server holds %zu bytes of request bodies, its limit",
                    s->budget->limit);
    *s->charged += n;
    s->out->limit = s->out->cap + n; /* it grows by what was charged, and no more */
    if (!buf_reserve(s->out, n))
        return fail(err, STATUS_NO_MEMORY, "no memory for a body of %zu bytes", s->out->len + n);
    return STATUS_OK;
}

/* Makes room for at least one more byte. */
static status sink_grow(sink *s, size_t first_guess, error *err)
{
    buf *out = s->out;
    if (out->len < out->cap)
        return STATUS_OK;
    if (out->len > s->limit)
        return fail(err, STATUS_LIMIT, "the decompressed body is larger than %zu bytes", s->limit);
    size_t step = MAX(out->cap, MIN(MAX(first_guess, KiB(4)), MiB(1)));
    step = MIN(step, s->limit + 1 - out->len);
    return sink_take(s, step, err);
}

/* window_bits: zlib's; 31 gzip, 15 zlib, -15 raw deflate. */
static status inflate_all(str in, int window_bits, sink *s, error *err)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len };
    if (in.len > UINT32_MAX)
        return fail(err, STATUS_LIMIT, "a compressed body of %zu bytes is too large", in.len);
    if (inflateInit2(&z, window_bits) != Z_OK)
        return fail(err, STATUS_NO_MEMORY, "no memory to decompress the body");
    status st = STATUS_OK;
    int rc = Z_OK;
    while (st == STATUS_OK) {
        st = sink_grow(s, 4 * in.len, err);
        if (st != STATUS_OK)
            break;
        size_t room = MIN(s->out->cap - s->out->len, (size_t)UINT32_MAX);
        z.next_out = (Bytef *)s->out->ptr + s->out->len;
        z.avail_out = (uInt)room;
        rc = inflate(&z, Z_NO_FLUSH);
        s->out->len += room - z.avail_out;
        if (rc == Z_STREAM_END && z.avail_in && window_bits > 15)
            rc = inflateReset(&z); /* gzip files may hold several members */
        else if (rc == Z_STREAM_END)
            break;
        if (rc == Z_MEM_ERROR)
            st = fail(err, STATUS_NO_MEMORY, "no memory to decompress the body");
        else if (rc == Z_BUF_ERROR || (rc == Z_OK && z.avail_in == 0 && z.avail_out))
            st = fail(err, STATUS_INVALID, "the compressed body ends too early");
        else if (rc != Z_OK)
            st = fail(err, STATUS_INVALID, "the compressed body is damaged: %s",
                      z.msg ? z.msg : "bad header");
    }
    if (st == STATUS_OK && z.avail_in)
        st = fail(err, STATUS_INVALID, "%u bytes follow the compressed body", z.avail_in);
    inflateEnd(&z);
    return st;
}

static status zstd_all(str in, sink *s, error *err)
{
    ZSTD_DCtx *z = ZSTD_createDCtx();
    if (!z)
        return fail(err, STATUS_NO_MEMORY, "no memory to decompress the body");
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    ZSTD_inBuffer input = { in.ptr, in.len, 0 };
    status st = STATUS_OK;
    size_t rc = 1;
    while (st == STATUS_OK && !(rc == 0 && input.pos == in.len)) {
        st = sink_grow(s, 4 * in.len, err);
        if (st != STATUS_OK)
            break;
        ZSTD_outBuffer output = { s->out->ptr + s->out->len, s->out->cap - s->out->len, 0 };
        rc = ZSTD_decompressStream(z, &output, &input);
        s->out->len += output.pos;
        if (ZSTD_isError(rc))
            st = fail(err, STATUS_INVALID, "the zstd body is damaged: %s", ZSTD_getErrorName(rc));
        else if (rc && input.pos == in.len && output.pos < output.size)
            st = fail(err, STATUS_INVALID, "the compressed body ends too early");
    }
    ZSTD_freeDCtx(z);
    return st;
}

/* The block format, as Prometheus and Loki use it; its first bytes say how long the rest will be.
 */
static status snappy_all(str in, sink *s, error *err)
{
    buf *out = s->out;
    size_t n = 0;
    if (snappy_uncompressed_length(in.ptr, in.len, &n) != SNAPPY_OK)
        return fail(err, STATUS_INVALID, "the snappy body has no length at its start");
    if (n > s->limit)
        return fail(err, STATUS_LIMIT, "the decompressed body is larger than %zu bytes", s->limit);
    if (n / SNAPPY_MAX_RATIO > in.len)
        return fail(err, STATUS_INVALID,
                    "the snappy body of %zu bytes says that it holds %zu, which it cannot", in.len,
                    n);
    status st = sink_take(s, MAX(n, 1u), err);
    if (st != STATUS_OK)
        return st;
    if (snappy_uncompress(in.ptr, in.len, out->ptr + out->len, &n) != SNAPPY_OK)
        return fail(err, STATUS_INVALID, "the snappy body is damaged");
    out->len += n;
    return STATUS_OK;
}

status encoding_decode(str encoding, str in, size_t limit, byte_budget *budget, size_t *charged,
                       buf *out, error *err)
{
    sink s = { out, limit, budget, charged };
    status st;
    if (str_eq_nocase(encoding, STR("gzip")) || str_eq_nocase(encoding, STR("x-gzip"))) {
        st = inflate_all(in, 15 + 16, &s, err);
    } else if (str_eq_nocase(encoding, STR("deflate"))) {
        /* RFC 9110 means the zlib format; some senders mean raw deflate. A zlib header is a
         * multiple of 31 and starts with method 8. */
        const uint8_t *b = (const uint8_t *)in.ptr;
        bool zlib = in.len >= 2 && (b[0] & 15) == 8 && (b[0] * 256 + b[1]) % 31 == 0;
        st = inflate_all(in, zlib ? 15 : -15, &s, err);
    } else if (str_eq_nocase(encoding, STR("zstd"))) {
        st = zstd_all(in, &s, err);
    } else if (str_eq_nocase(encoding, STR("snappy"))) {
        st = snappy_all(in, &s, err);
    } else {
        return fail(err, STATUS_UNSUPPORTED,
                    "content encoding \"%.*s\" is not known; gzip, deflate, zstd, snappy and "
                    "identity are",
                    (int)MIN(encoding.len, (size_t)60), encoding.ptr);
    }
    if (st == STATUS_OK && out->len > limit)
        st = fail(err, STATUS_LIMIT, "the decompressed body is larger than %zu bytes", limit);
    return st;
}

bool encoding_accepts_gzip(str accept)
{
    while (accept.len) {
        str params;
        str name = str_trim(str_cut(str_cut(accept, ',', &accept), ';', &params));
        /* str_cut leaves the item's parameters in `params`: only q=0 refuses. */
        if (!str_eq_nocase(name, STR("gzip")) && !str_is(name, "*"))
            continue;
        params = str_trim(params);
        double q = 1;
        if (params.len > 2 && (params.ptr[0] == 'q' || params.ptr[0] == 'Q') &&
            params.ptr[1] == '=' && !str_to_f64(str_slice(params, 2, params.len), &q))
            q = 0;
        return q > 0;
    }
    return false;
}

status encoding_gzip(str in, gzip_level level, buf *out, error *err)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len };
    if (in.len > UINT32_MAX ||
        deflateInit2(&z, (int)level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return fail(err, STATUS_NO_MEMORY, "no memory to compress %zu bytes", in.len);
    size_t bound = deflateBound(&z, in.len);
    status st = STATUS_OK;
    if (!buf_reserve(out, bound)) {
        st = buf_check(out, err, "the compressed answer");
    } else {
        z.next_out = (Bytef *)out->ptr + out->len;
        z.avail_out = (uInt)MIN(bound, (size_t)UINT32_MAX);
        int rc = deflate(&z, Z_FINISH);
        if (rc == Z_STREAM_END)
            out->len += z.total_out;
        else
            st = fail(err, STATUS_NO_MEMORY, "deflate failed with %d", rc);
    }
    deflateEnd(&z);
    return st;
}

struct gzip_stream {
    z_stream z;
};

gzip_stream *gzip_stream_new(void)
{
    gzip_stream *g = calloc(1, sizeof(*g));
    if (g && deflateInit2(&g->z, GZIP_FAST, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(g);
        g = NULL;
    }
    return g;
}

void gzip_stream_free(gzip_stream *g)
{
    if (g)
        deflateEnd(&g->z);
    free(g);
}

status gzip_stream_add(gzip_stream *g, str in, gzip_step step, buf *out, error *err)
{
    static const int flush[] = { Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH };
    z_stream *z = &g->z;
    if (in.len > UINT32_MAX)
        return fail(err, STATUS_LIMIT, "%zu bytes at once are too many to compress", in.len);
    z->next_in = (Bytef *)(uintptr_t)in.ptr;
    z->avail_in = (uInt)in.len;
    do {
        if (!buf_reserve(out, MAX(in.len / 8, KiB(4))))
            return buf_check(out, err, "the compressed answer");
        size_t room = MIN(out->cap - out->len, (size_t)UINT32_MAX);
        z->next_out = (Bytef *)out->ptr + out->len;
        z->avail_out = (uInt)room;
        int rc = deflate(z, flush[step]);
        out->len += room - z->avail_out;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) /* the last: nothing to do */
            return fail(err, STATUS_NO_MEMORY, "deflate failed with %d", rc);
    } while (z->avail_out == 0);
    return STATUS_OK;
}
