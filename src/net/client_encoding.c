// SPDX-License-Identifier: Apache-2.0
/* Compressing what is sent; see client_encoding.h. Fast levels: telemetry is sent once, soon. */
#include "net/client_encoding.h"

#include "net/encoding.h"

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum { ZSTD_LEVEL = 1, DEFLATE_LEVEL = 4 };

static status no_room(buf *out, error *err)
{
    status st = buf_check(out, err, "the compressed request");
    return st != STATUS_OK ? st : fail(err, STATUS_NO_MEMORY, "no memory to compress a request");
}

static status compress_gzip(str in, buf *out, error *err)
{
    return encoding_gzip(in, GZIP_SMALL, out, err);
}

static status compress_zstd(str in, buf *out, error *err)
{
    size_t bound = ZSTD_compressBound(in.len);
    if (!buf_reserve(out, bound))
        return no_room(out, err);
    size_t n = ZSTD_compress(out->ptr + out->len, bound, in.ptr, in.len, ZSTD_LEVEL);
    if (ZSTD_isError(n))
        return fail(err, STATUS_NO_MEMORY, "zstd: %s", ZSTD_getErrorName(n));
    out->len += n;
    return STATUS_OK;
}

static status compress_deflate(str in, buf *out, error *err)
{
    uLongf n = compressBound(in.len);
    if (!buf_reserve(out, n))
        return no_room(out, err);
    if (compress2((Bytef *)out->ptr + out->len, &n, (const Bytef *)in.ptr, in.len, DEFLATE_LEVEL) !=
        Z_OK)
        return no_room(out, err);
    out->len += n;
    return STATUS_OK;
}

static status compress_snappy(str in, buf *out, error *err)
{
    size_t n = snappy_max_compressed_length(in.len);
    if (!buf_reserve(out, n))
        return no_room(out, err);
    if (snappy_compress(in.ptr, in.len, out->ptr + out->len, &n) != SNAPPY_OK)
        return no_room(out, err);
    out->len += n;
    return STATUS_OK;
}

static const struct {
    const char *name;
    status (*compress)(str in, buf *out, error *err);
} encodings[] = { { "gzip", compress_gzip },
                  { "zstd", compress_zstd },
                  { "snappy", compress_snappy },
                  { "deflate", compress_deflate } };

status client_compress(const char *encoding, str in, buf *out, error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++)
        if (str_is(str_c(encoding), encodings[i].name))
            return encodings[i].compress(in, out, err);
    return fail(err, STATUS_UNSUPPORTED,
                "compression \"%s\" is none of gzip, zstd, snappy, deflate", encoding);
}
