// SPDX-License-Identifier: Apache-2.0
/* /federate: the newest samples of the series that match, as a page for another Prometheus to
 * scrape, each with its time. */
#include "api/prometheus.h"

#include "base/clock.h"
#include "codec/prom_text.h"

#include <stdlib.h>

typedef struct {
    str name;
    labels labels;
    int64_t time_ms;
    double value;
} latest;

typedef struct {
    latest *items;
    uint32_t count;
} page;

/* Native histograms are left out: the text formats have none. */
static bool take_latest(const series *s, latest *ret)
{
    uint32_t last = s->sample_count - 1;
    uint64_t bits;
    memcpy(&bits, &s->value[last], sizeof(bits));
    if ((s->histograms && s->histograms[last]) || bits == STALE_NAN_BITS)
        return false;
    labels l = { s->labels, s->label_count };
    *ret = (latest){ labels_get(l, LABEL_NAME), l, s->time_ms[last], s->value[last] };
    return ret->name.len > 0;
}

static status add_selector(api_request *r, const promql_node *selector, page *p)
{
    int64_t lookback_ns = r->api->options.lookback_ns, now = clock_now_ns() / NS_PER_MS;
    int64_t back = lookback_ns > 0 ? lookback_ns / NS_PER_MS : PROMQL_LOOKBACK_MS;
    series_query q = { .matchers = selector->selector.matchers,
                       .matcher_count = selector->selector.matcher_count,
                       .from_ms = now - back + 1,
                       .to_ms = now,
                       .sample_limit = r->api->options.query_samples,
                       .control = &r->control };
    series_set set;
    status st = store_series(r->store, &q, r->arena, &set, &r->err);
    if (st != STATUS_OK)
        return st;
    latest *grown = arena_grow(r->arena, p->items, p->count * sizeof(latest),
                               ((size_t)p->count + set.count + 1) * sizeof(latest));
    if (!grown)
        return fail(&r->err, STATUS_LIMIT, "too many series for the query's memory limit");
    p->items = grown;
    for (uint32_t i = 0; i < set.count; i++)
        p->count += set.items[i].sample_count && take_latest(&set.items[i], &p->items[p->count]);
    return STATUS_OK;
}

static int order(const void *a, const void *b)
{
    const latest *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    return c ? c : labels_cmp(x->labels, y->labels);
}

/* "name", quoted where it needs to be. */
static void put_name(buf *out, str name, bool is_label, prom_escaping escaping)
{
    size_t at = out->len;
    prom_native_name(out, name, is_label, escaping);
    if (out->failed || prom_name_is_plain(str_n(out->ptr + at, out->len - at)))
        return;
    out->len = at;
    print_quoted(out, name);
}

static void put_sample(buf *out, const latest *s, prom_escaping escaping)
{
    bool plain = escaping != PROM_ALLOW_UTF8 || prom_name_is_plain(s->name), first = plain;
    if (plain)
        put_name(out, s->name, false, escaping);
    buf_char(out, '{');
    if (!plain)
        put_name(out, s->name, false, escaping);
    for (uint32_t i = 0; i < s->labels.count; i++) {
        const label *l = &s->labels.items[i];
        if (str_eq(l->name, LABEL_NAME))
            continue;
        if (!first)
            buf_char(out, ',');
        first = false;
        put_name(out, l->name, true, escaping);
        buf_char(out, '=');
        print_quoted(out, l->value);
    }
    buf_lit(out, "} ");
    buf_f64(out, s->value);
    buf_char(out, ' ');
    buf_i64(out, s->time_ms);
    buf_char(out, '\n');
}

static void put_page(api_request *r, const page *p)
{
    prom_choice choice = prom_choose(http_header(r->x, "accept"));
    buf *out = http_out(r->x);
    choice.format = choice.escaping == PROM_ALLOW_UTF8 ? PROM_TEXT_1_0_0 : PROM_TEXT_0_0_4;
    http_set_header(r->x, "Content-Type", str_c(prom_choice_type(&choice)));
    const latest *last = NULL;
    for (uint32_t i = 0; i < p->count && request_flush(r); i++) {
        const latest *s = &p->items[i];
        if (last && order(last, s) == 0)
            continue; /* two selectors have it */
        if (!last || !str_eq(last->name, s->name)) {
            buf_lit(out, "# TYPE ");
            put_name(out, s->name, false, choice.escaping);
            buf_lit(out, " untyped\n");
        }
        put_sample(out, s, choice.escaping);
        last = s;
    }
}

void prometheus_federate(api_request *r)
{
    const promql_node **selectors;
    uint32_t count;
    page p = { 0 };
    status st = STATUS_OK;
    if (!prometheus_selectors(r, "", &selectors, &count))
        return;
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++)
        st = add_selector(r, selectors[i], &p);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    if (p.count)
        qsort(p.items, p.count, sizeof(latest), order);
    put_page(r, &p);
}
