// SPDX-License-Identifier: Apache-2.0
/* Writing the frame of a part: header, data, sections, footer, trailer; to a temporary file that is
 * synced and then renamed into place. */
#ifndef SONDE_STORE_PART_FILE_H
#define SONDE_STORE_PART_FILE_H

#include "base/buf.h"
#include "store/part.h"

enum { PART_HEADER = 64, PART_TRAILER = 32 };
#define PART_MAGIC     "SONDPART"
#define PART_MAGIC_END "SONDPEND"

typedef struct {
    const char *dir; /* of the store */
    signal_kind signal;
    int32_t day;
    uint64_t first, last, n;
} part_identity;

typedef struct {
    part_identity id;
    char *dir;       /* copy of id.dir */
    char *temporary; /* path */
    uint32_t version;
    int64_t created_ns;
    int fd;
    uint64_t flushed; /* bytes in the file */
    buf pending;
    part_section sections[SECTION_END];
    uint64_t rows;
    int64_t min_time, max_time;
    status trouble;
    error why;
} part_file_writer;

MUST_USE status part_file_begin(part_file_writer *w, const part_identity *id, error *err);
/* Where the next byte goes. */
uint64_t part_file_offset(const part_file_writer *w);
/* Errors are kept and given by part_file_finish. */
void part_file_write(part_file_writer *w, str bytes);
void part_file_section(part_file_writer *w, section_kind kind, str raw);
void part_file_times(part_file_writer *w, int64_t min, int64_t max);
MUST_USE status part_file_finish(part_file_writer *w, part **ret, error *err);
/* Frees and removes what was begun; after finish too. */
void part_file_done(part_file_writer *w);

/* Marks the part and gives STATUS_CORRUPT. */
status part_damage(part *p, error *err, const char *what);

#endif
