// SPDX-License-Identifier: Apache-2.0
/* Rule files into definitions; see file.h. The tables say which fields there are; file_check.c
 * what they may hold. Findings are gathered and told by line, so that all are seen at once. */
#include "rules/file.h"

#include "base/file.h"
#include "rules/file_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 128 << 20, MESSAGE_MAX = 4096 };

/* ---- findings ---- */

static void add_finding(rule_reader *r, bool warning, unsigned line, unsigned column,
                        const char *text)
{
    r->errors += !warning;
    if (r->finding_count == RULE_ISSUES_MAX) {
        r->more++;
        return;
    }
    str copy = arena_str(&r->scratch, str_c(text));
    r->findings[r->finding_count] = (rule_finding){ line, column, r->finding_count, warning,
                                                    copy.ptr ? copy.ptr : "no memory for why" };
    r->finding_count++;
}

void rule_error(rule_reader *r, const yaml_node *at, const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    add_finding(r, false, at ? at->line : 0, at ? at->column : 0, text);
}

void rule_warning(rule_reader *r, const yaml_node *at, const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    add_finding(r, true, at ? at->line : 0, at ? at->column : 0, text);
}

static void option_issue(void *user, bool warning, unsigned line, unsigned column, const char *text)
{
    add_finding(user, warning, line, column, text);
}

static int compare_findings(const void *a, const void *b)
{
    const rule_finding *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* One line each, whatever bytes were quoted. */
static void give(const rule_reader *r, const rule_finding *f, rule_issue *issue, void *user)
{
    buf b;
    buf_init(&b, 2 * MESSAGE_MAX);
    buf_fmt(&b, "%s:", r->path);
    if (f->line)
        buf_fmt(&b, "%u:%u:", f->line, f->column);
    buf_fmt(&b, " %s", f->text);
    for (size_t i = 0; i < b.len; i++)
        if ((unsigned char)b.ptr[i] < ' ' || b.ptr[i] == 0x7f)
            b.ptr[i] = ' ';
    buf_char(&b, '\0');
    issue(user, f->warning, b.failed ? f->text : b.ptr);
    buf_done(&b);
}

static status finish(rule_reader *r, rule_issue *issue, void *user, error *err)
{
    const rule_finding *first = NULL;
    qsort(r->findings, r->finding_count, sizeof(*r->findings), compare_findings);
    for (uint32_t i = 0; i < r->finding_count; i++) {
        if (!first && !r->findings[i].warning)
            first = &r->findings[i];
        if (issue)
            give(r, &r->findings[i], issue, user);
    }
    if (r->more && issue)
        give(r, &(rule_finding){ .warning = true, .text = "and more; the first ones are told" },
             issue, user);
    if (r->errors == 0)
        return STATUS_OK;
    if (r->errors == 1 && first)
        return fail(err, STATUS_INVALID, "%s:%u:%u: %s", r->path, first->line, first->column,
                    first->text);
    return fail(err, STATUS_INVALID, "%s has %u errors", r->path, r->errors);
}

/* ---- the fields ---- */

typedef struct {
    str record, alert, expr, hold, keep_firing_for;
    pair_list labels, annotations;
} rule_fields;

typedef struct {
    str name, interval, query_offset;
    int type;
    int64_t limit;
    pair_list labels;
    section_list rules;
} group_fields;

typedef struct {
    section_list groups;
} file_fields;

#define FIELD(name_, type_, struct_, member_, help_) \
    { \
        .name = (name_), .type = (type_), .offset = offsetof(struct_, member_), .help = (help_) \
    }

static const option rule_rows[] = {
    FIELD("record", OPTION_TEXT, rule_fields, record, "name of the series that it makes"),
    FIELD("alert", OPTION_TEXT, rule_fields, alert, "name of the alert"),
    FIELD("expr", OPTION_TEXT, rule_fields, expr, "the expression"),
    FIELD("for", OPTION_TEXT, rule_fields, hold, "how long before it fires"),
    FIELD("keep_firing_for", OPTION_TEXT, rule_fields, keep_firing_for,
          "how long it fires after the condition ended"),
    FIELD("labels", OPTION_PAIRS, rule_fields, labels, "labels added or replaced"),
    FIELD("annotations", OPTION_PAIRS, rule_fields, annotations, "texts of the alert"),
};
static const option_table rule_table = OPTION_TABLE(rule_rows, rule_fields);

static const char *const languages[] = { "prometheus", "logql", NULL };

static const option group_rows[] = {
    FIELD("name", OPTION_TEXT, group_fields, name, "name, once in the file"),
    { .name = "type",
      .type = OPTION_CHOICE,
      .offset = offsetof(group_fields, type),
      .choices = languages,
      .fallback = "prometheus",
      .help = "language of the expressions" },
    FIELD("interval", OPTION_TEXT, group_fields, interval, "how often it is evaluated"),
    FIELD("query_offset", OPTION_TEXT, group_fields, query_offset, "how far back it looks"),
    FIELD("limit", OPTION_INT, group_fields, limit, "series or alerts of one rule"),
    FIELD("labels", OPTION_PAIRS, group_fields, labels, "labels of all its rules"),
    { .name = "rules",
      .type = OPTION_SECTIONS,
      .offset = offsetof(group_fields, rules),
      .table = &rule_table,
      .help = "the rules, evaluated in this order" },
};
static const option_table group_table = OPTION_TABLE(group_rows, group_fields);

static const option file_rows[] = {
    { .name = "groups",
      .type = OPTION_SECTIONS,
      .offset = offsetof(file_fields, groups),
      .table = &group_table,
      .help = "groups of rules" },
};
static const option_table file_table = OPTION_TABLE(file_rows, file_fields);

/* ---- into definitions ---- */

bool rule_parse_duration(str text, int64_t *ret_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = { { "y", 31536000000 }, { "w", 604800000 }, { "d", 86400000 }, { "h", 3600000 },
                  { "m", 60000 },       { "s", 1000 },      { "ms", 1 } };
    int64_t sum = 0;
    size_t at = 0, unit = 0;
    if (str_is(text, "0")) {
        *ret_ms = 0;
        return true;
    }
    while (at < text.len) {
        int64_t n = 0, part;
        size_t digits = at;
        while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
            if (__builtin_mul_overflow(n, 10, &n) ||
                __builtin_add_overflow(n, text.ptr[at++] - '0', &n))
                return false;
        size_t letters = at;
        while (at < text.len && text.ptr[at] >= 'a' && text.ptr[at] <= 'z')
            at++;
        while (unit < ARRAY_LEN(units) && !str_is(str_slice(text, letters, at), units[unit].name))
            unit++;
        if (letters == digits || unit == ARRAY_LEN(units) ||
            __builtin_mul_overflow(n, units[unit].ms, &part) ||
            __builtin_add_overflow(sum, part, &sum) || sum > INT64_MAX / NS_PER_MS)
            return false;
        unit++;
    }
    if (text.len == 0)
        return false;
    *ret_ms = sum;
    return true;
}

static int64_t read_duration(rule_reader *r, str text, const yaml_node *n, const char *name)
{
    int64_t ms = 0;
    const yaml_node *at = yaml_get(n, str_c(name));
    if (!yaml_is_null(at) && at->kind == YAML_SCALAR && !rule_parse_duration(text, &ms))
        rule_error(r, at, "%s: not a valid duration string: \"%.*s\"; write 30s, 5m, 1h30m", name,
                   (int)MIN(text.len, (size_t)80), text.ptr);
    return ms;
}

/* A name that stands twice is an error of the YAML already. */
static labels read_labels(rule_reader *r, const pair_list *pairs, const yaml_node *at)
{
    label *items = ARENA_ARRAY(&r->file->arena, label, (size_t)pairs->count + 1);
    if (at && at->kind == YAML_SEQUENCE)
        rule_error(r, at, "wants a map of names to texts, not a list");
    if (!items) {
        rule_error(r, at, "larger than the memory of a rule file");
        return (labels){ NULL, 0 };
    }
    for (uint32_t i = 0; i < pairs->count; i++)
        items[i] = (label){ pairs->items[i].name, pairs->items[i].value };
    /* Not labels_sort: an empty text stands in the file and removes a label of the result. */
    for (uint32_t i = 1; i < pairs->count; i++)
        for (uint32_t j = i; j > 0 && str_cmp(items[j - 1].name, items[j].name) > 0; j--) {
            label moving = items[j];
            items[j] = items[j - 1];
            items[j - 1] = moving;
        }
    return (labels){ items, pairs->count };
}

static void read_rule(rule_reader *r, const rule_fields *f, const yaml_node *n,
                      rule_definition *ret)
{
    const yaml_node *expr = yaml_get(n, STR("expr"));
    *ret = (rule_definition){
        .record = f->record,
        .alert = f->alert,
        .expr = f->expr,
        .for_ms = read_duration(r, f->hold, n, "for"),
        .keep_firing_for_ms = read_duration(r, f->keep_firing_for, n, "keep_firing_for"),
        .labels = read_labels(r, &f->labels, yaml_get(n, STR("labels"))),
        .annotations = read_labels(r, &f->annotations, yaml_get(n, STR("annotations"))),
        .line = n->line,
        .column = n->column,
        .expr_line = expr ? expr->line : n->line,
        .expr_column = expr ? expr->column : n->column,
    };
}

static void read_group(rule_reader *r, const group_fields *f, const yaml_node *n,
                       rule_group_definition *ret)
{
    const yaml_node *rules = yaml_get(n, STR("rules"));
    const yaml_node *offset = yaml_get(n, STR("query_offset"));
    const yaml_node *limit = yaml_get(n, STR("limit"));
    const rule_fields *items = f->rules.items;
    int64_t number, size;
    *ret = (rule_group_definition){
        .name = f->name,
        .language = f->type ? RULE_LOGQL : RULE_PROMQL,
        .interval_ms = read_duration(r, f->interval, n, "interval"),
        .has_query_offset = !yaml_is_null(offset),
        .query_offset_ms = read_duration(r, f->query_offset, n, "query_offset"),
        .limit = f->limit,
        .labels = read_labels(r, &f->labels, yaml_get(n, STR("labels"))),
        .line = n->line,
        .column = n->column,
    };
    /* The option's reader refuses all but the sizes. */
    if (!yaml_is_null(limit) && limit->kind == YAML_SCALAR && !yaml_to_i64(limit, &number) &&
        option_parse_size(limit->text, &size))
        rule_error(r, limit, "limit: \"%.*s\" is no whole number",
                   (int)MIN(limit->text.len, (size_t)80), limit->text.ptr);
    ret->rules = ARENA_ARRAY(&r->file->arena, rule_definition, (size_t)f->rules.count + 1);
    if (!ret->rules || r->file->rule_count + f->rules.count > RULES_PER_FILE_MAX) {
        rule_error(r, rules, "more rules than one file may have (%u)", RULES_PER_FILE_MAX);
        return;
    }
    for (uint32_t i = 0; i < f->rules.count; i++)
        read_rule(r, &items[i], rules->items[i], &ret->rules[i]);
    ret->rule_count = f->rules.count;
    r->file->rule_count += f->rules.count;
}

static void read_document(rule_reader *r, const yaml_node *root)
{
    file_fields fields = { 0 };
    char who[] = "rules";
    option_reader options = { .arena = &r->file->arena,
                              .issue = option_issue,
                              .user = r,
                              .nodes = YAML_NODES_MAX,
                              .who = who };
    if (yaml_is_null(root))
        return;
    option_fill(&options, &file_table, root, root, &fields);
    const yaml_node *groups = yaml_get(root, STR("groups"));
    const group_fields *items = fields.groups.items;
    if (fields.groups.count > RULE_GROUPS_MAX) {
        rule_error(r, groups, "more than %u groups", RULE_GROUPS_MAX);
        return;
    }
    r->file->groups =
        ARENA_ARRAY(&r->file->arena, rule_group_definition, (size_t)fields.groups.count + 1);
    if (!r->file->groups) {
        rule_error(r, groups, "larger than the memory of a rule file");
        return;
    }
    for (uint32_t i = 0; i < fields.groups.count; i++)
        read_group(r, &items[i], groups->items[i], &r->file->groups[i]);
    r->file->group_count = fields.groups.count;
    for (uint32_t i = 0; i < fields.groups.count; i++)
        rule_check_group(r, &r->file->groups[i], groups->items[i]);
    if (fields.groups.count)
        rule_check_duplicates(r, groups);
}

status rule_file_parse(rule_file *ret, const char *path, str text, uint32_t features,
                       rule_issue *issue, void *user, error *err)
{
    yaml_document doc;
    yaml_error wrong;
    rule_finding *findings = calloc(RULE_ISSUES_MAX, sizeof(*findings));
    rule_reader r = { .path = path, .file = ret, .features = features, .findings = findings };
    memset(ret, 0, sizeof(*ret));
    arena_init(&ret->arena, FILE_BYTES_MAX);
    arena_init(&r.scratch, MiB(4));
    arena_init(&r.parsing, MiB(64));
    ret->path = arena_str(&ret->arena, str_c(path)).ptr;
    str copy = arena_str(&ret->arena, text);
    status st;
    if (!findings || !ret->path || !copy.ptr) {
        st = fail(err, STATUS_NO_MEMORY, "no memory to read %s", path);
    } else {
        if (yaml_parse(&ret->arena, copy, &doc, &wrong) == STATUS_OK)
            read_document(&r, doc.root);
        else
            add_finding(&r, false, wrong.line, wrong.column, wrong.error.message);
        st = finish(&r, issue, user, err);
    }
    arena_done(&r.parsing);
    arena_done(&r.scratch);
    free(findings);
    if (st != STATUS_OK)
        rule_file_done(ret);
    return st;
}

status rule_file_read(rule_file *ret, const char *path, uint32_t features, rule_issue *issue,
                      void *user, error *err)
{
    buf text;
    error why;
    buf_init(&text, YAML_BYTES_MAX + 1);
    status st = file_read(path, &text, &why);
    if (st == STATUS_OK) {
        st = rule_file_parse(ret, path, buf_view(&text), features, issue, user, err);
    } else {
        memset(ret, 0, sizeof(*ret));
        if (issue)
            issue(user, false, why.message);
        st = fail(err, st, "%s", why.message);
    }
    buf_done(&text);
    return st;
}

void rule_file_done(rule_file *f)
{
    arena_done(&f->arena);
    memset(f, 0, sizeof(*f));
}
