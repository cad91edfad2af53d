// SPDX-License-Identifier: Apache-2.0
/* /api/v1/targets, targets/metadata and scrape_pools: what the prometheus receivers scrape, how it
 * went last, and what metrics came of it. */
#include "api/prometheus.h"

#include "base/clock.h"
#include "pipeline/receivers/prometheus.h"
#include "query/promql/parse.h"
#include "store/match.h"

#include <stdlib.h>

typedef struct {
    api_request *r;
    str pool;
} listing;

static void put_labels(json_writer *w, const prom_label *items, uint32_t count)
{
    json_begin_object(w);
    for (uint32_t i = 0; i < count; i++) {
        json_key(w, items[i].name);
        json_str(w, items[i].value);
    }
    json_end_object(w);
}

static void put_time(json_writer *w, int64_t time_ns)
{
    buf text;
    buf_init(&text, 64);
    clock_format_rfc3339(&text, time_ns, 9);
    json_str(w, time_ns ? buf_view(&text) : STR("0001-01-01T00:00:00Z"));
    buf_done(&text);
}

static void put_duration(json_writer *w, int64_t ns)
{
    buf text;
    buf_init(&text, 64);
    clock_format_duration(&text, ns);
    json_str(w, buf_view(&text));
    buf_done(&text);
}

static void put_target(void *user, const prometheus_target *t)
{
    listing *l = user;
    json_writer *w = &l->r->json;
    if (l->pool.len && !str_eq(l->pool, t->job))
        return;
    json_begin_object(w);
    json_key(w, STR("discoveredLabels"));
    put_labels(w, t->discovered, t->discovered_count);
    json_key(w, STR("labels"));
    put_labels(w, t->labels, t->label_count);
    JSON_PUT(w, str, "scrapePool", t->job);
    JSON_PUT(w, str, "scrapeUrl", t->url);
    JSON_PUT(w, str, "globalUrl", t->url);
    JSON_PUT(w, str, "lastError", str_c(t->last_error));
    json_key(w, STR("lastScrape"));
    put_time(w, t->last_scrape_ns);
    JSON_PUT(w, f64, "lastScrapeDuration", (double)t->last_duration_ns / NS_PER_S);
    JSON_PUT(w, str, "health", str_c(t->health));
    json_key(w, STR("scrapeInterval"));
    put_duration(w, t->interval_ns);
    json_key(w, STR("scrapeTimeout"));
    put_duration(w, t->timeout_ns);
    json_end_object(w);
}

/* Room for one more item; NULL: no memory. */
static void *room_for_one(arena *a, void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t more = *capacity ? *capacity * 2 : 16;
    void *grown = arena_grow(a, items, count * size, more * size);
    if (grown)
        *capacity = more;
    return grown;
}

/* ---- pools ---- */

typedef struct {
    str name;
    uint64_t dropped;
} pool;

typedef struct {
    arena *a;
    pool *items;
    uint32_t count, capacity;
    bool failed;
} pools;

/* Two receivers may have pools of the same name. */
static void add_pool(void *user, str name, uint32_t dropped)
{
    pools *p = user;
    for (uint32_t i = 0; i < p->count; i++) {
        if (str_eq(p->items[i].name, name)) {
            p->items[i].dropped += dropped;
            return;
        }
    }
    pool *items = room_for_one(p->a, p->items, p->count, &p->capacity, sizeof(pool));
    str copy = arena_str(p->a, name);
    p->failed |= !items || !copy.ptr;
    if (p->failed)
        return;
    p->items = items;
    p->items[p->count++] = (pool){ copy, dropped };
}

static int order_pools(const void *a, const void *b)
{
    return str_cmp(((const pool *)a)->name, ((const pool *)b)->name);
}

/* By name. False after an answer was given. */
static bool list_pools(api_request *r, pools *ret)
{
    *ret = (pools){ .a = r->arena };
    prometheus_receiver_pools(add_pool, ret);
    if (ret->failed)
        request_fail(r, STATUS_LIMIT, "too many scrape pools for the query's memory limit");
    else if (ret->count)
        qsort(ret->items, ret->count, sizeof(pool), order_pools);
    return !ret->failed;
}

void prometheus_scrape_pools(api_request *r)
{
    pools p;
    if (!list_pools(r, &p))
        return;
    prometheus_begin(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("scrapePools"));
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < p.count; i++)
        json_str(&r->json, p.items[i].name);
    json_end_array(&r->json);
    json_end_object(&r->json);
    prometheus_end(r);
}

/* ---- targets ---- */

static bool is_state(str wanted, str state)
{
    return !wanted.len || str_eq_nocase(wanted, STR("any")) || str_eq_nocase(wanted, state);
}

/* Dropped targets are counted and not kept: their list is empty. */
void prometheus_targets(api_request *r)
{
    listing l = { r, request_param(r, "scrapePool") };
    str state = request_param(r, "state");
    pools p;
    if (!list_pools(r, &p))
        return;
    prometheus_begin(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("activeTargets"));
    json_begin_array(&r->json);
    if (is_state(state, STR("active")))
        prometheus_receiver_targets(put_target, &l);
    json_end_array(&r->json);
    json_key(&r->json, STR("droppedTargets"));
    json_begin_array(&r->json);
    json_end_array(&r->json);
    json_key(&r->json, STR("droppedTargetCounts"));
    if (is_state(state, STR("dropped"))) {
        json_begin_object(&r->json);
        for (uint32_t i = 0; i < p.count; i++) {
            json_key(&r->json, p.items[i].name);
            json_u64(&r->json, p.items[i].dropped);
        }
        json_end_object(&r->json);
    } else {
        json_null(&r->json);
    }
    json_end_object(&r->json);
    prometheus_end(r);
}

/* ---- metadata ---- */

#define RECENT_MS (5 * 60 * 1000) /* series that a target has now */

typedef struct {
    uint32_t target;
    const metric_metadata *metadata;
} target_family;

typedef struct {
    api_request *r;
    match_set match; /* match_target */
    labels *targets;
    uint32_t count, capacity;
    bool failed;
    metric_metadata *known; /* of all metrics, by name */
    uint32_t known_count;
    uint32_t *told; /* by these: 1 + the last target that has it among its families */
    target_family *families;
    uint32_t family_count, family_capacity;
    str metric; /* empty: all */
} metadata_listing;

static bool target_matches(metadata_listing *l, const prometheus_target *t)
{
    labels own = { (const label *)t->labels, t->label_count };
    for (uint32_t i = 0; i < l->match.count; i++)
        if (!match_value(&l->match, &l->match.items[i], labels_get(own, l->match.items[i].name)))
            return false;
    return true;
}

/* Copied, since nothing may wait while the receiver shows its targets. */
static void keep_target(void *user, const prometheus_target *t)
{
    _Static_assert(sizeof(label) == sizeof(prom_label), "one layout");
    metadata_listing *l = user;
    arena *a = l->r->arena;
    if (l->failed || !target_matches(l, t))
        return;
    labels *targets = room_for_one(a, l->targets, l->count, &l->capacity, sizeof(labels));
    label *items = ARENA_ARRAY(a, label, t->label_count + 1u);
    l->failed |= !targets || !items;
    for (uint32_t i = 0; !l->failed && i < t->label_count; i++) {
        items[i] = (label){ arena_str(a, t->labels[i].name), arena_str(a, t->labels[i].value) };
        l->failed |= !items[i].name.ptr || !items[i].value.ptr;
    }
    if (l->failed)
        return;
    l->targets = targets;
    l->targets[l->count++] = (labels){ items, t->label_count };
}

/* The first of its family; NULL: nothing is known of it. */
static const metric_metadata *find_metadata(const metadata_listing *l, str name)
{
    const metric_metadata key = { .metric = name };
    const metric_metadata *found = l->known_count ? bsearch(&key, l->known, l->known_count,
                                                            sizeof(key), prometheus_order_metadata)
                                                  : NULL;
    while (found && found > l->known && str_eq(found[-1].metric, name))
        found--;
    return found;
}

/* What the scraper says of a scrape is not of the target's page. */
static bool is_report(str name)
{
    static const char *const reports[] = { "up",
                                           "scrape_body_size_bytes",
                                           "scrape_duration_seconds",
                                           "scrape_sample_limit",
                                           "scrape_samples_post_metric_relabeling",
                                           "scrape_samples_scraped",
                                           "scrape_series_added",
                                           "scrape_timeout_seconds" };
    size_t i = 0;
    while (i < ARRAY_LEN(reports) && !str_is(name, reports[i]))
        i++;
    return i < ARRAY_LEN(reports);
}

/* The family that a series' name belongs to; NULL: none. */
static const metric_metadata *family_of(const metadata_listing *l, str name)
{
    if (is_report(name))
        return NULL;
    static const char *const suffixes[] = { "_bucket", "_count", "_sum" };
    const metric_metadata *found = find_metadata(l, name);
    for (size_t i = 0; i < ARRAY_LEN(suffixes) && !found; i++) {
        str suffix = str_c(suffixes[i]);
        if (str_ends(name, suffix))
            found = find_metadata(l, str_slice(name, 0, name.len - suffix.len));
    }
    return found;
}

static status add_family(metadata_listing *l, uint32_t target, const metric_metadata *m)
{
    uint32_t *told = &l->told[m - l->known];
    if (*told == target + 1 || (l->metric.len && !str_eq(m->metric, l->metric)))
        return STATUS_OK;
    *told = target + 1;
    target_family *families = room_for_one(l->r->arena, l->families, l->family_count,
                                           &l->family_capacity, sizeof(target_family));
    if (!families)
        return fail(&l->r->err, STATUS_LIMIT, "too many targets for the query's memory limit");
    l->families = families;
    l->families[l->family_count++] = (target_family){ target, m };
    return STATUS_OK;
}

static void put_family(metadata_listing *l, const target_family *f)
{
    const metric_metadata *m = f->metadata;
    json_writer *w = &l->r->json;
    json_begin_object(w);
    json_key(w, STR("target"));
    labels_to_json(w, l->targets[f->target]);
    if (!l->metric.len)
        JSON_PUT(w, str, "metric", m->metric);
    JSON_PUT(w, str, "type", m->type);
    JSON_PUT(w, str, "help", m->help);
    JSON_PUT(w, str, "unit", m->unit);
    json_end_object(w);
}

/* The families of the series that have the target's labels. */
static status add_families(metadata_listing *l, uint32_t number)
{
    api_request *r = l->r;
    labels target = l->targets[number];
    matcher *matchers = ARENA_ARRAY(r->arena, matcher, target.count + 1u);
    int64_t now = clock_now_ns();
    str_list names;
    if (!matchers)
        return fail(&r->err, STATUS_LIMIT, "too many targets for the query's memory limit");
    for (uint32_t i = 0; i < target.count; i++)
        matchers[i] = (matcher){ target.items[i].name, MATCH_EQ, target.items[i].value };
    names_query q = { .signal = SIGNAL_METRICS,
                      .matchers = matchers,
                      .matcher_count = target.count,
                      .from_ns = now - RECENT_MS * NS_PER_MS,
                      .to_ns = now + RECENT_MS * NS_PER_MS,
                      .control = &r->control };
    status st = store_label_values(r->store, &q, STR("__name__"), r->arena, &names, &r->err);
    for (uint32_t i = 0; st == STATUS_OK && i < names.count; i++) {
        const metric_metadata *m = family_of(l, names.items[i]);
        if (m)
            st = add_family(l, number, m);
    }
    return st;
}

static status gather_targets(metadata_listing *l, str selector)
{
    api_request *r = l->r;
    const promql_node *node;
    status st = STATUS_OK;
    error wrong;
    if (selector.len) {
        st = promql_parse_selector(&node, selector, r->arena, &wrong);
        if (st == STATUS_OK)
            st = match_set_init(&l->match, node->selector.matchers, node->selector.matcher_count,
                                NULL, 0, &wrong);
        if (st != STATUS_OK)
            return fail(&r->err, STATUS_INVALID, "invalid parameter \"match_target\": %s",
                        wrong.message);
    }
    st = prometheus_all_metadata(r, &l->known, &l->known_count);
    prometheus_receiver_targets(keep_target, l);
    l->told = ARENA_ARRAY(r->arena, uint32_t, l->known_count + 1u);
    if (st == STATUS_OK && (l->failed || !l->told))
        st = fail(&r->err, STATUS_LIMIT, "too many targets for the query's memory limit");
    return st;
}

void prometheus_target_metadata(api_request *r)
{
    metadata_listing l = { .r = r, .metric = request_param(r, "metric") };
    int64_t limit;
    if (!prometheus_limit(r, "limit", &limit))
        return;
    status st = gather_targets(&l, request_param(r, "match_target"));
    match_set_done(&l.match);
    /* All families of a target, or none: so Prometheus counts. */
    for (uint32_t i = 0; i < l.count && st == STATUS_OK; i++)
        if (limit < 0 || l.family_count < limit)
            st = add_families(&l, i);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    prometheus_begin(r);
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < l.family_count && request_flush(r); i++)
        put_family(&l, &l.families[i]);
    json_end_array(&r->json);
    prometheus_end(r);
}
