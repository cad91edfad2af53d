// SPDX-License-Identifier: Apache-2.0
/* Fields of a log record by the names that LogQL knows them by. An attribute "http.status_code" is
 * the label http_status_code. */
#include "query/logql/entry.h"

#include "codec/json_value.h"
#include "codec/log_json.h"

#include <ctype.h>

#define FIELD_LIMIT KiB(256) /* of an attribute that is not a string, as text */

static const attrs *resource_attributes(const logql_entry *e)
{
    const batch *b = e->rows;
    return &b->resources[b->scopes[b->logs.scope[e->row]].resource].attributes;
}

static const batch_scope *scope_of(const logql_entry *e)
{
    return &e->rows->scopes[e->rows->logs.scope[e->row]];
}

int64_t entry_time(const batch *rows, uint32_t row)
{
    return rows->logs.time_ns[row] ? rows->logs.time_ns[row] : rows->logs.observed_ns[row];
}

/* A string as it is, anything else as text in the arena. */
static bool text_of(arena *a, const value *v, str *ret)
{
    *ret = STR_EMPTY;
    if (v->type == VALUE_STR) {
        *ret = v->s;
        return true;
    }
    buf text;
    buf_init(&text, FIELD_LIMIT);
    value_to_text(v, &text);
    if (text.len)
        *ret = arena_str(a, buf_view(&text));
    buf_done(&text);
    return ret->ptr != NULL;
}

bool entry_init(logql_entry *e, const batch *rows, uint32_t row, arena *scratch)
{
    e->rows = rows;
    e->row = row;
    e->scratch = scratch;
    e->parsed_count = 0;
    e->hiding = NULL;
    return text_of(scratch, &rows->logs.body[row], &e->line);
}

static char label_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' ? c : '_';
}

str label_name_of(arena *a, str name)
{
    bool plain = name.len && !isdigit((unsigned char)name.ptr[0]);
    for (size_t i = 0; i < name.len && plain; i++)
        plain = label_char(name.ptr[i]) == name.ptr[i];
    if (plain)
        return name;
    size_t n = 0;
    char *out = arena_alloc_aligned(a, name.len + 1, 1);
    if (!out)
        return STR_EMPTY;
    if (!name.len || isdigit((unsigned char)name.ptr[0]))
        out[n++] = '_';
    for (size_t i = 0; i < name.len; i++)
        out[n++] = label_char(name.ptr[i]);
    return str_n(out, n);
}

static bool names_label(str key, str name)
{
    if (key.len != name.len)
        return false;
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] != name.ptr[i] && label_char(key.ptr[i]) != name.ptr[i])
            return false;
    return true;
}

static const value *find_attribute(const attrs *list, str name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (names_label(list->items[i].key, name))
            return &list->items[i].value;
    return NULL;
}

static str hex_of(const logql_entry *e, const uint8_t *bytes, size_t n)
{
    char *out = arena_alloc_aligned(e->scratch, 2 * n, 1);
    if (!out)
        return STR_EMPTY;
    str_to_hex(bytes, n, out);
    return str_n(out, 2 * n);
}

/* ---- built-in fields ---- */

static str field_level(const logql_entry *e)
{
    const log_rows *l = &e->rows->logs;
    str text = str_c(severity_name(l->severity[e->row]));
    if (text.len || l->severity_text[e->row].len)
        return text.len ? text : l->severity_text[e->row];
    const value *v = find_attribute(&l->attributes[e->row], STR("level"));
    return v && v->type == VALUE_STR ? v->s : STR_EMPTY;
}

static str field_service_name(const logql_entry *e)
{
    return attrs_get_str(resource_attributes(e), STR("service.name"));
}

static str field_service(const logql_entry *e)
{
    str own = attrs_get_str(resource_attributes(e), STR("service"));
    return own.len ? own : field_service_name(e);
}

static str field_trace(const logql_entry *e)
{
    const trace_id *id = &e->rows->logs.trace[e->row];
    return trace_id_is_set(*id) ? hex_of(e, id->bytes, sizeof(id->bytes)) : STR_EMPTY;
}

static str field_span(const logql_entry *e)
{
    const span_id *id = &e->rows->logs.span[e->row];
    return span_id_is_set(*id) ? hex_of(e, id->bytes, sizeof(id->bytes)) : STR_EMPTY;
}

static str field_message(const logql_entry *e)
{
    return e->line;
}

static str field_event(const logql_entry *e)
{
    return e->rows->logs.event_name[e->row];
}

static str field_scope(const logql_entry *e)
{
    return scope_of(e)->name;
}

static const struct {
    const char *name;
    str (*get)(const logql_entry *e);
} builtins[] = {
    { "level", field_level },
    { "detected_level", field_level },
    { "service_name", field_service_name },
    { "service", field_service },
    { "trace_id", field_trace },
    { "span_id", field_span },
    { "message", field_message },
    { "event_name", field_event },
    { "scope_name", field_scope },
};

/* A member of a body that is a map, or JSON as text. */
static str body_field(const logql_entry *e, str name)
{
    const value *body = &e->rows->logs.body[e->row];
    str text = STR_EMPTY, key;
    if (body->type == VALUE_MAP) {
        const value *v = find_attribute(&body->map, name);
        return v && text_of(e->scratch, v, &text) ? text : STR_EMPTY;
    }
    if (!str_starts(e->line, STR("{")))
        return text;
    json_reader r;
    json_read(&r, e->line, e->scratch, 0);
    if (json_next(&r) != JSON_OBJECT)
        return text;
    while (json_next_key(&r, &key)) {
        if (!names_label(key, name)) {
            if (!json_skip_next(&r))
                break;
            continue;
        }
        json_type t = json_next(&r);
        if (t == JSON_BOOL)
            return r.boolean ? STR("true") : STR("false");
        return t == JSON_STRING || t == JSON_NUMBER ? r.text : STR_EMPTY;
    }
    return text;
}

str entry_field(const logql_entry *e, str name)
{
    for (uint32_t i = e->parsed_count; i > 0; i--)
        if (str_eq(e->parsed[i - 1].name, name))
            return e->parsed[i - 1].value;
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
        if (!str_is(name, builtins[i].name))
            continue;
        str found = builtins[i].get(e);
        if (found.len)
            return found;
    }
    str text;
    const value *v = find_attribute(resource_attributes(e), name);
    if (!v)
        v = find_attribute(&e->rows->logs.attributes[e->row], name);
    if (v)
        return text_of(e->scratch, v, &text) ? text : STR_EMPTY;
    return body_field(e, name);
}

/* ---- label sets ---- */

static const char *const stream_names[] = { "deployment_environment_name", "level",
                                            "service_name" };

static bool hidden(const logql_entry *e, str name)
{
    const logql_stage *s = e->hiding;
    if (!s)
        return false;
    return name_list_has((name_list){ s->names, s->name_count }, name) == (s->kind == STAGE_DROP);
}

static str stream_label(const logql_entry *e, const char *name)
{
    if (hidden(e, str_c(name)))
        return STR_EMPTY;
    if (strcmp(name, "level") == 0)
        return field_level(e);
    if (strcmp(name, "service_name") == 0)
        return field_service_name(e);
    str text = STR_EMPTY;
    const value *v = find_attribute(resource_attributes(e), str_c(name));
    return v && text_of(e->scratch, v, &text) ? text : STR_EMPTY;
}

static bool copy_label(arena *a, label *to, str name, str text)
{
    *to = (label){ arena_str(a, name), arena_str(a, text) };
    return to->name.ptr && to->value.ptr;
}

bool entry_stream_labels(const logql_entry *e, arena *a, labels *ret)
{
    label *items = ARENA_ARRAY(a, label, ARRAY_LEN(stream_names));
    uint32_t n = 0;
    if (!items)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(stream_names); i++) {
        str text = stream_label(e, stream_names[i]);
        if (text.len && !copy_label(a, &items[n++], str_c(stream_names[i]), text))
            return false;
    }
    *ret = (labels){ items, n };
    return true;
}

bool entry_parsed(const logql_entry *e, arena *a, labels *ret)
{
    label *items = ARENA_ARRAY(a, label, MAX(e->parsed_count, 1));
    if (!items)
        return false;
    for (uint32_t i = 0; i < e->parsed_count; i++)
        if (!copy_label(a, &items[i], e->parsed[i].name, e->parsed[i].value))
            return false;
    *ret = labels_sort(items, e->parsed_count);
    return true;
}

typedef struct {
    const logql_entry *entry;
    arena *arena;
    label *items;
    uint32_t count;
} metadata;

static bool put_metadata(metadata *m, str name, str text)
{
    if (!text.len || hidden(m->entry, name))
        return true;
    return copy_label(m->arena, &m->items[m->count++], name, text);
}

static bool put_attributes(metadata *m, const attrs *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        str text, name = label_name_of(m->entry->scratch, list->items[i].key);
        bool stream = false;
        for (size_t k = 0; k < ARRAY_LEN(stream_names); k++)
            stream = stream || str_is(name, stream_names[k]);
        if (stream)
            continue;
        if (!text_of(m->entry->scratch, &list->items[i].value, &text) ||
            !put_metadata(m, name, text))
            return false;
    }
    return true;
}

bool entry_structured(const logql_entry *e, arena *a, labels *ret)
{
    const attrs *own = &e->rows->logs.attributes[e->row], *resource = resource_attributes(e);
    metadata m = { .entry = e, .arena = a };
    m.items = ARENA_ARRAY(a, label, (size_t)own->count + resource->count + 8);
    if (!m.items)
        return false;
    bool ok = put_attributes(&m, own) && put_attributes(&m, resource) &&
              put_metadata(&m, STR("event_name"), field_event(e)) &&
              put_metadata(&m, STR("scope_name"), field_scope(e)) &&
              put_metadata(&m, STR("trace_id"), field_trace(e)) &&
              put_metadata(&m, STR("span_id"), field_span(e));
    *ret = labels_sort(m.items, m.count);
    return ok;
}

/* ---- what stages add ---- */

void entry_set(logql_entry *e, str name, str text)
{
    for (uint32_t i = 0; i < e->parsed_count; i++) {
        if (str_eq(e->parsed[i].name, name)) {
            e->parsed[i].value = text;
            return;
        }
    }
    if (e->parsed_count < ENTRY_PARSED_LIMIT)
        e->parsed[e->parsed_count++] = (label){ name, text };
}

void entry_extract(logql_entry *e, str name, str text)
{
    bool taken = false;
    for (size_t i = 0; i < ARRAY_LEN(stream_names) && !taken; i++)
        taken = str_is(name, stream_names[i]) && stream_label(e, stream_names[i]).len;
    if (taken)
        name = arena_fmt(e->scratch, "%.*s_extracted", STR_ARG(name));
    if (name.ptr && name.len)
        entry_set(e, name, text);
}
