// SPDX-License-Identifier: Apache-2.0
/* The writing half of the intake log: senders queue, one committer writes and syncs; see intake.h.
 * The committer owns the newest segment while `writing` is set; trimming leaves it alone then. */
#include "store/intake_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "store/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

enum { GROUP_MAX = 500, GROUP_BYTES = 64 << 20 };
#define TROUBLE_LASTS (5 * NS_PER_S)
#define FREE_ENOUGH   MiB(64)

void record_header_write(char *bytes, const record_header *h)
{
    uint32_t magic = RECORD_MAGIC;
    memset(bytes, 0, RECORD_HEADER);
    memcpy(bytes, &magic, 4);
    memcpy(bytes + 4, &h->length, 4);
    memcpy(bytes + 8, &h->sequence, 8);
    memcpy(bytes + 16, &h->received_ns, 8);
    bytes[24] = (char)h->signal;
    bytes[25] = (char)h->format;
    memcpy(bytes + 26, &h->origin, 2);
    uint32_t sum = (uint32_t)XXH3_64bits(bytes, 28);
    memcpy(bytes + 28, &sum, 4);
    memcpy(bytes + 32, &h->payload_sum, 8);
}

void segment_header_write(char *bytes, uint64_t first)
{
    uint32_t version = INTAKE_VERSION;
    memset(bytes, 0, SEGMENT_HEADER);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = SEGMENT_MAGIC[i];
    memcpy(bytes + 8, &version, 4);
    memcpy(bytes + 16, &first, 8);
    uint64_t sum = XXH3_64bits(bytes, 24);
    memcpy(bytes + 24, &sum, 8);
}

void segment_path(const intake *in, uint64_t first, char *ret, size_t size)
{
    snprintf(ret, size, "%s/%020llu.log", in->dir, (unsigned long long)first);
}

status segment_add(intake *in, uint64_t first, error *err)
{
    if (in->segment_count == in->segment_capacity) {
        uint32_t capacity = in->segment_capacity ? in->segment_capacity * 2 : 16;
        segment *grown = realloc(in->segments, capacity * sizeof(segment));
        if (!grown)
            return fail(err, STATUS_NO_MEMORY, "no memory for the list of intake segments");
        in->segments = grown;
        in->segment_capacity = capacity;
    }
    in->segments[in->segment_count++] = (segment){ .first = first, .last = first - 1 };
    return STATUS_OK;
}

static status fail_write(error *err, int errnum, const char *what)
{
    if (errnum == EFBIG)
        errnum = ENOSPC;
    return fail_errno(err, errnum, "intake log: %s", what);
}

/* Creates a segment that begins with `first`, durable with its name. */
static status start_segment(intake *in, uint64_t first, error *err)
{
    char path[4200], header[SEGMENT_HEADER];
    segment_path(in, first, path, sizeof(path));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_write(err, errno, "creating a segment");
    segment_header_write(header, first);
    status st = STATUS_OK;
    if (pwrite(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
        st = fail_write(err, errno ? errno : ENOSPC, "writing a segment's header");
    if (st == STATUS_OK && fdatasync(fd) != 0)
        st = fail_write(err, errno, "syncing a segment's header");
    if (st == STATUS_OK)
        st = file_sync_dir(in->dir, err);
    pthread_mutex_lock(&in->lock);
    if (st == STATUS_OK)
        st = segment_add(in, first, err);
    if (st == STATUS_OK) {
        in->segments[in->segment_count - 1].bytes = SEGMENT_HEADER;
        in->end = SEGMENT_HEADER;
        in->stats.bytes += SEGMENT_HEADER;
        in->fd = fd;
    }
    pthread_mutex_unlock(&in->lock);
    if (st != STATUS_OK) {
        close(fd);
        unlink(path);
    }
    return st;
}

/* The segment gets no further byte. Only the committer, or intake_trim while nothing is written. */
static void close_segment(intake *in)
{
    if (in->fd >= 0)
        close(in->fd);
    in->fd = -1;
}

static status write_all_v(int fd, struct iovec *v, int count, off_t at, error *err)
{
    while (count) {
        ssize_t n = pwritev(fd, v, MIN(count, 1000), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_write(err, errno, "writing");
        if (n == 0)
            return fail_write(err, ENOSPC, "writing");
        at += n;
        while (count && (size_t)n >= v->iov_len) {
            n -= (ssize_t)v->iov_len;
            v++;
            count--;
        }
        if (count) {
            v->iov_base = (char *)v->iov_base + n;
            v->iov_len -= (size_t)n;
        }
    }
    return STATUS_OK;
}

/* Cuts the newest segment back to its durable length; a segment that cannot be cut is closed. */
static void cut_tail(intake *in, off_t durable)
{
    if (ftruncate(in->fd, durable) != 0)
        close_segment(in);
}

static status write_group(intake *in, intake_entry *first, size_t bytes, error *err)
{
    off_t at = (off_t)in->end;
    struct iovec v[2 * GROUP_MAX];
    int count = 0;
    for (intake_entry *e = first; e; e = e->next) {
        v[count++] = (struct iovec){ e->header, RECORD_HEADER };
        if (e->payload.len)
            v[count++] = (struct iovec){ (void *)e->payload.ptr, e->payload.len };
    }
    status st = write_all_v(in->fd, v, count, at, err);
    if (st != STATUS_OK) {
        cut_tail(in, at);
        return st;
    }
    int64_t began = clock_mono_ns();
    if (fdatasync(in->fd) != 0) {
        st = fail_write(err, errno, "fdatasync");
        cut_tail(in, at); /* as far as possible; nobody was told that the bytes are durable */
        close_segment(in);
        return st;
    }
    int64_t took = clock_mono_ns() - began;
    pthread_mutex_lock(&in->lock);
    in->stats.fsyncs++;
    in->stats.fsync_ns += (uint64_t)took;
    in->stats.bytes += bytes;
    in->queue_bytes -= bytes;
    in->segments[in->segment_count - 1].bytes += bytes;
    in->end += bytes;
    pthread_mutex_unlock(&in->lock);
    return STATUS_OK;
}

static void seal_headers(intake_entry *first)
{
    for (intake_entry *e = first; e; e = e->next) {
        record_header h = { .length = (uint32_t)e->payload.len,
                            .sequence = e->sequence,
                            .received_ns = e->received_ns,
                            .signal = (uint8_t)e->signal,
                            .origin = e->origin,
                            .format = INTAKE_FORMAT_OTLP,
                            .payload_sum = XXH3_64bits(e->payload.ptr, e->payload.len) };
        record_header_write(e->header, &h);
    }
}

static void commit(intake *in, intake_entry *first, size_t bytes)
{
    error err = { 0 };
    seal_headers(first);
    status st = STATUS_OK;
    if (in->fd >= 0 && in->end + bytes > in->segment_bytes)
        close_segment(in);
    if (in->fd < 0)
        st = start_segment(in, first->sequence, &err);
    if (st == STATUS_OK)
        st = write_group(in, first, bytes, &err);
    if (st == STATUS_OK)
        in->hook(in->user, first);
    pthread_mutex_lock(&in->lock);
    in->writing = false;
    if (st != STATUS_OK)
        in->queue_bytes -= bytes;
    in->trouble = st;
    in->trouble_mono_ns = clock_mono_ns();
    str_copy_c(in->trouble_text, sizeof(in->trouble_text), str_c(err.message));
    for (intake_entry *e = first, *next; e; e = next) {
        next = e->next; /* e is the sender's again once done is set and the lock released */
        if (st == STATUS_OK)
            in->segments[in->segment_count - 1].last = e->sequence;
        e->result = err;
        e->result.code = st;
        e->done = true;
        pthread_cond_signal(&e->done_cond);
    }
    if (in->waiting)
        pthread_cond_broadcast(&in->grown);
    pthread_mutex_unlock(&in->lock);
}

/* Takes up to GROUP_MAX entries off the queue. */
static intake_entry *take_group(intake *in, size_t *ret_bytes)
{
    intake_entry *first = in->queue_first, **end = &in->queue_first;
    size_t bytes = 0;
    for (int n = 0; *end && n < GROUP_MAX && bytes < GROUP_BYTES; n++) {
        bytes += RECORD_HEADER + (*end)->payload.len;
        (*end)->sequence = in->next_sequence++;
        end = &(*end)->next;
    }
    in->queue_first = *end;
    *end = NULL;
    if (!in->queue_first)
        in->queue_end = &in->queue_first;
    in->writing = true;
    *ret_bytes = bytes;
    return first;
}

static void *committer_main(void *arg)
{
    intake *in = arg;
    pthread_setname_np(pthread_self(), "sonde-intake");
    pthread_mutex_lock(&in->lock);
    for (;;) {
        while (!in->queue_first && !in->stop)
            pthread_cond_wait(&in->work, &in->lock);
        if (!in->queue_first)
            break;
        size_t bytes;
        intake_entry *group = take_group(in, &bytes);
        pthread_mutex_unlock(&in->lock);
        commit(in, group, bytes);
        pthread_mutex_lock(&in->lock);
    }
    pthread_mutex_unlock(&in->lock);
    return NULL;
}

static status check_room(intake *in, size_t extra, bool inner, error *err)
{
    size_t limit = inner ? in->limit + in->limit / 4 : in->limit;
    if (in->stats.bytes + in->queue_bytes + extra <= limit)
        return STATUS_OK;
    return fail(err, STATUS_BUSY,
                "the intake log holds %llu of %zu bytes, which %s still needs; try again later",
                (unsigned long long)in->stats.bytes, in->limit, in->holder);
}

status intake_append(intake *in, intake_entry *e, error *err)
{
    if (e->payload.len > INTAKE_PAYLOAD_MAX)
        return fail(err, STATUS_LIMIT, "one request of %zu bytes; the intake log takes %zu",
                    e->payload.len, INTAKE_PAYLOAD_MAX);
    if (RECORD_HEADER + SEGMENT_HEADER + e->payload.len > in->limit)
        return fail(err, STATUS_LIMIT, "one request of %zu bytes; the intake log holds %zu",
                    e->payload.len, in->limit);
    e->done = false;
    e->next = NULL;
    pthread_cond_init(&e->done_cond, NULL);
    pthread_mutex_lock(&in->lock);
    status st = in->stop ? fail(err, STATUS_BUSY, "the server is stopping")
                         : check_room(in, RECORD_HEADER + e->payload.len, e->inner, err);
    if (st == STATUS_OK) {
        *in->queue_end = e;
        in->queue_end = &e->next;
        in->queue_bytes += RECORD_HEADER + e->payload.len;
        pthread_cond_signal(&in->work);
        while (!e->done)
            pthread_cond_wait(&e->done_cond, &in->lock);
        st = e->result.code;
        if (st != STATUS_OK && err)
            *err = e->result;
    }
    pthread_mutex_unlock(&in->lock);
    pthread_cond_destroy(&e->done_cond);
    return st;
}

/* Somebody has to try again some time: nobody sends to a server that says that it is not ready. */
static bool trouble_may_be_over(const intake *in)
{
    struct statvfs fs;
    if (clock_mono_ns() - in->trouble_mono_ns < TROUBLE_LASTS)
        return false;
    return in->trouble != STATUS_FULL || statvfs(in->dir, &fs) != 0 ||
           (uint64_t)fs.f_bavail * fs.f_frsize >= FREE_ENOUGH;
}

status intake_ready(intake *in, size_t extra, error *err)
{
    pthread_mutex_lock(&in->lock);
    status st = check_room(in, extra, false, err);
    if (st == STATUS_OK && in->trouble != STATUS_OK && !trouble_may_be_over(in))
        st = fail(err, in->trouble, "%s", in->trouble_text);
    pthread_mutex_unlock(&in->lock);
    return st;
}

void intake_trim(intake *in, uint64_t cursor, const char *holder)
{
    pthread_mutex_lock(&in->lock);
    str_copy_c(in->holder, sizeof(in->holder), str_c(holder));
    uint32_t kept = 0;
    for (uint32_t i = 0; i < in->segment_count; i++) {
        segment *s = &in->segments[i];
        bool newest = i + 1 == in->segment_count;
        bool covered = newest ? s->last <= cursor && s->last >= s->first && !in->writing
                              : in->segments[i + 1].first <= cursor + 1 || s->last <= cursor;
        if (!covered) {
            in->segments[kept++] = *s;
            continue;
        }
        if (newest)
            close_segment(in);
        char path[4200];
        segment_path(in, s->first, path, sizeof(path));
        unlink(path);
        in->stats.bytes -= MIN(in->stats.bytes, s->bytes);
    }
    in->segment_count = kept;
    pthread_mutex_unlock(&in->lock);
}

void intake_get_stats(intake *in, intake_stats *ret)
{
    pthread_mutex_lock(&in->lock);
    *ret = in->stats;
    ret->segments = in->segment_count;
    ret->last_sequence = in->next_sequence - 1;
    pthread_mutex_unlock(&in->lock);
}

/* Signals are the main thread's; SIGXFSZ blocked here makes a file size limit an error code. */
static status start_committer(intake *in, error *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&in->committer, NULL, committer_main, in);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        return fail_errno(err, rc, "starting the intake log's thread");
    in->committer_runs = true;
    return STATUS_OK;
}

static void init(intake *in, const intake_options *o, intake_hook *hook, void *user)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->work, NULL);
    pthread_cond_init(&in->grown, &monotonic);
    pthread_condattr_destroy(&monotonic);
    in->fd = -1;
    in->limit = o->limit;
    in->segment_bytes = MIN(SEGMENT_BYTES, o->limit / 8);
    in->hook = hook;
    in->user = user;
    in->queue_end = &in->queue_first;
    in->next_sequence = MAX(o->cursor, o->highest) + 1;
}

status intake_open(intake **ret, const char *dir, const intake_options *options,
                   intake_reader *reader, intake_hook *hook, void *user, error *err)
{
    intake *in = calloc(1, sizeof(*in));
    if (!in)
        return fail(err, STATUS_NO_MEMORY, "no memory for the intake log");
    init(in, options, hook, user);
    in->dir = strdup(dir);
    status st = in->dir ? make_dirs_durably(dir, err)
                        : fail(err, STATUS_NO_MEMORY, "no memory for the intake log");
    if (st == STATUS_OK)
        st = intake_replay(in, options, reader, err);
    if (st == STATUS_OK)
        st = start_committer(in, err);
    if (st != STATUS_OK) {
        intake_close(in);
        return st;
    }
    *ret = in;
    return STATUS_OK;
}

void intake_close(intake *in)
{
    if (!in)
        return;
    if (in->committer_runs) {
        pthread_mutex_lock(&in->lock);
        in->stop = true;
        pthread_cond_signal(&in->work);
        pthread_mutex_unlock(&in->lock);
        pthread_join(in->committer, NULL);
    }
    close_segment(in);
    pthread_cond_destroy(&in->work);
    pthread_cond_destroy(&in->grown);
    pthread_mutex_destroy(&in->lock);
    free(in->segments);
    free(in->dir);
    free(in);
}
