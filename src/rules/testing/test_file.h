// SPDX-License-Identifier: Apache-2.0
/* Unit tests of rules, in the file format of promtool: read and checked, nothing is run. */
#ifndef SONDE_RULES_TESTING_TEST_FILE_H
#define SONDE_RULES_TESTING_TEST_FILE_H

#include "rules/testing/series_text.h"

typedef struct {
    labels labels;
    series_text_values values;
} test_series;

typedef struct {
    labels labels, annotations; /* sorted; empty values stay */
} test_alert;

typedef struct {
    int64_t eval_ms;
    str alertname;
    test_alert *alerts;
    uint32_t alert_count;
} test_alert_case;

typedef struct {
    labels labels;
    double value;
    str histogram; /* in canonical form; empty: value counts */
} test_sample;

typedef struct {
    str expr;
    int64_t eval_ms;
    test_sample *samples;
    uint32_t sample_count;
    str problem; /* a sample that cannot be read; empty: none */
} test_expr_case;

typedef struct {
    str name;
    int64_t interval_ms;
    int64_t start_ms;
    test_series *series;
    uint32_t series_count;
    test_alert_case *alerts; /* in the file's order */
    uint32_t alert_count;
    test_expr_case *exprs;
    uint32_t expr_count;
    labels external_labels;
    str external_url;
} test_group;

typedef struct {
    str *rule_files; /* with the test file's folder in front, as globs */
    uint32_t rule_file_count;
    str *order; /* group_eval_order */
    uint32_t order_count;
    int64_t interval_ms; /* evaluation_interval */
    bool fuzzy;
    test_group *tests;
    uint32_t test_count;
} test_file;

/* All of it in `a`. STATUS_INVALID: "PATH:LINE:COLUMN: …"; STATUS_LIMIT. */
MUST_USE status test_file_parse(arena *a, const char *path, str text, test_file *ret, error *err);

#endif
