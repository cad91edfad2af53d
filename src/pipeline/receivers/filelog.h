// SPDX-License-Identifier: Apache-2.0
/* What the parts of the filelog receiver share: its settings, the files that it follows, and what
 * one thread does with them. */
#ifndef SONDE_PIPELINE_FILELOG_H
#define SONDE_PIPELINE_FILELOG_H

#include "base/map.h"
#include "pipeline/component.h"
#include "pipeline/pattern.h"
#include "pipeline/receivers/filelog_operators.h"

#include <sys/stat.h>

typedef struct {
    str line_start_pattern, line_end_pattern;
    bool omit_pattern;
} filelog_multiline;

typedef struct {
    text_list include, exclude;
    int start_at; /* 0: the end */
    int64_t poll_interval, force_flush_period, exclude_older_than;
    int64_t max_log_size, max_concurrent_files, fingerprint_size;
    str encoding, compression;
    filelog_multiline multiline;
    bool preserve_leading, preserve_trailing;
    bool file_name, file_path, name_resolved, path_resolved, owner_name, owner_group;
    bool record_number, record_offset;
    bool delete_after_read, has_header;
    pair_list attributes, resource;
    section_list operators;
    value header;
} filelog_settings;

/* ---- lines ---- */

typedef struct {
    pattern *start, *end; /* NULL: lines */
    bool omit;
    size_t max;
    bool keep_leading, keep_trailing;
} filelog_splitter;

/* The first entry of `data`: how many bytes it takes away, 0: not known yet. *ret_text may be empty
 * (a blank line). `flush`: nothing more will come for now, what is there is an entry. */
size_t filelog_split(const filelog_splitter *s, str data, bool flush, str *ret_text);

/* ---- files ---- */

/* Entries that recombine holds back. */
typedef struct {
    arena arena;
    filelog_entry entry;
    buf text;
    uint32_t count;
    uint64_t start;
    int64_t newest_ns; /* monotonic */
} filelog_group;

typedef struct filelog_file filelog_file;
struct filelog_file {
    filelog_file *next;
    char *path;
    int fd; /* -1: closed */
    dev_t dev;
    ino_t ino;
    uint64_t offset;  /* what stands before was taken: the checkpoint */
    uint64_t emitted; /* what stands before was made into entries; `data` begins here */
    buf data;
    uint64_t size;         /* when last looked at */
    int64_t changed_ns;    /* st_mtim of then */
    uint32_t print_length; /* the first bytes, by which it is known again */
    uint64_t print_hash;
    uint64_t records;
    bool copying;     /* a copy that may still be shorter than what was read of its original */
    int64_t grown_ns; /* monotonic */
    int64_t lost_ns;  /* monotonic: no pattern has matched since; 0: one does */
    uint64_t poll;    /* the newest in which it was found */
    filelog_group group;
};

typedef struct {
    filelog_file *first;
    uint32_t count, open;
    bool known;   /* there was a checkpoint of these patterns */
    bool changed; /* since it was written */
    uint64_t polls;
} filelog_files;

enum { FILELOG_FILES_MAX = 16384 };

/* Paths that match a pattern with *, ?, [], {a,b} and ** (any folders), sorted. */
typedef struct {
    char **items;
    uint32_t count, capacity;
} filelog_paths;
MUST_USE bool filelog_paths_find(filelog_paths *ret, const text_list *include,
                                 const text_list *exclude);
void filelog_paths_done(filelog_paths *p);
bool filelog_path_matches(str pattern, str path);

/* Finds out what became of the files: new ones, renamed ones, truncated ones. `restart` is called
 * before a file starts again from its beginning, with what is left of the old one in its `data`. */
typedef struct {
    const filelog_settings *settings;
    void (*restart)(void *user, filelog_file *f);
    void (*trouble)(void *user, const char *path, const char *what);
    void *user;
} filelog_finder;
void filelog_files_poll(filelog_files *files, const filelog_finder *finder);
/* NULL without memory, or when there are FILELOG_FILES_MAX. */
filelog_file *filelog_files_add(filelog_files *files, str path, dev_t dev, ino_t ino);
/* Bytes that are not read yet; opens the file where needed. -1: it cannot be read now. */
int64_t filelog_file_fill(filelog_files *files, filelog_file *f, size_t room, uint32_t open_max);
void filelog_file_free(filelog_files *files, filelog_file *f);
void filelog_files_done(filelog_files *files);

/* ---- checkpoints: docs/format/filelog.md ---- */

MUST_USE status filelog_checkpoint_save(const filelog_files *files, const text_list *include,
                                        const char *dir, error *err);
/* STATUS_OK as well where there is none yet. */
MUST_USE status filelog_checkpoint_load(filelog_files *files, const text_list *include,
                                        const char *dir, error *err);

/* ---- records ---- */

/* A batch under way. */
typedef struct {
    batch rows;
    map scopes;
    buf scratch;
    size_t bytes; /* of the files */
} filelog_batch;
void filelog_batch_init(filelog_batch *b);
void filelog_batch_done(filelog_batch *b);
void filelog_batch_clear(filelog_batch *b);
MUST_USE bool filelog_batch_add(filelog_batch *b, const filelog_entry *e);

bool filelog_entry_copy(arena *a, filelog_entry *dst, const filelog_entry *src);
/* What every entry of the file gets. False: no memory. */
MUST_USE bool filelog_entry_describe(const filelog_settings *s, const filelog_file *f,
                                     filelog_entry *e);

/* ---- the reader ---- */

typedef struct filelog_reader filelog_reader;
/* Compiles patterns and operators; after a failure *ret_where names the option. Nothing runs yet.
 */
MUST_USE status filelog_reader_new(filelog_reader **ret, component *c, const filelog_settings *s,
                                   char *ret_where, size_t where_size, error *err);
void filelog_reader_free(filelog_reader *r);
MUST_USE status filelog_reader_start(filelog_reader *r, error *err);
void filelog_reader_stop(filelog_reader *r); /* waits; nothing is handed on afterwards */

#endif
