/* SPDX-License-Identifier: Apache-2.0 */
/* Health: named checks that /ready (and, by option, /health) run and report.
 *
 * Checks run side by side, each on a thread of its own, each with a time limit; a result is used
 * again for options.health.cache_ms. A check that does not return counts as failed until it does,
 * and is never started a second time meanwhile. /health itself says only that the process answers.
 * Works before sonde_start too. Thread-safe; not for signal handlers. */
#ifndef SONDE_HEALTH_H
#define SONDE_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct sonde_health_check sonde_health_check;

/* True when the thing works. `detail` (size bytes, empty at the call) may get a short terminated
 * text for the report: "12 of 20 connections used". Runs on a thread of the library. */
typedef bool sonde_health_fn(void *user, char *detail, size_t size);

/* timeout_ms 0: 1,000. At most 64 checks; names are unique. NULL when a check of that name exists,
 * there are too many, or there is no memory. */
sonde_health_check *sonde_health_check_new(const char *name, sonde_health_fn *fn, void *user,
                                           uint32_t timeout_ms);

/* Takes the check out. Waits for a run of it that is under way, so that `user` can be freed
 * afterwards. NULL is fine. */
void sonde_health_check_free(sonde_health_check *check);

/* Runs what is not cached; true when all checks pass. Takes at most the longest time limit. */
bool sonde_health_ready(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
