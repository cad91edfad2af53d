// SPDX-License-Identifier: Apache-2.0
/* How log lines look, as one text: a preset (json, console, framecast, staging, personaworlds,
 * sixseven, debug-server) and changes to it, separated by commas:
 *
 *   json,time=ts,message=msg,level_case=upper,level_names=python,time_digits=3,data=nested
 *
 * docs/logs.md lists the items; the tables in log_format.c are what it is made from. */
#ifndef SONDE_CODEC_LOG_FORMAT_H
#define SONDE_CODEC_LOG_FORMAT_H

#include "codec/log_json.h"

typedef struct {
    bool console; /* for people; `schema` is then only what its time digits are taken from */
    log_schema schema;
} log_format;

/* The empty text is json. `spec` must live as long as *ret, whose texts point there. On an error,
 * which names the item and what would be right, *ret is json. */
MUST_USE status log_format_parse(log_format *ret, str spec, error *err);

#endif
