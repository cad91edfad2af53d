// SPDX-License-Identifier: Apache-2.0
/* Times of templates: Go's layouts, durations as Go writes them, zones out of the system's time
 * zone files (TZif, RFC 8536). */
#include "rules/template_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ZONE_FOLDER "/usr/share/zoneinfo/"
#define ZONE_LIMIT  KiB(256)

static const char *const months[] = { "January",   "February", "March",    "April",
                                      "May",       "June",     "July",     "August",
                                      "September", "October",  "November", "December" };
static const char *const days[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                    "Thursday", "Friday", "Saturday" };

/* ---- layouts ---- */

typedef enum {
    LAYOUT_MONTH_NAME,
    LAYOUT_MONTH_SHORT,
    LAYOUT_NUMBER, /* a member of struct tm, by the format */
    LAYOUT_DAY_NAME,
    LAYOUT_DAY_SHORT,
    LAYOUT_HALF,
    LAYOUT_ZONE_NAME,
    LAYOUT_OFFSET
} layout_kind;

typedef enum {
    NUMBER_MONTH,
    NUMBER_DAY,
    NUMBER_YEAR_DAY,
    NUMBER_HOUR,
    NUMBER_HOUR12,
    NUMBER_MINUTE,
    NUMBER_SECOND,
    NUMBER_YEAR,
    NUMBER_YEAR2
} layout_number;

/* Longer ones stand before those that they begin with. */
static const struct {
    str text;
    layout_kind kind;
    layout_number number;
    int width; /* zero-filled; negative: filled with spaces */
} layouts[] = {
    { STR_INIT("January"), LAYOUT_MONTH_NAME, 0, 0 },
    { STR_INIT("Jan"), LAYOUT_MONTH_SHORT, 0, 0 },
    { STR_INIT("Monday"), LAYOUT_DAY_NAME, 0, 0 },
    { STR_INIT("Mon"), LAYOUT_DAY_SHORT, 0, 0 },
    { STR_INIT("MST"), LAYOUT_ZONE_NAME, 0, 0 },
    { STR_INIT("2006"), LAYOUT_NUMBER, NUMBER_YEAR, 4 },
    { STR_INIT("002"), LAYOUT_NUMBER, NUMBER_YEAR_DAY, 3 },
    { STR_INIT("01"), LAYOUT_NUMBER, NUMBER_MONTH, 2 },
    { STR_INIT("02"), LAYOUT_NUMBER, NUMBER_DAY, 2 },
    { STR_INIT("03"), LAYOUT_NUMBER, NUMBER_HOUR12, 2 },
    { STR_INIT("04"), LAYOUT_NUMBER, NUMBER_MINUTE, 2 },
    { STR_INIT("05"), LAYOUT_NUMBER, NUMBER_SECOND, 2 },
    { STR_INIT("06"), LAYOUT_NUMBER, NUMBER_YEAR2, 2 },
    { STR_INIT("15"), LAYOUT_NUMBER, NUMBER_HOUR, 2 },
    { STR_INIT("__2"), LAYOUT_NUMBER, NUMBER_YEAR_DAY, -3 },
    { STR_INIT("_2"), LAYOUT_NUMBER, NUMBER_DAY, -2 },
    { STR_INIT("1"), LAYOUT_NUMBER, NUMBER_MONTH, 0 },
    { STR_INIT("2"), LAYOUT_NUMBER, NUMBER_DAY, 0 },
    { STR_INIT("3"), LAYOUT_NUMBER, NUMBER_HOUR12, 0 },
    { STR_INIT("4"), LAYOUT_NUMBER, NUMBER_MINUTE, 0 },
    { STR_INIT("5"), LAYOUT_NUMBER, NUMBER_SECOND, 0 },
    { STR_INIT("PM"), LAYOUT_HALF, 0, 0 },
    { STR_INIT("pm"), LAYOUT_HALF, 1, 0 },
    { STR_INIT("Z07:00:00"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("Z070000"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("Z07:00"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("Z0700"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("Z07"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("-07:00:00"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("-070000"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("-07:00"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("-0700"), LAYOUT_OFFSET, 0, 0 },
    { STR_INIT("-07"), LAYOUT_OFFSET, 0, 0 },
};

static int64_t floor_seconds(int64_t ns)
{
    return ns / NS_PER_S - (ns % NS_PER_S < 0);
}

void template_civil_time(const template_value *t, struct tm *ret)
{
    time_t seconds = (time_t)(floor_seconds(t->time.ns) + t->time.offset_s);
    memset(ret, 0, sizeof(*ret));
    gmtime_r(&seconds, ret);
}

static int number_of(const struct tm *tm, layout_number which)
{
    switch (which) {
    case NUMBER_MONTH:
        return tm->tm_mon + 1;
    case NUMBER_DAY:
        return tm->tm_mday;
    case NUMBER_YEAR_DAY:
        return tm->tm_yday + 1;
    case NUMBER_HOUR:
        return tm->tm_hour;
    case NUMBER_HOUR12:
        return tm->tm_hour % 12 ? tm->tm_hour % 12 : 12;
    case NUMBER_MINUTE:
        return tm->tm_min;
    case NUMBER_SECOND:
        return tm->tm_sec;
    case NUMBER_YEAR:
        return tm->tm_year + 1900;
    default:
        return (tm->tm_year + 1900) % 100;
    }
}

static void put_offset(buf *out, int32_t offset, str layout)
{
    if (layout.ptr[0] == 'Z' && offset == 0) {
        buf_char(out, 'Z');
        return;
    }
    int32_t s = abs(offset);
    const char *colon = str_find_char(layout, ':') == SIZE_MAX ? "" : ":";
    buf_fmt(out, "%c%02d", offset < 0 ? '-' : '+', s / 3600);
    if (layout.len > 3)
        buf_fmt(out, "%s%02d", colon, s / 60 % 60);
    if (layout.len > 6)
        buf_fmt(out, "%s%02d", colon, s % 60);
}

static str zone_name(const template_value *t, char *numeric, size_t size)
{
    if (t->time.zone[0])
        return str_c(t->time.zone);
    if (!t->time.offset_s)
        return STR("UTC");
    int32_t s = abs(t->time.offset_s);
    int n = snprintf(numeric, size, "%c%02d", t->time.offset_s < 0 ? '-' : '+', s / 3600);
    if (s / 60 % 60)
        n += snprintf(numeric + n, size - (size_t)n, "%02d", s / 60 % 60);
    return str_n(numeric, (size_t)n);
}

static void put_layout(buf *out, const template_value *t, const struct tm *tm, size_t k)
{
    char numeric[16];
    switch (layouts[k].kind) {
    case LAYOUT_MONTH_NAME:
        buf_str(out, str_c(months[tm->tm_mon]));
        break;
    case LAYOUT_MONTH_SHORT:
        buf_add(out, months[tm->tm_mon], 3);
        break;
    case LAYOUT_DAY_NAME:
        buf_str(out, str_c(days[tm->tm_wday]));
        break;
    case LAYOUT_DAY_SHORT:
        buf_add(out, days[tm->tm_wday], 3);
        break;
    case LAYOUT_NUMBER:
        if (layouts[k].width < 0)
            buf_fmt(out, "%*d", -layouts[k].width, number_of(tm, layouts[k].number));
        else
            buf_fmt(out, "%0*d", layouts[k].width, number_of(tm, layouts[k].number));
        break;
    case LAYOUT_HALF:
        buf_fmt(out, "%s",
                tm->tm_hour >= 12   ? layouts[k].number ? "pm" : "PM"
                : layouts[k].number ? "am"
                                    : "AM");
        break;
    case LAYOUT_ZONE_NAME:
        buf_str(out, zone_name(t, numeric, sizeof(numeric)));
        break;
    case LAYOUT_OFFSET:
        put_offset(out, t->time.offset_s, layouts[k].text);
        break;
    }
}

static bool is_lower(str s, size_t at)
{
    return at < s.len && s.ptr[at] >= 'a' && s.ptr[at] <= 'z';
}

static bool is_digit(str s, size_t at)
{
    return at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9';
}

/* The row that the layout has at `at`; ARRAY_LEN(layouts) when plain text stands there. */
static size_t layout_at(str layout, size_t at)
{
    str rest = str_slice(layout, at, layout.len);
    size_t k = 0;
    if (str_starts(rest, STR("_2006")))
        return ARRAY_LEN(layouts);
    for (; k < ARRAY_LEN(layouts); k++) {
        if (!str_starts(rest, layouts[k].text))
            continue;
        bool word = layouts[k].text.len == 3 &&
                    (layouts[k].kind == LAYOUT_MONTH_SHORT || layouts[k].kind == LAYOUT_DAY_SHORT);
        if (!word || !is_lower(rest, 3))
            break;
    }
    return k;
}

/* ".000" keeps the zeros at the end, ".999" does not; the bytes taken, 0: no fraction. */
static size_t put_fraction(buf *out, str layout, size_t at, int64_t ns)
{
    char mark = layout.ptr[at], digit = at + 1 < layout.len ? layout.ptr[at + 1] : '\0';
    if ((mark != '.' && mark != ',') || (digit != '0' && digit != '9'))
        return 0;
    size_t n = 0;
    while (at + 1 + n < layout.len && layout.ptr[at + 1 + n] == digit)
        n++;
    if (is_digit(layout, at + 1 + n))
        return 0;
    char text[16];
    snprintf(text, sizeof(text), "%09d", (int)(ns - floor_seconds(ns) * NS_PER_S));
    size_t keep = MIN(n, (size_t)9);
    while (digit == '9' && keep && text[keep - 1] == '0')
        keep--;
    if (keep || digit == '0') {
        buf_char(out, mark);
        buf_add(out, text, keep);
    }
    return n + 1;
}

void template_format_time(buf *out, const template_value *t, str layout)
{
    struct tm tm;
    template_civil_time(t, &tm);
    for (size_t i = 0; i < layout.len;) {
        size_t k = layout_at(layout, i);
        if (k < ARRAY_LEN(layouts)) {
            put_layout(out, t, &tm, k);
            i += layouts[k].text.len;
            continue;
        }
        size_t taken = put_fraction(out, layout, i, t->time.ns);
        if (!taken)
            buf_char(out, layout.ptr[i]);
        i += taken ? taken : 1;
    }
}

void template_print_time(buf *out, const template_value *t)
{
    template_format_time(out, t, STR("2006-01-02 15:04:05.999999999 -0700 MST"));
}

/* ---- durations ---- */

/* "1.5" of 1500 thousandths; no zeros at the end. */
static void put_scaled(buf *out, uint64_t v, uint64_t scale)
{
    buf_u64(out, v / scale);
    uint64_t rest = v % scale;
    if (!rest)
        return;
    buf_char(out, '.');
    for (scale /= 10; rest; scale /= 10) {
        buf_char(out, (char)('0' + rest / scale));
        rest %= scale;
    }
}

void template_print_duration(buf *out, int64_t ns)
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (ns < 0)
        buf_char(out, '-');
    if (!v) {
        buf_lit(out, "0s");
    } else if (v < 1000) {
        buf_fmt(out, "%uns", (unsigned)v);
    } else if (v < 1000000) {
        put_scaled(out, v, 1000);
        buf_lit(out, "µs");
    } else if (v < (uint64_t)NS_PER_S) {
        put_scaled(out, v, 1000000);
        buf_lit(out, "ms");
    } else {
        uint64_t minutes = v / (60 * (uint64_t)NS_PER_S);
        if (minutes >= 60)
            buf_fmt(out, "%lluh", (unsigned long long)(minutes / 60));
        if (minutes)
            buf_fmt(out, "%llum", (unsigned long long)(minutes % 60));
        put_scaled(out, v % (60 * (uint64_t)NS_PER_S), (uint64_t)NS_PER_S);
        buf_char(out, 's');
    }
}

/* ---- zones ---- */

typedef struct {
    const uint8_t *at;
    size_t left;
} zone_reader;

static int64_t read_number(zone_reader *r, size_t size)
{
    if (r->left < size) {
        r->left = 0;
        return 0;
    }
    uint64_t v = r->at[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | r->at[i];
    r->at += size;
    r->left -= size;
    return (int64_t)v;
}

typedef struct {
    size_t utc, standard, leap, times, types, letters;
    bool good;
} zone_header;

static zone_header read_header(zone_reader *r)
{
    zone_header h = { 0 };
    if (r->left < 44 || memcmp(r->at, "TZif", 4) != 0)
        return h;
    r->at += 20;
    r->left -= 20;
    size_t *const counts[] = { &h.utc, &h.standard, &h.leap, &h.times, &h.types, &h.letters };
    h.good = true;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        *counts[i] = (size_t)read_number(r, 4);
        h.good = h.good && *counts[i] <= ZONE_LIMIT;
    }
    return h;
}

static size_t body_size(const zone_header *h, size_t word)
{
    return h->times * (word + 1) + h->types * 6 + h->letters + h->leap * (word + 4) + h->standard +
           h->utc;
}

/* The file's second half has 64-bit times; files of version 1 have none and are refused. */
static bool zone_at(zone_reader r, template_value *t)
{
    zone_header h = read_header(&r);
    if (!h.good || body_size(&h, 4) > r.left)
        return false;
    r.at += body_size(&h, 4);
    r.left -= body_size(&h, 4);
    h = read_header(&r);
    if (!h.good || body_size(&h, 8) > r.left || !h.types)
        return false;
    int64_t now = floor_seconds(t->time.ns);
    size_t passed = 0;
    for (size_t i = 0; i < h.times; i++)
        if (read_number(&r, 8) <= now)
            passed = i + 1;
    size_t type = passed ? r.at[passed - 1] : 0;
    if (type >= h.types)
        return false;
    zone_reader info = { r.at + h.times + type * 6, 6 };
    t->time.offset_s = (int32_t)read_number(&info, 4);
    size_t name = info.at[1];
    const char *letters = (const char *)r.at + h.times + h.types * 6;
    size_t n = 0;
    for (; name < h.letters && letters[name] && n + 1 < sizeof(t->time.zone); name++)
        t->time.zone[n++] = letters[name];
    t->time.zone[n] = '\0';
    return true;
}

static bool good_zone_name(str name)
{
    if (!name.len || name.len > 100 || name.ptr[0] == '/' || str_contains(name, STR("..")))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i], low = (char)(c | 0x20);
        if (!((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') ||
              str_find_char(STR("/_+-"), c) != SIZE_MAX))
            return false;
    }
    return true;
}

bool template_set_zone(template_value *t, str name)
{
    if (!name.len || str_is(name, "UTC")) {
        t->time.offset_s = 0;
        t->time.zone[0] = '\0';
        return true;
    }
    if (!good_zone_name(name))
        return false;
    char path[160];
    snprintf(path, sizeof(path), ZONE_FOLDER "%.*s", STR_ARG(name));
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = file ? malloc(ZONE_LIMIT) : NULL;
    size_t n = bytes ? fread(bytes, 1, ZONE_LIMIT, file) : 0;
    if (file)
        fclose(file);
    bool ok = n && zone_at((zone_reader){ bytes, n }, t);
    free(bytes);
    return ok;
}
