// SPDX-License-Identifier: Apache-2.0
/* The parts of reading a configuration; only config*.c include this. */
#ifndef SONDE_RULES_NOTIFY_CONFIG_MAKE_H
#define SONDE_RULES_NOTIFY_CONFIG_MAKE_H

#include "rules/notify/config.h"
#include "settings/option_read.h"

#include <stdarg.h>

typedef struct {
    config *config;
    file_settings file;
    const yaml_node *root;
    config_issue *issue;
    void *user;
    error *err; /* the first finding */
    uint32_t errors;
} config_maker;

typedef struct {
    config_maker *maker;
    const char *path; /* of the integration in the file */
} template_check;

/* An error at a path of the file: "receivers[0].webhook_configs[1].url". */
void notify_config_wrong(config_maker *m, const char *path, const char *format, ...)
    PRINTF_LIKE(3, 4);

void notify_config_make_intervals(config_maker *m);   /* config_routes.c */
void notify_config_make_routes(config_maker *m);      /* after intervals and receivers */
void notify_config_make_inhibitions(config_maker *m); /* the same */
void notify_config_make_receivers(config_maker *m);   /* config_receivers.c */

#endif
