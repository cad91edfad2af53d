// SPDX-License-Identifier: Apache-2.0
/* relabel_configs as Prometheus applies them: rules that change, keep or drop a set of labels.
 * Compiled rules are read-only; several threads may apply them. */
#ifndef SONDE_PIPELINE_PROMETHEUS_RELABEL_H
#define SONDE_PIPELINE_PROMETHEUS_RELABEL_H

#include "base/arena.h"
#include "codec/prom_name.h"
#include "pipeline/receivers/prometheus_settings.h"

/* Labels while they are changed; no name twice, no empty value, in no order. The metric's name is
 * the label __name__. */
typedef struct {
    arena *arena; /* of the list, and of what rules make */
    prom_label *items;
    uint32_t count, capacity;
    bool failed; /* the arena's limit */
} label_set;

str label_set_get(const label_set *s, str name); /* empty when absent */
/* An empty value deletes. Texts are not copied. */
void label_set_put(label_set *s, str name, str text);
void label_set_remove(label_set *s, str name);
void label_set_sort(label_set *s); /* by name */

typedef struct relabel_rules relabel_rules;

/* `rules`: of relabel_settings, whose texts must stay. On failure *ret_wrong and *ret_option say
 * which rule and which of its options. */
MUST_USE status relabel_rules_new(relabel_rules **ret, const section_list *rules,
                                  uint32_t *ret_wrong, const char **ret_option, error *err);
void relabel_rules_free(relabel_rules *r); /* NULL is fine */
bool relabel_rules_empty(const relabel_rules *r);

/* False: the labels' owner is dropped. An expression that took too many steps does not match. */
bool relabel_apply(const relabel_rules *r, label_set *s);

#endif
