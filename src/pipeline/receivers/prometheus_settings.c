// SPDX-License-Identifier: Apache-2.0
/* The tables of Prometheus's configuration; see prometheus_settings.h. What only Prometheus itself
 * has a use for (rules, remote storage) is known by name, so that a whole prometheus.yml is taken.
 */
#include "pipeline/receivers/prometheus_settings.h"

#define IGNORED(name_, why_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (why_) \
    }
#define WHY_RULES  "rules are evaluated by the server, not by this receiver"
#define WHY_REMOTE "where metrics go is said by the pipelines"
#define WHY_UTF8   "names may be any UTF-8 text"

/* ---- relabeling, and where targets come from ---- */

static const char *const actions[] = { "replace",   "keep",      "drop",      "keepequal",
                                       "dropequal", "hashmod",   "labelmap",  "labeldrop",
                                       "labelkeep", "lowercase", "uppercase", NULL };

#define AT(member) offsetof(relabel_settings, member)
static const option relabel_rows[] = {
    { .name = "source_labels",
      .type = OPTION_TEXTS,
      .offset = AT(source_labels),
      .help = "labels whose values are joined by the separator" },
    { .name = "separator",
      .type = OPTION_TEXT,
      .offset = AT(separator),
      .fallback = ";",
      .help = "stands between the joined values" },
    { .name = "target_label",
      .type = OPTION_TEXT,
      .offset = AT(target_label),
      .help = "label that is written" },
    { .name = "regex",
      .type = OPTION_TEXT,
      .offset = AT(regex),
      .fallback = "(.*)",
      .help = "expression (RE2) that the whole joined value must match" },
    { .name = "modulus",
      .type = OPTION_INT,
      .offset = AT(modulus),
      .min = 0,
      .max = 9e15,
      .help = "of hashmod: the hash is taken modulo this" },
    { .name = "replacement",
      .type = OPTION_TEXT,
      .offset = AT(replacement),
      .fallback = "$1",
      .help = "value that is written; $1 or ${1} stands for a group" },
    { .name = "action",
      .type = OPTION_CHOICE,
      .offset = AT(action),
      .fallback = "replace",
      .choices = actions,
      .help = "what is done where the expression matches" },
};
#undef AT
const option_table relabel_options = OPTION_TABLE(relabel_rows, relabel_settings);

#define AT(member) offsetof(static_settings, member)
static const option static_rows[] = {
    { .name = "targets",
      .type = OPTION_TEXTS,
      .offset = AT(targets),
      .help = "HOST:PORT of each target" },
    { .name = "labels",
      .type = OPTION_PAIRS,
      .offset = AT(labels),
      .help = "labels of all of them" },
};
#undef AT
const option_table static_options = OPTION_TABLE(static_rows, static_settings);

#define AT(member) offsetof(file_sd_settings, member)
static const option file_sd_rows[] = {
    { .name = "files",
      .type = OPTION_TEXTS,
      .offset = AT(files),
      .required = true,
      .help = "paths of .json, .yml and .yaml files with targets; the last part may have a *" },
    { .name = "refresh_interval",
      .type = OPTION_DURATION,
      .offset = AT(refresh_interval),
      .fallback = "5m",
      .min = 0.001,
      .max = 1e9,
      .help = "how often files are looked at, also without a change" },
};
#undef AT
static const option_table file_sd_options = OPTION_TABLE(file_sd_rows, file_sd_settings);

#define AT(member) offsetof(http_sd_settings, member)
static const option http_sd_rows[] = {
    { .name = "url",
      .type = OPTION_TEXT,
      .offset = AT(url),
      .required = true,
      .help = "asked for a JSON list of targets" },
    { .name = "refresh_interval",
      .type = OPTION_DURATION,
      .offset = AT(refresh_interval),
      .fallback = "1m",
      .min = 0.001,
      .max = 1e9,
      .help = "how often it is asked" },
    { .type = OPTION_INLINE, .offset = AT(http), .table = &prometheus_http_options },
};
#undef AT
static const option_table http_sd_options = OPTION_TABLE(http_sd_rows, http_sd_settings);

static const char *const dns_types[] = { "A", "AAAA", "SRV", "MX", NULL };

#define AT(member) offsetof(dns_sd_settings, member)
static const option dns_sd_rows[] = {
    { .name = "names",
      .type = OPTION_TEXTS,
      .offset = AT(names),
      .required = true,
      .help = "DNS names that are looked up" },
    { .name = "type",
      .type = OPTION_CHOICE,
      .offset = AT(type),
      .fallback = "SRV",
      .choices = dns_types,
      .help = "kind of record" },
    { .name = "port",
      .type = OPTION_INT,
      .offset = AT(port),
      .min = 0,
      .max = 65535,
      .help = "port of the targets, for records that have none" },
    { .name = "refresh_interval",
      .type = OPTION_DURATION,
      .offset = AT(refresh_interval),
      .fallback = "30s",
      .min = 0.001,
      .max = 1e9,
      .help = "how often names are looked up" },
};
#undef AT
static const option_table dns_sd_options = OPTION_TABLE(dns_sd_rows, dns_sd_settings);

/* Prometheus's other ways: known, so that the message can say what there is instead. */
#define OTHER_SD(X) \
    X(azure) \
    X(consul) \
    X(digitalocean) \
    X(docker) \
    X(dockerswarm) \
    X(ec2) \
    X(eureka) \
    X(gce) \
    X(hetzner) \
    X(ionos) \
    X(kubernetes) \
    X(kuma) \
    X(lightsail) \
    X(linode) \
    X(marathon) \
    X(nerve) \
    X(nomad) \
    X(openstack) \
    X(ovhcloud) \
    X(puppetdb) \
    X(scaleway) \
    X(serverset) \
    X(stackit) \
    X(triton) \
    X(uyuni) \
    X(vultr)
#define X(way_) OTHER_##way_,
enum { OTHER_SD(X) };
#undef X
#define X(way_) #way_ "_sd_configs",
static const char *const other_sd[] = { OTHER_SD(X) };
#undef X
_Static_assert(ARRAY_LEN(other_sd) <= OTHER_SD_MAX, "a place for each");

const char *prometheus_other_sd(const scrape_settings *s)
{
    for (size_t i = 0; i < ARRAY_LEN(other_sd); i++)
        if (s->other_sd[i].type != VALUE_EMPTY)
            return other_sd[i];
    return NULL;
}

/* ---- what is scraped ---- */

/* What a scrape configuration and global have alike, but for the fallback of the limits. */
#define LIMIT(name_, member_, max_, fallback_, help_) \
    { \
        .name = (name_), .type = OPTION_INT, .offset = AT(limits.member_), \
        .fallback = (fallback_), .min = -1, .max = (max_), .help = (help_) \
    }
#define SHARED_ROWS(fallback_) \
    LIMIT("body_size_limit", body_size, 9e15, fallback_, \
          "bytes of a page, decompressed; 0: no limit"), \
        LIMIT("sample_limit", samples, 4e9, fallback_, \
              "samples of a page after relabeling; 0: no limit"), \
        LIMIT("label_limit", labels, 4e9, fallback_, "labels of a sample; 0: no limit"), \
        LIMIT("label_name_length_limit", label_name_length, 4e9, fallback_, \
              "bytes of a label's name; 0: no limit"), \
        LIMIT("label_value_length_limit", label_value_length, 4e9, fallback_, \
              "bytes of a label's value; 0: no limit"), \
        LIMIT("target_limit", targets, 4e9, fallback_, \
              "targets of a job, beyond which none is scraped; 0: no limit"), \
        IGNORED("keep_dropped_targets", "targets that relabeling dropped are not kept"), \
        IGNORED("metric_name_validation_scheme", WHY_UTF8), \
        IGNORED("metric_name_escaping_scheme", WHY_UTF8), \
        IGNORED("extra_scrape_metrics", "report_extra_scrape_metrics says it for all jobs"), \
        IGNORED("scrape_failure_log_file", \
                "failures are in the server's log and on the targets page")

#define AT(member) offsetof(scrape_settings, member)
static const option scrape_rows[] = {
    { .name = "job_name",
      .type = OPTION_TEXT,
      .offset = AT(job_name),
      .required = true,
      .help = "label job of the targets" },
    { .name = "scrape_interval",
      .type = OPTION_DURATION,
      .offset = AT(scrape_interval),
      .min = 0,
      .max = 1e9,
      .help = "time between scrapes; absent: as global says" },
    { .name = "scrape_timeout",
      .type = OPTION_DURATION,
      .offset = AT(scrape_timeout),
      .min = 0,
      .max = 1e9,
      .help = "longest time of a scrape; absent: as global says" },
    { .name = "metrics_path",
      .type = OPTION_TEXT,
      .offset = AT(metrics_path),
      .fallback = "/metrics",
      .help = "path of the page" },
    { .name = "scheme",
      .type = OPTION_TEXT,
      .offset = AT(scheme),
      .fallback = "http",
      .help = "http or https" },
    { .name = "params",
      .type = OPTION_VALUE,
      .offset = AT(params),
      .help = "parameters of the URL: lists of values by name" },
    { .name = "honor_labels",
      .type = OPTION_BOOL,
      .offset = AT(honor_labels),
      .help =
          "labels of the page win over those of the target; else they are renamed to exported_…" },
    { .name = "honor_timestamps",
      .type = OPTION_BOOL,
      .offset = AT(honor_timestamps),
      .fallback = "true",
      .help = "timestamps of the page are taken" },
    { .name = "track_timestamps_staleness",
      .type = OPTION_BOOL,
      .offset = AT(track_timestamps_staleness),
      .help = "series with timestamps of their own get staleness markers, too" },
    { .name = "enable_compression",
      .type = OPTION_BOOL,
      .offset = AT(enable_compression),
      .fallback = "true",
      .help = "pages may come in gzip" },
    { .name = "scrape_native_histograms",
      .type = OPTION_BOOL,
      .offset = AT(native_histograms),
      .help = "native histograms are asked for (by protobuf)" },
    { .name = "always_scrape_classic_histograms",
      .type = OPTION_BOOL,
      .offset = AT(classic_histograms),
      .help = "with native histograms: their classic buckets, too" },
    { .name = "convert_classic_histograms_to_nhcb",
      .type = OPTION_BOOL,
      .offset = AT(custom_histograms),
      .help = "classic histograms become native ones with the same bounds" },
    { .name = "scrape_protocols",
      .type = OPTION_TEXTS,
      .offset = AT(scrape_protocols),
      .help = "formats that are asked for, best first: PrometheusProto, OpenMetricsText1.0.0, "
              "OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4" },
    { .name = "fallback_scrape_protocol",
      .type = OPTION_TEXT,
      .offset = AT(fallback_scrape_protocol),
      .help = "format of pages whose Content-Type says none that is known; absent: such a page is "
              "refused" },
    SHARED_ROWS("-1"),
    { .type = OPTION_INLINE, .offset = AT(http), .table = &prometheus_http_options },
    { .name = "static_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(static_configs),
      .table = &static_options,
      .help = "targets by name" },
    { .name = "file_sd_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(file_sd_configs),
      .table = &file_sd_options,
      .help = "targets in files, which are read again when they change" },
    { .name = "http_sd_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(http_sd_configs),
      .table = &http_sd_options,
      .help = "targets that a URL lists" },
    { .name = "dns_sd_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(dns_sd_configs),
      .table = &dns_sd_options,
      .help = "targets by DNS" },
    { .name = "relabel_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(relabel_configs),
      .table = &relabel_options,
      .help = "changes labels of targets, before they are scraped" },
    { .name = "metric_relabel_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(metric_relabel_configs),
      .table = &relabel_options,
      .help = "changes labels of samples" },
#define X(way_) \
    { .name = #way_ "_sd_configs", \
      .type = OPTION_VALUE, \
      .offset = AT(other_sd[OTHER_##way_]), \
      .help = "not supported: refused" },
    OTHER_SD(X)
#undef X
};
#undef AT
static const option_table scrape_options = OPTION_TABLE(scrape_rows, scrape_settings);

#define AT(member) offsetof(scrape_global, member)
static const option global_rows[] = {
    { .name = "scrape_interval",
      .type = OPTION_DURATION,
      .offset = AT(scrape_interval),
      .fallback = "1m",
      .min = 0.001,
      .max = 1e9,
      .help = "time between scrapes" },
    { .name = "scrape_timeout",
      .type = OPTION_DURATION,
      .offset = AT(scrape_timeout),
      .min = 0,
      .max = 1e9,
      .help = "longest time of a scrape; 10s, or the interval when that is shorter" },
    { .name = "external_labels",
      .type = OPTION_PAIRS,
      .offset = AT(external_labels),
      .help = "labels that every sample gets that has none of that name" },
    { .name = "scrape_protocols",
      .type = OPTION_TEXTS,
      .offset = AT(scrape_protocols),
      .help = "formats that are asked for, best first" },
    { .name = "scrape_native_histograms",
      .type = OPTION_BOOL,
      .offset = AT(native_histograms),
      .help = "native histograms are asked for (by protobuf)" },
    { .name = "always_scrape_classic_histograms",
      .type = OPTION_BOOL,
      .offset = AT(classic_histograms),
      .help = "with native histograms: their classic buckets, too" },
    { .name = "convert_classic_histograms_to_nhcb",
      .type = OPTION_BOOL,
      .offset = AT(custom_histograms),
      .help = "classic histograms become native ones with the same bounds" },
    SHARED_ROWS("0"),
    IGNORED("evaluation_interval", WHY_RULES),
    IGNORED("rule_query_offset", WHY_RULES),
    IGNORED("query_log_file", "queries are answered by the server, not by this receiver"),
    IGNORED("runtime", "there is no Go runtime"),
};
#undef AT
static const option_table global_options = OPTION_TABLE(global_rows, scrape_global);

#define AT(member) offsetof(prometheus_config, member)
static const option config_rows[] = {
    { .name = "global",
      .type = OPTION_SECTION,
      .offset = AT(global),
      .table = &global_options,
      .help = "what holds for all jobs" },
    { .name = "scrape_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(scrape_configs),
      .table = &scrape_options,
      .help = "jobs: targets that are scraped the same way" },
    { .name = "scrape_config_files",
      .type = OPTION_TEXTS,
      .offset = AT(scrape_config_files),
      .help = "not supported: refused" },
    IGNORED("rule_files", WHY_RULES),
    IGNORED("alerting", WHY_RULES),
    IGNORED("remote_write", WHY_REMOTE),
    IGNORED("remote_read", "queries are answered from the server's own store"),
    IGNORED("storage", "the exporter sonde says how metrics are stored"),
    IGNORED("otlp", "the receiver otlp takes OTLP"),
    IGNORED("tracing", "the receiver sends no traces"),
    IGNORED("runtime", "there is no Go runtime"),
};
#undef AT
const option_table prometheus_config_options = OPTION_TABLE(config_rows, prometheus_config);
