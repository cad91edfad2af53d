// SPDX-License-Identifier: Apache-2.0
/* Notification: the built-in alertmanager (routes, groups, silences, inhibition, receivers, with
 * Alertmanager's own configuration file) and the forwarder to external Alertmanagers (API v2).
 * What was acknowledged lies in DATA/alertmanager.db: alerts, silences, the notification log, and
 * every notification that was begun, with its content and idempotency key. See docs/alerts.md.
 * Functions may be called from any thread, but for open, start, reload, stop and free: one. */
#ifndef SONDE_RULES_NOTIFY_NOTIFY_H
#define SONDE_RULES_NOTIFY_NOTIFY_H

#include "codec/json.h"
#include "rules/alert.h"
#include "settings/prometheus_http.h"

/* What an operator should know, for the log; any thread. */
typedef void notify_say(void *user, bool warning, const char *event, const char *text);

/* ---- the built-in alertmanager ---- */

typedef struct alertmanager alertmanager;

typedef struct {
    const char *data;         /* directory of alertmanager.db; made when absent */
    const char *config;       /* Alertmanager's configuration file; NULL: no receiver is told */
    const char *external_url; /* of the server, for links in notifications; NULL: its loopback */
    notify_say *say;          /* NULL: nobody */
    void *user;
    /* 0: 100,000 alerts, 20,000 groups, 10,000 notifications on their way, 10,000 silences. */
    uint32_t max_alerts, max_groups, max_pending, max_silences;
    int64_t (*now_ms)(void *user); /* tests: wall time; NULL: the clock */
} alertmanager_options;

/* Opens the database and the configuration; nothing is sent before _start. Options are copied, the
 * texts too. */
MUST_USE status alertmanager_open(alertmanager **ret, const alertmanager_options *options,
                                  error *err);
MUST_USE status alertmanager_start(alertmanager *am, error *err);
/* Reads the configuration again; path NULL: the built-in one. On failure the old one stays, and
 * alertmanager_config_last_reload_successful says so. */
MUST_USE status alertmanager_reload(alertmanager *am, const char *path, error *err);
/* For links in notifications that are made from now on. */
void alertmanager_set_external_url(alertmanager *am, const char *url);
/* Whether the configuration file or a file of its templates has changed since it was read. */
bool alertmanager_changed(alertmanager *am);
/* A request that runs is given up: it is sent again at the next start, with the same key. */
void alertmanager_stop(alertmanager *am);
void alertmanager_free(alertmanager *am); /* NULL is fine */

/* Takes alerts: OK when they are durable; STATUS_LIMIT when there are too many, STATUS_INVALID for
 * wrong ones (the others of the call were taken). Valid as long as the alertmanager. */
const alert_sink *alertmanager_sink(alertmanager *am);

/* What stands behind `sonde check alerts FILE`. Every finding goes to `issue`:
 * "FILE:LINE:COLUMN: TEXT". A summary of a good file is added to `out`. */
MUST_USE status alertmanager_check(const char *path,
                                   void (*issue)(void *user, bool warning, const char *text),
                                   void *user, buf *out, error *err);

/* ---- what its API needs (src/api/alertmanager.c) ---- */

typedef struct {
    const str *filters; /* matchers: name="value", name=~"regex" … */
    uint32_t filter_count;
    str receiver; /* regular expression over the whole name; empty: all */
    bool active, silenced, inhibited, unprocessed, muted;
} alertmanager_filter;

/* Write one JSON value each, in the shape of Alertmanager's OpenAPI. On failure nothing useful was
 * written. */
MUST_USE status alertmanager_write_alerts(alertmanager *am, const alertmanager_filter *filter,
                                          json_writer *w, error *err);
MUST_USE status alertmanager_write_groups(alertmanager *am, const alertmanager_filter *filter,
                                          json_writer *w, error *err);
MUST_USE status alertmanager_write_silences(alertmanager *am, const alertmanager_filter *filter,
                                            json_writer *w, error *err);
MUST_USE status alertmanager_write_silence(alertmanager *am, str id, json_writer *w, error *err);
void alertmanager_write_receivers(alertmanager *am, json_writer *w);
void alertmanager_write_status(alertmanager *am, json_writer *w); /* secrets are not in it */

/* The body of POST alerts: what is right of it is taken, and the error says what was not. */
MUST_USE status alertmanager_post_alerts(alertmanager *am, str body, arena *a, error *err);
/* The body of POST silences; *ret_id lives in `a`. STATUS_NOT_FOUND: it names an id that there is
 * not. */
MUST_USE status alertmanager_post_silence(alertmanager *am, str body, arena *a, str *ret_id,
                                          error *err);
MUST_USE status alertmanager_expire_silence(alertmanager *am, str id, error *err);

/* ---- external Alertmanagers ---- */

typedef struct alert_forwarder alert_forwarder;

typedef struct {
    str url;              /* "http://alertmanager:9093/prefix"; /api/v2/alerts is added */
    prometheus_http http; /* basic_auth, authorization, tls_config …; texts are copied */
    int64_t timeout_ns;   /* of one request; 0: 10 s */
} alert_forwarder_target;

typedef struct {
    const alert_forwarder_target *targets;
    uint32_t target_count; /* at most ALERT_FORWARDER_TARGETS_MAX */
    uint32_t queue;        /* alerts that wait for one target at most; 0: 10,000 */
    notify_say *say;
    void *user;
} alert_forwarder_options;

enum { ALERT_FORWARDER_TARGETS_MAX = 16 };

/* Starts one thread for each target. An alert that waits is replaced by its newer state. */
MUST_USE status alert_forwarder_new(alert_forwarder **ret, const alert_forwarder_options *options,
                                    error *err);
/* Waiting alerts are lost, as far as rules do not give them again. NULL is fine. */
void alert_forwarder_free(alert_forwarder *f);
/* OK when the alerts are queued for every target; STATUS_LIMIT when a queue is full: what found no
 * place was counted. */
const alert_sink *alert_forwarder_sink(alert_forwarder *f);
/* {"activeAlertmanagers":[{"url":…}],"droppedAlertmanagers":[]}: /api/v1/alertmanagers. */
void alert_forwarder_write_targets(const alert_forwarder *f, json_writer *w); /* f NULL: none */

/* ---- metrics ---- */

/* Metrics in Prometheus's text format with the names of Alertmanager and Prometheus; openmetrics:
 * families of counters without _total. Either may be NULL. */
void alertmanager_write_metrics(alertmanager *am, buf *out, bool openmetrics);
void alert_forwarder_write_metrics(alert_forwarder *f, buf *out, bool openmetrics);

#endif
