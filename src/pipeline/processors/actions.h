// SPDX-License-Identifier: Apache-2.0
/* The actions on attributes that the processors attributes and resource share. Compiled once,
 * then used by several threads. */
#ifndef SONDE_PIPELINE_PROCESSORS_ACTIONS_H
#define SONDE_PIPELINE_PROCESSORS_ACTIONS_H

#include "settings/option.h"

typedef struct {
    str key;
    int action;
    value value;
    str from_attribute, from_context, pattern;
    int converted_type;
} action_settings;
extern const option_table action_options;

typedef struct actions actions;

/* For option checks; `name` is the list's ("actions"). */
MUST_USE status actions_check(const section_list *list, const char *name, char *where,
                              size_t where_size, error *err);
/* `list` (of action_settings) must outlive them. */
MUST_USE status actions_new(actions **ret, const section_list *list, error *err);
void actions_free(actions *a); /* NULL is fine */
/* Changes the list; false when there is no memory. */
MUST_USE bool actions_apply(const actions *a, arena *memory, attrs *list);

#endif
