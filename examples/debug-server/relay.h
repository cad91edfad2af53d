// SPDX-License-Identifier: Apache-2.0
/* The sessions that are open, and what goes back and forth between their runners and clients.
 *
 * A session lives here from its order until its end is stored and its last reader is gone; as a
 * span
 * ("debug session"), as counts, and with the last of its messages for readers that come late. While
 * the database is away ends wait here. All functions are for any thread. */
#ifndef DEBUG_SERVER_RELAY_H
#define DEBUG_SERVER_RELAY_H

#include "examples/common/web_socket.h"
#include "examples/debug-server/observability/observability.h"
#include "examples/debug-server/sessions.h"

typedef struct relay relay;

/* NULL after a message on stderr. */
relay *relay_start(database *d, const server_metrics *metrics);
/* Closes all streams and stores what has ended; sessions go on, for the next start of the server.
 * Requests may still come. */
void relay_stop(relay *r);
/* After the web server was stopped. */
void relay_free(relay *r);

/* What a runner needs to run it: {"command":[…],"environment":{…},"breakpoints":[…],…}. */
typedef struct {
    const session_row *row;
    json_t *start; /* taken */
} relay_order;
/* Enters a session that is stored; *ret is the context for what belongs to it (its queue job).
 * False when there are too many. */
bool relay_add(relay *r, const relay_order *order, sonde_context *ret);
/* Ends a session that did not get as far as a runner. False when it is none that is open. */
bool relay_fail(relay *r, const char *id, const char *reason);
/* Has its runner end it; one that waits ends at once. False when it is none that is open. */
bool relay_cancel(relay *r, const char *id);
/* What is known of an open session; false when there is none. */
bool relay_find(relay *r, const char *id, session_row *ret);

/* Answer requests for streams: of a client, and of the runner that has the session. */
void relay_accept_client(relay *r, web_request *request, const char *id);
void relay_accept_runner(relay *r, web_request *request, const char *id);

#endif
