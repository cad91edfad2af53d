// SPDX-License-Identifier: Apache-2.0
/* kill -9 at random moments, with four threads that write and the library as programs start it, its
 * drainer included. A thread publishes a number in a shared page once the calls with it returned.
 * After the death every published number is in the log file or in the recorder, each record read is
 * whole, and the counter has them all. SONDE_FULL makes it 1,000 rounds. */
#include "sonde/sonde.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "codec/recorder.h"
#include "codec/recorder_metrics.h"
#include "tests/support.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { THREADS = 4, NUMBERS = 16384, SHORT_ROUNDS = 100, FULL_ROUNDS = 1000 };

typedef struct {
    _Atomic uint32_t published[THREADS];
} shared_page;

typedef struct {
    char dir[64], log[96];
    shared_page *page;
    uint8_t seen[THREADS][NUMBERS + 2]; /* logs: 1 in the file, 2 in the recorder */
    uint32_t spans[THREADS], open_spans;
    uint64_t file_lines, recovered;
} kill_state;

static sonde_bound_counter *written;
static shared_page *page;

/* ---- the process that dies ---- */

/* A text that its number gives: torn records would not have it. */
static size_t text_of(uint32_t thread, uint32_t n, char ret[128])
{
    size_t len = 8 + (n * 31 + thread) % 100;
    memset(ret, 'a' + (int)(n % 26), len);
    ret[len] = 0;
    return len;
}

static void *write_numbers(void *arg)
{
    uint32_t thread = (uint32_t)(uintptr_t)arg;
    char text[128];
    for (uint32_t n = 1; n <= NUMBERS; n++) {
        text_of(thread, n, text);
        SONDE_SPAN ("step", sonde_kv("thread", thread), sonde_kv("n", n)) {
            sonde_info("numbered", sonde_kv("thread", thread), sonde_kv("n", n),
                       sonde_kv("text", text));
        }
        sonde_counter_add(written, 1);
        atomic_store(&page->published[thread], n);
        if (n % 32 == 0)
            usleep(400);
    }
    pause(); /* before the recorder is full */
    return NULL;
}

static void child_run(const kill_state *k)
{
    pthread_t thread;
    char output[128];
    snprintf(output, sizeof(output), "file:%s", k->log);
    sonde_start(&(sonde_options){ .service = "killed",
                                  .recorder_dir = k->dir,
                                  .log_output = output,
                                  .ignore_environment = true });
    written = sonde_counter_bind(sonde_counter_new("written_total", "", SONDE_LABELS()));
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, write_numbers, (void *)i) != 0)
            _exit(2);
    for (;;)
        pause();
}

/* ---- what is found afterwards ---- */

static uint32_t number_after(str line, const char *key)
{
    size_t at = str_find(line, str_c(key));
    uint64_t n = 0;
    if (at == SIZE_MAX)
        fail_msg("a line without %s: %.*s", key, STR_ARG(line));
    for (at += strlen(key); at < line.len && line.ptr[at] >= '0' && line.ptr[at] <= '9'; at++)
        n = n * 10 + (uint64_t)(line.ptr[at] - '0');
    return (uint32_t)n;
}

static void mark(kill_state *k, uint32_t thread, uint32_t n, str text, uint8_t where)
{
    char expected[128];
    if (thread >= THREADS || n < 1 || n > NUMBERS)
        fail_msg("thread %u, number %u: a torn record", thread, n);
    assert_str(text, str_n(expected, text_of(thread, n, expected)));
    if (k->seen[thread][n] & where)
        fail_msg("thread %u, number %u: twice", thread, n);
    k->seen[thread][n] |= where;
}

/* Lines that are whole; the last one may have been cut by the death, and is in the recorder. */
static void read_lines(kill_state *k)
{
    buf content;
    error err;
    buf_init(&content, MiB(64));
    if (access(k->log, F_OK) == 0)
        assert_ok(file_read(k->log, &content, &err));
    str rest = buf_view(&content);
    while (rest.len) {
        size_t end = str_find_char(rest, '\n');
        if (end == SIZE_MAX)
            break;
        str line = str_slice(rest, 0, end), text;
        size_t at = str_find(line, STR("\"text\":\""));
        assert_true(at != SIZE_MAX && line.ptr[line.len - 1] == '}');
        text = str_slice(line, at + 8, line.len);
        text = str_slice(text, 0, str_find_char(text, '"'));
        mark(k, number_after(line, "\"thread\":"), number_after(line, "\"n\":"), text, 1);
        k->file_lines++;
        rest = str_slice(rest, end + 1, rest.len);
    }
    buf_done(&content);
}

static void take_rows(kill_state *k, const batch *logs, const batch *spans)
{
    for (uint32_t i = 0; i < logs->logs.count; i++) {
        const attrs *a = &logs->logs.attributes[i];
        const value *thread = attrs_get(a, STR("thread")), *n = attrs_get(a, STR("n"));
        assert_true(thread && n && str_eq(logs->logs.event_name[i], STR("numbered")));
        mark(k, (uint32_t)thread->i64, (uint32_t)n->i64, attrs_get_str(a, STR("text")), 2);
        assert_true(trace_id_is_set(logs->logs.trace[i]));
        k->recovered++;
    }
    for (uint32_t i = 0; i < spans->spans.count; i++) {
        const attrs *a = &spans->spans.attributes[i];
        assert_str(spans->spans.name[i], STR("step"));
        const value *thread = attrs_get(a, STR("thread"));
        assert_true(thread && thread->i64 < THREADS && attrs_get(a, STR("n")));
        k->spans[thread->i64]++;
    }
}

static void check_counter(recorder_reader *r, uint64_t published)
{
    batch points;
    error err;
    int64_t value = -1;
    batch_init(&points, SIGNAL_METRICS, MiB(16));
    assert_ok(recorder_metrics_read(r, &points, &err));
    for (uint32_t i = 0; i < points.points.count; i++)
        if (str_is(points.metrics[points.points.metric[i]].name, "written_total"))
            value = points.points.value[i].i64;
    batch_done(&points);
    if (published && (value < (int64_t)published || value > (int64_t)published + THREADS))
        fail_msg("the counter is %lld after %llu calls", (long long)value,
                 (unsigned long long)published);
}

static void read_recorder(kill_state *k, recorder_reader *r, uint64_t published)
{
    recorder_cursor *c;
    uint32_t rows = 1;
    bool full;
    error err;
    batch logs, spans;
    batch_init(&logs, SIGNAL_LOGS, MiB(64));
    batch_init(&spans, SIGNAL_TRACES, MiB(64));
    assert_false(recorder_reader_info(r).alive);
    assert_ok(recorder_cursor_open_unnamed(r, &c, &err));
    while (rows) {
        batch_clear(&logs);
        batch_clear(&spans);
        assert_ok(recorder_poll(r, c, INT64_MAX, 4096, &logs, &spans, &rows, &full, &err));
        take_rows(k, &logs, &spans);
    }
    batch_clear(&spans);
    assert_ok(recorder_live_spans(r, &spans, &err));
    assert_true(spans.spans.count <= THREADS);
    for (uint32_t i = 0; i < spans.spans.count; i++)
        assert_int_equal(spans.spans.status[i], SPAN_STATUS_ERROR);
    k->open_spans += spans.spans.count;
    for (int s = 0; s < SIGNAL_COUNT; s++)
        for (int why = 0; why < RECORDER_DROP_COUNT; why++)
            assert_int_equal(recorder_drops(r, (signal_kind)s, (recorder_drop)why), 0);
    check_counter(r, published);
    batch_done(&logs);
    batch_done(&spans);
}

static void check_death(kill_state *k)
{
    char path[PATH_MAX];
    uint64_t published = 0;
    error err;
    recorder_reader *r = NULL;
    memset(k->seen, 0, sizeof(k->seen));
    memset(k->spans, 0, sizeof(k->spans));
    for (int t = 0; t < THREADS; t++)
        published += page->published[t];
    DIR *d = opendir(k->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (str_ends(str_c(e->d_name), STR(".rec"))) {
            assert_null(r);
            snprintf(path, sizeof(path), "%s/%s", k->dir, e->d_name);
            status st = recorder_reader_open(&r, path,
                                             &(recorder_reader_options){ .read_only = true }, &err);
            if (st != STATUS_OK && published)
                fail_msg("%s", err.message);
        }
    if (d)
        closedir(d);
    read_lines(k);
    if (r)
        read_recorder(k, r, published);
    recorder_reader_close(r);
    for (uint32_t t = 0; t < THREADS; t++) {
        for (uint32_t n = 1; n <= page->published[t]; n++)
            if (!k->seen[t][n])
                fail_msg("thread %u: number %u of %u returned and is lost", t, n,
                         (unsigned)page->published[t]);
        /* A call may have been made without having been published, and no more than one. */
        for (uint32_t n = page->published[t] + 2; n <= NUMBERS; n++)
            assert_int_equal(k->seen[t][n], 0);
    }
    unlink(path);
    unlink(k->log);
}

static void what_returned_survives_kill_9(void **state)
{
    kill_state *k = *state;
    int rounds = getenv("SONDE_FULL") && *getenv("SONDE_FULL") ? FULL_ROUNDS : SHORT_ROUNDS;
    random_state random;
    uint64_t seed;
    random_seed(&seed, sizeof(seed));
    random_init(&random, seed);
    for (int round = 0; round < rounds; round++) {
        memset(page, 0, sizeof(*page));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            child_run(k);
            _exit(1);
        }
        if (round % 10) /* else: while it starts */
            wait_until(page->published[round % THREADS] > 0, 20);
        /* The drainer writes what is older than 100 ms, and looks after 200 ms at the latest. */
        uint64_t wait_us = random_next(&random) % (round % 4 ? 4000 : 20000);
        usleep((useconds_t)(round % 8 ? wait_us : 200000 + 8 * wait_us));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        check_death(k);
    }
    print_message("%d rounds: %llu records in the file, %llu in recorders, %u spans open\n", rounds,
                  (unsigned long long)k->file_lines, (unsigned long long)k->recovered,
                  k->open_spans);
    /* It must have happened in the middle of everything, or nothing was tested. */
    assert_true(k->recovered > 10u * (unsigned)rounds && k->file_lines > (unsigned)rounds);
    assert_true(k->open_spans > 0);
}

static int setup(void **state)
{
    kill_state *k = calloc(1, sizeof(*k));
    test_make_dir(k->dir);
    snprintf(k->log, sizeof(k->log), "%s/lines", k->dir);
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *state = k;
    return page == MAP_FAILED;
}

static int teardown(void **state)
{
    kill_state *k = *state;
    test_remove_dir(k->dir);
    munmap(page, sizeof(*page));
    free(k);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_returned_survives_kill_9, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
