// SPDX-License-Identifier: Apache-2.0
/* A target out of what was discovered: defaults of its job, relabeling, the URL, the labels that
 * its samples get. */
#include "pipeline/receivers/prometheus_internal.h"

#include "base/clock.h"
#include "settings/option_read.h"

#include <stdlib.h>

static const size_t target_memory = MiB(4);

typedef struct {
    const scrape_job *job;
    scrape_target *t;
    label_set set;
    error *err;
} builder;

static status no_memory(error *err)
{
    return fail(err, STATUS_LIMIT, "a target's labels need more than %zu bytes", target_memory);
}

static void put_default(label_set *s, str name, str text)
{
    if (label_set_get(s, name).len == 0)
        label_set_put(s, name, text);
}

static str duration_text(arena *a, int64_t ns)
{
    buf out;
    buf_init(&out, 64);
    clock_format_duration(&out, ns);
    str s = arena_str(a, buf_view(&out));
    buf_done(&out);
    return s.ptr ? s : STR_EMPTY;
}

static str param_value(const value *v, uint32_t index)
{
    if (v->type == VALUE_ARRAY)
        return index < v->array.count && v->array.items[index].type == VALUE_STR
                   ? v->array.items[index].s
                   : STR_EMPTY;
    return index == 0 && v->type == VALUE_STR ? v->s : STR_EMPTY;
}

static void put_defaults(builder *b)
{
    const scrape_settings *s = b->job->s;
    arena *a = &b->t->arena;
    put_default(&b->set, STR("job"), s->job_name);
    put_default(&b->set, STR("__scrape_interval__"), duration_text(a, b->job->interval));
    put_default(&b->set, STR("__scrape_timeout__"), duration_text(a, b->job->timeout));
    put_default(&b->set, STR("__metrics_path__"), s->metrics_path);
    put_default(&b->set, STR("__scheme__"), s->scheme);
    for (uint32_t i = 0; s->params.type == VALUE_MAP && i < s->params.map.count; i++) {
        const attr *p = &s->params.map.items[i];
        str name = arena_fmt(a, "__param_%.*s", STR_ARG(p->key));
        if (name.ptr)
            put_default(&b->set, name, param_value(&p->value, 0));
    }
}

/* ---- the URL ---- */

static void escape(buf *out, str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            buf_char(out, (char)c);
        } else if (c == ' ') {
            buf_char(out, '+');
        } else {
            buf_char(out, '%');
            buf_char(out, hex[c >> 4]);
            buf_char(out, hex[c & 15]);
        }
    }
}

static void put_param(buf *out, bool *query, str name, str text)
{
    buf_char(out, *query ? '&' : '?');
    *query = true;
    escape(out, name);
    buf_char(out, '=');
    escape(out, text);
}

/* The labels' first values, then the further ones that the configuration gives. */
static void put_params(const builder *b, buf *out)
{
    const value *params = &b->job->s->params;
    bool query = str_find_char(buf_view(out), '?') != SIZE_MAX;
    for (uint32_t i = 0; i < b->set.count; i++) {
        const prom_label *l = &b->set.items[i];
        if (!str_starts(l->name, STR("__param_")))
            continue;
        str name = str_slice(l->name, 8, l->name.len);
        put_param(out, &query, name, l->value);
        const value *more = params->type == VALUE_MAP ? attrs_get(&params->map, name) : NULL;
        for (uint32_t k = 1; more && more->type == VALUE_ARRAY && k < more->array.count; k++)
            put_param(out, &query, name, param_value(more, k));
    }
}

static status set_url(builder *b)
{
    buf out;
    str path = label_set_get(&b->set, STR("__metrics_path__"));
    buf_init(&out, KiB(64));
    buf_fmt(&out, "%.*s://%.*s%s%.*s", STR_ARG(label_set_get(&b->set, STR("__scheme__"))),
            STR_ARG(label_set_get(&b->set, STR("__address__"))),
            path.len && path.ptr[0] == '/' ? "" : "/", STR_ARG(path));
    put_params(b, &out);
    b->t->url = out.failed ? STR_EMPTY : arena_str(&b->t->arena, buf_view(&out));
    buf_done(&out);
    return b->t->url.len ? STATUS_OK : no_memory(b->err);
}

/* ---- labels ---- */

static status set_time(builder *b, const char *name, int64_t *ret)
{
    str text = label_set_get(&b->set, str_c(name));
    if (!option_parse_duration(text, ret) || *ret <= 0)
        return fail(b->err, STATUS_INVALID,
                    "the label %s is \"%.*s\"; a duration above 0 is needed", name, STR_ARG(text));
    return STATUS_OK;
}

static status set_address(builder *b)
{
    str address = label_set_get(&b->set, STR("__address__"));
    str scheme = label_set_get(&b->set, STR("__scheme__"));
    if (address.len == 0)
        return fail(b->err, STATUS_INVALID, "a target has no address after relabeling");
    for (size_t i = 0; i < address.len; i++)
        if (strchr("/ \r\n\t?#@", address.ptr[i]))
            return fail(b->err, STATUS_INVALID, "\"%.*s\" is not HOST:PORT", STR_ARG(address));
    if (!str_is(scheme, "http") && !str_is(scheme, "https"))
        return fail(b->err, STATUS_INVALID, "the scheme is \"%.*s\"; http and https are known",
                    STR_ARG(scheme));
    status st = set_time(b, "__scrape_interval__", &b->t->interval);
    if (st == STATUS_OK)
        st = set_time(b, "__scrape_timeout__", &b->t->timeout);
    if (st == STATUS_OK && b->t->timeout > b->t->interval)
        return fail(b->err, STATUS_INVALID, "the scrape timeout is longer than the interval");
    return st == STATUS_OK ? set_url(b) : st;
}

/* Copies the labels, all or those that samples get, with their texts. */
static bool keep(builder *b, bool hidden, prom_label **ret, uint32_t *ret_count)
{
    arena *a = &b->t->arena;
    *ret_count = 0;
    *ret = arena_alloc(a, (b->set.count + 1) * sizeof(prom_label));
    if (!*ret)
        return false;
    for (uint32_t i = 0; i < b->set.count; i++) {
        const prom_label *l = &b->set.items[i];
        if (!hidden && str_starts(l->name, STR("__")))
            continue;
        prom_label copy = { arena_str(a, l->name), arena_str(a, l->value) };
        if (!copy.name.ptr || !copy.value.ptr)
            return false;
        (*ret)[(*ret_count)++] = copy;
    }
    return true;
}

static uint64_t hash_of(const scrape_target *t)
{
    uint64_t h = str_hash(t->url);
    for (uint32_t i = 0; i < t->label_count; i++)
        h = hash_mix(h + str_hash(t->labels[i].name), str_hash(t->labels[i].value));
    return hash_mix(h + (uint64_t)t->interval, (uint64_t)t->timeout + 1);
}

/* *ret_kept is false when relabeling dropped it. */
static status build(builder *b, bool *ret_kept)
{
    scrape_target *t = b->t;
    *ret_kept = false;
    put_defaults(b);
    label_set_sort(&b->set);
    if (b->set.failed || !keep(b, true, &t->discovered, &t->discovered_count))
        return no_memory(b->err);
    bool kept = relabel_apply(b->job->relabel, &b->set);
    if (b->set.failed)
        return no_memory(b->err);
    if (!kept)
        return STATUS_OK;
    label_set_sort(&b->set);
    status st = set_address(b);
    if (st != STATUS_OK)
        return st;
    put_default(&b->set, STR("instance"), label_set_get(&b->set, STR("__address__")));
    label_set_sort(&b->set);
    if (b->set.failed || !keep(b, false, &t->labels, &t->label_count))
        return no_memory(b->err);
    t->hash = hash_of(t);
    *ret_kept = true;
    return STATUS_OK;
}

status scrape_target_new(scrape_target **ret, const scrape_job *job, const prom_label *labels,
                         uint32_t count, error *err)
{
    scrape_target *t = calloc(1, sizeof(*t));
    bool kept = false;
    *ret = NULL;
    if (!t)
        return no_memory(err);
    atomic_init(&t->refs, 1);
    t->job = job;
    arena_init(&t->arena, target_memory);
    builder b = { job, t, { .arena = &t->arena }, err };
    for (uint32_t i = 0; i < count; i++)
        label_set_put(&b.set, labels[i].name, labels[i].value);
    status st = build(&b, &kept);
    if (st != STATUS_OK || !kept) {
        scrape_target_free(t);
        return st;
    }
    *ret = t;
    return STATUS_OK;
}

void scrape_series_done(scrape_series *s)
{
    free(s->hashes);
    free(s->page);
    *s = (scrape_series){ 0 };
}

scrape_target *scrape_target_ref(scrape_target *t)
{
    atomic_fetch_add(&t->refs, 1);
    return t;
}

void scrape_target_free(scrape_target *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
        return;
    scrape_series_done(&t->series);
    arena_done(&t->arena);
    free(t);
}
