// SPDX-License-Identifier: Apache-2.0
/* Connecting to a host by name, given up when told to or when time is up. Any thread. */
#ifndef SONDE_NET_CLIENT_DIAL_H
#define SONDE_NET_CLIENT_DIAL_H

#include "base/error.h"

#include <stdatomic.h>

/* Resolves the name and tries all of its addresses, each for its share of the time that is left, by
 * deadline_ns (clock_mono_ns) at the latest. *ret_fd: a connected non-blocking TCP socket, with
 * keepalive. STATUS_IO: the message says which host and why; STATUS_CANCELED. */
MUST_USE status client_dial(int *ret_fd, const char *host, const char *port, int64_t deadline_ns,
                            const _Atomic int *canceled, error *err);

/* Waits until `fd` has `events` (poll's), at most 50 ms: *ret_events is 0 then. STATUS_CANCELED;
 * STATUS_BUSY: the deadline has passed. */
MUST_USE status client_wait(int fd, short events, short *ret_events, int64_t deadline_ns,
                            const _Atomic int *canceled, error *err);

#endif
