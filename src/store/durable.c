// SPDX-License-Identifier: Apache-2.0
/* See durable.h. */
#include "store/durable.h"

#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* The directory that holds the name `path`. */
static status sync_parent(char *path, error *err)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return file_sync_dir(".", err);
    *slash = 0;
    status st = file_sync_dir(path[0] ? path : "/", err);
    *slash = '/';
    return st;
}

static unsigned levels_below(const char *rest)
{
    unsigned n = 0;
    for (; *rest; rest++)
        n += rest[0] == '/' && rest[1] != '/' && rest[1] != 0;
    return n;
}

status make_dirs_durably(const char *path, error *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(part))
        return fail(err, STATUS_INVALID, "the path '%s' is empty or too long", path);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        if (path[i - 1] == '/')
            continue; /* a doubled or trailing slash */
        part[i] = 0;
        int rc = mkdir(part, 0700);
        if (rc != 0 && errno != EEXIST)
            return fail_errno(err, errno, "creating the directory %s", part);
        if (rc == 0 || levels_below(path + i) < 2) {
            status st = sync_parent(part, err);
            if (st != STATUS_OK)
                return st;
        }
        part[i] = path[i];
    }
    struct stat info;
    if (stat(path, &info) != 0)
        return fail_errno(err, errno, "looking at %s", path);
    if (!S_ISDIR(info.st_mode))
        return fail(err, STATUS_INVALID, "%s is not a directory", path);
    return STATUS_OK;
}
