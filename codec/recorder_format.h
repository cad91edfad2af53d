// SPDX-License-Identifier: Apache-2.0
/* The bytes of a recorder file, shared by the writer (lib/recorder*.c) and the reader
 * (codec/recorder*.c). docs/format/recorder.md explains them. Little-endian, the machine's own
 * order; fields marked "atomic" are read and written whole while the process runs. A field may be
 * added in reserved space; anything else needs a new RECORDER_VERSION. */
#ifndef SONDE_CODEC_RECORDER_FORMAT_H
#define SONDE_CODEC_RECORDER_FORMAT_H

#include "base/base.h"

#define RECORDER_MAGIC           0x31434552444e4f53ull /* "SONDREC1" */
#define RECORDER_VERSION         1u
#define RECORDER_BLOCK_BYTES     KiB(16)
#define RECORDER_HEADER_BYTES    KiB(16)
#define RECORDER_RESOURCE_MAX    KiB(8)
#define RECORDER_REDACT_MAX      KiB(2)
#define RECORDER_RECORD_MAX      KiB(64)
#define RECORDER_BLOCKS_MAX      65536u /* 1 GiB */
#define RECORDER_BLOCKS_MIN      16u    /* 256 KiB */
#define RECORDER_RUN_MAX         255u   /* blocks in one run */
#define RECORDER_SINKS           8u
#define RECORDER_SINK_NAME       32u
#define RECORDER_RINGS_MAX       4096u
#define RECORDER_RINGS_PER_BLOCK (RECORDER_BLOCK_BYTES / sizeof(recorder_ring_row))
#define RECORDER_CLOCK_ROWS      64u
#define RECORDER_SLOT_BYTES      512u
#define RECORDER_SLOTS_PER_BLOCK (RECORDER_BLOCK_BYTES / RECORDER_SLOT_BYTES)
#define RECORDER_LIVE_BLOCKS_MAX 512u /* 16,384 spans at once */
#define RECORDER_SITE_BLOCKS_MAX 1024u
#define RECORDER_REASONS         16u
#define RECORDER_EXTERNAL        1u /* no drainer: a server may read it while the process lives */
#define RECORDER_LOCK_ALIVE      0  /* byte of the OFD lock that the living process holds */
#define RECORDER_LOCK_DRAINER    1  /* byte of the OFD lock that the one drainer holds */

/* reason, label value of sonde_dropped_total, meaning */
#define RECORDER_DROP_REASONS(X) \
    X(NOT_STARTED, "not_started", "called before sonde_start or after sonde_stop") \
    X(FULL, "recorder_full", "no free block in the recorder: the drainer is behind") \
    X(LIVE, "too_many_live_spans", "more spans open at once than the live table holds") \
    X(RINGS, "too_many_threads", "more threads write at once than there are rings") \
    X(CUT, "attributes_cut", "attributes left out of a record that was too long") \
    X(CONTEXT, "context_full", "context values that did not fit") \
    X(EXPORT, "export_refused", "a sink refused the data for good") \
    X(SPOOL, "spool_full", "a sink was away for longer than its spool lasts") \
    X(SERIES, "too_many_series", "label sets beyond a metric's limit") \
    X(INVALID, "invalid", "a metric update without sense: wrong labels, a falling counter, NaN") \
    X(SUPPRESSED, "suppressed", "left out by the limit that a log site has set itself")

typedef enum {
#define X(code, label, meaning) RECORDER_DROP_##code,
    RECORDER_DROP_REASONS(X)
#undef X
        RECORDER_DROP_COUNT
} recorder_drop;

/* What a block is: the lowest byte of its word in the block table. */
typedef enum {
    RECORDER_FREE = 0,
    RECORDER_CLAIMED = 1, /* being prepared by a writer */
    RECORDER_EXTENT = 2,  /* head of a run of records of one ring */
    RECORDER_TAIL = 3,    /* continues the run that the nearest head before it began */
    RECORDER_SITES = 4,
    RECORDER_RINGS = 5,
    RECORDER_LIVE = 6,
    RECORDER_METRICS = 7
} recorder_block_kind;

/* Block word: kind 0..7, blocks in the run 8..15, ring 16..31, index 32..63. */
static inline uint64_t recorder_block_word(recorder_block_kind kind, uint32_t blocks, uint32_t ring,
                                           uint32_t index)
{
    return (uint64_t)kind | (uint64_t)blocks << 8 | (uint64_t)ring << 16 | (uint64_t)index << 32;
}
#define RECORDER_WORD_KIND(w)   ((uint32_t)((w)&0xff))
#define RECORDER_WORD_BLOCKS(w) ((uint32_t)((w) >> 8 & 0xff))
#define RECORDER_WORD_RING(w)   ((uint32_t)((w) >> 16 & 0xffff))
#define RECORDER_WORD_INDEX(w)  ((uint32_t)((w) >> 32))

/* wall ns = real_ns + ((ticks - this.ticks) * mult >> 32), signed */
typedef struct {
    uint64_t sequence; /* atomic; 0: empty, written last */
    uint64_t ticks;
    int64_t real_ns;
    uint64_t mult; /* ns per tick, 32.32 fixed point */
} recorder_clock_row;

typedef struct {
    uint64_t magic; /* atomic, written last */
    uint32_t version;
    uint32_t header_bytes;
    uint32_t block_bytes;
    uint32_t block_count; /* capacity; the block table has as many words */
    uint64_t table_offset;
    uint64_t blocks_offset; /* of block 0 */
    uint64_t id;            /* random */
    uint8_t boot_id[16];
    int32_t pid;
    uint32_t flags;     /* RECORDER_EXTERNAL */
    uint64_t pid_start; /* field 22 of /proc/PID/stat, clock ticks after boot */
    uint64_t pid_namespace;
    int64_t start_ns;     /* wall clock */
    uint64_t ended;       /* atomic; 1 after a clean stop */
    uint64_t reserved;    /* atomic; blocks whose space is taken from the file system */
    uint64_t ring_count;  /* atomic; rings ever used */
    uint64_t heartbeat;   /* atomic; ticks when the drainer last ran */
    uint64_t metric_root; /* atomic; file offset of the metric area's first object, 0 none */
    uint64_t clock_count; /* atomic; rows ever written, newest at (count - 1) % 64 */
    uint32_t resource_bytes;
    uint32_t resource_count;
    uint8_t free_space[80];
    char sinks[RECORDER_SINKS][RECORDER_SINK_NAME]; /* zero padded; empty: unused */
    uint64_t drops[3][RECORDER_REASONS];            /* atomic; [signal_kind][recorder_drop] */
    recorder_clock_row clock[RECORDER_CLOCK_ROWS];
    uint8_t resource[RECORDER_RESOURCE_MAX]; /* attributes, encoded like those of a record */
    /* What readers take out of values: the list of rules, then that of key patterns, as
     * redact_rules_init takes them. Without the right check: all rules. */
    uint16_t redact_values_bytes, redact_keys_bytes;
    uint32_t redact_check; /* recorder_redact_check of the two */
    char redact[RECORDER_REDACT_MAX];
} recorder_header;

static inline uint32_t recorder_redact_check(uint32_t values_bytes, uint32_t keys_bytes)
{
    return ~(values_bytes << 16 | keys_bytes);
}

/* A sequence is a position: extent index << 24 | byte offset in the extent. */
#define RECORDER_SEQ(index, offset) ((uint64_t)(index) << 24 | (uint64_t)(offset))
#define RECORDER_SEQ_INDEX(seq)     ((uint32_t)((seq) >> 24))
#define RECORDER_SEQ_OFFSET(seq)    ((uint32_t)((seq)&0xffffff))

typedef struct {
    uint32_t state; /* 0 unused, 1 in use or used */
    int32_t tid;    /* of the last owner */
    char thread[16];
    uint64_t reserved[2];
    uint64_t counted_index; /* atomic; `written` counts what is before this extent; ~0: not now */
    uint64_t written[2];    /* atomic; records of the ring so far: logs, spans */
    uint64_t cursor[RECORDER_SINKS]; /* atomic; sequence from which the sink has not read */
} recorder_ring_row;

/* At the start of each extent; records follow, each on a multiple of 8. */
typedef struct {
    uint64_t magic; /* RECORDER_EXTENT_MAGIC ^ recorder id */
    uint32_t ring;
    uint32_t index;
    uint32_t bytes; /* of the run, this header included */
    uint32_t reserved;
    uint64_t taken_ticks;
} recorder_extent;
#define RECORDER_EXTENT_MAGIC 0x746e657478650a01ull

/* First word of a record, atomic, stored last: size 0..31 (with this word, a multiple of 8),
 * kind 32..39, check 40..63. 0: not committed. */
typedef enum { RECORDER_LOG = 1, RECORDER_SPAN = 2, RECORDER_NEXT = 3 } recorder_record_kind;

/* The part of a check that all records of an extent share. */
static inline uint32_t recorder_check_seed(uint32_t ring, uint32_t index)
{
    return (index * 0x9e3779b1u) ^ (ring * 0xc2b2ae35u);
}

static inline uint32_t recorder_check_at(uint32_t seed, uint32_t offset)
{
    uint32_t h = seed ^ (offset * 0x85ebca6bu);
    return (h ^ h >> 15) & 0xffffff;
}

static inline uint32_t recorder_check(uint32_t ring, uint32_t index, uint32_t offset)
{
    return recorder_check_at(recorder_check_seed(ring, index), offset);
}

static inline uint64_t recorder_record_word(uint32_t size, recorder_record_kind kind,
                                            uint32_t check)
{
    return (uint64_t)size | (uint64_t)kind << 32 | (uint64_t)check << 40;
}
#define RECORDER_WORD_SIZE(w)   ((uint32_t)(w))
#define RECORDER_WORD_RECORD(w) ((uint32_t)((w) >> 32 & 0xff))
#define RECORDER_WORD_CHECK(w)  ((uint32_t)((w) >> 40))

#define RECORDER_FLAG_TRACE   1u /* log: trace and span id follow the fixed part */
#define RECORDER_FLAG_SAMPLED 2u
#define RECORDER_FLAG_REMOTE  4u /* span: the parent is in another process */
/* log: no site; u8 length + event name, u8 length + logger come before the attributes (the logger
 * only with RECORDER_FLAG_LOGGER) */
#define RECORDER_FLAG_INLINE 8u
#define RECORDER_FLAG_LOGGER 16u

/* A log record; then [trace id 16, span id 8], then the attributes. */
typedef struct {
    uint64_t word;
    uint64_t ticks;
    uint32_t site; /* 0: none */
    uint16_t attributes;
    uint16_t dropped; /* attributes left out */
    uint8_t severity; /* OpenTelemetry SeverityNumber */
    uint8_t flags;
    uint16_t bytes;   /* of everything after this struct, without the padding */
    uint16_t context; /* the last so many attributes come from the thread's context */
    uint16_t reserved;
} recorder_log;

/* A finished span in a ring, and a live one in its slot; then `bytes` of stream. */
typedef struct {
    uint64_t word; /* in a slot: recorder_slot_state, atomic, stored last */
    uint64_t end_ticks;
    uint32_t site; /* 0: the stream has the name */
    uint8_t kind;
    uint8_t status;
    uint16_t flags;
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8]; /* zero: root */
    uint64_t start_ticks;
    uint32_t bytes; /* atomic in a slot: whole entries in the stream */
    uint16_t dropped_events;
    uint16_t dropped;  /* other entries left out */
    uint64_t end_seq;  /* slot only: where the finished span is being written, 0 not yet */
    uint32_t end_ring; /* slot only; tentative or kept: slot number + 1 of the local root; live and
                        * end_seq 0: ring + 1 of the thread that began it */
    uint32_t next;     /* slot only: slot number + 1 of the stream's continuation, 0 none */
    uint32_t lock;     /* slot only: 1 while somebody appends */
    uint32_t chain;    /* slot only; tentative or kept: slot number + 1 of the local root's next */
} recorder_span;

typedef enum {
    RECORDER_SLOT_FREE = 0,
    RECORDER_SLOT_LIVE = 1,
    RECORDER_SLOT_UNSAMPLED = 2,
    RECORDER_SLOT_MORE = 3,      /* continues another slot's stream; payload after 16 bytes */
    RECORDER_SLOT_TENTATIVE = 4, /* open and unsampled; kept for when its local root fails */
    RECORDER_SLOT_KEPT = 5       /* the same, ended before its local root: waits for it */
} recorder_slot_state;

typedef struct {
    uint64_t word; /* RECORDER_SLOT_MORE */
    uint32_t next; /* slot number + 1, 0 none */
    uint32_t reserved;
} recorder_slot_more;
#define RECORDER_SLOT_HEAD_PAYLOAD (RECORDER_SLOT_BYTES - sizeof(recorder_span))
#define RECORDER_SLOT_MORE_PAYLOAD (RECORDER_SLOT_BYTES - sizeof(recorder_slot_more))
#define RECORDER_STREAM_MAX        (RECORDER_RECORD_MAX - sizeof(recorder_span) - 8)

/* Tags. An attribute: tag, [u8 key length, key], value. Without RECORDER_TAG_KEY the key is the
 * site's next one: the n-th attribute of the record has the site's n-th key. */
#define RECORDER_TAG_NULL     0x01u /* no value bytes */
#define RECORDER_TAG_FALSE    0x02u
#define RECORDER_TAG_TRUE     0x03u
#define RECORDER_TAG_I64      0x04u /* 8 bytes */
#define RECORDER_TAG_U64      0x05u
#define RECORDER_TAG_F64      0x06u
#define RECORDER_TAG_STR      0x07u /* u16 length, bytes */
#define RECORDER_TAG_BYTES    0x08u
#define RECORDER_TAG_REDACTED 0x09u /* no value bytes: the secret was never written */
#define RECORDER_TAG_GROUP    0x0au /* u16 count, then as many attributes, all with keys */
#define RECORDER_TAG_TYPE(t)  ((t)&0x0fu)
#define RECORDER_TAG_KEY      0x10u
#define RECORDER_TAG_CUT      0x20u /* the value was longer */
/* u64 ticks, u8 length + name, u16 count, attributes with keys */
#define RECORDER_TAG_EVENT      0x40u
#define RECORDER_TAG_LINK       0x41u /* trace id, span id, u32 flags */
#define RECORDER_TAG_NAME       0x42u /* u16 length, bytes: the span's name from here on */
#define RECORDER_TAG_STATUS     0x43u /* u16 length, bytes: message of the status */
#define RECORDER_TAG_TRACESTATE 0x44u /* u16 length, bytes */
#define RECORDER_TAG_START      0x45u /* i64 ns since 1970: instead of start_ticks */
#define RECORDER_TAG_END        0x46u /* i64 ns since 1970: instead of end_ticks */
#define RECORDER_TAG_EVENT_AT   0x47u /* an event with i64 ns since 1970 in place of ticks */
/* trace id, span id, u32 flags, u16 length + tracestate, u16 count, attributes with keys */
#define RECORDER_TAG_LINK_FULL 0x48u

/* A row of the site table. Its number: block index << 11 | offset / 8, never 0 since each block
 * starts with 8 bytes of nothing. */
typedef struct {
    uint32_t word; /* atomic, stored last: size of the row, a multiple of 8; 0 not committed */
    uint8_t level; /* SeverityNumber; 0: a span */
    uint8_t key_count;
    uint16_t name_bytes;
    uint32_t line;
    uint16_t file_bytes;
    uint16_t function_bytes;
    /* name, file, function, then per key: u8 length, bytes; then, in a row that is long enough,
     * the logger: u8 length, bytes */
} recorder_site_row;
#define RECORDER_SITE_KEYS           12u
#define RECORDER_SITE(index, offset) ((uint32_t)((index) << 11 | (offset) / 8))
#define RECORDER_SITE_INDEX(id)      ((uint32_t)(id) >> 11)
#define RECORDER_SITE_OFFSET(id)     (((uint32_t)(id)&0x7ff) * 8)

_Static_assert(sizeof(recorder_header) <= RECORDER_HEADER_BYTES, "header fits");
_Static_assert(sizeof(recorder_ring_row) == 128, "ring row");
_Static_assert(sizeof(recorder_log) == 32, "log");
_Static_assert(sizeof(recorder_span) == 96, "span");
_Static_assert(sizeof(recorder_extent) == 32, "extent");
_Static_assert(sizeof(recorder_site_row) == 16, "site row");

#endif
