// SPDX-License-Identifier: Apache-2.0
/* Files: whole reads and writes that survive EINTR and short counts, and durable replacement. */
#ifndef SONDE_BASE_FILE_H
#define SONDE_BASE_FILE_H

#include "base/buf.h"

#include <sys/types.h>

MUST_USE status file_write_all(int fd, const void *bytes, size_t n, error *err);
MUST_USE status file_pwrite_all(int fd, const void *bytes, size_t n, off_t at, error *err);
/* STATUS_CORRUPT when the file ends before n bytes. */
MUST_USE status file_pread_all(int fd, void *ret, size_t n, off_t at, error *err);
/* Appends the whole file to `out`; its limit holds. */
MUST_USE status file_read(const char *path, buf *out, error *err);
/* fdatasync of what `fd` wrote; never call it again over the same bytes after a failure. */
MUST_USE status file_sync(int fd, error *err);
/* fsync of a directory, so that creations and renames in it last. */
MUST_USE status file_sync_dir(const char *dir, error *err);
/* Writes a temporary file beside it, syncs, renames, syncs the directory. */
MUST_USE status file_replace(const char *dir, const char *name, str content, error *err);
/* mkdir -p, each missing level with `mode`. */
MUST_USE status file_make_dirs(const char *path, mode_t mode, error *err);

/* Closes *fd when it is not negative; for AUTO. */
void file_closep(int *fd);

#endif
