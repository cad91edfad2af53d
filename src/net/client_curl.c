// SPDX-License-Identifier: Apache-2.0
/* Settings of libcurl handles; see client_curl.h. */
#include "net/client_curl.h"

#include <pthread.h>
#include <stdio.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

void curl_use_init(void)
{
    pthread_once(&once, init_curl);
}

void curl_show_url(const char *url, char *shown, size_t size)
{
    str rest = str_c(url), scheme = STR_EMPTY;
    size_t at = str_find(rest, STR("://"));
    if (at != SIZE_MAX) {
        scheme = str_slice(rest, 0, at + 3);
        rest = str_slice(rest, at + 3, rest.len);
    }
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '?' && rest.ptr[end] != '#')
        end++;
    rest.len = end;
    size_t slash = MIN(str_find_char(rest, '/'), rest.len);
    for (size_t i = slash; i > 0; i--) {
        if (rest.ptr[i - 1] == '@') {
            rest = str_slice(rest, i, rest.len);
            break;
        }
    }
    snprintf(shown, size, "%.*s%.*s", STR_ARG(scheme), STR_ARG(rest));
}

void curl_renamed_done(curl_renamed *n)
{
    curl_free(n->url);
    curl_free(n->host);
    curl_free(n->port);
    curl_slist_free_all(n->connect_to);
}

bool curl_rename_host(curl_renamed *n, const char *url, const char *name)
{
    char line[600];
    CURLU *u = curl_url();
    bool good = u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
                !curl_url_get(u, CURLUPART_HOST, &n->host, 0) &&
                !curl_url_get(u, CURLUPART_PORT, &n->port, CURLU_DEFAULT_PORT) &&
                !curl_url_set(u, CURLUPART_HOST, name, 0) &&
                !curl_url_get(u, CURLUPART_URL, &n->url, 0);
    curl_url_cleanup(u);
    if (!good)
        return false;
    snprintf(line, sizeof(line), "%s:%s:%s:%s", name, n->port, n->host, n->port);
    snprintf(n->host_header, sizeof(n->host_header), "Host: %s:%s", n->host, n->port);
    n->connect_to = curl_slist_append(NULL, line);
    return n->connect_to != NULL;
}

static void set_blob(CURL *c, CURLoption option, const char *pem)
{
    struct curl_blob blob = { (void *)(uintptr_t)pem, strlen(pem), CURL_BLOB_NOCOPY };
    curl_easy_setopt(c, option, &blob);
}

void curl_use_tls(CURL *c, const tls_client *t)
{
    str version = str_c(t->min_version);
    long least = str_is(version, "1.3")   ? CURL_SSLVERSION_TLSv1_3
                 : str_is(version, "1.1") ? CURL_SSLVERSION_TLSv1_1
                 : str_is(version, "1.0") ? CURL_SSLVERSION_TLSv1_0
                                          : CURL_SSLVERSION_TLSv1_2;
    curl_easy_setopt(c, CURLOPT_SSLVERSION, least);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, t->skip_verify ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, t->skip_verify ? 0L : 2L);
    if (t->ca_file)
        curl_easy_setopt(c, CURLOPT_CAINFO, t->ca_file);
    else if (t->ca_pem)
        set_blob(c, CURLOPT_CAINFO_BLOB, t->ca_pem);
    if (t->cert_file)
        curl_easy_setopt(c, CURLOPT_SSLCERT, t->cert_file);
    else if (t->cert_pem)
        set_blob(c, CURLOPT_SSLCERT_BLOB, t->cert_pem);
    if (t->key_file)
        curl_easy_setopt(c, CURLOPT_SSLKEY, t->key_file);
    else if (t->key_pem)
        set_blob(c, CURLOPT_SSLKEY_BLOB, t->key_pem);
}
