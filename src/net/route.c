// SPDX-License-Identifier: Apache-2.0
/* Route matching; see route.h. A server has some dozens of rows, so a scan that compares literal
 * text costs less than building anything cleverer. */
#include "net/route.h"

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

static status route_init(route *r, const http_route *row, void *user, error *err)
{
    str rest = str_c(row->method), path = str_c(row->path);
    r->row = row;
    r->user = row->user ? row->user : user;
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
    bool in_name = false;
    unsigned params = 0;
    for (size_t i = 0; i < path.len; i++) {
        params += path.ptr[i] == '{' || path.ptr[i] == '*';
        in_name |= path.ptr[i] == '{';
        r->literal += !in_name && path.ptr[i] != '*';
        in_name &= path.ptr[i] != '}';
    }
    if (path.len == 0 || path.ptr[0] != '/' || params > ROUTE_PARAMS)
        return fail(err, STATUS_INVALID, "route \"%s\" must start with / and have at most %d names",
                    row->path, ROUTE_PARAMS);
    return STATUS_OK;
}

status route_set_init(route_set *set, const http_route_table *tables, size_t count, error *err)
{
    size_t total = 0;
    *set = (route_set){ 0 };
    for (size_t i = 0; i < count; i++)
        total += tables[i].count;
    set->items = calloc(total + 1, sizeof(route));
    if (!set->items)
        return fail(err, STATUS_NO_MEMORY, "no memory for %zu routes", total);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < tables[i].count; k++) {
            status st =
                route_init(&set->items[set->count], &tables[i].rows[k], tables[i].user, err);
            if (st != STATUS_OK) {
                route_set_done(set);
                return st;
            }
            set->count++;
        }
    }
    return STATUS_OK;
}

void route_set_done(route_set *set)
{
    free(set->items);
    *set = (route_set){ 0 };
}

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
    return r->literal == 1;
}

route_match route_find(const route_set *set, arena *a, str method, str path)
{
    route_match best = { 0 };
    unsigned bit = method_from_name(method), allowed = 0;
    for (size_t i = 0; i < set->count; i++) {
        route *r = &set->items[i];
        route_match m = { 0 };
        if (!path_matches(str_c(r->row->path), path, &m))
            continue;
        if (!is_catch_all(r) || str_is(path, r->row->path))
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

void route_count(route *r, int code)
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
