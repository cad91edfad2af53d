// SPDX-License-Identifier: Apache-2.0
/* A WebSocket client for `sonde tail`: connects over http:// URLs, and calls back with each text
 * message until the server closes or the callback has had enough. One thread, blocking. */
#ifndef SONDE_NET_WS_CLIENT_H
#define SONDE_NET_WS_CLIENT_H

#include "base/error.h"
#include "base/str.h"

typedef struct ws_client ws_client;

/* base: "http://127.0.0.1:4319", perhaps with a path; target: "/loki/api/v1/tail?query=…", encoded.
 * STATUS_INVALID: no such URL, or the server answered something else than 101: its status and the
 * start of its body are in the message. STATUS_IO: no connection within 10 s. */
MUST_USE status ws_client_open(ws_client **ret, const char *base, str target, error *err);
void ws_client_close(ws_client *c); /* NULL is fine */

/* False ends ws_client_run. */
typedef bool ws_client_text(void *user, str text);

/* Answers pings by itself. STATUS_OK: the callback ended it, or the server closed with 1000 or
 * 1001; otherwise why it ended. Messages have at most 16 MiB. */
MUST_USE status ws_client_run(ws_client *c, ws_client_text *on_text, void *user, error *err);

#endif
