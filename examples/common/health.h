// SPDX-License-Identifier: Apache-2.0
/* What a service answers about what it stands on, for sonde_health_check_new:
 *
 *     sonde_health_check_new("database", check_database, database, 2500);
 *     sonde_health_check_new("redis", check_queue, queue, 2500);
 *
 * The detail is "connected", or one line that says what is wrong. */
#ifndef EXAMPLES_COMMON_HEALTH_H
#define EXAMPLES_COMMON_HEALTH_H

#include <stdbool.h>
#include <stddef.h>

/* `user` is a `database *`. */
bool check_database(void *user, char *detail, size_t size);
/* `user` is a `queue *`. */
bool check_queue(void *user, char *detail, size_t size);

#endif
