// SPDX-License-Identifier: Apache-2.0
/* A collector configuration file, read and checked: what `sonde serve --config` runs and `sonde
 * check config` judges. Nothing is started and no file but the ones named is opened. */
#ifndef SONDE_PIPELINE_CONFIG_H
#define SONDE_PIPELINE_CONFIG_H

#include "pipeline/component.h"

typedef struct {
    const component_type *type;
    component_kind kind;
    const char *id;       /* "otlp/2" */
    const void *settings; /* filled by type->options */
    unsigned line, column;
    bool used; /* by a pipeline, or service.extensions */
} config_component;

typedef struct {
    const char *id; /* "traces/2" */
    signal_kind signal;
    uint32_t *receivers; /* indexes into components: receivers, and connectors' far ends */
    uint32_t receiver_count;
    uint32_t *processors; /* in order */
    uint32_t processor_count;
    uint32_t *exporters; /* exporters, and connectors' near ends */
    uint32_t exporter_count;
} config_pipeline;

typedef struct {
    arena arena; /* all of it */
    const char *path;
    str shown; /* YAML of it without secrets; ${…} as written, but for the built-in file's */
    config_component *components;
    uint32_t component_count;
    config_pipeline *pipelines;
    uint32_t pipeline_count;
    uint32_t *extensions; /* of service.extensions, in order */
    uint32_t extension_count;
} config;

/* One finding: "collector.yaml:12:7: …". */
typedef void config_issue(void *user, bool warning, const char *text);

/* `names` are what ${name} means beside the environment (built-in file: ${sonde:http}); NULL: none.
 * Every error and warning goes to `issue`; STATUS_INVALID when there was an error. ${env:VAR},
 * ${env:VAR:-default}, ${VAR}, ${file:PATH} and $$ are the Collector's. */
MUST_USE status config_read(config *ret, const char *path, const pair_list *names,
                            config_issue *issue, void *user, error *err);
MUST_USE status config_parse(config *ret, const char *path, str text, const pair_list *names,
                             config_issue *issue, void *user, error *err);
void config_done(config *c);

/* The pipelines as a small picture in text. */
void config_draw(const config *c, buf *out);
/* The built-in file. Its variables: ${sonde:http}, ${sonde:otlp_grpc}, ${sonde:otlp_http},
 * ${sonde:retention}, ${sonde:seal_after}, ${sonde:recorders} (a YAML sequence),
 * ${sonde:recorder_metrics}, ${sonde:rules} and ${sonde:alertmanagers} (YAML sequences),
 * ${sonde:alertmanager_config}, ${sonde:external_url}, ${sonde:evaluation_interval}. */
str config_builtin(void);

#endif
