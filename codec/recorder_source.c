// SPDX-License-Identifier: Apache-2.0
/* Opening and closing a recorder for reading; bytes in and out by pread and pwrite, or from memory
 * of this process; the drainer's lock; who is alive. */
#include "codec/recorder_reader.h"

#include "base/clock.h"
#include "base/file.h"
#include "codec/recorder_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READER_ARENA_MAX MiB(64)

/* Threads of this process write meanwhile, as they do with pread: what was read counts only where
 * its commit word says so. The thread sanitizer cannot know that. */
#ifdef __SANITIZE_THREAD__
TSAN_BLIND static void copy_live(char *to, const char *from, size_t n)
{
    const volatile char *at = from;
    for (size_t i = 0; i < n; i++)
        to[i] = at[i];
}
#else
#define copy_live memcpy
#endif

/* The same by whole words where the place is that of words: a commit word is never read in parts.
 */
TSAN_BLIND static void copy_words(void *ret, const char *from, size_t n)
{
    char *to = ret;
    for (; n >= 8 && (uintptr_t)from % 8 == 0; from += 8, to += 8, n -= 8) {
        uint64_t word = *(const volatile uint64_t *)(const void *)from;
        memcpy(to, &word, 8);
    }
    if (n > 0)
        copy_live(to, from, n);
}

status recorder_read(recorder_reader *r, uint64_t offset, void *ret, size_t n, error *err)
{
    if (offset > r->bytes || n > r->bytes - offset)
        return fail(err, STATUS_CORRUPT, "the recorder ends at byte %llu, before %llu + %zu",
                    (unsigned long long)r->bytes, (unsigned long long)offset, n);
    if (r->base) {
        copy_words(ret, r->base + offset, n);
        return STATUS_OK;
    }
    return file_pread_all(r->fd, ret, n, (off_t)offset, err);
}

/* Words and single bytes, which writers look at, are written whole and last. */
TSAN_BLIND static void put_live(char *to, const void *bytes, size_t n)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (n == 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        *(volatile uint64_t *)(void *)to = word;
    } else if (n == 1) {
        *(volatile char *)to = *(const char *)bytes;
    } else {
        memcpy(to, bytes, n);
    }
}

status source_write(recorder_reader *r, uint64_t offset, const void *bytes, size_t n, error *err)
{
    if (r->options.read_only)
        return fail(err, STATUS_INVALID, "the recorder was opened for reading only");
    if (offset > r->bytes || n > r->bytes - offset)
        return fail(err, STATUS_CORRUPT, "no byte %llu in the recorder",
                    (unsigned long long)offset);
    if (!r->base)
        return file_pwrite_all(r->fd, bytes, n, (off_t)offset, err);
    put_live(r->base + offset, bytes, n);
    return STATUS_OK;
}

uint64_t block_offset(const recorder_reader *r, uint32_t block)
{
    return r->header.blocks_offset + (uint64_t)block * RECORDER_BLOCK_BYTES;
}

static status check_header(const recorder_header *h, error *err)
{
    if (h->magic == 0)
        return fail(err, STATUS_BUSY,
                    "the recorder is just being created, or its process died "
                    "doing so");
    if (h->magic != RECORDER_MAGIC)
        return fail(err, STATUS_CORRUPT, "no recorder file: it begins with other bytes");
    if (h->version != RECORDER_VERSION)
        return fail(err, STATUS_UNSUPPORTED, "recorder version %u; this build reads %u", h->version,
                    RECORDER_VERSION);
    uint64_t table_end = h->table_offset + (uint64_t)h->block_count * 8;
    if (h->block_bytes != RECORDER_BLOCK_BYTES || h->block_count > RECORDER_BLOCKS_MAX ||
        h->table_offset < sizeof(*h) || h->table_offset > MiB(1) || h->blocks_offset < table_end ||
        h->blocks_offset > MiB(4) || h->resource_bytes > RECORDER_RESOURCE_MAX)
        return fail(err, STATUS_CORRUPT, "the recorder's header contradicts itself");
    return STATUS_OK;
}

/* Damage, and files of writers that said nothing, never turn rules off. */
static void load_redact_rules(recorder_reader *r)
{
    const recorder_header *h = &r->header;
    uint32_t values = h->redact_values_bytes, keys = h->redact_keys_bytes;
    if (h->redact_check != recorder_redact_check(values, keys) ||
        values + keys > RECORDER_REDACT_MAX)
        values = keys = 0;
    (void)!redact_rules_init(&r->redact, str_n(h->redact, values), str_n(h->redact + values, keys),
                             NULL);
}

const redact_rules *recorder_redact_rules(const recorder_reader *r)
{
    return &r->redact;
}

static status reader_new(recorder_reader **ret, recorder_reader from, error *err)
{
    recorder_reader *r = malloc(sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for a recorder's reader");
    *r = from;
    arena_init(&r->arena, READER_ARENA_MAX);
    map_init(&r->sites);
    status st = recorder_read(r, 0, &r->header, sizeof(r->header), err);
    if (st == STATUS_OK)
        st = check_header(&r->header, err);
    memset(r->known, 0, sizeof(r->known)); /* the empty text */
    load_redact_rules(r);
    uint8_t boot[16];
    r->same_boot = st == STATUS_OK && recorder_boot_id(boot) &&
                   memcmp(boot, r->header.boot_id, sizeof(boot)) == 0;
    if (st == STATUS_OK && !recorder_decode_resource(r))
        st = fail(err, STATUS_NO_MEMORY, "no memory for the recorder's resource");
    if (st == STATUS_OK)
        st = recorder_refresh(r, err);
    if (st != STATUS_OK) {
        recorder_reader_close(r);
        return st;
    }
    *ret = r;
    return STATUS_OK;
}

static recorder_reader_options options_or_default(const recorder_reader_options *options)
{
    return options ? *options : (recorder_reader_options){ 0 };
}

status recorder_reader_open_fd(recorder_reader **ret, int fd,
                               const recorder_reader_options *options, error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_errno(err, errno, "stat of the recorder");
    return reader_new(ret,
                      (recorder_reader){ .fd = fd,
                                         .bytes = (uint64_t)st.st_size,
                                         .options = options_or_default(options) },
                      err);
}

status recorder_reader_open(recorder_reader **ret, const char *path,
                            const recorder_reader_options *options, error *err)
{
    recorder_reader_options o = options_or_default(options);
    int fd = open(path, (o.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return fail(err, STATUS_INVALID, "%s is not a regular file", path);
    }
    error why = { 0 };
    status st = recorder_reader_open_fd(ret, fd, &o, &why);
    if (st != STATUS_OK) {
        close(fd);
        return fail(err, st, "%s: %s", path, why.message);
    }
    (*ret)->owns_fd = true;
    return STATUS_OK;
}

status recorder_reader_open_memory(recorder_reader **ret, void *base, size_t bytes,
                                   const recorder_reader_options *options, error *err)
{
    return reader_new(
        ret,
        (recorder_reader){
            .fd = -1, .base = base, .bytes = bytes, .options = options_or_default(options) },
        err);
}

status recorder_reader_open_own(recorder_reader **ret, void *base, size_t bytes, int fd,
                                const recorder_reader_options *options, error *err)
{
    recorder_reader from = { .fd = fd, .base = base, .bytes = bytes, .own = true };
    from.options = options_or_default(options);
    return reader_new(ret, from, err);
}

static status set_lock(recorder_reader *r, short type)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = RECORDER_LOCK_DRAINER, .l_len = 1
    };
    if (fcntl(r->fd, F_OFD_SETLK, &lock) == 0)
        return STATUS_OK;
    return errno == EAGAIN || errno == EACCES ? STATUS_BUSY : STATUS_IO;
}

status recorder_reader_lock(recorder_reader *r, error *err)
{
    r->in_place = r->own && r->fd < 0;
    if (r->fd < 0 || r->locked)
        return STATUS_OK;
    status st = set_lock(r, F_WRLCK);
    if (st == STATUS_BUSY)
        return fail(err, st, "another drainer reads this recorder");
    if (st != STATUS_OK)
        return fail_errno(err, errno, "lock the recorder");
    r->locked = true;
    r->in_place = r->own;
    return STATUS_OK;
}

void recorder_reader_close(recorder_reader *r)
{
    if (!r)
        return;
    while (r->cursors) {
        recorder_cursor *next = r->cursors->next;
        free(r->cursors->committed);
        free(r->cursors->at);
        free(r->cursors);
        r->cursors = next;
    }
    for (uint32_t i = 0; i < r->stream_count; i++)
        free(r->streams[i].copy);
    free(r->streams);
    free(r->heap);
    free(r->table);
    free(r->extents);
    free(r->ring_blocks);
    free(r->site_blocks);
    free(r->live_blocks);
    map_done(&r->sites);
    arena_done(&r->arena);
    if (r->locked)
        (void)set_lock(r, F_UNLCK);
    if (r->owns_fd)
        close(r->fd);
    free(r);
}

void recorder_reader_closep(recorder_reader **r)
{
    recorder_reader_close(*r);
}

static bool alive_lock_held(const recorder_reader *r)
{
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = RECORDER_LOCK_ALIVE, .l_len = 1
    };
    return fcntl(r->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* A lock alone is not enough, since a forked child may have inherited it; nor is a pid. */
static bool is_alive(const recorder_reader *r)
{
    const recorder_header *h = &r->header;
    /* The process reads its own, through the descriptor that holds the lock. A program that was
     * started by exec has its predecessor's pid and start, but not the lock. */
    if (r->same_boot && !r->owns_fd && h->pid == (int32_t)getpid())
        return true;
    if (!r->same_boot || r->fd < 0 || !alive_lock_held(r))
        return false;
    bool sees_pid = h->pid_namespace && h->pid_namespace == recorder_pid_namespace();
    bool same_start = sees_pid && recorder_proc_start(h->pid) == h->pid_start;
    return same_start || !sees_pid;
}

uint64_t recorder_used_bytes(const recorder_reader *r)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < r->table_count; i++)
        used += RECORDER_WORD_KIND(r->table[i]) != RECORDER_FREE;
    return used * RECORDER_BLOCK_BYTES;
}

uint64_t recorder_taken_bytes(const recorder_reader *r)
{
    uint64_t taken = 0;
    for (uint32_t i = 0; i < r->extent_count; i++)
        if (i + 1 == r->extent_count || r->extents[i + 1].ring != r->extents[i].ring)
            taken += ((uint64_t)r->extents[i].index + 1) * r->extents[i].blocks;
    return taken * RECORDER_BLOCK_BYTES;
}

recorder_info recorder_reader_info(recorder_reader *r)
{
    recorder_header *h = &r->header;
    recorder_info info = { .service = attrs_get_str(&r->resource, STR("service.name")),
                           .resource = r->resource,
                           .id = h->id,
                           .pid = h->pid,
                           .start_ns = h->start_ns };
    info.same_boot = r->same_boot;
    info.external = h->flags & RECORDER_EXTERNAL;
    if (recorder_refresh(r, NULL) == STATUS_OK)
        info.ended = h->ended != 0;
    info.alive = !info.ended && is_alive(r);
    info.capacity_bytes = (uint64_t)h->block_count * RECORDER_BLOCK_BYTES;
    info.reserved_bytes = (uint64_t)r->table_count * RECORDER_BLOCK_BYTES;
    info.used_bytes = recorder_used_bytes(r);
    return info;
}

int64_t recorder_horizon(recorder_reader *r)
{
    recorder_info info = recorder_reader_info(r);
    return info.alive && !info.ended ? clock_now_ns() - RECORDER_WINDOW_NS : INT64_MAX;
}

/* ---- drops ---- */

static uint64_t drop_offset(signal_kind signal, recorder_drop reason)
{
    return offsetof(recorder_header, drops) +
           ((uint64_t)signal * RECORDER_REASONS + reason) * sizeof(uint64_t);
}

uint64_t recorder_drops(recorder_reader *r, signal_kind signal, recorder_drop reason)
{
    uint64_t n;
    return recorder_read(r, drop_offset(signal, reason), &n, sizeof(n), NULL) == STATUS_OK ? n : 0;
}

uint64_t recorder_metric_root(recorder_reader *r)
{
    uint64_t root;
    return recorder_read(r, offsetof(recorder_header, metric_root), &root, sizeof(root), NULL) ==
                   STATUS_OK
               ? root
               : 0;
}

/* The process adds to most reasons by itself; those of the drainer have no other writer. */
status recorder_drops_add(recorder_reader *r, signal_kind signal, recorder_drop reason, uint64_t n,
                          error *err)
{
    uint64_t sum = recorder_drops(r, signal, reason) + n;
    return source_write(r, drop_offset(signal, reason), &sum, sizeof(sum), err);
}

const char *recorder_drop_label(recorder_drop reason)
{
    static const char *const labels[] = {
#define X(code, label, meaning) label,
        RECORDER_DROP_REASONS(X)
#undef X
    };
    return reason < RECORDER_DROP_COUNT ? labels[reason] : "other";
}

bool recorder_lock_is_held(const char *path, int byte)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return true;
    bool held = fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
    close(fd);
    return held;
}
