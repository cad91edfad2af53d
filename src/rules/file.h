// SPDX-License-Identifier: Apache-2.0
/* Rule files: Prometheus's format, read and checked; what `sonde check rules`, `sonde test rules`
 * and the server share. A group may say `type: logql`: its expressions are then metric queries of
 * LogQL. Everything that is wrong is told, with line and column. A file is read-only once parsed.
 */
#ifndef SONDE_RULES_FILE_H
#define SONDE_RULES_FILE_H

#include "query/labels.h"
#include "query/logql/logql.h"
#include "query/promql/promql.h"

enum { RULE_GROUPS_MAX = 10000, RULES_PER_FILE_MAX = 100000, RULE_ISSUES_MAX = 200 };

typedef enum { RULE_PROMQL, RULE_LOGQL } rule_language;

typedef struct {
    str record, alert; /* one of them */
    str expr;          /* as written */
    int64_t for_ms, keep_firing_for_ms;
    labels labels, annotations; /* its own; templates */
    unsigned line, column;      /* of the rule */
    unsigned expr_line, expr_column;
} rule_definition;

typedef struct {
    str name;
    rule_language language;
    int64_t interval_ms; /* 0: the default */
    bool has_query_offset;
    int64_t query_offset_ms;
    int64_t limit; /* series or alerts of one rule; 0: none */
    labels labels; /* of all its rules, unless they say otherwise */
    rule_definition *rules;
    uint32_t rule_count;
    unsigned line, column;
} rule_group_definition;

typedef struct {
    arena arena; /* all of it */
    const char *path;
    rule_group_definition *groups;
    uint32_t group_count;
    uint32_t rule_count; /* of all groups */
} rule_file;

/* One finding: "alerts.yaml:12:7: …". */
typedef void rule_issue(void *user, bool warning, const char *text);

/* Every finding goes to `issue` (may be NULL), by line; STATUS_INVALID when there was an error.
 * features: PROMQL_… that expressions may use. */
MUST_USE status rule_file_parse(rule_file *ret, const char *path, str text, uint32_t features,
                                rule_issue *issue, void *user, error *err);
MUST_USE status rule_file_read(rule_file *ret, const char *path, uint32_t features,
                               rule_issue *issue, void *user, error *err);
void rule_file_done(rule_file *f);

/* As YAML, expressions in canonical form if `canonical`; reading it gives the same rules. */
void rule_file_print(buf *out, const rule_file *f, bool canonical);
void rule_group_print(buf *out, const rule_group_definition *g, bool canonical);

/* The labels of a rule with those of its group beneath; false: no memory. */
MUST_USE bool rule_labels(arena *a, const rule_group_definition *g, const rule_definition *r,
                          labels *ret);

#endif
