// SPDX-License-Identifier: Apache-2.0
/* What the client commands share: requests to a running server, and times as users write them. */
#ifndef SONDE_CMD_CLIENT_H
#define SONDE_CMD_CLIENT_H

#include "base/buf.h"
#include "codec/batch.h"

#define CLIENT_DEFAULT_ADDRESS "http://127.0.0.1:4319"

/* --addr, else $SONDE_ADDR, else the default. `option` may be NULL. */
const char *client_address(const char *option);

/* A path with a query string that is built one parameter at a time. */
typedef struct {
    buf path;
    buf form; /* name=value&…, encoded */
} client_request;

void client_request_init(client_request *r, const char *path);
void client_request_done(client_request *r);
/* One path element, encoded. */
void client_add_path(client_request *r, str element);
void client_add(client_request *r, const char *name, str text);
void client_add_fmt(client_request *r, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);

/* Both parse the JSON answer into *ret (memory and texts in `a`); `raw` (may be NULL) gets its
 * text. STATUS_NOT_FOUND: 404. Other failures carry what the server said. */
MUST_USE status client_get(const client_request *r, const char *address, arena *a, value *ret,
                           buf *raw, error *err);
MUST_USE status client_query(const client_request *r, const char *address, arena *a, value *ret,
                             buf *raw, error *err);

/* ---- walking an answer ---- */

/* The member, or NULL; also NULL for a NULL or other value, so that calls can be chained. */
const value *json_member(const value *v, const char *name);
str json_text(const value *v);        /* "" unless it is a string */
double json_number(const value *v);   /* 0 unless it is a number or a string with one */
int64_t json_integer(const value *v); /* likewise */
values json_items(const value *v);    /* no items unless it is an array */

/* "1h" (ago), RFC 3339 or Unix seconds. */
MUST_USE status client_time(const char *option, const char *text, int64_t now_ns, int64_t *ret_ns,
                            error *err);

/* "sonde: …" on stderr, one line; returns EXIT_FAILED, or EXIT_USAGE for STATUS_INVALID when
 * `usage`. */
int client_complain(const error *err, bool usage);

#endif
