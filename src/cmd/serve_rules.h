// SPDX-License-Identifier: Apache-2.0
/* Rules and notification as `sonde serve` runs them: opened on the store by what the extension
 * sonde_rules says, reloaded with the configuration and when their files change. Main thread, but
 * for serve_rules_metrics. */
#ifndef SONDE_CMD_SERVE_RULES_H
#define SONDE_CMD_SERVE_RULES_H

#include "cmd/alert_relabel.h"
#include "net/server.h"
#include "pipeline/extensions/sonde_rules.h"
#include "rules/notify/notify.h"
#include "rules/rules.h"

typedef struct {
    rules *rules; /* NULL: the configuration has no sonde_rules */
    alertmanager *alertmanager;
    alert_forwarder *forwarder;
    alert_relabel *relabel; /* before both */
    const sonde_rules_settings *settings;
    uint64_t addresses; /* a hash of those of external Alertmanagers, at the start */
    char url[300];      /* of the web UI, when the settings say none */
} serve_rules;

typedef struct {
    const char *data;
    store *store;
    uint32_t features;
    const server_settings *web;
    unsigned port;                        /* of the web UI; 0: not bound yet */
    const sonde_rules_settings *settings; /* NULL: nothing is opened */
} serve_rules_options;

/* Reads the files; nothing runs yet. */
MUST_USE status serve_rules_open(serve_rules *s, const serve_rules_options *o, error *err);
MUST_USE status serve_rules_start(serve_rules *s, error *err);
/* Before the start, when the port is known that the settings leave open. */
MUST_USE status serve_rules_bound(serve_rules *s, const serve_rules_options *o, error *err);
/* Looks at the files; what changed is read again. */
void serve_rules_look(serve_rules *s);
/* Other settings, after a reload of the configuration. */
void serve_rules_reload(serve_rules *s, const serve_rules_options *o);
void serve_rules_stop(serve_rules *s);
void serve_rules_close(serve_rules *s);

/* In Prometheus's text format; openmetrics: families of counters are named without _total. */
void serve_rules_metrics(serve_rules *s, buf *out, bool openmetrics);

#endif
