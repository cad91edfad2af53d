// SPDX-License-Identifier: Apache-2.0
/* The functions of libcurl that libsonde calls, loaded when first needed (dynamic.h). Include this
 * instead of the library's header; the functions are called by their own names, after
 * curl_load(). */
#ifndef SONDE_LIB_CURL_API_H
#define SONDE_LIB_CURL_API_H

#include "lib/dynamic.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define CURL_FUNCTIONS(X) \
    X(curl_easy_cleanup) \
    X(curl_easy_getinfo) \
    X(curl_easy_init) \
    X(curl_easy_setopt) \
    X(curl_easy_strerror) \
    X(curl_global_init) \
    X(curl_multi_add_handle) \
    X(curl_multi_cleanup) \
    X(curl_multi_info_read) \
    X(curl_multi_init) \
    X(curl_multi_perform) \
    X(curl_multi_poll) \
    X(curl_multi_remove_handle) \
    X(curl_multi_wakeup) \
    X(curl_slist_append) \
    X(curl_slist_free_all) \
    X(curl_version_info)

typedef struct {
    CURL_FUNCTIONS(DYNAMIC_POINTER)
} curl_functions;
extern curl_functions curl_api;

/* Once it succeeded, later calls do nothing. */
MUST_USE status curl_load(error *err);
/* A function of libcurl or of a library that it is linked with; NULL when there is none. */
void *curl_library_symbol(const char *name);

#ifndef SONDE_LIB_CURL_API_ITSELF
#define curl_easy_cleanup (curl_api.curl_easy_cleanup)
#undef curl_easy_getinfo
#define curl_easy_getinfo (curl_api.curl_easy_getinfo)
#define curl_easy_init    (curl_api.curl_easy_init)
#undef curl_easy_setopt
#define curl_easy_setopt         (curl_api.curl_easy_setopt)
#define curl_easy_strerror       (curl_api.curl_easy_strerror)
#define curl_global_init         (curl_api.curl_global_init)
#define curl_multi_add_handle    (curl_api.curl_multi_add_handle)
#define curl_multi_cleanup       (curl_api.curl_multi_cleanup)
#define curl_multi_info_read     (curl_api.curl_multi_info_read)
#define curl_multi_init          (curl_api.curl_multi_init)
#define curl_multi_perform       (curl_api.curl_multi_perform)
#define curl_multi_poll          (curl_api.curl_multi_poll)
#define curl_multi_remove_handle (curl_api.curl_multi_remove_handle)
#define curl_multi_wakeup        (curl_api.curl_multi_wakeup)
#define curl_slist_append        (curl_api.curl_slist_append)
#define curl_slist_free_all      (curl_api.curl_slist_free_all)
#define curl_version_info        (curl_api.curl_version_info)
#endif

#endif
