// SPDX-License-Identifier: Apache-2.0
/* OTLP metric points to Prometheus series; see prom_series.h. Meant to be called once for each new
 * series: what only depends on the value is in prom_series_values. */
#include "codec/prom_series.h"

#include "codec/exposition.h"
#include "codec/native_convert.h"

#include "codec/prometheus_scope.h"

bool prom_series_is_native(const batch *b, uint32_t metric)
{
    return scope_is_prometheus(b->scopes[b->metrics[metric].scope].name);
}

bool prom_series_acceptable(const batch *b, uint32_t metric, buf *scratch)
{
    const batch_metric *m = &b->metrics[metric];
    if (m->type == METRIC_NONE)
        return false;
    if (prom_series_is_native(b, metric))
        return m->name.len > 0;
    buf_clear(scratch);
    return prom_metric_name(scratch, m);
}

/* ---- names ---- */

static bool family_name(arena *a, const batch *b, uint32_t metric, const prom_series_options *o,
                        str *ret)
{
    batch_metric m = b->metrics[metric];
    bool native = prom_series_is_native(b, metric);
    if (o->prefix.len > 0) {
        m.name = arena_fmt(a, "%.*s_%.*s", STR_ARG(o->prefix), STR_ARG(m.name));
        if (!m.name.ptr)
            return false;
    }
    if (native) {
        *ret = arena_str(a, m.name);
        return ret->ptr && m.name.len > 0;
    }
    if (o->without_suffixes) {
        m.type = METRIC_NONE;
        m.unit = STR_EMPTY;
    }
    buf name;
    buf_init(&name, KiB(64));
    bool ok = prom_metric_name_as(&name, &m, o->utf8 ? PROM_ALLOW_UTF8 : PROM_UNDERSCORES);
    *ret = ok ? arena_str(a, buf_view(&name)) : STR_EMPTY;
    buf_done(&name);
    return ok && ret->ptr;
}

bool prom_series_family_of(arena *a, const batch *b, uint32_t metric, const prom_series_options *o,
                           prom_series_family *ret)
{
    const batch_metric *m = &b->metrics[metric];
    if (!family_name(a, b, metric, o, &ret->name))
        return false;
    buf unit;
    buf_init(&unit, KiB(4));
    if (prom_series_is_native(b, metric))
        buf_str(&unit, m->unit);
    else
        prom_unit_name(&unit, m->unit);
    ret->unit = arena_str(a, buf_view(&unit));
    buf_done(&unit);
    ret->help = arena_str(a, m->description);
    ret->type = prom_type_of(m);
    return ret->unit.ptr && ret->help.ptr;
}

/* ---- labels ---- */

static bool is_job_or_instance(str name)
{
    return str_is(name, "job") || str_is(name, "instance");
}

/* job and instance, as the scrape or the sender had them. */
static bool native_labels(arena *a, const attrs *resource, prom_labels *ret)
{
    static const struct {
        const char *key, *name;
    } known[] = { { "service.instance.id", "instance" }, { "service.name", "job" } };
    attr items[ARRAY_LEN(known)];
    attrs found = { items, 0, 0 };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        const value *v = attrs_get(resource, str_c(known[i].key));
        if (v)
            items[found.count++] = (attr){ str_c(known[i].name), *v };
    }
    return prom_point_labels_as(a, &found, NULL, PROM_ALLOW_UTF8, ret);
}

/* `from` and then what of `o->more` is not there yet. */
static bool with_more(arena *a, const prom_labels *from, const prom_labels *more, prom_labels *ret)
{
    prom_label *items = ARENA_ARRAY(a, prom_label, (size_t)from->count + more->count + 1);
    if (!items)
        return false;
    if (from->count)
        memcpy(items, from->items, from->count * sizeof(items[0]));
    *ret = (prom_labels){ items, from->count };
    for (uint32_t i = 0; i < more->count; i++)
        prom_labels_put(ret, more->items[i], false);
    return true;
}

/* Every attribute of a resource; *inout holds job and instance, which stay. */
static bool all_labels(arena *a, const attrs *resource, const prom_series_options *o,
                       prom_labels *inout)
{
    prom_labels identity = *inout, others;
    prom_escaping escaping = o->utf8 ? PROM_ALLOW_UTF8 : PROM_UNDERSCORES;
    if (!o->without_service)
        return prom_point_labels_as(a, resource, &identity, escaping, inout);
    return prom_target_info(a, resource, false, &others) && with_more(a, &identity, &others, inout);
}

bool prom_series_resource(arena *a, const attrs *resource, bool native,
                          const prom_series_options *o, prom_labels *ret)
{
    prom_labels own;
    if (native) {
        if (!native_labels(a, resource, &own))
            return false;
    } else if (!prom_resource_labels(a, resource, &own)) {
        return false;
    } else if (!o->promote) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < own.count; i++)
            if (is_job_or_instance(own.items[i].name))
                own.items[kept++] = own.items[i];
        own.count = kept;
    }
    if (o->resource_labels && !native && !all_labels(a, resource, o, &own))
        return false;
    if (o->more.count == 0) {
        *ret = own;
        return true;
    }
    return with_more(a, &own, &o->more, ret);
}

bool prom_series_target_info(arena *a, const attrs *resource, bool native,
                             const prom_series_options *o, prom_labels *ret)
{
    *ret = (prom_labels){ 0 };
    if (native)
        return true;
    prom_labels own;
    if (!prom_target_info(a, resource, true, &own))
        return false;
    if (own.count == 0 || o->more.count == 0) {
        *ret = own;
        return true;
    }
    return with_more(a, &own, &o->more, ret);
}

bool prom_series_tables_make(arena *a, const batch *b, const prom_series_options *o,
                             prom_series_tables *ret)
{
    ret->families = ARENA_ARRAY(a, prom_series_family, (size_t)b->metric_count + 1);
    ret->native = ARENA_ARRAY(a, bool, (size_t)b->metric_count + 1);
    ret->resources = ARENA_ARRAY(a, prom_labels, 2 * (size_t)b->resource_count + 1);
    bool ok = ret->families && ret->native && ret->resources;
    buf scratch;
    buf_init(&scratch, KiB(64));
    for (uint32_t i = 0; ok && i < b->metric_count; i++) {
        ret->native[i] = prom_series_is_native(b, i);
        if (prom_series_acceptable(b, i, &scratch))
            ok = prom_series_family_of(a, b, i, o, &ret->families[i]);
    }
    for (uint32_t i = 0; ok && i < 2 * b->resource_count; i++)
        ok = prom_series_resource(a, &b->resources[i / 2].attributes, i & 1, o, &ret->resources[i]);
    buf_done(&scratch);
    return ok;
}

bool prom_series_point(arena *a, const attrs *point, bool native, const prom_series_options *o,
                       const prom_labels *base, prom_labels *ret)
{
    return prom_point_labels_as(a, point, base,
                                native || o->utf8 ? PROM_ALLOW_UTF8 : PROM_UNDERSCORES, ret);
}

bool prom_series_labels(arena *a, const prom_labels *point, str family,
                        const prom_series_part *part, prom_labels *ret)
{
    prom_label *items = ARENA_ARRAY(a, prom_label, (size_t)point->count + 2);
    str name = family;
    if (part->suffix.len > 0)
        name = arena_fmt(a, "%.*s%.*s", STR_ARG(family), STR_ARG(part->suffix));
    if (!items || !name.ptr)
        return false;
    if (point->count)
        memcpy(items, point->items, point->count * sizeof(items[0]));
    *ret = (prom_labels){ items, point->count };
    prom_labels_put(ret, (prom_label){ STR("__name__"), name }, true);
    if (part->more.name.len > 0)
        prom_labels_put(ret, part->more, true);
    return true;
}

/* ---- a point's series ---- */

uint32_t prom_series_count(metric_type type, const point_value *v)
{
    uint32_t more = 0;
    if (native_is_point(type, v))
        return 1;
    switch (type) {
    case METRIC_HISTOGRAM:
        more = v->histogram->bound_count;
        return more <= PROM_SERIES_MAX - 3 ? more + 3 : 0;
    case METRIC_SUMMARY:
        more = v->summary->quantile_count;
        return more <= PROM_SERIES_MAX - 2 ? more + 2 : 0;
    default:
        return 1;
    }
}

/* native: as Prometheus writes them for what it scrapes ("1.0"). */
static bool number_label(arena *a, const char *name, double number, bool native,
                         prom_series_part *ret)
{
    buf text;
    buf_init(&text, 64);
    native ? exposition_number(&text, number) : buf_f64(&text, number);
    ret->more = (prom_label){ str_c(name), arena_str(a, buf_view(&text)) };
    buf_done(&text);
    return ret->more.value.ptr != NULL;
}

bool prom_series_part_of(arena *a, metric_type type, const point_value *v, uint32_t n, bool native,
                         prom_series_part *ret)
{
    uint32_t before = 0; /* series before _count and _sum */
    *ret = (prom_series_part){ STR_EMPTY, { STR_EMPTY, STR_EMPTY } };
    if (native_is_point(type, v))
        return true;
    if (type == METRIC_HISTOGRAM) {
        before = v->histogram->bound_count + 1;
        if (n < before) {
            ret->suffix = STR("_bucket");
            if (n + 1 < before)
                return number_label(a, "le", v->histogram->bounds[n], native, ret);
            ret->more = (prom_label){ STR("le"), STR("+Inf") };
            return true;
        }
    } else if (type == METRIC_SUMMARY) {
        before = v->summary->quantile_count;
        if (n < before)
            return number_label(a, "quantile", v->summary->quantiles[n].quantile, native, ret);
    } else {
        return true;
    }
    ret->suffix = n == before ? STR("_count") : STR("_sum");
    return true;
}

static uint32_t histogram_values(const histogram_value *h, double *ret)
{
    uint64_t below = 0;
    uint32_t n = 0;
    for (; n < h->bound_count; n++) {
        below += n < h->bucket_count ? h->buckets[n] : 0;
        ret[n] = (double)below;
    }
    ret[n++] = (double)h->count; /* le="+Inf" */
    ret[n++] = (double)h->count;
    if (h->has_sum)
        ret[n++] = h->sum;
    return n;
}

uint32_t prom_series_values(metric_type type, const point_value *v, double *ret)
{
    switch (type) {
    case METRIC_HISTOGRAM:
        return histogram_values(v->histogram, ret);
    case METRIC_SUMMARY: {
        const summary_value *s = v->summary;
        uint32_t n = 0;
        for (; n < s->quantile_count; n++)
            ret[n] = s->quantiles[n].value;
        ret[n++] = (double)s->count;
        ret[n++] = s->sum;
        return n;
    }
    default:
        ret[0] = prom_number(v);
        return 1;
    }
}

/* ---- exemplars ---- */

bool prom_series_exemplar(arena *a, const exemplar *x, prom_labels *ret)
{
    prom_labels more;
    if (!prom_point_labels(a, &x->filtered_attributes, NULL, &more))
        return false;
    prom_label *items = ARENA_ARRAY(a, prom_label, (size_t)more.count + 2);
    char *hex = arena_alloc(a, 48);
    if (!items || !hex)
        return false;
    if (more.count)
        memcpy(items, more.items, more.count * sizeof(items[0]));
    *ret = (prom_labels){ items, more.count };
    str_to_hex(x->trace.bytes, 16, hex);
    str_to_hex(x->span.bytes, 8, hex + 32);
    if (trace_id_is_set(x->trace))
        prom_labels_put(ret, (prom_label){ STR("trace_id"), str_n(hex, 32) }, true);
    if (span_id_is_set(x->span))
        prom_labels_put(ret, (prom_label){ STR("span_id"), str_n(hex + 32, 16) }, true);
    return true;
}

uint32_t prom_series_of_exemplar(metric_type type, const point_value *v, const exemplar *x)
{
    uint32_t n = 0;
    if (type != METRIC_HISTOGRAM || v->histogram->native)
        return 0;
    double at = prom_exemplar_number(x);
    while (n < v->histogram->bound_count && !(at <= v->histogram->bounds[n]))
        n++;
    return n;
}
