// SPDX-License-Identifier: Apache-2.0
/* Settings from the environment, and waiting for the end. */
#ifndef EXAMPLES_COMMON_CONFIG_H
#define EXAMPLES_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The variable's value, or `fallback` when it is unset or empty. Not to be freed. */
const char *config_text(const char *variable, const char *fallback);
/* As a whole number from `min` to `max`; anything else ends the program with a message. */
long config_number(const char *variable, long fallback, long min, long max);

/* Call first, before any thread: SIGTERM and SIGINT then only set the flag that these two see. */
void config_catch_signals(void);
bool config_stopping(void);
/* Waits for a signal or `ms`, whichever comes first; true when the program should end. */
bool config_wait(int ms);

/* Milliseconds of a clock that only goes forward, for limits and durations. */
int64_t config_now_ms(void);

/* A random id with a prefix, "img_" and 12 hexadecimal digits; ret holds at least 32 bytes. */
void config_new_id(const char *prefix, char ret[32]);

#endif
