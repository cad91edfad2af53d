// SPDX-License-Identifier: Apache-2.0
/* Errors are a status code and one message, written where the facts are known.
 * Libraries return them and never log. An `error` may be NULL wherever one is taken. */
#ifndef SONDE_BASE_ERROR_H
#define SONDE_BASE_ERROR_H

#include "base/base.h"

/* code, what it means for the caller */
#define STATUS_CODES(X) \
    X(OK, "done") \
    X(INVALID, "the input is wrong: the sender must change it") \
    X(LIMIT, "a stated limit would be exceeded") \
    X(NOT_FOUND, "no such thing") \
    X(EXISTS, "already there") \
    X(UNSUPPORTED, "a version or feature that this build does not know") \
    X(CORRUPT, "stored bytes do not match their checksum or format") \
    X(IO, "the operating system refused an operation") \
    X(FULL, "the disk or a bounded log is full") \
    X(BUSY, "try again later") \
    X(CANCELED, "the caller went away or time ran out") \
    X(NO_MEMORY, "allocation failed")

typedef enum {
#define X(code, meaning) STATUS_##code,
    STATUS_CODES(X)
#undef X
} status;

typedef struct {
    status code;
    char message[448]; /* terminated; one line, no newline */
} error;

/* Writes the message and returns `code`, so that `return fail(err, STATUS_LIMIT, …)` reads well. */
status fail(error *err, status code, const char *format, ...) PRINTF_LIKE(3, 4);
/* As fail, with ": " and the text of errno appended; ENOSPC and EDQUOT give STATUS_FULL,
 * ENOENT STATUS_NOT_FOUND, ENOMEM STATUS_NO_MEMORY, anything else STATUS_IO. */
status fail_errno(error *err, int errnum, const char *format, ...) PRINTF_LIKE(3, 4);
const char *status_name(status code);

/* "ENOENT" and "No such file or directory"; NULL for numbers that mean nothing. Safe in signal
 * handlers. */
const char *errno_name(int errnum);
const char *errno_text(int errnum);

#endif
