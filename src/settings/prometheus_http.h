// SPDX-License-Identifier: Apache-2.0
/* What Prometheus and Alertmanager call an HTTP client's configuration (basic_auth, authorization,
 * tls_config, proxy_url, http_headers, …): its table, and what requests are made of it. Names and
 * defaults are Prometheus's. */
#ifndef SONDE_SETTINGS_PROMETHEUS_HTTP_H
#define SONDE_SETTINGS_PROMETHEUS_HTTP_H

#include "net/client.h"
#include "settings/settings.h"

typedef struct {
    str username, username_file, password, password_file;
} prometheus_basic_auth;

typedef struct {
    str type, credentials, credentials_file;
} prometheus_authorization;

typedef struct {
    str ca, ca_file, cert, cert_file, key, key_file, server_name;
    int min_version; /* 0: not said; 1: TLS10 … */
    bool insecure_skip_verify;
} prometheus_tls;

typedef struct {
    str name; /* of the header */
    text_list values, secrets, files;
} prometheus_header;

/* What Prometheus calls an HTTP client's configuration. */
typedef struct {
    bool has_basic_auth, has_authorization, has_tls;
    prometheus_basic_auth basic_auth;
    prometheus_authorization authorization;
    value oauth2;
    str bearer_token, bearer_token_file;
    prometheus_tls tls;
    str proxy_url;
    bool follow_redirects;
    section_list headers; /* of prometheus_header */
} prometheus_http;

extern const option_table prometheus_tls_options, prometheus_http_options;

/* What contradicts itself or is not supported; *ret_option is the option's name then. */
MUST_USE status prometheus_http_check(const prometheus_http *h, const char **ret_option,
                                      error *err);

void prometheus_http_client(http_client_options *ret, const prometheus_http *s);

/* Credentials, read anew for each request. */
typedef struct {
    buf header; /* "Authorization: …", terminated; empty: none */
    bool basic;
    buf name, password; /* terminated */
} prometheus_auth;

MUST_USE status prometheus_auth_set(prometheus_auth *a, const prometheus_http *s, error *err);
void prometheus_auth_done(prometheus_auth *a); /* also after a failure */
/* Appends the lines of http_headers to a list of `max` at most. */
MUST_USE status prometheus_http_headers(arena *a, const prometheus_http *s, const char **lines,
                                        unsigned *count, unsigned max, error *err);

#endif
