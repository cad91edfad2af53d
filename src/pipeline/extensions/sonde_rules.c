// SPDX-License-Identifier: Apache-2.0
/* The extension sonde_rules: which rules are evaluated, and who is told of alerts. Settings only
 * (sonde_rules.h): the server runs the rules itself. */
#include "pipeline/extensions/sonde_rules.h"

#include "pipeline/receivers/prometheus_relabel.h"

#include <stdio.h>

const char *const sonde_alertmanager_schemes[] = { "http", "https", NULL };
static const char *const versions[] = { "v2", NULL };

#define AT(member) offsetof(sonde_alertmanager_settings, member)
static const option alertmanager_rows[] = {
    { .name = "url",
      .type = OPTION_TEXT,
      .offset = AT(url),
      .help = "URL of an Alertmanager; /api/v2/alerts is added" },
    { .name = "static_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(static_configs),
      .table = &static_options,
      .help = "Alertmanagers by HOST:PORT instead of a URL, as Prometheus has them" },
    { .name = "scheme",
      .type = OPTION_CHOICE,
      .offset = AT(scheme),
      .fallback = "http",
      .choices = sonde_alertmanager_schemes,
      .help = "of static_configs" },
    { .name = "path_prefix",
      .type = OPTION_TEXT,
      .offset = AT(path_prefix),
      .help = "of static_configs: what stands before /api/v2/alerts" },
    { .name = "api_version",
      .type = OPTION_CHOICE,
      .offset = AT(api_version),
      .fallback = "v2",
      .choices = versions,
      .help = "of the Alertmanager's API: there is no other any more" },
    { .name = "timeout",
      .type = OPTION_DURATION,
      .offset = AT(timeout),
      .fallback = "10s",
      .min = 0.001,
      .max = 600,
      .help = "how long one request may take" },
    { .name = "http",
      .type = OPTION_INLINE,
      .offset = AT(http),
      .table = &prometheus_http_options },
};
#undef AT
static const option_table alertmanager_table =
    OPTION_TABLE(alertmanager_rows, sonde_alertmanager_settings);

#define DURATION(name_, member_, fallback_, min_, help_) \
    { \
        .name = (name_), .type = OPTION_DURATION, .offset = AT(member_), .fallback = (fallback_), \
        .min = (min_), .max = 366 * 86400.0, .help = (help_) \
    }

#define AT(member) offsetof(sonde_rules_settings, member)
static const option rules_rows[] = {
    { .name = "rule_files",
      .type = OPTION_TEXTS,
      .offset = AT(rule_files),
      .help =
          "Prometheus rule files: paths, folders (their *.yaml, *.yml, *.rules) and globs; read "
          "again when they change" },
    DURATION("evaluation_interval", evaluation_interval, "1m", 0.1,
             "how often groups are evaluated that do not say it"),
    DURATION("query_offset", query_offset, "0s", 0,
             "how far into the past groups look that do not say it"),
    DURATION("resend_delay", resend_delay, "1m", 0.1, "how often an active alert is told again"),
    DURATION("outage_tolerance", outage_tolerance, "1h", 0.1,
             "how long an outage may be after which the `for` state of alerts is restored"),
    DURATION("grace_period", grace_period, "10m", 0,
             "least time from a restart to the firing of an alert that was pending before"),
    DURATION("catch_up", catch_up, "1h", 0,
             "how far back recording rules are evaluated for times that were missed; 0s: not"),
    DURATION("catch_up_delay", catch_up_delay, "30s", 0,
             "when that begins after a start, so that late senders have come"),
    { .name = "threads",
      .type = OPTION_INT,
      .offset = AT(threads),
      .fallback = "2",
      .min = 1,
      .max = 64,
      .help = "groups that are evaluated at once" },
    { .name = "external_labels",
      .type = OPTION_PAIRS,
      .offset = AT(external_labels),
      .help = "labels that alerts have on the outside, unless their own are of that name" },
    { .name = "external_url",
      .type = OPTION_TEXT,
      .offset = AT(external_url),
      .help = "URL of this server for others, for links in notifications; absent: by its port" },
    { .name = "alertmanagers",
      .type = OPTION_SECTIONS,
      .offset = AT(alertmanagers),
      .table = &alertmanager_table,
      .help = "external Alertmanagers, which are told beside the built-in one" },
    { .name = "alert_relabel_configs",
      .type = OPTION_SECTIONS,
      .offset = AT(alert_relabel_configs),
      .table = &relabel_options,
      .help = "rules that change or drop alerts before anybody is told, the built-in alertmanager "
              "too; external_labels are there already" },
    { .name = "alertmanager_config",
      .type = OPTION_TEXT,
      .offset = AT(alertmanager_config),
      .help = "configuration file of the built-in alertmanager, in Alertmanager's format; absent: "
              "nobody is notified" },
};
#undef AT

static status check_labels(const pair_list *list, char *where, size_t size, error *err)
{
    for (uint32_t i = 0; i < list->count; i++) {
        str name = list->items[i].name;
        snprintf(where, size, "external_labels");
        if (!name.len || utf8_valid_prefix(name) != name.len || str_is(name, "__name__"))
            return fail(err, STATUS_INVALID, "\"%.*s\" is no name of a label",
                        (int)MIN(name.len, (size_t)80), name.ptr);
    }
    return STATUS_OK;
}

static bool is_url(str s)
{
    return str_starts(s, STR("http://")) || str_starts(s, STR("https://"));
}

static status check_alertmanager(const sonde_alertmanager_settings *a, const char **ret_option,
                                 error *err)
{
    const static_settings *groups = a->static_configs.items;
    uint32_t hosts = 0;
    *ret_option = "static_configs";
    for (uint32_t i = 0; i < a->static_configs.count; i++)
        for (uint32_t k = 0; k < groups[i].targets.count; k++, hosts++)
            if (!groups[i].targets.items[k].len ||
                str_find_char(groups[i].targets.items[k], '/') != SIZE_MAX)
                return fail(err, STATUS_INVALID, "a target is HOST:PORT");
    if (hosts && a->url.len)
        return fail(err, STATUS_INVALID, "url and static_configs exclude each other");
    *ret_option = "url";
    if (!hosts && !is_url(a->url))
        return fail(err, STATUS_INVALID,
                    "wants http://… or https://…, or static_configs in its place");
    return prometheus_http_check(&a->http, ret_option, err);
}

static status check_relabeling(const section_list *list, char *where, size_t size, error *err)
{
    relabel_rules *compiled;
    const char *option;
    uint32_t wrong;
    status st = relabel_rules_new(&compiled, list, &wrong, &option, err);
    if (st == STATUS_OK)
        relabel_rules_free(compiled);
    else if (st == STATUS_INVALID)
        snprintf(where, size, "alert_relabel_configs[%u].%s", wrong, option);
    return st;
}

static status rules_check(const void *settings, char *where, size_t size, error *err)
{
    const sonde_rules_settings *s = settings;
    const sonde_alertmanager_settings *items = s->alertmanagers.items;
    status st = check_labels(&s->external_labels, where, size, err);
    if (st == STATUS_OK && s->external_url.len && !is_url(s->external_url)) {
        snprintf(where, size, "external_url");
        return fail(err, STATUS_INVALID, "wants http://… or https://…");
    }
    for (uint32_t i = 0; st == STATUS_OK && i < s->alertmanagers.count; i++) {
        const char *option;
        st = check_alertmanager(&items[i], &option, err);
        if (st != STATUS_OK)
            snprintf(where, size, "alertmanagers[%u].%s", i, option);
    }
    return st == STATUS_OK ? check_relabeling(&s->alert_relabel_configs, where, size, err) : st;
}

static status rules_open(void **ret_self, component *c, error *err)
{
    (void)err;
    *ret_self = c;
    return STATUS_OK;
}

const component_type sonde_rules_extension = {
    .type = "sonde_rules",
    .kind = COMPONENT_EXTENSION,
    .help = "Recording and alerting rules of this server, and who is told of alerts.",
    .options = OPTION_TABLE(rules_rows, sonde_rules_settings),
    .check = rules_check,
    .open = rules_open,
};
