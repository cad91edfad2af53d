/* SPDX-License-Identifier: Apache-2.0 */
/* The error envelope: what a service answers when something failed, in one shape.
 *
 *     char *body = sonde_error_envelope(&(sonde_error){
 *         .code = "GENERATION_ALREADY_TERMINAL",
 *         .message = "Cannot cancel generation that is already completed",
 *         .details = SONDE_DETAILS(sonde_kv("generation_id", id)),
 *         .help = "Generations can only be canceled while queued or processing" });
 *
 *     {"error":{"code":…,"message":…,"request_id":…,"trace_id":…,"details":{…},"help":…}}
 *
 * The ids are those of the current context. All six members are always there: null where there is
 * nothing, {} without details. Details whose key names a secret, and secrets inside of texts
 * (redact.h's rules), are "[REDACTED]". Within a request (http.h) it also makes the request kept,
 * so that it can be repeated.
 *
 * Thread-safe; not for signal handlers; works before sonde_start and after fork. */
#ifndef SONDE_ERROR_H
#define SONDE_ERROR_H

#include <sonde/kv.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define SONDE_ERROR_BYTES 65536 /* no envelope is longer */

typedef struct {
    const sonde_attr *attrs;
    size_t count;
} sonde_details;

/* SONDE_DETAILS(kv…); in C++ an array and its length: { array, 2 }. */
#ifndef __cplusplus
#define SONDE_DETAILS(...) ((sonde_details){ SONDE_ATTRS_(__VA_ARGS__) })
#endif

/* All of it may be zero; nothing is kept. */
typedef struct {
    const char *code;    /* upper-case words with '_'; NULL: "INTERNAL" */
    const char *message; /* what was wrong */
    const char *help;    /* what would be right */
    sonde_details details;
    /* HTTP status, for the log line and the span; 0: sonde_error_status(code). */
    int status;
    /* One log line "error_envelope", an error from status 500, else a warning. The second envelope
     * of one request is not logged. */
    bool log;
    /* The current span fails, with the message and error.type = code. Without it a status of 500
     * and above does so by sonde_http_end. */
    bool fail_span;
} sonde_error;

/* The envelope as JSON, terminated, to be freed by free(). Texts that do not fit are cut, details
 * left out. NULL only without memory. */
char *sonde_error_envelope(const sonde_error *e);

/* The HTTP status that fits a code, by the words in it: "…NOT_FOUND" 404, "UNAUTHENTICATED" 401,
 * "FORBIDDEN", "PERMISSION_…" 403, "…ALREADY…", "…CONFLICT" 409, "INVALID_…" 400, "RATE_LIMIT…"
 * 429, "…UNAVAILABLE" 503, "…TIMEOUT" 504, …; 500 when none is known. Pure, signal-safe. */
int sonde_error_status(const char *code);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
