// SPDX-License-Identifier: Apache-2.0
/* dns_sd_configs: A, AAAA, SRV and MX records as targets, by the C library's resolver (its search
 * list, its servers). Called by the discovery thread alone; waits at most a few seconds a name. */
#include "pipeline/receivers/prometheus_internal.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX = 65535, TRIES = 2, SECONDS = 3 };

typedef struct {
    arena *arena;
    const dns_sd_settings *s;
    str name;
    char host[NS_MAXDNAME + 64]; /* of the address */
    char srv_target[NS_MAXDNAME + 2], mx_target[NS_MAXDNAME + 2];
    unsigned port;
} record;

static const int types[] = {
    [DNS_A] = ns_t_a, [DNS_AAAA] = ns_t_aaaa, [DNS_SRV] = ns_t_srv, [DNS_MX] = ns_t_mx
};

static bool expand(const ns_msg *m, const uint8_t *at, const uint8_t *end, char *ret, size_t size)
{
    return at < end && ns_name_uncompress(ns_msg_base(*m), ns_msg_end(*m), at, ret, size) >= 0;
}

/* Reads a record of the type that was asked for into *r. */
static bool read_record(const ns_msg *m, const ns_rr *rr, record *r)
{
    const uint8_t *data = ns_rr_rdata(*rr), *end = data + ns_rr_rdlen(*rr);
    char name[NS_MAXDNAME] = "";
    r->port = (unsigned)r->s->port;
    r->srv_target[0] = r->mx_target[0] = 0;
    switch ((dns_type)r->s->type) {
    case DNS_A:
        return ns_rr_rdlen(*rr) == 4 && inet_ntop(AF_INET, data, r->host, sizeof(r->host));
    case DNS_AAAA:
        return ns_rr_rdlen(*rr) == 16 && inet_ntop(AF_INET6, data, r->host, sizeof(r->host));
    case DNS_SRV:
        if (ns_rr_rdlen(*rr) < 7 || !expand(m, data + 6, end, name, sizeof(name)))
            return false;
        r->port = ns_get16(data + 4);
        snprintf(r->host, sizeof(r->host), "%s", name);
        snprintf(r->srv_target, sizeof(r->srv_target), "%s.", name);
        return true;
    case DNS_MX:
        if (ns_rr_rdlen(*rr) < 3 || !expand(m, data + 2, end, name, sizeof(name)))
            return false;
        snprintf(r->host, sizeof(r->host), "%s", name);
        snprintf(r->mx_target, sizeof(r->mx_target), "%s.", name);
        return true;
    }
    return false;
}

static bool add_record(const record *r, sd_target **list, uint32_t *count, uint32_t *capacity)
{
    enum { LABELS = 5 };
    prom_label *items = ARENA_ARRAY(r->arena, prom_label, LABELS);
    char port[16];
    bool v6 = r->s->type == DNS_AAAA;
    snprintf(port, sizeof(port), "%u", r->port);
    if (!items)
        return false;
    items[0] = (prom_label){ STR("__address__"), arena_fmt(r->arena, "%s%s%s:%s", v6 ? "[" : "",
                                                           r->host, v6 ? "]" : "", port) };
    items[1] = (prom_label){ STR("__meta_dns_name"), arena_str(r->arena, r->name) };
    items[2] = (prom_label){ STR("__meta_dns_srv_record_target"),
                             arena_str(r->arena, str_c(r->srv_target)) };
    items[3] = (prom_label){ STR("__meta_dns_srv_record_port"),
                             r->srv_target[0] ? arena_str(r->arena, str_c(port)) : STR_EMPTY };
    items[4] = (prom_label){ STR("__meta_dns_mx_record_target"),
                             arena_str(r->arena, str_c(r->mx_target)) };
    for (int i = 0; i < LABELS; i++)
        if (!items[i].value.ptr)
            return false;
    return sd_add(r->arena, list, count, capacity, (sd_target){ items, LABELS });
}

static status look_up(str name, int type, uint8_t *answer, int *ret_length, error *err)
{
    struct __res_state state = { 0 };
    *ret_length = 0;
    if (res_ninit(&state) != 0)
        return fail(err, STATUS_IO, "the resolver of the C library does not start");
    state.retry = TRIES;
    state.retrans = SECONDS;
    int n = res_nsearch(&state, name.ptr, ns_c_in, type, answer, ANSWER_MAX);
    int why = state.res_h_errno;
    res_nclose(&state);
    if (n >= 0) {
        *ret_length = MIN(n, (int)ANSWER_MAX);
        return STATUS_OK;
    }
    if (why == HOST_NOT_FOUND || why == NO_DATA)
        return STATUS_OK; /* no targets */
    return fail(err, STATUS_IO, "the name %.*s could not be looked up: %s", STR_ARG(name),
                hstrerror(why));
}

status sd_dns(arena *a, const dns_sd_settings *s, str name, sd_target **list, uint32_t *count,
              uint32_t *capacity, error *err)
{
    uint8_t *answer = malloc(ANSWER_MAX);
    int length = 0, type = types[s->type];
    ns_msg m;
    if (!answer)
        return fail(err, STATUS_NO_MEMORY, "no memory for an answer of DNS");
    record *r = ARENA_NEW(a, record);
    status st = r ? look_up(name, type, answer, &length, err)
                  : fail(err, STATUS_LIMIT, "no memory for targets");
    if (st == STATUS_OK && length > 0 && ns_initparse(answer, length, &m) != 0)
        st = fail(err, STATUS_INVALID, "the answer for %.*s is malformed", STR_ARG(name));
    int records = st == STATUS_OK && length > 0 ? ns_msg_count(m, ns_s_an) : 0;
    for (int i = 0; i < records && st == STATUS_OK; i++) {
        ns_rr rr;
        if (ns_parserr(&m, ns_s_an, i, &rr) != 0 || (int)ns_rr_type(rr) != type)
            continue;
        *r = (record){ .arena = a, .s = s, .name = name };
        if (read_record(&m, &rr, r) && !add_record(r, list, count, capacity))
            st = fail(err, STATUS_LIMIT, "no memory for targets");
    }
    free(answer);
    return st;
}
