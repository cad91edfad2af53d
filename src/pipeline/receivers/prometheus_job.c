// SPDX-License-Identifier: Apache-2.0
/* Scrape configurations made ready: what holds of global, limits, relabel rules, what is asked for
 * in which order; each mistake with the option's name. */
#include "pipeline/receivers/prometheus_internal.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t default_timeout = 10 * NS_PER_S;

typedef struct {
    const char *name, *type;
    bool escaping; /* says in which escaping names may come */
    exposition_format format;
} protocol;

static const protocol protocols[] = {
    { "PrometheusProto",
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
      "encoding=delimited",
      false, EXPOSITION_PROTOBUF },
    { "OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0", true,
      EXPOSITION_OPENMETRICS },
    { "OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1", false,
      EXPOSITION_OPENMETRICS },
    { "PrometheusText1.0.0", "text/plain;version=1.0.0", true, EXPOSITION_TEXT },
    { "PrometheusText0.0.4", "text/plain;version=0.0.4", false, EXPOSITION_TEXT },
};

static const protocol *find_protocol(str name)
{
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (str_is(name, protocols[i].name))
            return &protocols[i];
    return NULL;
}

static status unknown_protocol(str name, error *err)
{
    return fail(err, STATUS_INVALID,
                "\"%.*s\" is no protocol; PrometheusProto, OpenMetricsText1.0.0, "
                "OpenMetricsText0.0.1, PrometheusText1.0.0 and PrometheusText0.0.4 are",
                STR_ARG(name));
}

/* The Accept header, with weights as Prometheus gives them. */
static status write_accept(const scrape_job *job, const text_list *asked, bool openmetrics,
                           char *ret, size_t size, error *err)
{
    int weight = (int)ARRAY_LEN(protocols) + 1;
    buf out;
    buf_init(&out, size - 1);
    buf_lit(&out, "Accept: ");
    bool defaults = asked->count == 0;
    uint32_t count = defaults ? (uint32_t)ARRAY_LEN(protocols) : asked->count;
    for (uint32_t i = 0; i < count; i++) {
        const protocol *p = defaults ? &protocols[i] : find_protocol(asked->items[i]);
        if (!p) {
            buf_done(&out);
            return unknown_protocol(asked->items[i], err);
        }
        if ((defaults && p->format == EXPOSITION_PROTOBUF && !job->page.native) ||
            (!openmetrics && p->format == EXPOSITION_OPENMETRICS))
            continue;
        buf_fmt(&out, "%s%s;q=0.%d,", p->type, p->escaping ? ";escaping=allow-utf-8" : "",
                weight--);
        if (weight == 0)
            break;
    }
    buf_fmt(&out, "*/*;q=0.%d", MAX(weight, 0));
    str_copy_c(ret, size, buf_view(&out));
    buf_done(&out);
    return STATUS_OK;
}

static status set_protocols(scrape_job *job, const text_list *asked, error *err)
{
    status st = write_accept(job, asked, true, job->accept, sizeof(job->accept), err);
    if (st == STATUS_OK)
        st = write_accept(job, asked, false, job->accept_text, sizeof(job->accept_text), err);
    return st;
}

static int64_t choose(int64_t own, int64_t global)
{
    int64_t v = own >= 0 ? own : global;
    return MAX(v, (int64_t)0);
}

static void set_limits(scrape_job *job, const scrape_limits *own, const scrape_limits *global)
{
    job->limits = (scrape_limits){
        choose(own->body_size, global->body_size),
        choose(own->samples, global->samples),
        choose(own->labels, global->labels),
        choose(own->label_name_length, global->label_name_length),
        choose(own->label_value_length, global->label_value_length),
        choose(own->targets, global->targets),
    };
}

static status check_discovery(const scrape_settings *s, char *where, size_t size, error *err)
{
    const char *other = prometheus_other_sd(s), *option = "";
    const http_sd_settings *urls = s->http_sd_configs.items;
    const dns_sd_settings *names = s->dns_sd_configs.items;
    const static_settings *fixed = s->static_configs.items;
    if (other) {
        snprintf(where, size, "%s", other);
        return fail(err, STATUS_UNSUPPORTED,
                    "%s is not supported; static_configs, file_sd_configs, http_sd_configs and "
                    "dns_sd_configs are",
                    other);
    }
    for (uint32_t i = 0; i < s->http_sd_configs.count; i++) {
        snprintf(where, size, "http_sd_configs[%u].url", i);
        if (!str_starts(urls[i].url, STR("http://")) && !str_starts(urls[i].url, STR("https://")))
            return fail(err, STATUS_INVALID, "the URL must begin with http:// or https://");
        status st = prometheus_http_check(&urls[i].http, &option, err);
        snprintf(where, size, "http_sd_configs[%u].%s", i, option);
        if (st != STATUS_OK)
            return st;
    }
    for (uint32_t i = 0; i < s->dns_sd_configs.count; i++) {
        snprintf(where, size, "dns_sd_configs[%u].port", i);
        if (names[i].type != DNS_SRV && names[i].port == 0)
            return fail(err, STATUS_INVALID, "records of this type have no port: port must say it");
    }
    /* Relabeling may make an address of what is none (a blackbox exporter's targets). */
    for (uint32_t i = 0; !s->relabel_configs.count && i < s->static_configs.count; i++)
        for (uint32_t k = 0; k < fixed[i].targets.count; k++) {
            snprintf(where, size, "static_configs[%u].targets[%u]", i, k);
            if (memchr(fixed[i].targets.items[k].ptr, '/', fixed[i].targets.items[k].len))
                return fail(err, STATUS_INVALID,
                            "a target is HOST:PORT; scheme and metrics_path stand by themselves");
        }
    return STATUS_OK;
}

static status set_rules(relabel_rules **ret, const char *name, const section_list *rules,
                        char *where, size_t size, error *err)
{
    uint32_t wrong = 0;
    const char *option = "";
    status st = relabel_rules_new(ret, rules, &wrong, &option, err);
    if (st != STATUS_OK)
        snprintf(where, size, "%s[%u].%s", name, wrong, option);
    return st;
}

static status set_times(scrape_job *job, const scrape_global *g, char *where, size_t size,
                        error *err)
{
    job->interval = job->s->scrape_interval ? job->s->scrape_interval : g->scrape_interval;
    int64_t global = g->scrape_timeout ? g->scrape_timeout : default_timeout;
    job->timeout = job->s->scrape_timeout ? job->s->scrape_timeout : MIN(global, job->interval);
    snprintf(where, size, "scrape_timeout");
    if (job->timeout > job->interval)
        return fail(err, STATUS_INVALID,
                    "the timeout is longer than the scrape_interval; it may be as long");
    return STATUS_OK;
}

static status check_words(const scrape_settings *s, char *where, size_t size, error *err)
{
    snprintf(where, size, "job_name");
    if (s->job_name.len == 0)
        return fail(err, STATUS_INVALID, "the name is empty");
    snprintf(where, size, "scheme");
    if (!str_is(s->scheme, "http") && !str_is(s->scheme, "https"))
        return fail(err, STATUS_INVALID, "the scheme is http or https");
    snprintf(where, size, "params");
    if (s->params.type != VALUE_EMPTY && s->params.type != VALUE_MAP)
        return fail(err, STATUS_INVALID, "a map of names to lists of texts is expected");
    snprintf(where, size, "metrics_path");
    if (s->metrics_path.len == 0 || s->metrics_path.ptr[0] != '/')
        return fail(err, STATUS_INVALID, "a path begins with \"/\"");
    return STATUS_OK;
}

static status set_pages(scrape_job *job, const scrape_global *g, bool lenient, char *where,
                        size_t size, error *err)
{
    const scrape_settings *s = job->s;
    job->page = (exposition_options){
        .lenient = lenient,
        .native = s->native_histograms || g->native_histograms,
        .classic = s->classic_histograms || g->classic_histograms,
        .customs = s->custom_histograms || g->custom_histograms,
    };
    const protocol *fallback = find_protocol(s->fallback_scrape_protocol);
    snprintf(where, size, "fallback_scrape_protocol");
    if (s->fallback_scrape_protocol.len && !fallback)
        return unknown_protocol(s->fallback_scrape_protocol, err);
    job->has_fallback = fallback != NULL;
    job->fallback = fallback ? fallback->format : EXPOSITION_TEXT;
    snprintf(where, size, "scrape_protocols");
    return set_protocols(
        job, s->scrape_protocols.count ? &s->scrape_protocols : &g->scrape_protocols, err);
}

status scrape_job_init(scrape_job *job, const prometheus_config *config, const scrape_settings *s,
                       bool lenient, char *where, size_t size, error *err)
{
    const char *option = "";
    *job = (scrape_job){ .s = s, .external_labels = config->global.external_labels };
    set_limits(job, &s->limits, &config->global.limits);
    prometheus_http_client(&job->http, &s->http);
    status st = check_words(s, where, size, err);
    if (st == STATUS_OK)
        st = check_discovery(s, where, size, err);
    if (st == STATUS_OK && (st = prometheus_http_check(&s->http, &option, err)) != STATUS_OK)
        snprintf(where, size, "%s", option);
    if (st == STATUS_OK)
        st = set_times(job, &config->global, where, size, err);
    if (st == STATUS_OK)
        st = set_pages(job, &config->global, lenient, where, size, err);
    if (st == STATUS_OK)
        st = set_rules(&job->relabel, "relabel_configs", &s->relabel_configs, where, size, err);
    if (st == STATUS_OK)
        st = set_rules(&job->metric_relabel, "metric_relabel_configs", &s->metric_relabel_configs,
                       where, size, err);
    if (st != STATUS_OK)
        scrape_job_done(job);
    return st;
}

void scrape_job_done(scrape_job *job)
{
    relabel_rules_free(job->relabel);
    relabel_rules_free(job->metric_relabel);
    job->relabel = job->metric_relabel = NULL;
}
