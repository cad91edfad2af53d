// SPDX-License-Identifier: Apache-2.0
/* An alert on its way from the rules to those who notify: what rules make, what the alertmanager
 * takes, and what is sent to external Alertmanagers (API v2). Texts belong to the giver and are
 * valid during the call. */
#ifndef SONDE_RULES_ALERT_H
#define SONDE_RULES_ALERT_H

#include "store/store.h"

typedef struct {
    const label *labels; /* sorted by name, "alertname" included: the alert's identity */
    uint32_t label_count;
    const label *annotations; /* sorted by name */
    uint32_t annotation_count;
    int64_t starts_ms;
    int64_t ends_ms;   /* at or before now: resolved; later: when it counts as resolved unless it is
                        * given again; 0: now + resolve_timeout */
    str generator_url; /* the expression as a page of the web UI; may be empty */
} alert;

/* Takes alerts, of which nothing is kept after the call. When it returned OK they survive the
 * process; else the giver gives them again later. Any thread. */
typedef struct {
    status (*put)(void *user, const alert *alerts, uint32_t count, error *err);
    void *user;
} alert_sink;

/* What Alertmanager calls the fingerprint: FNV-1a of names and values. */
uint64_t alert_fingerprint(const label *labels, uint32_t count);

#endif
