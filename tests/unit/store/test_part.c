// SPDX-License-Identifier: Apache-2.0
/* Parts on disk: damage anywhere is noticed and costs at most the part; merges change no answer;
 * a store whose manifest is gone refuses to guess. */
#include "base/file.h"
#include "fixture.h"
#include "store/store_internal.h"

#include <fcntl.h>

static void ingest_some(store *s, signal_kind signal, int n, int64_t from_ms)
{
    batch b;
    batch_init(&b, signal, MiB(4));
    uint32_t scope = add_service(&b, n % 2 ? "api" : "worker");
    uint32_t m = signal == SIGNAL_METRICS ? add_gauge(&b, scope, "g") : 0;
    for (int i = 0; i < 20; i++) {
        int64_t t = T0_NS + (from_ms + i) * NS_PER_MS;
        if (signal == SIGNAL_LOGS) {
            uint32_t k = add_log(&b, scope, t, 9, text(&b, "line %d of %d", i, n));
            add_attr(&b, &b.logs.attributes[k], "n", VALUE_I(n * 100 + i));
            b.logs.trace[k] = trace_n((uint32_t)i);
        } else if (signal == SIGNAL_TRACES) {
            add_span(&b, scope, t, NS_PER_MS, (uint32_t)i, (uint32_t)(n * 100 + i), "op");
        } else {
            uint32_t p = add_point(&b, m, t, i * 0.25);
            add_attr(&b, &b.points.attributes[p], "mod", VALUE_I(i % 3));
        }
    }
    ingest(s, &b);
    batch_done(&b);
}

static int by_line(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

/* Rows of one time come in no certain order: sorts the lines. */
static void sort_lines(buf *b)
{
    str lines[4000], rest = buf_view(b);
    size_t n = 0;
    while (rest.len && n < ARRAY_LEN(lines))
        lines[n++] = str_cut(rest, '\n', &rest);
    qsort(lines, n, sizeof(str), by_line);
    buf sorted;
    buf_init(&sorted, 0);
    for (size_t i = 0; i < n; i++) {
        buf_str(&sorted, lines[i]);
        buf_char(&sorted, '\n');
    }
    buf_done(b);
    *b = sorted;
}

static void ask(store *s, buf *out);

/* All that can be asked, as one text. A damaged store may give less, never something else. */
static void ask_everything(store *s, buf *out)
{
    ask(s, out);
    sort_lines(out);
}

static void ask(store *s, buf *out)
{
    collected c = run_rows(s, all_rows(SIGNAL_LOGS));
    buf_str(out, buf_view(&c.text));
    buf_done(&c.text);
    c = run_rows(s, all_rows(SIGNAL_TRACES));
    buf_str(out, buf_view(&c.text));
    buf_done(&c.text);
    series_text(s, all_series(), out);
    matcher m[] = { { STR("n"), MATCH_EQ, STR("105") } };
    row_query q = all_rows(SIGNAL_LOGS);
    q.matchers = m;
    q.matcher_count = 1;
    c = run_rows(s, q);
    buf_str(out, buf_view(&c.text));
    buf_done(&c.text);
    batch t;
    batch_init(&t, SIGNAL_TRACES, MiB(1));
    if (store_trace(s, trace_n(3), &t, NULL) == STATUS_OK)
        buf_fmt(out, "trace of %u\n", batch_row_count(&t));
    batch_done(&t);
    arena a;
    str_list l;
    names_query nq = { .signal = SIGNAL_LOGS, .from_ns = 0, .to_ns = INT64_MAX };
    arena_init(&a, MiB(4));
    if (store_label_values(s, &nq, STR("service"), &a, &l, NULL) == STATUS_OK) {
        for (uint32_t i = 0; i < l.count; i++)
            buf_fmt(out, "service %.*s\n", STR_ARG(l.items[i]));
    }
    arena_done(&a);
}

static char found_part[512];
static int find_part(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    if (type == FTW_F && str_ends(str_c(path), STR(".part")))
        snprintf(found_part, sizeof(found_part), "%s", path);
    return 0;
}

static void wrong_bytes_of(signal_kind signal)
{
    char *dir = make_dir();
    store *s = open_store(dir);
    ingest_some(s, signal, 1, 0);
    seal(s);
    buf right;
    buf_init(&right, 0);
    ask_everything(s, &right);
    store_close(s);
    found_part[0] = 0;
    nftw(dir, find_part, 16, FTW_PHYS);
    assert_true(found_part[0] != 0);
    char *path = strdup(found_part);
    buf whole;
    buf_init(&whole, 0);
    assert_int_equal(file_read(path, &whole, NULL), STATUS_OK);
    uint64_t noticed = 0;
    char day[600];
    snprintf(day, sizeof(day), "%s", path);
    *strrchr(day, '/') = 0;
    for (size_t at = 0; at < whole.len; at++) {
        assert_int_equal(file_make_dirs(day, 0700, NULL), STATUS_OK); /* swept when it was empty */
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        whole.ptr[at] ^= 0x41;
        assert_int_equal(file_write_all(fd, whole.ptr, whole.len, NULL), STATUS_OK);
        whole.ptr[at] ^= 0x41;
        close(fd);
        s = open_store(dir);
        buf out;
        buf_init(&out, 0);
        ask_everything(s, &out);
        store_stats st = stats_of(s);
        noticed += st.corrupt_parts > 0;
        /* Either unharmed or noticed. */
        if (st.corrupt_parts == 0)
            assert_true(str_eq(buf_view(&out), buf_view(&right)));
        else
            assert_true(out.len <= right.len);
        buf_done(&out);
        store_close(s);
    }
    assert_true(noticed > whole.len * 9 / 10);
    buf_done(&whole);
    buf_done(&right);
    free(path);
    remove_dir(dir);
}

static void any_wrong_byte_in_a_part_of_logs_is_noticed(void **state)
{
    (void)state;
    wrong_bytes_of(SIGNAL_LOGS);
}

static void any_wrong_byte_in_a_part_of_spans_is_noticed(void **state)
{
    (void)state;
    wrong_bytes_of(SIGNAL_TRACES);
}

static void any_wrong_byte_in_a_part_of_metrics_is_noticed(void **state)
{
    (void)state;
    wrong_bytes_of(SIGNAL_METRICS);
}

static void a_cut_part_is_set_aside_and_the_rest_answers(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    ingest_some(s, SIGNAL_LOGS, 1, 0);
    seal(s);
    nftw(dir, find_part, 16, FTW_PHYS);
    ingest_some(s, SIGNAL_LOGS, 2, 100);
    seal(s);
    store_close(s);
    assert_int_equal(truncate(found_part, 100), 0);
    s = open_store(dir);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 20);
    assert_int_equal(stats_of(s).corrupt_parts, 1);
    char aside[600];
    snprintf(aside, sizeof(aside), "%s/aside/%s", dir, strrchr(found_part, '/') + 1);
    assert_int_equal(access(aside, F_OK), 0);
    store_close(s);
    remove_dir(dir);
}

static void parts_without_a_manifest_are_not_deleted(void **state)
{
    (void)state;
    char *dir = make_dir(), path[300];
    store *s = open_store(dir);
    ingest_some(s, SIGNAL_LOGS, 1, 0);
    seal(s);
    store_close(s);
    snprintf(path, sizeof(path), "%s/MANIFEST", dir);
    assert_int_equal(unlink(path), 0);
    error err;
    assert_int_equal(store_open(&s, &(store_options){ .dir = dir }, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "MANIFEST"));
    found_part[0] = 0;
    nftw(dir, find_part, 16, FTW_PHYS);
    assert_true(found_part[0] != 0);
    remove_dir(dir);
}

static void a_wrong_manifest_is_refused(void **state)
{
    (void)state;
    char *dir = make_dir(), path[300];
    store *s = open_store(dir);
    ingest_some(s, SIGNAL_METRICS, 1, 0);
    seal(s);
    store_close(s);
    snprintf(path, sizeof(path), "%s/MANIFEST", dir);
    buf whole;
    buf_init(&whole, 0);
    assert_int_equal(file_read(path, &whole, NULL), STATUS_OK);
    for (size_t at = 0; at < whole.len; at++) {
        whole.ptr[at] ^= 0x10;
        assert_int_equal(file_replace(dir, "MANIFEST", buf_view(&whole), NULL), STATUS_OK);
        whole.ptr[at] ^= 0x10;
        error err;
        status st = store_open(&s, &(store_options){ .dir = dir }, &err);
        assert_true(st == STATUS_CORRUPT || st == STATUS_UNSUPPORTED);
    }
    assert_int_equal(file_replace(dir, "MANIFEST", buf_view(&whole), NULL), STATUS_OK);
    s = open_store(dir);
    assert_int_equal(stats_of(s).parts[SIGNAL_METRICS], 1);
    store_close(s);
    buf_done(&whole);
    remove_dir(dir);
}

static void wait_for_merges(store *s)
{
    /* The maintenance thread merges by itself; ask until there is nothing to do. */
    int64_t limit = clock_mono_ns() + 20 * NS_PER_S;
    for (bool busy = true; busy;) {
        store_stats st = stats_of(s);
        busy = st.parts[SIGNAL_LOGS] >= 4 || st.parts[SIGNAL_TRACES] >= 4 ||
               st.parts[SIGNAL_METRICS] >= 4;
        if (clock_mono_ns() > limit)
            FAIL("parts were not merged within 20 s");
        usleep(1000);
    }
}

static void merges_change_no_answer(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    for (int n = 0; n < 12; n++) {
        for (int signal = 0; signal < SIGNAL_COUNT; signal++)
            ingest_some(s, (signal_kind)signal, n, (n * 7) % 50);
        if (n < 11)
            seal(s);
    }
    buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    ask_everything(s, &before); /* merges run meanwhile: the answer stands all the same */
    seal(s);
    wait_for_merges(s);
    ask_everything(s, &after);
    assert_true(str_eq(buf_view(&before), buf_view(&after)));
    store_stats st = stats_of(s);
    assert_true(st.merges > 0);
    assert_int_equal(st.rows[SIGNAL_LOGS], 240);
    store_close(s);
    s = open_store(dir);
    buf_clear(&after);
    ask_everything(s, &after);
    assert_true(str_eq(buf_view(&before), buf_view(&after)));
    /* No file that the manifest does not name is left. */
    uint32_t files = 0;
    for (int signal = 0; signal < SIGNAL_COUNT; signal++)
        files += (uint32_t)stats_of(s).parts[signal];
    assert_int_equal(files, s->part_count);
    store_close(s);
    buf_done(&before);
    buf_done(&after);
    remove_dir(dir);
}

static void retention_removes_whole_days_and_refuses_old_rows(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_with((store_options){ .dir = dir, .retention_ns = 3 * 86400 * NS_PER_S });
    int64_t now = clock_now_ns();
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(1));
    uint32_t scope = add_service(&b, "a");
    add_log(&b, scope, now, 9, STR("new"));
    add_log(&b, scope, now - 4 * 86400 * NS_PER_S, 9, STR("old"));
    add_log(&b, scope, now - 2 * 86400 * NS_PER_S, 9, STR("kept"));
    add_log(&b, scope, 0, 9, STR("without a time"));
    ingest_result r = ingest(s, &b);
    assert_int_equal(r.accepted, 3);
    assert_int_equal(r.rejected, 1);
    assert_non_null(strstr(r.reason, "older than the retention"));
    assert_int_equal(stats_of(s).rejected[SIGNAL_LOGS], 1);
    batch_done(&b);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 3);
    store_close(s);
    s = open_with((store_options){ .dir = dir, .retention_ns = 3 * 86400 * NS_PER_S });
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 3); /* replayed without the old one */
    seal(s);
    assert_int_equal(retention_apply(s, now + 2 * 86400 * NS_PER_S, NULL), STATUS_OK);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 2);
    assert_int_equal(retention_apply(s, now + 9 * 86400 * NS_PER_S, NULL), STATUS_OK);
    assert_int_equal(count_rows(s, all_rows(SIGNAL_LOGS)), 0);
    assert_int_equal(stats_of(s).parts[SIGNAL_LOGS], 0);
    found_part[0] = 0;
    nftw(dir, find_part, 16, FTW_PHYS);
    assert_true(found_part[0] == 0);
    store_close(s);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_wrong_byte_in_a_part_of_logs_is_noticed),
        cmocka_unit_test(any_wrong_byte_in_a_part_of_spans_is_noticed),
        cmocka_unit_test(any_wrong_byte_in_a_part_of_metrics_is_noticed),
        cmocka_unit_test(a_cut_part_is_set_aside_and_the_rest_answers),
        cmocka_unit_test(parts_without_a_manifest_are_not_deleted),
        cmocka_unit_test(a_wrong_manifest_is_refused),
        cmocka_unit_test(merges_change_no_answer),
        cmocka_unit_test(retention_removes_whole_days_and_refuses_old_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
