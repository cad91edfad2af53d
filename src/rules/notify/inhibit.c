// SPDX-License-Identifier: Apache-2.0
/* Inhibition: an alert is muted while another one fires that a rule names. For each rule, the
 * alerts that can inhibit are kept by a hash of the labels that must be equal. */
#include "rules/notify/state.h"

#include <stdlib.h>

static uint64_t hash_equal(const inhibit_rule *rule, labels l)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < rule->equal.count; i++)
        hash = hash_mix(hash ^ str_hash(labels_get(l, rule->equal.items[i])), RANDOM_SPLIT_STEP);
    return hash;
}

static bool is_equal(const inhibit_rule *rule, labels a, labels b)
{
    for (uint32_t i = 0; i < rule->equal.count; i++)
        if (!str_eq(labels_get(a, rule->equal.items[i]), labels_get(b, rule->equal.items[i])))
            return false;
    return true;
}

static int compare(const void *a, const void *b)
{
    const inhibit_source *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->alert->fingerprint < y->alert->fingerprint ? -1 : 1;
}

void inhibit_done(alertmanager *am)
{
    for (uint32_t i = 0; am->inhibit && i < am->config->inhibit_count; i++)
        free(am->inhibit[i].items);
    free(am->inhibit);
    am->inhibit = NULL;
}

static bool index_rule(const alertmanager *am, const inhibit_rule *rule, inhibit_index *x)
{
    uint32_t n = 0;
    x->items = calloc(MAX(am->alerts.count, (size_t)1), sizeof(*x->items));
    if (!x->items)
        return false;
    for (map_slot *s = NULL; (s = map_next(&am->alerts, s));) {
        kept_alert *a = (kept_alert *)(uintptr_t)s->value;
        if (notify_matchers_take(&rule->source, a->labels))
            x->items[n++] = (inhibit_source){ hash_equal(rule, a->labels), a };
    }
    x->count = n;
    qsort(x->items, n, sizeof(*x->items), compare);
    return true;
}

static bool is_indexed(alertmanager *am)
{
    uint32_t count = am->config->inhibit_count;
    if (am->inhibit && am->inhibit_version == am->alerts_version)
        return true;
    inhibit_done(am);
    am->inhibit = calloc(MAX(count, 1u), sizeof(*am->inhibit));
    for (uint32_t i = 0; am->inhibit && i < count; i++)
        if (!index_rule(am, &am->config->inhibit_rules[i], &am->inhibit[i])) {
            inhibit_done(am);
            return false;
        }
    am->inhibit_version = am->alerts_version;
    return am->inhibit != NULL;
}

/* An alert that both sides of a rule match does not inhibit another such one. */
static const kept_alert *find_source(const inhibit_rule *rule, const inhibit_index *x, labels l,
                                     int64_t now_ms)
{
    uint64_t hash = hash_equal(rule, l);
    bool both = notify_matchers_take(&rule->source, l);
    uint32_t low = 0, high = x->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (x->items[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < x->count && x->items[low].hash == hash; low++) {
        const kept_alert *a = x->items[low].alert;
        if (!is_resolved(a, now_ms) && is_equal(rule, a->labels, l) &&
            !(both && notify_matchers_take(&rule->target, a->labels)))
            return a;
    }
    return NULL;
}

const kept_alert *inhibited_by(alertmanager *am, labels l, int64_t now_ms)
{
    if (!am->config->inhibit_count || !is_indexed(am))
        return NULL;
    for (uint32_t i = 0; i < am->config->inhibit_count; i++) {
        const inhibit_rule *rule = &am->config->inhibit_rules[i];
        const kept_alert *source = notify_matchers_take(&rule->target, l)
                                       ? find_source(rule, &am->inhibit[i], l, now_ms)
                                       : NULL;
        if (source)
            return source;
    }
    return NULL;
}
