// SPDX-License-Identifier: Apache-2.0
/* alert_relabel_configs: rules that change or drop alerts on their way to who notifies. One set of
 * rules before any number of sinks; they may change while alerts come, on any thread. */
#ifndef SONDE_CMD_ALERT_RELABEL_H
#define SONDE_CMD_ALERT_RELABEL_H

#include "rules/alert.h"
#include "settings/option.h"

typedef struct alert_relabel alert_relabel;

enum { ALERT_RELABEL_SINKS_MAX = 2 };

/* rules: of relabel_settings; nothing of them is kept. */
MUST_USE status alert_relabel_new(alert_relabel **ret, const section_list *rules, error *err);
void alert_relabel_free(alert_relabel *r); /* after the last alert came; NULL is fine */
/* Other rules; on failure the former ones stay. */
MUST_USE status alert_relabel_set(alert_relabel *r, const section_list *rules, error *err);
/* A sink that gives to `to` what the rules leave; NULL gives NULL. It lives as long as r. */
const alert_sink *alert_relabel_sink(alert_relabel *r, const alert_sink *to);

#endif
