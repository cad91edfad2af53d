// SPDX-License-Identifier: Apache-2.0
/* Rotation; see file_rotate.h. Only names that end in a time as it is written here are ever
 * removed. */
#include "pipeline/exporters/file_rotate.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TIME_LEN = 23, BACKUPS_SEEN = 10000 }; /* 2025-10-12T20-30-00.125 */

#define AT(member) offsetof(file_rotation, member)
static const option rotation_rows[] = {
    { .name = "max_megabytes",
      .type = OPTION_INT,
      .offset = AT(max_megabytes),
      .fallback = "100",
      .min = 1,
      .max = 1 << 20,
      .help = "size at which a new file is begun" },
    { .name = "max_days",
      .type = OPTION_INT,
      .offset = AT(max_days),
      .fallback = "0",
      .max = 36500,
      .help = "older files are removed; 0: not by age" },
    { .name = "max_backups",
      .type = OPTION_INT,
      .offset = AT(max_backups),
      .fallback = "100",
      .max = BACKUPS_SEEN,
      .help = "so many files are kept beside the one that is written; 0: all" },
    { .name = "localtime",
      .type = OPTION_BOOL,
      .offset = AT(localtime),
      .fallback = "false",
      .help = "names carry the local time, not UTC" },
};
#undef AT
const option_table file_rotation_options = OPTION_TABLE(rotation_rows, file_rotation);

/* A path's parts: directory, "data" and ".json". */
typedef struct {
    char dir[PATH_MAX];
    str base, extension;
} path_parts;

static void split_path(str path, path_parts *p)
{
    size_t slash = path.len, dot;
    while (slash > 0 && path.ptr[slash - 1] != '/')
        slash--;
    str_copy_c(p->dir, sizeof(p->dir), slash ? str_slice(path, 0, slash) : STR("./"));
    str name = str_slice(path, slash, path.len);
    for (dot = name.len; dot > 0 && name.ptr[dot - 1] != '.'; dot--)
        ;
    dot = dot > 1 ? dot - 1 : name.len; /* ".name" has no extension */
    p->base = str_slice(name, 0, dot);
    p->extension = str_slice(name, dot, name.len);
}

static void format_time(char *out, size_t size, int64_t ns, bool local)
{
    struct tm tm;
    time_t seconds = (time_t)(ns / NS_PER_S);
    if (local)
        localtime_r(&seconds, &tm);
    else
        gmtime_r(&seconds, &tm);
    size_t n = strftime(out, size, "%Y-%m-%dT%H-%M-%S", &tm);
    snprintf(out + n, size - n, ".%03d", (int)(ns % NS_PER_S / NS_PER_MS));
}

/* ---- the old ones ---- */

static bool is_time(str s)
{
    static const char pattern[] = "dddd-dd-ddTdd-dd-dd.ddd";
    for (size_t i = 0; s.len == TIME_LEN && i < TIME_LEN; i++)
        if (pattern[i] == 'd' ? s.ptr[i] < '0' || s.ptr[i] > '9' : s.ptr[i] != pattern[i])
            return false;
    return s.len == TIME_LEN;
}

/* The time in a backup's name; empty for other files. */
static str backup_time(const path_parts *p, str name)
{
    size_t from = p->base.len + 1;
    if (name.len != from + TIME_LEN + p->extension.len || !str_starts(name, p->base) ||
        name.ptr[p->base.len] != '-' || !str_ends(name, p->extension))
        return STR_EMPTY;
    str when = str_slice(name, from, from + TIME_LEN);
    return is_time(when) ? when : STR_EMPTY;
}

typedef struct {
    char time[TIME_LEN + 1];
} backup;

static int newest_first(const void *a, const void *b)
{
    return -strcmp(((const backup *)a)->time, ((const backup *)b)->time);
}

static size_t find_backups(const path_parts *p, backup *found)
{
    size_t count = 0;
    DIR *d = opendir(p->dir);
    for (struct dirent *e; d && count < BACKUPS_SEEN && (e = readdir(d));) {
        str when = backup_time(p, str_c(e->d_name));
        if (when.len)
            str_copy_c(found[count++].time, sizeof(found->time), when);
    }
    if (d)
        closedir(d);
    qsort(found, count, sizeof(*found), newest_first);
    return count;
}

static void backup_path(const path_parts *p, const char *when, char *out, size_t size)
{
    snprintf(out, size, "%s%.*s-%s%.*s", p->dir, STR_ARG(p->base), when, STR_ARG(p->extension));
}

static void remove_old(const path_parts *p, const file_rotation *r, int64_t now_ns)
{
    char oldest[32], path[2 * PATH_MAX];
    backup *found = calloc(BACKUPS_SEEN, sizeof(*found));
    if (!found)
        return;
    format_time(oldest, sizeof(oldest), now_ns - r->max_days * 86400 * NS_PER_S, r->localtime);
    size_t count = find_backups(p, found);
    for (size_t i = 0; i < count; i++) {
        bool beyond = r->max_backups && i >= (size_t)r->max_backups;
        if (!beyond && !(r->max_days && strcmp(found[i].time, oldest) < 0))
            continue;
        backup_path(p, found[i].time, path, sizeof(path));
        (void)unlink(path);
    }
    free(found);
}

/* ---- setting aside ---- */

status file_rotate(str path, const file_rotation *r, int64_t now_ns, error *err)
{
    path_parts p;
    char when[32], to[2 * PATH_MAX];
    split_path(path, &p);
    for (int64_t at = now_ns;; at += NS_PER_MS) { /* the name must be free */
        format_time(when, sizeof(when), at, r->localtime);
        backup_path(&p, when, to, sizeof(to));
        if (access(to, F_OK) != 0)
            break;
    }
    if (rename(path.ptr, to) != 0)
        return fail_errno(err, errno, "cannot rename \"%s\" to \"%s\"", path.ptr, to);
    remove_old(&p, r, now_ns);
    return file_sync_dir(p.dir, err);
}
