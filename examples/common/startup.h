// SPDX-License-Identifier: Apache-2.0
/* Waiting, at the start of a program, for what it cannot do without. */
#ifndef EXAMPLES_COMMON_STARTUP_H
#define EXAMPLES_COMMON_STARTUP_H

#include <stdbool.h>
#include <stddef.h>

/* True when the thing works; otherwise one line that says why not. */
typedef bool startup_try(void *user, char *why, size_t size);

/* Tries until it works, a signal ends the program, or STARTUP_WAIT_S (10, 0 to 3,600) seconds have
 * passed. The first failure is logged as a warning; giving up is logged at fatal level, as "Service
 * cannot start" with the reason, and is in the server when this returns false. */
bool startup_wait(const char *what, startup_try *attempt, void *user);
/* Logs that line; for what needs no second try. Always false. */
bool startup_failed(const char *what, const char *why);

#endif
