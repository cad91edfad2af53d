// SPDX-License-Identifier: Apache-2.0
/* Metrics across threads, starts and stops, forks, death by kill -9, and damage to the file. */
#include "tests/unit/lib/metric_support.h"

#include "base/file.h"
#include "base/random.h"
#include "codec/prom_text.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- threads ---- */

#define THREADS 24
#define ADDS    20000

static sonde_counter *shared_counter;
static sonde_histogram *shared_histogram;

static void *add_many(void *unused)
{
    sonde_bound_counter *bound = sonde_counter_bind(shared_counter, "x");
    for (int i = 0; i < ADDS; i++) {
        sonde_counter_add(bound, 1);
        sonde_counter_add(shared_counter, 0.5, "x");
        sonde_histogram_record(shared_histogram, 1);
    }
    return unused;
}

static void no_update_is_lost_between_threads(void **state)
{
    (void)state;
    shared_counter = sonde_counter_new("threads_total", "T.", SONDE_LABELS("a"));
    shared_histogram = sonde_histogram_new("threads_seconds", "T.", SONDE_LABELS());
    /* Twice, so that shards go from threads that ended to new ones. */
    for (int round = 1; round <= 2; round++) {
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_number("threads_total", "a=x", round * THREADS * (ADDS * 1.5));
    }
    batch b;
    read_metrics(&b);
    const histogram_value *h = b.points.value[find_point(&b, "threads_seconds", "")].histogram;
    assert_int_equal(h->count, 2 * THREADS * ADDS);
    assert_true(h->sum == 2.0 * THREADS * ADDS);
    batch_done(&b);
}

static void *make_series(void *first)
{
    for (int i = 0; i < 400; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "%d", i);
        sonde_counter_add((sonde_counter *)first, 1, id);
    }
    return NULL;
}

static void threads_make_the_same_series_once(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("race_total", "R.", SONDE_LABELS("id"));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_series, c), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    batch b;
    read_metrics(&b);
    uint32_t found = 0;
    for (uint32_t i = 0; i < b.points.count; i++)
        if (str_is(b.metrics[b.points.metric[i]].name, "race_total")) {
            found++;
            assert_int_equal(b.points.value[i].i64, 4);
        }
    assert_int_equal(found, 400);
    batch_done(&b);
}

/* ---- starts and stops ---- */

static void early_values_move_in_at_the_start(void **state)
{
    (void)state;
    stop_recorder();
    sonde_counter *c = sonde_counter_new("early_total", "E.", SONDE_LABELS("a"));
    sonde_gauge *g = sonde_gauge_new("early", "E.", SONDE_LABELS());
    sonde_histogram *h = sonde_histogram_new("early_seconds", "E.", SONDE_LABELS());
    sonde_bound_counter *bound = sonde_counter_bind(c, "x");
    sonde_counter_add(bound, 2);
    sonde_counter_add(c, 0.5, "x");
    sonde_gauge_set(g, 4);
    sonde_histogram_record(h, 0.3);
    start_recorder(0);
    assert_number("early_total", "a=x", 2.5);
    assert_number("early", "", 4);
    sonde_counter_add(bound, 1);
    sonde_gauge_set(g, 5);
    sonde_histogram_record(h, 0.3);
    assert_number("early_total", "a=x", 3.5);
    assert_number("early", "", 5);
    batch b;
    read_metrics(&b);
    assert_int_equal(b.points.value[find_point(&b, "early_seconds", "")].histogram->count, 2);
    batch_done(&b);
    /* A new start counts from zero, and from what came in between. */
    stop_recorder();
    sonde_counter_add(bound, 7);
    start_recorder(0);
    assert_number("early_total", "a=x", 7);
    sonde_counter_add(bound, 1);
    assert_number("early_total", "a=x", 8);
}

static void a_full_recorder_drops_and_counts(void **state)
{
    (void)state;
    stop_recorder();
    start_recorder(KiB(256));
    char name[32], id[1000];
    memset(id, 'z', sizeof(id));
    id[sizeof(id) - 1] = 0;
    sonde_counter *c = sonde_counter_new("full_total", "F.", SONDE_LABELS("id"));
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "%04d", i);
        memcpy(id, name, 4);
        sonde_counter_add(c, 1, id);
    }
    batch b;
    read_metrics(&b);
    double kept = 0;
    for (uint32_t i = 0; i < b.points.count; i++)
        if (str_is(b.metrics[b.points.metric[i]].name, "full_total"))
            kept += (double)b.points.value[i].i64;
    assert_true(kept > 10 && kept < 1000);
    assert_true(
        kept + number_in(&b, "sonde_dropped_total", "signal=metrics,reason=recorder_full") == 1000);
    batch_done(&b);
}

/* ---- forks and death ---- */

/* The one recorder file of the directory that is not ours. */
static void other_recorder(char ret[static 256])
{
    char command[256];
    const char *own = strrchr(recorder_path(test_recorder), '/') + 1;
    (void)snprintf(command, sizeof(command), "ls %s | grep -v '^%s$' | head -n 1", test_dir, own);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    char name[128] = "";
    assert_non_null(fgets(name, sizeof(name), f));
    pclose(f);
    name[strcspn(name, "\n")] = 0;
    (void)snprintf(ret, 256, "%s/%s", test_dir, name);
}

static double number_in_file(const char *path, const char *name, const char *labels)
{
    recorder_reader *r;
    batch b;
    assert_ok(
        recorder_reader_open(&r, path, &(recorder_reader_options){ .read_only = true }, &err));
    read_metrics_of(r, &b);
    recorder_reader_close(r);
    double v = number_in(&b, name, labels);
    batch_done(&b);
    return v;
}

static void a_forked_child_counts_for_itself(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("forked_total", "F.", SONDE_LABELS("a"));
    sonde_gauge *g = sonde_gauge_new("forked", "F.", SONDE_LABELS());
    sonde_bound_counter *bound = sonde_counter_bind(c, "x");
    for (int raw = 0; raw < 2; raw++) {
        sonde_counter_add(bound, 5);
        sonde_gauge_set(g, 1);
        /* A clone that no library hears of, too. */
        pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            sonde_counter_add(bound, 100);
            sonde_gauge_set(g, 2);
            sonde_counter_add(bound, 100);
            kill(getpid(), SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        char path[256];
        other_recorder(path);
        assert_true(number_in_file(path, "forked_total", "a=x") == 200);
        assert_true(number_in_file(path, "forked", "") == 2);
        assert_int_equal(unlink(path), 0);
        assert_number("forked_total", "a=x", 5 * (raw + 1));
        assert_number("forked", "", 1);
    }
}

static void the_last_values_survive_kill_9(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("killed_total", "K.", SONDE_LABELS("a"));
    sonde_histogram *h = sonde_histogram_new("killed_seconds", "K.", SONDE_LABELS());
    int *published = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(published, MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0)
        for (;;) {
            sonde_counter_add(c, 1, "x");
            sonde_histogram_record(h, 1);
            __atomic_add_fetch(published, 1, __ATOMIC_RELAXED);
        }
    wait_until(__atomic_load_n(published, __ATOMIC_RELAXED) > 1000, 20);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    char path[256];
    other_recorder(path);
    double counted = number_in_file(path, "killed_total", "a=x");
    assert_true(counted >= *published && counted <= *published + 1);
    recorder_reader *r;
    batch b;
    assert_ok(recorder_reader_open(&r, path, NULL, &err));
    read_metrics_of(r, &b);
    uint32_t i = find_point(&b, "killed_seconds", "");
    const histogram_value *v = b.points.value[i].histogram;
    assert_true(v->count >= (uint64_t)*published && v->count <= (uint64_t)*published + 1);
    assert_true(b.points.time_ns[i] > 0 && b.points.time_ns[i] <= clock_now_ns());
    assert_str(attrs_get_str(&b.resources[0].attributes, STR("service.name")), STR("test"));
    batch_done(&b);
    recorder_reader_close(r);
    munmap(published, 4096);
}

/* ---- the page ---- */

static void process_metrics_pass_the_linter(void **state)
{
    (void)state;
    process_metrics_register();
    assert_true(read_number("process_cpu_seconds_total", "") > 0);
    assert_true(read_number("process_resident_memory_bytes", "") > 100000);
    assert_true(read_number("process_virtual_memory_bytes", "") > 100000);
    assert_true(read_number("process_open_fds", "") >= 3);
    assert_true(read_number("process_max_fds", "") >= 16);
    assert_true(read_number("process_threads", "") >= 1);
    double now = (double)clock_now_ns() / NS_PER_S;
    double started = read_number("process_start_time_seconds", "");
    assert_true(started > now - 600 && started < now + 5);
    double before = read_number("process_cpu_seconds_total", "");
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    while (read_number("process_cpu_seconds_total", "") <= before)
        assert_true(clock_mono_ns() < end);

    if (access("/usr/bin/promtool", X_OK) != 0)
        skip();
    sonde_counter *c = sonde_counter_new("page_total", NULL, SONDE_LABELS("a"));
    sonde_counter_add(c, 1, "quo\"te\\\n");
    batch b;
    buf page;
    buf_init(&page, 0);
    read_metrics(&b);
    assert_ok(prom_text_write(&b, PROM_TEXT_0_0_4, &(prom_text_options){ .target_info = true },
                              &page, NULL, &err));
    assert_ok(file_replace(test_dir, "page", buf_view(&page), &err));
    char command[256];
    (void)snprintf(command, sizeof(command), "/usr/bin/promtool check metrics < %s/page", test_dir);
    assert_int_equal(system(command), 0);
    buf_done(&page);
    batch_done(&b);
}

/* ---- damage ---- */

static void damage_neither_crashes_nor_hangs_a_reader(void **state)
{
    (void)state;
    sonde_histogram *h = sonde_histogram_new("damaged_seconds", "D.", SONDE_LABELS("a", "b"));
    for (int i = 0; i < 50; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "%d", i);
        sonde_histogram_record(h, i, id, "b");
    }
    buf whole;
    buf_init(&whole, 0);
    assert_ok(file_read(recorder_path(test_recorder), &whole, &err));
    uint64_t root = atomic_load(recorder_metric_root_ptr(test_recorder));
    uint64_t block = root - root % KiB(16);
    random_state random;
    random_init(&random, 7);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/copy.rec", test_dir);
    uint32_t fewer = 0;
    for (int round = 0; round < 300; round++) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_ok(file_pwrite_all(fd, whole.ptr, MIN(whole.len, block + KiB(48)), 0, &err));
        for (int i = 0; i < 20; i++) {
            uint64_t at = block + random_next(&random) % KiB(16);
            uint64_t bits = round % 2 ? random_next(&random) : root + random_next(&random) % 4096;
            assert_ok(file_pwrite_all(fd, &bits, 1 + i % 8, (off_t)at, &err));
        }
        recorder_reader *r;
        if (recorder_reader_open_fd(&r, fd, NULL, &err) == STATUS_OK) {
            batch b;
            read_metrics_of(r, &b);
            fewer += find_point(&b, "damaged_seconds", "a=49,b=b") == UINT32_MAX;
            batch_done(&b);
            recorder_reader_close(r);
        }
        close(fd);
    }
    assert_true(fewer > 0);
    buf_done(&whole);
}

static void a_batch_without_room_says_so(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("room_total", "R.", SONDE_LABELS("id"));
    for (int i = 0; i < 500; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "%d", i);
        sonde_counter_add(c, 1, id);
    }
    recorder_reader *r;
    assert_ok(recorder_open_reader(test_recorder, &r, NULL, &err));
    for (size_t limit = KiB(1); limit <= KiB(64); limit += KiB(3)) {
        batch b;
        batch_init(&b, SIGNAL_METRICS, limit);
        assert_int_equal(recorder_metrics_read(r, &b, &err), STATUS_LIMIT);
        batch_done(&b);
    }
    recorder_reader_close(r);
}

int main(void)
{
#define metric_test(f) cmocka_unit_test_setup_teardown(f, with_recorder, without_recorder)
    const struct CMUnitTest tests[] = {
        metric_test(no_update_is_lost_between_threads),
        metric_test(threads_make_the_same_series_once),
        metric_test(early_values_move_in_at_the_start),
        metric_test(a_full_recorder_drops_and_counts),
        metric_test(a_forked_child_counts_for_itself),
        metric_test(the_last_values_survive_kill_9),
        metric_test(process_metrics_pass_the_linter),
        metric_test(damage_neither_crashes_nor_hangs_a_reader),
        metric_test(a_batch_without_room_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
