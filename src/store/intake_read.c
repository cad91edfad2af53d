// SPDX-License-Identifier: Apache-2.0
/* Reading the intake log while it is written: only durable records are seen, because a segment's
 * length counts what was synced. A reader keeps its segment's file open and looks at the list of
 * segments only when it has come to the end of what it knew. */
#include "store/intake_internal.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

void intake_place_done(intake_place *p)
{
    file_closep(&p->fd);
    p->fd = -1;
}

/* With the lock: the segment that may have a record after p->after, or NULL. */
static const segment *wanted_segment(const intake *in, const intake_place *p)
{
    for (uint32_t i = 0; i < in->segment_count; i++) {
        const segment *s = &in->segments[i];
        if (p->fd >= 0 && s->first == p->segment && p->offset < s->bytes)
            return s;
        if ((p->fd < 0 || s->first > p->segment) && s->last > p->after && s->last >= s->first)
            return s;
    }
    return NULL;
}

/* Opens the segment that comes next. *ret_end: how far it is durable. */
static status move_on(intake *in, intake_place *p, uint64_t *ret_end, error *err)
{
    char path[4200];
    pthread_mutex_lock(&in->lock);
    const segment *found = wanted_segment(in, p);
    segment s = found ? *found : (segment){ 0 };
    if (!found && in->segment_count && p->fd >= 0 &&
        in->segments[in->segment_count - 1].first == p->segment) /* the rest was damaged */
        p->after = MAX(p->after, in->segments[in->segment_count - 1].last);
    pthread_mutex_unlock(&in->lock);
    if (!found)
        return STATUS_NOT_FOUND;
    *ret_end = s.bytes;
    if (p->fd >= 0 && p->segment == s.first)
        return STATUS_OK;
    segment_path(in, s.first, path, sizeof(path));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) { /* also one that is gone: "not found" would mean that there is no record */
        (void)fail_errno(err, errno, "opening %s", path);
        if (err)
            err->code = STATUS_IO;
        return STATUS_IO;
    }
    file_closep(&p->fd);
    *p = (intake_place){ fd, s.first, SEGMENT_HEADER, p->after };
    return STATUS_OK;
}

static void count_corrupt(intake *in)
{
    pthread_mutex_lock(&in->lock);
    in->stats.corrupt++;
    pthread_mutex_unlock(&in->lock);
}

static status read_payload(const intake_place *p, const record_header *h, buf *payload, error *err)
{
    buf_clear(payload);
    if (!buf_reserve(payload, h->length))
        return fail(err, STATUS_NO_MEMORY, "no memory for a record of %u bytes", h->length);
    payload->len = h->length;
    return file_pread_all(p->fd, payload->ptr, h->length, (off_t)(p->offset + RECORD_HEADER), err);
}

/* One record, or what stands in its place. *ret_found: it is the wanted one. */
static status step(intake *in, intake_place *p, uint64_t end, buf *payload, intake_record *ret,
                   bool *ret_found, error *err)
{
    char bytes[RECORD_HEADER];
    record_header h;
    if (end - p->offset < RECORD_HEADER) {
        count_corrupt(in);
        p->offset = end;
        return STATUS_OK;
    }
    status st = file_pread_all(p->fd, bytes, sizeof(bytes), (off_t)p->offset, err);
    if (st != STATUS_OK)
        return st;
    if (!record_header_parse(bytes, &h) || h.length > end - p->offset - RECORD_HEADER) {
        count_corrupt(in);
        p->offset = intake_find_header(p->fd, p->offset + 1, end);
        return STATUS_OK;
    }
    if (h.sequence > p->after) {
        st = read_payload(p, &h, payload, err);
        if (st != STATUS_OK)
            return st;
        *ret_found = XXH3_64bits(payload->ptr, h.length) == h.payload_sum &&
                     h.signal < SIGNAL_COUNT && h.format == INTAKE_FORMAT_OTLP;
        if (!*ret_found)
            count_corrupt(in);
        p->after = h.sequence;
        *ret = (intake_record){ h.sequence, (signal_kind)h.signal, h.origin, h.received_ns,
                                buf_view(payload) };
    }
    p->offset += RECORD_HEADER + h.length;
    return STATUS_OK;
}

status intake_next(intake *in, intake_place *p, buf *payload, intake_record *ret, error *err)
{
    for (;;) {
        uint64_t end;
        status st = move_on(in, p, &end, err);
        while (st == STATUS_OK && p->offset < end) {
            bool found = false;
            st = step(in, p, end, payload, ret, &found, err);
            if (found)
                return STATUS_OK;
        }
        if (st != STATUS_OK)
            return st;
    }
}

bool intake_wait(intake *in, uint64_t after, int64_t until_mono_ns, const atomic_int *canceled)
{
    struct timespec t = { until_mono_ns / 1000000000, until_mono_ns % 1000000000 };
    int rc = 0;
    pthread_mutex_lock(&in->lock);
    in->waiting++;
    /* A sequence number is given before its record is durable: look at the segments. */
    while (rc == 0 && !atomic_load(canceled)) {
        const segment *s = in->segment_count ? &in->segments[in->segment_count - 1] : NULL;
        if (s && s->last > after && s->last >= s->first)
            break;
        rc = pthread_cond_timedwait(&in->grown, &in->lock, &t);
    }
    in->waiting--;
    bool there = rc == 0 && !atomic_load(canceled);
    pthread_mutex_unlock(&in->lock);
    return there;
}

void intake_wake(intake *in)
{
    pthread_mutex_lock(&in->lock);
    pthread_cond_broadcast(&in->grown);
    pthread_mutex_unlock(&in->lock);
}

uint64_t intake_behind(intake *in, const intake_place *p)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&in->lock);
    for (uint32_t i = 0; i < in->segment_count; i++) {
        const segment *s = &in->segments[i];
        if (p->fd >= 0 && s->first == p->segment)
            bytes += s->bytes - MIN(s->bytes, p->offset);
        else if (s->last > p->after)
            bytes += s->bytes;
    }
    pthread_mutex_unlock(&in->lock);
    return bytes;
}
