// SPDX-License-Identifier: Apache-2.0
/* Elasticsearch's bulk requests as log records, and the answers in Elasticsearch's shape. All
 * functions are reentrant.
 *
 * A document is a log record: @timestamp (or timestamp, time, ts), message, and the names of the
 * Elastic Common Schema, nested or dotted, fill time, body, severity, trace and span id; service.*,
 * host.*, container.*, kubernetes.*, cloud.*, agent.* and orchestrator.* are resource attributes;
 * anything else is a log attribute by its path with dots ("json." in front, where Filebeat puts a
 * decoded line, is taken off). A document's own "timestamp" is preferred to "@timestamp", which is
 * when Filebeat read the line and becomes the time of observation. */
#ifndef SONDE_CODEC_ELASTIC_BULK_H
#define SONDE_CODEC_ELASTIC_BULK_H

#include "base/buf.h"
#include "codec/batch.h"

typedef enum {
    ELASTIC_INDEX,
    ELASTIC_CREATE,
    ELASTIC_UPDATE,
    ELASTIC_DELETE,
    ELASTIC_ACTIONS
} elastic_action;

typedef struct {
    elastic_action action;
    str index;    /* views into the request, or the path's */
    str id;       /* empty: one is made up for the answer */
    uint32_t row; /* in the batch; BATCH_FULL: none */
    int status;   /* 201, or why not */
    str error_type, reason;
} elastic_item;

typedef struct {
    elastic_item *items;
    uint32_t count, capacity;
} elastic_items;

typedef struct {
    uint32_t max_items;      /* of one request; 1,048,576 */
    uint32_t max_attributes; /* of one document; 1,024 */
} elastic_limits;

/* Appends the documents to b (signal logs) and one item for each action to *ret, in the arena of b.
 * `index`: of the path, may be empty. A document that is wrong, and an action that does not fit a
 * log (update, delete), is refused by its item alone; STATUS_INVALID is for a request in which the
 * place of the next action cannot be known. limits NULL: the defaults. */
MUST_USE status elastic_bulk_decode(batch *b, str bytes, str index, const elastic_limits *limits,
                                    elastic_items *ret, error *err);
/* One document ("POST /INDEX/_doc"). */
MUST_USE status elastic_document_decode(batch *b, str bytes, str index, elastic_items *ret,
                                        error *err);

/* Marks the `rejected` oldest rows as refused: those that were too old to be kept. */
void elastic_items_reject_oldest(elastic_items *items, const batch *b, uint32_t rejected,
                                 str reason);

/* {"took":…,"errors":…,"items":[…]}. `seed`: for ids that are made up. */
void elastic_bulk_answer(const elastic_items *items, int64_t took_ms, uint64_t seed, buf *out);
/* The answer to one document. */
void elastic_document_answer(const elastic_item *item, uint64_t seed, buf *out);
/* {"error":{"root_cause":[…],"type":…,"reason":…},"status":…} */
void elastic_error(buf *out, int code, str type, str reason);

#endif
