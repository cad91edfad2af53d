// SPDX-License-Identifier: Apache-2.0
/* What the files of the Jaeger API share. */
#ifndef SONDE_API_JAEGER_H
#define SONDE_API_JAEGER_H

#include "api/request.h"

/* One trace as Jaeger's UI has it: {"traceID":…,"spans":[…],"processes":{…},"warnings":null}. The
 * tags are those of Jaeger's own OTLP translation. */
void jaeger_write_trace(api_request *r, const batch *spans);

/* Distinct trace ids in order of appearance, at most `limit`. */
typedef struct {
    arena *arena;
    trace_id *items;
    uint32_t count, limit;
} trace_id_list;
/* False when the list is full or memory is. */
bool trace_ids_add(trace_id_list *l, trace_id id);
/* 1 to 32 hexadecimal digits; shorter ones are filled with zeros from the left. */
bool jaeger_trace_id(str text, trace_id *ret);

void jaeger_dependencies(api_request *r);
void jaeger_begin(api_request *r);
/* total: what "total" says. */
void jaeger_end(api_request *r, uint64_t total);

#endif
