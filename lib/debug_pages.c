// SPDX-License-Identifier: Apache-2.0
/* /debug/status, /debug/memory and /debug/spans. */
#include "lib/debug_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "codec/span_json.h"
#include "lib/describe.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

/* In two steps: other C libraries do not have the macro. */
#if defined(__GLIBC__)
#define HAVE_MALLINFO2 __GLIBC_PREREQ(2, 33)
#else
#define HAVE_MALLINFO2 0
#endif

int debug_status_page(page *p)
{
    provider_answer answers[DEBUG_KIND_MAX];
    size_t count = p->head ? 0 : debug_ask_providers(PROVIDE_STATUS, answers);
    if (count == 0) {
        json_writer w = json_write(p->out);
        p->content_type = "application/json";
        describe_status_json(&w);
        buf_char(p->out, '\n');
        return 200;
    }
    json_writer w = debug_begin_json(p);
    for (size_t i = 0; i < count; i++) {
        bool named = answers[i].name[0] != '\0';
        if (named) {
            json_key(&w, str_c(answers[i].name));
            json_begin_object(&w);
        }
        debug_put_members(&w, &answers[i]);
        if (named)
            json_end_object(&w);
        buf_done(&answers[i].memory);
    }
    return debug_end_json(p, &w);
}

/* ---- memory ---- */

/* "Rss:      1234 kB" of the file; 0 when it is not there. */
static uint64_t kib_line(str text, const char *key)
{
    uint64_t kib = 0;
    while (text.len) {
        str rest, value, line = str_cut(text, '\n', &rest);
        if (str_is(str_cut(line, ':', &value), key)) {
            str unit;
            if (!str_to_u64(str_cut(str_trim(value), ' ', &unit), &kib))
                kib = 0;
            break;
        }
        text = rest;
    }
    return kib;
}

static void put_process(json_writer *w)
{
    static const struct {
        const char *key, *line;
    } rollup[] = { { "rss_bytes", "Rss" },
                   { "pss_bytes", "Pss" },
                   { "private_dirty_bytes", "Private_Dirty" },
                   { "shared_clean_bytes", "Shared_Clean" },
                   { "swap_bytes", "Swap" } },
      status_file[] = { { "rss_peak_bytes", "VmHWM" },
                        { "virtual_bytes", "VmSize" },
                        { "stack_bytes", "VmStk" } };
    buf text;
    buf_init(&text, KiB(64));
    json_key(w, STR("process"));
    json_begin_object(w);
    JSON_PUT(w, i64, "pid", getpid());
    if (file_read("/proc/self/smaps_rollup", &text, NULL) == STATUS_OK)
        for (size_t i = 0; i < ARRAY_LEN(rollup); i++) {
            json_key(w, str_c(rollup[i].key));
            json_u64(w, kib_line(buf_view(&text), rollup[i].line) << 10);
        }
    buf_clear(&text);
    if (file_read("/proc/self/status", &text, NULL) == STATUS_OK) {
        for (size_t i = 0; i < ARRAY_LEN(status_file); i++) {
            json_key(w, str_c(status_file[i].key));
            json_u64(w, kib_line(buf_view(&text), status_file[i].line) << 10);
        }
        JSON_PUT(w, u64, "threads", kib_line(buf_view(&text), "Threads"));
    }
    json_end_object(w);
    buf_done(&text);
}

static void put_malloc(json_writer *w)
{
#if HAVE_MALLINFO2
    struct mallinfo2 m = mallinfo2();
    json_key(w, STR("malloc"));
    json_begin_object(w);
    JSON_PUT(w, u64, "in_use_bytes", m.uordblks + m.hblkhd);
    JSON_PUT(w, u64, "free_bytes", m.fordblks);
    JSON_PUT(w, u64, "arena_bytes", m.arena);
    JSON_PUT(w, u64, "mapped_bytes", m.hblkhd);
    JSON_PUT(w, u64, "trimmable_bytes", m.keepcost);
    json_end_object(w);
#else
    (void)w;
#endif
}

static void put_recorder(json_writer *w)
{
    recorder_reader *reader = NULL;
    recorder *r = debug_lock_recorder();
    if (!r)
        return;
    recorder_reader_options options = { .read_only = true };
    if (recorder_open_reader(r, &reader, &options, NULL) == STATUS_OK) {
        recorder_info info = recorder_reader_info(reader);
        json_key(w, STR("recorder"));
        json_begin_object(w);
        JSON_PUT(w, u64, "capacity_bytes", info.capacity_bytes);
        JSON_PUT(w, u64, "reserved_bytes", info.reserved_bytes);
        JSON_PUT(w, u64, "used_bytes", info.used_bytes);
        json_end_object(w);
    }
    recorder_reader_close(reader);
    debug_unlock_recorder();
}

int debug_memory_page(page *p)
{
    json_writer w = debug_begin_json(p);
    put_process(&w);
    put_malloc(&w);
    put_recorder(&w);
    return debug_end_json(p, &w);
}

/* ---- open spans ---- */

static void put_id(json_writer *w, const char *key, const uint8_t *bytes, size_t n)
{
    json_key(w, str_c(key));
    json_hex(w, bytes, n);
}

/* An attribute of its own place; NULL when it is not there. */
static const attr *put_thread(json_writer *w, const attrs *list, const char *key, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (str_is(list->items[i].key, key)) {
            json_key(w, str_c(name));
            debug_json_value(w, str_c(name), &list->items[i].value);
            return &list->items[i];
        }
    return NULL;
}

static void put_span(json_writer *w, const span_rows *s, uint32_t i, int64_t now)
{
    json_begin_object(w);
    put_id(w, "trace_id", s->trace[i].bytes, sizeof(s->trace[i].bytes));
    put_id(w, "span_id", s->span[i].bytes, sizeof(s->span[i].bytes));
    if (span_id_is_set(s->parent[i]))
        put_id(w, "parent_span_id", s->parent[i].bytes, sizeof(s->parent[i].bytes));
    json_key(w, STR("name"));
    debug_json_text(w, s->name[i]);
    JSON_PUT(w, str, "kind", str_c(span_kind_name(s->kind[i])));
    JSON_PUT(w, f64, "age_seconds", (double)MAX(now - s->start_ns[i], 0) / (double)NS_PER_S);
    const attr *named = put_thread(w, &s->attributes[i], "thread.name", "thread");
    const attr *numbered = put_thread(w, &s->attributes[i], "thread.id", "thread_id");
    json_key(w, STR("attributes"));
    json_begin_object(w);
    for (uint32_t j = 0; j < s->attributes[i].count; j++) {
        const attr *a = &s->attributes[i].items[j];
        if (str_starts(a->key, STR("sonde.")) || a == named || a == numbered)
            continue;
        json_key(w, a->key);
        debug_json_value(w, a->key, &a->value);
    }
    json_end_object(w);
    json_end_object(w);
}

typedef struct {
    const span_rows *rows;
    uint32_t row;
} by_age;

static int oldest_first(const void *a, const void *b)
{
    const by_age *x = a, *y = b;
    int64_t s = x->rows->start_ns[x->row], t = y->rows->start_ns[y->row];
    return (s > t) - (s < t);
}

static void put_spans(json_writer *w, const batch *b)
{
    uint32_t count = b->spans.count;
    int64_t now = clock_now_ns();
    by_age *order = malloc((count + 1) * sizeof(*order));
    for (uint32_t i = 0; order && i < count; i++)
        order[i] = (by_age){ &b->spans, i };
    if (order)
        qsort(order, count, sizeof(*order), oldest_first);
    json_key(w, STR("spans"));
    json_begin_array(w);
    for (uint32_t i = 0; i < count; i++)
        put_span(w, &b->spans, order ? order[i].row : i, now);
    json_end_array(w);
    JSON_PUT(w, u64, "open", count);
    free(order);
}

int debug_spans_page(page *p)
{
    recorder_reader *reader = NULL;
    batch rows;
    error err;
    recorder *r = debug_lock_recorder();
    if (!r)
        return page_fail(p, 503, "call sonde_start", "the library is not started: no spans");
    recorder_reader_options options = { .read_only = true };
    batch_init(&rows, SIGNAL_TRACES, MiB(32));
    status st = recorder_open_reader(r, &reader, &options, &err);
    if (st == STATUS_OK)
        st = recorder_live_spans(reader, &rows, &err);
    if (st == STATUS_OK || st == STATUS_LIMIT) {
        json_writer w = debug_begin_json(p);
        put_spans(&w, &rows);
        if (st == STATUS_LIMIT)
            JSON_PUT(&w, str, "error", str_c(err.message));
        debug_end_json(p, &w);
        st = STATUS_OK;
    }
    recorder_reader_close(reader);
    debug_unlock_recorder();
    batch_done(&rows);
    return st == STATUS_OK ? 200
                           : page_fail(p, 500, NULL, "open spans cannot be read: %s", err.message);
}
