// SPDX-License-Identifier: Apache-2.0
/* Texts into schemas of log lines; see log_format.h. */
#include "codec/log_format.h"

/* What a schema is made of while it is read. */
typedef struct {
    str keys[LOG_PART_COUNT]; /* empty: not shown */
    str levels[LOG_LEVELS];   /* empty: by names and case */
    bool python, upper, code, console, absent_null;
    uint8_t time_digits;
    str order;
} draft;

static const struct {
    const char *name;
    const char *other; /* also in `order` */
    log_part part;
} parts[] = {
    { "time", "timestamp", LOG_PART_TIME },     { "level", "level", LOG_PART_LEVEL },
    { "service", "service", LOG_PART_SERVICE }, { "environment", "env", LOG_PART_ENVIRONMENT },
    { "logger", "logger", LOG_PART_LOGGER },    { "trace", "trace_id", LOG_PART_TRACE },
    { "span", "span_id", LOG_PART_SPAN },       { "message", "msg", LOG_PART_MESSAGE },
    { "data", "data", LOG_PART_DATA },
};

static const struct {
    const char *name;
    const char *changes; /* to json */
} presets[] = {
    { "json", "" },
    { "console", "time_digits=3" },
    { "debug-server", "" },
    { "framecast", "time_digits=3,environment=environment,data=nested,"
                   "absent=null,"
                   "order=time:level:request_id:trace:span:service:environment:user_id:team_id:"
                   "generation_id:context:logger:message:data" },
    { "staging", "time_digits=0,"
                 "order=time:level:service:logger:trace:span:user_id:message:*" },
    { "personaworlds", "time=ts,message=msg,time_digits=3,"
                       "order=time:level:message:service:request_id:route:method:status:"
                       "latency_ms:user_id:job_id:*:logger:trace:span" },
    { "sixseven", "message=event,service=,level_names=python,"
                  "order=message:*:trace:span:time:level:logger" },
};

static const str level_names[2][2][LOG_LEVELS] = {
    { { STR_INIT("trace"), STR_INIT("debug"), STR_INIT("info"), STR_INIT("warn"), STR_INIT("error"),
        STR_INIT("fatal") },
      { STR_INIT("TRACE"), STR_INIT("DEBUG"), STR_INIT("INFO"), STR_INIT("WARN"), STR_INIT("ERROR"),
        STR_INIT("FATAL") } },
    { { STR_INIT("trace"), STR_INIT("debug"), STR_INIT("info"), STR_INIT("warning"),
        STR_INIT("error"), STR_INIT("critical") },
      { STR_INIT("TRACE"), STR_INIT("DEBUG"), STR_INIT("INFO"), STR_INIT("WARNING"),
        STR_INIT("ERROR"), STR_INIT("CRITICAL") } },
};

/* ---- items ---- */

/* The place of `text` in "a|b|c"; false when it is none of them. */
static bool choose(str text, const char *choices, uint32_t *ret)
{
    str rest = str_c(choices);
    for (uint32_t i = 0; rest.len; i++)
        if (str_eq(str_cut(rest, '|', &rest), text)) {
            *ret = i;
            return true;
        }
    return false;
}

typedef bool item_setter(draft *d, str text);

static bool set_digits(draft *d, str text)
{
    static const uint8_t digits[] = { 0, 3, 6, 9, 0, 3, 6, 9 };
    uint32_t i;
    if (!choose(text, "0|3|6|9|s|ms|us|ns", &i))
        return false;
    d->time_digits = digits[i];
    return true;
}

static bool set_case(draft *d, str text)
{
    uint32_t i;
    bool good = choose(text, "lower|upper", &i);
    d->upper = good ? i == 1 : d->upper;
    return good;
}

static bool set_names(draft *d, str text)
{
    uint32_t i;
    bool good = choose(text, "short|python", &i);
    d->python = good ? i == 1 : d->python;
    return good;
}

static bool set_data(draft *d, str text)
{
    uint32_t i;
    if (!choose(text, "flat|nested", &i))
        return false;
    d->keys[LOG_PART_DATA] = i ? STR("data") : STR_EMPTY;
    return true;
}

static bool set_data_key(draft *d, str text)
{
    d->keys[LOG_PART_DATA] = text;
    return text.len > 0;
}

static bool set_code(draft *d, str text)
{
    uint32_t i;
    bool good = choose(text, "off|on", &i);
    d->code = good ? i == 1 : d->code;
    return good;
}

static bool set_absent(draft *d, str text)
{
    uint32_t i;
    bool good = choose(text, "omit|null", &i);
    d->absent_null = good ? i == 1 : d->absent_null;
    return good;
}

static bool set_order(draft *d, str text)
{
    d->order = text;
    return text.len > 0;
}

static const struct {
    const char *name;
    item_setter *set;
    const char *expected;
} items[] = {
    { "time_digits", set_digits, "0, 3, 6, 9, s, ms, us or ns" },
    { "level_case", set_case, "lower or upper" },
    { "level_names", set_names, "short or python" },
    { "data", set_data, "flat or nested" },
    { "data_key", set_data_key, "a name" },
    { "code", set_code, "on or off" },
    { "absent", set_absent, "omit or null" },
    { "order", set_order, "names separated by colons" },
};

#define ITEMS_KNOWN \
    "time, level, message, logger, service, environment, trace, span (=NAME), level_trace to " \
    "level_fatal (=TEXT), time_digits, level_case, level_names, data, data_key, code, absent, " \
    "order"

static status apply_item(draft *d, str item, error *err)
{
    str text, name = str_trim(str_cut(item, '=', &text));
    text = str_trim(text);
    bool has_text = str_find_char(item, '=') != SIZE_MAX;
    for (size_t i = 0; has_text && i < ARRAY_LEN(items); i++)
        if (str_is(name, items[i].name))
            return items[i].set(d, text)
                       ? STATUS_OK
                       : fail(err, STATUS_INVALID, "log format: %s must be %s, not \"%.*s\"",
                              items[i].name, items[i].expected, STR_ARG(str_slice(text, 0, 60)));
    for (size_t i = 0; has_text && i < ARRAY_LEN(parts); i++)
        if (str_is(name, parts[i].name)) {
            d->keys[parts[i].part] = text;
            return STATUS_OK;
        }
    for (size_t i = 0; has_text && str_starts(name, STR("level_")) && i < LOG_LEVELS; i++)
        if (str_eq(str_slice(name, 6, name.len), level_names[0][0][i])) {
            d->levels[i] = text;
            return STATUS_OK;
        }
    return fail(err, STATUS_INVALID, "log format: \"%.*s\" is not known; known are %s",
                STR_ARG(str_slice(item, 0, 60)), ITEMS_KNOWN);
}

static status apply_items(draft *d, str list, error *err)
{
    status st = STATUS_OK;
    while (list.len && st == STATUS_OK) {
        str item = str_trim(str_cut(list, ',', &list));
        if (item.len)
            st = apply_item(d, item, err);
    }
    return st;
}

static status apply_preset(draft *d, str name, error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(presets); i++)
        if (str_is(name, presets[i].name)) {
            d->console = str_is(name, "console");
            return apply_items(d, str_c(presets[i].changes), err);
        }
    return fail(err, STATUS_INVALID,
                "log format: \"%.*s\" is not known; the text begins with json, console, framecast, "
                "staging, personaworlds, sixseven or debug-server, or is a list of changes to json",
                STR_ARG(str_slice(name, 0, 60)));
}

/* ---- the schema ---- */

static bool add_member(log_schema *s, log_part part, str key)
{
    if (s->count == LOG_MEMBERS_MAX)
        return false;
    s->members[s->count++] = (log_member){ part, key };
    return true;
}

static bool has_part(const log_schema *s, log_part part)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->members[i].part == part)
            return true;
    return false;
}

static log_part part_of(str word)
{
    if (str_is(word, "*"))
        return LOG_PART_REST;
    if (str_is(word, "context"))
        return LOG_PART_CONTEXT;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (str_is(word, parts[i].name) || str_is(word, parts[i].other))
            return parts[i].part;
    return LOG_PART_ATTRIBUTE;
}

/* Members in the order asked for, then what was not named, in the usual order. */
static status make_members(log_schema *s, const draft *d, error *err)
{
    bool room = true;
    for (str rest = d->order; rest.len && room;) {
        str word = str_trim(str_cut(rest, ':', &rest));
        log_part part = part_of(word);
        bool shown = part >= LOG_PART_COUNT || d->keys[part].len;
        if (word.len && shown && (part == LOG_PART_ATTRIBUTE || !has_part(s, part)))
            room = add_member(s, part, part < LOG_PART_COUNT ? d->keys[part] : word);
    }
    for (int part = 0; part < LOG_PART_COUNT && room; part++)
        if (d->keys[part].len && !has_part(s, (log_part)part))
            room = add_member(s, (log_part)part, d->keys[part]);
    if (room && !has_part(s, LOG_PART_REST))
        room = add_member(s, LOG_PART_REST, STR_EMPTY);
    s->context_apart = has_part(s, LOG_PART_CONTEXT);
    if (!room)
        return fail(err, STATUS_LIMIT, "log format: more than %u names in order", LOG_MEMBERS_MAX);
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (s->members[i].key.len && str_eq(s->members[i].key, s->members[k].key))
                return fail(err, STATUS_INVALID, "log format: two members are called \"%.*s\"",
                            STR_ARG(s->members[i].key));
    return STATUS_OK;
}

static status parse(log_format *ret, str spec, error *err)
{
    draft d = { .time_digits = 6, .order = STR_EMPTY };
    for (size_t i = 0; i < LOG_PART_COUNT; i++)
        d.keys[i] = STR_EMPTY;
    for (uint32_t i = 0; i < log_schema_default.count; i++)
        if (log_schema_default.members[i].part < LOG_PART_COUNT)
            d.keys[log_schema_default.members[i].part] = log_schema_default.members[i].key;
    str rest, first = str_trim(str_cut(spec, ',', &rest));
    status st = STATUS_OK;
    if (first.len && str_find_char(first, '=') == SIZE_MAX)
        st = apply_preset(&d, first, err);
    else
        rest = spec;
    if (st == STATUS_OK)
        st = apply_items(&d, rest, err);
    if (st != STATUS_OK)
        return st;
    *ret = (log_format){
        .console = d.console,
        .schema = { .time_digits = d.time_digits, .code = d.code, .absent_null = d.absent_null }
    };
    for (size_t i = 0; i < LOG_LEVELS; i++)
        ret->schema.levels[i] = d.levels[i].len ? d.levels[i] : level_names[d.python][d.upper][i];
    return make_members(&ret->schema, &d, err);
}

status log_format_parse(log_format *ret, str spec, error *err)
{
    status st = parse(ret, spec, err);
    if (st != STATUS_OK)
        *ret = (log_format){ .schema = log_schema_default };
    return st;
}
