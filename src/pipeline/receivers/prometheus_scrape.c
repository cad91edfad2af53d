// SPDX-License-Identifier: Apache-2.0
/* The scraping thread: owns all targets, spreads their requests over the interval by their hashes,
 * as Prometheus does, and makes samples of what they answer. Everything but the lists that others
 * look at (under the lock) is this thread's alone. */
#include "base/clock.h"
#include "base/hash_set.h"
#include "pipeline/receivers/prometheus_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { CONNECTIONS = 2048 };
static const size_t page_max = GiB(1);
static const int64_t tolerance_ns = 2 * NS_PER_MS; /* of a scrape's time to its due time */
static const int64_t idle_ns = NS_PER_S;

/* A job's list that the scraper has not taken yet. */
typedef struct {
    target_list list;
    bool full;
} inbox;

struct scraper {
    component *c;
    const scrape_job *jobs;
    uint32_t job_count;
    bool extra;
    fetcher *fetcher;
    sender *sender;
    pthread_t thread;
    bool runs;
    _Atomic int stop;
    pthread_mutex_t lock;
    inbox *inboxes;    /* by job */
    bool *over;        /* by job: it has more targets than its limit */
    uint32_t *dropped; /* by job: targets that relabeling dropped */
    scrape_target **targets;
    uint32_t count, capacity;
};

/* ---- samples ---- */

static void send_report(scraper *s, scrape_target *t, scrape_report *r, scraped *x, int64_t time_ns)
{
    if (!x->page.arena.limit)
        arena_init(&x->page.arena, MiB(1));
    if (!x->target)
        x->target = scrape_target_ref(t);
    r->timeout = (double)t->timeout / NS_PER_S;
    r->sample_limit = (double)t->job->limits.samples;
    r->extra = s->extra;
    if (scrape_add_report(t, r, &x->page))
        (void)sender_add(s->sender, x, time_ns);
    else
        scraped_done(x);
}

/* Markers for all that a target had. */
static void end_series(scraper *s, scrape_target *t, int64_t time_ns)
{
    scraped gone;
    scrape_page_end(t, &gone);
    if (gone.page.sample_count)
        (void)sender_add(s->sender, &gone, time_ns);
    else
        scraped_done(&gone);
}

static void end_target(scraper *s, scrape_target *t)
{
    scraped x = { 0 };
    scrape_report r = { .stale = true };
    int64_t now = clock_now_ns();
    if (t->health == HEALTH_UNKNOWN)
        return; /* it never had any */
    end_series(s, t, now);
    buf_init(&x.body, 0);
    send_report(s, t, &r, &x, now);
}

static void set_health(scraper *s, scrape_target *t, const char *problem, int64_t duration)
{
    pthread_mutex_lock(&s->lock);
    t->health = problem ? HEALTH_DOWN : HEALTH_UP;
    t->last_scrape_ns = t->started_ns;
    t->last_duration_ns = duration;
    str_copy_c(t->last_error, sizeof(t->last_error), str_c(problem));
    pthread_mutex_unlock(&s->lock);
}

static void failed(scraper *s, scrape_target *t, scrape_report *r, const char *problem,
                   int64_t duration)
{
    scraped x = { 0 };
    end_series(s, t, t->started_ns);
    buf_init(&x.body, 0);
    r->up = 0;
    r->duration = (double)duration / NS_PER_S;
    send_report(s, t, r, &x, t->started_ns);
    set_health(s, t, problem, duration);
}

/* ---- answers ---- */

static status format_of(const scrape_job *job, const fetch_answer *a, exposition_format *ret,
                        error *err)
{
    if (exposition_format_of(str_c(a->content_type), ret))
        return STATUS_OK;
    *ret = job->fallback;
    if (job->has_fallback)
        return STATUS_OK;
    return fail(err, STATUS_INVALID,
                "the Content-Type \"%s\" is no format of metrics, and fallback_scrape_protocol "
                "says none",
                a->content_type);
}

static void finish(scraper *s, scrape_target *t, fetch_answer *a)
{
    scraped x = { .body = a->body }, gone = { 0 };
    scrape_report report = { .up = 1, .body_size = (double)a->body.len };
    page_result result = { 0 };
    exposition_format format = EXPOSITION_TEXT;
    error err = a->error;
    status st = a->code;
    if (st == STATUS_OK && a->http != 200)
        st = fail(&err, STATUS_INVALID, "server returned HTTP status %d", a->http);
    if (st == STATUS_OK)
        st = format_of(t->job, a, &format, &err);
    if (st == STATUS_OK) {
        scrape_page(t, format, &x, &gone, &result);
        st = result.code;
        err = result.error;
        t->text_only |= st == STATUS_INVALID && format == EXPOSITION_OPENMETRICS;
    }
    int64_t duration = clock_mono_ns() - t->started_mono;
    report.scraped = result.scraped;
    report.kept = result.kept;
    report.added = result.added;
    if (st != STATUS_OK) {
        scraped_done(&x);
        scraped_done(&gone);
        failed(s, t, &report, err.message, duration);
        return;
    }
    report.duration = (double)duration / NS_PER_S;
    if (gone.page.sample_count)
        (void)sender_add(s->sender, &gone, t->started_ns);
    else
        scraped_done(&gone);
    send_report(s, t, &report, &x, t->started_ns);
    set_health(s, t, NULL, duration);
}

static void take_answers(scraper *s)
{
    for (fetch_answer a; fetch_next(s->fetcher, &a);) {
        scrape_target *t = a.user;
        t->asked = false;
        if (t->gone) {
            buf_done(&a.body);
            scrape_target_free(t);
        } else {
            finish(s, t, &a);
        }
    }
}

/* ---- requests ---- */

static status ask(scraper *s, scrape_target *t, error *err)
{
    const scrape_job *job = t->job;
    const prometheus_http *http = &job->s->http;
    enum { MORE_MAX = 64 };
    const char *headers[MORE_MAX + 4];
    char timeout[80];
    unsigned n = 0;
    prometheus_auth auth;
    status st = prometheus_auth_set(&auth, http, err);
    snprintf(timeout, sizeof(timeout), "X-Prometheus-Scrape-Timeout-Seconds: %g",
             (double)t->timeout / NS_PER_S);
    headers[n++] = t->text_only ? job->accept_text : job->accept;
    headers[n++] = timeout;
    if (auth.header.len)
        headers[n++] = auth.header.ptr;
    arena more;
    arena_init(&more, MiB(1));
    if (st == STATUS_OK)
        st = prometheus_http_headers(&more, http, headers, &n, MORE_MAX, err);
    headers[n] = NULL;
    size_t limit = job->limits.body_size > 0 ? (size_t)job->limits.body_size : page_max;
    fetch_request r = { .options = &job->http,
                        .url = t->url.ptr,
                        .headers = headers,
                        .name = auth.basic ? auth.name.ptr : NULL,
                        .password = auth.basic ? auth.password.ptr : NULL,
                        .gzip = job->s->enable_compression,
                        .timeout_ns = t->timeout,
                        .answer_limit = MIN(limit, page_max),
                        .user = t };
    if (st == STATUS_OK)
        st = fetch_start(s->fetcher, &r, err);
    arena_done(&more);
    prometheus_auth_done(&auth);
    return st;
}

static void begin(scraper *s, scrape_target *t, int64_t now)
{
    error err;
    scrape_report report = { 0 };
    int64_t tolerance = MIN(tolerance_ns, t->interval / 100);
    t->started_ns = now - t->due_ns <= tolerance ? t->due_ns : now;
    t->started_mono = clock_mono_ns();
    uint32_t job = (uint32_t)(t->job - s->jobs);
    status st = STATUS_OK;
    if (s->over[job])
        st = fail(&err, STATUS_LIMIT, "target_limit exceeded: the job has more than %lld targets",
                  (long long)t->job->limits.targets);
    if (st == STATUS_OK)
        st = ask(s, t, &err);
    t->asked = st == STATUS_OK;
    if (st != STATUS_OK)
        failed(s, t, &report, err.message, 0);
}

static int64_t first_due(const scrape_target *t, int64_t now)
{
    int64_t due = now - now % t->interval + (int64_t)(t->hash % (uint64_t)t->interval);
    return due < now ? due + t->interval : due;
}

/* Starts what is due; when the next one is. */
static int64_t start_due(scraper *s)
{
    int64_t now = clock_now_ns(), next = now + idle_ns;
    for (uint32_t i = 0; i < s->count; i++) {
        scrape_target *t = s->targets[i];
        if (t->due_ns - now > t->interval + NS_PER_S)
            t->due_ns = first_due(t, now); /* the clock was set back */
        if (t->due_ns <= now) {
            if (!t->asked)
                begin(s, t, now);
            t->due_ns += t->interval;
            if (t->due_ns <= now)
                t->due_ns = first_due(t, now + 1);
        }
        next = MIN(next, t->due_ns);
    }
    return next;
}

/* ---- lists ---- */

static bool reserve(scraper *s, uint32_t more)
{
    if (s->count + more <= s->capacity)
        return true;
    uint32_t wanted = MAX(s->capacity * 2, s->count + more);
    scrape_target **items = realloc(s->targets, wanted * sizeof(scrape_target *));
    if (!items)
        return false;
    s->targets = items;
    s->capacity = wanted;
    return true;
}

static void list_done(target_list *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        scrape_target_free(l->items[i]);
    free(l->items);
    *l = (target_list){ 0 };
}

static void drop_target(scraper *s, uint32_t index)
{
    scrape_target *t = s->targets[index];
    end_target(s, t);
    pthread_mutex_lock(&s->lock);
    s->targets[index] = s->targets[--s->count];
    pthread_mutex_unlock(&s->lock);
    t->gone = true;
    if (!t->asked)
        scrape_target_free(t);
}

/* Those of the list that the job has already stay as they are; the others come, or go. */
static void merge_list(scraper *s, uint32_t job, target_list *l)
{
    hash_set wanted = { 0 }, have = { 0 };
    bool good = true, added;
    int64_t now = clock_now_ns();
    for (uint32_t i = 0; i < l->count && good; i++)
        good = hash_set_add(&wanted, l->items[i]->hash, NULL);
    for (uint32_t i = s->count; i-- > 0 && good;) {
        if (s->targets[i]->job != &s->jobs[job])
            continue;
        if (hash_set_has(&wanted, s->targets[i]->hash))
            good = hash_set_add(&have, s->targets[i]->hash, NULL);
        else
            drop_target(s, i);
    }
    pthread_mutex_lock(&s->lock);
    good = good && reserve(s, l->count);
    for (uint32_t i = 0; i < l->count && good; i++) {
        scrape_target *t = l->items[i];
        good = hash_set_add(&have, t->hash, &added);
        if (!good || !added)
            continue;
        t->due_ns = first_due(t, now);
        s->targets[s->count++] = t;
        l->items[i] = NULL;
    }
    s->dropped[job] = l->dropped;
    pthread_mutex_unlock(&s->lock);
    s->over[job] = s->jobs[job].limits.targets && have.count > (size_t)s->jobs[job].limits.targets;
    hash_set_done(&wanted);
    hash_set_done(&have);
    list_done(l);
    if (!good)
        component_warn(s->c, "targets", "no memory for all targets");
}

static void take_inboxes(scraper *s)
{
    for (uint32_t i = 0; i < s->job_count; i++) {
        target_list list = { 0 };
        pthread_mutex_lock(&s->lock);
        bool full = s->inboxes[i].full;
        if (full)
            list = s->inboxes[i].list;
        s->inboxes[i] = full ? (inbox){ 0 } : s->inboxes[i];
        pthread_mutex_unlock(&s->lock);
        if (full)
            merge_list(s, i, &list);
    }
}

void scraper_take(void *user, uint32_t job, target_list *list)
{
    scraper *s = user;
    pthread_mutex_lock(&s->lock);
    target_list old = s->inboxes[job].list;
    s->inboxes[job] = (inbox){ *list, true };
    pthread_mutex_unlock(&s->lock);
    list_done(&old);
    fetch_wake(s->fetcher);
}

static void *run(void *user)
{
    scraper *s = user;
    while (!atomic_load(&s->stop)) {
        take_inboxes(s);
        int64_t next = start_due(s);
        fetch_wait(s->fetcher, next - clock_now_ns());
        take_answers(s);
    }
    return NULL;
}

/* ---- life ---- */

status scraper_new(scraper **ret, component *c, const scrape_job *jobs, uint32_t count, bool extra,
                   error *err)
{
    scraper *s = calloc(1, sizeof(*s));
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for a scraper");
    s->c = c;
    s->jobs = jobs;
    s->job_count = count;
    s->extra = extra;
    pthread_mutex_init(&s->lock, NULL);
    s->inboxes = calloc(count + 1, sizeof(inbox));
    s->over = calloc(count + 1, sizeof(bool));
    s->dropped = calloc(count + 1, sizeof(uint32_t));
    status st = s->inboxes && s->over && s->dropped
                    ? STATUS_OK
                    : fail(err, STATUS_NO_MEMORY, "no memory for a scraper");
    if (st == STATUS_OK)
        st = fetcher_new(&s->fetcher, CONNECTIONS, err);
    if (st == STATUS_OK)
        st = sender_new(&s->sender, c, err);
    if (st != STATUS_OK) {
        scraper_free(s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
}

status scraper_start(scraper *s, error *err)
{
    status st = sender_start(s->sender, err);
    if (st != STATUS_OK)
        return st;
    int rc = pthread_create(&s->thread, NULL, run, s);
    if (rc)
        return fail_errno(err, rc, "no thread for scraping");
    s->runs = true;
    return STATUS_OK;
}

/* The same target of the scraper that comes next, or NULL; both stand still. */
static scrape_target *successor(scraper *next, const scrape_target *t, bool *ret_job)
{
    *ret_job = false;
    for (uint32_t j = 0; j < next->job_count; j++) {
        const scrape_settings *s = next->jobs[j].s;
        if (!str_eq(s->job_name, t->job->s->job_name))
            continue;
        *ret_job = s->http_sd_configs.count || s->dns_sd_configs.count;
        const target_list *l = &next->inboxes[j].list;
        for (uint32_t i = 0; i < l->count; i++)
            if (l->items[i]->hash == t->hash)
                return l->items[i];
    }
    return NULL;
}

static void hand_over(scraper *s, scraper *next)
{
    for (uint32_t i = 0; i < s->count; i++) {
        scrape_target *t = s->targets[i];
        bool may_come;
        pthread_mutex_lock(&next->lock);
        scrape_target *heir = successor(next, t, &may_come);
        if (heir && !heir->series.hashes) {
            heir->series = t->series;
            t->series = (scrape_series){ 0 };
            heir->health = t->health;
            heir->last_scrape_ns = t->last_scrape_ns;
            heir->last_duration_ns = t->last_duration_ns;
            memcpy(heir->last_error, t->last_error, sizeof(heir->last_error));
        }
        pthread_mutex_unlock(&next->lock);
        if (!heir && !may_come)
            end_target(s, t);
    }
}

void scraper_stop(scraper *s, scraper *next)
{
    if (s->runs) {
        atomic_store(&s->stop, 1);
        fetch_wake(s->fetcher);
        pthread_join(s->thread, NULL);
        s->runs = false;
        if (next)
            hand_over(s, next);
    }
    sender_stop(s->sender);
}

void scraper_free(scraper *s)
{
    if (!s)
        return;
    fetcher_free(s->fetcher);
    sender_free(s->sender);
    for (uint32_t i = 0; i < s->count; i++)
        scrape_target_free(s->targets[i]);
    for (uint32_t i = 0; s->inboxes && i < s->job_count; i++)
        list_done(&s->inboxes[i].list);
    free(s->inboxes);
    free(s->over);
    free(s->dropped);
    free(s->targets);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void scraper_targets(scraper *s, prometheus_target_sink *sink, void *user)
{
    static const char *const names[] = {
        [HEALTH_UNKNOWN] = "unknown", [HEALTH_UP] = "up", [HEALTH_DOWN] = "down"
    };
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->count; i++) {
        const scrape_target *t = s->targets[i];
        prometheus_target shown = { .job = t->job->s->job_name,
                                    .url = t->url,
                                    .labels = t->labels,
                                    .discovered = t->discovered,
                                    .label_count = t->label_count,
                                    .discovered_count = t->discovered_count,
                                    .health = names[t->health],
                                    .last_error = t->last_error,
                                    .last_scrape_ns = t->last_scrape_ns,
                                    .last_duration_ns = t->last_duration_ns,
                                    .interval_ns = t->interval,
                                    .timeout_ns = t->timeout };
        sink(user, &shown);
    }
    pthread_mutex_unlock(&s->lock);
}

void scraper_pools(scraper *s, prometheus_pool_sink *sink, void *user)
{
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->job_count; i++)
        sink(user, s->jobs[i].s->job_name, s->dropped[i]);
    pthread_mutex_unlock(&s->lock);
}
