// SPDX-License-Identifier: Apache-2.0
/* Which paths match: shell patterns with {a,b} and, as a part of a path, ** for any folders. */
#include "pipeline/receivers/filelog.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

enum { WALK_DEPTH = 32, BRACES_MAX = 256, PATH_BYTES = 4096 };

/* ---- braces ---- */

typedef bool on_pattern(void *user, str pattern);

/* Each alternative of the first {…}; *left bounds their number. */
static bool each_brace(str pattern, unsigned *left, on_pattern *call, void *user)
{
    char one[PATH_BYTES];
    size_t open = str_find_char(pattern, '{');
    size_t close =
        open == SIZE_MAX ? open : str_find_char(str_slice(pattern, open, pattern.len), '}');
    if (*left == 0)
        return false;
    if (close == SIZE_MAX) {
        --*left;
        return call(user, pattern);
    }
    str inside = str_slice(pattern, open + 1, open + close), rest = inside;
    str after = str_slice(pattern, open + close + 1, pattern.len);
    for (bool more = true; more;) {
        more = str_find_char(rest, ',') != SIZE_MAX;
        str choice = str_cut(rest, ',', &rest);
        size_t n = open + choice.len + after.len;
        if (n >= sizeof(one))
            return false;
        memcpy(one, pattern.ptr, open);
        memcpy(one + open, choice.ptr, choice.len);
        memcpy(one + open + choice.len, after.ptr, after.len);
        if (!each_brace(str_n(one, n), left, call, user))
            return false;
    }
    return true;
}

/* ---- matching ---- */

static bool part_matches(str pattern, str name)
{
    char p[256], n[256];
    if (pattern.len >= sizeof(p) || name.len >= sizeof(n))
        return false;
    str_copy_c(p, sizeof(p), pattern);
    str_copy_c(n, sizeof(n), name);
    return fnmatch(p, n, FNM_PERIOD) == 0;
}

/* Where a part does not match, only the last ** takes one more: what an earlier one took cannot
 * matter, and the time stays below the product of both lengths. */
static bool parts_match(str pattern, str path)
{
    str star_pattern = STR_EMPTY, star_path = STR_EMPTY, rest_pattern, rest_path;
    bool star = false;
    while (pattern.len || path.len) {
        str first = str_cut(pattern, '/', &rest_pattern);
        if (str_is(first, "**")) {
            star = true;
            pattern = star_pattern = rest_pattern;
            star_path = path;
            continue;
        }
        str name = str_cut(path, '/', &rest_path);
        if (pattern.len && path.len && part_matches(first, name)) {
            pattern = rest_pattern;
            path = rest_path;
            continue;
        }
        if (!star || !star_path.len)
            return false;
        str_cut(star_path, '/', &rest_path);
        pattern = star_pattern;
        path = star_path = rest_path;
    }
    return true;
}

typedef struct {
    str path;
    bool found;
} match_state;

static bool match_one(void *user, str pattern)
{
    match_state *m = user;
    m->found |= parts_match(pattern, m->path);
    return !m->found;
}

bool filelog_path_matches(str pattern, str path)
{
    unsigned left = BRACES_MAX;
    match_state m = { .path = path };
    each_brace(pattern, &left, match_one, &m);
    return m.found;
}

/* ---- finding ---- */

typedef struct {
    filelog_paths *out;
    const text_list *exclude;
    unsigned left; /* entries of folders that may still be looked at */
    bool failed;
} finder;

static void add_path(finder *w, str path)
{
    filelog_paths *p = w->out;
    for (uint32_t i = 0; i < w->exclude->count; i++)
        if (filelog_path_matches(w->exclude->items[i], path))
            return;
    if (p->count == FILELOG_FILES_MAX)
        return;
    if (p->count == p->capacity) {
        uint32_t capacity = MAX(p->capacity * 2, 64u);
        char **more = realloc(p->items, capacity * sizeof(*more));
        if (!more) {
            w->failed = true;
            return;
        }
        p->items = more;
        p->capacity = capacity;
    }
    char *copy = malloc(path.len + 1);
    if (!copy) {
        w->failed = true;
        return;
    }
    str_copy_c(copy, path.len + 1, path);
    p->items[p->count++] = copy;
}

static bool is_plain(str part)
{
    for (size_t i = 0; i < part.len; i++)
        if (strchr("*?[\\", part.ptr[i]))
            return false;
    return true;
}

static void walk(finder *w, str dir, str pattern, unsigned depth);

/* One name of a folder against the pattern's first part. */
static void walk_entry(finder *w, str dir, const struct dirent *e, str first, str rest, str pattern,
                       unsigned depth)
{
    char path[PATH_BYTES];
    struct stat st;
    str name = str_c(e->d_name);
    int n = snprintf(path, sizeof(path), "%.*s%s%s", STR_ARG(dir),
                     str_ends(dir, STR("/")) ? "" : "/", e->d_name);
    if (n < 0 || (size_t)n >= sizeof(path) || name.ptr[0] == '.')
        return;
    bool any = str_is(first, "**");
    if (!any && !part_matches(first, name))
        return;
    if (!any && !rest.len) {
        add_path(w, str_n(path, (size_t)n));
        return;
    }
    bool folder = e->d_type == DT_DIR || ((e->d_type == DT_LNK || e->d_type == DT_UNKNOWN) &&
                                          !any && stat(path, &st) == 0 && S_ISDIR(st.st_mode));
    if (any && !rest.len && !folder)
        add_path(w, str_n(path, (size_t)n));
    if (folder)
        walk(w, str_n(path, (size_t)n), any ? pattern : rest, depth + 1);
}

static void walk_folder(finder *w, str dir, str first, str rest, str pattern, unsigned depth)
{
    char path[PATH_BYTES];
    str_copy_c(path, sizeof(path), dir.len ? dir : STR("."));
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; w->left && !w->failed && (e = readdir(d));) {
        w->left--;
        walk_entry(w, dir.len ? dir : STR("."), e, first, rest, pattern, depth);
    }
    closedir(d);
}

static void walk(finder *w, str dir, str pattern, unsigned depth)
{
    char path[PATH_BYTES];
    struct stat st;
    str rest, first = str_cut(pattern, '/', &rest);
    if (depth > WALK_DEPTH || w->failed)
        return;
    if (str_is(first, "**")) {
        if (rest.len)
            walk(w, dir, rest, depth + 1); /* no folder at all */
        walk_folder(w, dir, first, rest, pattern, depth);
    } else if (is_plain(first)) {
        int n = snprintf(path, sizeof(path), "%.*s%s%.*s", STR_ARG(dir),
                         !dir.len || str_ends(dir, STR("/")) ? "" : "/", STR_ARG(first));
        if (n < 0 || (size_t)n >= sizeof(path))
            return;
        if (rest.len)
            walk(w, str_n(path, (size_t)n), rest, depth + 1);
        else if (stat(path, &st) == 0)
            add_path(w, str_n(path, (size_t)n));
    } else {
        walk_folder(w, dir, first, rest, pattern, depth);
    }
}

static bool find_one(void *user, str pattern)
{
    bool absolute = pattern.len && pattern.ptr[0] == '/';
    walk(user, absolute ? STR("/") : STR_EMPTY, str_slice(pattern, absolute, pattern.len), 0);
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool filelog_paths_find(filelog_paths *ret, const text_list *include, const text_list *exclude)
{
    finder w = { .out = ret, .exclude = exclude, .left = 1000000 };
    *ret = (filelog_paths){ 0 };
    for (uint32_t i = 0; i < include->count; i++) {
        unsigned left = BRACES_MAX;
        each_brace(include->items[i], &left, find_one, &w);
    }
    if (w.failed) {
        filelog_paths_done(ret);
        return false;
    }
    if (ret->count)
        qsort(ret->items, ret->count, sizeof(*ret->items), by_text);
    return true;
}

void filelog_paths_done(filelog_paths *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        free(p->items[i]);
    free(p->items);
    *p = (filelog_paths){ 0 };
}
