// SPDX-License-Identifier: Apache-2.0
/* What a protocol is to the lanes of export.c: a row of functions and texts. Nothing here knows
 * libcurl; a judge sees only the answer. */
#ifndef SONDE_LIB_EXPORT_INTERNAL_H
#define SONDE_LIB_EXPORT_INTERNAL_H

#include "lib/export.h"

enum { RESPONSE_MAX = 64 << 10, BODY_MAX = 64 << 20 };

/* Header fields that some judge reads, from headers or trailers. */
typedef enum {
    ANSWER_RETRY_AFTER,
    ANSWER_GRPC_STATUS,
    ANSWER_GRPC_MESSAGE,
    ANSWER_GRPC_DETAILS,
    ANSWER_FIELDS
} answer_field;

typedef struct {
    long http; /* status code */
    char field[ANSWER_FIELDS][2048];
    buf body;
} export_answer;

typedef enum { VERDICT_TAKEN, VERDICT_AGAIN, VERDICT_REFUSED } verdict_kind;

typedef struct {
    verdict_kind kind;
    int64_t wait_ms;   /* VERDICT_AGAIN: what the receiver asked for; -1: nothing */
    uint64_t rejected; /* VERDICT_TAKEN: of the rows */
    char why[320];     /* terminated; of a partial success too */
} export_verdict;

typedef struct {
    const char *name;
    const char *headers[3];  /* lines; NULL ends */
    const char *gzip_header; /* line, where bodies are compressed */
    bool http2;              /* nothing else will do */
    bool grpc_timeout;       /* the header with the request's time limit */
    status (*encode)(const batch *b, buf *out, error *err);
    /* The bytes to send; false at the buffer's limit. */
    bool (*pack)(buf *out, str body, bool gzip);
    void (*judge)(const export_answer *a, signal_kind signal, export_verdict *ret);
} export_protocol;

extern const export_protocol export_http_protobuf, export_http_json, export_zipkin, export_grpc;

/* Appends `in` compressed. */
bool export_gzip(buf *out, str in);
/* Fills *ret for an answer that was taken, with what its partial success says. */
void export_judge_body(otlp_format format, signal_kind signal, str body, export_verdict *ret);

#endif
