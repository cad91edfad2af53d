// SPDX-License-Identifier: Apache-2.0
/* Files; see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

status file_write_all(int fd, const void *bytes, size_t n, error *err)
{
    const char *p = bytes;
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail_errno(err, errno, "writing %zu bytes", n);
        p += done;
        n -= (size_t)done;
    }
    return STATUS_OK;
}

status file_pwrite_all(int fd, const void *bytes, size_t n, off_t at, error *err)
{
    const char *p = bytes;
    while (n) {
        ssize_t done = pwrite(fd, p, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail_errno(err, errno, "writing %zu bytes at %lld", n, (long long)at);
        p += done;
        at += done;
        n -= (size_t)done;
    }
    return STATUS_OK;
}

status file_pread_all(int fd, void *ret, size_t n, off_t at, error *err)
{
    char *p = ret;
    while (n) {
        ssize_t done = pread(fd, p, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail_errno(err, errno, "reading %zu bytes at %lld", n, (long long)at);
        if (done == 0)
            return fail(err, STATUS_CORRUPT, "the file ends %zu bytes early, at %lld", n,
                        (long long)at);
        p += done;
        at += done;
        n -= (size_t)done;
    }
    return STATUS_OK;
}

status file_read(const char *path, buf *out, error *err)
{
    AUTO(file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, errno, "opening %s", path);
    for (;;) {
        size_t want = out->limit ? MIN(KiB(16), out->limit - out->len) : KiB(16);
        if (!buf_reserve(out, want))
            return buf_check(out, err, path);
        size_t room = out->cap - out->len;
        char probe;
        ssize_t n = room ? read(fd, out->ptr + out->len, room) : read(fd, &probe, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno, "reading %s", path);
        if (n == 0)
            return STATUS_OK;
        if (room == 0)
            return fail(err, STATUS_LIMIT, "%s is larger than %zu bytes", path, out->limit);
        out->len += (size_t)n;
    }
}

status file_sync(int fd, error *err)
{
    if (fdatasync(fd) != 0)
        return fail_errno(err, errno, "fdatasync");
    return STATUS_OK;
}

status file_sync_dir(const char *dir, error *err)
{
    AUTO(file_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, errno, "opening the directory %s", dir);
    if (fsync(fd) != 0)
        return fail_errno(err, errno, "fsync of the directory %s", dir);
    return STATUS_OK;
}

status file_replace(const char *dir, const char *name, str content, error *err)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
        snprintf(temporary, sizeof(temporary), "%s/%s.tmp", dir, name) >= (int)sizeof(temporary))
        return fail(err, STATUS_INVALID, "the path %s/%s is too long", dir, name);
    AUTO(file_closep)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "creating %s", temporary);
    status st = file_write_all(fd, content.ptr, content.len, err);
    if (st == STATUS_OK)
        st = file_sync(fd, err);
    if (st == STATUS_OK && rename(temporary, path) != 0)
        st = fail_errno(err, errno, "renaming %s to %s", temporary, name);
    if (st != STATUS_OK) {
        unlink(temporary);
        return st;
    }
    return file_sync_dir(dir, err);
}

status file_make_dirs(const char *path, mode_t mode, error *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(part))
        return fail(err, STATUS_INVALID, "the path '%s' is empty or too long", path);
    str_copy_c(part, sizeof(part), str_c(path));
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        part[i] = 0;
        if (mkdir(part, mode) != 0 && errno != EEXIST)
            return fail_errno(err, errno, "creating the directory %s", part);
        part[i] = i < n ? '/' : 0;
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return fail_errno(err, errno, "looking at %s", path);
    if (!S_ISDIR(st.st_mode))
        return fail(err, STATUS_INVALID, "%s is not a directory", path);
    return STATUS_OK;
}

void file_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
