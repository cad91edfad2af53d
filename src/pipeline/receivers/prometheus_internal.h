// SPDX-License-Identifier: Apache-2.0
/* The parts of the prometheus receiver. Three threads: discovery finds targets and gives lists of
 * them to the scraper, which owns all targets, asks them and makes batches of their pages, which
 * the sender puts into the intake log. */
#ifndef SONDE_PIPELINE_PROMETHEUS_INTERNAL_H
#define SONDE_PIPELINE_PROMETHEUS_INTERNAL_H

#include "codec/exposition.h"
#include "net/fetch.h"
#include "pipeline/component.h"
#include "pipeline/receivers/prometheus.h"
#include "pipeline/receivers/prometheus_relabel.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- jobs and targets ---- */

/* A scrape configuration, ready to be used; read-only. */
typedef struct {
    const scrape_settings *s;
    pair_list external_labels;
    int64_t interval, timeout;
    scrape_limits limits;
    relabel_rules *relabel, *metric_relabel;
    http_client_options http;
    char accept[512], accept_text[512]; /* the second without OpenMetrics */
    exposition_options page;
    bool has_fallback;
    exposition_format fallback;
} scrape_job;

/* On failure `where` gets the option's path below the scrape configuration. */
MUST_USE status scrape_job_init(scrape_job *job, const prometheus_config *config,
                                const scrape_settings *s, bool lenient, char *where,
                                size_t where_size, error *err);
void scrape_job_done(scrape_job *job); /* also of a zeroed one */

typedef enum { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN } scrape_health;

/* The series of a target's last page, for the markers of those that vanish: their hashes, and the
 * page by which their labels can be had again. */
typedef struct {
    uint64_t *hashes; /* in the page's order */
    uint32_t count;
    char *page; /* zstd */
    size_t page_size, page_length;
    exposition_format format;
} scrape_series;

void scrape_series_done(scrape_series *s);

typedef struct {
    _Atomic unsigned refs; /* its owner's, and each scraped's */
    const scrape_job *job;
    arena arena;
    uint64_t hash; /* of all that tells one target from another */
    str url;
    prom_label *labels; /* that its samples get, by name */
    uint32_t label_count;
    prom_label *discovered;
    uint32_t discovered_count;
    int64_t interval, timeout;
    /* the scraper's */
    int64_t due_ns; /* wall clock */
    int64_t started_ns, started_mono;
    bool text_only; /* its OpenMetrics broke the standard; its text may be good */
    bool asked;     /* a request is under way */
    bool gone;
    scrape_series series;
    /* shown to others, under the receiver's lock */
    scrape_health health;
    int64_t last_scrape_ns, last_duration_ns;
    char last_error[256];
} scrape_target;

/* Makes a target of what was discovered. *ret is NULL when relabeling dropped it. */
MUST_USE status scrape_target_new(scrape_target **ret, const scrape_job *job,
                                  const prom_label *labels, uint32_t count, error *err);
void scrape_target_free(scrape_target *t); /* gives up a reference; NULL is fine */
scrape_target *scrape_target_ref(scrape_target *t);

/* ---- discovery ---- */

typedef struct {
    prom_label *labels;
    uint32_t count;
} sd_target;

typedef struct {
    scrape_target **items;
    uint32_t count;
    uint32_t dropped; /* by relabeling */
} target_list;

typedef struct discovery discovery;

/* Takes a job's whole list, whose targets become the taker's. */
typedef void discovery_sink(void *user, uint32_t job, target_list *list);

MUST_USE status discovery_new(discovery **ret, component *c, const scrape_job *jobs, uint32_t count,
                              discovery_sink *sink, void *user, error *err);
MUST_USE status discovery_start(discovery *d, error *err);
void discovery_stop(discovery *d);
void discovery_free(discovery *d); /* NULL is fine */

/* Targets as files and URLs list them: [{"targets": […], "labels": {…}}], appended. */
MUST_USE status sd_read_groups(arena *a, str text, str meta_name, str meta_value, sd_target **list,
                               uint32_t *count, uint32_t *capacity, error *err);
MUST_USE bool sd_add(arena *a, sd_target **list, uint32_t *count, uint32_t *capacity,
                     sd_target item);
MUST_USE status sd_dns(arena *a, const dns_sd_settings *s, str name, sd_target **list,
                       uint32_t *count, uint32_t *capacity, error *err);

/* ---- pages ---- */

/* What a scrape came to. */
typedef struct {
    status code; /* of all: the scrape failed */
    error error;
    uint32_t scraped, kept, added; /* samples; after relabeling; series that are new */
} page_result;

/* Samples and what their texts are in. */
typedef struct {
    exposition_page page;
    buf body;
    scrape_target *target; /* a reference */
} scraped;

void scraped_done(scraped *s);

/* Reads x->body, gives its samples their labels, and remembers its series. `gone` gets markers for
 * those that were there before. After a failure x has no samples, and what was remembered stays.
 * Both must be done. */
void scrape_page(scrape_target *t, exposition_format format, scraped *x, scraped *gone,
                 page_result *ret);
/* Markers for all series of the last page, which is forgotten. */
void scrape_page_end(scrape_target *t, scraped *gone);
/* up and so on. */
typedef struct {
    double up, duration, scraped, kept, added, timeout, sample_limit, body_size;
    bool extra, stale;
} scrape_report;
MUST_USE bool scrape_add_report(const scrape_target *t, const scrape_report *r,
                                exposition_page *page);

/* ---- batches on their way to the log ---- */

typedef struct sender sender;

MUST_USE status sender_new(sender **ret, component *c, error *err);
MUST_USE status sender_start(sender *s, error *err);
void sender_stop(sender *s); /* what waits is sent, if that takes not long */
void sender_free(sender *s); /* NULL is fine */

/* Appends the samples to what goes next and takes what they are in, on failure too. False: no room,
 * as the log takes nothing. */
bool sender_add(sender *s, scraped *x, int64_t time_ns);

/* ---- the scraper ---- */

typedef struct scraper scraper;

MUST_USE status scraper_new(scraper **ret, component *c, const scrape_job *jobs, uint32_t count,
                            bool extra, error *err);
MUST_USE status scraper_start(scraper *s, error *err);
/* `next` (may be NULL) comes after this one: targets that it has, too, pass their series on, the
 * others get their markers. */
void scraper_stop(scraper *s, scraper *next);
void scraper_free(scraper *s); /* NULL is fine */
discovery_sink scraper_take;   /* user: the scraper; any thread */
/* The sink is called under the scraper's lock. */
void scraper_targets(scraper *s, prometheus_target_sink *sink, void *user);
void scraper_pools(scraper *s, prometheus_pool_sink *sink, void *user);

#endif
