// SPDX-License-Identifier: Apache-2.0
/* Series as rule tests write them: "1+2x3 _ stale {{schema:1 sum:3 buckets:[1 2]}}x5". Pure; all
 * that is made lives in the arena given. */
#ifndef SONDE_RULES_TESTING_SERIES_TEXT_H
#define SONDE_RULES_TESTING_SERIES_TEXT_H

#include "query/labels.h"

enum { SERIES_TEXT_VALUES_MAX = 1000000 }; /* of one series */

typedef enum { SERIES_OMITTED, SERIES_FLOAT, SERIES_HISTOGRAM, SERIES_STALE } series_text_kind;

typedef struct {
    series_text_kind kind;
    double value;
    const histogram *histogram;
    bool hint_given; /* the histogram's counter_reset_hint was written */
} series_text_value;

typedef struct {
    series_text_value *items;
    uint32_t count, capacity;
} series_text_values;

/* STATUS_INVALID says what is wrong and at which character. */
MUST_USE status series_text_read(arena *a, str text, series_text_values *ret, error *err);

/* name{label="value"}; "{}" and nothing are no labels. Empty values are left out. */
MUST_USE status series_text_labels(arena *a, str text, labels *ret, error *err);

/* {{schema:1 count:3}}, as Prometheus writes what a test wanted and got. */
void series_text_print_histogram(buf *out, const histogram *h);
/* {__name__="x", a="b"} */
void series_text_print_labels(buf *out, labels l);

#endif
