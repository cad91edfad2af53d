// SPDX-License-Identifier: Apache-2.0
/* The prometheus receiver: a Prometheus configuration, in the collector's file or in its own, whose
 * targets are scraped. Series keep their names: codec/prometheus_scope.h. */
#include "base/file.h"
#include "pipeline/receivers/prometheus_internal.h"
#include "settings/option_read.h"

#include <stdio.h>
#include <stdlib.h>

static const size_t file_memory = MiB(64);

#define IGNORED(name_, why_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (why_) \
    }

static const char *const openmetrics_modes[] = { "strict", "lenient", NULL };

#define AT(member) offsetof(prometheus_settings, member)
static const option prometheus_rows[] = {
    { .name = "config",
      .type = OPTION_SECTION,
      .offset = AT(config),
      .table = &prometheus_config_options,
      .present = OPTION_PRESENT(prometheus_settings, has_config),
      .help = "a Prometheus configuration, as prometheus.yml has it; a $ is written $$ here" },
    { .name = "config_file",
      .type = OPTION_TEXT,
      .offset = AT(config_file),
      .help = "path of a prometheus.yml that is taken as it is, instead of config (not an option "
              "of the Collector)" },
    { .name = "report_extra_scrape_metrics",
      .type = OPTION_BOOL,
      .offset = AT(report_extra_scrape_metrics),
      .help = "also scrape_timeout_seconds, scrape_sample_limit and scrape_body_size_bytes of each "
              "target" },
    { .name = "openmetrics",
      .type = OPTION_CHOICE,
      .offset = AT(openmetrics),
      .fallback = "strict",
      .choices = openmetrics_modes,
      .help = "strict: OpenMetrics pages that break the standard are refused; lenient: what "
              "Prometheus reads is taken (not an option of the Collector)" },
    IGNORED("trim_metric_suffixes", "names stay as they were scraped"),
    IGNORED("use_start_time_metric", "_created series tell when counters began"),
    IGNORED("start_time_metric_regex", "_created series tell when counters began"),
    IGNORED("target_allocator", "targets are found by this receiver itself"),
    IGNORED("api_server", "/api/v1/targets of the server lists the targets"),
};
#undef AT

/* A configuration made ready. */
typedef struct {
    arena arena; /* of a file of its own */
    const prometheus_config *config;
    scrape_job *jobs;
    uint32_t job_count;
} plan;

typedef struct receiver receiver;
struct receiver {
    component *c;
    plan plan;
    scraper *scraper;
    discovery *discovery;
    receiver *next;
};

/* All that are open, newest first: on a reload a component is open twice for a moment. */
static receiver *receivers;
static pthread_mutex_t receivers_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- a prometheus.yml ---- */

typedef struct {
    const char *path;
    error *err;
    status st;
} file_issues;

static void on_issue(void *user, bool warning, unsigned line, unsigned column, const char *text)
{
    file_issues *i = user;
    if (!warning && i->st == STATUS_OK)
        i->st = fail(i->err, STATUS_INVALID, "%s:%u:%u: %s", i->path, line, column, text);
}

static void no_authenticator(void *user, const char *who, str id, bool listening,
                             const yaml_node *at)
{
    (void)user, (void)who, (void)id, (void)listening, (void)at;
}

static status parse_file(plan *p, str path, str text, error *err)
{
    yaml_document doc;
    yaml_error wrong;
    str copy = arena_str(&p->arena, text);
    prometheus_config *config = ARENA_NEW(&p->arena, prometheus_config);
    if (!copy.ptr || !config)
        return fail(err, STATUS_LIMIT, "%.*s needs more than %zu bytes", STR_ARG(path),
                    file_memory);
    if (yaml_parse(&p->arena, copy, &doc, &wrong) != STATUS_OK)
        return fail(err, STATUS_INVALID, "%.*s:%u:%u: %s", STR_ARG(path), wrong.line, wrong.column,
                    wrong.error.message);
    file_issues issues = { path.ptr, err, STATUS_OK };
    option_reader reader = { .arena = &p->arena,
                             .issue = on_issue,
                             .authenticator = no_authenticator,
                             .user = &issues,
                             .nodes = YAML_NODES_MAX,
                             .who = "prometheus.yml" };
    option_fill(&reader, &prometheus_config_options, doc.root, doc.root, config);
    p->config = config;
    return issues.st;
}

static status read_own_file(plan *p, str path, error *err)
{
    buf text;
    buf_init(&text, YAML_BYTES_MAX);
    status st = file_read(path.ptr, &text, err);
    if (st == STATUS_OK)
        st = parse_file(p, path, buf_view(&text), err);
    buf_done(&text);
    return st;
}

/* ---- plans ---- */

static void plan_done(plan *p)
{
    for (uint32_t i = 0; i < p->job_count; i++)
        scrape_job_done(&p->jobs[i]);
    free(p->jobs);
    arena_done(&p->arena);
    *p = (plan){ 0 };
}

static status make_jobs(plan *p, bool lenient, char *where, size_t size, error *err)
{
    const scrape_settings *s = p->config->scrape_configs.items;
    uint32_t count = p->config->scrape_configs.count;
    char option[200] = "";
    p->jobs = calloc(count + 1, sizeof(scrape_job));
    if (!p->jobs)
        return fail(err, STATUS_NO_MEMORY, "no memory for scrape configurations");
    for (uint32_t i = 0; i < count; i++) {
        status st =
            scrape_job_init(&p->jobs[i], p->config, &s[i], lenient, option, sizeof(option), err);
        for (uint32_t k = 0; k < i && st == STATUS_OK; k++)
            if (str_eq(s[k].job_name, s[i].job_name)) {
                snprintf(option, sizeof(option), "job_name");
                st = fail(err, STATUS_INVALID, "another job has the name \"%.*s\", too",
                          STR_ARG(s[i].job_name));
            }
        if (st != STATUS_OK) {
            snprintf(where, size, "scrape_configs[%u].%s", i, option);
            scrape_job_done(&p->jobs[i]);
            return st;
        }
        p->job_count++;
    }
    return STATUS_OK;
}

/* `where`: the option's path in the receiver's settings. */
static status plan_make(plan *p, const prometheus_settings *s, char *where, size_t size, error *err)
{
    char path[300] = "";
    error why;
    *p = (plan){ 0 };
    arena_init(&p->arena, file_memory);
    str_copy_c(where, size, STR("config_file"));
    if (s->has_config == (s->config_file.len > 0))
        return fail(err, STATUS_INVALID, "one of config and config_file is needed");
    p->config = &s->config;
    status st = s->has_config ? STATUS_OK : read_own_file(p, s->config_file, err);
    if (st != STATUS_OK)
        return st;
    if (p->config->scrape_config_files.count) {
        str_copy_c(path, sizeof(path), STR("scrape_config_files"));
        st = fail(&why, STATUS_UNSUPPORTED,
                  "other files are not read; their scrape_configs can "
                  "stand here");
    } else {
        st = make_jobs(p, s->openmetrics == 1, path, sizeof(path), &why);
    }
    if (st == STATUS_OK)
        return st;
    if (s->has_config) {
        snprintf(where, size, "config.%s", path);
        return fail(err, st, "%s", why.message);
    }
    return fail(err, st, "%.*s: %s: %s", STR_ARG(s->config_file), path, why.message);
}

static status check(const void *settings, char *where, size_t where_size, error *err)
{
    plan p;
    status st = plan_make(&p, settings, where, where_size, err);
    plan_done(&p);
    return st;
}

/* ---- life ---- */

static void close_receiver(void *self)
{
    receiver *r = self;
    pthread_mutex_lock(&receivers_lock);
    for (receiver **at = &receivers; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    pthread_mutex_unlock(&receivers_lock);
    discovery_free(r->discovery);
    scraper_free(r->scraper);
    plan_done(&r->plan);
    free(r);
}

static status open_receiver(void **ret_self, component *c, error *err)
{
    const prometheus_settings *s = c->settings;
    char where[300];
    receiver *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for a receiver");
    r->c = c;
    status st = plan_make(&r->plan, s, where, sizeof(where), err);
    if (st == STATUS_OK)
        st = scraper_new(&r->scraper, c, r->plan.jobs, r->plan.job_count,
                         s->report_extra_scrape_metrics, err);
    if (st == STATUS_OK)
        st = discovery_new(&r->discovery, c, r->plan.jobs, r->plan.job_count, scraper_take,
                           r->scraper, err);
    if (st != STATUS_OK) {
        close_receiver(r);
        return st;
    }
    pthread_mutex_lock(&receivers_lock);
    r->next = receivers;
    receivers = r;
    pthread_mutex_unlock(&receivers_lock);
    *ret_self = r;
    return STATUS_OK;
}

static status start_receiver(void *self, error *err)
{
    receiver *r = self;
    status st = scraper_start(r->scraper, err);
    return st == STATUS_OK ? discovery_start(r->discovery, err) : st;
}

static void stop_receiver(void *self)
{
    receiver *r = self, *heir = NULL;
    discovery_stop(r->discovery);
    pthread_mutex_lock(&receivers_lock);
    for (receiver *at = receivers; at != r && at; at = at->next)
        if (strcmp(at->c->id, r->c->id) == 0)
            heir = at;
    pthread_mutex_unlock(&receivers_lock);
    scraper_stop(r->scraper, heir ? heir->scraper : NULL);
}

void prometheus_receiver_targets(prometheus_target_sink *sink, void *user)
{
    pthread_mutex_lock(&receivers_lock);
    for (receiver *at = receivers; at; at = at->next)
        scraper_targets(at->scraper, sink, user);
    pthread_mutex_unlock(&receivers_lock);
}

void prometheus_receiver_pools(prometheus_pool_sink *sink, void *user)
{
    pthread_mutex_lock(&receivers_lock);
    for (receiver *at = receivers; at; at = at->next)
        scraper_pools(at->scraper, sink, user);
    pthread_mutex_unlock(&receivers_lock);
}

const component_type prometheus_receiver = {
    .type = "prometheus",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_METRICS,
    .help = "Scrapes targets as Prometheus does, by Prometheus's own configuration.",
    .options = OPTION_TABLE(prometheus_rows, prometheus_settings),
    .check = check,
    .open = open_receiver,
    .start = start_receiver,
    .stop = stop_receiver,
    .close = close_receiver,
};
