// SPDX-License-Identifier: Apache-2.0
/* Time; see clock.h. Civil dates by Howard Hinnant's days_from_civil algorithm. */
#include "base/clock.h"

#include <time.h>

int64_t clock_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

static void put_digits(char *at, unsigned width, uint64_t v)
{
    while (width--) {
        at[width] = (char)('0' + v % 10);
        v /= 10;
    }
}

void clock_format_rfc3339(buf *out, int64_t time_ns, int fraction_digits)
{
    int64_t s = time_ns / NS_PER_S, ns = time_ns % NS_PER_S;
    if (ns < 0) {
        s--;
        ns += NS_PER_S;
    }
    int64_t days = s / 86400, left = s % 86400, year;
    if (left < 0) {
        days--;
        left += 86400;
    }
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    char text[32] = "0000-00-00T00:00:00";
    put_digits(text, 4, (uint64_t)year);
    put_digits(text + 5, 2, month);
    put_digits(text + 8, 2, day);
    put_digits(text + 11, 2, (uint64_t)left / 3600);
    put_digits(text + 14, 2, (uint64_t)left / 60 % 60);
    put_digits(text + 17, 2, (uint64_t)left % 60);
    size_t n = 19;
    if (fraction_digits > 0) {
        char fraction[9];
        put_digits(fraction, 9, (uint64_t)ns);
        text[n++] = '.';
        memcpy(text + n, fraction, (size_t)MIN(fraction_digits, 9));
        n += (size_t)MIN(fraction_digits, 9);
    }
    text[n++] = 'Z';
    buf_add(out, text, n);
}

static bool digits(str s, size_t from, size_t n, unsigned max, unsigned *ret)
{
    unsigned v = 0;
    if (s.len < from + n)
        return false;
    for (size_t i = from; i < from + n; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s.ptr[i] - '0');
    }
    *ret = v;
    return v <= max;
}

/* "Z", "+02:00" or "-02:00"; seconds east of UTC. */
static bool parse_offset(str s, int64_t *ret)
{
    unsigned hours, minutes;
    if (s.len == 1 && (s.ptr[0] == 'Z' || s.ptr[0] == 'z')) {
        *ret = 0;
        return true;
    }
    if (s.len != 6 || (s.ptr[0] != '+' && s.ptr[0] != '-') || s.ptr[3] != ':' ||
        !digits(s, 1, 2, 23, &hours) || !digits(s, 4, 2, 59, &minutes))
        return false;
    *ret = (int64_t)(hours * 3600 + minutes * 60) * (s.ptr[0] == '-' ? -1 : 1);
    return true;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool clock_parse_rfc3339(str s, int64_t *ret_ns)
{
    unsigned year, month, day, hour, minute, second;
    if (s.len < 20 || !digits(s, 0, 4, 9999, &year) || s.ptr[4] != '-' ||
        !digits(s, 5, 2, 12, &month) || month == 0 || s.ptr[7] != '-' ||
        !digits(s, 8, 2, 31, &day) || day == 0 || day > days_in_month(year, month) ||
        (s.ptr[10] != 'T' && s.ptr[10] != 't' && s.ptr[10] != ' ') ||
        !digits(s, 11, 2, 23, &hour) || s.ptr[13] != ':' || !digits(s, 14, 2, 59, &minute) ||
        s.ptr[16] != ':' || !digits(s, 17, 2, 60, &second))
        return false;
    size_t at = 19;
    int64_t ns = 0;
    if (s.ptr[at] == '.') {
        int64_t scale = NS_PER_S;
        size_t from = ++at;
        for (; at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9'; at++) {
            scale /= 10;
            ns += (s.ptr[at] - '0') * scale;
        }
        if (at == from || at - from > 9)
            return false;
    }
    int64_t offset, seconds, total;
    if (!parse_offset(str_slice(s, at, s.len), &offset))
        return false;
    seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    if (__builtin_mul_overflow(seconds - offset, NS_PER_S, &total) ||
        __builtin_add_overflow(total, ns, &total))
        return false;
    *ret_ns = total;
    return true;
}

static const struct {
    str name;
    int64_t ns;
} units[] = {
    { STR_INIT("y"), 365 * 86400 * NS_PER_S },
    { STR_INIT("w"), 7 * 86400 * NS_PER_S },
    { STR_INIT("d"), 86400 * NS_PER_S },
    { STR_INIT("h"), 3600 * NS_PER_S },
    { STR_INIT("m"), 60 * NS_PER_S },
    { STR_INIT("s"), NS_PER_S },
    { STR_INIT("ms"), NS_PER_MS },
    { STR_INIT("us"), NS_PER_US },
    { STR_INIT("ns"), 1 },
};

bool clock_parse_duration(str s, int64_t *ret_ns)
{
    double total = 0;
    size_t unit = 0;
    if (s.len == 0)
        return false;
    if (str_is(s, "0")) {
        *ret_ns = 0;
        return true;
    }
    while (s.len) {
        size_t n = 0, letters;
        double number;
        while (n < s.len && ((s.ptr[n] >= '0' && s.ptr[n] <= '9') || s.ptr[n] == '.'))
            n++;
        letters = n;
        while (letters < s.len && s.ptr[letters] >= 'a' && s.ptr[letters] <= 'z')
            letters++;
        str name = str_slice(s, n, letters);
        if (!str_to_f64(str_slice(s, 0, n), &number))
            return false;
        while (unit < ARRAY_LEN(units) && !str_eq(units[unit].name, name))
            unit++;
        if (unit == ARRAY_LEN(units))
            return false;
        total += number * (double)units[unit++].ns;
        s = str_slice(s, letters, s.len);
    }
    if (total >= 0x1p63)
        return false;
    *ret_ns = (int64_t)total;
    return true;
}

void clock_format_duration(buf *out, int64_t ns)
{
    if (ns < 0) {
        buf_char(out, '-');
        ns = ns == INT64_MIN ? INT64_MAX : -ns;
    }
    if (ns < NS_PER_US) {
        buf_fmt(out, "%lldns", (long long)ns);
    } else if (ns < NS_PER_MS) {
        buf_fmt(out, "%.3gus", (double)ns / 1e3);
    } else if (ns < NS_PER_S) {
        buf_fmt(out, "%.*fms",
                ns < 10 * NS_PER_MS    ? 2
                : ns < 100 * NS_PER_MS ? 1
                                       : 0,
                (double)ns / 1e6);
    } else if (ns < 60 * NS_PER_S) {
        buf_fmt(out, "%.2fs", (double)ns / 1e9);
    } else if (ns < 3600 * NS_PER_S) {
        buf_fmt(out, "%lldm%llds", (long long)(ns / (60 * NS_PER_S)),
                (long long)(ns / NS_PER_S % 60));
    } else {
        buf_fmt(out, "%lldh%lldm", (long long)(ns / (3600 * NS_PER_S)),
                (long long)(ns / (60 * NS_PER_S) % 60));
    }
}
