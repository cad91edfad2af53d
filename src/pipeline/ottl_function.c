// SPDX-License-Identifier: Apache-2.0
/* OTTL's converters, a row each. */
#include "pipeline/ottl_internal.h"

#include "base/clock.h"
#include "codec/batch_rows.h"
#include "codec/json_value.h"

#include <ctype.h>
#include <math.h>

enum { TEXT_LIMIT = 1 << 20 }; /* bytes that a converter may make */

static status no_memory(const ottl_run *run)
{
    return fail(run->err, STATUS_NO_MEMORY, "no memory for a condition");
}

static status wrong(const ottl_run *run, const ottl_node *n, const char *wanted,
                    const ottl_value *got)
{
    return ottl_fail(run->err, n->at, "%s needs a %s, not a %s", n->function->name, wanted,
                     ottl_value_kind(got));
}

/* Strings as they are, anything else but nil as text. */
static status text_of(const ottl_run *run, const ottl_value *v, str *ret)
{
    *ret = v->v.type == VALUE_STR ? v->v.s : value_text(run->memory, &v->v);
    return ret->ptr || ret->len == 0 ? STATUS_OK : no_memory(run);
}

/* ---- types ---- */

static status call_is_match(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                            ottl_value *ret)
{
    str text;
    ret->v = VALUE_B(false);
    if (args[0].v.type == VALUE_EMPTY)
        return STATUS_OK;
    status st = text_of(run, &args[0], &text);
    if (st != STATUS_OK)
        return st;
    pattern_result result = pattern_match(n->pattern, text);
    if (result == PATTERN_LIMIT)
        return ottl_fail(run->err, n->at, "the pattern took too many steps on %zu bytes", text.len);
    ret->v.b = result == PATTERN_YES;
    return STATUS_OK;
}

#define IS_TYPE(name, wanted) \
    static status name(const ottl_run *run, const ottl_node *n, const ottl_value *args, \
                       ottl_value *ret) \
    { \
        (void)run; \
        (void)n; \
        ret->v = VALUE_B(args[0].v.type == (wanted) && args[0].unit == UNIT_NONE); \
        return STATUS_OK; \
    }

IS_TYPE(call_is_string, VALUE_STR)
IS_TYPE(call_is_int, VALUE_I64)
IS_TYPE(call_is_double, VALUE_F64)
IS_TYPE(call_is_bool, VALUE_BOOL)
IS_TYPE(call_is_map, VALUE_MAP)
IS_TYPE(call_is_list, VALUE_ARRAY)

static status call_is_root_span(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                                ottl_value *ret)
{
    (void)n;
    (void)args;
    ret->v = VALUE_B(!span_id_is_set(run->row->b->spans.parent[run->row->row]));
    return STATUS_OK;
}

/* Whether a point of the metric has the key, and the value if one is given. */
static status call_on_datapoint(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                                ottl_value *ret)
{
    const ottl_row *row = run->row;
    const point_rows *points = &row->b->points;
    ret->v = VALUE_B(false);
    if (args[0].v.type != VALUE_STR)
        return wrong(run, n, "string", &args[0]);
    for (uint32_t i = row->point_from; i < row->point_to && !ret->v.b; i++) {
        if (points->metric[i] != row->metric)
            continue;
        const value *found = attrs_get(&points->attributes[i], args[0].v.s);
        ottl_value got = { .v = found ? *found : (value){ 0 } };
        ret->v.b = found && (n->item_count == 1 || ottl_equal(&got, &args[1]));
    }
    return STATUS_OK;
}

/* ---- conversions ---- */

static status call_int(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                       ottl_value *ret)
{
    const value *v = &args[0].v;
    int64_t i;
    (void)run;
    (void)n;
    if (v->type == VALUE_I64)
        ret->v = VALUE_I(v->i64);
    else if (v->type == VALUE_F64 && v->f64 >= -0x1p63 && v->f64 < 0x1p63)
        ret->v = VALUE_I((int64_t)v->f64);
    else if (v->type == VALUE_BOOL)
        ret->v = VALUE_I(v->b ? 1 : 0);
    else if (v->type == VALUE_STR && str_to_i64(v->s, &i))
        ret->v = VALUE_I(i);
    return STATUS_OK; /* nil otherwise */
}

static status call_double(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                          ottl_value *ret)
{
    const value *v = &args[0].v;
    double d;
    (void)run;
    (void)n;
    if (v->type == VALUE_F64)
        ret->v = *v;
    else if (v->type == VALUE_I64)
        ret->v = VALUE_D((double)v->i64);
    else if (v->type == VALUE_BOOL)
        ret->v = VALUE_D(v->b ? 1 : 0);
    else if (v->type == VALUE_STR && str_to_f64(v->s, &d))
        ret->v = VALUE_D(d);
    return STATUS_OK;
}

static status call_string(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                          ottl_value *ret)
{
    str text;
    (void)n;
    if (args[0].v.type == VALUE_EMPTY)
        return STATUS_OK;
    status st = text_of(run, &args[0], &text);
    ret->v = VALUE_S(text);
    return st;
}

static status call_len(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                       ottl_value *ret)
{
    const value *v = &args[0].v;
    if (v->type == VALUE_STR || v->type == VALUE_BYTES)
        ret->v = VALUE_I((int64_t)v->s.len);
    else if (v->type == VALUE_ARRAY)
        ret->v = VALUE_I(v->array.count);
    else if (v->type == VALUE_MAP)
        ret->v = VALUE_I(v->map.count);
    else
        return wrong(run, n, "string, list or map", &args[0]);
    return STATUS_OK;
}

static status call_parse_json(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                              ottl_value *ret)
{
    json_reader r;
    error reason;
    if (args[0].v.type != VALUE_STR)
        return wrong(run, n, "string", &args[0]);
    json_read(&r, args[0].v.s, run->memory, 0);
    if (value_from_json(&r, run->memory, &ret->v) && json_next(&r) == JSON_END)
        return STATUS_OK;
    json_fail_status(&r, &reason, "ParseJSON");
    return ottl_fail(run->err, n->at, "%s", reason.message);
}

/* The literal was checked when it was parsed. */
static status call_id(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                      ottl_value *ret)
{
    (void)run;
    (void)n;
    *ret = args[0];
    return STATUS_OK;
}

/* ---- texts ---- */

static status call_concat(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                          ottl_value *ret)
{
    if (args[0].v.type != VALUE_ARRAY || args[1].v.type != VALUE_STR)
        return ottl_fail(run->err, n->at, "Concat takes a list and a string");
    const values *list = &args[0].v.array;
    buf out;
    buf_init(&out, TEXT_LIMIT);
    for (uint32_t i = 0; i < list->count; i++) {
        if (i)
            buf_str(&out, args[1].v.s);
        if (list->items[i].type == VALUE_EMPTY)
            buf_lit(&out, "<nil>");
        else
            value_to_text(&list->items[i], &out);
    }
    str text = out.failed ? (str){ NULL, 0 } : arena_str(run->memory, buf_view(&out));
    buf_done(&out);
    ret->v = VALUE_S(text);
    return text.ptr ? STATUS_OK : no_memory(run);
}

static status call_letters(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                           ottl_value *ret)
{
    bool lower = n->function->name[2] == 'L'; /* ToLowerCase, ToUpperCase */
    if (args[0].v.type == VALUE_EMPTY)
        return STATUS_OK;
    if (args[0].v.type != VALUE_STR)
        return wrong(run, n, "string", &args[0]);
    str text = args[0].v.s;
    char *out = arena_alloc(run->memory, text.len + 1);
    if (!out)
        return no_memory(run);
    for (size_t i = 0; i < text.len; i++) {
        int c = (unsigned char)text.ptr[i];
        out[i] = (char)(lower ? tolower(c) : toupper(c));
    }
    ret->v = VALUE_S(str_n(out, text.len));
    return STATUS_OK;
}

static status call_trim(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                        ottl_value *ret)
{
    if (args[0].v.type != VALUE_STR)
        return wrong(run, n, "string", &args[0]);
    ret->v = VALUE_S(str_trim(args[0].v.s));
    return STATUS_OK;
}

static status call_substring(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                             ottl_value *ret)
{
    if (args[0].v.type != VALUE_STR)
        return wrong(run, n, "string", &args[0]);
    if (args[1].v.type != VALUE_I64 || args[2].v.type != VALUE_I64)
        return ottl_fail(run->err, n->at, "Substring takes a string and two integers");
    str text = args[0].v.s;
    int64_t start = args[1].v.i64, length = args[2].v.i64;
    if (start < 0 || length <= 0 || (uint64_t)start > text.len ||
        (uint64_t)length > text.len - (uint64_t)start)
        return ottl_fail(run->err, n->at, "Substring from %lld of %lld bytes is outside of %zu",
                         (long long)start, (long long)length, text.len);
    ret->v = VALUE_S(str_slice(text, (size_t)start, (size_t)(start + length)));
    return STATUS_OK;
}

static status call_affix(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                         ottl_value *ret)
{
    bool prefix = n->function->name[3] == 'P'; /* HasPrefix, HasSuffix */
    if (args[0].v.type != VALUE_STR || args[1].v.type != VALUE_STR)
        return wrong(run, n, "string", &args[args[0].v.type == VALUE_STR ? 1 : 0]);
    ret->v =
        VALUE_B(prefix ? str_starts(args[0].v.s, args[1].v.s) : str_ends(args[0].v.s, args[1].v.s));
    return STATUS_OK;
}

static status call_split(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                         ottl_value *ret)
{
    if (args[0].v.type != VALUE_STR || args[1].v.type != VALUE_STR || !args[1].v.s.len)
        return ottl_fail(run->err, n->at, "Split takes two strings, the second not empty");
    str rest = args[0].v.s, by = args[1].v.s;
    size_t count = 1;
    for (size_t at, from = 0;
         (at = str_find(str_slice(rest, from, rest.len), by)) != SIZE_MAX && count < UINT32_MAX;
         from += at + by.len)
        count++;
    value *items = ARENA_ARRAY(run->memory, value, count);
    if (!items)
        return no_memory(run);
    for (size_t i = 0; i < count; i++) {
        size_t at = str_find(rest, by);
        items[i] = VALUE_S(str_slice(rest, 0, at));
        rest = str_slice(rest, at == SIZE_MAX ? rest.len : at + by.len, rest.len);
    }
    ret->v = (value){ .type = VALUE_ARRAY, .array = { items, (uint32_t)count } };
    return STATUS_OK;
}

static status call_contains(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                            ottl_value *ret)
{
    if (args[0].v.type != VALUE_ARRAY)
        return wrong(run, n, "list", &args[0]);
    ret->v = VALUE_B(false);
    for (uint32_t i = 0; i < args[0].v.array.count && !ret->v.b; i++) {
        ottl_value item = { .v = args[0].v.array.items[i] };
        ret->v.b = ottl_equal(&item, &args[1]);
    }
    return STATUS_OK;
}

/* ---- time ---- */

static status call_now(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                       ottl_value *ret)
{
    (void)run;
    (void)n;
    (void)args;
    *ret = (ottl_value){ VALUE_I(clock_now_ns()), UNIT_TIME };
    return STATUS_OK;
}

static status call_duration(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                            ottl_value *ret)
{
    int64_t ns;
    if (args[0].v.type != VALUE_STR || !clock_parse_duration(args[0].v.s, &ns))
        return ottl_fail(run->err, n->at, "Duration takes a text such as \"1m30s\"");
    *ret = (ottl_value){ VALUE_I(ns), UNIT_DURATION };
    return STATUS_OK;
}

static const struct {
    const char *name;
    ottl_unit unit;
    int64_t ns;
    bool whole; /* an integer, else a float */
} units[] = {
    { "UnixSeconds", UNIT_TIME, NS_PER_S, true },
    { "UnixMilli", UNIT_TIME, NS_PER_MS, true },
    { "UnixMicro", UNIT_TIME, NS_PER_US, true },
    { "UnixNano", UNIT_TIME, 1, true },
    { "Nanoseconds", UNIT_DURATION, 1, true },
    { "Microseconds", UNIT_DURATION, NS_PER_US, true },
    { "Milliseconds", UNIT_DURATION, NS_PER_MS, true },
    { "Seconds", UNIT_DURATION, NS_PER_S, false },
    { "Minutes", UNIT_DURATION, 60 * NS_PER_S, false },
    { "Hours", UNIT_DURATION, 3600 * NS_PER_S, false },
};

static status call_in_units(const ottl_run *run, const ottl_node *n, const ottl_value *args,
                            ottl_value *ret)
{
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(units) && !str_is(str_c(units[i].name), n->function->name))
        i++;
    if (args[0].unit != units[i].unit)
        return wrong(run, n, units[i].unit == UNIT_TIME ? "time" : "duration", &args[0]);
    ret->v = units[i].whole ? VALUE_I(args[0].v.i64 / units[i].ns)
                            : VALUE_D((double)args[0].v.i64 / (double)units[i].ns);
    return STATUS_OK;
}

/* ---- the table ---- */

#define IN(context) (1u << (context))

static const ottl_function functions[] = {
    { "IsMatch", 2, 2, true, 0, 0, call_is_match,
      "Whether the pattern (a regular expression) is found in a text; nil: false." },
    { "IsString", 1, 1, false, 0, 0, call_is_string, "Whether it is a string." },
    { "IsInt", 1, 1, false, 0, 0, call_is_int, "Whether it is an integer." },
    { "IsDouble", 1, 1, false, 0, 0, call_is_double, "Whether it is a float." },
    { "IsBool", 1, 1, false, 0, 0, call_is_bool, "Whether it is true or false." },
    { "IsMap", 1, 1, false, 0, 0, call_is_map, "Whether it is a map." },
    { "IsList", 1, 1, false, 0, 0, call_is_list, "Whether it is a list." },
    { "IsRootSpan", 0, 0, false, IN(OTTL_SPAN) | IN(OTTL_SPANEVENT), 0, call_is_root_span,
      "Whether the span has no parent." },
    { "HasAttrKeyOnDatapoint", 1, 1, false, IN(OTTL_METRIC), 0, call_on_datapoint,
      "Whether a point of the metric has an attribute." },
    { "HasAttrOnDatapoint", 2, 2, false, IN(OTTL_METRIC), 0, call_on_datapoint,
      "Whether a point of the metric has an attribute with that value." },
    { "Int", 1, 1, false, 0, 0, call_int, "As an integer; nil when it is none." },
    { "Double", 1, 1, false, 0, 0, call_double, "As a float; nil when it is none." },
    { "String", 1, 1, false, 0, 0, call_string, "As text; maps and lists as JSON." },
    { "Len", 1, 1, false, 0, 0, call_len, "Bytes of a text, elements of a list or map." },
    { "Concat", 2, 2, false, 0, 0, call_concat, "A list's elements with a text between them." },
    { "Split", 2, 2, false, 0, 0, call_split, "A text's parts between a separator, as a list." },
    { "ContainsValue", 2, 2, false, 0, 0, call_contains, "Whether a list has the value." },
    { "ToLowerCase", 1, 1, false, 0, 0, call_letters, "A text with small letters (ASCII)." },
    { "ToUpperCase", 1, 1, false, 0, 0, call_letters, "A text with capital letters (ASCII)." },
    { "Trim", 1, 1, false, 0, 0, call_trim, "A text without white space at both ends." },
    { "Substring", 3, 3, false, 0, 0, call_substring, "Text, start and length in bytes." },
    { "HasPrefix", 2, 2, false, 0, 0, call_affix, "Whether a text begins so." },
    { "HasSuffix", 2, 2, false, 0, 0, call_affix, "Whether a text ends so." },
    { "TraceID", 1, 1, false, 0, 16, call_id, "A trace id: TraceID(0x…), 32 digits." },
    { "SpanID", 1, 1, false, 0, 8, call_id, "A span id: SpanID(0x…), 16 digits." },
    { "ParseJSON", 1, 1, false, 0, 0, call_parse_json, "What a JSON text says." },
    { "Now", 0, 0, false, 0, 0, call_now, "The time." },
    { "Duration", 1, 1, false, 0, 0, call_duration, "A duration: Duration(\"1m30s\")." },
    { "UnixSeconds", 1, 1, false, 0, 0, call_in_units, "A time as seconds since 1970." },
    { "UnixMilli", 1, 1, false, 0, 0, call_in_units, "A time as milliseconds since 1970." },
    { "UnixMicro", 1, 1, false, 0, 0, call_in_units, "A time as microseconds since 1970." },
    { "UnixNano", 1, 1, false, 0, 0, call_in_units, "A time as nanoseconds since 1970." },
    { "Nanoseconds", 1, 1, false, 0, 0, call_in_units, "A duration as an integer." },
    { "Microseconds", 1, 1, false, 0, 0, call_in_units, "A duration as an integer." },
    { "Milliseconds", 1, 1, false, 0, 0, call_in_units, "A duration as an integer." },
    { "Seconds", 1, 1, false, 0, 0, call_in_units, "A duration as a float." },
    { "Minutes", 1, 1, false, 0, 0, call_in_units, "A duration as a float." },
    { "Hours", 1, 1, false, 0, 0, call_in_units, "A duration as a float." },
};

const ottl_function *ottl_function_find(str name)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (str_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}

ottl_function_help ottl_function_at(size_t index)
{
    if (index >= ARRAY_LEN(functions))
        return (ottl_function_help){ NULL, NULL };
    return (ottl_function_help){ functions[index].name, functions[index].help };
}

/* Levenshtein's distance; long names are far from everything. */
unsigned ottl_distance(str a, str b)
{
    enum { LONGEST = 40 };
    unsigned row[LONGEST + 1];
    if (a.len > LONGEST || b.len > LONGEST)
        return 99;
    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned corner = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            bool same = (a.ptr[i - 1] | 32) == (b.ptr[j - 1] | 32);
            unsigned change = corner + (same ? 0 : 1);
            corner = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.len];
}

const char *ottl_function_nearest(str name)
{
    const char *best = "";
    unsigned distance = 4;
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        unsigned d = ottl_distance(name, str_c(functions[i].name));
        if (d < distance) {
            distance = d;
            best = functions[i].name;
        }
    }
    return best;
}
