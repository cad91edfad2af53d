// SPDX-License-Identifier: Apache-2.0
/* The settings of rules and notification, as the extension `sonde_rules` names them. */
#ifndef SONDE_PIPELINE_EXTENSIONS_SONDE_RULES_H
#define SONDE_PIPELINE_EXTENSIONS_SONDE_RULES_H

#include "pipeline/component.h"
#include "settings/prometheus_http.h"

typedef struct {
    str url; /* or static_configs, with scheme and path_prefix */
    int scheme, api_version;
    str path_prefix;
    section_list static_configs; /* of static_settings */
    int64_t timeout;             /* ns */
    prometheus_http http;
} sonde_alertmanager_settings;

extern const char *const sonde_alertmanager_schemes[];

typedef struct {
    text_list rule_files;
    int64_t evaluation_interval, query_offset, resend_delay; /* ns */
    int64_t outage_tolerance, grace_period, catch_up, catch_up_delay;
    int64_t threads;
    pair_list external_labels;
    str external_url;
    section_list alertmanagers;         /* of sonde_alertmanager_settings */
    section_list alert_relabel_configs; /* of relabel_settings */
    str alertmanager_config;
} sonde_rules_settings;

#endif
