// SPDX-License-Identifier: Apache-2.0
/* Functions of templates that make numbers and times readable. */
#include "rules/template_number.h"

#include <math.h>

status template_to_float(template_call *call, const template_value *v, double *ret)
{
    switch (v->kind) {
    case TEMPLATE_FLOAT:
        *ret = v->number;
        return STATUS_OK;
    case TEMPLATE_INT:
        *ret = (double)v->integer;
        return STATUS_OK;
    case TEMPLATE_DURATION:
        if (v->type)
            break;
        *ret = (double)v->integer / (double)NS_PER_S;
        return STATUS_OK;
    case TEMPLATE_STRING:
        if (v->type)
            break;
        if (str_to_f64(v->text, ret))
            return STATUS_OK;
        return fail(call->err, STATUS_INVALID,
                    "strconv.ParseFloat: parsing \"%.*s\": invalid syntax",
                    (int)MIN(v->text.len, 200), v->text.ptr);
    default:
        break;
    }
    return fail(call->err, STATUS_INVALID, "can't convert %s to float",
                v->kind == TEMPLATE_NIL ? "<nil>" : template_type_name(v));
}

static void put_significant(buf *out, double v)
{
    template_format_float(out, v, 'g', 4);
}

static bool is_plain(double v)
{
    return v == 0 || isnan(v) || isinf(v);
}

typedef struct {
    double base;
    const char *above[8]; /* of base, base², … */
    const char *below[8];
} unit_prefixes;

static const unit_prefixes decimal = { 1000,
                                       { "k", "M", "G", "T", "P", "E", "Z", "Y" },
                                       { "m", "u", "n", "p", "f", "a", "z", "y" } };
static const unit_prefixes binary = { 1024,
                                      { "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi" },
                                      { NULL } };

static void put_prefixed(buf *out, double v, const unit_prefixes *units, const char *unit)
{
    const char *prefix = "";
    if (fabs(v) >= 1) {
        for (size_t i = 0; i < 8 && fabs(v) >= units->base; i++) {
            prefix = units->above[i];
            v /= units->base;
        }
    } else {
        for (size_t i = 0; i < 8 && fabs(v) < 1; i++) {
            prefix = units->below[i];
            v *= units->base;
        }
    }
    put_significant(out, v);
    buf_fmt(out, "%s%s", prefix, unit);
}

static status run_humanize(template_call *call)
{
    double v = 0;
    status st = template_to_float(call, &call->args[0], &v);
    if (st != STATUS_OK)
        return st;
    buf b;
    template_buf(call, &b);
    if (is_plain(v))
        put_significant(&b, v);
    else
        put_prefixed(&b, v, &decimal, "");
    return template_return_buf(call, &b, NULL);
}

static status run_humanize1024(template_call *call)
{
    double v = 0;
    status st = template_to_float(call, &call->args[0], &v);
    if (st != STATUS_OK)
        return st;
    buf b;
    template_buf(call, &b);
    if (is_plain(v) || fabs(v) <= 1)
        put_significant(&b, v);
    else
        put_prefixed(&b, v, &binary, "");
    return template_return_buf(call, &b, NULL);
}

static status run_humanize_percentage(template_call *call)
{
    double v = 0;
    status st = template_to_float(call, &call->args[0], &v);
    if (st != STATUS_OK)
        return st;
    buf b;
    template_buf(call, &b);
    put_significant(&b, v * 100);
    buf_char(&b, '%');
    return template_return_buf(call, &b, NULL);
}

/* Days to seconds as whole numbers, from the largest that is not 0. */
static void put_clock(buf *out, double v)
{
    long long s = v >= 9.2e18 ? INT64_MAX : (long long)v;
    if (s >= 86400)
        buf_fmt(out, "%lldd ", s / 86400);
    if (s >= 3600)
        buf_fmt(out, "%lldh ", s / 3600 % 24);
    if (s >= 60)
        buf_fmt(out, "%lldm %llds", s / 60 % 60, s % 60);
    else
        put_significant(out, v);
    if (s < 60)
        buf_char(out, 's');
}

status template_run_humanize_duration(template_call *call)
{
    double v = 0;
    status st = template_to_float(call, &call->args[0], &v);
    if (st != STATUS_OK)
        return st;
    buf b;
    template_buf(call, &b);
    if (is_plain(v)) {
        put_significant(&b, v);
        if (v == 0)
            buf_char(&b, 's');
    } else if (fabs(v) < 1) {
        put_prefixed(&b, v, &decimal, "s");
    } else {
        if (v < 0)
            buf_char(&b, '-');
        put_clock(&b, fabs(v));
    }
    return template_return_buf(call, &b, NULL);
}

static status to_nanoseconds(template_call *call, double v, int64_t *ret)
{
    if (isnan(v) || isinf(v))
        return fail(call->err, STATUS_INVALID, "value is NaN or Inf");
    if (v * 1e9 < 9223372036854775808.0 && v * 1e9 >= -9223372036854775808.0) {
        *ret = (int64_t)(v * 1e9);
        return STATUS_OK;
    }
    buf text;
    buf_init(&text, 64);
    template_format_float(&text, v, 'g', -1);
    fail(call->err, STATUS_INVALID,
         "%.*s cannot be represented as a nanoseconds timestamp since it overflows int64",
         STR_ARG(buf_view(&text)));
    buf_done(&text);
    return STATUS_INVALID;
}

static status run_humanize_timestamp(template_call *call)
{
    double v = 0;
    int64_t ns = 0;
    status st = template_to_float(call, &call->args[0], &v);
    if (st == STATUS_OK && !isnan(v) && !isinf(v))
        st = to_nanoseconds(call, v, &ns);
    if (st != STATUS_OK)
        return st;
    buf b;
    template_buf(call, &b);
    template_value t = template_time(ns);
    if (isnan(v) || isinf(v))
        put_significant(&b, v);
    else
        template_print_time(&b, &t);
    return template_return_buf(call, &b, NULL);
}

static status run_to_time(template_call *call)
{
    double v = 0;
    int64_t ns = 0;
    status st = template_to_float(call, &call->args[0], &v);
    if (st == STATUS_OK)
        st = to_nanoseconds(call, v, &ns);
    *call->ret = template_time(ns);
    call->ret->type = &template_type_time_pointer;
    return st;
}

static status run_to_duration(template_call *call)
{
    double v = 0;
    status st = template_to_float(call, &call->args[0], &v);
    double ns = v * (double)NS_PER_S;
    int64_t whole =
        ns >= -9223372036854775808.0 && ns < 9223372036854775808.0 ? (int64_t)ns : INT64_MIN;
    *call->ret = (template_value){ .kind = TEMPLATE_DURATION,
                                   .type = &template_type_duration_pointer,
                                   .integer = whole };
    return st;
}

static status run_now(template_call *call)
{
    *call->ret = template_number((double)call->context->now_ms / 1000.0);
    return STATUS_OK;
}

/* The unit in `s` that is none; empty when all are. */
static str unknown_unit(str s)
{
    static const char *const units[] = { "ms", "s", "m", "h", "d", "w", "y" };
    for (size_t i = 0; i < s.len;) {
        size_t from = i;
        while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
            i++;
        if (i == from)
            return STR_EMPTY;
        from = i;
        while (i < s.len && !(s.ptr[i] >= '0' && s.ptr[i] <= '9'))
            i++;
        size_t k = 0;
        while (k < ARRAY_LEN(units) && !str_is(str_slice(s, from, i), units[k]))
            k++;
        if (k == ARRAY_LEN(units))
            return str_slice(s, from, i);
    }
    return STR_EMPTY;
}

static status run_parse_duration(template_call *call)
{
    str s = call->args[0].text;
    bool negative = s.len && s.ptr[0] == '-';
    if (negative)
        s = str_slice(s, 1, s.len);
    int64_t ns = 0;
    str unknown = unknown_unit(s), shown = str_slice(s, 0, 200);
    if (!s.len)
        return fail(call->err, STATUS_INVALID, "empty duration string");
    if (unknown.len)
        return fail(call->err, STATUS_INVALID, "unknown unit \"%.*s\" in duration \"%.*s\"",
                    STR_ARG(str_slice(unknown, 0, 100)), STR_ARG(shown));
    if (!str_is(s, "0") && !clock_parse_duration(s, &ns))
        return fail(call->err, STATUS_INVALID, "not a valid duration string: \"%.*s\"",
                    STR_ARG(shown));
    *call->ret = template_number((negative ? -1.0 : 1.0) * (double)ns / (double)NS_PER_S);
    return STATUS_OK;
}

static const template_function functions[] = {
    { "humanize", "a", run_humanize, "humanize X", "The number with a metric prefix: 1.234M." },
    { "humanize1024", "a", run_humanize1024, "humanize1024 X",
      "The number with a binary prefix: 1.177Mi." },
    { "humanizePercentage", "a", run_humanize_percentage, "humanizePercentage X",
      "The ratio as a percentage: 12.34%." },
    { "humanizeTimestamp", "a", run_humanize_timestamp, "humanizeTimestamp X",
      "The Unix time in seconds as a date in UTC." },
    { "now", "", run_now, "now", "The time of evaluation, in seconds." },
    { "parseDuration", "s", run_parse_duration, "parseDuration TEXT",
      "A duration as `1h30m` in seconds." },
    { "toDuration", "a", run_to_duration, "toDuration X", "Seconds as a duration: 1h30m0s." },
    { "toTime", "a", run_to_time, "toTime X", "The Unix time in seconds as a time." },
};

const template_function_table template_number_functions = {
    functions,
    ARRAY_LEN(functions),
    "Numbers and times",
    "X is a number, a text that is one, or a duration.",
    true,
    false
};
