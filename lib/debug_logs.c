// SPDX-License-Identifier: Apache-2.0
/* /debug/logs: what the recorder still holds, and before that the tail of lines that the drainer
 * passed on. A record that is in both is shown once. The tail is kept only when somebody asked for
 * one of the library's paths, since a program without them needs none; where a server reads the
 * recorder, there is no drainer and only the recorder's part. */
#include "lib/debug_internal.h"

#include "base/clock.h"
#include "codec/log_format.h"
#include "lib/env_internal.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { LINES_DEFAULT = 100, LINES_MAX = 10000, POLL_ROWS = 1024 };
#define PAGE_BYTES MiB(16)

typedef struct log_line {
    struct log_line *next;
    int64_t time_ns;
    uint64_t record; /* hash of its id */
    uint8_t severity;
    uint32_t len;
    char text[];
} log_line;

/* Oldest first; the oldest leave when there are too many or too many bytes. */
typedef struct {
    log_line *first, **end; /* end NULL: empty, not initialised */
    uint32_t count, count_max;
    size_t bytes, bytes_max;
} log_list;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static log_list tail = { .count_max = LINES_MAX, .bytes_max = LOG_TAIL_BYTES };
static _Atomic bool keeps;

/* How lines look: as those of the log output. Never freed, since a reader may have it; a new one is
 * made only where a later start says another. */
typedef struct line_format {
    struct line_format *before;
    log_format format;
    size_t len;
    char spec[];
} line_format;
static line_format *_Atomic lines_as;

void debug_logs_configure(str spec)
{
    error err;
    line_format *old = atomic_load(&lines_as);
    if (old ? str_eq(spec, str_n(old->spec, old->len)) : !spec.len)
        return;
    line_format *f = malloc(sizeof(*f) + spec.len);
    if (!f)
        return;
    f->before = old;
    f->len = spec.len;
    memcpy(f->spec, spec.ptr, spec.len);
    if (log_format_parse(&f->format, str_n(f->spec, f->len), &err) != STATUS_OK ||
        f->format.console)
        f->format.schema = log_schema_default;
    atomic_store(&lines_as, f);
}

void debug_used(void)
{
    atomic_store_explicit(&keeps, true, memory_order_relaxed);
}

void debug_logs_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    tail.first = NULL; /* perhaps half changed: forgotten */
    tail.end = NULL;
    tail.count = 0;
    tail.bytes = 0;
}

static size_t line_bytes(const log_line *l)
{
    return sizeof(*l) + l->len;
}

static void drop_first(log_list *list)
{
    log_line *l = list->first;
    list->first = l->next;
    list->bytes -= line_bytes(l);
    if (--list->count == 0)
        list->end = NULL;
    free(l);
}

static void list_add(log_list *list, log_line *l)
{
    *(list->end ? list->end : &list->first) = l;
    list->end = &l->next;
    list->count++;
    list->bytes += line_bytes(l);
    while (list->count > list->count_max || (list->bytes > list->bytes_max && list->count > 1))
        drop_first(list);
}

static void list_clear(log_list *list)
{
    while (list->count)
        drop_first(list);
}

/* NULL without memory. */
static log_line *line_with(const batch *b, uint32_t row, str text)
{
    log_line *l = malloc(sizeof(*l) + text.len);
    if (!l)
        return NULL;
    str id = attrs_get_str(&b->logs.attributes[row], STR("sonde.record.id"));
    *l = (log_line){ .time_ns = b->logs.time_ns[row],
                     .record = str_hash(id),
                     .severity = b->logs.severity[row],
                     .len = (uint32_t)text.len };
    memcpy(l->text, text.ptr, text.len);
    return l;
}

static log_line *line_of(const batch *b, uint32_t row, buf *scratch)
{
    const line_format *f = atomic_load(&lines_as);
    const log_json_options options = { .schema = f ? &f->format.schema : NULL };
    buf_clear(scratch);
    log_json_row(b, row, &options, scratch);
    return scratch->failed ? NULL : line_with(b, row, buf_view(scratch));
}

static void tail_add(log_line *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&lock);
    list_add(&tail, l);
    pthread_mutex_unlock(&lock);
}

bool debug_logs_wanted(void)
{
    return atomic_load_explicit(&keeps, memory_order_relaxed);
}

void debug_logs_keep_line(const batch *logs, uint32_t row, str line)
{
    tail_add(line_with(logs, row, line));
}

void debug_logs_keep(const batch *logs)
{
    if (!debug_logs_wanted() || logs->logs.count == 0)
        return;
    buf scratch;
    buf_init(&scratch, MiB(1));
    for (uint32_t i = 0; i < logs->logs.count; i++)
        tail_add(line_of(logs, i, &scratch));
    buf_done(&scratch);
}

/* ---- the page ---- */

/* What the recorder still has, of that level or above, into the list. */
static status read_recorder(recorder *r, uint8_t severity, log_list *list, error *err)
{
    recorder_reader *reader = NULL;
    recorder_cursor *cursor;
    batch rows;
    buf scratch;
    uint32_t count = 0;
    bool full = false;
    recorder_reader_options options = { .read_only = true };
    buf_init(&scratch, MiB(1));
    batch_init(&rows, SIGNAL_LOGS, MiB(8));
    status st = recorder_open_reader(r, &reader, &options, err);
    if (st == STATUS_OK)
        st = recorder_cursor_open_unnamed(reader, &cursor, err);
    do {
        batch_clear(&rows);
        if (st == STATUS_OK)
            st = recorder_poll(reader, cursor, INT64_MAX, POLL_ROWS, &rows, NULL, &count, &full,
                               err);
        for (uint32_t i = 0; i < rows.logs.count; i++) {
            log_line *l = rows.logs.severity[i] >= severity ? line_of(&rows, i, &scratch) : NULL;
            if (l)
                list_add(list, l);
        }
    } while (st == STATUS_OK && (count == POLL_ROWS || (full && count)));
    recorder_reader_close(reader);
    batch_done(&rows);
    buf_done(&scratch);
    return st;
}

static int by_time(const void *a, const void *b)
{
    const log_line *x = *(log_line *const *)a, *y = *(log_line *const *)b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return (x->record > y->record) - (x->record < y->record);
}

/* Appends the last `lines` of both lists. The tail is locked by the caller. */
static void write_lines(buf *out, const log_list *list, uint8_t severity, uint64_t lines)
{
    size_t count = 0, kept = 0;
    const log_line **all = malloc((list->count + tail.count + 1) * sizeof(void *));
    if (!all) {
        out->failed = true;
        return;
    }
    for (const log_line *l = list->first; l && count < list->count; l = l->next)
        all[count++] = l;
    for (const log_line *l = tail.first; l && count < list->count + tail.count; l = l->next)
        if (l->severity >= severity)
            all[count++] = l;
    qsort(all, count, sizeof(void *), by_time);
    for (size_t i = 0; i < count; i++)
        if (!kept || all[i]->record != all[kept - 1]->record)
            all[kept++] = all[i];
    for (size_t i = kept - MIN(kept, (size_t)lines); i < kept; i++)
        buf_add(out, all[i]->text, all[i]->len);
    free(all);
}

bool debug_parse_level(str text, uint8_t *ret)
{
    return env_set_level(NULL, ret, text);
}

int debug_logs_page(page *p)
{
    uint64_t lines;
    uint8_t severity = 0;
    char level[QUERY_TEXT_MAX];
    error err;
    if (!query_number(p, "lines", LINES_DEFAULT, 1, LINES_MAX, &lines))
        return 400;
    if (query_get(p->query, "level", level) && !debug_parse_level(str_c(level), &severity))
        return page_fail(p, 400, "it must be debug, info, warn, error or fatal",
                         "level=%.32s is wrong", level);
    log_list list = { .count_max = (uint32_t)lines, .bytes_max = PAGE_BYTES };
    recorder *r = debug_lock_recorder();
    status st = r ? read_recorder(r, severity, &list, &err) : STATUS_OK;
    if (r)
        debug_unlock_recorder();
    pthread_mutex_lock(&lock);
    write_lines(p->out, &list, severity, lines);
    pthread_mutex_unlock(&lock);
    list_clear(&list);
    p->content_type = "application/x-ndjson";
    return st == STATUS_OK
               ? 200
               : page_fail(p, 500, NULL, "the recorder cannot be read: %s", err.message);
}
