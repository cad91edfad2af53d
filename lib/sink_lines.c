// SPDX-License-Identifier: Apache-2.0
/* Lines to stdout, stderr or a rotated file; see sink_lines.h. The thread that calls has SIGPIPE
 * blocked, so a reader that went away costs an error and not the process. */
#include "lib/sink_lines.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* When the open file was made, wall clock; now, where that is not known. */
static int64_t born_ns(int fd)
{
#ifdef STATX_BTIME
    struct statx about;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &about) == 0 && about.stx_mask & STATX_BTIME)
        return about.stx_btime.tv_sec * NS_PER_S + about.stx_btime.tv_nsec;
#else
    (void)fd; /* a C library without it */
#endif
    return clock_now_ns();
}

static status file_open(line_sink *s, error *err)
{
    struct stat about;
    s->fd = open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (s->fd < 0)
        return fail_errno(err, errno, "the log file %s cannot be opened", s->path);
    s->file_bytes = fstat(s->fd, &about) == 0 ? (uint64_t)about.st_size : 0;
    s->checked_ns = clock_mono_ns();
    s->born_ns = s->file_bytes ? born_ns(s->fd) : clock_now_ns();
    return STATUS_OK;
}

status line_sink_init(line_sink *s, const line_sink_options *options, error *err)
{
    log_output_kind kind = options->kind;
    *s = (line_sink){ .kind = kind, .fd = -1 };
    buf_init(&s->pending, LINES_PENDING_MAX);
    if (kind == LOG_TO_FILE) {
        s->rotate_bytes = options->rotate_bytes;
        s->rotate_age_ns = options->rotate_age_s * NS_PER_S;
        s->rotate_keep = options->rotate_keep;
        s->path = strndup(options->path.ptr, options->path.len);
        if (!s->path)
            return fail(err, STATUS_NO_MEMORY, "no memory for the log file's name");
        return file_open(s, err);
    }
    if (kind != LOG_TO_NONE) {
        struct stat about;
        s->fd = kind == LOG_TO_STDERR ? STDERR_FILENO : STDOUT_FILENO;
        s->is_pipe = fstat(s->fd, &about) == 0 && !S_ISREG(about.st_mode);
    }
    return STATUS_OK;
}

void line_sink_done(line_sink *s)
{
    if (s->kind == LOG_TO_FILE && s->fd >= 0)
        close(s->fd);
    free(s->path);
    buf_done(&s->pending);
    *s = (line_sink){ .fd = -1 };
}

/* PATH.2 becomes PATH.3 and so on, PATH becomes PATH.1, and a new PATH begins. When the names
 * cannot be changed, the file goes on growing: a long file is better than lost lines. */
static void rotate(line_sink *s)
{
    char from[PATH_MAX], to[PATH_MAX];
    error err;
    for (uint32_t i = s->rotate_keep; i >= 1; i--) {
        snprintf(to, sizeof(to), "%s.%u", s->path, i);
        if (i == 1)
            snprintf(from, sizeof(from), "%s", s->path);
        else
            snprintf(from, sizeof(from), "%s.%u", s->path, i - 1);
        if (rename(from, to) != 0 && errno != ENOENT && i == 1)
            return;
    }
    if (s->rotate_keep == 0 && unlink(s->path) != 0)
        return;
    int old = s->fd;
    if (file_open(s, &err) == STATUS_OK)
        close(old);
    else
        s->fd = old;
}

/* Somebody else (logrotate) may have renamed the file: look once a second. */
static void follow_rename(line_sink *s)
{
    struct stat named, opened;
    int64_t now = clock_mono_ns();
    if (now - s->checked_ns < NS_PER_S)
        return;
    s->checked_ns = now;
    if (fstat(s->fd, &opened) != 0)
        return;
    if (stat(s->path, &named) == 0 && named.st_ino == opened.st_ino &&
        named.st_dev == opened.st_dev)
        return;
    int old = s->fd;
    error err;
    if (file_open(s, &err) == STATUS_OK)
        close(old);
    else
        s->fd = old;
}

/* An empty file does not get old: it begins with its first line. */
static void rotate_old(line_sink *s)
{
    if (!s->rotate_age_ns || s->written == s->pending.len)
        return;
    int64_t now = clock_now_ns();
    if (!s->file_bytes)
        s->born_ns = now;
    else if (now - s->born_ns >= s->rotate_age_ns)
        rotate(s);
}

/* The longest prefix of whole lines within `limit`; of a longer line, its first `limit` bytes. */
static str whole_lines(str text, size_t limit)
{
    if (text.len <= limit)
        return text;
    const char *end = memrchr(text.ptr, '\n', limit);
    return str_slice(text, 0, end ? (size_t)(end - text.ptr) + 1 : limit);
}

static str next_piece(line_sink *s, str rest)
{
    if (s->is_pipe)
        return whole_lines(rest, PIPE_BUF);
    if (!s->rotate_bytes)
        return rest;
    const char *end = memchr(rest.ptr, '\n', rest.len);
    size_t first = end ? (size_t)(end - rest.ptr) + 1 : rest.len;
    if (s->file_bytes && s->file_bytes + first > s->rotate_bytes)
        rotate(s);
    size_t room = s->file_bytes < s->rotate_bytes ? s->rotate_bytes - s->file_bytes : first;
    return room < first ? str_slice(rest, 0, first) : whole_lines(rest, room);
}

static lines_progress gone(line_sink *s)
{
    buf_clear(&s->pending);
    s->written = 0;
    s->in_line = false;
    if (s->kind != LOG_TO_FILE)
        s->fd = -1;
    return LINES_GONE;
}

lines_progress line_sink_step(line_sink *s)
{
    if (s->fd < 0)
        return gone(s);
    if (s->kind == LOG_TO_FILE) {
        follow_rename(s);
        if (!s->in_line)
            rotate_old(s);
    }
    while (s->written < s->pending.len) {
        struct pollfd ready = { .fd = s->fd, .events = POLLOUT };
        if (s->is_pipe && poll(&ready, 1, 0) == 0)
            return LINES_BLOCKED;
        str piece = next_piece(s, str_n(s->pending.ptr + s->written, s->pending.len - s->written));
        ssize_t n = write(s->fd, piece.ptr, piece.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EPIPE || errno == EBADF))
            return gone(s);
        if (n < 0) {
            if (errno != EAGAIN && !s->warned)
                lib_warn("log lines cannot be written now (%s); trying again", strerror(errno));
            s->warned = s->warned || errno != EAGAIN;
            return LINES_BLOCKED;
        }
        s->warned = false;
        s->written += (size_t)n;
        s->file_bytes += (size_t)n;
        s->in_line = piece.ptr[n - 1] != '\n';
    }
    buf_clear(&s->pending);
    s->written = 0;
    return LINES_DONE;
}

uint32_t line_sink_forget(line_sink *s)
{
    uint32_t forgotten = 0;
    size_t keep = s->written;
    if (s->in_line) {
        const char *end = memchr(s->pending.ptr + keep, '\n', s->pending.len - keep);
        keep = end ? (size_t)(end - s->pending.ptr) + 1 : s->pending.len;
    }
    for (size_t i = keep; i < s->pending.len; i++)
        forgotten += s->pending.ptr[i] == '\n';
    s->pending.len = keep;
    return forgotten;
}
