// SPDX-License-Identifier: Apache-2.0
/* What rules gave and what is not written yet. Rules that do not read one another's series are
 * written together, with one wait for the disk. When that fails each is written by itself, so that
 * each has the error that is its own. */
#include "rules/group_internal.h"

#include <stdlib.h>

enum { HELD_SAMPLES = 20000, HELD_RULES = 1000 };

typedef struct {
    rule *rule;
    rule_series before; /* what it gave the time before */
    uint32_t first, count;
    rule_outcome outcome;
} held_rule;

struct held_rules {
    arena memory; /* of samples; their labels stand in the rules' series */
    rule_samples samples;
    held_rule items[HELD_RULES];
    uint32_t count;
    bool has_histograms; /* they stand in the memory of the evaluation */
};

held_rules *rule_held_new(void)
{
    held_rules *h = calloc(1, sizeof(*h));
    if (h)
        arena_init(&h->memory, GROUP_BYTES_MAX);
    return h;
}

void rule_held_free(held_rules *h)
{
    if (h)
        arena_done(&h->memory);
    free(h);
}

bool rule_held_is_due(const rule_group *g, const held_rules *h, const rule *next)
{
    return h->count &&
           (h->has_histograms || h->count == HELD_RULES || h->samples.count >= HELD_SAMPLES ||
            next->needs > (uint32_t)(h->items[0].rule - g->rules));
}

/* Whether another rule of the group gave that series a sample at that time: a stale marker would
 * take its place. */
bool rule_is_given(const rule_group *g, const rule *but, labels l, int64_t time_ms)
{
    for (uint32_t i = 0; i < g->rule_count; i++) {
        const rule *r = &g->rules[i];
        if (r != but && r->written.time_ms == time_ms && rule_series_has(&r->written, l))
            return true;
    }
    return false;
}

/* The samples with labels of `now`, whose order is theirs, then the ends of what is no more. */
static bool collect(const rule_group *g, const rule *r, const rule_samples *list,
                    const rule_series *now, int64_t time_ms, arena *a, rule_samples *ret)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < list->count; i++) {
        rule_sample s = list->items[i];
        s.labels = now->items[i];
        ok = rule_samples_add(a, ret, s);
    }
    for (uint32_t i = 0; ok && i < r->written.count; i++) {
        labels l = r->written.items[i];
        if (!rule_series_has(now, l) && !rule_is_given(g, r, l, time_ms))
            ok = rule_samples_add(a, ret, (rule_sample){ .labels = l, .stale = true });
    }
    return ok;
}

status rule_hold(held_rules *h, const rule_group *g, rule *r, const rule_samples *list,
                 int64_t time_ms, error *err)
{
    rule_series now = { .items = NULL };
    held_rule *to = &h->items[h->count];
    uint32_t first = h->samples.count;
    if (!rule_series_set(&now, list, time_ms) ||
        !collect(g, r, list, &now, time_ms, &h->memory, &h->samples)) {
        h->samples.count = first;
        rule_series_done(&now);
        return fail(err, STATUS_LIMIT, "the result takes more memory than it may");
    }
    for (uint32_t i = 0; i < list->count; i++)
        h->has_histograms |= list->items[i].histogram != NULL;
    *to = (held_rule){ .rule = r, .before = r->written, .first = first };
    to->count = h->samples.count - first;
    r->written = now;
    h->count++;
    return STATUS_OK;
}

void rule_hold_outcome(held_rules *h, const rule_outcome *outcome)
{
    h->items[h->count - 1].outcome = *outcome;
}

static void write_one(const rule_group *g, const held_rules *h, held_rule *one, int64_t time_ms)
{
    const rule_samples list = { .items = h->samples.items + one->first, .count = one->count };
    one->outcome.st = rule_write(g->options.store, &list, time_ms, &one->outcome.err);
}

void rule_held_write(held_rules *h, rule_group *g, int64_t time_ms)
{
    error err;
    if (!h->count)
        return;
    status st = rule_write(g->options.store, &h->samples, time_ms, &err);
    for (uint32_t i = 0; i < h->count; i++) {
        held_rule *one = &h->items[i];
        one->outcome.st = st;
        if (st != STATUS_OK && h->count > 1)
            write_one(g, h, one, time_ms);
        else if (st != STATUS_OK)
            one->outcome.err = err;
        if (one->outcome.st != STATUS_OK) {
            rule_series now = one->rule->written;
            one->rule->written = one->before;
            one->before = now;
        }
    }
    for (uint32_t i = 0; i < h->count; i++) {
        rule_series_done(&h->items[i].before);
        rule_set_outcome(g, h->items[i].rule, &h->items[i].outcome);
    }
    h->count = 0;
    h->has_histograms = false;
    h->samples = (rule_samples){ 0 };
    arena_clear(&h->memory);
}

status rule_commit(rule_group *g, rule *r, rule_samples *list, int64_t time_ms, arena *a,
                   error *err)
{
    rule_samples all = { 0 };
    rule_series now = { .items = NULL };
    status st = rule_series_set(&now, list, time_ms) && collect(g, r, list, &now, time_ms, a, &all)
                    ? rule_write(g->options.store, &all, time_ms, err)
                    : fail(err, STATUS_LIMIT, "the result takes more memory than it may");
    if (st != STATUS_OK) {
        rule_series_done(&now);
        return st;
    }
    rule_series_done(&r->written);
    r->written = now;
    return STATUS_OK;
}
