// SPDX-License-Identifier: Apache-2.0
/* Connections that many threads take turns on; used by database.c alone. */
#ifndef EXAMPLES_COMMON_DATABASE_POOL_H
#define EXAMPLES_COMMON_DATABASE_POOL_H

#include "examples/common/database_engine.h"

typedef struct connection_pool connection_pool;

/* `where` is copied. No connection is made yet. NULL without memory. */
connection_pool *pool_new(const database_engine *engine, const char *where, int max);
/* Nobody may have a connection. */
void pool_free(connection_pool *p);
/* An idle connection that still is one, or a new one; NULL at the deadline or when there is none to
 * be had, with the error. An idle connection that was lost is replaced here, before anything is
 * sent, so no statement is ever sent twice. */
void *pool_take(connection_pool *p, int64_t deadline_ms, database_error *e);
/* Gives it back; one that was lost, or shall not be kept, is closed. */
void pool_give(connection_pool *p, void *connection, bool keep);
database_pool pool_state(connection_pool *p);

#endif
