// SPDX-License-Identifier: Apache-2.0
/* Filelog's operators at work; how they are made from options stands in filelog_build.c. Whatever
 * an operator cannot do leaves the entry as it was and is said in `trouble`. */
#include "pipeline/receivers/filelog_operators_internal.h"

#include "codec/batch_rows.h"
#include "codec/json_value.h"
#include "codec/log_fields.h"
#include "codec/log_json.h"

#include <ctype.h>
#include <stdio.h>

enum { GROUPS_MAX = 64, FLATTEN_DEPTH = 16 };

static bool trouble_is(filelog_trouble *t, const char *what)
{
    t->failures++;
    snprintf(t->reason, sizeof(t->reason), "%s", what);
    return false;
}

static bool no_memory(filelog_trouble *t)
{
    return trouble_is(t, "an entry takes too much memory");
}

static bool text_from(const filelog_entry *e, const filelog_field *f, str *ret, filelog_trouble *t)
{
    value v;
    if (!filelog_get(e, f, &v))
        return trouble_is(t, "the field to parse is absent");
    if (v.type != VALUE_STR)
        return trouble_is(t, "the field to parse is no text");
    *ret = v.s;
    return true;
}

/* ---- parsers: text to a map ---- */

static bool parse_json(const filelog_operator *o, const filelog_entry *e, str text, value *ret,
                       filelog_trouble *t)
{
    json_reader r;
    (void)o;
    json_read(&r, text, e->arena, 32);
    if (!value_from_json(&r, e->arena, ret) || json_next(&r) != JSON_END)
        return trouble_is(t, "the text is no JSON");
    return ret->type == VALUE_MAP || trouble_is(t, "the JSON is no object");
}

static bool parse_regex(const filelog_operator *o, const filelog_entry *e, str text, value *ret,
                        filelog_trouble *t)
{
    str groups[GROUPS_MAX] = { { 0 } };
    uint32_t named = pattern_groups(o->regex, NULL), number, capacity = 0;
    if (pattern_find(o->regex, text, 0, groups, GROUPS_MAX) != PATTERN_YES)
        return trouble_is(t, "the text does not match the regular expression");
    *ret = (value){ .type = VALUE_MAP };
    for (uint32_t i = 0; i < named; i++) {
        str name = pattern_group_name(o->regex, i, &number);
        if (!name.len || number >= GROUPS_MAX)
            continue;
        str got = groups[number].ptr ? groups[number] : STR_EMPTY;
        if (!attrs_append(e->arena, &ret->map, &capacity, name, VALUE_S(got)))
            return no_memory(t);
    }
    return true;
}

static str unquoted(str s)
{
    s = str_trim(s);
    bool quoted =
        s.len > 1 && (s.ptr[0] == '"' || s.ptr[0] == '\'') && s.ptr[s.len - 1] == s.ptr[0];
    return quoted ? str_slice(s, 1, s.len - 1) : s;
}

/* The next pair; quotes hide delimiters. */
static str take_pair(const filelog_operator *o, str *rest)
{
    char quote = 0;
    size_t i = 0;
    for (; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (o->pair_delimiter.len
                     ? str_starts(str_slice(*rest, i, rest->len), o->pair_delimiter)
                     : isspace((unsigned char)c))
            break;
    }
    str pair = str_slice(*rest, 0, i);
    *rest = str_slice(*rest, i + MAX(o->pair_delimiter.len, (size_t)1), rest->len);
    return pair;
}

static bool parse_pairs(const filelog_operator *o, const filelog_entry *e, str text, value *ret,
                        filelog_trouble *t)
{
    uint32_t capacity = 0;
    *ret = (value){ .type = VALUE_MAP };
    for (str rest = str_trim(text); rest.len;) {
        str pair = take_pair(o, &rest);
        size_t at = str_find(pair, o->delimiter);
        if (!str_trim(pair).len)
            continue;
        if (at == SIZE_MAX)
            return trouble_is(t, "a part of the text is no pair of key and value");
        str key = unquoted(str_slice(pair, 0, at));
        str text_value = unquoted(str_slice(pair, at + o->delimiter.len, pair.len));
        if (!attrs_append(e->arena, &ret->map, &capacity, key, VALUE_S(text_value)))
            return no_memory(t);
    }
    return true;
}

/* ---- time, severity, trace, scope ---- */

static bool take_time(const time_step *s, filelog_entry *e, int64_t now_ns, filelog_trouble *t)
{
    value v;
    if (!filelog_get(e, &s->from, &v))
        return trouble_is(t, "the field with the time is absent");
    return filelog_time_parse(&s->layout, &v, now_ns, &e->time_ns) ||
           trouble_is(t, "the time does not fit the layout");
}

static bool mapping_fits(const severity_mapping *m, const value *v, str text)
{
    int64_t number;
    if (m->text.len)
        return str_eq_nocase(m->text, text);
    bool is_number = v->type == VALUE_I64 ? (number = v->i64, true) : str_to_i64(text, &number);
    return is_number && number >= m->min && number <= m->max;
}

static bool take_severity(const severity_step *s, filelog_entry *e, filelog_trouble *t)
{
    value v;
    uint8_t severity = 0;
    if (!filelog_get(e, &s->from, &v))
        return trouble_is(t, "the field with the severity is absent");
    str text = value_text(e->arena, &v);
    if (!text.ptr)
        return no_memory(t);
    for (uint32_t i = 0; i < s->mapping_count && !severity; i++)
        if (mapping_fits(&s->mapping[i], &v, text))
            severity = s->mapping[i].severity;
    if (!severity && s->names)
        severity = severity_of_value(&v);
    if (!severity && s->names && v.type == VALUE_I64 && v.i64 >= 1 && v.i64 <= 24)
        severity = (uint8_t)v.i64;
    if (!severity)
        return trouble_is(t, "the severity is not known");
    e->severity = severity;
    e->severity_text = s->overwrite_text ? str_c(severity_name(severity)) : text;
    return true;
}

static bool take_trace(const trace_step *s, filelog_entry *e, filelog_trouble *t)
{
    value v;
    uint8_t flags;
    if (filelog_get(e, &s->trace_id, &v) && v.type == VALUE_STR && v.s.len &&
        !trace_id_parse(v.s, &e->trace))
        return trouble_is(t, "the trace id has not 32 hexadecimal digits");
    if (filelog_get(e, &s->span_id, &v) && v.type == VALUE_STR && v.s.len &&
        !span_id_parse(v.s, &e->span))
        return trouble_is(t, "the span id has not 16 hexadecimal digits");
    if (filelog_get(e, &s->flags, &v) && v.type == VALUE_STR && str_from_hex(v.s, &flags, 1))
        e->flags = flags;
    return true;
}

static bool take_scope(const filelog_field *from, filelog_entry *e, filelog_trouble *t)
{
    value v;
    if (!filelog_get(e, from, &v) || v.type != VALUE_STR)
        return trouble_is(t, "the field with the scope's name is absent");
    e->scope_name = v.s;
    return true;
}

/* ---- operators ---- */

typedef bool parser_fn(const filelog_operator *o, const filelog_entry *e, str text, value *ret,
                       filelog_trouble *t);

static bool run_parser(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                       parser_fn *parse, filelog_trouble *t)
{
    str text;
    value v, body;
    bool fine = true;
    if (!text_from(e, &o->from, &text, t) || !parse(o, e, text, &v, t))
        return false;
    if (!filelog_set(e, &o->to, v))
        return no_memory(t);
    if (o->has_time)
        fine &= take_time(&o->time, e, now_ns, t);
    if (o->has_severity)
        fine &= take_severity(&o->severity, e, t);
    if (o->has_trace)
        fine &= take_trace(&o->trace, e, t);
    if (o->scope.root)
        fine &= take_scope(&o->scope, e, t);
    if (o->body.root && filelog_get(e, &o->body, &body)) {
        fine &= filelog_remove(e, &o->body);
        e->body = body;
    }
    return fine;
}

static bool json_parser(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                        filelog_trouble *t)
{
    return run_parser(o, e, now_ns, parse_json, t);
}

static bool regex_parser(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                         filelog_trouble *t)
{
    return run_parser(o, e, now_ns, parse_regex, t);
}

static bool key_value_parser(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                             filelog_trouble *t)
{
    return run_parser(o, e, now_ns, parse_pairs, t);
}

static bool time_parser(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                        filelog_trouble *t)
{
    return take_time(&o->time, e, now_ns, t);
}

static bool severity_parser(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                            filelog_trouble *t)
{
    (void)now_ns;
    return take_severity(&o->severity, e, t);
}

static bool trace_parser(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                         filelog_trouble *t)
{
    (void)now_ns;
    return take_trace(&o->trace, e, t);
}

static bool scope_name_parser(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                              filelog_trouble *t)
{
    (void)now_ns;
    return take_scope(&o->from, e, t);
}

static bool copy_or_move(const filelog_operator *o, filelog_entry *e, filelog_trouble *t, bool move)
{
    value v;
    if (!filelog_get(e, &o->from, &v))
        return trouble_is(t, "the field to take is absent");
    if (move && !filelog_remove(e, &o->from))
        return no_memory(t);
    return filelog_set(e, &o->to, v) || no_memory(t);
}

static bool move_field(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                       filelog_trouble *t)
{
    (void)now_ns;
    return copy_or_move(o, e, t, true);
}

static bool copy_field(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                       filelog_trouble *t)
{
    (void)now_ns;
    return copy_or_move(o, e, t, false);
}

static bool remove_field(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                         filelog_trouble *t)
{
    (void)now_ns;
    return filelog_remove(e, &o->from) || no_memory(t);
}

static bool add_field(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                      filelog_trouble *t)
{
    value v;
    (void)now_ns;
    return (value_copy(e->arena, &v, &o->value) && filelog_set(e, &o->from, v)) || no_memory(t);
}

static bool retain_fields(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                          filelog_trouble *t)
{
    filelog_entry had = *e;
    bool roots[FIELD_RESOURCE + 1] = { false };
    value v;
    (void)now_ns;
    for (uint32_t i = 0; i < o->field_count; i++)
        roots[o->fields[i].root] = true;
    /* A part of the entry of which nothing is named stays whole. */
    if (roots[FIELD_BODY])
        e->body = (value){ 0 };
    if (roots[FIELD_ATTRIBUTES])
        e->attributes = (attrs){ 0 };
    if (roots[FIELD_RESOURCE])
        e->resource = (attrs){ 0 };
    for (uint32_t i = 0; i < o->field_count; i++)
        if (filelog_get(&had, &o->fields[i], &v) && !filelog_set(e, &o->fields[i], v))
            return no_memory(t);
    return true;
}

static bool flatten_into(filelog_entry *e, attrs *to, str prefix, const value *v, unsigned depth)
{
    if (v->type != VALUE_MAP || depth == FLATTEN_DEPTH)
        return attrs_set(e->arena, to, prefix, *v);
    for (uint32_t i = 0; i < v->map.count; i++) {
        const attr *a = &v->map.items[i];
        str name = prefix.len ? arena_fmt(e->arena, "%.*s.%.*s", STR_ARG(prefix), STR_ARG(a->key))
                              : a->key;
        if (!name.ptr || !flatten_into(e, to, name, &a->value, depth + 1))
            return false;
    }
    return true;
}

static bool flatten_field(const filelog_operator *o, filelog_entry *e, int64_t now_ns,
                          filelog_trouble *t)
{
    value v, flat = { .type = VALUE_MAP };
    (void)now_ns;
    if (!filelog_get(e, &o->from, &v) || v.type != VALUE_MAP)
        return trouble_is(t, "the field to flatten is no map");
    return (flatten_into(e, &flat.map, STR_EMPTY, &v, 0) && filelog_remove(e, &o->from) &&
            filelog_set(e, &o->from, flat)) ||
           no_memory(t);
}

static bool nothing(const filelog_operator *o, filelog_entry *e, int64_t now_ns, filelog_trouble *t)
{
    (void)o, (void)e, (void)now_ns, (void)t;
    return true;
}

const operator_kind filelog_operator_kinds[] = {
    { "json_parser", PARSER, json_parser },
    { "regex_parser", PARSER | HAS_REGEX, regex_parser },
    { "key_value_parser", PARSER | HAS_PAIRS, key_value_parser },
    { "time_parser", HAS_FROM | HAS_LAYOUT, time_parser },
    { "severity_parser", HAS_FROM | HAS_LEVELS, severity_parser },
    { "trace_parser", HAS_TRACE, trace_parser },
    { "scope_name_parser", HAS_FROM, scope_name_parser },
    { "move", HAS_MOVE, move_field },
    { "copy", HAS_MOVE, copy_field },
    { "remove", HAS_FIELD, remove_field },
    { "add", HAS_FIELD | HAS_VALUE, add_field },
    { "retain", HAS_FIELDS, retain_fields },
    { "flatten", HAS_FIELD, flatten_field },
    { "filter", HAS_EXPR, NULL },
    { "recombine", HAS_RECOMBINE, NULL },
    { "noop", 0, nothing },
    { NULL, 0, NULL },
};

/* ---- the chain ---- */

static bool filtered(const filelog_operator *o, const filelog_entry *e)
{
    if (!filelog_expr_true(o->expr, e))
        return false;
    /* By the entry's place, so that the same entry is dropped when it is read again. */
    return o->drop_ratio >= 1 ||
           (double)(hash_mix(e->start + 1, e->end) >> 11) < o->drop_ratio * 9007199254740992.0;
}

entry_fate filelog_operators_run(const filelog_operators *o, uint32_t from, filelog_entry *e,
                                 int64_t now_ns, filelog_trouble *trouble)
{
    for (uint32_t i = from; o && i < o->count; i++) {
        const filelog_operator *op = &o->items[i];
        if (op->condition && !filelog_expr_true(op->condition, e))
            continue;
        if (op->kind->has & HAS_RECOMBINE)
            return ENTRY_COMBINE;
        if (op->kind->has & HAS_EXPR) {
            if (filtered(op, e))
                return ENTRY_DROP;
            continue;
        }
        filelog_trouble own = { 0 };
        if (op->kind->run(op, e, now_ns, &own))
            continue;
        if (!op->quiet) {
            trouble->failures++;
            snprintf(trouble->reason, sizeof(trouble->reason), "operators[%u] (%s): %s", i,
                     op->kind->name, own.reason);
        }
        if (op->drop_on_error)
            return ENTRY_DROP;
    }
    return ENTRY_PASS;
}

const filelog_recombine *filelog_operators_recombine(const filelog_operators *o)
{
    return o && o->has_recombine ? &o->recombine : NULL;
}
