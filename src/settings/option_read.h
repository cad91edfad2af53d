// SPDX-License-Identifier: Apache-2.0
/* Filling settings from YAML by option tables (option.h). Everything that is wrong is reported,
 * with the place of the node; what could not be read keeps its default. Values of secrets, of maps,
 * and those that came from the environment or a file never stand in a message. */
#ifndef SONDE_SETTINGS_OPTION_READ_H
#define SONDE_SETTINGS_OPTION_READ_H

#include "base/buf.h"
#include "settings/settings.h"
#include "settings/yaml.h"

typedef struct {
    arena *arena;
    /* `text` is whole but for file, line and column: "receiver otlp: unknown option …". */
    void (*issue)(void *user, bool warning, unsigned line, unsigned column, const char *text);
    /* A section of auth_options named this extension; `listening`: who calls is to be checked. */
    void (*authenticator)(void *user, const char *who, str id, bool listening, const yaml_node *at);
    void *user;
    bool quiet;      /* no warnings about options without effect: all of them are */
    uint32_t nodes;  /* that may still be read: bounds what aliases can be written out to */
    const char *who; /* "receiver otlp" */
    char path[256];  /* of the section that is read: "protocols.grpc" */
} option_reader;

/* Fills `settings` (zeroed, t->size bytes). n: a mapping, or NULL or null for defaults only (which
 * are no error, unless an option is required). */
void option_fill(option_reader *r, const option_table *t, const yaml_node *n, const yaml_node *at,
                 void *settings);
/* The deepest node that a path ("actions[2].key") reaches from n. */
const yaml_node *option_find_path(const yaml_node *n, const char *path);

/* ---- tables as lists ---- */

enum { OPTION_ROWS_MAX = 192 };

/* A row with the structure that its offset counts from. */
typedef struct {
    const option *row;
    const option_table *table; /* that it stands in */
    char *base;
} option_at;

/* The rows of a table with those of inline tables, own rows before inline ones of the same name. */
unsigned option_list(const option_table *t, void *settings, option_at *ret);

/* The name nearest to a wrong one, or NULL when none is near. */
const char *option_nearest(str wrong, const char *const *names, size_t count);
/* "; did you mean \"endpoint\"?", or "; known are: a, b". */
void option_suggest(buf *out, str wrong, const char *const *names, size_t count);

/* Go's and Prometheus's durations: "1m30s", "1.5h", "200ms", "10us", "1d", "0". */
MUST_USE bool option_parse_duration(str s, int64_t *ret_ns);
/* "1024", "20MiB", "1kb", "1.5 GB". */
MUST_USE bool option_parse_size(str s, int64_t *ret);

#endif
