// SPDX-License-Identifier: Apache-2.0
/* The requests that a trace keeps of failed answers, as curl commands that repeat them. */
#ifndef SONDE_CMD_TRACE_CURL_H
#define SONDE_CMD_TRACE_CURL_H

#include "cmd/client.h"

/* `trace`: one element of "data" of Jaeger's API. Appends a command for each span event
 * sonde.request, the earliest first, with comment lines before it; returns how many. The commands
 * are for any POSIX shell: every word is quoted. */
MUST_USE uint32_t trace_curl(const value *trace, buf *out);

#endif
