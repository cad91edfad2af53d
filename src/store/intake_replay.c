// SPDX-License-Identifier: Apache-2.0
/* The reading half of the intake log, at open only: streams the records after the cursor, one at a
 * time, and decides what is a torn tail and what is corruption; see docs/format/intake.md. */
#include "store/intake_internal.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { SCAN_WINDOW = 64 << 10 };

bool record_header_parse(const char *bytes, record_header *ret)
{
    uint32_t magic, sum;
    memcpy(&magic, bytes, 4);
    memcpy(&sum, bytes + 28, 4);
    if (magic != RECORD_MAGIC || sum != (uint32_t)XXH3_64bits(bytes, 28))
        return false;
    memcpy(&ret->length, bytes + 4, 4);
    memcpy(&ret->sequence, bytes + 8, 8);
    memcpy(&ret->received_ns, bytes + 16, 8);
    ret->signal = (uint8_t)bytes[24];
    ret->format = (uint8_t)bytes[25];
    memcpy(&ret->origin, bytes + 26, 2);
    memcpy(&ret->payload_sum, bytes + 32, 8);
    return ret->length <= INTAKE_PAYLOAD_MAX;
}

static int by_first(const void *a, const void *b)
{
    const segment *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static status list_segments(intake *in, error *err)
{
    DIR *d = opendir(in->dir);
    if (!d)
        return fail_errno(err, errno, "opening the directory %s", in->dir);
    status st = STATUS_OK;
    for (struct dirent *e; st == STATUS_OK && (e = readdir(d));) {
        str name = str_c(e->d_name);
        uint64_t first;
        if (name.len != 24 || !str_ends(name, STR(".log")) ||
            !str_to_u64(str_slice(name, 0, 20), &first) || first == 0)
            continue;
        struct stat info;
        if (fstatat(dirfd(d), e->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
            continue;
        st = segment_add(in, first, err);
        if (st == STATUS_OK)
            in->segments[in->segment_count - 1].bytes = (uint64_t)info.st_size;
    }
    closedir(d);
    if (in->segment_count)
        qsort(in->segments, in->segment_count, sizeof(segment), by_first);
    return st;
}

uint64_t intake_find_header(int fd, uint64_t at, uint64_t end)
{
    static const uint32_t magic = RECORD_MAGIC;
    char window[SCAN_WINDOW];
    while (at + RECORD_HEADER <= end) {
        ssize_t n = pread(fd, window, sizeof(window), (off_t)at);
        if (n < RECORD_HEADER)
            break;
        size_t last = (size_t)n - RECORD_HEADER;
        for (size_t i = 0; i <= last; i++) {
            const char *hit = memmem(window + i, (size_t)n - i, &magic, 4);
            i = hit ? (size_t)(hit - window) : last + 1;
            record_header h;
            if (i <= last && record_header_parse(window + i, &h))
                return at + i;
        }
        at += last + 1;
    }
    return end;
}

typedef struct {
    intake *in;
    segment *seg;
    int fd;
    uint64_t cursor;
    intake_reader *reader;
    buf payload;
    uint64_t good_end;  /* after the last record that checked out */
    uint64_t bad_spots; /* since then */
} replay;

static status read_record(replay *rp, const record_header *h, uint64_t at, error *err)
{
    if (h->sequence <= rp->cursor) {
        rp->good_end = at + RECORD_HEADER + h->length;
        return STATUS_OK;
    }
    buf_clear(&rp->payload);
    if (!buf_reserve(&rp->payload, h->length))
        return fail(err, STATUS_NO_MEMORY, "no memory for a record of %u bytes", h->length);
    status st =
        file_pread_all(rp->fd, rp->payload.ptr, h->length, (off_t)(at + RECORD_HEADER), err);
    if (st != STATUS_OK)
        return st;
    if (XXH3_64bits(rp->payload.ptr, h->length) != h->payload_sum || h->signal >= SIGNAL_COUNT ||
        h->format != INTAKE_FORMAT_OTLP) {
        rp->bad_spots++;
        return STATUS_OK;
    }
    rp->good_end = at + RECORD_HEADER + h->length;
    rp->in->stats.corrupt += rp->bad_spots;
    rp->bad_spots = 0;
    rp->in->stats.replayed++;
    intake_record r = { .sequence = h->sequence,
                        .signal = (signal_kind)h->signal,
                        .origin = h->origin,
                        .received_ns = h->received_ns,
                        .payload = str_n(rp->payload.ptr, h->length) };
    return rp->reader(rp->in->user, &r, err);
}

static status read_records(replay *rp, error *err)
{
    uint64_t end = rp->seg->bytes, at = SEGMENT_HEADER;
    rp->good_end = at;
    while (at + RECORD_HEADER <= end) {
        char bytes[RECORD_HEADER];
        record_header h;
        status st = file_pread_all(rp->fd, bytes, sizeof(bytes), (off_t)at, err);
        if (st != STATUS_OK)
            return st;
        if (!record_header_parse(bytes, &h)) {
            rp->bad_spots++;
            at = intake_find_header(rp->fd, at + 1, end);
            continue;
        }
        if (h.length > end - at - RECORD_HEADER) {
            rp->bad_spots++;
            at = intake_find_header(rp->fd, at + 1, end);
            continue;
        }
        st = read_record(rp, &h, at, err);
        if (st != STATUS_OK)
            return st;
        rp->seg->last = MAX(rp->seg->last, h.sequence);
        rp->in->next_sequence = MAX(rp->in->next_sequence, h.sequence + 1);
        at += RECORD_HEADER + h.length;
    }
    return STATUS_OK;
}

static status check_segment_header(replay *rp, bool newest, bool *ret_usable, error *err)
{
    char bytes[SEGMENT_HEADER];
    uint64_t sum;
    uint32_t version;
    *ret_usable = false;
    if (rp->seg->bytes < SEGMENT_HEADER) {
        rp->in->stats.corrupt += newest ? 0 : 1;
        return STATUS_OK;
    }
    status st = file_pread_all(rp->fd, bytes, sizeof(bytes), 0, err);
    if (st != STATUS_OK)
        return st;
    memcpy(&version, bytes + 8, 4);
    memcpy(&sum, bytes + 24, 8);
    if (memcmp(bytes, SEGMENT_MAGIC, 8) != 0 || sum != XXH3_64bits(bytes, 24)) {
        /* The records have checksums of their own: read on. */
        rp->in->stats.corrupt++;
    } else if (version != INTAKE_VERSION) {
        return fail(err, STATUS_UNSUPPORTED,
                    "intake segment %020llu.log has format version %u; this build reads %d",
                    (unsigned long long)rp->seg->first, version, INTAKE_VERSION);
    }
    *ret_usable = true;
    return STATUS_OK;
}

static status replay_segment(replay *rp, uint32_t index, error *err)
{
    bool newest = index + 1 == rp->in->segment_count, usable;
    rp->seg = &rp->in->segments[index];
    char path[4200];
    segment_path(rp->in, rp->seg->first, path, sizeof(path));
    AUTO(file_closep) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail_errno(err, errno, "opening %s", path);
    rp->fd = fd;
    rp->bad_spots = 0;
    rp->good_end = 0;
    status st = check_segment_header(rp, newest, &usable, err);
    if (st == STATUS_OK && usable)
        st = read_records(rp, err);
    if (st != STATUS_OK)
        return st;
    uint64_t tail = rp->seg->bytes - rp->good_end;
    if (tail && newest) {
        /* Cut, so that it is not taken for corruption when later segments exist. */
        if (ftruncate(fd, (off_t)rp->good_end) == 0 && fdatasync(fd) == 0)
            rp->seg->bytes = rp->good_end;
    } else if (tail) {
        rp->in->stats.corrupt += MAX(rp->bad_spots, 1);
    }
    if (newest && rp->seg->last < rp->seg->first) {
        unlink(path);
        rp->seg->bytes = 0;
        rp->in->segment_count--;
    }
    return STATUS_OK;
}

status intake_replay(intake *in, const intake_options *options, intake_reader *reader, error *err)
{
    uint64_t cursor = options->cursor;
    status st = list_segments(in, err);
    if (st != STATUS_OK)
        return st;
    replay rp = { .in = in, .cursor = cursor, .reader = reader };
    buf_init(&rp.payload, INTAKE_PAYLOAD_MAX);
    for (uint32_t i = 0; st == STATUS_OK && i < in->segment_count; i++) {
        segment *s = &in->segments[i];
        if (i + 1 < in->segment_count && in->segments[i + 1].first <= cursor + 1)
            s->last = in->segments[i + 1].first - 1;
        else
            st = replay_segment(&rp, i, err);
    }
    buf_done(&rp.payload);
    for (uint32_t i = 0; i < in->segment_count; i++)
        in->stats.bytes += in->segments[i].bytes;
    if (st == STATUS_OK)
        intake_trim(in, MIN(cursor, options->keep), "the store");
    return st;
}
