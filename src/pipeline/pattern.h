// SPDX-License-Identifier: Apache-2.0
/* Regular expressions of the collector's options, on PCRE2 with RE2's habits: "$" is only the very
 * end, "." no newline, a pattern is found anywhere unless it has "^" and "$". A compiled pattern is
 * owned by who made it and may be used by several threads at once. Steps per match are limited. */
#ifndef SONDE_PIPELINE_PATTERN_H
#define SONDE_PIPELINE_PATTERN_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct pattern pattern;

typedef enum {
    PATTERN_NO,
    PATTERN_YES,
    PATTERN_LIMIT /* took too many steps: it is not known */
} pattern_result;

/* `whole`: the pattern must take the whole text. STATUS_INVALID with the reason and the byte offset
 * in the pattern. */
MUST_USE status pattern_new(pattern **ret, str text, bool whole, error *err);
void pattern_free(pattern *p); /* NULL is fine */

pattern_result pattern_match(const pattern *p, str subject);
/* Too many steps are no match here: for choosing, not for hiding. */
bool pattern_matches(const pattern *p, str subject);

/* Groups with and without names; *ret_unnamed (may be NULL) counts the latter. */
uint32_t pattern_groups(const pattern *p, uint32_t *ret_unnamed);
/* Name of the index-th named group, 0 first; in no order. */
str pattern_group_name(const pattern *p, uint32_t index, uint32_t *ret_number);

/* The first match at or behind `from`: what each group up to `count` matched, 0 the whole; .ptr
 * NULL for one that did not take part. */
pattern_result pattern_find(const pattern *p, str subject, size_t from, str *groups,
                            uint32_t count);

/* What takes a match's place: appends to `out`. */
typedef void pattern_replacement(void *user, const pattern *p, const str *groups, uint32_t count,
                                 buf *out);
/* Appends `subject` to `out` with every match replaced; PATTERN_NO: there was none. An empty match
 * at the end of another is none. After PATTERN_LIMIT `out` holds a part. */
pattern_result pattern_replace(const pattern *p, str subject, pattern_replacement *with, void *user,
                               buf *out);

#endif
