// SPDX-License-Identifier: Apache-2.0
/* Recording and alerting rules: files of groups (rules/file.h) are read, evaluated on time by a few
 * threads, and what they give is written to the store and told to alert sinks. Semantics are those
 * of Prometheus; docs/rules.md tells what is more. One thread (the main one) opens, starts, reloads
 * and stops; rules_list and rules_get_stats are called by any. */
#ifndef SONDE_RULES_RULES_H
#define SONDE_RULES_RULES_H

#include "query/labels.h"
#include "rules/alert.h"

typedef struct rules rules;

enum { RULES_SINKS_MAX = 4 };

typedef struct {
    store *store;
    const str *paths; /* of rule files: a file, a folder (*.yaml, *.yml, *.rules in it) or a glob */
    uint32_t path_count;
    int64_t interval_ms;          /* of groups that name none; 0: 1 min */
    int64_t query_offset_ms;      /* of groups that name none */
    int64_t resend_delay_ms;      /* after which an active alert is told again; 0: 1 min */
    int64_t outage_tolerance_ms;  /* how old a `for` state may be that is restored; 0: 1 h */
    int64_t grace_period_ms;      /* least time to fire after a restart; 0: 10 min; -1: none */
    int64_t catch_up_ms;          /* time away for which recording rules are made up; 0: none */
    int64_t catch_up_delay_ms;    /* after the start, so that late senders have come */
    const label *external_labels; /* of every alert that is told; any order */
    uint32_t external_label_count;
    str external_url;  /* of the web UI, without '/' at its end; for generator_url and templates */
    uint32_t threads;  /* that evaluate; 0: 2 */
    uint32_t features; /* PROMQL_… of query/promql/ast.h */
    size_t query_memory;                      /* bytes that one evaluation may use; 0: 256 MiB */
    const alert_sink *sinks[RULES_SINKS_MAX]; /* which outlive the rules; NULL ends */
    /* What an operator should know, for the log; any thread. NULL: nobody. */
    void (*say)(void *user, bool warning, const char *event, const char *text);
    void *user;
} rules_options;

/* Options are copied; the store must outlive it. No file is read yet. */
MUST_USE status rules_new(rules **ret, const rules_options *options, error *err);
/* Reads the files of paths and puts their groups in place; alerts, and the series of rules that are
 * as before, stay. Every finding is said. On failure nothing has changed. */
MUST_USE status rules_load(rules *r, error *err);
/* Other options in place of the former ones, and their files (store and sinks stay what they are).
 */
MUST_USE status rules_reload(rules *r, const rules_options *options, error *err);
/* Whether a file came, went or changed since the last load; cheap. */
bool rules_changed(rules *r);
MUST_USE status rules_start(rules *r, error *err);
void rules_stop(rules *r); /* the evaluation that runs ends at its next check */
void rules_free(rules *r); /* NULL is fine */

/* ---- what there is, for the API and the server's metrics ---- */

typedef enum { ALERT_UNKNOWN, ALERT_INACTIVE, ALERT_PENDING, ALERT_FIRING } alert_state;
const char *alert_state_name(alert_state s); /* "unknown", "inactive", "pending", "firing" */

typedef struct {
    labels labels, annotations;
    alert_state state;
    double value;
    int64_t active_ms;
    int64_t keep_firing_since_ms; /* 0: it is not kept by keep_firing_for */
} alert_view;

typedef struct {
    bool alerting;
    str name;
    str query; /* in canonical form */
    int64_t for_ms, keep_firing_for_ms;
    labels labels, annotations; /* labels with the group's */
    alert_state state;          /* the highest of its alerts */
    const char *health;         /* "unknown", "ok", "err" */
    str last_error;
    int64_t evaluation_ns;      /* that the last one took */
    int64_t last_evaluation_ns; /* wall time; 0: none yet */
    const alert_view *alerts;   /* that are active */
    uint32_t alert_count;
} rule_view;

typedef struct {
    str name, file;
    int64_t interval_ms;
    int64_t limit;
    int64_t evaluation_ns, last_evaluation_ns;
    const rule_view *rules;
    uint32_t rule_count;
    /* counters since the start */
    uint64_t evaluations, failures, iterations, missed, caught_up;
    uint64_t last_samples;
    int64_t rule_duration_ns; /* sum of the rules' last evaluations */
    int64_t restore_ns;       /* that restoring the `for` state took */
} group_view;

typedef struct {
    const group_view *groups; /* by file and name */
    uint32_t count;
} rules_view;

/* A copy in `a`; STATUS_LIMIT or STATUS_NO_MEMORY. with_alerts: else rules have none. */
MUST_USE status rules_list(rules *r, bool with_alerts, arena *a, rules_view *ret, error *err);

typedef struct {
    uint64_t count;
    int64_t sum_ns;
} rules_duration;

typedef struct {
    rules_duration evaluation;            /* of a rule */
    rules_duration iteration;             /* of a group */
    uint64_t alerts_sent, alerts_dropped; /* dropped: the sink refused; told again later */
    uint64_t reload_failures;
    bool last_reload_good;
} rules_stats;
void rules_get_stats(rules *r, rules_stats *ret);

#endif
