// SPDX-License-Identifier: Apache-2.0
/* Options of filelog's operators made ready to run, and judged: which operator has which options,
 * fields, layouts, expressions. */
#include "pipeline/receivers/filelog_operators_internal.h"

#include "codec/log_fields.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    filelog_operators *o;
    const filelog_operator_settings *s;
    filelog_operator *op;
    char *where;
    size_t where_size;
    uint32_t index;
    error *err;
} builder;

static status at(builder *k, const char *option, status st)
{
    if (st != STATUS_OK && !k->where[0])
        snprintf(k->where, k->where_size, "operators[%u].%s", k->index, option);
    return st;
}

static status wrong(builder *k, const char *option, const char *what)
{
    return at(k, option, fail(k->err, STATUS_INVALID, "%s", what));
}

/* ---- options that belong to another operator ---- */

static status check_groups(builder *k)
{
    const filelog_operator_settings *s = k->s;
    const struct {
        unsigned group;
        const char *option;
        bool given;
    } given[] = {
        { HAS_FROM, "parse_from", s->parse_from.len },
        { HAS_TO, "parse_to", s->parse_to.len },
        { HAS_TO, "body", s->body.len },
        { HAS_TO, "timestamp", s->has_timestamp },
        { HAS_TO, "severity", s->has_severity },
        { HAS_TO, "trace", s->has_trace },
        { HAS_TO, "scope_name", s->has_scope_name },
        { HAS_REGEX, "regex", s->regex.len },
        { HAS_PAIRS, "delimiter", s->delimiter.len },
        { HAS_PAIRS, "pair_delimiter", s->pair_delimiter.len },
        { HAS_LAYOUT, "layout", s->layout.len },
        { HAS_LAYOUT, "location", s->location.len },
        { HAS_LEVELS, "preset", s->preset.len },
        { HAS_LEVELS, "mapping", s->mapping.type != VALUE_EMPTY },
        { HAS_TRACE, "trace_id", s->trace_id.len },
        { HAS_TRACE, "span_id", s->span_id.len },
        { HAS_MOVE, "from", s->from.len },
        { HAS_MOVE, "to", s->to.len },
        { HAS_FIELD, "field", s->field.len },
        { HAS_VALUE, "value", s->value.type != VALUE_EMPTY },
        { HAS_FIELDS, "fields", s->fields.count },
        { HAS_EXPR, "expr", s->expr.len },
        { HAS_RECOMBINE, "combine_field", s->combine_field.len },
        { HAS_RECOMBINE, "is_first_entry", s->is_first_entry.len },
        { HAS_RECOMBINE, "is_last_entry", s->is_last_entry.len },
        { HAS_RECOMBINE, "overwrite_with", s->overwrite_with.len },
    };
    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        if (given[i].given && !(k->op->kind->has & given[i].group))
            return at(k, given[i].option,
                      fail(k->err, STATUS_INVALID, "operator %s has no option %s",
                           k->op->kind->name, given[i].option));
    return STATUS_OK;
}

static status find_kind(builder *k)
{
    static const struct {
        const char *type, *instead;
    } others[] = {
        { "router", "list the operators with `if` instead" },
        { "container", "use json_parser or regex_parser, with recombine" },
        { "syslog_parser", "use regex_parser" },
        { "csv_parser", "use regex_parser" },
        { "uri_parser", "use regex_parser" },
        { "assign_keys", "use move" },
        { "regex_replace", "use the redaction processor" },
        { "unquote", "use regex_parser" },
        { "sanitize_utf8", "texts always are made valid UTF-8" },
        { "stdout", "use the debug exporter" },
        { "file_output", "use the file exporter" },
        { "json_array_parser", "use json_parser" },
        { "key_value", "it is called key_value_parser" },
    };
    const operator_kind *kind = filelog_operator_kinds;
    while (kind->name && !str_is(k->s->type, kind->name))
        kind++;
    k->op->kind = kind;
    if (kind->name)
        return STATUS_OK;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_is(k->s->type, others[i].type))
            return at(k, "type",
                      fail(k->err, STATUS_UNSUPPORTED, "operator %s is not supported here: %s",
                           others[i].type, others[i].instead));
    return at(k, "type",
              fail(k->err, STATUS_INVALID,
                   "operator \"%.*s\" is none of json_parser, regex_parser, key_value_parser, "
                   "time_parser, severity_parser, trace_parser, scope_name_parser, move, copy, "
                   "remove, add, retain, flatten, filter, recombine, noop",
                   STR_ARG(k->s->type)));
}

/* ---- parts ---- */

static status field_of(builder *k, const char *option, str text, const char *fallback,
                       bool required, filelog_field *ret)
{
    if (!text.len && !fallback)
        return required ? wrong(k, option, "a field is needed, as attributes.name") : STATUS_OK;
    return at(k, option, filelog_field_parse(ret, text.len ? text : str_c(fallback), k->err));
}

static status expr_of(builder *k, const char *option, str text, filelog_expr **ret)
{
    return text.len ? at(k, option, filelog_expr_parse(ret, text, k->err)) : STATUS_OK;
}

static status time_of(builder *k, const char *path, const filelog_time_settings *s)
{
    k->op->has_time = true;
    status st = field_of(k, path, s->parse_from, NULL, true, &k->op->time.from);
    return st == STATUS_OK
               ? at(k, path,
                    filelog_layout_parse(&k->op->time.layout, (layout_type)s->layout_type,
                                         s->layout, s->location, k->err))
               : st;
}

static status add_mapping(builder *k, const char *path, severity_mapping m)
{
    severity_step *s = &k->op->severity;
    if (s->mapping_count == MAPPINGS_MAX)
        return wrong(k, path, "more than 64 mappings");
    s->mapping[s->mapping_count++] = m;
    return STATUS_OK;
}

/* A text, a number, "5xx", {min, max}, or a list of those. */
static status map_level(builder *k, const char *path, uint8_t severity, const value *v)
{
    status st = STATUS_OK;
    severity_mapping m = { .severity = severity };
    int64_t min, max;
    switch (v->type) {
    case VALUE_ARRAY:
        for (uint32_t i = 0; i < v->array.count && st == STATUS_OK; i++)
            st = v->array.items[i].type == VALUE_ARRAY
                     ? wrong(k, path, "a list in a list")
                     : map_level(k, path, severity, &v->array.items[i]);
        return st;
    case VALUE_I64:
        m.min = m.max = v->i64;
        return add_mapping(k, path, m);
    case VALUE_STR:
        if (v->s.len == 3 && str_ends(v->s, STR("xx")) && v->s.ptr[0] >= '1' &&
            v->s.ptr[0] <= '5') {
            m.min = (v->s.ptr[0] - '0') * 100;
            m.max = m.min + 99;
        } else {
            m.text = v->s;
        }
        return v->s.len ? add_mapping(k, path, m) : wrong(k, path, "an empty text means no level");
    case VALUE_MAP: {
        const value *from = attrs_get(&v->map, STR("min")), *to = attrs_get(&v->map, STR("max"));
        if (!from || !to || from->type != VALUE_I64 || to->type != VALUE_I64)
            return wrong(k, path, "a range needs the numbers min and max");
        min = from->i64;
        max = to->i64;
        m.min = MIN(min, max);
        m.max = MAX(min, max);
        return add_mapping(k, path, m);
    }
    default:
        return wrong(k, path, "a level is meant by a text, a number, {min, max} or a list of them");
    }
}

static status severity_of(builder *k, const char *path, const filelog_severity_settings *s)
{
    severity_step *step = &k->op->severity;
    k->op->has_severity = true;
    status st = field_of(k, path, s->parse_from, NULL, true, &step->from);
    step->names = !str_is(s->preset, "none");
    step->overwrite_text = s->overwrite_text;
    step->mapping = ARENA_ARRAY(&k->o->arena, severity_mapping, MAPPINGS_MAX);
    if (st == STATUS_OK && !step->mapping)
        return fail(k->err, STATUS_NO_MEMORY, "no memory for operators");
    if (st == STATUS_OK && s->mapping.type != VALUE_EMPTY && s->mapping.type != VALUE_MAP)
        return wrong(k, path, "mapping must be a map of levels");
    for (uint32_t i = 0; st == STATUS_OK && i < s->mapping.map.count; i++) {
        const attr *a = &s->mapping.map.items[i];
        uint8_t severity = str_is(a->key, "default") ? 9 : severity_parse(a->key);
        st = severity ? map_level(k, path, severity, &a->value)
                      : at(k, path,
                           fail(k->err, STATUS_INVALID, "mapping: \"%.*s\" is no level",
                                STR_ARG(a->key)));
    }
    return st;
}

static status trace_of(builder *k, const char *path, str trace_id, str span_id, str flags)
{
    trace_step *t = &k->op->trace;
    k->op->has_trace = true;
    status st = field_of(k, path, trace_id, "attributes.trace_id", false, &t->trace_id);
    if (st == STATUS_OK)
        st = field_of(k, path, span_id, "attributes.span_id", false, &t->span_id);
    if (st == STATUS_OK)
        st = field_of(k, path, flags, "attributes.trace_flags", false, &t->flags);
    return st;
}

/* ---- operators ---- */

static status build_parser(builder *k)
{
    const filelog_operator_settings *s = k->s;
    filelog_operator *op = k->op;
    status st = field_of(k, "parse_from", s->parse_from, "body", true, &op->from);
    if (st == STATUS_OK)
        st = field_of(k, "parse_to", s->parse_to, "attributes", true, &op->to);
    if (st == STATUS_OK)
        st = field_of(k, "body", s->body, NULL, false, &op->body);
    if (st == STATUS_OK && s->has_timestamp)
        st = time_of(k, "timestamp", &s->timestamp);
    if (st == STATUS_OK && s->has_severity)
        st = severity_of(k, "severity", &s->severity);
    if (st == STATUS_OK && s->has_trace)
        st = trace_of(k, "trace", s->trace.trace_id, s->trace.span_id, s->trace.trace_flags);
    if (st == STATUS_OK && s->has_scope_name)
        st = field_of(k, "scope_name", s->scope_name, NULL, true, &op->scope);
    return st;
}

static status build_regex(builder *k)
{
    if (!k->s->regex.len)
        return wrong(k, "regex", "a regular expression is needed");
    status st = at(k, "regex", pattern_new(&k->op->regex, k->s->regex, false, k->err));
    if (st == STATUS_OK && pattern_groups(k->op->regex, NULL) == 0)
        return wrong(k, "regex", "it has no named group, as (?P<name>…): nothing would be parsed");
    return st;
}

static status build_fields(builder *k)
{
    const text_list *l = &k->s->fields;
    status st = STATUS_OK;
    if (!l->count || l->count > RETAIN_MAX)
        return wrong(k, "fields", "1 to 64 fields are needed");
    k->op->fields = ARENA_ARRAY(&k->o->arena, filelog_field, l->count);
    if (!k->op->fields)
        return fail(k->err, STATUS_NO_MEMORY, "no memory for operators");
    for (uint32_t i = 0; i < l->count && st == STATUS_OK; i++)
        st = field_of(k, "fields", l->items[i], NULL, true, &k->op->fields[k->op->field_count++]);
    return st;
}

static status build_recombine(builder *k)
{
    const filelog_operator_settings *s = k->s;
    filelog_recombine *r = &k->o->recombine;
    if (k->o->has_recombine)
        return wrong(k, "type", "one recombine operator is possible");
    if (!s->is_first_entry.len == !s->is_last_entry.len)
        return wrong(k, "is_first_entry", "either is_first_entry or is_last_entry is needed");
    bool oldest = !s->overwrite_with.len || str_is(s->overwrite_with, "oldest");
    if (!oldest && !str_is(s->overwrite_with, "newest"))
        return wrong(k, "overwrite_with", "must be oldest or newest");
    *r = (filelog_recombine){ .index = k->index,
                              .with = s->combine_with,
                              .by_first = s->is_first_entry.len > 0,
                              .keep_newest = !oldest,
                              .max_entries = (uint32_t)s->max_batch_size,
                              .max_bytes = (size_t)s->max_log_size,
                              .flush_ns = s->force_flush_period };
    k->o->has_recombine = true;
    status st = field_of(k, "combine_field", s->combine_field, "body", true, &r->field);
    if (st == STATUS_OK)
        st = expr_of(k, r->by_first ? "is_first_entry" : "is_last_entry",
                     r->by_first ? s->is_first_entry : s->is_last_entry, &r->edge);
    return st;
}

static status build_rest(builder *k)
{
    const filelog_operator_settings *s = k->s;
    filelog_operator *op = k->op;
    unsigned has = op->kind->has;
    status st = STATUS_OK;
    if (has & HAS_TO)
        st = build_parser(k);
    else if (has & HAS_LAYOUT)
        st = time_of(
            k, "layout",
            &(filelog_time_settings){ s->parse_from, s->layout, s->location, s->layout_type });
    else if (has & HAS_LEVELS)
        st = severity_of(k, "mapping",
                         &(filelog_severity_settings){ s->parse_from, s->preset, s->mapping,
                                                       s->overwrite_text });
    else if (has & HAS_FROM)
        st = field_of(k, "parse_from", s->parse_from, NULL, true, &op->from);
    if (st == STATUS_OK && (has & HAS_REGEX))
        st = build_regex(k);
    if (st == STATUS_OK && (has & HAS_TRACE))
        st = trace_of(k, "trace_id", s->trace_id, s->span_id, s->trace_flags);
    if (st == STATUS_OK && (has & HAS_MOVE))
        st = field_of(k, "from", s->from, NULL, true, &op->from);
    if (st == STATUS_OK && (has & HAS_MOVE))
        st = field_of(k, "to", s->to, NULL, true, &op->to);
    if (st == STATUS_OK && (has & HAS_FIELD))
        st = field_of(k, "field", s->field, NULL, true, &op->from);
    if (st == STATUS_OK && (has & HAS_FIELDS))
        st = build_fields(k);
    if (st == STATUS_OK && (has & HAS_VALUE) && s->value.type == VALUE_EMPTY)
        st = wrong(k, "value", "a value is needed");
    if (st == STATUS_OK && (has & HAS_VALUE) && s->value.type == VALUE_STR &&
        str_starts(s->value.s, STR("EXPR(")))
        st = wrong(k, "value", "computed values (EXPR) are not supported: use copy");
    if (st == STATUS_OK && (has & HAS_EXPR))
        st = s->expr.len ? expr_of(k, "expr", s->expr, &op->expr)
                         : wrong(k, "expr", "an expression is needed");
    if (st == STATUS_OK && (has & HAS_RECOMBINE))
        st = build_recombine(k);
    return st;
}

static status build(builder *k, const section_list *list)
{
    const filelog_operator_settings *s = k->s, *all = list->items;
    filelog_operator *op = k->op;
    status st = find_kind(k);
    if (st == STATUS_OK)
        st = check_groups(k);
    if (st == STATUS_OK && s->output.len &&
        (k->index + 1 == list->count || !str_eq(s->output, all[k->index + 1].id)))
        st = at(k, "output",
                fail(k->err, STATUS_UNSUPPORTED,
                     "operators run in the order of the list: output can only name the next one"));
    op->quiet = s->on_error >= 2;
    op->drop_on_error = s->on_error % 2 == 1;
    op->delimiter = s->delimiter.len ? s->delimiter : STR("=");
    op->pair_delimiter = str_is(s->pair_delimiter, " ") ? STR_EMPTY : s->pair_delimiter;
    op->value = s->value;
    op->drop_ratio = s->drop_ratio;
    if (st == STATUS_OK)
        st = expr_of(k, "if", s->condition, &op->condition);
    return st == STATUS_OK ? build_rest(k) : st;
}

status filelog_operators_new(filelog_operators **ret, const section_list *list, char *ret_where,
                             size_t where_size, error *err)
{
    status st = STATUS_OK;
    filelog_operators *o = calloc(1, sizeof(*o));
    ret_where[0] = '\0';
    if (!o)
        return fail(err, STATUS_NO_MEMORY, "no memory for operators");
    arena_init(&o->arena, MiB(16));
    o->items = ARENA_ARRAY(&o->arena, filelog_operator, MAX(list->count, 1u));
    if (!o->items)
        st = fail(err, STATUS_NO_MEMORY, "no memory for operators");
    for (uint32_t i = 0; i < list->count && st == STATUS_OK; i++) {
        builder k = { .o = o,
                      .s = (const filelog_operator_settings *)list->items + i,
                      .op = &o->items[o->count++],
                      .where = ret_where,
                      .where_size = where_size,
                      .index = i,
                      .err = err };
        st = build(&k, list);
    }
    if (st != STATUS_OK) {
        filelog_operators_free(o);
        return st;
    }
    *ret = o;
    return STATUS_OK;
}

void filelog_operators_free(filelog_operators *o)
{
    if (!o)
        return;
    for (uint32_t i = 0; i < o->count; i++) {
        filelog_expr_free(o->items[i].condition);
        filelog_expr_free(o->items[i].expr);
        pattern_free(o->items[i].regex);
    }
    filelog_expr_free(o->recombine.edge);
    arena_done(&o->arena);
    free(o);
}
