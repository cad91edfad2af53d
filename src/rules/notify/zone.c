// SPDX-License-Identifier: Apache-2.0
/* Time zones from the system's files (RFC 8536, TZif): the offset from UTC at a moment, without the
 * C library's process-wide zone. Beyond the last transition of a file its last 28 years repeat:
 * the files of Debian reach to 2037. */
#include "base/file.h"
#include "rules/notify/interval.h"

#include <stdlib.h>

enum { ZONE_BYTES_MAX = 256 << 10, HEADER = 44 };

typedef struct {
    int64_t from_s;
    int32_t offset_s;
} change;

struct time_zone {
    change *changes; /* by time */
    uint32_t count;
    int32_t first_s; /* offset before the first */
};

static int64_t big_endian(const char *p, unsigned bytes)
{
    uint64_t v = (uint8_t)p[0] & 0x80 ? UINT64_MAX : 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | (uint8_t)p[i];
    return (int64_t)v;
}

/* The six counts of a header: isutc, isstd, leap, time, type, char. */
static bool read_header(str text, size_t at, uint32_t counts[6])
{
    if (text.len < HEADER || at > text.len - HEADER ||
        !str_starts(str_slice(text, at, text.len), STR("TZif")))
        return false;
    for (unsigned i = 0; i < 6; i++) {
        counts[i] = (uint32_t)big_endian(text.ptr + at + 20 + 4 * i, 4);
        if (counts[i] > ZONE_BYTES_MAX)
            return false;
    }
    return true;
}

static size_t body_size(const uint32_t c[6], size_t time_size)
{
    return c[3] * time_size + c[3] + c[4] * 6 + c[5] + c[2] * (time_size + 4) + c[1] + c[0];
}

static bool read_changes(arena *a, str text, size_t at, size_t time_size, const uint32_t c[6],
                         time_zone *z)
{
    if (body_size(c, time_size) > text.len - at || c[4] == 0)
        return false;
    const char *times = text.ptr + at, *kinds = times + c[3] * time_size;
    const char *types = kinds + c[3];
    z->changes = ARENA_ARRAY(a, change, MAX(c[3], 1u));
    if (!z->changes)
        return false;
    z->first_s = (int32_t)big_endian(types, 4);
    for (uint32_t i = 0; i < c[3]; i++) {
        uint8_t kind = (uint8_t)kinds[i];
        if (kind >= c[4])
            return false;
        z->changes[i] = (change){ big_endian(times + i * time_size, (unsigned)time_size),
                                  (int32_t)big_endian(types + kind * 6u, 4) };
    }
    z->count = c[3];
    return true;
}

/* The second part of a file has 64-bit times; version 1 has no second part. */
static bool read_zone(arena *a, str text, time_zone *z)
{
    uint32_t c[6];
    if (!read_header(text, 0, c))
        return false;
    if (text.ptr[4] < '2')
        return read_changes(a, text, HEADER, 4, c, z);
    size_t second = HEADER + body_size(c, 4);
    return read_header(text, second, c) && read_changes(a, text, second + HEADER, 8, c, z);
}

static bool is_zone_name(str name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "/_+-";
    for (size_t i = 0; i < name.len; i++)
        if (!name.ptr[i] || !strchr(allowed, name.ptr[i]))
            return false;
    return name.len > 0 && name.len < 100 && name.ptr[0] != '/';
}

status time_zone_load(arena *a, str name, const time_zone **ret, error *err)
{
    *ret = NULL;
    if (str_is(name, "UTC") || name.len == 0)
        return STATUS_OK;
    buf text;
    time_zone *z = ARENA_NEW(a, time_zone);
    const char *folder = getenv("ZONEINFO");
    str path = str_is(name, "Local")
                   ? STR("/etc/localtime")
                   : arena_fmt(a, "%s/%.*s", folder ? folder : "/usr/share/zoneinfo",
                               STR_ARG(str_slice(name, 0, 100)));
    if (!z || !path.ptr)
        return fail(err, STATUS_LIMIT, "no memory for a time zone");
    buf_init(&text, ZONE_BYTES_MAX);
    bool good = is_zone_name(name) && file_read(path.ptr, &text, NULL) == STATUS_OK &&
                read_zone(a, buf_view(&text), z);
    buf_done(&text);
    if (!good)
        return fail(err, STATUS_NOT_FOUND, "unknown time zone %.*s (tzdata has the files)",
                    STR_ARG(str_slice(name, 0, 80)));
    *ret = z;
    return STATUS_OK;
}

/* 400 years are a whole number of weeks; 28 years are one within a century. */
#define CYCLE_S (INT64_C(28) * 1461 / 4 * 86400)

int32_t time_zone_offset_s(const time_zone *z, int64_t unix_s)
{
    if (!z)
        return 0;
    if (z->count > 2 && unix_s > z->changes[z->count - 1].from_s &&
        z->changes[z->count - 1].from_s - z->changes[z->count - 2].from_s < 300 * 86400) {
        int64_t beyond = unix_s - z->changes[z->count - 1].from_s;
        unix_s -= (beyond + CYCLE_S - 1) / CYCLE_S * CYCLE_S;
    }
    uint32_t low = 0, high = z->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (z->changes[middle].from_s <= unix_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? z->changes[low - 1].offset_s : z->first_s;
}
