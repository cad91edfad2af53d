// SPDX-License-Identifier: Apache-2.0
/* Reads --env-file; see env_file.h. The whole file is checked before anything is set. */
#include "examples/debug-server/env_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096, MAX_LINES = 1000 };

static const char *skip(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* The value in quotes that `p` stands on, into `value`; what is wrong, or NULL. */
static const char *quoted(const char *p, char *value)
{
    char quote = *p++;
    for (; *p && *p != quote; p++) {
        if (quote == '"' && *p == '\\' && p[1]) {
            p++;
            *value++ = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p;
        } else {
            *value++ = *p;
        }
    }
    *value = 0;
    if (*p != quote)
        return "the closing quote is missing";
    p = skip(p + 1);
    return *p && *p != '#' ? "nothing but a comment may follow the closing quote" : NULL;
}

static void plain(const char *p, char *value)
{
    size_t n = 0;
    while (p[n] && !(p[n] == '#' && (n == 0 || p[n - 1] == ' ' || p[n - 1] == '\t')))
        n++;
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    memcpy(value, p, n);
    value[n] = 0;
}

/* One line; both texts hold as much as it. *key is empty for a line that sets nothing. */
static const char *parse(const char *line, char *key, char *value)
{
    const char *p = skip(line), *begin;
    *key = 0;
    if (!*p || *p == '#')
        return NULL;
    if (strncmp(p, "export ", 7) == 0)
        p = skip(p + 7);
    begin = p;
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    if (p == begin || isdigit((unsigned char)*begin))
        return "a name of letters, digits and '_' must come first";
    const char *sign = skip(p);
    if (*sign != '=')
        return "'=' must follow the name";
    memcpy(key, begin, (size_t)(p - begin));
    key[p - begin] = 0;
    p = skip(sign + 1);
    if (*p == '"' || *p == '\'')
        return quoted(p, value);
    plain(p, value);
    return NULL;
}

/* One pass; `set` says whether this is the one that sets. */
static bool pass(FILE *f, const char *path, bool set, char *error, size_t size)
{
    char line[LINE_BYTES], key[LINE_BYTES], value[LINE_BYTES];
    for (int number = 1; fgets(line, sizeof(line), f); number++) {
        size_t len = strcspn(line, "\r\n");
        bool whole = line[len] || feof(f);
        line[len] = 0;
        const char *why = !whole ? "the line is longer than 4094 bytes, or has a zero byte"
                          : number > MAX_LINES ? "more than 1000 lines"
                                               : parse(line, key, value);
        if (why) {
            snprintf(error, size, "%s:%d: %s", path, number, why);
            return false;
        }
        if (set && *key)
            setenv(key, value, 0);
    }
    if (ferror(f))
        snprintf(error, size, "%s: %s", path, strerror(errno));
    return !ferror(f);
}

bool env_file_load(const char *path, char *error, size_t size)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        snprintf(error, size, "%s: %s", path, strerror(errno));
        return false;
    }
    bool good = pass(f, path, false, error, size);
    if (good) {
        rewind(f);
        good = pass(f, path, true, error, size);
    }
    fclose(f);
    return good;
}
