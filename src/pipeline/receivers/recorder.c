// SPDX-License-Identifier: Apache-2.0
/* The recorder receiver: reads the recorders of directories, of living processes that have no
 * drainer of their own (SONDE_DRAIN=server, or auto) and of dead ones, and gives what they hold to
 * its pipelines, as if it had come by OTLP. A file belongs to whoever holds the drainer's lock in
 * it, so nothing is read twice; a cursor moves when the intake log has the rows. The file of a dead
 * process is removed when all of it was taken. One thread of its own reads everything. */
#include "pipeline/receivers/recorder.h"

#include "base/clock.h"
#include "base/file.h"
#include "codec/recorder.h"
#include "codec/recorder_metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { POLL_MIN_MS = 5, POLL_MAX_MS = 100, SCAN_MS = 500, RETRY_MS = 500, ROWS_MAX = 5000 };
enum { SOURCES_MAX = 1024 };
#define SINK        STR("server")
#define BATCH_BYTES MiB(32)

typedef struct source {
    struct source *next;
    char *path;
    recorder_reader *reader;
    recorder_cursor *cursor;
    int64_t metrics_due_ns; /* monotonic */
    int64_t retry_ns;       /* monotonic: the store put us off until then */
    bool live_sent;
    bool warned;
} source;

struct recorders {
    component *component;
    char *dirs[RECORDER_DIRS_MAX];
    int locks[RECORDER_DIRS_MAX];
    unsigned dir_count;
    int64_t interval_ns;
    source *sources;
    unsigned source_count;
    batch logs, spans, points;

    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop; /* under the lock */

    atomic_uint_fast64_t files, failed, finished;
};

static void say(const recorders *r, const char *event, const source *s, const char *detail)
{
    component_note(r->component, event, "%s%s%s", s->path, *detail ? ": " : "", detail);
}

static void complain(const recorders *r, const char *event, const source *s, const char *detail)
{
    component_warn(r->component, event, "%s: %s", s->path, detail);
}

/* ---- finding recorders ---- */

static bool is_known(const recorders *r, const char *path)
{
    for (const source *s = r->sources; s; s = s->next)
        if (strcmp(s->path, path) == 0)
            return true;
    return false;
}

static void source_close(recorders *r, source *s)
{
    recorder_reader_close(s->reader);
    free(s->path);
    free(s);
    r->source_count--;
    atomic_store(&r->files, r->source_count);
}

static status open_source(source *s, error *err)
{
    status st = recorder_reader_open(&s->reader, s->path, NULL, err);
    if (st != STATUS_OK)
        return st;
    /* A process that is just starting may be about to take the lock for its own drainer. */
    recorder_info info = recorder_reader_info(s->reader);
    if (info.alive && !info.external)
        return fail(err, STATUS_BUSY, "%s: its process reads it", s->path);
    st = recorder_reader_lock(s->reader, err);
    /* It may have been finished by another reader between opening and locking. */
    if (st == STATUS_OK && access(s->path, F_OK) != 0)
        st = fail(err, STATUS_BUSY, "%s is gone", s->path);
    return st == STATUS_OK ? recorder_cursor_open(s->reader, &s->cursor, SINK, err) : st;
}

static void add_source(recorders *r, const char *path)
{
    error err;
    source *s = calloc(1, sizeof(*s));
    if (!s || !(s->path = strdup(path))) {
        free(s);
        return;
    }
    r->source_count++;
    if (open_source(s, &err) != STATUS_OK) {
        if (err.code == STATUS_UNSUPPORTED)
            complain(r, "recorder_not_read", s, err.message);
        source_close(r, s);
        return;
    }
    say(r, "recorder_found", s, "");
    s->next = r->sources;
    r->sources = s;
    atomic_store(&r->files, r->source_count);
}

static void scan(recorders *r, const char *dir)
{
    char path[PATH_MAX];
    DIR *d = opendir(dir);
    struct dirent *entry;
    while (d && r->source_count < SOURCES_MAX && (entry = readdir(d))) {
        int n = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (str_ends(str_c(entry->d_name), STR(".rec")) && n > 0 && (size_t)n < sizeof(path) &&
            !is_known(r, path) && !recorder_lock_is_held(path, RECORDER_LOCK_DRAINER))
            add_source(r, path);
    }
    if (d)
        closedir(d);
}

/* ---- one recorder ---- */

/* What the store will never take is gone for good, and counted. */
static status give(recorders *r, source *s, const batch *b, error *err)
{
    ingest_result result = { 0 };
    uint32_t rows = batch_row_count(b);
    if (rows == 0)
        return STATUS_OK;
    status st = component_ingest(r->component, "file", b, STR_EMPTY, &result, err);
    if (st == STATUS_INVALID || st == STATUS_LIMIT || st == STATUS_UNSUPPORTED ||
        st == STATUS_NOT_FOUND) {
        complain(r, "recorder_rows_refused", s, err->message);
        result.rejected = rows;
        st = STATUS_OK;
    }
    if (st != STATUS_OK)
        return st;
    return result.rejected ? recorder_drops_add(s->reader, b->signal, RECORDER_DROP_EXPORT,
                                                result.rejected, err)
                           : STATUS_OK;
}

static status read_rows(recorders *r, source *s, bool alive, uint32_t *ret_rows, error *err)
{
    bool full;
    int64_t horizon = alive ? clock_now_ns() - RECORDER_WINDOW_NS : INT64_MAX;
    batch_clear(&r->logs);
    batch_clear(&r->spans);
    status st = recorder_poll(s->reader, s->cursor, horizon, ROWS_MAX, &r->logs, &r->spans,
                              ret_rows, &full, err);
    if (st == STATUS_OK)
        st = give(r, s, &r->logs, err);
    if (st == STATUS_OK)
        st = give(r, s, &r->spans, err);
    if (st != STATUS_OK) {
        recorder_cursor_rewind(s->reader, s->cursor);
        return st;
    }
    return recorder_cursor_commit(s->reader, s->cursor, err);
}

static status read_metrics(recorders *r, source *s, error *err)
{
    batch_clear(&r->points);
    status st = recorder_metrics_read(s->reader, &r->points, err);
    if (st == STATUS_LIMIT)
        st = STATUS_OK; /* what was read until then is whole */
    return st == STATUS_OK ? give(r, s, &r->points, err) : st;
}

/* All records of a dead process were read: what it was doing, and its last metric values. */
static status read_last(recorders *r, source *s, bool ended, error *err)
{
    status st = STATUS_OK;
    if (!ended && !s->live_sent) {
        batch_clear(&r->spans);
        st = recorder_live_spans(s->reader, &r->spans, err);
        if (st == STATUS_OK || st == STATUS_LIMIT)
            st = give(r, s, &r->spans, err);
        s->live_sent = st == STATUS_OK;
    }
    return st == STATUS_OK ? read_metrics(r, s, err) : st;
}

/* Reads what there is. *ret_done: the process is dead, and all of it was taken. */
static status step(recorders *r, source *s, bool *ret_moved, bool *ret_done, error *err)
{
    uint32_t rows;
    recorder_info info = recorder_reader_info(s->reader);
    *ret_done = false;
    status st = info.alive ? recorder_reader_calibrate(s->reader, err) : STATUS_OK;
    if (st == STATUS_OK)
        st = read_rows(r, s, info.alive, &rows, err);
    if (st != STATUS_OK)
        return st;
    *ret_moved = *ret_moved || rows;
    if (!info.alive && rows == 0) {
        *ret_done = true;
        return read_last(r, s, info.ended, err);
    }
    int64_t now = clock_mono_ns();
    if (info.alive && now >= s->metrics_due_ns) {
        s->metrics_due_ns = now + r->interval_ns;
        st = read_metrics(r, s, err);
    }
    return st;
}

static void put_off(recorders *r, source *s, const error *err)
{
    atomic_fetch_add(&r->failed, 1);
    s->retry_ns = clock_mono_ns() + RETRY_MS * NS_PER_MS;
    if (!s->warned)
        complain(r, "recorder_put_off", s, err->message);
    s->warned = true;
}

/* The name goes first, while the lock is held: nobody else can begin to read it again. */
static void finish(recorders *r, source *s)
{
    error err;
    if (unlink(s->path) == 0) {
        say(r, "recorder_finished", s, "");
    } else {
        (void)fail_errno(&err, errno, "the file cannot be removed");
        complain(r, "recorder_finished", s, err.message);
    }
    atomic_fetch_add(&r->finished, 1);
    source_close(r, s);
}

/* True when something was read. */
static bool step_all(recorders *r)
{
    bool moved = false;
    for (source **at = &r->sources; *at;) {
        error err;
        source *s = *at;
        bool done = false;
        if (clock_mono_ns() >= s->retry_ns) {
            if (step(r, s, &moved, &done, &err) != STATUS_OK) {
                put_off(r, s, &err);
                done = false;
            } else {
                s->warned = false;
            }
        }
        if (done) {
            *at = s->next;
            finish(r, s);
        } else {
            at = &s->next;
        }
    }
    return moved;
}

/* ---- the thread ---- */

static bool wait_or_stop(recorders *r, int ms)
{
    int64_t until_ns = clock_mono_ns() + ms * NS_PER_MS;
    struct timespec until = { until_ns / NS_PER_S, until_ns % NS_PER_S };
    pthread_mutex_lock(&r->lock);
    if (!r->stop)
        pthread_cond_timedwait(&r->changed, &r->lock, &until);
    bool stop = r->stop;
    pthread_mutex_unlock(&r->lock);
    return stop;
}

static void *run(void *arg)
{
    recorders *r = arg;
    int64_t scan_due_ns = 0;
    int wait_ms = POLL_MIN_MS;
    do {
        if (clock_mono_ns() >= scan_due_ns) {
            for (unsigned i = 0; i < r->dir_count; i++)
                scan(r, r->dirs[i]);
            scan_due_ns = clock_mono_ns() + SCAN_MS * NS_PER_MS;
        }
        wait_ms = step_all(r) ? POLL_MIN_MS : MIN(wait_ms * 2, POLL_MAX_MS);
    } while (!wait_or_stop(r, wait_ms));
    return NULL;
}

/* ---- opening and closing ---- */

static status lock_dir(recorders *r, const char *dir, error *err)
{
    char path[PATH_MAX];
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
    int n = snprintf(path, sizeof(path), "%s/" RECORDER_SERVER_FILE, dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return fail(err, STATUS_INVALID, "the recorder directory's name is too long");
    status st = file_make_dirs(dir, 0700, err);
    if (st != STATUS_OK)
        return st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        int why = errno;
        close(fd);
        if (why == EAGAIN || why == EACCES)
            return fail(err, STATUS_BUSY, "another server reads the recorders in %s", dir);
        return fail_errno(err, why, "lock %s", path);
    }
    r->dirs[r->dir_count] = strdup(dir);
    r->locks[r->dir_count++] = fd;
    return r->dirs[r->dir_count - 1] ? STATUS_OK
                                     : fail(err, STATUS_NO_MEMORY, "no memory for a directory");
}

static status start(recorders *r, error *err)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&r->lock, NULL);
    if (pthread_create(&r->thread, NULL, run, r) != 0)
        return fail(err, STATUS_NO_MEMORY, "the recorder receiver's thread cannot be started");
    r->running = true;
    pthread_setname_np(r->thread, "recorders");
    return STATUS_OK;
}

static void recorder_free(recorders *r)
{
    while (r->sources) {
        source *next = r->sources->next;
        source_close(r, r->sources);
        r->sources = next;
    }
    for (unsigned i = 0; i < r->dir_count; i++) {
        file_closep(&r->locks[i]);
        free(r->dirs[i]);
    }
    batch_done(&r->logs);
    batch_done(&r->spans);
    batch_done(&r->points);
    free(r);
}

/* ---- the component ---- */

typedef struct {
    text_list directories;
    int64_t metric_interval;
} recorder_settings;

static const option rows[] = {
    { .name = "directories",
      .type = OPTION_TEXTS,
      .offset = offsetof(recorder_settings, directories),
      .required = true,
      .help = "directories of recorders (SONDE_RECORDER_DIR of the programs), made when missing" },
    { .name = "metric_interval",
      .type = OPTION_DURATION,
      .offset = offsetof(recorder_settings, metric_interval),
      .fallback = "15s",
      .min = 0.1,
      .max = 3600,
      .help = "how often a living process's metrics are read" },
};

static status check(const void *settings, char *where, size_t where_size, error *err)
{
    const recorder_settings *s = settings;
    if (s->directories.count <= RECORDER_DIRS_MAX)
        return STATUS_OK;
    str_copy_c(where, where_size, STR("directories"));
    return fail(err, STATUS_LIMIT, "has %u entries, at most %d are read by one receiver",
                s->directories.count, RECORDER_DIRS_MAX);
}

static status recorder_open(void **ret_self, component *c, error *err)
{
    const recorder_settings *s = c->settings;
    recorders *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for the recorder receiver");
    r->component = c;
    r->interval_ns = s->metric_interval;
    batch_init(&r->logs, SIGNAL_LOGS, BATCH_BYTES);
    batch_init(&r->spans, SIGNAL_TRACES, BATCH_BYTES);
    batch_init(&r->points, SIGNAL_METRICS, BATCH_BYTES);
    *ret_self = r;
    return STATUS_OK;
}

/* The locks are taken here: after a reload the former receiver had them until now. */
static status recorder_start(void *self, error *err)
{
    recorders *r = self;
    const recorder_settings *s = r->component->settings;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < s->directories.count && st == STATUS_OK; i++)
        st = lock_dir(r, s->directories.items[i].ptr, err);
    return st == STATUS_OK && r->dir_count ? start(r, err) : st;
}

static void recorder_stop(void *self)
{
    recorders *r = self;
    if (!r->running)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    r->running = false;
    for (unsigned i = 0; i < r->dir_count; i++) {
        close(r->locks[i]);
        r->locks[i] = -1;
    }
    while (r->sources) {
        source *next = r->sources->next;
        source_close(r, r->sources);
        r->sources = next;
    }
}

static void recorder_close(void *self)
{
    recorder_stop(self);
    recorder_free(self);
}

void recorder_get_counts(const component *c, recorder_counts *ret)
{
    const recorders *r = c->self;
    *ret = (recorder_counts){ .files = atomic_load(&r->files),
                              .failed = atomic_load(&r->failed),
                              .finished = atomic_load(&r->finished) };
}

const component_type recorder_receiver = {
    .type = "recorder",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_ALL,
    .help = "what programs with libsonde recorded, living and dead ones, read from their files",
    .options = OPTION_TABLE(rows, recorder_settings),
    .check = check,
    .open = recorder_open,
    .start = recorder_start,
    .stop = recorder_stop,
    .close = recorder_close,
};
