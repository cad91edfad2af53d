// SPDX-License-Identifier: Apache-2.0
/* What the readers of exposition formats share; see exposition.h. */
#ifndef SONDE_CODEC_EXPOSITION_INTERNAL_H
#define SONDE_CODEC_EXPOSITION_INTERNAL_H

#include "base/map.h"
#include "codec/exposition.h"

/* Labels of one series; more is a page that no one meant to write. */
#define EXPOSITION_LABELS_MAX 1024u

status exposition_read_text(exposition_page *p, bool openmetrics, str body,
                            const exposition_options *options, error *err);
status exposition_read_protobuf(exposition_page *p, str body, const exposition_options *options,
                                error *err);

/* New, zeroed ones; NULL at a limit, and then *err is written. */
exposition_family *exposition_new_family(exposition_page *p, str name, error *err);
exposition_sample *exposition_new_sample(exposition_page *p, const exposition_options *options,
                                         error *err);
status exposition_no_memory(const exposition_page *p, error *err);

/* Sorts by name. False when a name is there twice: it stands in *ret_twice. */
bool exposition_sort_labels(prom_label *labels, uint32_t count, str *ret_twice);

/* What a sample of that name is in the family; false when it is none of the family's. Text formats
 * know a counter by its own name, OpenMetrics by its suffix. */
bool exposition_part_of(const exposition_family *f, str name, bool openmetrics, sample_part *ret);

/* le and quantile as exposition_number writes them. .ptr NULL without memory; a text that is no
 * number stays. */
str exposition_canonical(arena *a, str number);

/* ---- the rules of OpenMetrics on what stands where ---- */

typedef struct openmetrics_rules openmetrics_rules;

/* All of its memory is the page's. NULL without. */
openmetrics_rules *openmetrics_rules_new(exposition_page *p);
/* Before the metadata line is taken into the family; before a family that has no metadata. Each
 * fails with what is wrong, without the line. */
status openmetrics_family(openmetrics_rules *r, uint32_t family, error *err);
status openmetrics_sample(openmetrics_rules *r, const exposition_sample *s, error *err);
status openmetrics_end(openmetrics_rules *r, error *err);
void openmetrics_rules_done(openmetrics_rules *r); /* NULL is fine */

#endif
