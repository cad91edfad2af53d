// SPDX-License-Identifier: Apache-2.0
/* Which items are meant; see match.h. */
#include "pipeline/processors/match.h"

#include "codec/batch_rows.h"
#include "codec/log_fields.h"
#include "pipeline/pattern.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    str key;
    value value; /* VALUE_EMPTY: any */
} pair_settings;

typedef struct {
    str name;
    value version; /* VALUE_EMPTY: any */
} library_settings;

static const char *const match_types[] = { "strict", "regexp", NULL };
enum { MATCH_STRICT, MATCH_REGEXP };

/* ---- options ---- */

static const option pair_rows[] = {
    { .name = "key",
      .type = OPTION_TEXT,
      .offset = offsetof(pair_settings, key),
      .required = true,
      .help = "name of the attribute" },
    { .name = "value",
      .type = OPTION_VALUE,
      .offset = offsetof(pair_settings, value),
      .help = "its value, or a pattern of it; any when absent" },
};
static const option_table pair_options = OPTION_TABLE(pair_rows, pair_settings);

static const option library_rows[] = {
    { .name = "name",
      .type = OPTION_TEXT,
      .offset = offsetof(library_settings, name),
      .required = true,
      .help = "name of the instrumentation scope" },
    { .name = "version",
      .type = OPTION_VALUE,
      .offset = offsetof(library_settings, version),
      .help = "its version; any when absent" },
};
static const option_table library_options = OPTION_TABLE(library_rows, library_settings);

static const option severity_rows[] = {
    { .name = "min",
      .type = OPTION_TEXT,
      .offset = offsetof(severity_settings, min),
      .required = true,
      .help = "lowest severity: \"WARN\", or its number" },
    { .name = "match_undefined",
      .type = OPTION_BOOL,
      .offset = offsetof(severity_settings, match_undefined),
      .help = "whether records without a severity fit as well" },
};
static const option_table severity_options = OPTION_TABLE(severity_rows, severity_settings);

#define AT(member) offsetof(match_settings, member)
#define TYPE \
    { \
        .name = "match_type", .type = OPTION_CHOICE, .offset = AT(match_type), \
        .choices = match_types, .required = true, \
        .help = "strict: texts must be equal; regexp: they are regular expressions" \
    }
#define TEXTS(name_, member, help_) \
    { \
        .name = (name_), .type = OPTION_TEXTS, .offset = AT(member), .help = (help_) \
    }
#define PAIRS(name_, member, help_) \
    { \
        .name = (name_), .type = OPTION_SECTIONS, .offset = AT(member), .table = &pair_options, \
        .help = (help_) \
    }
#define SEVERITY(name_) \
    { \
        .name = (name_), .type = OPTION_SECTION, .offset = AT(severity), \
        .table = &severity_options, .present = OPTION_PRESENT(match_settings, has_severity), \
        .help = "severities from one on" \
    }
#define CACHE \
    { \
        .name = "regexp", .type = OPTION_IGNORED, \
        .help = "patterns are compiled, and their results need no cache" \
    }

static const option match_rows[] = {
    TYPE,
    CACHE,
    TEXTS("services", services, "values of the resource's service.name"),
    TEXTS("span_names", span_names, "names of spans"),
    TEXTS("span_kinds", span_kinds, "kinds of spans: SPAN_KIND_SERVER, …"),
    TEXTS("log_bodies", log_bodies, "bodies of log records that are texts"),
    TEXTS("log_severity_texts", log_severity_texts, "severity texts of log records"),
    SEVERITY("log_severity_number"),
    TEXTS("metric_names", metric_names, "names of metrics"),
    PAIRS("attributes", attributes, "attributes that an item must have"),
    PAIRS("resources", resources, "attributes that its resource must have"),
    { .name = "libraries",
      .type = OPTION_SECTIONS,
      .offset = AT(libraries),
      .table = &library_options,
      .help = "instrumentation scopes" },
};
const option_table match_options = OPTION_TABLE(match_rows, match_settings);

static const option match_log_rows[] = {
    TYPE,
    CACHE,
    TEXTS("bodies", log_bodies, "bodies that are texts"),
    TEXTS("severity_texts", log_severity_texts, "severity texts"),
    SEVERITY("severity_number"),
    PAIRS("resource_attributes", resources, "attributes that the resource must have"),
    PAIRS("record_attributes", attributes, "attributes that the record must have"),
};
const option_table match_log_options = OPTION_TABLE(match_log_rows, match_settings);

static const option match_metric_rows[] = {
    TYPE,
    CACHE,
    TEXTS("metric_names", metric_names, "names of metrics"),
    PAIRS("resource_attributes", resources, "attributes that the resource must have"),
};
const option_table match_metric_options = OPTION_TABLE(match_metric_rows, match_settings);
#undef AT

/* ---- texts ---- */

/* One text to compare with; pattern NULL: it must be equal. */
typedef struct {
    str text;
    pattern *pattern;
} text_match;

typedef struct {
    text_match *items;
    uint32_t count;
} text_matches;

typedef struct {
    str key;
    bool any;
    value value;
    pattern *pattern;
} pair_match;

typedef struct {
    pair_match *items;
    uint32_t count;
} pair_matches;

typedef struct {
    text_match name, version;
    bool any_version;
} library_match;

struct item_match {
    arena arena;
    text_matches services, names, kinds, bodies, severity_texts, metrics;
    pair_matches attributes, resources;
    library_match *libraries;
    uint32_t library_count;
    int64_t min_severity; /* 0: any */
    bool match_undefined;
    pattern **patterns;
    uint32_t pattern_count, pattern_capacity;
};

static status no_memory(error *err)
{
    return fail(err, STATUS_NO_MEMORY, "no memory for what is to be matched");
}

static status compile_text(item_match *m, int type, str text, text_match *ret, error *err)
{
    *ret = (text_match){ .text = text };
    if (type != MATCH_REGEXP)
        return STATUS_OK;
    if (m->pattern_count == m->pattern_capacity) {
        uint32_t wanted = MAX(m->pattern_capacity * 2, 8u);
        void *grown = arena_grow(&m->arena, m->patterns, m->pattern_count * sizeof(pattern *),
                                 wanted * sizeof(pattern *));
        if (!grown)
            return no_memory(err);
        m->patterns = grown;
        m->pattern_capacity = wanted;
    }
    status st = pattern_new(&ret->pattern, text, false, err);
    if (st == STATUS_OK)
        m->patterns[m->pattern_count++] = ret->pattern;
    return st;
}

static status compile_texts(item_match *m, int type, const text_list *list, text_matches *ret,
                            error *err)
{
    ret->items = ARENA_ARRAY(&m->arena, text_match, MAX(list->count, 1u));
    ret->count = list->count;
    status st = ret->items ? STATUS_OK : no_memory(err);
    for (uint32_t i = 0; i < list->count && st == STATUS_OK; i++)
        st = compile_text(m, type, list->items[i], &ret->items[i], err);
    return st;
}

static status compile_pairs(item_match *m, int type, const section_list *list, pair_matches *ret,
                            error *err)
{
    const pair_settings *items = list->items;
    ret->items = ARENA_ARRAY(&m->arena, pair_match, MAX(list->count, 1u));
    ret->count = list->count;
    status st = ret->items ? STATUS_OK : no_memory(err);
    for (uint32_t i = 0; i < list->count && st == STATUS_OK; i++) {
        text_match text;
        pair_match *p = &ret->items[i];
        *p = (pair_match){ .key = items[i].key,
                           .any = items[i].value.type == VALUE_EMPTY,
                           .value = items[i].value };
        if (p->any || type != MATCH_REGEXP)
            continue;
        str pattern_text = value_text(&m->arena, &p->value);
        st = pattern_text.ptr ? compile_text(m, type, pattern_text, &text, err) : no_memory(err);
        p->pattern = st == STATUS_OK ? text.pattern : NULL;
    }
    return st;
}

static status compile_libraries(item_match *m, int type, const section_list *list, error *err)
{
    const library_settings *items = list->items;
    m->libraries = ARENA_ARRAY(&m->arena, library_match, MAX(list->count, 1u));
    m->library_count = list->count;
    status st = m->libraries ? STATUS_OK : no_memory(err);
    for (uint32_t i = 0; i < list->count && st == STATUS_OK; i++) {
        library_match *l = &m->libraries[i];
        st = compile_text(m, type, items[i].name, &l->name, err);
        l->any_version = items[i].version.type == VALUE_EMPTY;
        str version = l->any_version ? STR_EMPTY : value_text(&m->arena, &items[i].version);
        if (st == STATUS_OK && !l->any_version)
            st = version.ptr ? compile_text(m, type, version, &l->version, err) : no_memory(err);
    }
    return st;
}

/* "WARN2", or a number; false when it is none. */
static bool severity_of(str text, int64_t *ret)
{
    if (!str_to_i64(text, ret))
        *ret = severity_parse(text);
    return *ret >= 1 && *ret <= 24;
}

static status compile(item_match *m, const match_settings *s, const char **ret_member, error *err)
{
    const struct {
        const char *name;
        const text_list *from;
        text_matches *to;
    } texts[] = {
        { "services", &s->services, &m->services },
        { "span_names", &s->span_names, &m->names },
        { "span_kinds", &s->span_kinds, &m->kinds },
        { "log_bodies", &s->log_bodies, &m->bodies },
        { "log_severity_texts", &s->log_severity_texts, &m->severity_texts },
        { "metric_names", &s->metric_names, &m->metrics },
    };
    status st = STATUS_OK;
    bool any = s->has_severity || s->attributes.count || s->resources.count || s->libraries.count;
    for (size_t i = 0; i < ARRAY_LEN(texts) && st == STATUS_OK; i++) {
        *ret_member = texts[i].name;
        any |= texts[i].from->count > 0;
        st = compile_texts(m, s->match_type, texts[i].from, texts[i].to, err);
    }
    if (st == STATUS_OK) {
        *ret_member = "attributes";
        st = compile_pairs(m, s->match_type, &s->attributes, &m->attributes, err);
    }
    if (st == STATUS_OK) {
        *ret_member = "resources";
        st = compile_pairs(m, s->match_type, &s->resources, &m->resources, err);
    }
    if (st == STATUS_OK) {
        *ret_member = "libraries";
        st = compile_libraries(m, s->match_type, &s->libraries, err);
    }
    m->match_undefined = s->severity.match_undefined;
    if (st == STATUS_OK && s->has_severity && !severity_of(s->severity.min, &m->min_severity)) {
        *ret_member = "log_severity_number";
        return fail(err, STATUS_INVALID, "min is a severity (\"WARN\", or 1 to 24), not \"%.*s\"",
                    (int)MIN(s->severity.min.len, 40), s->severity.min.ptr);
    }
    if (st == STATUS_OK && !any) {
        *ret_member = "";
        return fail(err, STATUS_INVALID, "at least one property must be named");
    }
    return st;
}

static status match_make(item_match **ret, const match_settings *s, const char **ret_member,
                         error *err)
{
    item_match *m = calloc(1, sizeof(*m));
    if (!m)
        return no_memory(err);
    arena_init(&m->arena, MiB(16));
    status st = compile(m, s, ret_member, err);
    if (st == STATUS_OK)
        *ret = m;
    else
        match_free(m);
    return st;
}

status match_check(const match_settings *s, const char *name, char *where, size_t where_size,
                   error *err)
{
    item_match *m = NULL;
    const char *member = "";
    status st = match_make(&m, s, &member, err);
    match_free(m);
    if (st != STATUS_OK)
        snprintf(where, where_size, "%s%s%s", name, *member ? "." : "", member);
    return st;
}

status match_new(item_match **ret, const match_settings *s, error *err)
{
    const char *member;
    return match_make(ret, s, &member, err);
}

void match_free(item_match *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->pattern_count; i++)
        pattern_free(m->patterns[i]);
    arena_done(&m->arena);
    free(m);
}

/* ---- rows ---- */

static bool text_fits(const text_match *t, str text)
{
    return t->pattern ? pattern_matches(t->pattern, text) : str_eq(t->text, text);
}

static bool texts_fit(const text_matches *list, str text)
{
    bool fits = list->count == 0;
    for (uint32_t i = 0; i < list->count && !fits; i++)
        fits = text_fits(&list->items[i], text);
    return fits;
}

static bool value_fits(const pair_match *p, const value *v, arena *memory)
{
    if (p->any)
        return true;
    if (p->pattern) {
        str text = v->type == VALUE_STR ? v->s : value_text(memory, v);
        return text.ptr && pattern_matches(p->pattern, text);
    }
    if (p->value.type == VALUE_I64 && v->type == VALUE_F64)
        return v->f64 == (double)p->value.i64;
    if (p->value.type == VALUE_F64 && v->type == VALUE_I64)
        return p->value.f64 == (double)v->i64;
    return v->type == p->value.type && str_eq(value_text(memory, v), value_text(memory, &p->value));
}

static bool pairs_fit(const pair_matches *list, const attrs *of, arena *memory)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const value *v = attrs_get(of, list->items[i].key);
        if (!v || !value_fits(&list->items[i], v, memory))
            return false;
    }
    return true;
}

static bool library_fits(const item_match *m, const batch_scope *scope)
{
    bool fits = m->library_count == 0;
    for (uint32_t i = 0; i < m->library_count && !fits; i++) {
        const library_match *l = &m->libraries[i];
        fits = text_fits(&l->name, scope->name) &&
               (l->any_version || text_fits(&l->version, scope->version));
    }
    return fits;
}

static str kind_text(uint8_t kind)
{
    static const char *const names[] = { "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL",
                                         "SPAN_KIND_SERVER",      "SPAN_KIND_CLIENT",
                                         "SPAN_KIND_PRODUCER",    "SPAN_KIND_CONSUMER" };
    return str_c(names[kind < ARRAY_LEN(names) ? kind : 0]);
}

static bool log_fits(const item_match *m, const batch *b, uint32_t row)
{
    const value *body = &b->logs.body[row];
    uint8_t severity = b->logs.severity[row];
    if (m->min_severity && (severity ? severity < m->min_severity : !m->match_undefined))
        return false;
    if (m->bodies.count && (body->type != VALUE_STR || !texts_fit(&m->bodies, body->s)))
        return false;
    return texts_fit(&m->severity_texts, b->logs.severity_text[row]);
}

/* Properties of another signal fit nothing. */
static bool own_fits(const item_match *m, const batch *b, uint32_t row)
{
    bool of_spans = m->names.count || m->kinds.count;
    bool of_logs = m->bodies.count || m->severity_texts.count || m->min_severity;
    if ((of_spans && b->signal != SIGNAL_TRACES) || (of_logs && b->signal != SIGNAL_LOGS) ||
        (m->metrics.count && b->signal != SIGNAL_METRICS))
        return false;
    if (b->signal == SIGNAL_TRACES)
        return texts_fit(&m->names, b->spans.name[row]) &&
               texts_fit(&m->kinds, kind_text(b->spans.kind[row]));
    if (b->signal == SIGNAL_METRICS)
        return texts_fit(&m->metrics, b->metrics[b->points.metric[row]].name);
    return log_fits(m, b, row);
}

bool match_row(const item_match *m, batch *b, uint32_t row)
{
    const attrs *resource = &batch_row_resource(b, row)->attributes;
    if (m->services.count &&
        (!attrs_get(resource, STR("service.name")) ||
         !texts_fit(&m->services, attrs_get_str(resource, STR("service.name")))))
        return false;
    return own_fits(m, b, row) && library_fits(m, batch_row_scope(b, row)) &&
           pairs_fit(&m->resources, resource, &b->arena) &&
           pairs_fit(&m->attributes, batch_row_attributes(b, row), &b->arena);
}
