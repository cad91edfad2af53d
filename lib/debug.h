// SPDX-License-Identifier: Apache-2.0
/* The pages under /debug, and what they share. What the program registers (sonde/debug.h) is kept
 * whether the library runs or not; pages that need the recorder say so when there is none. */
#ifndef SONDE_LIB_DEBUG_H
#define SONDE_LIB_DEBUG_H

#include "lib/env.h"
#include "lib/http_handle.h"
#include "lib/recorder.h"

/* Called by sonde_start: token, environment, names. */
void debug_configure(const settings *s);
/* Waits until nobody reads the recorder, which is about to close. */
void debug_release(void);
/* In the child of a fork. */
void debug_forked(void);

/* environment=production: the paths that change or reveal the most are not there. */
bool debug_in_production(void);

typedef enum { TOKEN_RIGHT, TOKEN_WRONG, TOKEN_NONE_SET } token_verdict;
/* `authorization`: the header's value. Takes the same time wherever it differs. */
token_verdict debug_check_token(str authorization);

/* ---- the recorder, for reading ---- */

/* The current recorder, which stays open until debug_unlock_recorder; NULL: the library is off (the
 * lock is then not held). */
recorder *debug_lock_recorder(void);
void debug_unlock_recorder(void);

/* ---- the tail of the log: debug_logs.c ---- */

/* A path of the library was asked for: from now on the drainer keeps the newest log lines, up to
 * LOG_TAIL_BYTES. Cheap. */
#define LOG_TAIL_BYTES MiB(2)
void debug_used(void);
/* For the drainer: rows that are about to leave the recorder, after redaction. Does nothing until
 * debug_used. */
void debug_logs_keep(const batch *logs);
/* Whether lines are kept at all; and one that was rendered already, as the page shows it. */
bool debug_logs_wanted(void);
void debug_logs_keep_line(const batch *logs, uint32_t row, str line);

/* ---- pages ---- */

int debug_status_page(page *p);
int debug_workflow_page(page *p);
int debug_logs_page(page *p);
int debug_spans_page(page *p);
int debug_queue_page(page *p);
int debug_memory_page(page *p);
int debug_artifacts_page(page *p);
int debug_config_page(page *p);
int debug_connections_page(page *p);
int debug_log_level_page(page *p);
int pprof_cpu_page(page *p);
int pprof_heap_page(page *p);
int pprof_threads_page(page *p);

#endif
