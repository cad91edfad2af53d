// SPDX-License-Identifier: Apache-2.0
/* Metrics of the process and of its database connections under the names that dashboards for Go
 * services ask for. What stands for each in a C program:
 *
 *   go_goroutines              threads
 *   go_memstats_alloc_bytes    bytes that malloc has handed out and not got back
 *   go_memstats_sys_bytes      bytes of data and stacks that the process got from the system
 *   pgx_pool_*                 connections of database.h's pool */
#ifndef EXAMPLES_STAGING_RUNTIME_H
#define EXAMPLES_STAGING_RUNTIME_H

#include "examples/common/database.h"

/* `d` must live as long as the library runs. */
void runtime_metrics(database *d);

#endif
