// SPDX-License-Identifier: Apache-2.0
/* The recorder's file: where it lives, how it is made safely, and how its space is taken. A full
 * file system must show here, as an error, and never later as SIGBUS. */
#include "lib/recorder_internal.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The default directory is shared ground: whoever made it first must have been this user. */
static status own_directory(const char *path, error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail_errno(err, errno, "mkdir %s", path);
    struct stat st;
    if (lstat(path, &st) != 0)
        return fail_errno(err, errno, "stat %s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return fail(err, STATUS_INVALID,
                    "%s must be a directory of user %u with mode 0700, and no link", path,
                    (unsigned)geteuid());
    return STATUS_OK;
}

status recorder_directory(str dir, char *ret, size_t size, error *err)
{
    const char *state = getenv("STATE_DIRECTORY");
    int n;
    if (dir.len) {
        n = snprintf(ret, size, "%.*s", STR_ARG(dir));
    } else if (state && *state) {
        str rest, first = str_cut(str_c(state), ':', &rest);
        n = snprintf(ret, size, "%.*s", STR_ARG(first));
    } else {
        n = snprintf(ret, size, "/dev/shm/sonde-%u", (unsigned)geteuid());
    }
    if (n <= 0 || (size_t)n >= size)
        return fail(err, STATUS_LIMIT, "the recorder directory's name is longer than %zu bytes",
                    size - 1);
    return STATUS_OK;
}

static status prepare_directory(str dir, char path[PATH_MAX], int *ret_fd, error *err)
{
    status st = recorder_directory(dir, path, PATH_MAX, err);
    if (st != STATUS_OK)
        return st;
    bool given = dir.len || (getenv("STATE_DIRECTORY") && *getenv("STATE_DIRECTORY"));
    st = given ? file_make_dirs(path, 0700, err) : own_directory(path, err);
    if (st != STATUS_OK)
        return st;
    int fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC | (given ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    *ret_fd = fd;
    return STATUS_OK;
}

/* A write beyond the limit would not fail but kill by SIGXFSZ. */
static status limit_size(size_t *bytes, error *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= *bytes)
        return STATUS_OK;
    *bytes = (size_t)limit.rlim_cur / RECORDER_BLOCK_BYTES * RECORDER_BLOCK_BYTES;
    if (*bytes < RECORDER_BLOCKS_MIN * RECORDER_BLOCK_BYTES)
        return fail(err, STATUS_FULL,
                    "the limit of file sizes (ulimit -f) is %llu bytes, 256 KiB "
                    "are needed",
                    (unsigned long long)limit.rlim_cur);
    return STATUS_OK;
}

static bool lock_alive(int fd)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = RECORDER_LOCK_ALIVE, .l_len = 1
    };
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static void file_name(char *ret, size_t size, str service, uint64_t id)
{
    char name[65];
    str_copy_c(name, sizeof(name), service.len ? service : STR("unknown"));
    for (char *c = name; *c; c++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.", *c))
            *c = '_';
    }
    if (name[0] == '.')
        name[0] = '_';
    snprintf(ret, size, "%s-%d-%08x.rec", name, (int)getpid(), (unsigned)(id >> 32));
}

status recorder_file_create(const recorder_options *options, uint64_t id, size_t *inout_bytes,
                            char path[PATH_MAX], int *ret_fd, error *err)
{
    AUTO(file_closep) int dir = -1;
    char name[128];
    status st = limit_size(inout_bytes, err);
    if (st == STATUS_OK)
        st = prepare_directory(options->dir, path, &dir, err);
    if (st != STATUS_OK)
        return st;
    file_name(name, sizeof(name), options->service, id);
    size_t n = strlen(path);
    if (n + 1 + strlen(name) >= PATH_MAX)
        return fail(err, STATUS_LIMIT, "the recorder's path in %s is too long", path);
    snprintf(path + n, PATH_MAX - n, "/%s", name);
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "create %s", path);
    if (!lock_alive(fd) || ftruncate(fd, (off_t)*inout_bytes) != 0) {
        int why = errno;
        close(fd);
        unlinkat(dir, name, 0);
        return fail_errno(err, why, "size %s to %zu bytes", path, *inout_bytes);
    }
    *ret_fd = fd;
    return STATUS_OK;
}

bool recorder_file_reserve(recorder *r, size_t from, size_t to)
{
    if (r->fd < 0 || from >= to)
        return true;
    int saved = errno, failed;
    /* KEEP_SIZE: the file has its length already, and should another thread be just closing it, no
     * other file can be harmed. */
    do {
        failed = fallocate(r->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) ? errno : 0;
    } while (failed == EINTR);
    if (failed == EOPNOTSUPP || failed == ENOSYS)
        failed = posix_fallocate(r->fd, (off_t)from, (off_t)(to - from));
    if (!failed) {
        /* All page faults at once, here, rather than one by one in the calls that log. */
        size_t page = from & ~(size_t)4095;
        (void)!madvise(r->base + page, to - page, MADV_POPULATE_WRITE);
    }
    errno = saved;
    return !failed;
}
