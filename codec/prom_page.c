// SPDX-License-Identifier: Apache-2.0
/* Points in the order of a page. A family must stand together; within one, metrics and then rows
 * keep the batch's order, so that a series stays at its place from scrape to scrape. Metrics are
 * sorted, not rows: there are fewer. */
#include "codec/prom_page.h"

#include "codec/prom_series.h"

#include <stdlib.h>

typedef struct {
    str family;
    uint32_t metric;
    uint32_t first; /* place of its first row on the page */
} metric_order;

static int by_family(const void *a, const void *b)
{
    const metric_order *x = a, *y = b;
    int c = str_cmp(x->family, y->family);
    return c != 0 ? c : (x->metric > y->metric) - (x->metric < y->metric);
}

static bool is_shown(const prom_page *p, uint32_t row)
{
    return !(p->b->points.flags[row] & POINT_FLAG_NO_RECORDED_VALUE) &&
           prom_page_family(p, row)->name.len > 0;
}

/* Counts each metric's rows, gives each metric its place, and deals the rows out. */
static bool order_rows(prom_page *p)
{
    const batch *b = p->b;
    uint32_t metrics = b->metric_count, at = 0;
    metric_order *order = ARENA_ARRAY(&p->arena, metric_order, (size_t)metrics + 1);
    uint32_t *place = ARENA_ARRAY(&p->arena, uint32_t, (size_t)metrics + 1);
    uint32_t *count = ARENA_ARRAY(&p->arena, uint32_t, (size_t)metrics + 1);
    p->rows = ARENA_ARRAY(&p->arena, uint32_t, (size_t)b->points.count + 1);
    if (!order || !place || !count || !p->rows)
        return false;
    for (uint32_t i = 0; i < b->points.count; i++) {
        if (is_shown(p, i))
            count[b->points.metric[i]]++;
        else if (!(b->points.flags[i] & POINT_FLAG_NO_RECORDED_VALUE))
            p->skipped++;
    }
    for (uint32_t i = 0; i < metrics; i++)
        order[i] = (metric_order){ p->families[i].name, i, 0 };
    if (metrics > 1)
        qsort(order, metrics, sizeof(order[0]), by_family);
    for (uint32_t i = 0; i < metrics; i++) {
        place[order[i].metric] = at;
        at += count[order[i].metric];
    }
    p->row_count = at;
    for (uint32_t i = 0; i < b->points.count; i++)
        if (is_shown(p, i))
            p->rows[place[b->points.metric[i]]++] = i;
    return true;
}

/* Its name is what it came with. */
static bool native_name(const prom_page *p, const batch_metric *m, buf *name)
{
    prom_native_name(name, m->name, false, p->escaping);
    return m->name.len > 0 && utf8_valid_prefix(m->name) == m->name.len && !name->failed;
}

static bool name_families(prom_page *p)
{
    const batch *b = p->b;
    p->families = ARENA_ARRAY(&p->arena, prom_family, (size_t)b->metric_count + 1);
    if (!p->families)
        return false;
    buf name;
    buf_init(&name, KiB(64));
    bool ok = true;
    for (uint32_t i = 0; i < b->metric_count && ok; i++) {
        buf_clear(&name);
        const batch_metric *m = &b->metrics[i];
        p->families[i].type = prom_type_of(m);
        p->families[i].native = prom_series_is_native(b, i);
        if (p->families[i].native ? native_name(p, m, &name)
                                  : prom_metric_name_as(&name, m, p->escaping)) {
            p->families[i].name = arena_str(&p->arena, buf_view(&name));
            ok = p->families[i].name.ptr != NULL;
        }
    }
    buf_done(&name);
    return ok;
}

static bool label_resources(prom_page *p)
{
    if (!p->options.resource_labels)
        return true;
    const batch *b = p->b;
    p->resources = ARENA_ARRAY(&p->arena, prom_labels, 2 * (size_t)b->resource_count + 1);
    if (!p->resources)
        return false;
    static const prom_series_options options = { .promote = true };
    for (uint32_t i = 0; i < 2 * b->resource_count; i++)
        if (!prom_series_resource(&p->arena, &b->resources[i / 2].attributes, i & 1, &options,
                                  &p->resources[i]))
            return false;
    return true;
}

bool prom_page_init(prom_page *p, const batch *b, prom_escaping escaping,
                    const prom_text_options *options)
{
    *p = (prom_page){ .b = b, .escaping = escaping };
    if (options)
        p->options = *options;
    arena_init(&p->arena, 0);
    return name_families(p) && label_resources(p) && order_rows(p);
}

void prom_page_done(prom_page *p)
{
    arena_done(&p->arena);
}

const prom_family *prom_page_family(const prom_page *p, uint32_t row)
{
    return &p->families[p->b->points.metric[row]];
}

const batch_metric *prom_page_metric(const prom_page *p, uint32_t row)
{
    return &p->b->metrics[p->b->points.metric[row]];
}

bool prom_page_begins(prom_page *p, uint32_t i, const prom_family **inout_family, bool *ret_shown)
{
    const prom_family *f = prom_page_family(p, p->rows[i]), *last = *inout_family;
    bool begins = !last || (last != f && !str_eq(last->name, f->name));
    if (begins)
        *inout_family = last = f;
    *ret_shown = last->type == f->type;
    p->skipped += !*ret_shown;
    return begins;
}

/* ---- labels ---- */

/* Whether the memo's keys are this point's, and its values texts: then only those are new. */
static bool fill_memo(prom_page *p, const attrs *list)
{
    if (p->memo.count == 0 || p->memo.count != list->count)
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].key.ptr != p->memo.keys[i] || list->items[i].value.type != VALUE_STR ||
            list->items[i].value.s.len == 0)
            return false;
    for (uint32_t i = 0; i < list->count; i++)
        p->memo.labels[i].value = list->items[p->memo.from[i]].value.s;
    return true;
}

/* Remembers where each label came from, when each attribute gave one. */
static void remember(prom_page *p, const attrs *list, const prom_labels *labels)
{
    p->memo.count = 0;
    if (list->count > PROM_MEMO || labels->count != list->count)
        return;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t k = 0;
        while (k < list->count && list->items[k].value.s.ptr != labels->items[i].value.ptr)
            k++;
        if (k == list->count || list->items[k].value.type != VALUE_STR)
            return;
        p->memo.keys[i] = list->items[i].key.ptr;
        p->memo.from[i] = (uint8_t)k;
        p->memo.labels[i] = labels->items[i];
    }
    p->memo.count = list->count;
}

/* Labels as they came, their names in the page's escaping. */
static bool native_labels(prom_page *p, const attrs *list, const prom_labels *resource,
                          prom_labels *ret)
{
    if (!prom_point_labels_as(&p->arena, list, resource, PROM_ALLOW_UTF8, ret))
        return false;
    for (uint32_t i = 0; i < ret->count; i++) {
        str *name = &ret->items[i].name;
        bool plain = prom_name_is_plain(*name) && str_find_char(*name, ':') == SIZE_MAX;
        if (p->escaping == PROM_ALLOW_UTF8 || (plain && p->escaping != PROM_ESCAPE_DOTS))
            continue;
        buf text;
        buf_init(&text, 16 * name->len + 16);
        prom_native_name(&text, *name, true, p->escaping);
        *name = arena_str(&p->arena, buf_view(&text));
        buf_done(&text);
        if (!name->ptr)
            return false;
    }
    return true;
}

bool prom_page_labels(prom_page *p, uint32_t row, prom_labels *ret)
{
    const attrs *list = &p->b->points.attributes[row];
    const prom_labels *resource = NULL;
    bool native = prom_page_family(p, row)->native;
    if (p->resources)
        resource = &p->resources[2 * p->b->scopes[prom_page_metric(p, row)->scope].resource +
                                 (native ? 1 : 0)];
    if (native)
        return native_labels(p, list, resource, ret);
    if (!resource && fill_memo(p, list)) {
        *ret = (prom_labels){ p->memo.labels, p->memo.count };
        return true;
    }
    if (!prom_point_labels_as(&p->arena, list, resource, p->escaping, ret))
        return false;
    if (!resource)
        remember(p, list, ret);
    return true;
}

bool prom_page_target(prom_page *p, uint32_t resource, prom_labels *ret)
{
    return prom_target_info(&p->arena, &p->b->resources[resource].attributes,
                            p->options.resource_labels, ret);
}

bool prom_page_attributes(prom_page *p, const attrs *list, prom_labels *ret)
{
    return prom_point_labels_as(&p->arena, list, NULL, p->escaping, ret);
}

double prom_exemplar_value(const exemplar *e)
{
    return e->is_int ? (double)e->i64 : e->f64;
}

const exemplar *prom_exemplar_between(const exemplars *list, double low, double high)
{
    const exemplar *best = NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        const exemplar *e = &list->items[i];
        double v = prom_exemplar_value(e);
        if (v > low && v <= high && (!best || e->time_ns >= best->time_ns))
            best = e;
    }
    return best;
}
