// SPDX-License-Identifier: Apache-2.0
/* The program that is debugged: a small language, a statement a line, run statement by statement.
 *
 *     let NAME = EXPRESSION          while EXPRESSION … end         sleep MILLISECONDS
 *     print EXPRESSION, …            if EXPRESSION … end            exit STATUS
 *     warn EXPRESSION, …             # a comment                    crash
 *
 * Expressions have whole numbers, texts in double quotes, + - * / % == != < <= > >= and or, and the
 * functions arg(N) and env("NAME"). One thread. */
#ifndef DEBUG_SERVER_TARGET_H
#define DEBUG_SERVER_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TARGET_TEXT_BYTES = 256, TARGET_NAME_BYTES = 32, TARGET_ERROR_BYTES = 160 };

typedef struct target target;

typedef struct {
    bool is_text;
    int64_t number;
    char text[TARGET_TEXT_BYTES];
} target_value;

typedef enum {
    TARGET_RUNS,
    TARGET_SLEEPS, /* the caller waits target_sleep_ms */
    TARGET_EXITS,  /* with target_exit_status */
    TARGET_FAILED, /* target_error says why */
} target_state;

/* NULL when it cannot be read or is wrong: `error` says where. `args` lives as long. */
target *target_load(const char *path, int argc, char **args, char error[TARGET_ERROR_BYTES]);
void target_free(target *t);

/* The line that runs next, from 1; 0 at the end. */
int target_line(const target *t);
int target_line_count(const target *t);
/* The text of a line; "" beyond the end. */
const char *target_source(const target *t, int line);
/* Runs that line. */
target_state target_step(target *t);
int target_sleep_ms(const target *t);
int target_exit_status(const target *t);
const char *target_error(const target *t);

bool target_evaluate(target *t, const char *expression, target_value *ret,
                     char error[TARGET_ERROR_BYTES]);
/* The n-th variable, in the order in which they came; NULL beyond the last. */
const char *target_variable(const target *t, int n, target_value *ret);

#endif
