// SPDX-License-Identifier: Apache-2.0
/* Where targets come from: lists in the configuration, files, URLs, DNS. One thread looks at them
 * in turn, builds a job's targets anew when something changed, and hands them on. What cannot be
 * read leaves the targets as they were. */
#include "base/clock.h"
#include "base/file.h"
#include "net/client_curl.h"
#include "pipeline/receivers/prometheus_internal.h"
#include "settings/yaml.h"

#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

static const size_t list_memory = MiB(256), answer_max = MiB(32);
static const int64_t look_ns = NS_PER_S; /* how often files are looked at for a change */

typedef enum { FROM_STATIC, FROM_FILES, FROM_URL, FROM_DNS } provider_kind;

/* One entry of a ..._sd_configs, and what it said last. */
typedef struct {
    provider_kind kind;
    uint32_t job;
    const void *settings;
    int64_t due_mono, look_mono;
    uint64_t signature; /* of the files */
    bool known;         /* it was read once */
    arena arena;
    sd_target *list;
    uint32_t count;
} provider;

struct discovery {
    component *c;
    const scrape_job *jobs;
    uint32_t job_count;
    discovery_sink *sink;
    void *user;
    provider *providers;
    uint32_t provider_count;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic int stop;
};

/* What a read of a provider makes, before it takes the old one's place. */
typedef struct {
    arena arena;
    sd_target *list;
    uint32_t count, capacity;
} harvest;

/* ---- lists ---- */

bool sd_add(arena *a, sd_target **list, uint32_t *count, uint32_t *capacity, sd_target item)
{
    if (*count == *capacity) {
        uint32_t wanted = *capacity ? *capacity * 2 : 16;
        sd_target *more =
            arena_grow(a, *list, *count * sizeof(item), (size_t)wanted * sizeof(item));
        if (!more)
            return false;
        *list = more;
        *capacity = wanted;
    }
    (*list)[(*count)++] = item;
    return true;
}

static status no_memory(error *err)
{
    return fail(err, STATUS_LIMIT, "the targets need more than %zu bytes", list_memory);
}

static str scalar(const yaml_node *n)
{
    return n && n->kind == YAML_SCALAR ? n->text : (str){ NULL, 0 };
}

static status read_group(arena *a, const yaml_node *group, const prom_label *meta, sd_target **list,
                         uint32_t *count, uint32_t *capacity, error *err)
{
    const yaml_node *targets = yaml_get(group, STR("targets"));
    const yaml_node *labels = yaml_get(group, STR("labels"));
    if (group->kind != YAML_MAPPING || !targets || targets->kind != YAML_SEQUENCE)
        return fail(err, STATUS_INVALID,
                    "line %u: {\"targets\": [...], \"labels\": {...}} is "
                    "expected",
                    group->line);
    if (labels && !yaml_is_null(labels) && labels->kind != YAML_MAPPING)
        return fail(err, STATUS_INVALID, "line %u: labels is no map", labels->line);
    uint32_t more = labels && labels->kind == YAML_MAPPING ? labels->count : 0;
    for (uint32_t i = 0; i < targets->count; i++) {
        str address = scalar(targets->items[i]);
        prom_label *items = ARENA_ARRAY(a, prom_label, more + 2);
        if (!address.ptr)
            return fail(err, STATUS_INVALID, "line %u: a target is a text", targets->line);
        if (!items)
            return no_memory(err);
        uint32_t n = 0;
        items[n++] = (prom_label){ STR("__address__"), address };
        items[n++] = *meta;
        for (uint32_t k = 0; k < more; k++) {
            str text = scalar(labels->pairs[k].value);
            if (!text.ptr)
                return fail(err, STATUS_INVALID, "line %u: a label's value is no text",
                            labels->pairs[k].key->line);
            items[n++] = (prom_label){ labels->pairs[k].key->text, text };
        }
        if (!sd_add(a, list, count, capacity, (sd_target){ items, n }))
            return no_memory(err);
    }
    return STATUS_OK;
}

status sd_read_groups(arena *a, str text, str meta_name, str meta_value, sd_target **list,
                      uint32_t *count, uint32_t *capacity, error *err)
{
    yaml_document doc;
    yaml_error wrong;
    str copy = arena_str(a, text);
    prom_label meta = { meta_name, arena_str(a, meta_value) };
    if (!copy.ptr || !meta.value.ptr)
        return no_memory(err);
    if (yaml_parse(a, copy, &doc, &wrong) != STATUS_OK)
        return fail(err, STATUS_INVALID, "line %u: %s", wrong.line, wrong.error.message);
    if (!doc.root || yaml_is_null(doc.root))
        return STATUS_OK;
    if (doc.root->kind != YAML_SEQUENCE)
        return fail(err, STATUS_INVALID,
                    "a list of {\"targets\": [...], \"labels\": {...}} is "
                    "expected");
    for (uint32_t i = 0; i < doc.root->count; i++) {
        status st = read_group(a, doc.root->items[i], &meta, list, count, capacity, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static status read_static(const provider *p, harvest *h, error *err)
{
    const static_settings *s = p->settings;
    for (uint32_t i = 0; i < s->targets.count; i++) {
        prom_label *items = ARENA_ARRAY(&h->arena, prom_label, s->labels.count + 1);
        if (!items)
            return no_memory(err);
        items[0] = (prom_label){ STR("__address__"), s->targets.items[i] };
        for (uint32_t k = 0; k < s->labels.count; k++)
            items[k + 1] = (prom_label){ s->labels.items[k].name, s->labels.items[k].value };
        if (!sd_add(&h->arena, &h->list, &h->count, &h->capacity,
                    (sd_target){ items, s->labels.count + 1 }))
            return no_memory(err);
    }
    return STATUS_OK;
}

/* ---- files ---- */

typedef status file_visit(void *user, const char *path, error *err);

static status each_file(const provider *p, file_visit *visit, void *user, error *err)
{
    const file_sd_settings *s = p->settings;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < s->files.count; i++) {
        glob_t found = { 0 };
        if (glob(s->files.items[i].ptr, 0, NULL, &found) == 0)
            for (size_t k = 0; k < found.gl_pathc && st == STATUS_OK; k++)
                st = visit(user, found.gl_pathv[k], err);
        globfree(&found);
    }
    return st;
}

static status sign_file(void *user, const char *path, error *err)
{
    uint64_t *h = user;
    struct stat st;
    (void)err;
    *h = hash_mix(*h + 1, str_hash(str_c(path)));
    if (stat(path, &st) == 0) {
        *h = hash_mix(*h + (uint64_t)st.st_ino, (uint64_t)st.st_size + 1);
        *h = hash_mix(*h + (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec + 1);
    }
    return STATUS_OK;
}

static status read_file(void *user, const char *path, error *err)
{
    harvest *h = user;
    buf text;
    error why = { 0 };
    buf_init(&text, YAML_BYTES_MAX);
    status st = file_read(path, &text, &why);
    if (st == STATUS_OK)
        st = sd_read_groups(&h->arena, buf_view(&text), STR("__meta_filepath"), str_c(path),
                            &h->list, &h->count, &h->capacity, &why);
    buf_done(&text);
    return st == STATUS_OK ? st : fail(err, st, "%s: %s", path, why.message);
}

/* ---- URLs ---- */

/* Asks by a fetcher of its own, as these requests are rare. */
static status ask(const discovery *d, const http_sd_settings *s, fetch_answer *ret, error *err)
{
    fetcher *f = NULL;
    prometheus_auth auth;
    http_client_options client;
    prometheus_http_client(&client, &s->http);
    status st = fetcher_new(&f, 1, err);
    if (st != STATUS_OK)
        return st;
    st = prometheus_auth_set(&auth, &s->http, err);
    const char *headers[4] = { "Accept: application/json",
                               "X-Prometheus-Refresh-Interval-Seconds: 60",
                               auth.header.len ? auth.header.ptr : NULL, NULL };
    fetch_request r = { .options = &client,
                        .url = s->url.ptr,
                        .headers = headers,
                        .name = auth.basic ? auth.name.ptr : NULL,
                        .password = auth.basic ? auth.password.ptr : NULL,
                        .gzip = true,
                        .timeout_ns = 30 * NS_PER_S,
                        .answer_limit = answer_max };
    if (st == STATUS_OK)
        st = fetch_start(f, &r, err);
    bool done = false;
    while (st == STATUS_OK && !done && !atomic_load(&d->stop)) {
        fetch_wait(f, 100 * NS_PER_MS);
        done = fetch_next(f, ret);
    }
    prometheus_auth_done(&auth);
    fetcher_free(f);
    if (st == STATUS_OK && !done)
        st = fail(err, STATUS_CANCELED, "given up");
    return st;
}

static status read_url(const discovery *d, const provider *p, harvest *h, error *err)
{
    const http_sd_settings *s = p->settings;
    fetch_answer answer;
    char shown[256];
    curl_show_url(s->url.ptr, shown, sizeof(shown));
    status st = ask(d, s, &answer, err);
    if (st != STATUS_OK)
        return st;
    str media = str_trim(str_cut(str_c(answer.content_type), ';', &(str){ 0 }));
    if (answer.code != STATUS_OK)
        st = fail(err, answer.code, "%s: %s", shown, answer.error.message);
    else if (answer.http != 200)
        st = fail(err, STATUS_INVALID, "%s: the server answered %d", shown, answer.http);
    else if (!str_eq_nocase(media, STR("application/json")))
        st = fail(err, STATUS_INVALID, "%s: Content-Type \"%s\", application/json is expected",
                  shown, answer.content_type);
    error why = { 0 };
    if (st == STATUS_OK &&
        (st = sd_read_groups(&h->arena, buf_view(&answer.body), STR("__meta_url"), s->url, &h->list,
                             &h->count, &h->capacity, &why)) != STATUS_OK)
        st = fail(err, st, "%s: %s", shown, why.message);
    buf_done(&answer.body);
    return st;
}

static status read_dns(const provider *p, harvest *h, error *err)
{
    const dns_sd_settings *s = p->settings;
    for (uint32_t i = 0; i < s->names.count; i++) {
        status st = sd_dns(&h->arena, s, s->names.items[i], &h->list, &h->count, &h->capacity, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* ---- jobs ---- */

static status add_targets(const discovery *d, const provider *p, target_list *list,
                          uint32_t *capacity, error *err)
{
    for (uint32_t i = 0; i < p->count; i++) {
        scrape_target *t = NULL;
        error why;
        status st =
            scrape_target_new(&t, &d->jobs[p->job], p->list[i].labels, p->list[i].count, &why);
        if (st != STATUS_OK)
            component_warn(d->c, "target", "job %.*s: %s", STR_ARG(d->jobs[p->job].s->job_name),
                           why.message);
        list->dropped += !t && st == STATUS_OK;
        if (!t)
            continue;
        if (list->count == *capacity) {
            uint32_t wanted = *capacity ? *capacity * 2 : 16;
            scrape_target **more = realloc(list->items, wanted * sizeof(scrape_target *));
            if (!more) {
                scrape_target_free(t);
                return no_memory(err);
            }
            list->items = more;
            *capacity = wanted;
        }
        list->items[list->count++] = t;
    }
    return STATUS_OK;
}

static void build_job(discovery *d, uint32_t job)
{
    target_list list = { 0 };
    uint32_t capacity = 0;
    error err;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < d->provider_count && st == STATUS_OK; i++)
        if (d->providers[i].job == job)
            st = add_targets(d, &d->providers[i], &list, &capacity, &err);
    if (st != STATUS_OK)
        component_warn(d->c, "targets", "%s", err.message);
    d->sink(d->user, job, &list);
}

/* ---- providers ---- */

static status read_provider(const discovery *d, provider *p, harvest *h, error *err)
{
    switch (p->kind) {
    case FROM_STATIC:
        return read_static(p, h, err);
    case FROM_FILES:
        return each_file(p, read_file, h, err);
    case FROM_URL:
        return read_url(d, p, h, err);
    case FROM_DNS:
        return read_dns(p, h, err);
    }
    return STATUS_OK;
}

static int64_t refresh_of(const provider *p)
{
    switch (p->kind) {
    case FROM_FILES:
        return ((const file_sd_settings *)p->settings)->refresh_interval;
    case FROM_URL:
        return ((const http_sd_settings *)p->settings)->refresh_interval;
    case FROM_DNS:
        return ((const dns_sd_settings *)p->settings)->refresh_interval;
    default:
        return INT64_MAX / 2;
    }
}

/* True: it was read, and is not as it was. */
static bool refresh(discovery *d, provider *p)
{
    int64_t now = clock_mono_ns();
    bool due = !p->known || now >= p->due_mono;
    uint64_t signature = 0;
    error err;
    if (p->kind == FROM_FILES && now >= p->look_mono) {
        (void)each_file(p, sign_file, &signature, NULL);
        due |= signature != p->signature;
        p->look_mono = now + look_ns;
        p->signature = signature;
    }
    if (!due)
        return false;
    p->due_mono = now + MIN(refresh_of(p), INT64_MAX / 4);
    harvest h = { 0 };
    arena_init(&h.arena, list_memory);
    status st = read_provider(d, p, &h, &err);
    if (st != STATUS_OK) {
        arena_done(&h.arena);
        if (st != STATUS_CANCELED)
            component_warn(d->c, "discovery", "job %.*s: %s; its targets stay as they were",
                           STR_ARG(d->jobs[p->job].s->job_name), err.message);
        return false;
    }
    arena_done(&p->arena);
    p->arena = h.arena;
    p->list = h.list;
    p->count = h.count;
    p->known = true;
    return true;
}

static void refresh_all(discovery *d, bool first)
{
    for (uint32_t job = 0; job < d->job_count; job++) {
        bool changed = first;
        for (uint32_t i = 0; i < d->provider_count && !atomic_load(&d->stop); i++)
            if (d->providers[i].job == job && (!first || d->providers[i].kind <= FROM_FILES))
                changed |= refresh(d, &d->providers[i]);
        if (changed)
            build_job(d, job);
    }
}

static int64_t next_due(const discovery *d)
{
    int64_t due = INT64_MAX / 2;
    for (uint32_t i = 0; i < d->provider_count; i++) {
        const provider *p = &d->providers[i];
        due = MIN(due, p->kind == FROM_FILES ? MIN(p->due_mono, p->look_mono)
                                             : MAX(p->due_mono, clock_mono_ns() + NS_PER_S / 10));
    }
    return due;
}

static void *run(void *user)
{
    discovery *d = user;
    while (!atomic_load(&d->stop)) {
        refresh_all(d, false);
        int64_t pause = MIN(MAX(next_due(d) - clock_mono_ns(), NS_PER_MS), 60 * NS_PER_S);
        int64_t until = clock_now_ns() + pause;
        struct timespec at = { until / NS_PER_S, until % NS_PER_S };
        pthread_mutex_lock(&d->lock);
        if (!atomic_load(&d->stop))
            pthread_cond_timedwait(&d->wake, &d->lock, &at);
        pthread_mutex_unlock(&d->lock);
    }
    return NULL;
}

/* ---- life ---- */

static void add_providers(discovery *d, uint32_t job, provider_kind kind, const section_list *l,
                          size_t size)
{
    for (uint32_t i = 0; i < l->count; i++) {
        provider *p = &d->providers[d->provider_count++];
        p->kind = kind;
        p->job = job;
        p->settings = (const char *)l->items + i * size;
        arena_init(&p->arena, list_memory);
    }
}

status discovery_new(discovery **ret, component *c, const scrape_job *jobs, uint32_t count,
                     discovery_sink *sink, void *user, error *err)
{
    size_t providers = 0;
    discovery *d = calloc(1, sizeof(*d));
    for (uint32_t i = 0; i < count; i++)
        providers += (size_t)jobs[i].s->static_configs.count + jobs[i].s->file_sd_configs.count +
                     jobs[i].s->http_sd_configs.count + jobs[i].s->dns_sd_configs.count;
    if (d)
        d->providers = calloc(providers + 1, sizeof(provider));
    if (!d || !d->providers) {
        free(d);
        return no_memory(err);
    }
    d->c = c;
    d->jobs = jobs;
    d->job_count = count;
    d->sink = sink;
    d->user = user;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    for (uint32_t i = 0; i < count; i++) {
        const scrape_settings *s = jobs[i].s;
        add_providers(d, i, FROM_STATIC, &s->static_configs, sizeof(static_settings));
        add_providers(d, i, FROM_FILES, &s->file_sd_configs, sizeof(file_sd_settings));
        add_providers(d, i, FROM_URL, &s->http_sd_configs, sizeof(http_sd_settings));
        add_providers(d, i, FROM_DNS, &s->dns_sd_configs, sizeof(dns_sd_settings));
    }
    refresh_all(d, true); /* what needs no network is there at once */
    *ret = d;
    return STATUS_OK;
}

status discovery_start(discovery *d, error *err)
{
    int rc = pthread_create(&d->thread, NULL, run, d);
    if (rc)
        return fail_errno(err, rc, "no thread for service discovery");
    d->runs = true;
    return STATUS_OK;
}

void discovery_stop(discovery *d)
{
    if (!d->runs)
        return;
    pthread_mutex_lock(&d->lock);
    atomic_store(&d->stop, 1);
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    d->runs = false;
}

void discovery_free(discovery *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; i < d->provider_count; i++)
        arena_done(&d->providers[i].arena);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->wake);
    free(d->providers);
    free(d);
}
