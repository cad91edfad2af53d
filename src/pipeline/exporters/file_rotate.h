// SPDX-License-Identifier: Apache-2.0
/* Files that are set aside: "data.json" becomes "data-2025-10-12T20-30-00.125.json", and of those
 * the oldest are removed. */
#ifndef SONDE_PIPELINE_EXPORTERS_FILE_ROTATE_H
#define SONDE_PIPELINE_EXPORTERS_FILE_ROTATE_H

#include "settings/option.h"

typedef struct {
    int64_t max_megabytes; /* of 2^20 bytes */
    int64_t max_days;      /* 0: however old */
    int64_t max_backups;   /* 0: however many */
    bool localtime;
} file_rotation;
extern const option_table file_rotation_options;

/* Renames `path` (terminated) and removes what the limits say; never over another file. */
MUST_USE status file_rotate(str path, const file_rotation *r, int64_t now_ns, error *err);

#endif
