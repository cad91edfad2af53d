// SPDX-License-Identifier: Apache-2.0
/* The extension sonde_rules: which rules are evaluated, and who is told of alerts. Settings only
 * (sonde_rules.h): the server runs the rules itself. */
#include "pipeline/extensions/sonde_rules.h"

#include <stdio.h>

#define AT(member) offsetof(sonde_alertmanager_settings, member)
static const option alertmanager_rows[] = {
    { .name = "url",
      .type = OPTION_TEXT,
      .offset = AT(url),
      .required = true,
      .help = "URL of an Alertmanager; /api/v2/alerts is added" },
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
        const char *option = "url";
        if (!is_url(items[i].url))
            st = fail(err, STATUS_INVALID, "wants http://… or https://…");
        else
            st = prometheus_http_check(&items[i].http, &option, err);
        if (st != STATUS_OK)
            snprintf(where, size, "alertmanagers[%u].%s", i, option);
    }
    return st;
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
