// SPDX-License-Identifier: Apache-2.0
/* What outgoing requests on libcurl share, whoever waits for them: TLS settings, certificates for
 * other names, URLs as they may be shown. One thread per handle. */
#ifndef SONDE_NET_CLIENT_CURL_H
#define SONDE_NET_CLIENT_CURL_H

#include "net/client.h"

#include <curl/curl.h>

/* Before any other call; again is fine, also from several threads. */
void curl_use_init(void);

/* What of a URL may be shown: no user, password and query, where secrets stand. */
void curl_show_url(const char *url, char *shown, size_t size);

/* Texts of `t` outlive the transfer. */
void curl_use_tls(CURL *c, const tls_client *t);

/* A certificate for another name than the URL's: the URL gets that name, connections go where the
 * URL's own host is, and the Host header stays what it was. */
typedef struct {
    char *url, *host, *port;
    struct curl_slist *connect_to;
    char host_header[300];
} curl_renamed;

void curl_renamed_done(curl_renamed *n);
/* False: not a URL. n is zeroed before, and done in any case. */
bool curl_rename_host(curl_renamed *n, const char *url, const char *name);

#endif
