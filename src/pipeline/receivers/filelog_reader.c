// SPDX-License-Identifier: Apache-2.0
/* What the thread of a filelog receiver does: it looks for files, reads what is new, makes entries
 * of it and hands them on in batches; only when a batch is in the intake log the places in the
 * files move on, in memory and on disk. A process that dies therefore reads its last batch again.
 * While the intake log is at its limit nothing is read: the files are the queue. */
#include "pipeline/receivers/filelog.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES   KiB(256)
#define BATCH_BYTES  KiB(512)
#define BATCH_ROWS   4096u
#define RETRY_MIN_NS (100 * NS_PER_MS)
#define RETRY_MAX_NS (5 * NS_PER_S)

struct filelog_reader {
    component *component;
    const filelog_settings *settings;
    filelog_splitter splitter;
    filelog_operators *operators;
    filelog_files files;
    filelog_batch batch;
    int64_t polled_ns; /* monotonic: when files were looked at */
    const char *dir;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
};
typedef struct filelog_reader filelog;

/* ---- resting ---- */

static bool is_stopping(filelog *r)
{
    pthread_mutex_lock(&r->lock);
    bool stopping = r->stopping;
    pthread_mutex_unlock(&r->lock);
    return stopping;
}

/* False when it is time to stop. */
static bool rest(filelog *r, int64_t ns)
{
    struct timespec until;
    int64_t end = clock_mono_ns() + ns;
    until.tv_sec = end / NS_PER_S;
    until.tv_nsec = end % NS_PER_S;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping && clock_mono_ns() < end)
        pthread_cond_timedwait(&r->wake, &r->lock, &until);
    bool stopping = r->stopping;
    pthread_mutex_unlock(&r->lock);
    return !stopping;
}

/* ---- handing on ---- */

static bool for_now(status st)
{
    return st == STATUS_BUSY || st == STATUS_IO || st == STATUS_FULL || st == STATUS_NO_MEMORY ||
           st == STATUS_CANCELED;
}

static void save(filelog *r)
{
    error err;
    if (!r->files.changed)
        return;
    if (filelog_checkpoint_save(&r->files, &r->settings->include, r->dir, &err) == STATUS_OK)
        r->files.changed = false;
    else
        component_warn(r->component, "checkpoint_failed",
                       "%s; after a restart lines are read twice", err.message);
}

/* False: stopped before the batch was taken; the files' places stay where they were. */
static bool flush(filelog *r)
{
    ingest_result result;
    error err;
    int64_t pause = RETRY_MIN_NS;
    uint32_t rows = batch_row_count(&r->batch.rows);
    while (rows) {
        status st =
            component_ingest(r->component, "file", &r->batch.rows, STR_EMPTY, &result, &err);
        if (st == STATUS_OK)
            break;
        if (!for_now(st)) {
            component_warn(r->component, "batch_refused", "%u lines are left out: %s", rows,
                           err.message);
            component_drop(r->component, SIGNAL_LOGS, "refused", rows);
            break;
        }
        component_warn(r->component, "waiting", "no line is read for now: %s", err.message);
        if (!rest(r, pause))
            return false;
        pause = MIN(pause * 2, RETRY_MAX_NS);
    }
    filelog_batch_clear(&r->batch);
    for (filelog_file *f = r->files.first; f; f = f->next) {
        uint64_t safe = f->group.count ? f->group.start : f->emitted;
        r->files.changed |= f->offset != safe;
        f->offset = safe;
    }
    save(r);
    return true;
}

/* ---- entries ---- */

static void no_memory(filelog *r)
{
    component_warn(r->component, "no_memory", "an entry takes too much memory and is left out");
    component_drop(r->component, SIGNAL_LOGS, "memory", 1);
}

static void say(filelog *r, const filelog_file *f, const filelog_trouble *t)
{
    if (t->failures)
        component_warn(r->component, "operator_failed", "%s: %s", f->path, t->reason);
}

/* Operators from number `from` on, then into the batch. */
static entry_fate pass(filelog *r, const filelog_file *f, uint32_t from, filelog_entry *e)
{
    filelog_trouble trouble = { 0 };
    entry_fate fate = filelog_operators_run(r->operators, from, e, clock_now_ns(), &trouble);
    say(r, f, &trouble);
    if (fate == ENTRY_DROP)
        component_drop(r->component, SIGNAL_LOGS, "filtered", 1);
    if (fate == ENTRY_PASS && !filelog_batch_add(&r->batch, e))
        no_memory(r);
    return fate;
}

/* What was held back goes on as one entry. */
static void finish_group(filelog *r, filelog_file *f)
{
    const filelog_recombine *c = filelog_operators_recombine(r->operators);
    filelog_group *g = &f->group;
    filelog_entry e;
    if (!g->count)
        return;
    str text = arena_str(&r->batch.rows.arena, buf_view(&g->text));
    bool fine = text.ptr && filelog_entry_copy(&r->batch.rows.arena, &e, &g->entry) &&
                filelog_set(&e, &c->field, VALUE_S(text));
    g->count = 0;
    if (fine)
        pass(r, f, c->index + 1, &e);
    else
        no_memory(r);
    buf_clear(&g->text);
    arena_clear(&g->arena);
}

static void add_to_group(filelog *r, filelog_file *f, const filelog_entry *e, str text)
{
    const filelog_recombine *c = filelog_operators_recombine(r->operators);
    filelog_group *g = &f->group;
    uint64_t start = g->count ? g->entry.start : e->start;
    if (!g->count)
        g->start = e->start;
    if (!g->count || c->keep_newest) {
        arena_clear(&g->arena);
        if (!filelog_entry_copy(&g->arena, &g->entry, e)) {
            no_memory(r);
            return;
        }
    }
    g->entry.start = start;
    g->entry.end = e->end;
    if (g->count)
        buf_str(&g->text, c->with);
    buf_str(&g->text, text);
    g->count++;
    g->newest_ns = clock_mono_ns();
}

static void combine(filelog *r, filelog_file *f, filelog_entry *e)
{
    const filelog_recombine *c = filelog_operators_recombine(r->operators);
    value v;
    if (!filelog_get(e, &c->field, &v) || v.type != VALUE_STR) {
        finish_group(r, f);
        pass(r, f, c->index + 1, e);
        return;
    }
    bool edge = filelog_expr_true(c->edge, e);
    bool full = f->group.count >= c->max_entries || f->group.text.len + v.s.len > c->max_bytes;
    if (full || (c->by_first && edge))
        finish_group(r, f);
    add_to_group(r, f, e, v.s);
    if (!c->by_first && edge)
        finish_group(r, f);
}

static void entry(filelog *r, filelog_file *f, str text, uint64_t start, uint64_t end)
{
    arena *a = &r->batch.rows.arena;
    filelog_entry e = { .arena = a, .start = start, .end = end, .observed_ns = clock_now_ns() };
    f->records++;
    text = arena_str(a, text);
    if (text.ptr)
        text = arena_utf8(a, text);
    e.body = VALUE_S(text);
    if (!text.ptr || !filelog_entry_describe(r->settings, f, &e))
        no_memory(r);
    else if (pass(r, f, 0, &e) == ENTRY_COMBINE)
        combine(r, f, &e);
}

/* All entries that are complete in what was read. False: stopped. */
static bool take_entries(filelog *r, filelog_file *f, bool at_end)
{
    size_t used = 0;
    bool fine = true;
    for (str text; fine;) {
        str data = str_slice(buf_view(&f->data), used, f->data.len);
        size_t n = filelog_split(&r->splitter, data, at_end, &text);
        if (!n)
            break;
        if (text.len)
            entry(r, f, text, f->emitted, f->emitted + n);
        used += n;
        f->emitted += n;
        if (batch_row_count(&r->batch.rows) >= BATCH_ROWS || r->batch.bytes >= BATCH_BYTES ||
            r->batch.rows.arena.used > 16 * BATCH_BYTES)
            fine = flush(r);
    }
    f->data.len -= used;
    if (used && f->data.len)
        memmove(f->data.ptr, f->data.ptr + used, f->data.len);
    if (!f->data.len && f->data.cap > READ_BYTES) {
        buf_done(&f->data);
        buf_init(&f->data, 0);
    }
    return fine;
}

/* ---- files ---- */

static void before_restart(void *user, filelog_file *f)
{
    filelog *r = user;
    take_entries(r, f, true);
    finish_group(r, f);
}

static void file_trouble(void *user, const char *path, const char *what)
{
    filelog *r = user;
    component_warn(r->component, "file_failed", "%s: %s", path, what);
}

static bool is_quiet(const filelog *r, const filelog_file *f)
{
    int64_t period = r->settings->force_flush_period;
    /* By when files were looked at: handing on may have taken long, and the file grown. */
    return period > 0 && r->polled_ns - f->grown_ns >= period;
}

/* Reads one file once. *ret_more: there is more to read at once. */
static bool read_file(filelog *r, filelog_file *f, bool *ret_more)
{
    const filelog_recombine *c = filelog_operators_recombine(r->operators);
    size_t room = (size_t)r->settings->max_log_size + READ_BYTES;
    int64_t left =
        filelog_file_fill(&r->files, f, room, (uint32_t)r->settings->max_concurrent_files);
    if (left > 0)
        *ret_more = true;
    bool fine = !f->data.len || take_entries(r, f, left == 0 && is_quiet(r, f));
    if (fine && c && f->group.count && clock_mono_ns() - f->group.newest_ns >= c->flush_ns)
        finish_group(r, f);
    return fine;
}

/* A file that was read whole, and whose lines are durable. */
static void delete_read(filelog *r, filelog_file *f)
{
    struct stat st;
    if (f->size == 0 || f->offset < f->size || !is_quiet(r, f) || stat(f->path, &st) != 0 ||
        st.st_ino != f->ino || st.st_dev != f->dev || (uint64_t)st.st_size != f->size)
        return;
    if (unlink(f->path) != 0)
        component_warn(r->component, "delete_failed", "%s cannot be deleted", f->path);
    else
        filelog_file_free(&r->files, f);
}

static void cycle(filelog *r)
{
    const filelog_finder finder = { r->settings, before_restart, file_trouble, r };
    r->polled_ns = clock_mono_ns();
    filelog_files_poll(&r->files, &finder);
    for (bool more = true; more;) {
        more = false;
        for (filelog_file *f = r->files.first; f; f = f->next)
            if (!read_file(r, f, &more) || is_stopping(r))
                return;
    }
    if (!flush(r) || !r->settings->delete_after_read)
        return;
    for (filelog_file *f = r->files.first, *next; f; f = next) {
        next = f->next;
        delete_read(r, f);
    }
    save(r);
}

static void *run(void *self)
{
    filelog *r = self;
    error err;
    if (filelog_checkpoint_load(&r->files, &r->settings->include, r->dir, &err) != STATUS_OK)
        component_warn(r->component, "checkpoint_unreadable",
                       "%s; files are taken as if seen for the first time", err.message);
    do
        cycle(r);
    while (rest(r, r->settings->poll_interval));
    filelog_files_done(&r->files);
    return NULL;
}

/* ---- the reader ---- */

static status pattern_of(pattern **ret, str text, error *err)
{
    char line[4096];
    if (!text.len)
        return STATUS_OK;
    int n = snprintf(line, sizeof(line), "(?m)%.*s", STR_ARG(text));
    if (n < 0 || (size_t)n >= sizeof(line))
        return fail(err, STATUS_INVALID, "a regular expression of more than 4,000 bytes");
    return pattern_new(ret, str_n(line, (size_t)n), false, err);
}

void filelog_reader_free(filelog *r)
{
    pattern_free(r->splitter.start);
    pattern_free(r->splitter.end);
    filelog_operators_free(r->operators);
    filelog_files_done(&r->files);
    filelog_batch_done(&r->batch);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->wake);
    free(r);
}

static void init_wake(filelog *r)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

status filelog_reader_new(filelog **ret, component *c, const filelog_settings *s, char *ret_where,
                          size_t where_size, error *err)
{
    filelog *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for a receiver");
    r->component = c;
    r->settings = s;
    init_wake(r);
    filelog_batch_init(&r->batch);
    r->splitter = (filelog_splitter){ .omit = s->multiline.omit_pattern,
                                      .max = (size_t)s->max_log_size,
                                      .keep_leading = s->preserve_leading,
                                      .keep_trailing = s->preserve_trailing };
    snprintf(ret_where, where_size, "multiline.line_start_pattern");
    status st = pattern_of(&r->splitter.start, s->multiline.line_start_pattern, err);
    if (st == STATUS_OK) {
        snprintf(ret_where, where_size, "multiline.line_end_pattern");
        st = pattern_of(&r->splitter.end, s->multiline.line_end_pattern, err);
    }
    if (st == STATUS_OK)
        st = filelog_operators_new(&r->operators, &s->operators, ret_where, where_size, err);
    if (st != STATUS_OK) {
        filelog_reader_free(r);
        return st;
    }
    *ret = r;
    return STATUS_OK;
}

status filelog_reader_start(filelog *r, error *err)
{
    status st = component_dir(r->component, &r->dir, err);
    if (st != STATUS_OK)
        return st;
    int code = pthread_create(&r->thread, NULL, run, r);
    if (code)
        return fail_errno(err, code, "a thread for files");
    r->running = true;
    return STATUS_OK;
}

void filelog_reader_stop(filelog *r)
{
    if (!r->running)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    r->running = false;
}
