// SPDX-License-Identifier: Apache-2.0
/* The admin port: the paths of sonde_http_handle on an address of their own (libmicrohttpd). A
 * thread for each connection, at most 16, so that a slow health check delays no scrape. */
#ifndef SONDE_LIB_ADMIN_H
#define SONDE_LIB_ADMIN_H

#include "base/error.h"
#include "base/str.h"

#include <sys/socket.h>

/* "9464" and "localhost:9464" are loopback; ":9464" and "*:9464" are all addresses; "192.0.2.1:80",
 * "[::1]:9464". Port 0 lets the system choose. False when it is none of these. */
bool admin_parse_addr(str text, struct sockaddr_storage *ret, socklen_t *ret_size);

/* Addresses with commas between them, at most ADMIN_ADDRS_MAX. A failure costs a line on stderr,
 * and the program runs on without the port. */
#define ADMIN_ADDRS_MAX 8
void admin_start(str addrs);
void admin_stop(void);
/* In the child of a fork: the port stays the parent's. */
void admin_forked(void);

#endif
