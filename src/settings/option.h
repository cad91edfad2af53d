// SPDX-License-Identifier: Apache-2.0
/* A component's options, described once: a table of rows, from which a configuration file is parsed
 * and checked, and from which `sonde check`, `--help` and docs/reference/collector.md are made.
 * A row says where its value goes in the component's settings structure. Tables are static; the
 * settings that are filled from a file live in that file's arena and are read-only afterwards. */
#ifndef SONDE_SETTINGS_OPTION_H
#define SONDE_SETTINGS_OPTION_H

#include "base/arena.h"
#include "codec/batch.h"

/* The type of the member at `offset` stands behind each. */
typedef enum {
    OPTION_TEXT,     /* str, terminated by a zero byte too; empty by default */
    OPTION_SECRET,   /* as OPTION_TEXT; never printed */
    OPTION_BOOL,     /* bool */
    OPTION_INT,      /* int64_t, within [min, max] when they differ; also "1kb", "20MiB" */
    OPTION_NUMBER,   /* double */
    OPTION_DURATION, /* int64_t, nanoseconds; "5s", "1m30s", "200ms" */
    OPTION_CHOICE,   /* int: index into `choices` */
    OPTION_TEXTS,    /* text_list */
    OPTION_PAIRS,    /* pair_list: a map of names to texts */
    OPTION_VALUE,    /* value: whatever stands there, with YAML's types; VALUE_EMPTY when absent */
    OPTION_SECTION,  /* a structure in place, described by `table`; `present` tells if it was given
                      */
    OPTION_SECTIONS, /* section_list of structures described by `table`: a YAML sequence */
    OPTION_NAMED,    /* section_list; a YAML map whose keys go to a first member `str name` */
    OPTION_INLINE,   /* the rows of `table` stand here, for a structure in place at `offset` */
    OPTION_IGNORED   /* known to the Collector, without meaning here; `help` says why */
} option_type;

typedef struct {
    str *items;
    uint32_t count;
} text_list;

typedef struct {
    str name, value;
} text_pair;

typedef struct {
    text_pair *items;
    uint32_t count;
} pair_list;

typedef struct {
    void *items; /* structures of the table's size */
    uint32_t count;
} section_list;

typedef struct option option;

typedef struct {
    const option *rows;
    size_t count;
    size_t size; /* of the structure that is filled */
} option_table;

struct option {
    const char *name; /* as in the file */
    option_type type;
    size_t offset;
    const char *fallback;       /* as it would be written in the file; NULL: zero, empty, false */
    const char *help;           /* one line */
    bool required;              /* absent is an error */
    bool address;               /* OPTION_TEXT: HOST:PORT to listen on */
    const char *const *choices; /* OPTION_CHOICE: ended by NULL */
    double min, max; /* OPTION_INT, OPTION_NUMBER, OPTION_DURATION (seconds); both 0: any */
    const option_table *table; /* the last four types but OPTION_IGNORED */
    size_t present; /* OPTION_SECTION: 1 + offset of a bool of the outer structure; 0: none */
};

#define OPTION_TABLE(rows_, type_) \
    { \
        (rows_), ARRAY_LEN(rows_), sizeof(type_) \
    }
#define OPTION_PRESENT(type_, member_) (1 + offsetof(type_, member_))

/* For checks that no single row can make. Writes the path of what is wrong, relative to the
 * component ("actions[2].key", "protocols.grpc.tls"), into `where` and fails with the reason. */
typedef status option_check(const void *settings, char *where, size_t where_size, error *err);

#endif
