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
    str path;              /* of LOG_TO_FILE */
    uint64_t rotate_bytes; /* 0: never */
    uint32_t rotate_age_s; /* 0: never */
    uint32_t rotate_keep;
} line_sink_options;

typedef struct {
    log_output_kind kind;
    int fd; /* -1: none or gone */
    bool is_pipe;
    char *path;
    uint64_t rotate_bytes; /* 0: never */
    uint32_t rotate_keep;
    int64_t rotate_age_ns; /* 0: never */
    int64_t born_ns;       /* wall: when the file began */
    uint64_t file_bytes;
    int64_t checked_ns; /* when the path was last compared with the open file */
    bool warned;
    bool in_line; /* of the last line given to the system a part is missing */
    buf pending;
    size_t written; /* of pending */
} line_sink;

/* At most this many bytes may be pending. */
#define LINES_PENDING_MAX MiB(64)

/* A file that cannot be opened is an error; the sink is then gone, and line_sink_done is still due.
 * A file that was there before goes on to age from when it was made, as far as the file system
 * knows that, else from now on. */
MUST_USE status line_sink_init(line_sink *s, const line_sink_options *options, error *err);
void line_sink_done(line_sink *s); /* does not write */

/* Add lines to s->pending (only after LINES_DONE), then call this until it is LINES_DONE. */
lines_progress line_sink_step(line_sink *s);

/* Nobody takes the lines: forgets those that no byte was written of. Returns their number. */
uint32_t line_sink_forget(line_sink *s);

#endif
