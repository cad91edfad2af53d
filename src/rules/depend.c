// SPDX-License-Identifier: Apache-2.0
/* Which rules of a group must be written before another one runs: those whose series it may read,
 * and those that may give the same series. What is not known by its name counts as read. */
#include "base/map.h"
#include "rules/group_internal.h"

typedef struct {
    map writers; /* name of a series -> number of the last rule that writes it, plus 1 */
    uint32_t needs;
    bool any; /* something is read that no name tells */
} reads;

static void read_selector(reads *r, const promql_selector *s)
{
    bool named = false;
    for (uint32_t i = 0; i < s->matcher_count; i++) {
        const matcher *m = &s->matchers[i];
        if (!str_eq(m->name, LABEL_NAME) || m->op != MATCH_EQ || !m->value.len)
            continue;
        const uint64_t *writer = map_get(&r->writers, m->value);
        named = true;
        if (writer)
            r->needs = MAX(r->needs, (uint32_t)*writer);
    }
    r->any |= !named;
}

static void read_node(reads *r, const promql_node *n)
{
    switch (n->kind) {
    case NODE_VECTOR:
    case NODE_MATRIX:
        read_selector(r, &n->selector);
        break;
    case NODE_SUBQUERY:
        read_node(r, n->subquery.inner);
        break;
    case NODE_UNARY:
        read_node(r, n->unary.operand);
        break;
    case NODE_PAREN:
        read_node(r, n->paren);
        break;
    case NODE_BINARY:
        read_node(r, n->binary.left);
        read_node(r, n->binary.right);
        break;
    case NODE_AGGREGATE:
        read_node(r, n->aggregate.inner);
        if (n->aggregate.param)
            read_node(r, n->aggregate.param);
        break;
    case NODE_CALL:
        r->any |= str_is(str_c(n->call.function->name), "info"); /* reads what it finds */
        for (uint32_t i = 0; i < n->call.arg_count; i++)
            read_node(r, n->call.args[i]);
        break;
    default:
        break;
    }
}

/* Templates may ask for anything. */
static bool templates_query(const rule_template *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!list[i].literal && str_contains(list[i].text, STR("query")))
            return true;
    return false;
}

static bool is_own_series(str name)
{
    return str_is(name, "ALERTS") || str_is(name, "ALERTS_FOR_STATE");
}

/* Alerts of one name may be the same series of ALERTS; no metric has such a name. */
static str written_name(const rule *r, arena *a)
{
    return r->alerting ? arena_fmt(a, "%s%.*s", "ALERTS\n", STR_ARG(r->name)) : r->name;
}

static bool add_writer(reads *r, str name, uint32_t number)
{
    uint64_t *at = name.ptr ? map_put(&r->writers, name, number, NULL) : NULL;
    if (at)
        *at = number;
    return at != NULL;
}

static bool look_at(reads *r, rule_group *g, uint32_t number, bool all, arena *a)
{
    rule *own = &g->rules[number];
    str name = written_name(own, a);
    const uint64_t *same = name.ptr ? map_get(&r->writers, name) : NULL;
    r->needs = same ? (uint32_t)*same : 0;
    r->any = all || templates_query(own->label_templates, own->alerting ? own->labels.count : 0) ||
             templates_query(own->annotation_templates, own->alerting ? own->annotations.count : 0);
    if (own->promql)
        read_node(r, own->promql);
    own->needs = r->any ? number : r->needs;
    bool good = add_writer(r, name, number + 1);
    if (own->alerting)
        good = good && add_writer(r, STR("ALERTS"), number + 1) &&
               add_writer(r, STR("ALERTS_FOR_STATE"), number + 1);
    return good;
}

bool rule_group_depend(rule_group *g)
{
    reads r = { 0 };
    arena names;
    bool all = false, good = true;
    for (uint32_t i = 0; i < g->rule_count; i++)
        all |= !g->rules[i].alerting && is_own_series(g->rules[i].name);
    map_init(&r.writers);
    arena_init(&names, GROUP_BYTES_MAX);
    for (uint32_t i = 0; i < g->rule_count && good; i++)
        good = look_at(&r, g, i, all, &names);
    map_done(&r.writers);
    arena_done(&names);
    return good;
}
