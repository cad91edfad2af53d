// SPDX-License-Identifier: Apache-2.0
/* Times in log lines by a layout: strptime's letters as the Collector has them, Go's reference
 * time, or numbers since 1970. Both kinds of layout become the same tokens: Y y  year of 4 or 2
 * digits    m month, b its name    d day     H I hour of 24 or 12   p AM, PM M minute   S second f
 * fraction (any digits)   z offset (Z, +hh, +hhmm, +hh:mm)   Z zone's name a name of a weekday
 * (passed over)   ' ' any blanks */
#include "pipeline/receivers/filelog_entry.h"

#include "base/clock.h"

#include <ctype.h>
#include <math.h>
#include <time.h>

const char *const filelog_layout_types[] = { "strptime", "gotime", "epoch", NULL };

/* ---- layouts ---- */

static status add_token(filelog_layout *l, char kind, str literal, error *err)
{
    if (l->count == LAYOUT_TOKENS)
        return fail(err, STATUS_INVALID, "a layout of more than %d parts", LAYOUT_TOKENS);
    l->tokens[l->count++] = (layout_token){ kind, literal };
    return STATUS_OK;
}

static const struct {
    char letter;
    const char *kinds;
} directives[] = {
    { 'Y', "Y" }, { 'y', "y" }, { 'm', "m" }, { 'q', "m" }, { 'o', "m" }, { 'b', "b" },
    { 'B', "b" }, { 'h', "b" }, { 'd', "d" }, { 'e', "d" }, { 'g', "d" }, { 'H', "H" },
    { 'I', "I" }, { 'l', "I" }, { 'p', "p" }, { 'P', "p" }, { 'M', "M" }, { 'S', "S" },
    { 'L', "f" }, { 'f', "f" }, { 's', "f" }, { 'z', "z" }, { 'i', "z" }, { 'j', "z" },
    { 'k', "z" }, { 'w', "z" }, { 'Z', "Z" }, { 'a', "a" }, { 'A', "a" }, { 'n', " " },
    { 't', " " },
};

static const struct {
    char letter;
    const char *means;
} shorthands[] = { { 'D', "%m/%d/%y" },    { 'x', "%m/%d/%y" },
                   { 'F', "%Y-%m-%d" },    { 'T', "%H:%M:%S" },
                   { 'X', "%H:%M:%S" },    { 'R', "%H:%M" },
                   { 'r', "%I:%M:%S %p" }, { 'c', "%a %b %d %H:%M:%S %Y" } };

static status parse_strptime(filelog_layout *l, str layout, error *err)
{
    status st = STATUS_OK;
    for (size_t i = 0; i < layout.len && st == STATUS_OK; i++) {
        char c = layout.ptr[i];
        if (c != '%') {
            st =
                add_token(l, isspace((unsigned char)c) ? ' ' : 0, str_slice(layout, i, i + 1), err);
            continue;
        }
        c = ++i < layout.len ? layout.ptr[i] : 0;
        bool known = c == '%';
        if (known)
            st = add_token(l, 0, str_slice(layout, i, i + 1), err);
        for (size_t k = 0; k < ARRAY_LEN(directives) && !known; k++)
            if (directives[k].letter == c && (known = true))
                st = add_token(l, directives[k].kinds[0], STR_EMPTY, err);
        for (size_t k = 0; k < ARRAY_LEN(shorthands) && !known; k++)
            if (shorthands[k].letter == c && (known = true))
                st = parse_strptime(l, str_c(shorthands[k].means), err);
        if (!known)
            return fail(err, STATUS_INVALID, "layout \"%.*s\": %%%c is not known", STR_ARG(layout),
                        c ? c : ' ');
    }
    return st;
}

/* Longer ones first. */
static const struct {
    const char *text;
    char kind;
} go_parts[] = {
    { "January", 'b' }, { "Jan", 'b' },    { "Monday", 'a' }, { "Mon", 'a' }, { "MST", 'Z' },
    { "2006", 'Y' },    { "Z07:00", 'z' }, { "Z0700", 'z' },  { "Z07", 'z' }, { "-07:00", 'z' },
    { "-0700", 'z' },   { "-07", 'z' },    { "01", 'm' },     { "02", 'd' },  { "03", 'I' },
    { "04", 'M' },      { "05", 'S' },     { "06", 'y' },     { "15", 'H' },  { "PM", 'p' },
    { "pm", 'p' },      { "_2", 'd' },     { "1", 'm' },      { "2", 'd' },   { "3", 'I' },
    { "4", 'M' },       { "5", 'S' },
};

/* ".000", ",999999": the mark and its digits. */
static size_t go_fraction(str rest)
{
    size_t n = 1;
    if (rest.len < 2 || (rest.ptr[0] != '.' && rest.ptr[0] != ','))
        return 0;
    while (n < rest.len && rest.ptr[n] == rest.ptr[1] && (rest.ptr[n] == '0' || rest.ptr[n] == '9'))
        n++;
    return n > 1 ? n : 0;
}

static status parse_gotime(filelog_layout *l, str layout, error *err)
{
    status st = STATUS_OK;
    for (size_t i = 0; i < layout.len && st == STATUS_OK;) {
        str rest = str_slice(layout, i, layout.len);
        size_t n = go_fraction(rest), k = 0;
        if (n) {
            st = add_token(l, 'F', STR_EMPTY, err);
            i += n;
            continue;
        }
        while (k < ARRAY_LEN(go_parts) && !str_starts(rest, str_c(go_parts[k].text)))
            k++;
        if (k < ARRAY_LEN(go_parts)) {
            st = add_token(l, go_parts[k].kind, STR_EMPTY, err);
            i += strlen(go_parts[k].text);
        } else {
            st = add_token(l, rest.ptr[0] == ' ' ? ' ' : 0, str_slice(rest, 0, 1), err);
            i++;
        }
    }
    return st;
}

static const struct {
    const char *name;
    double ns;
} epochs[] = { { "s", 1e9 },    { "ms", 1e6 },   { "us", 1e3 },  { "ns", 1 },
               { "s.ms", 1e9 }, { "s.us", 1e9 }, { "s.ns", 1e9 } };

status filelog_layout_parse(filelog_layout *ret, layout_type type, str layout, str location,
                            error *err)
{
    *ret = (filelog_layout){ .type = type };
    ret->local = !location.len || str_eq_nocase(location, STR("local"));
    if (!ret->local && !str_eq_nocase(location, STR("utc")) && !str_is(location, "Etc/UTC"))
        return fail(err, STATUS_UNSUPPORTED,
                    "location \"%.*s\": only UTC and Local are known here; or put the offset into "
                    "the layout",
                    STR_ARG(location));
    if (!layout.len)
        return fail(err, STATUS_INVALID, "a layout is needed, as '%%Y-%%m-%%dT%%H:%%M:%%S.%%L%%z'");
    if (type == LAYOUT_STRPTIME)
        return parse_strptime(ret, layout, err);
    if (type == LAYOUT_GOTIME)
        return parse_gotime(ret, layout, err);
    for (size_t i = 0; i < ARRAY_LEN(epochs); i++)
        if (str_is(layout, epochs[i].name))
            ret->epoch = layout;
    return ret->epoch.len ? STATUS_OK
                          : fail(err, STATUS_INVALID,
                                 "layout \"%.*s\" is none of s, ms, us, ns, s.ms, s.us, s.ns",
                                 STR_ARG(layout));
}

/* ---- parsing a time ---- */

typedef struct {
    const char *at, *end;
    struct tm tm;
    int64_t nanos;
    int offset_s;
    bool has_year, has_offset, pm, am, twelve;
} time_reader;

static bool number(time_reader *r, int max_digits, int low, int high, int *ret)
{
    int v = 0, n = 0;
    while (r->at < r->end && *r->at == ' ' && n == 0)
        r->at++; /* "_2" */
    for (; n < max_digits && r->at < r->end && isdigit((unsigned char)*r->at); n++)
        v = v * 10 + (*r->at++ - '0');
    *ret = v;
    return n > 0 && v >= low && v <= high;
}

static bool fraction(time_reader *r)
{
    int64_t unit = NS_PER_S, v = 0;
    const char *start = r->at;
    for (; r->at < r->end && isdigit((unsigned char)*r->at); r->at++) {
        unit /= 10;
        v += unit * (*r->at - '0');
    }
    r->nanos = v;
    return r->at > start;
}

static bool month_name(time_reader *r)
{
    static const char *const names[] = { "january",   "february", "march",    "april",
                                         "may",       "june",     "july",     "august",
                                         "september", "october",  "november", "december" };
    for (int i = 0; i < 12; i++) {
        str whole = str_c(names[i]), rest = str_n(r->at, (size_t)(r->end - r->at));
        if (!str_eq_nocase(str_slice(rest, 0, 3), str_slice(whole, 0, 3)))
            continue;
        r->tm.tm_mon = i;
        r->at += str_eq_nocase(str_slice(rest, 0, whole.len), whole) ? whole.len : 3;
        return true;
    }
    return false;
}

static bool letters(time_reader *r)
{
    const char *start = r->at;
    while (r->at < r->end && isalpha((unsigned char)*r->at))
        r->at++;
    return r->at > start;
}

static bool zone_name(time_reader *r)
{
    const char *start = r->at;
    if (!letters(r))
        return false;
    str name = str_n(start, (size_t)(r->at - start));
    r->has_offset = str_is(name, "UTC") || str_is(name, "GMT") || str_is(name, "Z");
    return true; /* other names are the machine's own zone */
}

static bool offset(time_reader *r)
{
    int hours, minutes = 0;
    if (r->at < r->end && (*r->at == 'Z' || *r->at == 'z')) {
        r->at++;
        r->has_offset = true;
        return true;
    }
    if (r->at == r->end || (*r->at != '+' && *r->at != '-'))
        return false;
    int sign = *r->at++ == '-' ? -1 : 1;
    if (!number(r, 2, 0, 18, &hours))
        return false;
    if (r->at < r->end && *r->at == ':')
        r->at++;
    if (r->at < r->end && isdigit((unsigned char)*r->at) && !number(r, 2, 0, 59, &minutes))
        return false;
    r->offset_s = sign * (hours * 3600 + minutes * 60);
    r->has_offset = true;
    return true;
}

static bool half_day(time_reader *r)
{
    str word = str_n(r->at, MIN((size_t)(r->end - r->at), (size_t)2));
    r->pm = str_eq_nocase(word, STR("pm"));
    r->am = str_eq_nocase(word, STR("am"));
    r->at += 2 * (r->pm || r->am);
    return r->pm || r->am;
}

static bool take_token(time_reader *r, const layout_token *t)
{
    int year;
    switch (t->kind) {
    case 0:
        return r->at < r->end && *r->at++ == t->literal.ptr[0];
    case ' ':
        while (r->at < r->end && isspace((unsigned char)*r->at))
            r->at++;
        return true;
    case 'Y':
    case 'y':
        if (!number(r, t->kind == 'Y' ? 4 : 2, 0, 9999, &year))
            return false;
        r->tm.tm_year = t->kind == 'Y' ? year - 1900 : year < 69 ? year + 100 : year;
        return r->has_year = true;
    case 'm':
        if (!number(r, 2, 1, 12, &r->tm.tm_mon))
            return false;
        r->tm.tm_mon--;
        return true;
    case 'b':
        return month_name(r);
    case 'd':
        return number(r, 2, 1, 31, &r->tm.tm_mday);
    case 'H':
        return number(r, 2, 0, 23, &r->tm.tm_hour);
    case 'I':
        r->twelve = true;
        return number(r, 2, 1, 12, &r->tm.tm_hour);
    case 'M':
        return number(r, 2, 0, 59, &r->tm.tm_min);
    case 'S':
        return number(r, 2, 0, 60, &r->tm.tm_sec);
    case 'f':
        return fraction(r);
    case 'F': /* Go's: with its mark, and it may be absent */
        if (r->at == r->end || (*r->at != '.' && *r->at != ','))
            return true;
        r->at++;
        return fraction(r);
    case 'p':
        return half_day(r);
    case 'z':
        return offset(r);
    case 'Z':
        return zone_name(r);
    default:
        return letters(r); /* 'a' */
    }
}

static int64_t seconds_of(const filelog_layout *l, time_reader *r)
{
    struct tm tm = r->tm;
    if (r->has_offset)
        return (int64_t)timegm(&tm) - r->offset_s;
    tm.tm_isdst = -1;
    return l->local ? (int64_t)mktime(&tm) : (int64_t)timegm(&tm);
}

static bool parse_text(const filelog_layout *l, str text, int64_t now_ns, int64_t *ret_ns)
{
    time_reader r = { .at = text.ptr, .end = text.ptr + text.len, .tm = { .tm_mday = 1 } };
    for (uint32_t i = 0; i < l->count; i++)
        if (!take_token(&r, &l->tokens[i]))
            return false;
    if (r.at != r.end)
        return false;
    if (r.twelve)
        r.tm.tm_hour = r.tm.tm_hour % 12 + (r.pm ? 12 : 0);
    struct tm now;
    time_t now_s = (time_t)(now_ns / NS_PER_S);
    gmtime_r(&now_s, &now);
    if (!r.has_year)
        r.tm.tm_year = now.tm_year;
    int64_t s = seconds_of(l, &r);
    if (!r.has_year && s > now_ns / NS_PER_S + 7 * 86400) { /* a line of last December */
        r.tm.tm_year--;
        s = seconds_of(l, &r);
    }
    if (s < 0 || s > INT64_MAX / NS_PER_S - 1)
        return false;
    *ret_ns = s * NS_PER_S + r.nanos;
    return true;
}

static bool parse_epoch(const filelog_layout *l, const value *v, int64_t *ret_ns)
{
    double unit = 1, f64 = 0;
    int64_t whole = 0;
    bool is_whole = v->type == VALUE_I64;
    for (size_t i = 0; i < ARRAY_LEN(epochs); i++)
        if (str_is(l->epoch, epochs[i].name))
            unit = epochs[i].ns;
    if (v->type == VALUE_STR) {
        str fraction_text, number_text = str_trim(v->s);
        is_whole = str_to_i64(number_text, &whole);
        str seconds = str_cut(number_text, '.', &fraction_text);
        if (!is_whole && unit == 1e9 && str_to_i64(seconds, &whole) && whole >= 0 &&
            whole < INT64_MAX / NS_PER_S) { /* digits that a double would lose */
            time_reader r = { .at = fraction_text.ptr,
                              .end = fraction_text.ptr + fraction_text.len };
            if (!fraction(&r) || r.at != r.end)
                return false;
            *ret_ns = whole * NS_PER_S + r.nanos;
            return true;
        }
        if (!is_whole && !str_to_f64(number_text, &f64))
            return false;
    } else if (is_whole) {
        whole = v->i64;
    } else if (v->type == VALUE_F64) {
        f64 = v->f64;
    } else {
        return false;
    }
    if (is_whole)
        return whole >= 0 && !__builtin_mul_overflow(whole, (int64_t)unit, ret_ns);
    if (!(f64 >= 0) || f64 * unit > 9e18)
        return false;
    *ret_ns = (int64_t)(f64 * unit);
    return true;
}

bool filelog_time_parse(const filelog_layout *l, const value *v, int64_t now_ns, int64_t *ret_ns)
{
    if (l->type == LAYOUT_EPOCH)
        return parse_epoch(l, v, ret_ns);
    return v->type == VALUE_STR && parse_text(l, v->s, now_ns, ret_ns);
}
