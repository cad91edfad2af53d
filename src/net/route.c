// SPDX-License-Identifier: Apache-2.0
/* Route matching; see route.h. A server has some dozens of rows, so a scan that compares literal
 * text costs less than building anything cleverer. */
#include "net/route.h"

#include "base/clock.h"
#include "net/url.h"

#include <stdlib.h>

static const struct {
    const char *name;
    unsigned bit;
} methods[] = {
    { "GET", METHOD_GET },         { "HEAD", METHOD_HEAD },     { "POST", METHOD_POST },
    { "PUT", METHOD_PUT },         { "DELETE", METHOD_DELETE }, { "PATCH", METHOD_PATCH },
    { "OPTIONS", METHOD_OPTIONS },
};

unsigned method_from_name(str name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_is(name, methods[i].name))
            return methods[i].bit;
    return 0;
}

str method_names(arena *a, unsigned bits)
{
    str all = STR_EMPTY;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (bits & methods[i].bit)
            all = arena_fmt(a, "%.*s%s%s", STR_ARG(all), all.len ? ", " : "", methods[i].name);
    return all.ptr ? all : STR_EMPTY;
}

/* ---- counters ---- */

void route_count(route_counter *r, int code)
{
    for (size_t i = 0; i < ROUTE_CODES; i++) {
        int seen = atomic_load_explicit(&r->codes[i].code, memory_order_relaxed);
        /* Only the network thread counts, so a free slot cannot be taken twice. */
        if (seen == 0)
            atomic_store_explicit(&r->codes[i].code, code, memory_order_relaxed);
        if (seen == 0 || seen == code || i + 1 == ROUTE_CODES) {
            atomic_fetch_add_explicit(&r->codes[i].count, 1, memory_order_relaxed);
            return;
        }
    }
}

void route_counters_free(route_counter *first)
{
    while (first) {
        route_counter *next = first->next;
        free(first->path);
        free(first);
        first = next;
    }
}

static status counter_get(route_counter **ret, route_counter **list, str prefix, str path,
                          error *err)
{
    for (route_counter *r = *list; r; r = r->next) {
        str have = str_c(r->path);
        if (have.len == prefix.len + path.len && str_starts(have, prefix) && str_ends(have, path)) {
            *ret = r;
            return STATUS_OK;
        }
    }
    route_counter *r = calloc(1, sizeof(*r));
    char *text = malloc(prefix.len + path.len + 1);
    if (!r || !text) {
        free(r);
        free(text);
        return fail(err, STATUS_NO_MEMORY, "no memory for the count of a route");
    }
    str_copy_c(text, prefix.len + 1, prefix);
    str_copy_c(text + prefix.len, path.len + 1, path);
    r->path = text;
    r->next = *list;
    *list = r;
    *ret = r;
    return STATUS_OK;
}

/* ---- making a set ---- */

static status check_path(str path, const char *shown, error *err)
{
    unsigned params = 0;
    for (size_t i = 0; i < path.len; i++)
        params += path.ptr[i] == '{' || path.ptr[i] == '*';
    if (path.len == 0 || path.ptr[0] != '/' || params > ROUTE_PARAMS)
        return fail(err, STATUS_INVALID, "route \"%s\" must start with / and have at most %d names",
                    shown, ROUTE_PARAMS);
    return STATUS_OK;
}

static status check_prefix(str prefix, error *err)
{
    bool wrong = prefix.len && (prefix.ptr[0] != '/' || prefix.ptr[prefix.len - 1] == '/');
    for (size_t i = 0; i < prefix.len; i++)
        wrong |= prefix.ptr[i] <= ' ' || strchr("{}*?#%", prefix.ptr[i]) != NULL;
    if (wrong)
        return fail(err, STATUS_INVALID,
                    "path prefix \"%.*s\" must start with / and not end with it, as in \"/zipkin\"",
                    STR_ARG(prefix));
    return STATUS_OK;
}

static status route_init(route *r, const http_route_table *table, const http_route *row,
                         route_counter **counters, error *err)
{
    str rest = str_c(row->method), prefix = table->prefix ? str_c(table->prefix) : STR_EMPTY;
    r->row = row;
    r->user = row->user ? row->user : table->user;
    while (rest.len) {
        str name = str_cut(rest, '|', &rest);
        unsigned bit = method_from_name(name);
        if (!bit)
            return fail(err, STATUS_INVALID, "route %s: method \"%.*s\" is not known", row->path,
                        STR_ARG(name));
        r->methods |= bit;
    }
    if (r->methods & METHOD_GET)
        r->methods |= METHOD_HEAD;
    status st = check_path(str_c(row->path), row->path, err);
    if (st == STATUS_OK)
        st = counter_get(&r->counter, counters, prefix, str_c(row->path), err);
    if (st != STATUS_OK)
        return st;
    r->path = str_c(r->counter->path);
    bool in_name = false;
    for (size_t i = 0; i < r->path.len; i++) {
        in_name |= r->path.ptr[i] == '{';
        r->literal += !in_name && r->path.ptr[i] != '*';
        in_name &= r->path.ptr[i] != '}';
    }
    return STATUS_OK;
}

static status add_table(route_set *set, const http_route_table *table, route_counter **counters,
                        error *err)
{
    policy *p = NULL;
    status st = check_prefix(table->prefix ? str_c(table->prefix) : STR_EMPTY, err);
    if (st == STATUS_OK &&
        (table->authenticate || table->cors || table->body_bytes || table->rate > 0)) {
        p = &set->policies[set->policy_count++];
        st = policy_init(p, table, err);
    }
    for (size_t k = 0; st == STATUS_OK && k < table->count; k++) {
        route *r = &set->items[set->count++];
        st = route_init(r, table, &table->rows[k], counters, err);
        r->policy = p;
    }
    return st;
}

static void set_free(route_set *set)
{
    for (size_t i = 0; i < set->policy_count; i++)
        policy_done(&set->policies[i]);
    free(set->policies);
    free(set->items);
    free(set);
}

status route_set_new(route_set **ret, const http_routes *routes, route_counter **counters,
                     error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < routes->table_count; i++)
        total += routes->tables[i].count;
    route_set *set = calloc(1, sizeof(*set));
    if (!set)
        return fail(err, STATUS_NO_MEMORY, "no memory for %zu routes", total);
    atomic_init(&set->refs, 1);
    set->items = calloc(total + 1, sizeof(route));
    set->policies = calloc(routes->table_count + 1, sizeof(policy));
    status st = STATUS_OK;
    if (!set->items || !set->policies)
        st = fail(err, STATUS_NO_MEMORY, "no memory for %zu routes", total);
    else
        st = counter_get(&set->unmatched, counters, STR_EMPTY, STR_EMPTY, err);
    for (size_t i = 0; st == STATUS_OK && i < routes->table_count; i++)
        st = add_table(set, &routes->tables[i], counters, err);
    if (st != STATUS_OK) {
        set_free(set);
        return st;
    }
    set->done = routes->done;
    set->done_user = routes->done_user;
    *ret = set;
    return STATUS_OK;
}

/* ---- the end of a set ---- */

route_set *route_set_ref(route_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void route_set_unref(route_set *set)
{
    if (atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (set->done)
        set->done(set->done_user);
    if (set->retired) {
        retired_sets *r = set->retired;
        pthread_mutex_lock(&r->lock);
        *set->link = set->next;
        if (set->next)
            set->next->link = set->link;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
    }
    set_free(set);
}

void route_set_retire(route_set *set, retired_sets *r)
{
    pthread_mutex_lock(&r->lock);
    set->retired = r;
    set->next = r->first;
    set->link = &r->first;
    if (set->next)
        set->next->link = &set->next;
    r->first = set;
    pthread_mutex_unlock(&r->lock);
    route_set_unref(set);
}

void retired_sets_init(retired_sets *r)
{
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, &mono);
    pthread_condattr_destroy(&mono);
}

void retired_sets_done(retired_sets *r)
{
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}

bool retired_sets_wait(retired_sets *r, unsigned limit_ms)
{
    int64_t until = clock_mono_ns() + (int64_t)limit_ms * NS_PER_MS;
    struct timespec at = { .tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S };
    pthread_mutex_lock(&r->lock);
    while (r->first && pthread_cond_timedwait(&r->changed, &r->lock, &at) == 0)
        ;
    bool none = !r->first;
    pthread_mutex_unlock(&r->lock);
    return none;
}

/* ---- matching ---- */

/* Fills m->params with raw values. */
static bool path_matches(str pattern, str path, route_match *m)
{
    m->param_count = 0;
    size_t i = 0, k = 0;
    while (i < pattern.len) {
        if (pattern.ptr[i] == '*') {
            m->params[m->param_count++] = (http_field){ STR("*"), str_slice(path, k, path.len) };
            return true;
        }
        if (pattern.ptr[i] == '{') {
            size_t end = i;
            while (end < pattern.len && pattern.ptr[end] != '}')
                end++;
            size_t stop = k;
            while (stop < path.len && path.ptr[stop] != '/')
                stop++;
            if (stop == k)
                return false;
            m->params[m->param_count++] =
                (http_field){ str_slice(pattern, i + 1, end), str_slice(path, k, stop) };
            i = end + 1;
            k = stop;
        } else if (k < path.len && path.ptr[k] == pattern.ptr[i]) {
            i++;
            k++;
        } else {
            return false;
        }
    }
    return k == path.len;
}

/* The route of all paths takes what no other knows; a path that another has with other methods is
 * not its own. */
static bool is_catch_all(const route *r)
{
    return r->literal == 1 && r->path.len > 1 && r->path.ptr[1] == '*';
}

route_match route_find(const route_set *set, arena *a, str method, str path)
{
    route_match best = { 0 };
    unsigned bit = method_from_name(method), allowed = 0;
    for (size_t i = 0; i < set->count; i++) {
        route *r = &set->items[i];
        route_match m = { 0 };
        if (!path_matches(r->path, path, &m))
            continue;
        if (!is_catch_all(r) || str_eq(path, r->path))
            allowed |= r->methods;
        if ((bit & r->methods) && (!best.found || r->literal > best.found->literal)) {
            best = m;
            best.found = r;
        }
    }
    if (best.found && is_catch_all(best.found) && allowed)
        best.found = NULL;
    best.allowed = allowed;
    for (unsigned i = 0; i < best.param_count; i++) {
        str value = url_decode(a, best.params[i].value, false);
        best.params[i].value = value.ptr ? value : STR_EMPTY;
    }
    return best;
}
