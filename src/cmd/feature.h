// SPDX-License-Identifier: Apache-2.0
/* --enable-feature LIST: Prometheus's names, separated by commas. */
#ifndef SONDE_CMD_FEATURE_H
#define SONDE_CMD_FEATURE_H

#include "base/str.h"

/* The bits of the query language (PROMQL_… of query/promql/ast.h) that a list switches on; NULL is
 * fine. */
uint32_t feature_bits(const char *list);
/* Whether each name of the list is one of Prometheus's. */
bool feature_all_known(const char *list);
/* Logs what each name of the list that is not the query language's comes to: always on, or without
 * effect and why. */
void feature_tell(const char *list);

#endif
