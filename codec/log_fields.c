// SPDX-License-Identifier: Apache-2.0
/* Fields of foreign logs; see log_fields.h. */
#include "codec/log_fields.h"

#include "base/clock.h"

#include <math.h>

typedef struct {
    const char *name;
    uint8_t number; /* OpenTelemetry's SeverityNumber */
} level_row;

/* The syslog names as the specification's appendix B maps them. */
static const level_row levels[] = {
    { "trace", 1 },     { "verbose", 1 },     { "finest", 1 },  { "debug", 5 },
    { "dbug", 5 },      { "fine", 5 },        { "info", 9 },    { "inf", 9 },
    { "i", 9 },         { "information", 9 }, { "notice", 10 }, { "informational", 9 },
    { "warn", 13 },     { "warning", 13 },    { "w", 13 },      { "error", 17 },
    { "err", 17 },      { "e", 17 },          { "severe", 17 }, { "crit", 18 },
    { "critical", 18 }, { "dpanic", 18 },     { "alert", 19 },  { "fatal", 21 },
    { "emerg", 21 },    { "emergency", 21 },  { "panic", 21 },  { "d", 5 },
    { "t", 1 },         { "f", 21 },
};

uint8_t severity_parse(str text)
{
    text = str_trim(text);
    uint8_t more = 0;
    if (text.len > 4 && text.ptr[text.len - 1] >= '2' && text.ptr[text.len - 1] <= '4') {
        more = (uint8_t)(text.ptr[text.len - 1] - '1'); /* "ERROR2" */
        text.len--;
    }
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (str_eq_nocase(text, str_c(levels[i].name)))
            return (uint8_t)(levels[i].number + more);
    return 0;
}

uint8_t severity_of_value(const value *v)
{
    if (v->type == VALUE_STR)
        return severity_parse(v->s);
    if (v->type != VALUE_I64 || v->i64 < 10 || v->i64 > 60 || v->i64 % 10)
        return 0;
    return (uint8_t)((v->i64 / 10 - 1) * 4 + 1);
}

bool trace_id_parse(str text, trace_id *ret)
{
    char digits[32];
    size_t n = 0;
    trace_id id = { 0 };
    for (size_t i = 0; i < text.len; i++) {
        if (text.len == 36 && text.ptr[i] == '-')
            continue;
        if (n == sizeof(digits))
            return false;
        digits[n++] = text.ptr[i];
    }
    bool whole = n == 32 && str_from_hex(str_n(digits, n), id.bytes, 16);
    bool half = n == 16 && text.len == 16 && str_from_hex(str_n(digits, n), id.bytes + 8, 8);
    if ((!whole && !half) || !trace_id_is_set(id))
        return false;
    *ret = id;
    return true;
}

bool span_id_parse(str text, span_id *ret)
{
    span_id id;
    if (text.len != 16 || !str_from_hex(text, id.bytes, 8) || !span_id_is_set(id))
        return false;
    *ret = id;
    return true;
}

/* ---- times ---- */

static bool scale_epoch(double v, int64_t *ret_ns)
{
    static const double steps[][2] = { { 1e11, 1e9 }, { 1e14, 1e6 }, { 1e17, 1e3 }, { 9e18, 1 } };
    if (!(v > 0))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (v >= steps[i][0])
            continue;
        double whole = floor(v), rest = (v - whole) * steps[i][1];
        *ret_ns = (int64_t)whole * (int64_t)steps[i][1] + (int64_t)rest;
        return true;
    }
    return false;
}

static bool scale_epoch_int(int64_t v, int64_t *ret_ns)
{
    static const int64_t steps[][2] = { { 100000000000, NS_PER_S },
                                        { 100000000000000, NS_PER_MS },
                                        { 100000000000000000, NS_PER_US },
                                        { INT64_MAX, 1 } };
    if (v <= 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (v < steps[i][0])
            return !__builtin_mul_overflow(v, steps[i][1], ret_ns);
    }
    return false;
}

bool log_time_parse(str text, int64_t *ret_ns)
{
    int64_t whole;
    double number;
    char copy[48];
    text = str_trim(text);
    if (clock_parse_rfc3339(text, ret_ns))
        return true;
    if (str_to_i64(text, &whole))
        return scale_epoch_int(whole, ret_ns);
    if (text.len >= 19 && text.len < sizeof(copy) - 1 && text.ptr[4] == '-') {
        size_t n = text.len;
        memcpy(copy, text.ptr, n);
        if (copy[10] == ' ')
            copy[10] = 'T';
        if (n > 19 && copy[19] == ',') /* log4j, Python's logging */
            copy[19] = '.';
        if (clock_parse_rfc3339(str_n(copy, n), ret_ns))
            return true;
        copy[n] = 'Z';
        return clock_parse_rfc3339(str_n(copy, n + 1), ret_ns);
    }
    return str_to_f64(text, &number) && scale_epoch(number, ret_ns);
}

bool log_time_of_value(const value *v, int64_t *ret_ns)
{
    switch (v->type) {
    case VALUE_STR:
        return log_time_parse(v->s, ret_ns);
    case VALUE_I64:
        return scale_epoch_int(v->i64, ret_ns);
    case VALUE_F64:
        return scale_epoch(v->f64, ret_ns);
    default:
        return false;
    }
}

/* ---- known fields ---- */

typedef enum { FIELD_TRACE, FIELD_SPAN, FIELD_LEVEL } known_field;

static const struct {
    const char *name;
    known_field what;
} known_fields[] = {
    { "trace_id", FIELD_TRACE },      { "trace.id", FIELD_TRACE },
    { "traceid", FIELD_TRACE },       { "span_id", FIELD_SPAN },
    { "span.id", FIELD_SPAN },        { "spanid", FIELD_SPAN },
    { "level", FIELD_LEVEL },         { "log.level", FIELD_LEVEL },
    { "severity", FIELD_LEVEL },      { "detected_level", FIELD_LEVEL },
    { "severity_text", FIELD_LEVEL }, { "log_level", FIELD_LEVEL },
    { "levelname", FIELD_LEVEL },     { "lvl", FIELD_LEVEL },
};

bool log_set_known_field(batch *b, uint32_t row, str name, const value *v)
{
    log_rows *l = &b->logs;
    for (size_t i = 0; i < ARRAY_LEN(known_fields); i++) {
        if (!str_eq_nocase(name, str_c(known_fields[i].name)))
            continue;
        uint8_t severity;
        switch (known_fields[i].what) {
        case FIELD_TRACE:
            return v->type == VALUE_STR && !trace_id_is_set(l->trace[row]) &&
                   trace_id_parse(v->s, &l->trace[row]);
        case FIELD_SPAN:
            return v->type == VALUE_STR && !span_id_is_set(l->span[row]) &&
                   span_id_parse(v->s, &l->span[row]);
        default:
            severity = severity_of_value(v);
            if (!severity || l->severity[row])
                return false;
            l->severity[row] = severity;
            if (v->type == VALUE_STR)
                l->severity_text[row] = v->s;
            return true;
        }
    }
    return false;
}
