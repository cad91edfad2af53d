// SPDX-License-Identifier: Apache-2.0
/* The inside of a running group; only src/rules includes this. What an evaluation changes and views
 * show stands under the group's lock, which is never held while a query runs. */
#ifndef SONDE_RULES_GROUP_INTERNAL_H
#define SONDE_RULES_GROUP_INTERNAL_H

#include "rules/group.h"
#include "rules/template.h"

#include <pthread.h>
#include <stdatomic.h>

/* One evaluation; the queries of all its templates have as long again. */
enum { RULE_EVALUATION_MS = 120000, GROUP_BYTES_MAX = 256 << 20 };
enum { ACTIVE_ALERTS_MAX = 100000 /* of one rule */, RESOLVED_KEPT_MS = 15 * 60 * 1000 };

/* ---- samples that are written ---- */

typedef struct {
    labels labels; /* "__name__" included */
    double value;
    const histogram *histogram; /* NULL: value counts */
    bool stale;
} rule_sample;

/* In the arena of one evaluation. */
typedef struct {
    rule_sample *items;
    uint32_t count, capacity;
} rule_samples;

MUST_USE bool rule_samples_add(arena *a, rule_samples *list, rule_sample s);
/* By labels; false: two have the same. */
MUST_USE bool rule_samples_sort(rule_samples *list);

/* Makes them durable and visible, all at that time. The error says why any was refused. */
MUST_USE status rule_write(store *s, const rule_samples *list, int64_t time_ms, error *err);

/* The series that a rule gave last: sorted, with memory of its own. */
typedef struct {
    arena memory;
    labels *items;
    uint32_t count;
    int64_t time_ms; /* when */
} rule_series;

/* Texts, too. */
MUST_USE bool rule_labels_copy(arena *a, labels from, labels *ret);

MUST_USE bool rule_series_set(rule_series *s, const rule_samples *list, int64_t time_ms);
bool rule_series_has(const rule_series *s, labels l);
void rule_series_done(rule_series *s);

/* ---- rules ---- */

typedef struct {
    char *memory; /* of both, one block each; made by labels_block */
    char *annotation_memory;
    labels labels, annotations;
    alert_state state; /* ALERT_INACTIVE: resolved, told for a while */
    double value;
    int64_t active_ms, fired_ms, resolved_ms; /* 0: not */
    int64_t sent_ms, valid_until_ms, keep_firing_since_ms;
    bool seen; /* by the evaluation that runs */
} active_alert;

typedef struct {
    str name;
    template_set *set;
    bool literal; /* nothing to expand: */
    str text;
} rule_template;

typedef struct {
    bool alerting;
    str name;
    str text;  /* the expression that is evaluated */
    str query; /* as it is shown */
    const promql_node *promql;
    logql_query logql;
    labels labels, annotations; /* as in the file, labels with the group's */
    rule_template *label_templates, *annotation_templates;
    int64_t for_ms, keep_firing_for_ms;
    uint32_t needs; /* rules of the group that are written before it is evaluated */
    rule_series written;

    /* under the lock of the group */
    bool restored; /* ALERTS and ALERTS_FOR_STATE are written */
    active_alert **active;
    uint32_t active_count, active_capacity;
    const char *health;
    char *last_error; /* NULL: none */
    int64_t evaluation_ns, last_evaluation_ns;
    bool template_told; /* that a template failed, until none does */
} rule;

/* Durations of all groups of one manager. */
typedef struct {
    atomic_uint_fast64_t count, sum_ns;
} rule_meter;

typedef struct {
    rule_meter evaluation, iteration;
    atomic_uint_fast64_t alerts_sent, alerts_dropped;
} rules_meters;

void rule_meter_add(rule_meter *m, int64_t ns);

struct rule_group {
    arena memory; /* all that does not change */
    rules_options options;
    str name, file;
    str fingerprint; /* of all that matters when it is read again */
    rule_language language;
    int64_t interval_ms, query_offset_ms, limit;
    labels external_labels;
    rule *rules;
    uint32_t rule_count;
    rules_meters *meters; /* NULL: nobody counts */
    const _Atomic int *canceled;

    /* the thread that evaluates */
    labels *stale; /* of rules that are gone: ended with the next evaluation; in stale_memory */
    uint32_t stale_count;
    arena stale_memory;
    uint64_t eval_samples; /* of the evaluation that runs */
    int64_t eval_rules_ns;

    pthread_mutex_t lock; /* of what follows, and of what rules say is under it */
    uint64_t evaluations, failures, iterations, missed, caught_up, last_samples;
    int64_t evaluation_ns, last_evaluation_ns, rule_duration_ns, restore_ns;
};

static inline bool rule_group_canceled(const rule_group *g)
{
    return g->canceled && atomic_load_explicit(g->canceled, memory_order_relaxed);
}

/* ---- group.c ---- */

/* The instant vector of a rule at that time (before the offset); scalars are a vector. */
MUST_USE status rule_query(rule_group *g, const rule *r, int64_t time_ms, arena *a,
                           promql_result *ret, error *err);
/* A recording rule's result as samples of its series. */
MUST_USE status rule_record(rule_group *g, const rule *r, const promql_result *result, arena *a,
                            rule_samples *ret, error *err);
/* How an evaluation of a rule went. */
typedef struct {
    status st;
    error err;
    int64_t began_ns, took_ns;
    uint32_t samples;
} rule_outcome;

void rule_set_outcome(rule_group *g, rule *r, const rule_outcome *o);

/* ---- depend.c ---- */

/* Sets `needs` of all rules; false: no memory. */
MUST_USE bool rule_group_depend(rule_group *g);

/* ---- held.c ---- */

/* Writes samples, and stale markers for series that were in r->written and are no more. */
MUST_USE status rule_commit(rule_group *g, rule *r, rule_samples *list, int64_t time_ms, arena *a,
                            error *err);
bool rule_is_given(const rule_group *g, const rule *but, labels l, int64_t time_ms);

/* The same for several rules of one evaluation at once. */
typedef struct held_rules held_rules;
held_rules *rule_held_new(void); /* NULL: no memory */
void rule_held_free(held_rules *h);
/* Whether what is held is to be written before `next` is evaluated. */
bool rule_held_is_due(const rule_group *g, const held_rules *h, const rule *next);
/* From now on r->written says what it gave. Labels are copied, histograms not: a rule with some is
 * written before the next is evaluated. */
MUST_USE status rule_hold(held_rules *h, const rule_group *g, rule *r, const rule_samples *list,
                          int64_t time_ms, error *err);
void rule_hold_outcome(held_rules *h, const rule_outcome *o); /* of the newest one */
/* Writes all, and sets the outcome of each rule. */
void rule_held_write(held_rules *h, rule_group *g, int64_t time_ms);

/* ---- alerting.c ---- */

/* States after that result; what ALERTS and ALERTS_FOR_STATE then say. */
MUST_USE status alerting_update(rule_group *g, rule *r, int64_t time_ms,
                                const promql_result *result, arena *a, rule_samples *ret,
                                error *err);
/* Gives the alerts that are due to the sinks. */
void alerting_send(rule_group *g, rule *r, int64_t time_ms, arena *a);
void alerting_done(rule *r);
/* Takes the alerts of `from`, a rule of the same name and labels. */
void alerting_move(rule *to, rule *from);
alert_state alerting_state(const rule *r); /* under the lock */

/* ---- restore.c ---- */

/* The `for` state of before the restart, from ALERTS_FOR_STATE; all rules are restored then. */
void rule_group_restore(rule_group *g, int64_t now_ms, arena *a);
/* Which evaluations of the past were missed: slot i is at first_ms + i * interval. Looks at what
 * the recording rules have written; slots before the first that was not missed count as not missed.
 * Slots beside missed ones are given, too: one may have been cut short, and series that ended in
 * the gap are found by the other. ret: count bytes, 1: to be evaluated. */
MUST_USE status rule_group_gaps(rule_group *g, int64_t first_ms, uint32_t count, arena *a,
                                uint8_t *ret, error *err);
/* The recording rules alone, at a time that was missed. `written`: the series of each rule at the
 * evaluation before, kept from one call to the next. */
void rule_group_catch_up(rule_group *g, int64_t time_ms, rule_series *written);
/* Of those series, only the ones without a sample after time_ms, up to to_ms. */
MUST_USE status rule_series_without_newer(store *s, const labels *items, uint32_t count,
                                          int64_t time_ms, int64_t to_ms, arena *a,
                                          rule_samples *ret, error *err);

/* State of a group that was changed in the file. */
MUST_USE bool rule_group_take_over(rule_group *to, rule_group *from);

#endif
