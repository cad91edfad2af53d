// SPDX-License-Identifier: Apache-2.0
/* Routes, inhibition rules and time intervals of a configuration file; see config.h. */
#include "rules/notify/config_make.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUTES_MAX = 10000, ROUTE_DEPTH_MAX = 32, PATH_SIZE = 512 };

static const int64_t default_wait = 30 * NS_PER_S, default_interval = 300 * NS_PER_S;
static const int64_t default_repeat = 4 * 3600 * NS_PER_S;

static bool has_memory(config_maker *m, const char *path, const void *memory)
{
    if (!memory)
        notify_config_wrong(m, path, "larger than the memory of a configuration");
    return memory != NULL;
}

/* ---- matchers ---- */

static void read_matchers(config_maker *m, const char *path, const char *option,
                          const text_list *texts, notify_matchers *ret)
{
    for (uint32_t i = 0; i < texts->count; i++) {
        error err;
        if (notify_matchers_parse(&m->config->arena, texts->items[i], ret, &err) != STATUS_OK) {
            char at[PATH_SIZE];
            snprintf(at, sizeof(at), "%s.%s[%u]", path, option, i);
            notify_config_wrong(m, at, "%s", err.message);
        }
    }
}

static void read_pairs(config_maker *m, const char *path, const char *option,
                       const pair_list *pairs, match_op op, notify_matchers *ret)
{
    for (uint32_t i = 0; i < pairs->count; i++) {
        error err;
        if (notify_matchers_add(&m->config->arena, ret, pairs->items[i].name, op,
                                pairs->items[i].value, &err) != STATUS_OK) {
            char at[PATH_SIZE];
            snprintf(at, sizeof(at), "%s.%s.%.*s", path, option,
                     STR_ARG(str_slice(pairs->items[i].name, 0, 60)));
            notify_config_wrong(m, at, "%s", err.message);
        } else if (op == MATCH_RE) { /* as Alertmanager has it in the keys of groups */
            str *value = &ret->items[ret->count - 1].value;
            *value = arena_fmt(&m->config->arena, "^(?:%.*s)$", STR_ARG(*value));
            (void)has_memory(m, path, value->ptr);
        }
    }
}

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

static name_list sorted_names(config_maker *m, const char *path, const text_list *texts)
{
    str *items = ARENA_ARRAY(&m->config->arena, str, MAX(texts->count, 1u));
    if (!has_memory(m, path, items))
        return (name_list){ 0 };
    for (uint32_t i = 0; i < texts->count; i++)
        items[i] = texts->items[i];
    qsort(items, texts->count, sizeof(*items), compare_names);
    for (uint32_t i = 0; i < texts->count; i++) {
        if (!items[i].len)
            notify_config_wrong(m, path, "a label's name is empty");
        if (i && str_eq(items[i - 1], items[i]))
            notify_config_wrong(m, path, "the label \"%.*s\" stands twice",
                                STR_ARG(str_slice(items[i], 0, 80)));
    }
    return (name_list){ items, texts->count };
}

/* ---- routes ---- */

static receiver *find_receiver(config_maker *m, const char *path, str name)
{
    config *c = m->config;
    for (uint32_t i = 0; i < c->receiver_count; i++)
        if (str_eq(c->receivers[i].name, name))
            return &c->receivers[i];
    notify_config_wrong(m, path, "undefined receiver \"%.*s\" used in route",
                        STR_ARG(str_slice(name, 0, 80)));
    return NULL;
}

static interval_list find_intervals(config_maker *m, const char *path, const char *option,
                                    const text_list *names)
{
    const config *c = m->config;
    char at[PATH_SIZE];
    interval_list list = { .items = arena_calloc(&m->config->arena, MAX(names->count, 1u),
                                                 sizeof(void *)) };
    snprintf(at, sizeof(at), "%s.%s", path, option);
    for (uint32_t i = 0; has_memory(m, at, list.items) && i < names->count; i++) {
        uint32_t k = 0;
        while (k < c->interval_count && !str_eq(c->intervals[k].name, names->items[i]))
            k++;
        if (k < c->interval_count)
            list.items[list.count++] = &c->intervals[k];
        else
            notify_config_wrong(m, at, "undefined time interval \"%.*s\" used in route",
                                STR_ARG(str_slice(names->items[i], 0, 80)));
    }
    return list;
}

static int64_t inherit_ms(int64_t own_ns, const route *parent, int64_t parent_ms,
                          int64_t fallback_ns)
{
    if (own_ns >= 0)
        return own_ns / NS_PER_MS;
    return parent ? parent_ms : fallback_ns / NS_PER_MS;
}

static void make_grouping(config_maker *m, const char *path, const route_settings *s, route *r)
{
    char at[PATH_SIZE];
    uint32_t all = 0;
    snprintf(at, sizeof(at), "%s.group_by", path);
    if (s->group_by.count == 0) {
        if (r->parent) {
            r->group_by = r->parent->group_by;
            r->group_by_all = r->parent->group_by_all;
        }
        return;
    }
    for (uint32_t i = 0; i < s->group_by.count; i++)
        all += str_is(s->group_by.items[i], "...");
    if (all && s->group_by.count > 1)
        notify_config_wrong(m, at,
                            "cannot have wildcard group_by (`...`) and other labels at the same "
                            "time");
    r->group_by_all = all > 0;
    if (!all)
        r->group_by = sorted_names(m, at, &s->group_by);
}

static void make_timing(config_maker *m, const char *path, const route_settings *s, route *r)
{
    const route *p = r->parent;
    r->group_wait_ms = inherit_ms(s->group_wait, p, p ? p->group_wait_ms : 0, default_wait);
    r->group_interval_ms =
        inherit_ms(s->group_interval, p, p ? p->group_interval_ms : 0, default_interval);
    r->repeat_interval_ms =
        inherit_ms(s->repeat_interval, p, p ? p->repeat_interval_ms : 0, default_repeat);
    char at[PATH_SIZE];
    if (r->group_interval_ms == 0) {
        snprintf(at, sizeof(at), "%s.group_interval", path);
        notify_config_wrong(m, at, "group_interval cannot be zero");
    }
    if (r->repeat_interval_ms == 0) {
        snprintf(at, sizeof(at), "%s.repeat_interval", path);
        notify_config_wrong(m, at, "repeat_interval cannot be zero");
    }
}

static void make_key(config_maker *m, const char *path, route *r)
{
    buf text;
    buf_init(&text, KiB(64));
    if (r->parent)
        buf_fmt(&text, "%.*s/", STR_ARG(r->parent->key));
    notify_matchers_print(&text, &r->matchers);
    r->key = text.failed ? (str){ 0 } : arena_str(&m->config->arena, buf_view(&text));
    buf_done(&text);
    if (!has_memory(m, path, r->key.ptr))
        r->key = STR_EMPTY;
}

static void check_root(config_maker *m, const route_settings *s)
{
    if (!s->receiver.len)
        notify_config_wrong(m, "route", "root route must specify a default receiver");
    if (s->matchers.count || s->match.count || s->match_re.count)
        notify_config_wrong(m, "route", "root route must not have any matchers");
    if (s->continues)
        notify_config_wrong(m, "route.continue", "cannot have continue in root route");
    if (s->mute_time_intervals.count)
        notify_config_wrong(m, "route.mute_time_intervals",
                            "root route must not have any mute time intervals");
    if (s->active_time_intervals.count)
        notify_config_wrong(m, "route.active_time_intervals",
                            "root route must not have any active time intervals");
}

static void make_route(config_maker *m, const char *path, const route_settings *s, route *parent,
                       unsigned depth, route *r)
{
    char at[PATH_SIZE];
    const route_settings *children = s->routes.items;
    r->parent = parent;
    r->number = m->config->route_count++;
    r->continues = s->continues;
    snprintf(at, sizeof(at), "%s.receiver", path);
    r->receiver = s->receiver.len || !parent ? find_receiver(m, at, s->receiver) : parent->receiver;
    read_matchers(m, path, "matchers", &s->matchers, &r->matchers);
    read_pairs(m, path, "match", &s->match, MATCH_EQ, &r->matchers);
    read_pairs(m, path, "match_re", &s->match_re, MATCH_RE, &r->matchers);
    notify_matchers_sort(&r->matchers);
    make_grouping(m, path, s, r);
    make_timing(m, path, s, r);
    make_key(m, path, r);
    r->mute = find_intervals(m, path, "mute_time_intervals", &s->mute_time_intervals);
    r->active = find_intervals(m, path, "active_time_intervals", &s->active_time_intervals);
    if (!s->routes.count)
        return;
    snprintf(at, sizeof(at), "%s.routes", path);
    if (depth >= ROUTE_DEPTH_MAX || m->config->route_count + s->routes.count > ROUTES_MAX) {
        notify_config_wrong(m, at, "more than %d routes, or deeper than %d", ROUTES_MAX,
                            ROUTE_DEPTH_MAX);
        return;
    }
    r->routes = ARENA_ARRAY(&m->config->arena, route, s->routes.count);
    if (!has_memory(m, at, r->routes))
        return;
    r->route_count = s->routes.count;
    for (uint32_t i = 0; i < s->routes.count; i++) {
        snprintf(at, sizeof(at), "%s.routes[%u]", path, i);
        make_route(m, at, &children[i], r, depth + 1, &r->routes[i]);
    }
}

void notify_config_make_routes(config_maker *m)
{
    if (!m->file.has_route) {
        notify_config_wrong(m, "", "no routes provided: the file wants a section route");
        return;
    }
    check_root(m, &m->file.route);
    if (m->file.route.receiver.len)
        make_route(m, "route", &m->file.route, NULL, 0, &m->config->root);
}

/* ---- inhibition ---- */

void notify_config_make_inhibitions(config_maker *m)
{
    const inhibit_settings *s = m->file.inhibit_rules.items;
    uint32_t count = m->file.inhibit_rules.count;
    inhibit_rule *rules = ARENA_ARRAY(&m->config->arena, inhibit_rule, MAX(count, 1u));
    if (!has_memory(m, "inhibit_rules", rules))
        return;
    for (uint32_t i = 0; i < count; i++) {
        char path[64], at[80];
        snprintf(path, sizeof(path), "inhibit_rules[%u]", i);
        snprintf(at, sizeof(at), "%s.equal", path);
        read_matchers(m, path, "source_matchers", &s[i].source_matchers, &rules[i].source);
        read_pairs(m, path, "source_match", &s[i].source_match, MATCH_EQ, &rules[i].source);
        read_pairs(m, path, "source_match_re", &s[i].source_match_re, MATCH_RE, &rules[i].source);
        read_matchers(m, path, "target_matchers", &s[i].target_matchers, &rules[i].target);
        read_pairs(m, path, "target_match", &s[i].target_match, MATCH_EQ, &rules[i].target);
        read_pairs(m, path, "target_match_re", &s[i].target_match_re, MATCH_RE, &rules[i].target);
        rules[i].equal = sorted_names(m, at, &s[i].equal);
    }
    m->config->inhibit_rules = rules;
    m->config->inhibit_count = count;
}

/* ---- intervals ---- */

static void make_interval(config_maker *m, const char *path, const named_interval_settings *s,
                          named_interval *ret)
{
    const interval_settings *parts = s->intervals.items;
    const interval **items =
        arena_calloc(&m->config->arena, MAX(s->intervals.count, 1u), sizeof(void *));
    if (!has_memory(m, path, items))
        return;
    for (uint32_t i = 0; i < s->intervals.count; i++) {
        error err;
        char where[64] = "", at[200];
        if (interval_make(&m->config->arena, &parts[i], &items[i], where, sizeof(where), &err) ==
            STATUS_OK)
            continue;
        snprintf(at, sizeof(at), "%s.time_intervals[%u].%s", path, i, where);
        notify_config_wrong(m, at, "%s", err.message);
    }
    *ret = (named_interval){ items, s->intervals.count, s->name };
}

void notify_config_make_intervals(config_maker *m)
{
    const struct {
        const char *name;
        const section_list *list;
    } lists[] = { { "time_intervals", &m->file.time_intervals },
                  { "mute_time_intervals", &m->file.mute_time_intervals } };
    config *c = m->config;
    uint32_t count = m->file.time_intervals.count + m->file.mute_time_intervals.count;
    c->intervals = ARENA_ARRAY(&c->arena, named_interval, MAX(count, 1u));
    if (!has_memory(m, "time_intervals", c->intervals))
        return;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        for (uint32_t i = 0; i < lists[l].list->count; i++) {
            const named_interval_settings *s = lists[l].list->items;
            char path[64];
            snprintf(path, sizeof(path), "%s[%u]", lists[l].name, i);
            for (uint32_t k = 0; k < c->interval_count; k++)
                if (str_eq(c->intervals[k].name, s[i].name))
                    notify_config_wrong(m, path, "the time interval \"%.*s\" is not unique",
                                        STR_ARG(str_slice(s[i].name, 0, 80)));
            make_interval(m, path, &s[i], &c->intervals[c->interval_count++]);
        }
}
