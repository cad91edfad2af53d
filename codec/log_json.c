// SPDX-License-Identifier: Apache-2.0
/* Log records as JSON lines. Called by libsonde's sinks and by `sonde recover`; keeps no state. */
#include "codec/log_json.h"

#include "base/clock.h"
#include "codec/json_value.h"

#define LEVELS_DEFAULT \
    { \
        STR_INIT("trace"), STR_INIT("debug"), STR_INIT("info"), STR_INIT("warn"), \
            STR_INIT("error"), STR_INIT("fatal") \
    }

const log_schema log_schema_default = {
    .members = { { LOG_PART_TIME, STR_INIT("timestamp") },
                 { LOG_PART_LEVEL, STR_INIT("level") },
                 { LOG_PART_SERVICE, STR_INIT("service") },
                 { LOG_PART_LOGGER, STR_INIT("logger") },
                 { LOG_PART_TRACE, STR_INIT("trace_id") },
                 { LOG_PART_SPAN, STR_INIT("span_id") },
                 { LOG_PART_MESSAGE, STR_INIT("message") },
                 { LOG_PART_REST, STR_INIT("") } },
    .count = 8,
    .time_digits = 6,
    .levels = LEVELS_DEFAULT,
};

const char *severity_name(uint8_t severity)
{
    static const char *const names[] = { "trace", "debug", "info", "warn", "error", "fatal" };
    return severity >= 1 && severity <= 24 ? names[(severity - 1) / 4] : "";
}

int64_t log_row_time(const batch *b, uint32_t row)
{
    return b->logs.time_ns[row] ? b->logs.time_ns[row] : b->logs.observed_ns[row];
}

str log_row_logger(const batch *b, uint32_t row)
{
    str name = b->scopes[b->logs.scope[row]].name;
    return str_is(name, "sonde") ? STR_EMPTY : name;
}

bool log_row_in_context(const batch *b, uint32_t row, uint32_t n)
{
    attr_range c = b->logs.context[row];
    return n >= c.from && n - c.from < c.count;
}

static bool is_code(str key)
{
    static const str keys[] = { STR_INIT("code.file.path"), STR_INIT("code.line.number"),
                                STR_INIT("code.function.name") };
    if (key.len < 5 || key.ptr[0] != 'c' || !str_starts(key, STR("code.")))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_eq(key, keys[i]))
            return true;
    return false;
}

/* Rows have few attributes (128 by default), so that comparing beats hashing. */
static bool comes_again(const attrs *a, uint32_t at)
{
    for (uint32_t i = at + 1; i < a->count; i++)
        if (str_eq(a->items[i].key, a->items[at].key))
            return true;
    return false;
}

bool log_row_shows(const batch *b, uint32_t row, uint32_t n, bool with_hidden, bool with_code)
{
    const attrs *a = &b->logs.attributes[row];
    str key = a->items[n].key;
    attr_range c = b->logs.context[row];
    if (!with_hidden && key.len && key.ptr[0] == 's' && str_starts(key, STR("sonde.")))
        return false;
    /* The reader puts the place in the code behind everything else. */
    if (!with_code && n >= c.from + c.count && is_code(key))
        return false;
    return !comes_again(a, n);
}

typedef struct {
    const batch *b;
    uint32_t row;
    const log_schema *schema;
    const log_json_options *options;
    json_writer w;
} line;

/* Whether an attribute is meant by a name: "user_id" means "user.id" too. */
static bool is_meant(str name, str key)
{
    bool same = name.len == key.len;
    for (size_t i = 0; same && i < key.len; i++)
        same = name.ptr[i] == (key.ptr[i] == '.' && name.ptr[i] == '_' ? '_' : key.ptr[i]);
    return same;
}

static bool is_named(const log_schema *s, str key)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->members[i].part == LOG_PART_ATTRIBUTE && is_meant(s->members[i].key, key))
            return true;
    return false;
}

static bool is_reserved(const log_schema *s, str key)
{
    if (str_is(key, "type") || str_is(key, "event"))
        return true;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->members[i].part < LOG_PART_COUNT && str_eq(s->members[i].key, key))
            return true;
    return false;
}

static bool is_nested(const log_schema *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->members[i].part == LOG_PART_DATA)
            return true;
    return false;
}

static void put_attr(line *l, const attr *a, bool may_clash)
{
    char renamed[256] = "field_";
    str key = a->key;
    if (may_clash && is_reserved(l->schema, key)) {
        str_copy_c(renamed + 6, sizeof(renamed) - 6, key);
        key = str_c(renamed);
    }
    json_key(&l->w, key);
    value_to_json(&a->value, &l->w);
}

/* The context's attribute that is named like the trace's member, of a record without a trace: a job
 * that is traced by its request's id alone. NULL when there is none. */
static const attr *instead_of_trace(const line *l, str key)
{
    const attrs *a = &l->b->logs.attributes[l->row];
    if (trace_id_is_set(l->b->logs.trace[l->row]))
        return NULL;
    for (uint32_t i = a->count; i > 0; i--)
        if (str_eq(a->items[i - 1].key, key) && log_row_in_context(l->b, l->row, i - 1) &&
            log_row_shows(l->b, l->row, i - 1, l->options->with_hidden, l->schema->code))
            return &a->items[i - 1];
    return NULL;
}

static bool stands_for_trace(const line *l, const attr *one)
{
    for (uint32_t i = 0; i < l->schema->count; i++)
        if (l->schema->members[i].part == LOG_PART_TRACE &&
            str_eq(l->schema->members[i].key, one->key))
            return instead_of_trace(l, one->key) == one;
    return false;
}

/* The attributes that a member of its own does not show; of the context, of the call, or both. */
static void put_fields(line *l, bool context, bool own)
{
    const attrs *a = &l->b->logs.attributes[l->row];
    for (uint32_t i = 0; i < a->count; i++) {
        bool shared = log_row_in_context(l->b, l->row, i);
        if ((shared ? context : own) && !is_named(l->schema, a->items[i].key) &&
            !(shared && stands_for_trace(l, &a->items[i])) &&
            log_row_shows(l->b, l->row, i, l->options->with_hidden, l->schema->code))
            put_attr(l, &a->items[i], true);
    }
}

/* The call's own attributes as an object. A group that is named like the object is the object. */
static void put_data(line *l, str key)
{
    const attrs *a = &l->b->logs.attributes[l->row];
    bool begun = false;
    for (uint32_t i = 0; i < a->count; i++) {
        const attr *one = &a->items[i];
        if (log_row_in_context(l->b, l->row, i) || is_named(l->schema, one->key) ||
            !log_row_shows(l->b, l->row, i, l->options->with_hidden, l->schema->code))
            continue;
        if (!begun) {
            json_key(&l->w, key);
            json_begin_object(&l->w);
            begun = true;
        }
        if (one->value.type != VALUE_MAP || !str_eq(one->key, key)) {
            put_attr(l, one, false);
            continue;
        }
        for (uint32_t k = 0; k < one->value.map.count; k++)
            if (!comes_again(&one->value.map, k) && !attrs_get(a, one->value.map.items[k].key))
                put_attr(l, &one->value.map.items[k], false);
    }
    if (begun)
        json_end_object(&l->w);
}

static void put_named(line *l, str key)
{
    const attrs *a = &l->b->logs.attributes[l->row];
    for (uint32_t i = a->count; i > 0; i--)
        if (is_meant(key, a->items[i - 1].key)) {
            json_key(&l->w, key);
            value_to_json(&a->items[i - 1].value, &l->w);
            return;
        }
}

static void put_text(line *l, str key, str text)
{
    if (text.len) {
        json_key(&l->w, key);
        json_str(&l->w, text);
    }
}

static void put_time(line *l, str key)
{
    char text[40];
    buf b = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    int64_t time_ns = log_row_time(l->b, l->row);
    int digits = l->options->fraction_digits ? l->options->fraction_digits : l->schema->time_digits;
    if (time_ns)
        clock_format_rfc3339(&b, time_ns, digits);
    put_text(l, key, buf_view(&b));
}

static void put_level(line *l, str key)
{
    uint8_t severity = l->b->logs.severity[l->row];
    put_text(l, key,
             severity >= 1 && severity <= 24 ? l->schema->levels[(severity - 1) / 4]
                                             : l->b->logs.severity_text[l->row]);
}

static void put_id(line *l, str key, const uint8_t *bytes, size_t n, bool is_set)
{
    if (is_set) {
        json_key(&l->w, key);
        json_hex(&l->w, bytes, n);
    }
}

static void put_message(line *l, str key)
{
    const value *body = &l->b->logs.body[l->row];
    str event = l->b->logs.event_name[l->row];
    if (body->type == VALUE_EMPTY) {
        put_text(l, key, event);
        return;
    }
    json_key(&l->w, key);
    value_to_json(body, &l->w);
    if (!str_is(key, "event") && !(body->type == VALUE_STR && str_eq(body->s, event)))
        put_text(l, STR("event"), event);
}

static str resource_text(const line *l, str key, str older)
{
    const batch_scope *scope = &l->b->scopes[l->b->logs.scope[l->row]];
    const attrs *a = &l->b->resources[scope->resource].attributes;
    str text = attrs_get_str(a, key);
    return text.len ? text : attrs_get_str(a, older);
}

static void put_member(line *l, const log_member *m)
{
    const log_rows *rows = &l->b->logs;
    const attr *other;
    switch (m->part) {
    case LOG_PART_TIME:
        put_time(l, m->key);
        break;
    case LOG_PART_LEVEL:
        put_level(l, m->key);
        break;
    case LOG_PART_SERVICE:
        put_text(l, m->key, resource_text(l, STR("service"), STR("service.name")));
        break;
    case LOG_PART_ENVIRONMENT:
        put_text(
            l, m->key,
            resource_text(l, STR("deployment.environment.name"), STR("deployment.environment")));
        break;
    case LOG_PART_LOGGER:
        put_text(l, m->key, log_row_logger(l->b, l->row));
        break;
    case LOG_PART_TRACE:
        put_id(l, m->key, rows->trace[l->row].bytes, 16, trace_id_is_set(rows->trace[l->row]));
        if ((other = instead_of_trace(l, m->key)) != NULL)
            put_attr(l, other, false);
        break;
    case LOG_PART_SPAN:
        put_id(l, m->key, rows->span[l->row].bytes, 8, span_id_is_set(rows->span[l->row]));
        break;
    case LOG_PART_MESSAGE:
        put_message(l, m->key);
        break;
    case LOG_PART_DATA:
        put_data(l, m->key);
        break;
    case LOG_PART_ATTRIBUTE:
        put_named(l, m->key);
        break;
    case LOG_PART_CONTEXT:
        put_fields(l, true, false);
        break;
    case LOG_PART_REST:
        put_fields(l, !l->schema->context_apart, !is_nested(l->schema));
        break;
    }
}

/* What stands for a member that had nothing to show; a record without a logger needs no member. */
static void put_absent(line *l, const log_member *m)
{
    if (m->part > LOG_PART_ATTRIBUTE || m->part == LOG_PART_LOGGER)
        return;
    json_key(&l->w, m->key);
    if (m->part == LOG_PART_DATA) {
        json_begin_object(&l->w);
        json_end_object(&l->w);
    } else {
        json_null(&l->w);
    }
}

void log_json_row(const batch *b, uint32_t row, const log_json_options *options, buf *out)
{
    static const log_json_options defaults;
    const log_json_options *o = options ? options : &defaults;
    line l = { b, row, o->schema ? o->schema : &log_schema_default, o, json_write(out) };
    json_begin_object(&l.w);
    if (o->with_type)
        JSON_PUT(&l.w, str, "type", STR("log"));
    for (uint32_t i = 0; i < l.schema->count; i++) {
        size_t before = out->len;
        put_member(&l, &l.schema->members[i]);
        if (l.schema->absent_null && out->len == before)
            put_absent(&l, &l.schema->members[i]);
    }
    json_end_object(&l.w);
    buf_char(out, '\n');
}
