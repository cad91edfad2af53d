// SPDX-License-Identifier: Apache-2.0
/* The functions of libmicrohttpd that libsonde calls, loaded when first needed (dynamic.h). Include
 * this instead of the library's header; the functions are called by their own names, after
 * microhttpd_load(). */
#ifndef SONDE_LIB_MICROHTTPD_API_H
#define SONDE_LIB_MICROHTTPD_API_H

#include "lib/dynamic.h"

#include <microhttpd.h>

#define MICROHTTPD_FUNCTIONS(X) \
    X(MHD_add_response_header) \
    X(MHD_create_response_from_buffer) \
    X(MHD_destroy_response) \
    X(MHD_get_connection_info) \
    X(MHD_get_daemon_info) \
    X(MHD_lookup_connection_value) \
    X(MHD_queue_response) \
    X(MHD_quiesce_daemon) \
    X(MHD_set_connection_option) \
    X(MHD_start_daemon) \
    X(MHD_stop_daemon)

typedef struct {
    MICROHTTPD_FUNCTIONS(DYNAMIC_POINTER)
} microhttpd_functions;
extern microhttpd_functions microhttpd_api;

/* Once it succeeded, later calls do nothing. */
MUST_USE status microhttpd_load(error *err);

#ifndef SONDE_LIB_MICROHTTPD_API_ITSELF
#define MHD_add_response_header         (microhttpd_api.MHD_add_response_header)
#define MHD_create_response_from_buffer (microhttpd_api.MHD_create_response_from_buffer)
#define MHD_destroy_response            (microhttpd_api.MHD_destroy_response)
#define MHD_get_connection_info         (microhttpd_api.MHD_get_connection_info)
#define MHD_get_daemon_info             (microhttpd_api.MHD_get_daemon_info)
#define MHD_lookup_connection_value     (microhttpd_api.MHD_lookup_connection_value)
#define MHD_queue_response              (microhttpd_api.MHD_queue_response)
#define MHD_quiesce_daemon              (microhttpd_api.MHD_quiesce_daemon)
#define MHD_set_connection_option       (microhttpd_api.MHD_set_connection_option)
#define MHD_start_daemon                (microhttpd_api.MHD_start_daemon)
#define MHD_stop_daemon                 (microhttpd_api.MHD_stop_daemon)
#endif

#endif
