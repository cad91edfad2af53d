// SPDX-License-Identifier: Apache-2.0
/* Log records as JSON lines. Called by libsonde's sinks and by `sonde recover`; keeps no state. */
#include "codec/log_json.h"

#include "base/clock.h"
#include "codec/json_value.h"

const char *severity_name(uint8_t severity)
{
    static const char *const names[] = { "trace", "debug", "info", "warn", "error", "fatal" };
    return severity >= 1 && severity <= 24 ? names[(severity - 1) / 4] : "";
}

static bool is_reserved(str key)
{
    static const str reserved[] = {
        STR_INIT("timestamp"), STR_INIT("level"),   STR_INIT("service"), STR_INIT("trace_id"),
        STR_INIT("span_id"),   STR_INIT("message"), STR_INIT("event"),   STR_INIT("type"),
    };
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (str_eq(key, reserved[i]))
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

static void write_time(json_writer *w, int64_t time_ns, int digits)
{
    char text[40];
    buf b = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    clock_format_rfc3339(&b, time_ns, digits);
    JSON_PUT(w, str, "timestamp", buf_view(&b));
}

static void write_fields(json_writer *w, const attrs *fields, bool with_hidden)
{
    char renamed[256] = "field_";
    for (uint32_t i = 0; i < fields->count; i++) {
        str key = fields->items[i].key;
        if ((!with_hidden && str_starts(key, STR("sonde."))) || comes_again(fields, i))
            continue;
        if (is_reserved(key)) {
            str_copy_c(renamed + 6, sizeof(renamed) - 6, key);
            key = str_c(renamed);
        }
        json_key(w, key);
        value_to_json(&fields->items[i].value, w);
    }
}

static void write_message(json_writer *w, const value *body, str event)
{
    if (body->type == VALUE_EMPTY) {
        if (event.len)
            JSON_PUT(w, str, "message", event);
        return;
    }
    json_key(w, STR("message"));
    value_to_json(body, w);
    if (event.len && !(body->type == VALUE_STR && str_eq(body->s, event)))
        JSON_PUT(w, str, "event", event);
}

void log_json_row(const batch *b, uint32_t row, const log_json_options *options, buf *out)
{
    static const log_json_options defaults;
    const log_json_options *o = options ? options : &defaults;
    const log_rows *l = &b->logs;
    json_writer w = json_write(out);
    json_begin_object(&w);
    if (o->with_type)
        JSON_PUT(&w, str, "type", STR("log"));
    int64_t time_ns = l->time_ns[row] ? l->time_ns[row] : l->observed_ns[row];
    if (time_ns)
        write_time(&w, time_ns, o->fraction_digits ? o->fraction_digits : 6);
    const char *level = severity_name(l->severity[row]);
    if (level[0] || l->severity_text[row].len)
        JSON_PUT(&w, str, "level", level[0] ? str_c(level) : l->severity_text[row]);
    const batch_scope *scope = &b->scopes[l->scope[row]];
    str service = attrs_get_str(&b->resources[scope->resource].attributes, STR("service.name"));
    if (service.len)
        JSON_PUT(&w, str, "service", service);
    if (trace_id_is_set(l->trace[row])) {
        json_key(&w, STR("trace_id"));
        json_hex(&w, l->trace[row].bytes, 16);
    }
    if (span_id_is_set(l->span[row])) {
        json_key(&w, STR("span_id"));
        json_hex(&w, l->span[row].bytes, 8);
    }
    write_message(&w, &l->body[row], l->event_name[row]);
    write_fields(&w, &l->attributes[row], o->with_hidden);
    json_end_object(&w);
    buf_char(out, '\n');
}
