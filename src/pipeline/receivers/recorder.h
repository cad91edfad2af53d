// SPDX-License-Identifier: Apache-2.0
/* What the recorder receiver tells of itself beside what every component counts. */
#ifndef SONDE_PIPELINE_RECEIVERS_RECORDER_H
#define SONDE_PIPELINE_RECEIVERS_RECORDER_H

#include "pipeline/component.h"

enum { RECORDER_DIRS_MAX = 16 };

typedef struct recorders recorders; /* one receiver and what it reads */

typedef struct {
    uint64_t files;    /* recorders read now */
    uint64_t failed;   /* tries that were put off, or errors of reading */
    uint64_t finished; /* files of dead processes that were read to their end */
} recorder_counts;
/* c: a running receiver of type "recorder". Any thread. */
void recorder_get_counts(const component *c, recorder_counts *ret);

#endif
