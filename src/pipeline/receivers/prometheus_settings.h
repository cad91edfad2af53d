// SPDX-License-Identifier: Apache-2.0
/* Prometheus's own configuration, as far as it says what to scrape: the tables by which both a
 * section of the collector's file and a prometheus.yml are read. Names and defaults are
 * Prometheus's. */
#ifndef SONDE_PIPELINE_PROMETHEUS_SETTINGS_H
#define SONDE_PIPELINE_PROMETHEUS_SETTINGS_H

#include "settings/prometheus_http.h"

typedef enum {
    RELABEL_REPLACE,
    RELABEL_KEEP,
    RELABEL_DROP,
    RELABEL_KEEPEQUAL,
    RELABEL_DROPEQUAL,
    RELABEL_HASHMOD,
    RELABEL_LABELMAP,
    RELABEL_LABELDROP,
    RELABEL_LABELKEEP,
    RELABEL_LOWERCASE,
    RELABEL_UPPERCASE
} relabel_action;

typedef struct {
    text_list source_labels;
    str separator, target_label, regex, replacement;
    int64_t modulus;
    int action; /* relabel_action */
} relabel_settings;
extern const option_table relabel_options;

typedef struct {
    text_list targets;
    pair_list labels;
} static_settings;
extern const option_table static_options;

typedef struct {
    text_list files;
    int64_t refresh_interval;
} file_sd_settings;

typedef struct {
    str url;
    int64_t refresh_interval;
    prometheus_http http;
} http_sd_settings;

typedef enum { DNS_A, DNS_AAAA, DNS_SRV, DNS_MX } dns_type;

typedef struct {
    text_list names;
    int type; /* dns_type */
    int64_t port, refresh_interval;
} dns_sd_settings;

/* Limits that global gives and a scrape configuration may change; 0: none, -1: not said. */
typedef struct {
    int64_t body_size, samples, labels, label_name_length, label_value_length, targets;
} scrape_limits;

enum { OTHER_SD_MAX = 32 };

typedef struct {
    str job_name;
    int64_t scrape_interval, scrape_timeout; /* 0: as global says */
    str metrics_path, scheme;
    value params;
    bool honor_labels, honor_timestamps, track_timestamps_staleness, enable_compression;
    bool native_histograms, classic_histograms, custom_histograms; /* or global's */
    text_list scrape_protocols;
    str fallback_scrape_protocol;
    scrape_limits limits;
    prometheus_http http;
    section_list static_configs, file_sd_configs, http_sd_configs, dns_sd_configs;
    section_list relabel_configs, metric_relabel_configs; /* of relabel_settings */
    value other_sd[OTHER_SD_MAX];                         /* ways that are not supported */
} scrape_settings;

typedef struct {
    int64_t scrape_interval, scrape_timeout;
    pair_list external_labels;
    text_list scrape_protocols;
    bool native_histograms, classic_histograms, custom_histograms;
    scrape_limits limits;
} scrape_global;

typedef struct {
    scrape_global global;
    section_list scrape_configs; /* of scrape_settings */
    text_list scrape_config_files;
} prometheus_config;
extern const option_table prometheus_config_options;

typedef struct {
    bool has_config;
    prometheus_config config;
    str config_file;
    bool report_extra_scrape_metrics;
    int openmetrics; /* 0 strict, 1 lenient */
} prometheus_settings;

/* The name of the first way of discovery in it that is not supported; NULL: none. */
const char *prometheus_other_sd(const scrape_settings *s);

#endif
