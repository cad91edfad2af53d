// SPDX-License-Identifier: Apache-2.0
/* The table of sessions. Texts that go into it are scrubbed already: environment and secrets of a
 * session are never stored. */
#ifndef DEBUG_SERVER_SESSIONS_H
#define DEBUG_SERVER_SESSIONS_H

#include "examples/common/database.h"

#include <jansson.h>
#include <stdint.h>

/* "queued", "running", then one of "succeeded", "failed", "cancelled". */
typedef struct {
    char id[32];
    char repository[64];
    char command[512];
    char status[16];
    char reason[32]; /* of a failure; "" otherwise */
    char request_id[132];
    char runner[64];
    int exit_code;                              /* -1: none */
    int64_t created_ms, ended_ms, output_lines; /* ms since 1970 */
    char last_output[1024];
} session_row;

bool sessions_migrate(database *d);
bool sessions_insert(database *d, const session_row *row);
/* Takes a queued session for a runner; *ret_taken is false when it is queued no more. Again by the
 * same runner is fine. */
bool sessions_claim(database *d, const char *id, const char *runner, bool *ret_taken);
/* Writes the end (status, reason, exit_code, ended_ms, output_lines, last_output) of a session that
 * has none yet. */
bool sessions_finish(database *d, const session_row *row);
bool sessions_find(database *d, const char *id, session_row *ret, bool *ret_found);
/* The last 50, newest first; the reference is the caller's. */
bool sessions_list(database *d, json_t **ret);
/* The ids of sessions that were queued or running before then, as a JSON array. */
bool sessions_open_before(database *d, int64_t before_ms, json_t **ret);

bool session_has_ended(const session_row *row);
json_t *session_json(const session_row *row);
int64_t now_ms(void);

#endif
