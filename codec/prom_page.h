// SPDX-License-Identifier: Apache-2.0
/* What the exposition formats share: the points of a batch, grouped by family, with names and
 * labels in the escaping that was asked for. One thread per page; the batch must stay. */
#ifndef SONDE_CODEC_PROM_PAGE_H
#define SONDE_CODEC_PROM_PAGE_H

#include "codec/prom_name.h"
#include "codec/prom_text.h"

#define PROM_NO_HELP "No description was given." /* linters refuse a family without */
#define PROM_MEMO    16u

typedef struct {
    str name; /* with "_total" for counters; empty: it cannot be shown */
    prom_type type;
    bool native; /* of scope PROMETHEUS_SCOPE: names are as they came */
} prom_family;

typedef struct {
    const batch *b;
    prom_text_options options;
    prom_escaping escaping;
    arena arena;
    prom_family *families;  /* by metric index */
    prom_labels *resources; /* two by resource index, the second for native families; NULL without
                             * resource labels */
    uint32_t *rows;         /* in the order of the page */
    uint32_t row_count;
    uint32_t skipped;
    /* The keys of the last point, which most often are those of the next one, too. */
    struct {
        uint32_t count; /* 0: nothing is remembered */
        const char *keys[PROM_MEMO];
        uint8_t from[PROM_MEMO]; /* which attribute each label comes from */
        prom_label labels[PROM_MEMO];
    } memo;
} prom_page;

/* False without memory. prom_page_done frees, also after a failure. */
MUST_USE bool prom_page_init(prom_page *p, const batch *b, prom_escaping escaping,
                             const prom_text_options *options);
void prom_page_done(prom_page *p);

/* The family of a row, and its metric. */
const prom_family *prom_page_family(const prom_page *p, uint32_t row);
const batch_metric *prom_page_metric(const prom_page *p, uint32_t row);
/* True when row number i of the page begins another family. Rows whose type is not that of the
 * family's first are counted as skipped and not to be shown: false in *ret_shown. */
bool prom_page_begins(prom_page *p, uint32_t i, const prom_family **inout_family, bool *ret_shown);
/* A row's labels, valid until the next call. False without memory. */
MUST_USE bool prom_page_labels(prom_page *p, uint32_t row, prom_labels *ret);
/* Labels of a list of attributes: of target_info, of an exemplar. */
MUST_USE bool prom_page_target(prom_page *p, uint32_t resource, prom_labels *ret);
MUST_USE bool prom_page_attributes(prom_page *p, const attrs *list, prom_labels *ret);
/* The newest exemplar with a value in (low, high]; NULL when there is none. */
const exemplar *prom_exemplar_between(const exemplars *list, double low, double high);
double prom_exemplar_value(const exemplar *e);

#endif
