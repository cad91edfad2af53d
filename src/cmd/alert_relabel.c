// SPDX-License-Identifier: Apache-2.0
/* Alerts through relabel rules; see alert_relabel.h. The pipeline's rules and the alerts' sinks
 * meet here, since neither knows the other. */
#include "cmd/alert_relabel.h"

#include "pipeline/receivers/prometheus_relabel.h"

#include <pthread.h>
#include <stdlib.h>

enum { MEMORY_MAX = 64 << 20 };

/* Compiled rules, and the settings whose texts they use. */
typedef struct {
    arena memory;
    relabel_rules *rules;
} rule_set;

typedef struct {
    alert_relabel *owner;
    const alert_sink *to;
    alert_sink sink;
} changed_sink;

struct alert_relabel {
    pthread_rwlock_t lock; /* of the rules */
    rule_set *set;
    changed_sink sinks[ALERT_RELABEL_SINKS_MAX];
    uint32_t count;
};

/* ---- rules ---- */

static void rule_set_free(rule_set *s)
{
    if (!s)
        return;
    relabel_rules_free(s->rules);
    arena_done(&s->memory);
    free(s);
}

static bool copy_rule(arena *a, relabel_settings *r)
{
    str *const texts[] = { &r->separator, &r->target_label, &r->regex, &r->replacement };
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ok &= (*texts[i] = arena_str(a, *texts[i])).ptr != NULL;
    str *names = ARENA_ARRAY(a, str, r->source_labels.count + 1u);
    for (uint32_t i = 0; names && i < r->source_labels.count; i++)
        ok &= (names[i] = arena_str(a, r->source_labels.items[i])).ptr != NULL;
    r->source_labels.items = names;
    return ok && names;
}

static status rule_set_new(rule_set **ret, const section_list *from, error *err)
{
    rule_set *s = calloc(1, sizeof(*s));
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for alert_relabel_configs");
    arena_init(&s->memory, MEMORY_MAX);
    relabel_settings *copies = ARENA_ARRAY(&s->memory, relabel_settings, from->count + 1u);
    bool ok = copies != NULL;
    for (uint32_t i = 0; ok && i < from->count; i++) {
        copies[i] = ((const relabel_settings *)from->items)[i];
        ok = copy_rule(&s->memory, &copies[i]);
    }
    section_list list = *from;
    list.items = copies;
    uint32_t wrong = 0;
    const char *option = "";
    status st = ok ? relabel_rules_new(&s->rules, &list, &wrong, &option, err)
                   : fail(err, STATUS_NO_MEMORY, "no memory for alert_relabel_configs");
    if (st != STATUS_OK) {
        rule_set_free(s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
}

/* ---- alerts ---- */

/* False: no memory. *ret_kept tells whether the rules leave the alert. */
static bool change(const rule_set *s, arena *a, alert *one, bool *ret_kept)
{
    _Static_assert(sizeof(label) == sizeof(prom_label), "one layout");
    label_set set = { .arena = a };
    for (uint32_t i = 0; i < one->label_count; i++)
        label_set_put(&set, one->labels[i].name, one->labels[i].value);
    *ret_kept = relabel_apply(s->rules, &set) && set.count > 0;
    label_set_sort(&set);
    one->labels = (const label *)set.items;
    one->label_count = set.count;
    return !set.failed;
}

static status put(void *user, const alert *alerts, uint32_t count, error *err)
{
    changed_sink *c = user;
    arena a;
    status st = STATUS_OK;
    arena_init(&a, MEMORY_MAX);
    pthread_rwlock_rdlock(&c->owner->lock);
    const rule_set *s = c->owner->set;
    if (relabel_rules_empty(s->rules)) {
        st = c->to->put(c->to->user, alerts, count, err);
    } else {
        alert *left = ARENA_ARRAY(&a, alert, count + 1u);
        uint32_t n = 0;
        bool ok = left != NULL, kept;
        for (uint32_t i = 0; ok && i < count; i++) {
            left[n] = alerts[i];
            ok = change(s, &a, &left[n], &kept);
            n += kept;
        }
        if (!ok)
            st = fail(err, STATUS_NO_MEMORY, "no memory to relabel %u alerts", count);
        else if (n)
            st = c->to->put(c->to->user, left, n, err);
    }
    pthread_rwlock_unlock(&c->owner->lock);
    arena_done(&a);
    return st;
}

/* ---- life ---- */

status alert_relabel_new(alert_relabel **ret, const section_list *rules, error *err)
{
    alert_relabel *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for alert_relabel_configs");
    status st = rule_set_new(&r->set, rules, err);
    if (st != STATUS_OK) {
        free(r);
        return st;
    }
    pthread_rwlock_init(&r->lock, NULL);
    *ret = r;
    return STATUS_OK;
}

void alert_relabel_free(alert_relabel *r)
{
    if (!r)
        return;
    rule_set_free(r->set);
    pthread_rwlock_destroy(&r->lock);
    free(r);
}

status alert_relabel_set(alert_relabel *r, const section_list *rules, error *err)
{
    rule_set *fresh;
    status st = rule_set_new(&fresh, rules, err);
    if (st != STATUS_OK)
        return st;
    pthread_rwlock_wrlock(&r->lock);
    rule_set *former = r->set;
    r->set = fresh;
    pthread_rwlock_unlock(&r->lock);
    rule_set_free(former);
    return STATUS_OK;
}

const alert_sink *alert_relabel_sink(alert_relabel *r, const alert_sink *to)
{
    if (!to || r->count == ALERT_RELABEL_SINKS_MAX)
        return to;
    changed_sink *c = &r->sinks[r->count++];
    *c = (changed_sink){ r, to, { put, c } };
    return &c->sink;
}
