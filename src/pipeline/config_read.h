// SPDX-License-Identifier: Apache-2.0
/* The parts of reading a configuration file; only config*.c include this. Findings are gathered and
 * given out by line at the end, so that a file's errors are all seen at once. */
#ifndef SONDE_PIPELINE_CONFIG_READ_H
#define SONDE_PIPELINE_CONFIG_READ_H

#include "pipeline/config.h"
#include "settings/option_read.h"

enum {
    CONFIG_BYTES_MAX = 64 << 20, /* of the arena: the tree and what it is made into */
    CONFIG_ISSUES_MAX = 200,
    CONFIG_COMPONENTS_MAX = 4096,
    CONFIG_PIPELINES_MAX = 1024,
    CONFIG_VALUE_MAX = 1 << 20 /* bytes of one ${file:…} */
};

typedef struct {
    unsigned line, column, order;
    bool warning;
    const char *text;
} finding;

/* auth.authenticator of a component, looked at when service.extensions is known. */
typedef struct {
    const char *who;
    str id;
    bool listening;
    unsigned line, column;
} auth_use;

typedef struct {
    config *c;
    const pair_list *names; /* NULL: none */
    yaml_document doc;
    finding *findings;
    uint32_t finding_count, finding_capacity, more, errors;
    auth_use *auths;
    uint32_t auth_count, auth_capacity;
    uint32_t component_capacity;
    option_reader options;
} config_reader;

void config_error(config_reader *r, const yaml_node *at, const char *format, ...) PRINTF_LIKE(3, 4);
void config_warning(config_reader *r, const yaml_node *at, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* One more element in an array of the arena; NULL after an error at the limit. */
void *config_add(config_reader *r, void **array, uint32_t *count, uint32_t *capacity, size_t size,
                 uint32_t max, const yaml_node *at);

/* config_vars.c: replaces ${…} and $$ in every scalar value of the document. */
void config_substitute(config_reader *r);
/* config_show.c: fills c->shown. */
void config_show(config_reader *r);
/* config_parts.c: receivers, processors, connectors, exporters, extensions. */
void config_read_components(config_reader *r, component_kind kind, const yaml_node *n);
/* The component of that kind and id; UINT32_MAX when there is none. */
uint32_t config_find(const config_reader *r, component_kind kind, str id);
/* Whether all of its options are OPTION_IGNORED: it is accepted and does nothing. */
bool config_is_without_effect(const component_type *type);
/* config_service.c: service, and what follows from it. */
void config_read_service(config_reader *r, const yaml_node *n);
/* config_graph.c: connectors that hang in the air, cycles. */
void config_check_graph(config_reader *r, const yaml_node *at);
/* Whether a connector takes rows from pipeline `from` into pipeline `to`. */
bool config_connects(const config *c, uint32_t connector, const config_pipeline *from,
                     const config_pipeline *to);

extern const char *const config_sections[COMPONENT_KINDS]; /* "receivers", … */

#endif
