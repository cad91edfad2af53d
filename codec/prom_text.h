// SPDX-License-Identifier: Apache-2.0
/* A metrics batch as a scrape page: Prometheus text 0.0.4 or 1.0.0, OpenMetrics 1.0, protobuf.
 * Points are grouped by family, names follow codec/prom_name.h. Pure functions; thread-safe. */
#ifndef SONDE_CODEC_PROM_TEXT_H
#define SONDE_CODEC_PROM_TEXT_H

#include "base/buf.h"
#include "codec/batch.h"
#include "codec/prom_name.h"

typedef enum {
    PROM_TEXT_0_0_4,
    PROM_TEXT_1_0_0,
    PROM_OPENMETRICS_0_0_1,
    PROM_OPENMETRICS_1_0_0,
    PROM_PROTOBUF,
    PROM_FORMAT_COUNT
} prom_format;

typedef struct {
    prom_format format;
    prom_escaping escaping;
    bool says_escaping; /* the answer names it */
} prom_choice;

/* The best format that an Accept header takes, by its q values; between equals protobuf first, then
 * OpenMetrics 1.0.0. Text 0.0.4 is the last resort, also for an empty header. */
prom_choice prom_choose(str accept);
/* The Content-Type header. */
const char *prom_choice_type(const prom_choice *c);

/* The same for who writes a page by hand: text 0.0.4 and OpenMetrics, underscores. */
prom_format prom_negotiate(str accept);
const char *prom_content_type(prom_format f);

typedef struct {
    bool target_info;     /* the resources' attributes as target_info */
    bool resource_labels; /* job, instance and promoted attributes on each series */
    bool timestamps;      /* each sample with its time; a scrape page has none */
} prom_text_options;

/* Appends the page. Points that cannot be shown (no usable name, a type that contradicts the
 * family's first) are left out and counted in *ret_skipped (may be NULL). `options` may be NULL.
 * Fails at out's limit or without memory. */
MUST_USE status prom_text_write(const batch *b, prom_format format,
                                const prom_text_options *options, buf *out, uint32_t *ret_skipped,
                                error *err);
/* The same in any of the formats and escapings. */
MUST_USE status prom_write(const batch *b, const prom_choice *choice,
                           const prom_text_options *options, buf *out, uint32_t *ret_skipped,
                           error *err);

#endif
