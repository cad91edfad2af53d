// SPDX-License-Identifier: Apache-2.0
/* Durations and sizes as configuration files write them; see option_read.h. */
#include "settings/option_read.h"

#include "base/clock.h"

typedef struct {
    const char *name;
    double factor;
} unit;

/* The longest number at the beginning; false when there is none. */
static bool cut_number(str s, double *ret, str *rest)
{
    size_t n = 0;
    while (n < s.len && ((s.ptr[n] >= '0' && s.ptr[n] <= '9') || s.ptr[n] == '.'))
        n++;
    *rest = str_slice(s, n, s.len);
    return n > 0 && str_to_f64(str_slice(s, 0, n), ret);
}

/* Letters up to the next digit. */
static const unit *cut_unit(const unit *units, size_t count, str s, str *rest)
{
    size_t n = 0;
    while (n < s.len && !(s.ptr[n] >= '0' && s.ptr[n] <= '9') && s.ptr[n] != '.')
        n++;
    *rest = str_slice(s, n, s.len);
    for (size_t i = 0; i < count; i++)
        if (str_eq_nocase(str_slice(s, 0, n), str_c(units[i].name)))
            return &units[i];
    return NULL;
}

bool option_parse_duration(str s, int64_t *ret_ns)
{
    static const unit units[] = { { "ns", 1 },           { "us", 1e3 },    { "µs", 1e3 },
                                  { "ms", 1e6 },         { "s", 1e9 },     { "m", 60e9 },
                                  { "h", 3600e9 },       { "d", 86400e9 }, { "w", 604800e9 },
                                  { "y", 365 * 86400e9 } };
    double total = 0, number;
    bool negative = str_starts(s, STR("-"));
    if (negative || str_starts(s, STR("+")))
        s = str_slice(s, 1, s.len);
    if (str_is(s, "0")) {
        *ret_ns = 0;
        return true;
    }
    if (s.len == 0)
        return false;
    while (s.len) {
        if (!cut_number(s, &number, &s))
            return false;
        const unit *u = cut_unit(units, ARRAY_LEN(units), s, &s);
        if (!u)
            return false;
        total += number * u->factor;
    }
    if (!(total < 9e18))
        return false;
    *ret_ns = (int64_t)(negative ? -total : total);
    return true;
}

bool option_parse_size(str s, int64_t *ret)
{
    static const unit units[] = { { "b", 1 },
                                  { "k", 1e3 },
                                  { "kb", 1e3 },
                                  { "kib", 1024.0 },
                                  { "ki", 1024.0 },
                                  { "m", 1e6 },
                                  { "mb", 1e6 },
                                  { "mib", 1048576.0 },
                                  { "mi", 1048576.0 },
                                  { "g", 1e9 },
                                  { "gb", 1e9 },
                                  { "gib", 1073741824.0 },
                                  { "gi", 1073741824.0 },
                                  { "t", 1e12 },
                                  { "tb", 1e12 },
                                  { "tib", 1099511627776.0 } };
    double number;
    str rest;
    if (!cut_number(str_trim(s), &number, &rest))
        return false;
    const unit *u = cut_unit(units, ARRAY_LEN(units), str_trim(rest), &rest);
    if (!u || rest.len || !(number * u->factor < 9e18))
        return false;
    *ret = (int64_t)(number * u->factor);
    return true;
}
