// SPDX-License-Identifier: Apache-2.0
/* Rule files on disk; see paths.h. */
#include "rules/paths.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

typedef struct {
    arena *a;
    rule_paths *to;
    uint32_t capacity;
    error *err;
} finder;

static status no_memory(const finder *f)
{
    return fail(f->err, STATUS_NO_MEMORY, "no memory for the names of rule files");
}

static status add(finder *f, str path)
{
    if (f->to->count == RULE_FILES_MAX)
        return fail(f->err, STATUS_LIMIT, "more than %d rule files", RULE_FILES_MAX);
    if (f->to->count == f->capacity) {
        uint32_t more = f->capacity ? f->capacity * 2 : 16;
        const char **grown =
            arena_grow(f->a, f->to->items, f->capacity * sizeof(char *), more * sizeof(char *));
        if (!grown)
            return no_memory(f);
        f->to->items = grown;
        f->capacity = more;
    }
    str copy = arena_str(f->a, path);
    if (!copy.ptr)
        return no_memory(f);
    f->to->items[f->to->count++] = copy.ptr;
    return STATUS_OK;
}

static bool is_rule_file(const char *name)
{
    static const char *const ends[] = { ".yaml", ".yml", ".rules" };
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (name[0] != '.' && str_ends(str_c(name), str_c(ends[i])))
            return true;
    return false;
}

static status add_folder(finder *f, const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return fail_errno(f->err, errno, "the folder of rules %s", path);
    status st = STATUS_OK;
    const struct dirent *e;
    while (st == STATUS_OK && (e = readdir(dir))) {
        if (!is_rule_file(e->d_name))
            continue;
        bool slash = str_ends(str_c(path), STR("/"));
        str name = arena_fmt(f->a, "%s%s%s", path, slash ? "" : "/", e->d_name);
        st = name.ptr ? add(f, name) : no_memory(f);
    }
    closedir(dir);
    return st;
}

static status add_path(finder *f, const char *path, bool named)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return named ? fail_errno(f->err, errno, "the rule file %s", path) : STATUS_OK;
    return S_ISDIR(info.st_mode) ? add_folder(f, path) : add(f, str_c(path));
}

static status add_pattern(finder *f, const char *pattern)
{
    glob_t found = { 0 };
    int rc = glob(pattern, 0, NULL, &found);
    status st = STATUS_OK;
    if (rc == GLOB_NOSPACE)
        st = no_memory(f);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc && st == STATUS_OK; i++)
        st = add_path(f, found.gl_pathv[i], false);
    globfree(&found);
    return st;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

status rule_paths_find(const str *paths, uint32_t count, arena *a, rule_paths *ret, error *err)
{
    finder f = { .a = a, .to = ret, .err = err };
    status st = STATUS_OK;
    *ret = (rule_paths){ 0 };
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++) {
        str path = arena_str(a, paths[i]);
        if (!path.ptr)
            st = no_memory(&f);
        else if (strpbrk(path.ptr, "*?["))
            st = add_pattern(&f, path.ptr);
        else
            st = add_path(&f, path.ptr, true);
    }
    if (ret->count > 1)
        qsort(ret->items, ret->count, sizeof(*ret->items), compare_paths);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ret->count; i++)
        if (i == 0 || strcmp(ret->items[i - 1], ret->items[i]) != 0)
            ret->items[kept++] = ret->items[i];
    ret->count = kept;
    return st;
}

uint64_t rule_paths_mark(const rule_paths *files)
{
    uint64_t mark = files->count + 1;
    for (uint32_t i = 0; i < files->count; i++) {
        struct stat info = { 0 };
        mark = hash_mix(mark, str_hash(str_c(files->items[i])));
        if (stat(files->items[i], &info) != 0)
            continue;
        mark = hash_mix(mark ^ (uint64_t)info.st_ino, (uint64_t)info.st_size + 1);
        mark = hash_mix(mark ^ (uint64_t)info.st_mtim.tv_sec, (uint64_t)info.st_mtim.tv_nsec + 1);
    }
    return mark;
}
