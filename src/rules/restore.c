// SPDX-License-Identifier: Apache-2.0
/* After a restart: the `for` state out of ALERTS_FOR_STATE, and the evaluations of recording rules
 * that were missed, made up from what the store has (scraped by others, or sent late). */
#include "base/clock.h"
#include "rules/group_internal.h"

enum { SERIES_LOOKED_AT = 16 /* of a recording rule, for gaps */ };

static bool is_stale(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits == STALE_NAN_BITS;
}

/* ---- the `for` state ---- */

/* ALERTS_FOR_STATE of a rule; labels that are templates differ from alert to alert. */
static status find_for_state(const rule_group *g, const rule *r, int64_t from_ms, int64_t to_ms,
                             arena *a, series_set *ret, error *err)
{
    matcher *m = ARENA_ARRAY(a, matcher, (size_t)r->labels.count + 2);
    uint32_t n = 0;
    if (!m)
        return fail(err, STATUS_LIMIT, "no memory to restore alerts");
    m[n++] = (matcher){ LABEL_NAME, MATCH_EQ, STR("ALERTS_FOR_STATE") };
    m[n++] = (matcher){ STR("alertname"), MATCH_EQ, r->name };
    for (uint32_t i = 0; i < r->labels.count; i++)
        if (!str_contains(r->labels.items[i].value, STR("{{")) &&
            !str_is(r->labels.items[i].name, "alertname"))
            m[n++] = (matcher){ r->labels.items[i].name, MATCH_EQ, r->labels.items[i].value };
    series_query q = { .matchers = m, .matcher_count = n, .from_ms = from_ms, .to_ms = to_ms };
    return store_series(g->options.store, &q, a, ret, err);
}

static const series *series_of(const series_set *set, labels wanted, arena *a)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const series *s = &set->items[i];
        labels l;
        if (labels_drop_metric(a, (labels){ s->labels, s->label_count }, &l) &&
            labels_eq(l, wanted))
            return s;
    }
    return NULL;
}

/* When it began to be active; 0: as now. The time away does not count as time pending, and an alert
 * that is nearly due waits out the grace period, so that its recipients can see it coming. */
static int64_t restored_active(const rule_group *g, const rule *r, const series *s, int64_t now_ms)
{
    int64_t grace = g->options.grace_period_ms ? g->options.grace_period_ms : 600000;
    double last = s->sample_count ? s->value[s->sample_count - 1] : 0;
    if (!s->sample_count || is_stale(last) || !(last > 0 && last < 1e11))
        return 0;
    int64_t down_ms = s->time_ms[s->sample_count - 1], active_ms = (int64_t)last * 1000;
    int64_t remaining = r->for_ms - (down_ms - active_ms);
    if (remaining <= 0)
        return active_ms;
    if (r->for_ms < grace)
        return 0;
    if (remaining < grace)
        return now_ms + grace - r->for_ms;
    return active_ms + (now_ms - down_ms);
}

static void restore_rule(rule_group *g, rule *r, int64_t now_ms, arena *a)
{
    error err;
    series_set set = { 0 };
    int64_t tolerance = g->options.outage_tolerance_ms ? g->options.outage_tolerance_ms : 3600000;
    arena_clear(a);
    status st = r->active_count ? find_for_state(g, r, now_ms - tolerance, now_ms, a, &set, &err)
                                : STATUS_OK;
    if (st != STATUS_OK && g->options.say)
        g->options.say(g->options.user, true, "alert_state_not_restored", err.message);
    pthread_mutex_lock(&g->lock);
    for (uint32_t i = 0; st == STATUS_OK && i < r->active_count; i++) {
        active_alert *al = r->active[i];
        const series *s = series_of(&set, al->labels, a);
        int64_t active_ms = s ? restored_active(g, r, s, now_ms) : 0;
        if (active_ms)
            al->active_ms = active_ms;
    }
    r->restored = true;
    pthread_mutex_unlock(&g->lock);
}

void rule_group_restore(rule_group *g, int64_t now_ms, arena *a)
{
    int64_t began = clock_mono_ns();
    for (uint32_t i = 0; i < g->rule_count; i++)
        if (g->rules[i].alerting && !g->rules[i].restored)
            restore_rule(g, &g->rules[i], now_ms, a);
    pthread_mutex_lock(&g->lock);
    g->restore_ns = clock_mono_ns() - began;
    pthread_mutex_unlock(&g->lock);
}

/* ---- gaps ---- */

static status mark_present(const rule_group *g, const rule *r, int64_t first_ms, uint32_t count,
                           arena *a, uint8_t *present, error *err)
{
    int64_t offset = g->query_offset_ms;
    series_found *found = NULL;
    series_reader *reader = NULL;
    matcher *m = ARENA_ARRAY(a, matcher, (size_t)r->labels.count + 1);
    uint32_t n = 0, heads = 0;
    if (!m)
        return fail(err, STATUS_LIMIT, "no memory to look for missed evaluations");
    m[n++] = (matcher){ LABEL_NAME, MATCH_EQ, r->name };
    for (uint32_t i = 0; i < r->labels.count; i++)
        m[n++] = (matcher){ r->labels.items[i].name, MATCH_EQ, r->labels.items[i].value };
    series_query q = { .matchers = m,
                       .matcher_count = n,
                       .from_ms = first_ms - offset,
                       .to_ms = first_ms - offset + (int64_t)count * g->interval_ms };
    status st = store_find(g->options.store, &q, a, &found, err);
    if (st == STATUS_OK)
        st = series_reader_new(&reader, found, err);
    if (st == STATUS_OK)
        (void)series_found_heads(found, &heads);
    for (uint32_t i = 0; st == STATUS_OK && i < MIN(heads, (uint32_t)SERIES_LOOKED_AT); i++) {
        series s;
        st = series_read(reader, i, &s, err);
        for (uint32_t j = 0; st == STATUS_OK && j < s.sample_count; j++) {
            int64_t slot = (s.time_ms[j] + offset - first_ms) / g->interval_ms;
            if (slot >= 0 && slot < count)
                present[slot] = 1;
        }
    }
    series_reader_free(reader);
    series_found_done(found);
    return st;
}

status rule_group_gaps(rule_group *g, int64_t first_ms, uint32_t count, arena *a, uint8_t *ret,
                       error *err)
{
    status st = STATUS_OK;
    uint8_t *present = arena_calloc(a, (size_t)count + 1, 1);
    if (!present)
        return fail(err, STATUS_LIMIT, "no memory to look for missed evaluations");
    memset(ret, 0, count);
    for (uint32_t i = 0; i < g->rule_count && st == STATUS_OK; i++)
        if (!g->rules[i].alerting)
            st = mark_present(g, &g->rules[i], first_ms, count, a, present, err);
    uint32_t i = 0;
    while (i < count && !present[i])
        i++;
    for (; st == STATUS_OK && i < count; i++) {
        if (present[i])
            continue;
        ret[i - 1] = ret[i] = 1; /* the first one is present: i is not 0 */
        if (i + 1 < count)
            ret[i + 1] = 1;
    }
    return st;
}

/* ---- making up ---- */

static status catch_up_rule(rule_group *g, rule *r, rule_series *written, int64_t time_ms, arena *a,
                            error *err)
{
    promql_result result;
    rule_samples samples = { 0 };
    status st = rule_query(g, r, time_ms, a, &result, err);
    if (st == STATUS_OK)
        st = rule_record(g, r, &result, a, &samples, err);
    if (st != STATUS_OK)
        return st;
    /* rule_commit compares with what the rule wrote last: here, with the slot before. */
    rule_series regular = r->written;
    r->written = *written;
    st = rule_commit(g, r, &samples, time_ms - g->query_offset_ms, a, err);
    *written = r->written;
    r->written = regular;
    return st;
}

void rule_group_catch_up(rule_group *g, int64_t time_ms, rule_series *written)
{
    arena a;
    error err;
    status st = STATUS_OK;
    arena_init(&a, g->options.query_memory ? g->options.query_memory : MiB(256));
    for (uint32_t i = 0; i < g->rule_count && !rule_group_canceled(g); i++) {
        if (g->rules[i].alerting)
            continue;
        arena_clear(&a);
        status one = catch_up_rule(g, &g->rules[i], &written[i], time_ms, &a, &err);
        st = one == STATUS_OK ? st : one;
    }
    arena_done(&a);
    pthread_mutex_lock(&g->lock);
    g->caught_up += st == STATUS_OK;
    pthread_mutex_unlock(&g->lock);
}

/* ---- series of rules that are gone ---- */

static status has_newer(store *s, labels l, int64_t time_ms, int64_t to_ms, arena *a, bool *ret,
                        error *err)
{
    series_set set;
    matcher *m = ARENA_ARRAY(a, matcher, (size_t)l.count + 1);
    if (!m)
        return fail(err, STATUS_LIMIT, "no memory to end series");
    for (uint32_t i = 0; i < l.count; i++)
        m[i] = (matcher){ l.items[i].name, MATCH_EQ, l.items[i].value };
    series_query q = {
        .matchers = m, .matcher_count = l.count, .from_ms = time_ms + 1, .to_ms = to_ms
    };
    status st = store_series(s, &q, a, &set, err);
    *ret = false;
    for (uint32_t i = 0; st == STATUS_OK && i < set.count; i++)
        *ret |= set.items[i].label_count == l.count;
    return st;
}

status rule_series_without_newer(store *s, const labels *items, uint32_t count, int64_t time_ms,
                                 int64_t to_ms, arena *a, rule_samples *ret, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++) {
        bool newer = false;
        st = has_newer(s, items[i], time_ms, to_ms, a, &newer, err);
        if (st == STATUS_OK && !newer &&
            !rule_samples_add(a, ret, (rule_sample){ .labels = items[i], .stale = true }))
            st = fail(err, STATUS_LIMIT, "no memory to end series");
    }
    return st;
}
