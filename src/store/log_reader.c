// SPDX-License-Identifier: Apache-2.0
/* The intake log's readers beside the store, and their places on disk (docs/format/intake.md). A
 * place is two slots that are written in turn, so that a torn one leaves the other; a saved state
 * replaces the whole file. */
#include "store/store_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "store/bytes.h"
#include "store/durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum { SLOT = 32, SLOTS = 2 * SLOT, STATE_MAX = 64 << 20, NAME_MAX_BYTES = 100 };
#define CURSOR_MAGIC UINT64_C(0x31727563646e6f73) /* "sondcur1" */

struct log_reader {
    log_reader *next;
    store *s;
    char *name; /* as it was given; of a place that nobody opened: the file's */
    char file[4 * NAME_MAX_BYTES];
    bool open, passing;
    int fd; /* of the file with its place; -1: passing, or not open */
    uint64_t writes;
    atomic_ullong done; /* all records up to it are */
    atomic_int canceled;
    pthread_mutex_t place_lock; /* place: the reader's, and whoever asks how far behind it is */
    intake_place place;
    buf payload, state;
};

/* ---- places on disk ---- */

/* Letters, digits, '-', '_', '.' and '@' stand for themselves, all else as %XX. */
static void file_name(char *ret, size_t size, const char *name)
{
    size_t n = 0;
    for (const char *c = name; *c && n + 4 < size; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-_@", *c) || (*c == '.' && c != name);
        n += (size_t)snprintf(ret + n, size - n, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
    ret[n] = 0;
}

static void put_slot(buf *b, uint64_t writes, uint64_t done)
{
    size_t from = b->len;
    put_u64(b, CURSOR_MAGIC);
    put_u64(b, writes);
    put_u64(b, done);
    put_u64(b, b->failed ? 0 : XXH3_64bits(b->ptr + from, 24));
}

/* The newer of the slots that check out. */
static bool read_slots(str bytes, uint64_t *ret_writes, uint64_t *ret_done)
{
    bool found = false;
    for (size_t at = 0; at < SLOTS && at + SLOT <= bytes.len; at += SLOT) {
        bytes_reader r = bytes_read(str_slice(bytes, at, at + SLOT));
        uint64_t magic = get_u64(&r), writes = get_u64(&r), done = get_u64(&r), sum = get_u64(&r);
        if (magic != CURSOR_MAGIC || sum != XXH3_64bits(bytes.ptr + at, 24) ||
            (found && writes < *ret_writes))
            continue;
        *ret_writes = writes;
        *ret_done = done;
        found = true;
    }
    return found;
}

static status cursors_path(const store *s, const char *file, char *ret, error *err)
{
    if (snprintf(ret, PATH_MAX, "%s/cursors%s%s", s->dir, file ? "/" : "", file ? file : "") >=
        PATH_MAX)
        return fail(err, STATUS_INVALID, "the path %s is too long", s->dir);
    return STATUS_OK;
}

static void put_state(buf *b, str state)
{
    put_u64(b, state.len);
    put_u64(b, XXH3_64bits(state.ptr, state.len));
    buf_str(b, state);
}

static bool take_state(log_reader *r, str bytes)
{
    bytes_reader in = bytes_read(str_slice(bytes, SLOTS, bytes.len));
    if (bytes.len <= SLOTS)
        return true;
    uint64_t length = get_u64(&in), sum = get_u64(&in);
    str state = get_bytes(&in, length);
    if (in.failed || sum != XXH3_64bits(state.ptr, state.len))
        return false;
    buf_clear(&r->state);
    buf_str(&r->state, state);
    return true;
}

/* STATUS_NOT_FOUND: it has no file yet. */
static status load(log_reader *r, error *err)
{
    char path[PATH_MAX];
    uint64_t done = 0;
    buf bytes;
    buf_init(&bytes, STATE_MAX + KiB(1));
    status st = cursors_path(r->s, r->file, path, err);
    if (st == STATUS_OK)
        st = file_read(path, &bytes, err);
    if (st == STATUS_OK &&
        (!read_slots(buf_view(&bytes), &r->writes, &done) || !take_state(r, buf_view(&bytes))))
        st = fail(err, STATUS_CORRUPT,
                  "%s is damaged: move it away, then %s starts at the log's end", path, r->name);
    atomic_store(&r->done, done);
    buf_done(&bytes);
    return st;
}

static status open_file(log_reader *r, error *err)
{
    char path[PATH_MAX];
    status st = cursors_path(r->s, r->file, path, err);
    if (st != STATUS_OK)
        return st;
    file_closep(&r->fd);
    r->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return r->fd >= 0 ? STATUS_OK : fail_errno(err, errno, "opening %s", path);
}

static status replace_file(log_reader *r, uint64_t sequence, str state, error *err)
{
    char dir[PATH_MAX];
    buf out;
    buf_init(&out, STATE_MAX + KiB(1));
    r->writes++;
    put_slot(&out, r->writes, sequence);
    put_slot(&out, r->writes, sequence);
    put_state(&out, state);
    status st = buf_check(&out, err, "the state of a reader of the log");
    if (st == STATUS_OK)
        st = cursors_path(r->s, NULL, dir, err);
    if (st == STATUS_OK)
        st = file_replace(dir, r->file, buf_view(&out), err);
    buf_done(&out);
    return st == STATUS_OK ? open_file(r, err) : st;
}

/* ---- the list ---- */

static void reader_free(log_reader *r)
{
    file_closep(&r->fd);
    intake_place_done(&r->place);
    pthread_mutex_destroy(&r->place_lock);
    buf_done(&r->payload);
    buf_done(&r->state);
    free(r->name);
    free(r);
}

static log_reader *reader_new(store *s, const char *name)
{
    log_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->s = s;
    r->fd = -1;
    r->place.fd = -1;
    r->name = strdup(name);
    pthread_mutex_init(&r->place_lock, NULL);
    buf_init(&r->payload, INTAKE_PAYLOAD_MAX);
    buf_init(&r->state, STATE_MAX);
    if (r->name)
        return r;
    reader_free(r);
    return NULL;
}

status log_readers_load(store *s, uint64_t *ret_keep, uint64_t *ret_highest, error *err)
{
    char dir[PATH_MAX];
    *ret_keep = UINT64_MAX;
    *ret_highest = 0;
    status st = cursors_path(s, NULL, dir, err);
    if (st == STATUS_OK)
        st = make_dirs_durably(dir, err);
    DIR *d = st == STATUS_OK ? opendir(dir) : NULL;
    for (struct dirent *e; d && st == STATUS_OK && (e = readdir(d));) {
        str file = str_c(e->d_name);
        if (file.ptr[0] == '.' || str_ends(file, STR(".tmp")))
            continue;
        log_reader *r = reader_new(s, e->d_name);
        if (!r) {
            st = fail(err, STATUS_NO_MEMORY, "no memory for the readers of the log");
            break;
        }
        str_copy_c(r->file, sizeof(r->file), file);
        r->next = s->readers;
        s->readers = r;
        st = load(r, err);
        *ret_keep = MIN(*ret_keep, atomic_load(&r->done));
        *ret_highest = MAX(*ret_highest, atomic_load(&r->done));
    }
    if (d)
        closedir(d);
    return st;
}

void log_readers_done(store *s)
{
    while (s->readers) {
        log_reader *next = s->readers->next;
        reader_free(s->readers);
        s->readers = next;
    }
}

void log_trim(store *s)
{
    char holder[200] = "the store";
    pthread_mutex_lock(&s->readers_lock);
    pthread_mutex_lock(&s->lock);
    uint64_t cursor = s->cursor;
    pthread_mutex_unlock(&s->lock);
    for (const log_reader *r = s->readers; r; r = r->next) {
        uint64_t done = atomic_load(&r->done);
        if (r->passing || done >= cursor)
            continue;
        cursor = done;
        snprintf(holder, sizeof(holder), "%s", r->name);
    }
    intake_trim(s->intake, cursor, holder);
    pthread_mutex_unlock(&s->readers_lock);
}

/* ---- opening and closing ---- */

/* Where it starts, with the list's lock held. */
static status begin(log_reader *r, error *err)
{
    intake_stats in;
    status st = r->passing ? STATUS_NOT_FOUND : load(r, err);
    if (st == STATUS_NOT_FOUND) {
        intake_get_stats(r->s->intake, &in);
        atomic_store(&r->done, in.last_sequence);
        st = r->passing ? STATUS_OK : replace_file(r, in.last_sequence, STR_EMPTY, err);
    } else if (st == STATUS_OK) {
        st = open_file(r, err);
    }
    r->place.after = atomic_load(&r->done);
    return st;
}

status log_reader_open(log_reader **ret, store *s, const char *name, bool passing, error *err)
{
    if (!*name || strlen(name) > NAME_MAX_BYTES)
        return fail(err, STATUS_INVALID, "the name %.40s… of a reader of the log is longer than %d",
                    name, NAME_MAX_BYTES);
    log_reader *r = reader_new(s, name);
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for a reader of the log");
    file_name(r->file, sizeof(r->file), name);
    r->open = true;
    r->passing = passing;
    pthread_mutex_lock(&s->readers_lock);
    log_reader **at = &s->readers;
    while (*at && (passing || (*at)->passing || strcmp((*at)->file, r->file) != 0))
        at = &(*at)->next;
    status st = *at && (*at)->open ? fail(err, STATUS_BUSY, "%s reads the log already", name)
                                   : begin(r, err);
    if (st == STATUS_OK) {
        log_reader *place = *at; /* the one that stood for it */
        r->next = place ? place->next : NULL;
        *at = r;
        if (place)
            reader_free(place);
    }
    pthread_mutex_unlock(&s->readers_lock);
    if (st != STATUS_OK) {
        reader_free(r);
        return st;
    }
    *ret = r;
    return STATUS_OK;
}

void log_reader_close(log_reader *r)
{
    if (!r)
        return;
    store *s = r->s;
    pthread_mutex_lock(&s->readers_lock);
    if (!r->passing) { /* its place stays, and holds what it has not passed */
        r->open = false;
        file_closep(&r->fd);
        intake_place_done(&r->place);
        pthread_mutex_unlock(&s->readers_lock);
        return;
    }
    log_reader **at = &s->readers;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    pthread_mutex_unlock(&s->readers_lock);
    reader_free(r);
}

static bool is_named(const log_reader *r, const char *const *names, uint32_t count)
{
    char file[sizeof(r->file)];
    for (uint32_t i = 0; i < count; i++) {
        file_name(file, sizeof(file), names[i]);
        if (strcmp(file, r->file) == 0)
            return true;
    }
    return false;
}

status log_readers_keep(store *s, const char *const *names, uint32_t count,
                        void (*forgotten)(void *user, const char *name, uint64_t records),
                        void *user, error *err)
{
    char path[PATH_MAX];
    intake_stats in;
    status st = STATUS_OK;
    intake_get_stats(s->intake, &in);
    pthread_mutex_lock(&s->readers_lock);
    for (log_reader **at = &s->readers; *at && st == STATUS_OK;) {
        log_reader *r = *at;
        if (r->open || r->passing || is_named(r, names, count)) {
            at = &r->next;
            continue;
        }
        st = cursors_path(s, r->file, path, err);
        if (st == STATUS_OK && unlink(path) != 0 && errno != ENOENT)
            st = fail_errno(err, errno, "removing %s", path);
        if (st != STATUS_OK)
            break;
        if (forgotten)
            forgotten(user, r->name, in.last_sequence - atomic_load(&r->done));
        *at = r->next;
        reader_free(r);
    }
    pthread_mutex_unlock(&s->readers_lock);
    log_trim(s);
    return st;
}

/* ---- reading ---- */

status log_reader_next(log_reader *r, int64_t wait_ns, log_record *ret, error *err)
{
    int64_t until = clock_mono_ns() + wait_ns;
    intake_record record;
    for (;;) {
        if (atomic_load(&r->canceled))
            return fail(err, STATUS_CANCELED, "stopping");
        pthread_mutex_lock(&r->place_lock);
        status st = intake_next(r->s->intake, &r->place, &r->payload, &record, err);
        uint64_t after = r->place.after;
        pthread_mutex_unlock(&r->place_lock);
        if (st == STATUS_OK) {
            *ret = (log_record){ record.sequence, record.signal, record.origin, record.received_ns,
                                 record.payload };
            return STATUS_OK;
        }
        if (st != STATUS_NOT_FOUND)
            return st;
        if (wait_ns <= 0 || !intake_wait(r->s->intake, after, until, &r->canceled))
            return atomic_load(&r->canceled) ? fail(err, STATUS_CANCELED, "stopping")
                                             : fail(err, STATUS_NOT_FOUND, "nothing came");
    }
}

static void moved(log_reader *r, uint64_t sequence)
{
    atomic_store(&r->done, sequence);
    log_trim(r->s);
}

status log_reader_commit(log_reader *r, uint64_t sequence, error *err)
{
    status st = STATUS_OK;
    if (!r->passing) {
        buf slot;
        buf_init(&slot, SLOT);
        put_slot(&slot, r->writes + 1, sequence);
        st = buf_check(&slot, err, "a place in the log");
        if (st == STATUS_OK)
            st = file_pwrite_all(r->fd, slot.ptr, SLOT, (off_t)((r->writes + 1) % 2 * SLOT), err);
        r->writes += st == STATUS_OK;
        buf_done(&slot);
    }
    if (st == STATUS_OK)
        moved(r, sequence);
    return st;
}

status log_reader_save(log_reader *r, uint64_t sequence, str state, error *err)
{
    status st = r->passing ? STATUS_OK : replace_file(r, sequence, state, err);
    if (st == STATUS_OK)
        moved(r, sequence);
    return st;
}

str log_reader_state(const log_reader *r)
{
    return buf_view(&r->state);
}

uint64_t log_reader_position(const log_reader *r)
{
    return atomic_load(&r->done);
}

void log_reader_rewind(log_reader *r)
{
    pthread_mutex_lock(&r->place_lock);
    intake_place_done(&r->place);
    r->place = (intake_place){ .fd = -1, .after = atomic_load(&r->done) };
    pthread_mutex_unlock(&r->place_lock);
}

void log_reader_cancel(log_reader *r)
{
    atomic_store(&r->canceled, 1);
    intake_wake(r->s->intake);
}

log_behind log_reader_behind(log_reader *r)
{
    intake_stats in;
    log_behind ret = { 0 };
    intake_get_stats(r->s->intake, &in);
    uint64_t done = atomic_load(&r->done);
    ret.records = in.last_sequence > done ? in.last_sequence - done : 0;
    pthread_mutex_lock(&r->place_lock);
    ret.bytes = intake_behind(r->s->intake, &r->place);
    pthread_mutex_unlock(&r->place_lock);
    return ret;
}
