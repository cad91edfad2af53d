// SPDX-License-Identifier: Apache-2.0
/* Processes: children of fork and raw clone, and what is left after kill -9. */
#include "tests/unit/lib/recorder_fixture.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void must_exit_with_0(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A reader on the recorder that `pid` left in the fixture's directory. */
static recorder_reader *reader_of(const fixture *f, pid_t pid)
{
    char infix[32], path[PATH_MAX];
    recorder_reader *r = NULL;
    error err;
    snprintf(infix, sizeof(infix), "tested-%d-", (int)pid);
    DIR *d = opendir(f->dir);
    for (struct dirent *e; (e = readdir(d));) {
        if (!str_starts(str_c(e->d_name), str_c(infix)))
            continue;
        assert_null(r);
        snprintf(path, sizeof(path), "%s/%s", f->dir, e->d_name);
        assert_ok(recorder_reader_open(&r, path, NULL, &err));
    }
    closedir(d);
    return r;
}

/* All that a dead process left, in the fixture's batches. */
static void read_all(fixture *f, recorder_reader *r)
{
    recorder_cursor *c;
    uint32_t rows;
    bool full;
    error err;
    batch_clear(&f->logs);
    batch_clear(&f->spans);
    assert_ok(recorder_cursor_open(r, &c, STR("test"), &err));
    assert_ok(recorder_poll(r, c, recorder_horizon(r), UINT32_MAX, &f->logs, &f->spans, &rows,
                            &full, &err));
    assert_false(full);
}

static void check_child(fixture *f, pid_t child)
{
    recorder_reader *r = reader_of(f, child);
    assert_non_null(r);
    recorder_info info = recorder_reader_info(r);
    assert_false(info.alive);
    assert_true(info.same_boot);
    assert_int_equal(info.pid, child);
    assert_text(info.service, "tested");
    assert_int_equal(attrs_get(&info.resource, STR("process.pid"))->i64, child);
    assert_true(info.id != recorder_id(f->recorder));
    read_all(f, r);
    assert_int_equal(f->logs.logs.count, 1);
    assert_text(f->logs.logs.event_name[0], "in_child");
    assert_null(attrs_get(&f->logs.logs.attributes[0], STR("request_id")));
    assert_false(trace_id_is_set(f->logs.logs.trace[0]));
    assert_int_equal(f->spans.spans.count, 1);
    assert_text(f->spans.spans.name[0], "child_span");
    assert_false(span_id_is_set(f->spans.spans.parent[0]));
    recorder_reader_close(r);
}

static void child_work(sonde_span *parents)
{
    sonde_info("in_child", sonde_kv("n", 1));
    sonde_span_set_on(parents, sonde_kv("bad", 1));
    sonde_span_end(parents);
    SONDE_SPAN ("child_span") {
    }
}

static void the_child_of_a_fork_has_its_own_recorder_and_no_context(void **state)
{
    fixture *f = *state;
    pid_t child = 0;
    sonde_info("before");
    SONDE_CONTEXT (sonde_kv("request_id", "parent's")) {
        SONDE_SPAN ("parent_span") {
            child = fork();
            if (child == 0) {
                child_work(sonde_span_current());
                _exit(0);
            }
            must_exit_with_0(child);
            sonde_info("after");
        }
    }
    check_child(f, child);
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 2);
    assert_int_equal(f->spans.spans.count, 1);
    assert_null(attrs_get(&f->spans.spans.attributes[0], STR("bad")));
    assert_text(attrs_get_str(&f->logs.logs.attributes[1], STR("request_id")), "parent's");
}

static void the_child_of_a_raw_clone_too(void **state)
{
    fixture *f = *state;
    pid_t child = 0;
    SONDE_SPAN ("parent_span") {
        child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (child == 0) {
            child_work(sonde_span_current());
            syscall(SYS_exit_group, 0);
        }
        must_exit_with_0(child);
    }
    check_child(f, child);
}

static void a_scope_that_the_child_leaves_changes_nothing(void **state)
{
    fixture *f = *state;
    pid_t child = 0;
    SONDE_SPAN ("parent_span") {
        SONDE_CONTEXT (sonde_kv("request_id", "parent's")) {
            child = fork();
            if (child == 0)
                sonde_info("in_child");
        }
    }
    if (child == 0) {
        SONDE_SPAN ("child_span") {
        }
        _exit(sonde_span_current() == NULL && sonde_request_id().len == 0 ? 0 : 1);
    }
    must_exit_with_0(child);
    check_child(f, child);
}

typedef struct {
    _Atomic int64_t published;
} shared_page;

static void write_until_killed(shared_page *page)
{
    SONDE_SPAN ("outer", sonde_kv("doing", "everything")) {
        for (int64_t n = 1;; n++) {
            SONDE_SPAN ("step", sonde_kv("n", n)) {
                sonde_info("numbered", sonde_kv("n", n), sonde_kv("text", "some text"));
            }
            atomic_store(&page->published, n);
            if (n == 60000)
                pause(); /* before the recorder is full */
        }
    }
}

static void check_killed(fixture *f, recorder_reader *r, int64_t published)
{
    error err;
    read_all(f, r);
    int64_t next = 1;
    for (uint32_t row = 0; row < f->logs.logs.count; row++)
        assert_int_equal(attrs_get(&f->logs.logs.attributes[row], STR("n"))->i64, next++);
    assert_true(next > published && next <= published + 2);
    uint32_t finished = f->spans.spans.count;
    assert_true(finished == next - 1 || finished == next - 2);
    batch_clear(&f->spans);
    assert_ok(recorder_live_spans(r, &f->spans, &err));
    const span_rows *s = &f->spans.spans;
    assert_true(s->count == 1 || s->count == 2);
    bool outer = false;
    for (uint32_t row = 0; row < s->count; row++) {
        outer |= str_is(s->name[row], "outer");
        assert_int_equal(s->status[row], SPAN_STATUS_ERROR);
        assert_text(s->status_message[row], "process died before the span ended");
        assert_true(s->end_ns[row] >= s->start_ns[row]);
        assert_true(s->end_ns[row] <= clock_now_ns());
    }
    assert_true(outer);
    if (finished == next - 1)
        assert_true(s->count == 1 || !str_is(s->name[0], "step") ||
                    attrs_get(&s->attributes[0], STR("n"))->i64 > (int64_t)finished);
}

static void every_number_published_before_kill_9_is_found(void **state)
{
    fixture *f = *state;
    shared_page *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    for (int round = 0; round < 15; round++) {
        atomic_store(&page->published, 0);
        pid_t child = fork();
        if (child == 0) {
            write_until_killed(page);
            _exit(1);
        }
        wait_until(atomic_load(&page->published) > 50 * (round + 1), 20);
        recorder_reader *alive = reader_of(f, child);
        assert_non_null(alive);
        assert_true(recorder_reader_info(alive).alive);
        recorder_reader_close(alive);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        recorder_reader *r = reader_of(f, child);
        assert_false(recorder_reader_info(r).alive);
        check_killed(f, r, atomic_load(&page->published));
        recorder_reader_close(r);
    }
    munmap(page, 4096);
}

static void only_one_drainer_holds_the_lock(void **state)
{
    fixture *f = *state;
    error err;
    recorder_reader *other, *third;
    assert_ok(recorder_reader_open(&other, recorder_path(f->recorder), NULL, &err));
    assert_ok(recorder_reader_open(&third, recorder_path(f->recorder), NULL, &err));
    assert_ok(recorder_reader_lock(f->reader, &err));
    assert_int_equal(recorder_reader_lock(other, &err), STATUS_BUSY);
    recorder_reader_close(f->reader);
    fixture_open_reader(f);
    assert_ok(recorder_reader_lock(other, &err));
    assert_int_equal(recorder_reader_lock(third, &err), STATUS_BUSY);
    assert_true(recorder_reader_info(third).alive);
    recorder_reader_close(third);
    recorder_reader_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(the_child_of_a_fork_has_its_own_recorder_and_no_context),
        FIXTURE_TEST(the_child_of_a_raw_clone_too),
        FIXTURE_TEST(a_scope_that_the_child_leaves_changes_nothing),
        FIXTURE_TEST(every_number_published_before_kill_9_is_found),
        FIXTURE_TEST(only_one_drainer_holds_the_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
