// SPDX-License-Identifier: Apache-2.0
/* Which items a processor is about: the include and exclude sections that the processors attributes
 * and filter share. All that a section names must fit; of a list, one entry is enough, but for
 * attributes and resources, which must all fit. Compiled once, then used by several threads. */
#ifndef SONDE_PIPELINE_PROCESSORS_MATCH_H
#define SONDE_PIPELINE_PROCESSORS_MATCH_H

#include "settings/option.h"

typedef struct {
    str min; /* "INFO", or a number */
    bool match_undefined;
} severity_settings;

typedef struct {
    int match_type; /* strict, regexp */
    text_list services, span_names, span_kinds, log_bodies, log_severity_texts, metric_names;
    bool has_severity;
    severity_settings severity;
    section_list attributes, resources; /* key, value */
    section_list libraries;             /* name, version */
} match_settings;
extern const option_table match_options;     /* of attributes, and filter's spans */
extern const option_table match_log_options; /* filter's logs: other names of the same */
extern const option_table match_metric_options;

typedef struct item_match item_match;

/* `name` is the section's ("include"). */
MUST_USE status match_check(const match_settings *s, const char *name, char *where,
                            size_t where_size, error *err);
MUST_USE status match_new(item_match **ret, const match_settings *s, error *err);
void match_free(item_match *m); /* NULL is fine */
/* What m says of a row; memory for texts of numbers comes from the batch. */
bool match_row(const item_match *m, batch *b, uint32_t row);

#endif
