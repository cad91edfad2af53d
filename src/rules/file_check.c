// SPDX-License-Identifier: Apache-2.0
/* What rules may hold: names, expressions, templates, doubles. The errors are those of Prometheus's
 * own check, so that who searches for one finds it. */
#include "rules/file_internal.h"
#include "rules/template.h"

#include <stdlib.h>

/* What is being checked. */
typedef struct {
    rule_reader *r;
    const rule_group_definition *group;
    const rule_definition *rule;
    const yaml_node *node; /* of the rule */
    uint32_t number;       /* from 1 */
} checking;

enum { SHOWN = 200 };
#define SHOW(s) (int)MIN((s).len, (size_t)SHOWN), (s).ptr

static void complain(const checking *c, const yaml_node *at, const char *what, str subject,
                     const char *more)
{
    str name = c->rule->alert.len ? c->rule->alert : c->rule->record;
    rule_error(c->r, at ? at : c->node, "group \"%.*s\", rule %u, \"%.*s\": %s%.*s%s",
               SHOW(c->group->name), c->number, SHOW(name), what, SHOW(subject), more);
}

/* The field's value, else the rule. */
static const yaml_node *field(const checking *c, const char *name)
{
    const yaml_node *n = yaml_get(c->node, str_c(name));
    return n ? n : c->node;
}

static const yaml_node *key_of(const yaml_node *map, str name)
{
    for (uint32_t i = 0; map && map->kind == YAML_MAPPING && i < map->count; i++)
        if (str_eq(map->pairs[i].key->text, name))
            return map->pairs[i].key;
    return map;
}

static bool is_name(str s)
{
    return s.len > 0 && utf8_valid_prefix(s) == s.len;
}

/* ---- expressions ---- */

static void check_expression(const checking *c)
{
    error err;
    const promql_node *node;
    logql_query query;
    str text = c->rule->expr;
    bool logs = c->group->language == RULE_LOGQL;
    if (text.len == 0) {
        complain(c, field(c, "expr"), "field 'expr' must be set in rule", STR_EMPTY, "");
        return;
    }
    arena_clear(&c->r->parsing);
    status st = logs ? logql_parse(&query, text, &c->r->parsing, &err)
                     : promql_parse(&node, text, c->r->features, &c->r->parsing, &err);
    if (st != STATUS_OK)
        complain(c, field(c, "expr"), "could not parse expression: ", str_c(err.message), "");
    else if (logs && !query.root)
        complain(c, field(c, "expr"), "could not parse expression: ", STR_EMPTY,
                 "a rule wants a number per series: count_over_time({…} [5m]), rate, …");
    arena_clear(&c->r->parsing);
}

/* ---- labels and annotations ---- */

static void check_names(const checking *c, labels l, const char *section, bool annotations)
{
    const yaml_node *map = field(c, section);
    for (uint32_t i = 0; i < l.count; i++) {
        const label *at = &l.items[i];
        if (!is_name(at->name) || (!annotations && str_is(at->name, "__name__")))
            complain(c, key_of(map, at->name),
                     annotations ? "invalid annotation name: " : "invalid label name: ", at->name,
                     "");
        if (!annotations && utf8_valid_prefix(at->value) != at->value.len)
            complain(c, key_of(map, at->name), "invalid label value: ", at->value, "");
    }
}

static void check_templates(const checking *c, labels l, const char *section, const char *kind)
{
    error err;
    template_set *set;
    for (uint32_t i = 0; i < l.count; i++) {
        arena_clear(&c->r->parsing);
        if (template_parse_alert(&set, &c->r->parsing, c->rule->alert, l.items[i].value, &err) !=
            STATUS_OK) {
            str text = arena_fmt(&c->r->scratch, "%s \"%.*s\": %s", kind, SHOW(l.items[i].name),
                                 err.message);
            complain(c, key_of(field(c, section), l.items[i].name), "", text, "");
        }
    }
    arena_clear(&c->r->parsing);
}

/* ---- one rule ---- */

static void check_recording(const checking *c)
{
    static const char *const not_here[] = { "annotations", "for", "keep_firing_for" };
    const rule_definition *d = c->rule;
    bool has[] = { d->annotations.count > 0, d->for_ms != 0, d->keep_firing_for_ms != 0 };
    for (size_t i = 0; i < ARRAY_LEN(not_here); i++)
        if (has[i])
            complain(c, key_of(c->node, str_c(not_here[i])), "invalid field '", str_c(not_here[i]),
                     "' in recording rule");
    if (!is_name(d->record))
        complain(c, field(c, "record"), "invalid recording rule name: ", d->record, "");
    if (str_find_char(d->record, '{') != SIZE_MAX || str_find_char(d->record, '}') != SIZE_MAX)
        complain(c, field(c, "record"),
                 "braces present in the recording rule name; should it be in expr?: ", d->record,
                 "");
}

/* A value in a label makes another alert with each evaluation: `for` never passes. */
static void warn_of_values(const checking *c)
{
    const labels *l = &c->rule->labels;
    for (uint32_t i = 0; i < l->count; i++) {
        str v = l->items[i].value;
        if (str_contains(v, STR("{{")) &&
            (str_contains(v, STR("$value")) || str_contains(v, STR(".Value"))))
            rule_warning(c->r, key_of(field(c, "labels"), l->items[i].name),
                         "group \"%.*s\", rule %u, \"%.*s\": label \"%.*s\" has the value in it: "
                         "when it changes, this is another alert; an annotation may have it",
                         SHOW(c->group->name), c->number, SHOW(c->rule->alert),
                         SHOW(l->items[i].name));
    }
}

static void check_rule(const checking *c)
{
    const rule_definition *d = c->rule;
    if (d->record.len && d->alert.len)
        complain(c, field(c, "alert"), "only one of 'record' and 'alert' must be set", STR_EMPTY,
                 "");
    if (!d->record.len && !d->alert.len)
        complain(c, c->node, "one of 'record' or 'alert' must be set", STR_EMPTY, "");
    check_expression(c);
    if (d->record.len)
        check_recording(c);
    check_names(c, d->labels, "labels", false);
    check_names(c, d->annotations, "annotations", true);
    if (d->alert.len) {
        check_templates(c, d->labels, "labels", "label");
        check_templates(c, d->annotations, "annotations", "annotation");
        warn_of_values(c);
    }
}

void rule_check_group(rule_reader *r, const rule_group_definition *g, const yaml_node *n)
{
    const yaml_node *rules = yaml_get(n, STR("rules")), *labels = yaml_get(n, STR("labels"));
    if (!g->name.len)
        rule_error(r, n, "Groupname must not be empty");
    for (uint32_t i = 0; i < g->labels.count; i++) {
        str name = g->labels.items[i].name, value = g->labels.items[i].value;
        if (!is_name(name) || str_is(name, "__name__"))
            rule_error(r, key_of(labels, name), "invalid label name: %.*s", SHOW(name));
        if (utf8_valid_prefix(value) != value.len)
            rule_error(r, key_of(labels, name), "invalid label value: %.*s", SHOW(value));
    }
    for (uint32_t i = 0; i < g->rule_count; i++)
        check_rule(&(checking){ r, g, &g->rules[i], rules->items[i], i + 1 });
}

/* ---- doubles ---- */

typedef struct {
    str name;
    labels labels;
    const yaml_node *node;
    uint32_t order;
} named_rule;

static int compare_rules(const void *a, const void *b)
{
    const named_rule *x = a, *y = b;
    int order = str_cmp(x->name, y->name);
    if (!order)
        order = labels_cmp(x->labels, y->labels);
    return order ? order : x->order < y->order ? -1 : 1;
}

static void check_rules_twice(rule_reader *r, const yaml_node *groups)
{
    named_rule *all = ARENA_ARRAY(&r->scratch, named_rule, (size_t)r->file->rule_count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; all && i < r->file->group_count; i++) {
        const rule_group_definition *g = &r->file->groups[i];
        const yaml_node *rules = yaml_get(groups->items[i], STR("rules"));
        for (uint32_t j = 0; j < g->rule_count; j++) {
            const rule_definition *d = &g->rules[j];
            all[n] = (named_rule){ .name = d->alert.len ? d->alert : d->record,
                                   .node = rules->items[j],
                                   .order = n };
            n += rule_labels(&r->scratch, g, d, &all[n].labels);
        }
    }
    if (n > 1)
        qsort(all, n, sizeof(*all), compare_rules);
    for (uint32_t i = 1; i < n; i++)
        if (all[i].name.len && str_eq(all[i - 1].name, all[i].name) &&
            labels_eq(all[i - 1].labels, all[i].labels))
            rule_warning(r, all[i].node,
                         "duplicate rule: \"%.*s\" with the same labels stands at line %u already; "
                         "both may give the same series",
                         SHOW(all[i].name), all[i - 1].node->line);
}

static int compare_groups(const void *a, const void *b)
{
    const rule_group_definition *x = *(const rule_group_definition *const *)a;
    const rule_group_definition *y = *(const rule_group_definition *const *)b;
    int order = str_cmp(x->name, y->name);
    return order ? order : x < y ? -1 : 1;
}

void rule_check_duplicates(rule_reader *r, const yaml_node *groups)
{
    uint32_t count = r->file->group_count;
    const rule_group_definition **all =
        ARENA_ARRAY(&r->scratch, const rule_group_definition *, (size_t)count + 1);
    if (!all) {
        rule_error(r, groups, "larger than the memory of a rule file");
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        all[i] = &r->file->groups[i];
    qsort(all, count, sizeof(void *), compare_groups);
    for (uint32_t i = 1; i < count; i++)
        if (str_eq(all[i - 1]->name, all[i]->name))
            rule_error(r, groups->items[all[i] - r->file->groups],
                       "groupname: \"%.*s\" is repeated in the same file; it stands at line %u",
                       SHOW(all[i]->name), all[i - 1]->line);
    check_rules_twice(r, groups);
}
