// SPDX-License-Identifier: Apache-2.0
/* Compiled matchers and line filters of one query. Regular expressions run on PCRE2 with limits; a
 * match that exceeds them sets `trouble`, and the query ends with it. One thread per set. */
#ifndef SONDE_STORE_MATCH_H
#define SONDE_STORE_MATCH_H

#include "store/store.h"

typedef struct pattern pattern;

/* whole: anchored at both ends. STATUS_INVALID with the reason and position. */
MUST_USE status match_pattern_new(pattern **ret, str regex, bool whole, error *err);
void match_pattern_free(pattern *p);
/* -1 when a limit was exceeded. */
int match_pattern_test(pattern *p, str subject);

typedef struct {
    str name;
    match_op op;
    str value;
    pattern *re;
    bool takes_empty; /* true for the empty string, that is, for absent */
} match_item;

typedef struct {
    line_op op;
    str text;
    pattern *re;
} line_item;

typedef struct match_set {
    match_item *items;
    uint32_t count;
    line_item *lines;
    uint32_t line_count;
    status trouble;
} match_set;

MUST_USE status match_set_init(match_set *ret, const matcher *matchers, uint32_t count,
                               const line_filter *lines, uint32_t line_count, error *err);
void match_set_done(match_set *m);

bool match_value(match_set *m, const match_item *item, str value);
bool match_lines(match_set *m, str line);
MUST_USE status match_set_trouble(const match_set *m, error *err);

/* STATUS_CANCELED when the deadline passed or the client went. */
MUST_USE status control_check(const query_control *c, error *err);

#endif
