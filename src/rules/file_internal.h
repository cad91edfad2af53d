// SPDX-License-Identifier: Apache-2.0
/* What the files that read rule files share: findings, and durations as Prometheus has them. */
#ifndef SONDE_RULES_FILE_INTERNAL_H
#define SONDE_RULES_FILE_INTERNAL_H

#include "rules/file.h"
#include "settings/option_read.h"

typedef struct {
    unsigned line, column, order;
    bool warning;
    const char *text;
} rule_finding;

typedef struct {
    const char *path;
    rule_file *file;
    uint32_t features;
    arena scratch; /* of what is read on the way */
    arena parsing; /* of one expression or template, cleared after it */
    rule_finding *findings;
    uint32_t finding_count, more, errors;
} rule_reader;

void rule_error(rule_reader *r, const yaml_node *at, const char *format, ...) PRINTF_LIKE(3, 4);
void rule_warning(rule_reader *r, const yaml_node *at, const char *format, ...) PRINTF_LIKE(3, 4);

/* file_check.c: what no table can say of a group, whose node is n. */
void rule_check_group(rule_reader *r, const rule_group_definition *g, const yaml_node *n);
/* Groups of one name; rules that record or alert the same. */
void rule_check_duplicates(rule_reader *r, const yaml_node *groups);

/* "1h30m": whole numbers, units y w d h m s ms in this order. */
MUST_USE bool rule_parse_duration(str text, int64_t *ret_ms);
void rule_print_duration(buf *out, int64_t ms);

#endif
