// SPDX-License-Identifier: Apache-2.0
/* Inside of logging: loggers and their gates (log_levels.c), sites with limits (log_throttle.c).
 * sonde_start and lib/state.c call this. */
#ifndef SONDE_LIB_LOG_H
#define SONDE_LIB_LOG_H

#include "base/str.h"
#include "sonde/log.h"

/* Before the gate opens: forgets the levels of an earlier start and takes "db=debug,http=warn".
 * What cannot be used costs a line on stderr. */
void log_configure(str levels);
/* The program's gate was set to `base`: every logger's follows. */
void log_gates_apply(unsigned char base);
/* Writes a record for each site that left something out since its last one. Before the writers are
 * stopped. */
void log_flush_suppressed(void);
/* The gate's level of a logger that is known at run time only. */
unsigned char log_level_of(str logger);
/* What the site left out since its last record; it is counted from 0 again. */
uint64_t log_throttle_take(sonde_throttle *t);
/* In the child of a fork. */
void log_levels_forked(void);
void log_throttles_forked(void);

#endif
