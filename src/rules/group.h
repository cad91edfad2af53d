// SPDX-License-Identifier: Apache-2.0
/* One running group of rules: its rules are evaluated one after another at a given time, what they
 * give is written to the store, alerts change their states. The server's threads (rules.c) and
 * `sonde test rules` drive it. One thread at a time evaluates a group; views may be taken beside.
 */
#ifndef SONDE_RULES_GROUP_H
#define SONDE_RULES_GROUP_H

#include "rules/file.h"
#include "rules/rules.h"

typedef struct rule_group rule_group;

/* Copies the definition. options: of which store, external labels and URL, interval, offset,
 * features, memory and sinks count; texts and arrays outlive the group. restored: there is no state
 * to wait for, so that ALERTS_FOR_STATE is written from the first evaluation on. */
MUST_USE status rule_group_new(rule_group **ret, const rules_options *options, const char *path,
                               const rule_group_definition *d, bool restored, error *err);
void rule_group_free(rule_group *g); /* NULL is fine */

/* All rules at that time, in order, and the alerts that are due are told. What fails stands in the
 * views. canceled: set to 1 by another thread to end it between rules and queries; NULL: never. */
void rule_group_eval(rule_group *g, int64_t time_ms, const _Atomic int *canceled);

/* What the API shows, in `a`. */
MUST_USE status rule_group_view(rule_group *g, bool with_alerts, arena *a, group_view *ret,
                                error *err);

int64_t rule_group_interval_ms(const rule_group *g);

#endif
