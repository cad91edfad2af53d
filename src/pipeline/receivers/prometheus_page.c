// SPDX-License-Identifier: Apache-2.0
/* One page of one target: its samples get the target's labels, are relabeled and limited, and are
 * compared with those of the page before. Of a target's series 8 bytes each are remembered and the
 * compressed page, which is read again when the labels of vanished series are needed. */
#include "pipeline/receivers/prometheus_internal.h"

#include "base/hash_set.h"

#include <stdlib.h>
#include <zstd.h>

enum { ZSTD_LEVEL = 1 };

typedef struct {
    scrape_target *t;
    exposition_page *page;
    error *err;
} work;

void scraped_done(scraped *s)
{
    exposition_done(&s->page);
    buf_done(&s->body);
    scrape_target_free(s->target);
    s->target = NULL;
}

static status no_memory(work *w)
{
    return fail(w->err, STATUS_LIMIT, "the page's samples need more than %zu bytes",
                w->page->arena.limit);
}

/* ---- labels ---- */

/* Both lists by name, and no name in both: the usual case, and the cheap one. */
static bool merge(work *w, exposition_sample *s, bool *ret_done)
{
    const scrape_target *t = w->t;
    uint32_t i = 0, k = 0, n = 0;
    prom_label *out =
        arena_alloc(&w->page->arena, (s->label_count + t->label_count + 1) * sizeof(prom_label));
    *ret_done = false;
    if (!out)
        return false;
    while (i < s->label_count || k < t->label_count) {
        int order = i == s->label_count   ? 1
                    : k == t->label_count ? -1
                                          : str_cmp(s->labels[i].name, t->labels[k].name);
        if (order == 0)
            return true;
        if (order > 0)
            out[n++] = t->labels[k++];
        else if (s->labels[i].value.len)
            out[n++] = s->labels[i++];
        else
            i++;
    }
    s->labels = out;
    s->label_count = n;
    *ret_done = true;
    return true;
}

static bool on_page(const exposition_sample *s, str name)
{
    for (uint32_t i = 0; i < s->label_count; i++)
        if (str_eq(s->labels[i].name, name))
            return true;
    return false;
}

/* The page's label of that name gets another, as the target's takes its place. */
static void export_label(label_set *set, str name, str text)
{
    str longer = name;
    do {
        longer = arena_fmt(set->arena, "exported_%.*s", STR_ARG(longer));
        if (!longer.ptr) {
            set->failed = true;
            return;
        }
    } while (label_set_get(set, longer).len);
    label_set_put(set, longer, text);
}

static void add_target_labels(const scrape_target *t, const exposition_sample *s, label_set *set)
{
    bool honor = t->job->s->honor_labels;
    for (uint32_t i = 0; i < t->label_count; i++)
        if (!honor || !on_page(s, t->labels[i].name))
            label_set_put(set, t->labels[i].name, t->labels[i].value);
    for (uint32_t i = 0; i < s->label_count && !honor; i++)
        for (uint32_t k = 0; k < t->label_count && s->labels[i].value.len; k++)
            if (str_eq(s->labels[i].name, t->labels[k].name))
                export_label(set, s->labels[i].name, s->labels[i].value);
}

static void add_external(const scrape_target *t, label_set *set)
{
    const pair_list *more = &t->job->external_labels;
    for (uint32_t i = 0; i < more->count; i++)
        if (label_set_get(set, more->items[i].name).len == 0)
            label_set_put(set, more->items[i].name, more->items[i].value);
}

/* Any rules, any labels. *ret_kept is false when a rule dropped the sample. */
static status relabel(work *w, exposition_sample *s, bool *ret_kept)
{
    label_set set = { .arena = &w->page->arena };
    *ret_kept = false;
    for (uint32_t i = 0; i < s->label_count; i++)
        label_set_put(&set, s->labels[i].name, s->labels[i].value);
    label_set_put(&set, STR("__name__"), s->name);
    add_target_labels(w->t, s, &set);
    bool kept = relabel_apply(w->t->job->metric_relabel, &set);
    if (kept)
        add_external(w->t, &set);
    if (set.failed)
        return no_memory(w);
    if (!kept)
        return STATUS_OK;
    s->name = label_set_get(&set, STR("__name__"));
    if (s->name.len == 0)
        return fail(w->err, STATUS_INVALID, "line %u: relabeling took the metric's name away",
                    s->line);
    label_set_remove(&set, STR("__name__"));
    label_set_sort(&set);
    s->labels = set.items;
    s->label_count = set.count;
    *ret_kept = true;
    return STATUS_OK;
}

static status check_limits(work *w, const exposition_sample *s)
{
    const scrape_limits *l = &w->t->job->limits;
    if (l->labels && (int64_t)s->label_count + 1 > l->labels)
        return fail(
            w->err, STATUS_LIMIT, "label_limit exceeded: %.*s has %u labels, the limit is %lld",
            (int)MIN(s->name.len, 50), s->name.ptr, s->label_count + 1, (long long)l->labels);
    if (!l->label_name_length && !l->label_value_length)
        return STATUS_OK;
    for (uint32_t i = 0; i < s->label_count; i++) {
        size_t name = s->labels[i].name.len, text = s->labels[i].value.len;
        if (l->label_name_length && (int64_t)name > l->label_name_length)
            return fail(w->err, STATUS_LIMIT,
                        "label_name_length_limit exceeded: %.*s has a label name of %zu bytes, the "
                        "limit is %lld",
                        (int)MIN(s->name.len, 50), s->name.ptr, name,
                        (long long)l->label_name_length);
        if (l->label_value_length && (int64_t)text > l->label_value_length)
            return fail(w->err, STATUS_LIMIT,
                        "label_value_length_limit exceeded: %.*s has a label value of %zu bytes, "
                        "the limit is %lld",
                        (int)MIN(s->name.len, 50), s->name.ptr, text,
                        (long long)l->label_value_length);
    }
    return STATUS_OK;
}

/* Gives all samples their final labels; those that are dropped go out of the list. */
static status label_all(work *w, page_result *ret)
{
    const scrape_job *job = w->t->job;
    bool rules = !relabel_rules_empty(job->metric_relabel) || job->external_labels.count;
    exposition_page *p = w->page;
    uint32_t n = 0;
    ret->scraped = p->sample_count;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        exposition_sample s = p->samples[i];
        bool kept = false;
        if (!rules && !merge(w, &s, &kept))
            return no_memory(w);
        status st = kept ? STATUS_OK : relabel(w, &s, &kept);
        if (st == STATUS_OK && kept)
            st = check_limits(w, &s);
        if (st != STATUS_OK)
            return st;
        s.has_time &= job->s->honor_timestamps;
        if (kept)
            p->samples[n++] = s;
    }
    p->sample_count = n;
    ret->kept = n;
    if (job->limits.samples && n > job->limits.samples)
        return fail(w->err, STATUS_LIMIT,
                    "sample_limit exceeded: the page has %u samples after relabeling, the limit is "
                    "%lld",
                    n, (long long)job->limits.samples);
    return STATUS_OK;
}

static status read_and_label(scrape_target *t, exposition_format format, scraped *x,
                             page_result *ret, error *err)
{
    work w = { t, &x->page, err };
    status st = exposition_read(&x->page, format, buf_view(&x->body), &t->job->page, err);
    return st == STATUS_OK ? label_all(&w, ret) : st;
}

/* ---- series that are gone ---- */

static bool is_tracked(const scrape_target *t, const exposition_sample *s)
{
    return !s->has_time || t->job->s->track_timestamps_staleness;
}

static uint64_t final_hash(const exposition_sample *s)
{
    uint64_t h = str_hash(s->name);
    for (uint32_t i = 0; i < s->label_count; i++)
        h = hash_mix(h + str_hash(s->labels[i].name), str_hash(s->labels[i].value));
    return h;
}

/* The remembered page's samples, all as markers. False: nothing to be had. */
static bool remembered(scrape_target *t, scraped *gone)
{
    const scrape_series *s = &t->series;
    page_result ignored = { 0 };
    *gone = (scraped){ .target = scrape_target_ref(t) };
    buf_init(&gone->body, 0);
    if (!s->page || !buf_reserve(&gone->body, s->page_length + 1))
        return false;
    size_t n = ZSTD_decompress(gone->body.ptr, s->page_length, s->page, s->page_size);
    if (ZSTD_isError(n) || n != s->page_length)
        return false;
    gone->body.len = n;
    if (read_and_label(t, s->format, gone, &ignored, NULL) != STATUS_OK) {
        gone->page.sample_count = 0;
        return false;
    }
    exposition_page *p = &gone->page;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        if (!is_tracked(t, &p->samples[i]))
            continue;
        p->samples[i].stale = true;
        p->samples[i].has_time = false;
        p->samples[i].exemplar_count = 0;
        p->samples[kept++] = p->samples[i];
    }
    p->sample_count = kept;
    return true;
}

/* Of the remembered series those that `page` has not, under any spelling. */
static void mark_gone(scrape_target *t, const exposition_page *page, scraped *gone)
{
    hash_set now = { 0 };
    bool good = remembered(t, gone);
    exposition_page *p = &gone->page;
    for (uint32_t i = 0; good && i < page->sample_count; i++)
        good = hash_set_add(&now, final_hash(&page->samples[i]), NULL);
    uint32_t kept = 0;
    for (uint32_t i = 0; good && i < p->sample_count; i++)
        if (!hash_set_has(&now, final_hash(&p->samples[i])))
            p->samples[kept++] = p->samples[i];
    p->sample_count = kept;
    hash_set_done(&now);
}

/* How many of `from` are not in `in`; UINT32_MAX without memory. */
static uint32_t count_missing(const uint64_t *from, uint32_t count, const uint64_t *in,
                              uint32_t in_count)
{
    hash_set set = { 0 };
    uint32_t missing = 0;
    bool good = true;
    for (uint32_t i = 0; i < in_count && good; i++)
        good = hash_set_add(&set, in[i], NULL);
    for (uint32_t i = 0; i < count && good; i++)
        missing += !hash_set_has(&set, from[i]);
    hash_set_done(&set);
    return good ? missing : UINT32_MAX;
}

static void remember(scrape_target *t, exposition_format format, const scraped *x, uint64_t *hashes,
                     uint32_t count)
{
    size_t most = ZSTD_compressBound(x->body.len);
    char *page = malloc(most);
    size_t n = page ? ZSTD_compress(page, most, x->body.ptr, x->body.len, ZSTD_LEVEL) : 0;
    if (page && ZSTD_isError(n)) {
        free(page);
        page = NULL;
    }
    char *fitting = page ? realloc(page, MAX(n, (size_t)1)) : NULL;
    scrape_series_done(&t->series);
    t->series = (scrape_series){ .hashes = hashes,
                                 .count = count,
                                 .page = fitting ? fitting : page,
                                 .page_size = n,
                                 .page_length = x->body.len,
                                 .format = format };
}

static status compare(scrape_target *t, exposition_format format, scraped *x, scraped *gone,
                      page_result *ret)
{
    const exposition_page *p = &x->page;
    const scrape_series *old = &t->series;
    uint64_t *hashes = malloc((p->sample_count + 1) * sizeof(uint64_t));
    uint32_t n = 0;
    if (!hashes)
        return fail(&ret->error, STATUS_NO_MEMORY, "no memory for a page's series");
    for (uint32_t i = 0; i < p->sample_count; i++)
        if (is_tracked(t, &p->samples[i]))
            hashes[n++] = p->samples[i].hash;
    if (n == old->count && (n == 0 || memcmp(hashes, old->hashes, n * sizeof(uint64_t)) == 0)) {
        free(hashes);
        return STATUS_OK;
    }
    ret->added = count_missing(hashes, n, old->hashes, old->count);
    uint32_t vanished = count_missing(old->hashes, old->count, hashes, n);
    if (ret->added == UINT32_MAX || vanished == UINT32_MAX) {
        free(hashes);
        return fail(&ret->error, STATUS_NO_MEMORY, "no memory for a page's series");
    }
    if (vanished)
        mark_gone(t, p, gone);
    remember(t, format, x, hashes, n);
    return STATUS_OK;
}

void scrape_page(scrape_target *t, exposition_format format, scraped *x, scraped *gone,
                 page_result *ret)
{
    *ret = (page_result){ 0 };
    *gone = (scraped){ 0 };
    buf_init(&gone->body, 0);
    ret->code = read_and_label(t, format, x, ret, &ret->error);
    if (ret->code == STATUS_OK)
        ret->code = compare(t, format, x, gone, ret);
    if (ret->code != STATUS_OK)
        x->page.sample_count = 0;
}

void scrape_page_end(scrape_target *t, scraped *gone)
{
    (void)remembered(t, gone);
    scrape_series_done(&t->series);
}

/* ---- the scrape's own series ---- */

static bool add_report(const scrape_target *t, exposition_page *page, const char *name, double v,
                       bool stale)
{
    exposition_sample *s = exposition_add(page, str_c(name), v);
    if (!s)
        return false;
    label_set set = { .arena = &page->arena };
    for (uint32_t i = 0; i < t->label_count; i++)
        label_set_put(&set, t->labels[i].name, t->labels[i].value);
    add_external(t, &set);
    label_set_sort(&set);
    s->labels = set.items;
    s->label_count = set.count;
    s->stale = stale;
    return !set.failed;
}

bool scrape_add_report(const scrape_target *t, const scrape_report *r, exposition_page *page)
{
    const struct {
        const char *name;
        double value;
        bool extra;
    } rows[] = {
        { "up", r->up, false },
        { "scrape_duration_seconds", r->duration, false },
        { "scrape_samples_scraped", r->scraped, false },
        { "scrape_samples_post_metric_relabeling", r->kept, false },
        { "scrape_series_added", r->added, false },
        { "scrape_timeout_seconds", r->timeout, true },
        { "scrape_sample_limit", r->sample_limit, true },
        { "scrape_body_size_bytes", r->body_size, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((r->extra || !rows[i].extra) &&
            !add_report(t, page, rows[i].name, rows[i].value, r->stale))
            return false;
    return true;
}
