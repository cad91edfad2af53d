// SPDX-License-Identifier: Apache-2.0
/* Where lines go: stdout, stderr, or a file with rotation. It holds the lines that it has taken
 * until the system took them, and never blocks on a pipe whose reader is slow. Pieces given to the
 * system end at a line's end where they can, so that processes sharing a pipe do not cut into each
 * other's lines. One thread. */
#ifndef SONDE_LIB_SINK_LINES_H
#define SONDE_LIB_SINK_LINES_H

#include "lib/env.h"

typedef enum {
    LINES_DONE,    /* everything was written */
    LINES_BLOCKED, /* the reader is slow, or the disk is full: try again later */
    LINES_GONE     /* the reader is gone for good; what is pending was dropped */
} lines_progress;

typedef struct {
    log_output_kind kind;
    int fd; /* -1: none or gone */
    bool is_pipe;
    char *path;
    uint64_t rotate_bytes; /* 0: never */
    uint32_t rotate_keep;
    uint64_t file_bytes;
    int64_t checked_ns; /* when the path was last compared with the open file */
    bool warned;
    buf pending;
    size_t written; /* of pending */
} line_sink;

/* At most this many bytes may be pending. */
#define LINES_PENDING_MAX MiB(64)

/* `path` only for LOG_TO_FILE. A file that cannot be opened is an error; the sink is then gone, and
 * line_sink_done is still due. */
MUST_USE status line_sink_init(line_sink *s, log_output_kind kind, str path, uint64_t rotate_bytes,
                               uint32_t rotate_keep, error *err);
void line_sink_done(line_sink *s); /* does not write */

/* Add lines to s->pending (only after LINES_DONE), then call this until it is LINES_DONE. */
lines_progress line_sink_step(line_sink *s);

#endif
