// SPDX-License-Identifier: Apache-2.0
/* Sending one mail by SMTP, on libcurl: STARTTLS or TLS from the start, authentication as libcurl
 * does it (PLAIN, LOGIN, CRAM-MD5, …). The caller's thread waits; any number of threads. */
#ifndef SONDE_NET_SMTP_H
#define SONDE_NET_SMTP_H

#include "net/client.h"

typedef struct {
    const char *server;                     /* HOST:PORT; port 465: TLS from the start */
    const char *hello;                      /* name said in EHLO; NULL: localhost */
    const char *name, *password, *identity; /* NULL: not authenticated */
    bool require_tls;                       /* no mail without STARTTLS; else none is begun */
    tls_client tls;
    const char *from;
    const char *const *to; /* ended by NULL */
    str message;           /* headers and body, lines ended by CR LF */
    int64_t timeout_ns;    /* of the whole conversation; 0: 60 s */
    const _Atomic int *canceled;
} smtp_mail;

/* STATUS_OK: the server has taken the mail for every recipient. STATUS_INVALID: it refused it for
 * good (5xx), or what it was given is wrong. STATUS_BUSY: it said "later" (4xx). STATUS_IO: no
 * connection, TLS, time limit. STATUS_CANCELED. The message tells the server's answer. */
MUST_USE status smtp_send(const smtp_mail *m, error *err);

#endif
