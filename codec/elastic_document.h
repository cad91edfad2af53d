// SPDX-License-Identifier: Apache-2.0
/* JSON objects that are log lines or Elasticsearch documents, as rows of a batch: what
 * elastic_bulk.h says about documents. */
#ifndef SONDE_CODEC_ELASTIC_DOCUMENT_H
#define SONDE_CODEC_ELASTIC_DOCUMENT_H

#include "base/buf.h"
#include "base/map.h"
#include "codec/batch.h"
#include "codec/json.h"

typedef struct {
    batch *b;
    uint32_t max_attributes;
    map scopes; /* what a resource says -> its scope */
    buf scratch;
} elastic_documents;

/* max_attributes 0: 1,024. */
void elastic_documents_init(elastic_documents *d, batch *b, uint32_t max_attributes);
void elastic_documents_done(elastic_documents *d);

/* Adds a row. STATUS_INVALID: the text is no JSON object, or has too many members; nothing was
 * added. STATUS_LIMIT: the batch is full. */
MUST_USE status elastic_document_add(elastic_documents *d, str json, str index, uint32_t *ret_row,
                                     error *err);

#endif
