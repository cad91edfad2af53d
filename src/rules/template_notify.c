// SPDX-License-Identifier: Apache-2.0
/* Functions of notifications' templates, and the methods of values (of labels and lists of alerts,
 * of times and durations). */
#include "codec/json.h"
#include "rules/template_number.h"

#include <time.h>

/* ---- functions ---- */

static bool is_ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static status run_trim(template_call *call)
{
    str s = call->args[0].text;
    while (s.len && is_ascii_space(s.ptr[0]))
        s = str_slice(s, 1, s.len);
    while (s.len && is_ascii_space(s.ptr[s.len - 1]))
        s.len--;
    *call->ret = template_text(s);
    return STATUS_OK;
}

static status run_join(template_call *call)
{
    buf b;
    template_buf(call, &b);
    const template_value *list = &call->args[1];
    for (size_t i = 0; list->kind == TEMPLATE_LIST && i < list->list.count; i++) {
        if (i)
            buf_str(&b, call->args[0].text);
        template_print_inner(&b, &list->list.items[i]);
    }
    return template_return_buf(call, &b, NULL);
}

static status run_string_slice(template_call *call)
{
    *call->ret = template_list(call->args, call->count, &template_type_strings);
    return STATUS_OK;
}

static status run_list(template_call *call)
{
    *call->ret = template_list(call->args, call->count, NULL);
    return STATUS_OK;
}

static status run_append(template_call *call)
{
    const template_value *list = &call->args[0];
    if (list->kind != TEMPLATE_LIST && list->kind != TEMPLATE_NIL)
        return fail(call->err, STATUS_INVALID, "cannot append to %s", template_type_name(list));
    size_t n = list->kind == TEMPLATE_LIST ? list->list.count : 0, more = call->count - 1;
    template_value *items = ARENA_ARRAY(call->memory, template_value, n + more + 1);
    if (!items)
        return fail(call->err, STATUS_LIMIT, "no memory for a list of %zu", n + more);
    if (n)
        memcpy(items, list->list.items, n * sizeof(*items));
    memcpy(items + n, call->args + 1, more * sizeof(*items));
    *call->ret = template_list(items, n + more, list->kind == TEMPLATE_LIST ? list->type : NULL);
    return STATUS_OK;
}

static status run_dict(template_call *call)
{
    if (call->count % 2)
        return fail(call->err, STATUS_INVALID, "invalid dict call");
    template_member *members = ARENA_ARRAY(call->memory, template_member, call->count / 2 + 1);
    if (!members)
        return fail(call->err, STATUS_LIMIT, "no memory for a map");
    size_t n = 0;
    for (size_t i = 0; i + 1 < call->count; i += 2) {
        if (call->args[i].kind != TEMPLATE_STRING)
            return fail(call->err, STATUS_INVALID, "dict keys must be strings");
        size_t k = 0;
        while (k < n && !str_eq(members[k].name, call->args[i].text))
            k++;
        members[k] = (template_member){ call->args[i].text, call->args[i + 1] };
        n = MAX(n, k + 1);
    }
    *call->ret = (template_value){ .kind = TEMPLATE_MAP,
                                   .type = &template_type_any_map,
                                   .map = { members, n } };
    return STATUS_OK;
}

static int hex_value(char c)
{
    char low = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static status run_unescape(template_call *call)
{
    str s = call->args[0].text;
    buf b;
    template_buf(call, &b);
    for (size_t i = 0; i < s.len; i++) {
        int high = i + 2 < s.len ? hex_value(s.ptr[i + 1]) : -1;
        int low = i + 2 < s.len ? hex_value(s.ptr[i + 2]) : -1;
        if (s.ptr[i] == '%' && (high < 0 || low < 0)) {
            buf_done(&b);
            return fail(call->err, STATUS_INVALID, "invalid URL escape \"%.*s\"",
                        STR_ARG(str_slice(s, i, i + 3)));
        }
        if (s.ptr[i] == '%') {
            buf_char(&b, (char)(high << 4 | low));
            i += 2;
        } else {
            buf_char(&b, s.ptr[i] == '+' ? ' ' : s.ptr[i]);
        }
    }
    return template_return_buf(call, &b, NULL);
}

static status run_date(template_call *call)
{
    buf b;
    template_buf(call, &b);
    template_format_time(&b, &call->args[1], call->args[0].text);
    return template_return_buf(call, &b, NULL);
}

static status run_tz(template_call *call)
{
    *call->ret = call->args[1];
    if (template_set_zone(call->ret, call->args[0].text))
        return STATUS_OK;
    return fail(call->err, STATUS_INVALID, "unknown time zone %.*s",
                (int)MIN(call->args[0].text.len, 200), call->args[0].text.ptr);
}

static status run_since(template_call *call)
{
    int64_t ns;
    if (__builtin_sub_overflow(call->context->now_ms * NS_PER_MS, call->args[0].time.ns, &ns))
        ns = call->args[0].time.ns < 0 ? INT64_MAX : INT64_MIN;
    *call->ret = (template_value){ .kind = TEMPLATE_DURATION, .integer = ns };
    return STATUS_OK;
}

/* ---- JSON ---- */

#define JSON_NESTING 64

static bool put_json(json_writer *w, const template_value *v, template_call *call, uint32_t depth);

/* Members of Alertmanager's data begin with a small letter in JSON. */
static void put_json_key(json_writer *w, const template_value *v, str name)
{
    bool data = v->type == &template_type_data || v->type == &template_type_alert;
    char key[64];
    if (!data || !name.len || name.len >= sizeof(key)) {
        json_key(w, name);
        return;
    }
    memcpy(key, name.ptr, name.len);
    if (key[0] >= 'A' && key[0] <= 'Z')
        key[0] = (char)(key[0] | 0x20);
    json_key(w, str_n(key, name.len));
}

static bool put_json_members(json_writer *w, const template_value *v, template_call *call,
                             uint32_t depth)
{
    const template_member *members =
        v->kind == TEMPLATE_MAP ? template_sorted(call->memory, v) : v->map.items;
    bool ok = members || !v->map.count;
    json_begin_object(w);
    for (size_t i = 0; ok && i < v->map.count; i++) {
        put_json_key(w, v, members[i].name);
        ok = put_json(w, &members[i].value, call, depth + 1);
    }
    json_end_object(w);
    return ok;
}

static bool put_json_list(json_writer *w, const template_value *v, template_call *call,
                          uint32_t depth)
{
    bool ok = true;
    json_begin_array(w);
    for (size_t i = 0; ok && i < v->list.count; i++)
        ok = put_json(w, &v->list.items[i], call, depth + 1);
    json_end_array(w);
    return ok;
}

static bool put_json(json_writer *w, const template_value *v, template_call *call, uint32_t depth)
{
    if (depth > JSON_NESTING)
        return false;
    switch (v->kind) {
    case TEMPLATE_NIL:
        json_null(w);
        return true;
    case TEMPLATE_BOOL:
        json_bool(w, v->boolean);
        return true;
    case TEMPLATE_INT:
    case TEMPLATE_DURATION:
        json_i64(w, v->integer);
        return true;
    case TEMPLATE_FLOAT:
        json_f64(w, v->number);
        return true;
    case TEMPLATE_STRING:
    case TEMPLATE_OTHER:
        json_str(w, v->text);
        return true;
    case TEMPLATE_LIST:
        return put_json_list(w, v, call, depth);
    case TEMPLATE_MAP:
    case TEMPLATE_STRUCT:
        return put_json_members(w, v, call, depth);
    case TEMPLATE_TIME: {
        buf text;
        buf_init(&text, 128);
        template_format_time(&text, v, STR("2006-01-02T15:04:05.999999999Z07:00"));
        json_str(w, buf_view(&text));
        buf_done(&text);
        return true;
    }
    }
    return true;
}

/* As Go writes it: <, > and & stand only in texts, where they are escaped. */
static status run_to_json(template_call *call)
{
    buf plain, b;
    template_buf(call, &plain);
    template_buf(call, &b);
    json_writer w = json_write(&plain);
    bool ok = put_json(&w, &call->args[0], call, 0);
    str s = buf_view(&plain);
    for (size_t i = 0; i < s.len; i++) {
        if (str_find_char(STR("<>&"), s.ptr[i]) != SIZE_MAX)
            buf_fmt(&b, "\\u%04x", (uint8_t)s.ptr[i]);
        else
            buf_char(&b, s.ptr[i]);
    }
    b.failed |= plain.failed;
    buf_done(&plain);
    if (ok)
        return template_return_buf(call, &b, NULL);
    buf_done(&b);
    return fail(call->err, STATUS_LIMIT, "the value is nested deeper than %d", JSON_NESTING);
}

static status run_safe_url(template_call *call)
{
    *call->ret = template_typed_text(call->args[0].text, &template_type_html);
    return STATUS_OK;
}

static const template_function functions[] = {
    { "append", "aa.", run_append, "append LIST X…", "The list with more at its end." },
    { "date", "st", run_date, "date LAYOUT TIME", "The time in Go's layout: `2006-01-02 15:04`." },
    { "dict", "a.", run_dict, "dict KEY X…", "A map." },
    { "join", "sl", run_join, "join SEPARATOR LIST", "The texts with the separator between them." },
    { "list", "a.", run_list, "list X…", "A list." },
    { "safeUrl", "s", run_safe_url, "safeUrl TEXT", "The text, not escaped in HTML." },
    { "since", "t", run_since, "since TIME", "The duration from that time to now." },
    { "stringSlice", "s.", run_string_slice, "stringSlice TEXT…", "A list of texts." },
    { "title", "s", template_run_title_lower, "title TEXT",
      "Each word's first letter as a capital, the others small." },
    { "toJson", "a", run_to_json, "toJson X", "The value as JSON." },
    { "trimSpace", "s", run_trim, "trimSpace TEXT", "The text without white space at its ends." },
    { "tz", "st", run_tz, "tz ZONE TIME", "The time in that zone: `Europe/Berlin`." },
    { "urlUnescape", "s", run_unescape, "urlUnescape TEXT", "What urlquery escaped." },
};

const template_function_table template_alertmanager_functions = {
    functions, ARRAY_LEN(functions), "Of notifications", "Known in notifications.", false, true
};

/* ---- methods of labels and alerts ---- */

static status no_memory(template_call *call)
{
    return fail(call->err, STATUS_LIMIT, "no memory for a list");
}

/* The labels by name, alertname first. NULL without memory. */
static template_member *sorted_pairs(template_call *call)
{
    const template_member *sorted = template_sorted(call->memory, &call->args[0]);
    size_t n = call->args[0].map.count;
    template_member *out = ARENA_ARRAY(call->memory, template_member, n + 1);
    if (!sorted || !out)
        return NULL;
    size_t put = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++)
            if (str_is(sorted[i].name, "alertname") == (pass == 0))
                out[put++] = sorted[i];
    return out;
}

static status kv_sorted_pairs(template_call *call)
{
    size_t n = call->args[0].map.count;
    const template_member *sorted = sorted_pairs(call);
    template_value *items = ARENA_ARRAY(call->memory, template_value, n + 1);
    for (size_t i = 0; sorted && items && i < n; i++) {
        template_member *pair = ARENA_ARRAY(call->memory, template_member, 2);
        if (!pair)
            return no_memory(call);
        pair[0] = (template_member){ STR("Name"), template_text(sorted[i].name) };
        pair[1] = (template_member){ STR("Value"), sorted[i].value };
        items[i] = template_struct(pair, 2, &template_type_pair);
    }
    if (!sorted || !items)
        return no_memory(call);
    *call->ret = template_list(items, n, &template_type_pairs);
    return STATUS_OK;
}

static status kv_list(template_call *call, bool names)
{
    size_t n = call->args[0].map.count;
    const template_member *sorted = sorted_pairs(call);
    template_value *items = ARENA_ARRAY(call->memory, template_value, n + 1);
    if (!sorted || !items)
        return no_memory(call);
    for (size_t i = 0; i < n; i++)
        items[i] = names ? template_text(sorted[i].name) : sorted[i].value;
    *call->ret = template_list(items, n, &template_type_strings);
    return STATUS_OK;
}

static status kv_names(template_call *call)
{
    return kv_list(call, true);
}

static status kv_values(template_call *call)
{
    return kv_list(call, false);
}

static bool list_has(const template_value *list, str name)
{
    for (size_t i = 0; list->kind == TEMPLATE_LIST && i < list->list.count; i++)
        if (list->list.items[i].kind == TEMPLATE_STRING && str_eq(list->list.items[i].text, name))
            return true;
    return false;
}

static status kv_remove(template_call *call)
{
    const template_value *map = &call->args[0];
    template_member *left = ARENA_ARRAY(call->memory, template_member, map->map.count + 1);
    if (!left)
        return no_memory(call);
    size_t n = 0;
    for (size_t i = 0; i < map->map.count; i++)
        if (!list_has(&call->args[1], map->map.items[i].name))
            left[n++] = map->map.items[i];
    *call->ret = *map;
    call->ret->map.items = left;
    call->ret->map.count = n;
    return STATUS_OK;
}

static status alerts_of(template_call *call, const char *state)
{
    const template_value *list = &call->args[0];
    template_value *items = ARENA_ARRAY(call->memory, template_value, list->list.count + 1);
    if (!items)
        return no_memory(call);
    size_t n = 0;
    for (size_t i = 0; i < list->list.count; i++) {
        const template_value *item = &list->list.items[i];
        const template_value *found =
            item->kind == TEMPLATE_STRUCT ? template_member_find(item, STR("Status")) : NULL;
        if (found && found->kind == TEMPLATE_STRING && str_is(found->text, state))
            items[n++] = *item;
    }
    *call->ret = template_list(items, n, &template_type_alert_list);
    return STATUS_OK;
}

static status alerts_firing(template_call *call)
{
    return alerts_of(call, "firing");
}

static status alerts_resolved(template_call *call)
{
    return alerts_of(call, "resolved");
}

static status pairs_list(template_call *call, size_t member)
{
    const template_value *list = &call->args[0];
    template_value *items = ARENA_ARRAY(call->memory, template_value, list->list.count + 1);
    if (!items)
        return no_memory(call);
    for (size_t i = 0; i < list->list.count; i++)
        items[i] = list->list.items[i].map.items[member].value;
    *call->ret = template_list(items, list->list.count, &template_type_strings);
    return STATUS_OK;
}

static status pairs_names(template_call *call)
{
    return pairs_list(call, 0);
}

static status pairs_values(template_call *call)
{
    return pairs_list(call, 1);
}

static const template_function kv_methods[] = {
    { "Names", "", kv_names, ".Names", "The names, in order." },
    { "Remove", "l", kv_remove, ".Remove NAMES", "Without the labels of these names." },
    { "SortedPairs", "", kv_sorted_pairs, ".SortedPairs",
      "Pairs of .Name and .Value by name, alertname first." },
    { "Values", "", kv_values, ".Values", "The values, by name." },
};
static const template_function alerts_methods[] = {
    { "Firing", "", alerts_firing, ".Firing", "The alerts that fire." },
    { "Resolved", "", alerts_resolved, ".Resolved", "The alerts that are resolved." },
};
static const template_function pairs_methods[] = {
    { "Names", "", pairs_names, ".Names", "The names." },
    { "Values", "", pairs_values, ".Values", "The values." },
};

const template_type template_type_pair = { .name = "template.Pair" };
const template_type template_type_kv = { .name = "template.KV",
                                         .methods = kv_methods,
                                         .method_count = ARRAY_LEN(kv_methods),
                                         .strings = true };
const template_type template_type_pairs = { .name = "template.Pairs",
                                            .methods = pairs_methods,
                                            .method_count = ARRAY_LEN(pairs_methods),
                                            .item = &template_type_pair };
const template_type template_type_alert = { .name = "template.Alert" };
const template_type template_type_alerts = { .name = "template.Alerts",
                                             .methods = alerts_methods,
                                             .method_count = ARRAY_LEN(alerts_methods),
                                             .item = &template_type_alert };
const template_type template_type_alert_list = { .name = "[]template.Alert",
                                                 .item = &template_type_alert };
const template_type template_type_data = { .name = "*template.Data" };
const template_type template_type_labels = { .name = "map[string]string", .strings = true };
const template_type template_type_strings = { .name = "[]string" };
const template_type template_type_any_map = { .name = "map[string]interface {}" };
const template_type template_type_html = { .name = "template.HTML", .safe = true };
const template_type template_type_sample = { .name = "*template.sample" };
const template_type template_type_samples = { .name = "template.queryResult",
                                              .item = &template_type_sample };
const template_type template_type_rule = {
    .name = "struct { Labels map[string]string; ExternalLabels map[string]string; "
            "ExternalURL string; Value interface {} }"
};
const template_type template_type_time_pointer = { .name = "*time.Time" };
const template_type template_type_duration_pointer = { .name = "*time.Duration" };
