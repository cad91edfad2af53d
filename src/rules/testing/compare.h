// SPDX-License-Identifier: Apache-2.0
/* What rule tests compare, sorted and as text. Lists live in the arena that they are given. */
#ifndef SONDE_RULES_TESTING_COMPARE_H
#define SONDE_RULES_TESTING_COMPARE_H

#include "rules/testing/test_file.h"

typedef struct {
    test_alert *items;
    uint32_t count, capacity;
} alert_list;

/* False: no memory. */
MUST_USE bool alert_list_add(arena *a, alert_list *list, labels l, labels annotations);
/* Sorts both. */
bool alert_lists_equal(alert_list *wanted, alert_list *got);
void alert_list_print(buf *out, const alert_list *list);

typedef struct {
    test_sample *items;
    uint32_t count, capacity;
} wanted_samples;

MUST_USE bool wanted_samples_add(arena *a, wanted_samples *list, const test_sample *s);
/* Sorts both. fuzzy: neighbouring floats are equal. NaN equals nothing, as in promtool. */
bool wanted_samples_equal(wanted_samples *wanted, wanted_samples *got, bool fuzzy);
void wanted_samples_print(buf *out, const wanted_samples *list);

void print_prometheus_duration(buf *out, int64_t ms); /* 1h30m */
void print_go_duration(buf *out, int64_t ms);         /* 1h30m0s */

#endif
