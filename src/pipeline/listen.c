// SPDX-License-Identifier: Apache-2.0
/* Ports: what components want to answer, gathered by endpoint, and made listeners of the HTTP
 * server. Components that name one endpoint share its listener, and must agree about TLS. */
#include "pipeline/pipelines_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { TABLES_MAX = 64, PORTS_MAX = 64, SETTLE_MS = 2000 };

/* ---- what components want ---- */

status component_listen(component *c, const server_settings *s, const http_route *rows,
                        size_t count, void *user, error *err)
{
    pipelines *p = c->owner;
    const component *who = NULL;
    if (p->mount_count == p->mount_capacity) {
        uint32_t capacity = MAX(p->mount_capacity * 2, 16u);
        mount *grown = realloc(p->mounts, capacity * sizeof(mount));
        if (!grown)
            return fail(err, STATUS_NO_MEMORY, "no memory for the routes of %s", c->id);
        p->mounts = grown;
        p->mount_capacity = capacity;
    }
    if (s->has_auth) {
        status st = component_extension(c, s->auth.authenticator, &who, err);
        if (st != STATUS_OK)
            return st;
    }
    p->mounts[p->mount_count++] =
        (mount){ .owner = c,
                 .settings = s,
                 .table = { .rows = rows,
                            .count = count,
                            .user = user,
                            .authenticate = who ? who->type->authenticate : NULL,
                            .authenticate_user = who ? who->self : NULL } };
    return STATUS_OK;
}

/* "localhost:4317" is "127.0.0.1:4317", ":4317" is "0.0.0.0:4317". */
static str normal_endpoint(arena *a, str endpoint)
{
    if (str_starts(endpoint, STR("localhost:")))
        return arena_fmt(a, "127.0.0.1%.*s", STR_ARG(str_slice(endpoint, 9, endpoint.len)));
    if (str_starts(endpoint, STR(":")))
        return arena_fmt(a, "0.0.0.0%.*s", STR_ARG(endpoint));
    return arena_str(a, endpoint);
}

/* ---- by endpoint ---- */

typedef struct {
    str endpoint;
    http_route_table tables[TABLES_MAX];
    http_cors cors[TABLES_MAX];
    unsigned count;
    const tls_server_settings *tls;
    const component *tls_owner, *first;
    buf components;
    const char *last; /* that was added to it */
} wanted_port;

typedef struct {
    arena memory;
    wanted_port *ports;
    unsigned count;
} wanted_ports;

static bool same_tls(const tls_server_settings *a, const tls_server_settings *b)
{
    return str_eq(a->cert_file, b->cert_file) && str_eq(a->key_file, b->key_file) &&
           str_eq(a->cert_pem, b->cert_pem) && str_eq(a->key_pem, b->key_pem) &&
           str_eq(a->client_ca_file, b->client_ca_file) && str_eq(a->min_version, b->min_version);
}

static const char *owner_name(const component *c)
{
    return c ? c->id : "the query and UI port";
}

static status add_table(wanted_port *w, const mount *m, error *err)
{
    const server_settings *s = m->settings;
    if (w->count == TABLES_MAX)
        return fail(err, STATUS_LIMIT, "more than %d components listen on %.*s", TABLES_MAX,
                    STR_ARG(w->endpoint));
    if (w->count && (s->has_tls != (w->tls != NULL) || (w->tls && !same_tls(w->tls, &s->tls))))
        return fail(err, STATUS_INVALID, "%s and %s listen on %.*s, and their tls is not the same",
                    owner_name(w->tls_owner), owner_name(m->owner), STR_ARG(w->endpoint));
    if (w->count == 0) {
        w->tls = s->has_tls ? &s->tls : NULL;
        w->tls_owner = w->first = m->owner;
    }
    http_route_table *t = &w->tables[w->count];
    http_cors *cors = &w->cors[w->count++];
    *t = m->table;
    *cors = (http_cors){ s->cors.allowed_origins.items, s->cors.allowed_origins.count,
                         s->cors.allowed_headers.items, s->cors.allowed_headers.count,
                         s->cors.max_age };
    t->prefix = s->path_prefix.len ? s->path_prefix.ptr : NULL;
    t->cors = s->has_cors ? cors : NULL;
    t->rate = s->rate_limit;
    t->body_bytes = s->max_request_body_size > 0 ? (size_t)s->max_request_body_size
                                                 : (size_t)s->max_recv_msg_size_mib << 20;
    if (w->last && strcmp(w->last, owner_name(m->owner)) == 0)
        return STATUS_OK;
    w->last = owner_name(m->owner);
    buf_fmt(&w->components, "%s%s", w->components.len ? ", " : "", w->last);
    return STATUS_OK;
}

static status want(wanted_ports *all, const mount *m, error *err)
{
    str endpoint = normal_endpoint(&all->memory, m->settings->endpoint);
    if (!endpoint.ptr)
        return fail(err, STATUS_NO_MEMORY, "no memory for the ports");
    unsigned i = 0;
    while (i < all->count && !str_eq(all->ports[i].endpoint, endpoint))
        i++;
    if (i == PORTS_MAX)
        return fail(err, STATUS_LIMIT, "more than %d endpoints", PORTS_MAX);
    if (i == all->count) {
        all->count++;
        all->ports[i].endpoint = endpoint;
        buf_init(&all->ports[i].components, KiB(16));
    }
    return add_table(&all->ports[i], m, err);
}

static status want_web(wanted_ports *all, const collector *c, const pipelines *p, error *err)
{
    const component *who = NULL;
    const server_settings *s = c->web.settings;
    status st = STATUS_OK;
    for (uint32_t i = 0; s->has_auth && i < p->opened; i++)
        if (p->components[i].type->kind == COMPONENT_EXTENSION &&
            str_is(s->auth.authenticator, p->components[i].id))
            who = &p->components[i];
    if (s->has_auth && !who)
        return fail(err, STATUS_NOT_FOUND, "the query and UI port: there is no extension %.*s",
                    STR_ARG(s->auth.authenticator));
    for (size_t i = 0; i < c->web.count && st == STATUS_OK; i++) {
        mount m = { .settings = s, .table = c->web.tables[i] };
        if (who && i >= c->web.open_count) {
            m.table.authenticate = who->type->authenticate;
            m.table.authenticate_user = who->self;
        }
        st = want(all, &m, err);
    }
    return st;
}

/* ---- opening, changing, closing ---- */

static status of_owner(const component *c, status st, error *err)
{
    error why = *err;
    if (!c)
        return fail(err, st, "the query and UI port: %s", why.message);
    return fail(err, st, "%s %s: %s", component_kind_name(c->type->kind), c->id, why.message);
}

static void port_free(open_port *p)
{
    free(p->endpoint);
    free(p->components);
}

static open_port *port_find(collector *c, str endpoint)
{
    for (uint32_t i = 0; i < c->port_count; i++)
        if (str_is(endpoint, c->ports[i].endpoint))
            return &c->ports[i];
    return NULL;
}

static http_tls tls_of(const tls_server_settings *s)
{
    return (http_tls){ .cert_file = s->cert_file,
                       .key_file = s->key_file,
                       .cert_pem = s->cert_pem,
                       .key_pem = s->key_pem,
                       .client_ca_file = s->client_ca_file,
                       .min_version = s->min_version };
}

static void routes_released(void *user)
{
    pipelines *p = user;
    atomic_fetch_sub(&p->routes_in_use, 1);
}

/* The set holds p until routes_released, unless it could not be used. */
static http_routes routes_of(const wanted_port *w, pipelines *p)
{
    atomic_fetch_add(&p->routes_in_use, 1);
    return (http_routes){
        .tables = w->tables, .table_count = w->count, .done = routes_released, .done_user = p
    };
}

static status open_one(collector *c, pipelines *p, const wanted_port *w, error *err)
{
    open_port *grown = realloc(c->ports, (c->port_count + 1) * sizeof(open_port));
    if (grown)
        c->ports = grown;
    open_port fresh = { .endpoint = strndup(w->endpoint.ptr, w->endpoint.len),
                        .components = strndup(w->components.ptr, w->components.len),
                        .wanted = true };
    if (!grown || !fresh.endpoint || !fresh.components) {
        port_free(&fresh);
        return fail(err, STATUS_NO_MEMORY, "no memory for the ports");
    }
    http_tls tls = w->tls ? tls_of(w->tls) : (http_tls){ 0 };
    http_routes routes = routes_of(w, p);
    status st = http_server_open(c->server, &fresh.listener, fresh.endpoint, &routes,
                                 w->tls ? &tls : NULL, &fresh.port, err);
    if (st == STATUS_OK) {
        c->ports[c->port_count++] = fresh;
    } else {
        routes_released(p);
        port_free(&fresh);
    }
    return st;
}

static status change_one(collector *c, pipelines *p, open_port *port, const wanted_port *w,
                         error *err)
{
    char *components = strndup(w->components.ptr, w->components.len);
    http_tls tls = w->tls ? tls_of(w->tls) : (http_tls){ 0 };
    http_routes routes = routes_of(w, p);
    status st = components
                    ? http_server_set_tls(c->server, port->listener, w->tls ? &tls : NULL, err)
                    : fail(err, STATUS_NO_MEMORY, "no memory for the ports");
    if (st == STATUS_OK)
        st = http_server_set_routes(c->server, port->listener, &routes, err);
    if (st != STATUS_OK) {
        routes_released(p);
        free(components);
        return st;
    }
    free(port->components);
    port->components = components;
    return STATUS_OK;
}

/* The ports that are not wanted: all of them, or those of one number. */
static void close_unwanted(collector *c, unsigned number)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->port_count; i++) {
        open_port *p = &c->ports[i];
        if (p->wanted || (number && p->port != number)) {
            c->ports[kept++] = *p;
            continue;
        }
        http_server_unlisten(c->server, p->listener);
        port_free(p);
    }
    c->port_count = kept;
}

static void mark_wanted(collector *c, const wanted_ports *all)
{
    for (uint32_t i = 0; i < c->port_count; i++)
        c->ports[i].wanted = false;
    for (unsigned i = 0; i < all->count; i++) {
        open_port *p = port_find(c, all->ports[i].endpoint);
        if (p)
            p->wanted = true;
    }
}

static unsigned port_number(str endpoint)
{
    uint64_t number;
    size_t colon = endpoint.len;
    while (colon > 0 && endpoint.ptr[colon - 1] != ':')
        colon--;
    return str_to_u64(str_slice(endpoint, colon, endpoint.len), &number) ? (unsigned)number : 0;
}

/* 0.0.0.0:4317 cannot be opened before 127.0.0.1:4317 is closed. */
static status open_or_replace(collector *c, pipelines *p, const wanted_port *w, error *err)
{
    unsigned number = port_number(w->endpoint);
    status st = open_one(c, p, w, err);
    for (uint32_t i = 0; st != STATUS_OK && number && i < c->port_count; i++) {
        if (!c->ports[i].wanted && c->ports[i].port == number) {
            close_unwanted(c, number);
            return open_one(c, p, w, err);
        }
    }
    return st;
}

/* What can fail comes first, so that ports hardly ever have to be given back. */
static status switch_ports(collector *c, pipelines *p, const wanted_ports *all, error *err)
{
    status st = STATUS_OK;
    for (unsigned i = 0; i < all->count && st == STATUS_OK; i++) {
        if (all->ports[i].tls) {
            http_tls tls = tls_of(all->ports[i].tls);
            st = http_tls_check(&tls, err);
        }
        if (st != STATUS_OK)
            return of_owner(all->ports[i].tls_owner, st, err);
    }
    mark_wanted(c, all);
    uint32_t fresh = 0;
    for (unsigned i = 0; i < all->count && st == STATUS_OK; i++) {
        if (port_find(c, all->ports[i].endpoint))
            continue;
        st = open_or_replace(c, p, &all->ports[i], err);
        if (st != STATUS_OK)
            return of_owner(all->ports[i].first, st, err);
        fresh++;
    }
    uint32_t before = c->port_count - fresh;
    for (unsigned i = 0; i < all->count && st == STATUS_OK; i++) {
        open_port *port = port_find(c, all->ports[i].endpoint);
        if (port < c->ports + before)
            st = change_one(c, p, port, &all->ports[i], err);
    }
    if (st == STATUS_OK)
        close_unwanted(c, 0);
    return st;
}

static void restore_port(collector *c, pipelines *p, const wanted_port *w)
{
    error err;
    open_port *port = port_find(c, w->endpoint);
    status st = port ? change_one(c, p, port, w, &err) : open_one(c, p, w, &err);
    if (st == STATUS_OK)
        return;
    if (port) {
        port->wanted = false;
        close_unwanted(c, 0);
    }
    if (c->options.say)
        c->options.say(true, w->last, "port_not_restored", err.message);
}

static status gather_ports(wanted_ports *all, const collector *c, const pipelines *p, error *err)
{
    arena_init(&all->memory, MiB(16));
    all->ports = arena_calloc(&all->memory, PORTS_MAX, sizeof(wanted_port));
    status st = all->ports ? STATUS_OK : fail(err, STATUS_NO_MEMORY, "no memory for the ports");
    for (uint32_t i = 0; i < p->mount_count && st == STATUS_OK; i++)
        st = want(all, &p->mounts[i], err);
    if (st == STATUS_OK && c->web.settings)
        st = want_web(all, c, p, err);
    return st;
}

static void forget_wanted(wanted_ports *all)
{
    for (unsigned i = 0; i < all->count; i++)
        buf_done(&all->ports[i].components);
    arena_done(&all->memory);
}

status listen_switch(collector *c, pipelines *p, error *err)
{
    wanted_ports all = { 0 };
    status st = gather_ports(&all, c, p, err);
    if (st == STATUS_OK)
        st = switch_ports(c, p, &all, err);
    forget_wanted(&all);
    return st;
}

void listen_restore(collector *c, pipelines *p)
{
    error err;
    wanted_ports all = { 0 };
    if (gather_ports(&all, c, p, &err) == STATUS_OK) {
        mark_wanted(c, &all);
        close_unwanted(c, 0);
        for (unsigned i = 0; i < all.count; i++)
            restore_port(c, p, &all.ports[i]);
    } else if (c->options.say) {
        c->options.say(true, "ports", "port_not_restored", err.message);
    }
    forget_wanted(&all);
}

void listen_settle(collector *c)
{
    if (!http_server_settle(c->server, SETTLE_MS) && c->options.say)
        c->options.say(false, "ports", "requests_go_on",
                       "some that began before the change still run; they end as they began");
}

void listen_forget(collector *c)
{
    for (uint32_t i = 0; i < c->port_count; i++)
        port_free(&c->ports[i]);
    free(c->ports);
}

void collector_ports(const collector *c, collector_port_sink *sink, void *user)
{
    for (uint32_t i = 0; i < c->port_count; i++)
        sink(user, c->ports[i].endpoint, c->ports[i].port, c->ports[i].components);
}
