// SPDX-License-Identifier: Apache-2.0
/* The recorder receiver; see recorder.h. */
#include "pipeline/recorder.h"

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
enum { SOURCES_MAX = 1024, INTERVAL_S = 15 };
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

struct recorder_receiver {
    store *store;
    char *dirs[RECORDER_DIRS_MAX];
    int locks[RECORDER_DIRS_MAX];
    unsigned dir_count;
    int64_t interval_ns;
    recorder_report *report;
    source *sources;
    unsigned source_count;
    batch logs, spans, points;

    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop; /* under the lock */

    atomic_uint_fast64_t files, received[SIGNAL_COUNT], refused[SIGNAL_COUNT], failed, finished;
};

static void say(const recorder_receiver *r, recorder_news news, const source *s, const char *detail)
{
    if (r->report)
        r->report(news, s->path, detail);
}

/* ---- finding recorders ---- */

static bool is_known(const recorder_receiver *r, const char *path)
{
    for (const source *s = r->sources; s; s = s->next)
        if (strcmp(s->path, path) == 0)
            return true;
    return false;
}

static void source_close(recorder_receiver *r, source *s)
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

static void add_source(recorder_receiver *r, const char *path)
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
            say(r, RECORDER_SAYS_NOT_READ, s, err.message);
        source_close(r, s);
        return;
    }
    say(r, RECORDER_SAYS_FOUND, s, "");
    s->next = r->sources;
    r->sources = s;
    atomic_store(&r->files, r->source_count);
}

static void scan(recorder_receiver *r, const char *dir)
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
static status give(recorder_receiver *r, source *s, const batch *b, error *err)
{
    ingest_result result = { 0 };
    uint32_t rows = batch_row_count(b);
    if (rows == 0)
        return STATUS_OK;
    status st = store_ingest(r->store, b, STR_EMPTY, &result, err);
    if (st == STATUS_INVALID || st == STATUS_LIMIT || st == STATUS_UNSUPPORTED) {
        say(r, RECORDER_SAYS_REFUSED, s, err->message);
        result.rejected = rows;
        st = STATUS_OK;
    }
    if (st != STATUS_OK)
        return st;
    atomic_fetch_add(&r->received[b->signal], rows - result.rejected);
    atomic_fetch_add(&r->refused[b->signal], result.rejected);
    return result.rejected ? recorder_drops_add(s->reader, b->signal, RECORDER_DROP_EXPORT,
                                                result.rejected, err)
                           : STATUS_OK;
}

static status read_rows(recorder_receiver *r, source *s, bool alive, uint32_t *ret_rows, error *err)
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

static status read_metrics(recorder_receiver *r, source *s, error *err)
{
    batch_clear(&r->points);
    status st = recorder_metrics_read(s->reader, &r->points, err);
    if (st == STATUS_LIMIT)
        st = STATUS_OK; /* what was read until then is whole */
    return st == STATUS_OK ? give(r, s, &r->points, err) : st;
}

/* All records of a dead process were read: what it was doing, and its last metric values. */
static status read_last(recorder_receiver *r, source *s, bool ended, error *err)
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
static status step(recorder_receiver *r, source *s, bool *ret_moved, bool *ret_done, error *err)
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

static void put_off(recorder_receiver *r, source *s, const error *err)
{
    atomic_fetch_add(&r->failed, 1);
    s->retry_ns = clock_mono_ns() + RETRY_MS * NS_PER_MS;
    if (!s->warned)
        say(r, RECORDER_SAYS_PUT_OFF, s, err->message);
    s->warned = true;
}

/* The name goes first, while the lock is held: nobody else can begin to read it again. */
static void finish(recorder_receiver *r, source *s)
{
    error err;
    if (unlink(s->path) == 0) {
        say(r, RECORDER_SAYS_FINISHED, s, "");
    } else {
        (void)fail_errno(&err, errno, "the file cannot be removed");
        say(r, RECORDER_SAYS_FINISHED, s, err.message);
    }
    atomic_fetch_add(&r->finished, 1);
    source_close(r, s);
}

/* True when something was read. */
static bool step_all(recorder_receiver *r)
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

static bool wait_or_stop(recorder_receiver *r, int ms)
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
    recorder_receiver *r = arg;
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

static status lock_dir(recorder_receiver *r, const char *dir, error *err)
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

static status start(recorder_receiver *r, error *err)
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

status recorder_receiver_new(recorder_receiver **ret, store *s,
                             const recorder_receiver_options *options, error *err)
{
    recorder_receiver *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for the recorder receiver");
    r->store = s;
    r->report = options->report;
    r->interval_ns =
        options->metric_interval_ns ? options->metric_interval_ns : INTERVAL_S * NS_PER_S;
    batch_init(&r->logs, SIGNAL_LOGS, BATCH_BYTES);
    batch_init(&r->spans, SIGNAL_TRACES, BATCH_BYTES);
    batch_init(&r->points, SIGNAL_METRICS, BATCH_BYTES);
    status st = STATUS_OK;
    for (unsigned i = 0; i < options->dir_count && st == STATUS_OK; i++)
        st = lock_dir(r, options->dirs[i], err);
    if (st == STATUS_OK)
        st = start(r, err);
    if (st != STATUS_OK) {
        recorder_receiver_free(r);
        return st;
    }
    *ret = r;
    return STATUS_OK;
}

void recorder_receiver_free(recorder_receiver *r)
{
    if (!r)
        return;
    if (r->running) {
        pthread_mutex_lock(&r->lock);
        r->stop = true;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
    }
    while (r->sources) {
        source *next = r->sources->next;
        source_close(r, r->sources);
        r->sources = next;
    }
    for (unsigned i = 0; i < r->dir_count; i++) {
        close(r->locks[i]);
        free(r->dirs[i]);
    }
    batch_done(&r->logs);
    batch_done(&r->spans);
    batch_done(&r->points);
    free(r);
}

void recorder_receiver_get_counts(const recorder_receiver *r, recorder_receiver_counts *ret)
{
    *ret = (recorder_receiver_counts){ .files = atomic_load(&r->files),
                                       .failed = atomic_load(&r->failed),
                                       .finished = atomic_load(&r->finished) };
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        ret->received[s] = atomic_load(&r->received[s]);
        ret->refused[s] = atomic_load(&r->refused[s]);
    }
}
