// SPDX-License-Identifier: Apache-2.0
/* Methods of times and durations in templates, and how a method is found. */
#include "rules/template_internal.h"

#include <math.h>
#include <time.h>

static status return_int(template_call *call, int64_t v)
{
    *call->ret = template_int(v);
    return STATUS_OK;
}

static status return_float(template_call *call, double v)
{
    *call->ret = template_number(v);
    return STATUS_OK;
}

static struct tm civil(const template_call *call)
{
    struct tm tm;
    template_civil_time(&call->args[0], &tm);
    return tm;
}

/* ---- times ---- */

static status time_add(template_call *call)
{
    *call->ret = call->args[0];
    if (__builtin_add_overflow(call->args[0].time.ns, call->args[1].integer, &call->ret->time.ns))
        return fail(call->err, STATUS_INVALID, "the time is out of range");
    return STATUS_OK;
}

static status time_sub(template_call *call)
{
    int64_t a = call->args[0].time.ns, b = call->args[1].time.ns, ns;
    if (__builtin_sub_overflow(a, b, &ns))
        ns = a < b ? INT64_MIN : INT64_MAX;
    *call->ret = (template_value){ .kind = TEMPLATE_DURATION, .integer = ns };
    return STATUS_OK;
}

static status time_compare(template_call *call, int wanted)
{
    int64_t a = call->args[0].time.ns, b = call->args[1].time.ns;
    *call->ret = template_bool((a > b) - (a < b) == wanted);
    return STATUS_OK;
}

static status time_before(template_call *call)
{
    return time_compare(call, -1);
}

static status time_equal(template_call *call)
{
    return time_compare(call, 0);
}

static status time_after(template_call *call)
{
    return time_compare(call, 1);
}

static status time_format(template_call *call)
{
    buf b;
    template_buf(call, &b);
    template_format_time(&b, &call->args[0], call->args[1].text);
    return template_return_buf(call, &b, NULL);
}

static status time_string(template_call *call)
{
    buf b;
    template_buf(call, &b);
    template_print_time(&b, &call->args[0]);
    return template_return_buf(call, &b, NULL);
}

static status time_utc(template_call *call)
{
    *call->ret = template_time(call->args[0].time.ns);
    return STATUS_OK;
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static status time_unix(template_call *call)
{
    return return_int(call, floor_divide(call->args[0].time.ns, NS_PER_S));
}

static status time_unix_milli(template_call *call)
{
    return return_int(call, floor_divide(call->args[0].time.ns, NS_PER_MS));
}

static status time_unix_nano(template_call *call)
{
    return return_int(call, call->args[0].time.ns);
}

static status time_is_zero(template_call *call)
{
    *call->ret = template_bool(false);
    return STATUS_OK;
}

static status time_year(template_call *call)
{
    return return_int(call, civil(call).tm_year + 1900);
}

static status time_day(template_call *call)
{
    return return_int(call, civil(call).tm_mday);
}

static status time_year_day(template_call *call)
{
    return return_int(call, civil(call).tm_yday + 1);
}

static status time_hour(template_call *call)
{
    return return_int(call, civil(call).tm_hour);
}

static status time_minute(template_call *call)
{
    return return_int(call, civil(call).tm_min);
}

static status time_second(template_call *call)
{
    return return_int(call, civil(call).tm_sec);
}

static status time_part(template_call *call, str layout)
{
    buf b;
    template_buf(call, &b);
    template_format_time(&b, &call->args[0], layout);
    return template_return_buf(call, &b, NULL);
}

static status time_month(template_call *call)
{
    return time_part(call, STR("January"));
}

static status time_weekday(template_call *call)
{
    return time_part(call, STR("Monday"));
}

static const template_function time_methods[] = {
    { "Add", "d", time_add, ".Add DURATION", "The time that much later." },
    { "After", "t", time_after, ".After TIME", "Whether it is later." },
    { "Before", "t", time_before, ".Before TIME", "Whether it is earlier." },
    { "Day", "", time_day, ".Day", "The day of the month." },
    { "Equal", "t", time_equal, ".Equal TIME", "Whether it is the same instant." },
    { "Format", "s", time_format, ".Format LAYOUT", "The time in Go's layout." },
    { "Hour", "", time_hour, ".Hour", "0 to 23." },
    { "IsZero", "", time_is_zero, ".IsZero", "False: there is no such time here." },
    { "Minute", "", time_minute, ".Minute", "0 to 59." },
    { "Month", "", time_month, ".Month", "The month's name." },
    { "Second", "", time_second, ".Second", "0 to 59." },
    { "String", "", time_string, ".String", "The time as it is printed." },
    { "Sub", "t", time_sub, ".Sub TIME", "The duration between the two." },
    { "UTC", "", time_utc, ".UTC", "The same instant in UTC." },
    { "Unix", "", time_unix, ".Unix", "Seconds since 1970." },
    { "UnixMilli", "", time_unix_milli, ".UnixMilli", "Milliseconds since 1970." },
    { "UnixNano", "", time_unix_nano, ".UnixNano", "Nanoseconds since 1970." },
    { "Weekday", "", time_weekday, ".Weekday", "The day's name." },
    { "Year", "", time_year, ".Year", "The year." },
    { "YearDay", "", time_year_day, ".YearDay", "1 to 366." },
};

/* ---- durations ---- */

static status duration_of(template_call *call, int64_t unit)
{
    int64_t ns = call->args[0].integer;
    int64_t whole = ns / unit;
    return return_float(call, (double)whole + (double)(ns % unit) / (double)unit);
}

static status duration_hours(template_call *call)
{
    return duration_of(call, 3600 * NS_PER_S);
}

static status duration_minutes(template_call *call)
{
    return duration_of(call, 60 * NS_PER_S);
}

static status duration_seconds(template_call *call)
{
    return duration_of(call, NS_PER_S);
}

static status duration_milliseconds(template_call *call)
{
    return return_int(call, call->args[0].integer / NS_PER_MS);
}

static status duration_string(template_call *call)
{
    buf b;
    template_buf(call, &b);
    template_print_duration(&b, call->args[0].integer);
    return template_return_buf(call, &b, NULL);
}

static status duration_truncate(template_call *call)
{
    int64_t unit = call->args[1].integer;
    *call->ret = call->args[0];
    if (unit > 0)
        call->ret->integer -= call->ret->integer % unit;
    return STATUS_OK;
}

static status duration_round(template_call *call)
{
    int64_t unit = call->args[1].integer, ns = call->args[0].integer, up;
    *call->ret = call->args[0];
    if (unit <= 0)
        return STATUS_OK;
    int64_t rest = ns % unit, size = rest < 0 ? -rest : rest;
    call->ret->integer = ns - rest;
    if (size >= unit - size && !__builtin_add_overflow(ns - rest, ns < 0 ? -unit : unit, &up))
        call->ret->integer = up;
    return STATUS_OK;
}

static const template_function duration_methods[] = {
    { "Hours", "", duration_hours, ".Hours", "As a number of hours." },
    { "Milliseconds", "", duration_milliseconds, ".Milliseconds", "Whole milliseconds." },
    { "Minutes", "", duration_minutes, ".Minutes", "As a number of minutes." },
    { "Round", "d", duration_round, ".Round DURATION", "Rounded to a multiple." },
    { "Seconds", "", duration_seconds, ".Seconds", "As a number of seconds." },
    { "String", "", duration_string, ".String", "As it is printed: 1h30m0s." },
    { "Truncate", "d", duration_truncate, ".Truncate DURATION", "Rounded towards 0." },
};

const template_type template_type_time = { .name = "time.Time",
                                           .methods = time_methods,
                                           .method_count = ARRAY_LEN(time_methods) };
const template_type template_type_duration = { .name = "time.Duration",
                                               .methods = duration_methods,
                                               .method_count = ARRAY_LEN(duration_methods) };

const template_function *template_method(const template_value *v, str name)
{
    const template_type *type = v->kind == TEMPLATE_TIME       ? &template_type_time
                                : v->kind == TEMPLATE_DURATION ? &template_type_duration
                                                               : v->type;
    for (size_t i = 0; type && i < type->method_count; i++)
        if (str_is(name, type->methods[i].name))
            return &type->methods[i];
    return NULL;
}
