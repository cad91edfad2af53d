// SPDX-License-Identifier: Apache-2.0
/* What the writing and the reading half of the intake log share. */
#ifndef SONDE_STORE_INTAKE_INTERNAL_H
#define SONDE_STORE_INTAKE_INTERNAL_H

#include "store/intake.h"

enum {
    SEGMENT_HEADER = 32,
    RECORD_HEADER = 40,
    INTAKE_VERSION = 1,
};
#define RECORD_MAGIC  0x44524E53u
#define SEGMENT_MAGIC "SONDEINT"
#define SEGMENT_BYTES MiB(64)

typedef struct {
    uint64_t first; /* its name */
    uint64_t last;  /* newest record; first - 1 when there is none */
    uint64_t bytes;
} segment;

struct intake {
    char *dir;
    size_t limit;
    size_t segment_bytes;
    intake_hook *hook;
    void *user;
    pthread_t committer;
    bool committer_runs;

    pthread_mutex_t lock; /* guards all below; never held over a write or a sync */
    pthread_cond_t work;
    intake_entry *queue_first;
    intake_entry **queue_end;
    size_t queue_bytes; /* queued, or being written */
    bool stop;
    bool writing; /* the committer uses fd and the newest segment */
    int fd;       /* newest segment, -1: none open */
    uint64_t end; /* its durable length */
    segment *segments;
    uint32_t segment_count, segment_capacity;
    uint64_t next_sequence;
    status trouble; /* of the newest write; OK when it worked */
    char trouble_text[200];
    int64_t trouble_mono_ns; /* when it was noted */
    char holder[128];        /* who needs the oldest segment */
    pthread_cond_t grown;
    unsigned waiting; /* readers in `grown` */
    intake_stats stats;
};

/* A record header's fields after its own checksum held. */
typedef struct {
    uint32_t length;
    uint64_t sequence;
    int64_t received_ns;
    uint16_t origin;
    uint8_t signal, format;
    uint64_t payload_sum;
} record_header;

bool record_header_parse(const char *bytes, record_header *ret);
void record_header_write(char *bytes, const record_header *h);
void segment_header_write(char *bytes, uint64_t first);
void segment_path(const intake *in, uint64_t first, char *ret, size_t size);
MUST_USE status segment_add(intake *in, uint64_t first, error *err);
MUST_USE status intake_replay(intake *in, const intake_options *options, intake_reader *reader,
                              error *err);
/* The offset of the next header at or after `at` that checks out; `end` when there is none. */
uint64_t intake_find_header(int fd, uint64_t at, uint64_t end);

#endif
