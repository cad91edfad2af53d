// SPDX-License-Identifier: Apache-2.0
/* The extension sonde_web: where the web UI, the query APIs, /metrics and health answer. Settings
 * only (a server_settings): the server mounts its own routes there. */
#include "pipeline/component.h"

static const option web_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(server_settings, endpoint),
      .fallback = "127.0.0.1:4319",
      .address = true,
      .help = "address to listen on: HOST:PORT; receivers may share it" },
    { .name = "server", .type = OPTION_INLINE, .offset = 0, .table = &server_options },
};

static status web_open(void **ret_self, component *c, error *err)
{
    (void)err;
    *ret_self = c;
    return STATUS_OK;
}

const component_type sonde_web_extension = {
    .type = "sonde_web",
    .kind = COMPONENT_EXTENSION,
    .help = "Web UI, query APIs, /metrics and health of this server.",
    .options = OPTION_TABLE(web_rows, server_settings),
    .open = web_open,
};
