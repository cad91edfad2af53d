// SPDX-License-Identifier: Apache-2.0
/* From paths, folders and globs to the rule files that there are, and whether any of them changed
 * since. One thread at a time. */
#ifndef SONDE_RULES_PATHS_H
#define SONDE_RULES_PATHS_H

#include "base/arena.h"

enum { RULE_FILES_MAX = 10000 };

typedef struct {
    const char **items; /* sorted, each once */
    uint32_t count;
} rule_paths;

/* A folder means its files *.yaml, *.yml and *.rules; a pattern that matches nothing gives nothing;
 * a plain path that is not there is an error. */
MUST_USE status rule_paths_find(const str *paths, uint32_t count, arena *a, rule_paths *ret,
                                error *err);
/* A number that is another one when a file came, went or was changed. */
uint64_t rule_paths_mark(const rule_paths *files);

#endif
