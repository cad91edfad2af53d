// SPDX-License-Identifier: Apache-2.0
/* Time intervals: their table, their ranges, and whether one holds a moment; see interval.h. */
#include "rules/notify/interval.h"

#include "base/clock.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

typedef struct {
    str start_time, end_time;
} interval_time_settings;

typedef struct {
    int from, to; /* both inclusive; of times: minutes of the day, `to` exclusive */
} range;

typedef struct {
    range *items;
    uint32_t count;
} range_list;

struct interval {
    range_list times, weekdays, days, months, years;
    const time_zone *zone;
};

#define AT(member) offsetof(interval_time_settings, member)
static const option time_rows[] = {
    { .name = "start_time",
      .type = OPTION_TEXT,
      .offset = AT(start_time),
      .required = true,
      .help = "HH:MM, inclusive" },
    { .name = "end_time",
      .type = OPTION_TEXT,
      .offset = AT(end_time),
      .required = true,
      .help = "HH:MM, exclusive; 24:00 is the end of the day" },
};
#undef AT
static const option_table time_options = OPTION_TABLE(time_rows, interval_time_settings);

#define AT(member) offsetof(interval_settings, member)
static const option interval_rows[] = {
    { .name = "times",
      .type = OPTION_SECTIONS,
      .offset = AT(times),
      .table = &time_options,
      .help = "ranges of the day" },
    { .name = "weekdays",
      .type = OPTION_TEXTS,
      .offset = AT(weekdays),
      .help = "days or ranges: monday, saturday:sunday" },
    { .name = "days_of_month",
      .type = OPTION_TEXTS,
      .offset = AT(days_of_month),
      .help = "days or ranges: 1, 1:5, -3:-1 (from the month's end)" },
    { .name = "months",
      .type = OPTION_TEXTS,
      .offset = AT(months),
      .help = "months or ranges, by name or number: may:august, 1:3" },
    { .name = "years",
      .type = OPTION_TEXTS,
      .offset = AT(years),
      .help = "years or ranges: 2020:2022, 2030" },
    { .name = "location",
      .type = OPTION_TEXT,
      .offset = AT(location),
      .help = "time zone, as in Europe/Berlin; Local: the machine's; absent: UTC" },
};
#undef AT
const option_table interval_options = OPTION_TABLE(interval_rows, interval_settings);

/* ---- reading ---- */

static const char *const weekday_names[] = { "sunday",   "monday", "tuesday",  "wednesday",
                                             "thursday", "friday", "saturday", NULL };
static const char *const month_names[] = { "",        "january",  "february", "march",  "april",
                                           "may",     "june",     "july",     "august", "september",
                                           "october", "november", "december", NULL };

/* What one kind of range is made of. */
typedef struct {
    const char *name;
    const char *const *names; /* NULL: numbers only */
    bool numbers;
    int min, max;
} range_kind;

static const range_kind weekdays = { "weekdays", weekday_names, false, 0, 6 };
static const range_kind days = { "days_of_month", NULL, true, -31, 31 };
static const range_kind months = { "months", month_names, true, 1, 12 };
static const range_kind years = { "years", NULL, true, 1, 9999 };

static bool read_end(const range_kind *kind, str text, int *ret)
{
    int64_t number;
    text = str_trim(text);
    for (int i = 0; kind->names && kind->names[i]; i++)
        if (text.len && str_eq_nocase(text, str_c(kind->names[i]))) {
            *ret = i;
            return true;
        }
    if (!kind->numbers || !str_to_i64(text, &number) || number < kind->min || number > kind->max)
        return false;
    *ret = (int)number;
    return true;
}

static status read_range(const range_kind *kind, str text, range *ret, error *err)
{
    size_t colon = str_find_char(text, ':');
    bool good = read_end(kind, str_slice(text, 0, colon), &ret->from);
    ret->to = ret->from;
    if (good && colon != SIZE_MAX)
        good = read_end(kind, str_slice(text, colon + 1, text.len), &ret->to);
    if (!good)
        return fail(err, STATUS_INVALID, "\"%.*s\" is no range of %s",
                    STR_ARG(str_slice(text, 0, 80)), kind->name);
    if (kind == &days && (ret->from == 0 || ret->to == 0))
        return fail(err, STATUS_INVALID,
                    "days of the month are 1 to 31, or -31 to -1 from its end");
    if (kind == &days && ret->from < 0 && ret->to > 0)
        return fail(err, STATUS_INVALID,
                    "a range cannot begin from the month's end and end from "
                    "its beginning");
    if ((ret->from < 0) == (ret->to < 0) && ret->from > ret->to)
        return fail(err, STATUS_INVALID, "\"%.*s\" ends before it begins",
                    STR_ARG(str_slice(text, 0, 80)));
    return STATUS_OK;
}

static status read_ranges(arena *a, const range_kind *kind, const text_list *texts, range_list *ret,
                          char *where, size_t size, error *err)
{
    ret->items = ARENA_ARRAY(a, range, MAX(texts->count, 1u));
    if (!ret->items)
        return fail(err, STATUS_LIMIT, "no memory for time intervals");
    for (uint32_t i = 0; i < texts->count; i++) {
        snprintf(where, size, "%s[%u]", kind->name, i);
        status st = read_range(kind, texts->items[i], &ret->items[i], err);
        if (st != STATUS_OK)
            return st;
    }
    ret->count = texts->count;
    return STATUS_OK;
}

static bool read_minute(str text, int *ret)
{
    str minutes, hours = str_cut(text, ':', &minutes);
    uint64_t h, m;
    if (hours.len != 2 || minutes.len != 2 || !str_to_u64(hours, &h) || !str_to_u64(minutes, &m) ||
        h > 24 || m > 59 || (h == 24 && m > 0))
        return false;
    *ret = (int)(h * 60 + m);
    return true;
}

static status read_times(arena *a, const section_list *list, range_list *ret, char *where,
                         size_t size, error *err)
{
    const interval_time_settings *t = list->items;
    ret->items = ARENA_ARRAY(a, range, MAX(list->count, 1u));
    if (!ret->items)
        return fail(err, STATUS_LIMIT, "no memory for time intervals");
    for (uint32_t i = 0; i < list->count; i++) {
        snprintf(where, size, "times[%u]", i);
        if (!read_minute(t[i].start_time, &ret->items[i].from) ||
            !read_minute(t[i].end_time, &ret->items[i].to))
            return fail(err, STATUS_INVALID, "wants start_time and end_time as HH:MM");
        if (ret->items[i].from >= ret->items[i].to)
            return fail(err, STATUS_INVALID, "start_time must be before end_time");
    }
    ret->count = list->count;
    return STATUS_OK;
}

status interval_make(arena *a, const interval_settings *s, const interval **ret, char *where,
                     size_t size, error *err)
{
    interval *i = ARENA_NEW(a, interval);
    if (!i)
        return fail(err, STATUS_LIMIT, "no memory for time intervals");
    const struct {
        const range_kind *kind;
        const text_list *texts;
        range_list *to;
    } lists[] = { { &weekdays, &s->weekdays, &i->weekdays },
                  { &days, &s->days_of_month, &i->days },
                  { &months, &s->months, &i->months },
                  { &years, &s->years, &i->years } };
    status st = read_times(a, &s->times, &i->times, where, size, err);
    for (size_t l = 0; l < ARRAY_LEN(lists) && st == STATUS_OK; l++)
        st = read_ranges(a, lists[l].kind, lists[l].texts, lists[l].to, where, size, err);
    if (st != STATUS_OK)
        return st;
    snprintf(where, size, "location");
    if (s->location.len)
        st = time_zone_load(a, s->location, &i->zone, err);
    *ret = i;
    return st;
}

/* ---- asking ---- */

static bool any(const range_list *list, int v)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (v >= list->items[i].from && v <= list->items[i].to)
            return true;
    return list->count == 0;
}

static int days_in_month(const struct tm *t)
{
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year = t->tm_year + 1900;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return lengths[t->tm_mon] + (t->tm_mon == 1 && leap);
}

/* Negative days count from the end; a range is cut to the month. */
static bool holds_day(const range_list *list, const struct tm *t)
{
    int length = days_in_month(t);
    for (uint32_t i = 0; i < list->count; i++) {
        range r = list->items[i];
        int from = r.from < 0 ? length + r.from + 1 : r.from;
        int to = r.to < 0 ? length + r.to + 1 : r.to;
        if (from <= length && t->tm_mday >= from && t->tm_mday <= MIN(to, length))
            return true;
    }
    return list->count == 0;
}

static bool holds_minute(const range_list *list, int minute)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (minute >= list->items[i].from && minute < list->items[i].to)
            return true;
    return list->count == 0;
}

bool interval_holds(const interval *i, int64_t time_ms)
{
    struct tm t;
    int64_t seconds = time_ms / 1000;
    time_t local = (time_t)(seconds + time_zone_offset_s(i->zone, seconds));
    if (!gmtime_r(&local, &t))
        return false;
    return holds_minute(&i->times, t.tm_hour * 60 + t.tm_min) && any(&i->weekdays, t.tm_wday) &&
           holds_day(&i->days, &t) && any(&i->months, t.tm_mon + 1) &&
           any(&i->years, t.tm_year + 1900);
}
