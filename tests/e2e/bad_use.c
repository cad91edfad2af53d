// SPDX-License-Identifier: Apache-2.0
/* Misuse of the library, one case a process: bad_use CASE RECORDER_DIR LINES [ARGUMENT]. LINES is
 * where log lines go, as log_output has it. test_bad_use.py says what must hold after each. */
#include "bad_use.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static long argument;
static const char *text_argument;
static sonde_bound_counter *adds;

static void make_counter(void)
{
    adds = sonde_counter_bind(sonde_counter_new("bad_adds_total", "", SONDE_LABELS()));
}

static void one_add(void)
{
    atomic_fetch_add(&bad_adds, 1);
    sonde_counter_add(adds, 1);
}

static void one_of_each(void)
{
    one_log();
    one_span();
    one_add();
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- before, after, twice ---- */

static void early(void)
{
    for (int i = 0; i < 1000; i++)
        one_of_each();
    bad_start();
    one_log();
    report();
    sonde_stop();
    one_of_each();
    SONDE_CONTEXT (sonde_kv("request_id", "r1")) {
        one_of_each();
    }
}

static void twice(void)
{
    for (int round = 0; round < 3; round++) {
        bad_start();
        bad_start();
        for (int i = 0; i < 10; i++)
            one_of_each();
        if (round == 2)
            report();
        sonde_stop();
        sonde_stop();
    }
}

/* ---- signals ---- */

static void on_alarm(int number)
{
    (void)number;
    int saved = errno;
    one_log();
    one_span();
    one_add();
    errno = saved;
}

static _Atomic int ended;

static void *busy_thread(void *unused)
{
    for (int i = 0; i < 10000; i++) {
        one_log();
        if (i % 4 == 0)
            one_span();
        one_add();
        SONDE_CONTEXT (sonde_kv("user_id", i)) {
            one_log();
        }
        if (i % 64 == 0)
            sched_yield();
    }
    atomic_fetch_add(&ended, 1);
    return unused;
}

/* Handlers that record, in the middle of calls that record, in four threads. */
static void signal_storm(void)
{
    pthread_t threads[4];
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    bad_start();
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    struct itimerval every = { { 0, 100 }, { 0, 100 } };
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&threads[i], NULL, busy_thread, NULL) == 0);
    for (int sent = 0; ended < 4; sent++) {
        if (ended == 0)
            pthread_kill(threads[sent % 4], SIGUSR1);
        usleep(200);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
    report();
    sonde_stop();
}

/* ---- threads ---- */

static pthread_key_t key_a, key_b;

static void dying(void *rounds)
{
    one_of_each();
    if ((long)rounds > 1)
        pthread_setspecific(key_b, (void *)((long)rounds - 1));
}

static void *dying_thread(void *unused)
{
    pthread_setspecific(key_a, (void *)3);
    one_log();
    pthread_setspecific(key_b, (void *)3);
    return unused;
}

static void late_exit(void)
{
    one_of_each(); /* after the library's own exit handler: counted, not recorded */
    puts("late exit ran");
}

static void early_exit(void)
{
    one_of_each();
    report();
}

static void dying_threads(void)
{
    pthread_key_create(&key_a, dying);
    atexit(late_exit);
    bad_start();
    pthread_key_create(&key_b, dying);
    atexit(early_exit);
    for (int round = 0; round < 8; round++) {
        pthread_t threads[16];
        for (int i = 0; i < 16; i++)
            MUST(pthread_create(&threads[i], NULL, dying_thread, NULL) == 0);
        for (int i = 0; i < 16; i++)
            pthread_join(threads[i], NULL);
    }
    exit(0);
}

static pthread_barrier_t gate;

static void *one_of_many(void *unused)
{
    one_of_each();
    pthread_barrier_wait(&gate);
    for (int i = 0; i < 4; i++)
        one_of_each();
    pthread_barrier_wait(&gate);
    return unused;
}

static void threads_2000(void)
{
    enum { COUNT = 2000 };
    static pthread_t threads[COUNT];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    pthread_barrier_init(&gate, NULL, COUNT);
    sonde_options options = bad_options();
    options.recorder_bytes = 128 << 20;
    MUST(sonde_start(&options) == 0);
    for (int i = 0; i < COUNT; i++)
        MUST(pthread_create(&threads[i], &small, one_of_many, NULL) == 0);
    for (int i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    report();
    sonde_stop();
}

/* ---- processes ---- */

static void must_end(pid_t child)
{
    int status = -1;
    MUST(waitpid(child, &status, 0) == child);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void raw_clone(void)
{
    bad_start();
    one_of_each();
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        sonde_info("in_child", sonde_kv("n", 1));
        SONDE_SPAN ("child_span") {
            one_add();
        }
        syscall(SYS_exit_group, 0);
    }
    must_end(child);
    report();
    sonde_stop();
}

static _Atomic bool enough;

static void *until_enough(void *unused)
{
    while (!enough) {
        one_log();
        one_add();
        usleep(100);
    }
    return unused;
}

/* `argument` forks while four threads record; every second child ends by exit. */
static void fork_storm(void)
{
    pthread_t threads[4];
    bad_start();
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&threads[i], NULL, until_enough, NULL) == 0);
    for (long i = 0; i < argument; i++) {
        pid_t child = fork();
        MUST(child >= 0);
        if (child == 0) {
            SONDE_SPAN ("child_span") {
                sonde_info("in_child", sonde_kv("child", i));
            }
            sonde_counter_add(adds, 1);
            if (i % 2)
                exit(0);
            _exit(0);
        }
        must_end(child);
    }
    enough = true;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    report();
    sonde_stop();
}

/* ---- little room ---- */

static void full_ring(void)
{
    sonde_options options = bad_options();
    options.recorder_bytes = 256 << 10; /* the least */
    MUST(sonde_start(&options) == 0);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&threads[i], NULL, busy_thread, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    report();
    sonde_stop();
}

static void work(void)
{
    bad_start();
    busy_thread(NULL);
    report();
    sonde_stop();
}

/* The directory goes while the program runs; children cannot make files there either. */
static void directory_removed(void)
{
    char command[512];
    bad_start();
    one_of_each();
    snprintf(command, sizeof(command), "rm -rf '%s'", bad_dir);
    MUST(system(command) == 0);
    for (int i = 0; i < 100; i++)
        one_of_each();
    pid_t child = fork();
    if (child == 0) {
        MUST(rmdir(bad_dir) != 0 || true);
        sonde_info("in_child", sonde_kv("child", 1));
        exit(0);
    }
    must_end(child);
    report();
    sonde_stop();
}

static void few_files(void)
{
    struct rlimit before, none;
    MUST(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){ 3, before.rlim_max };
    MUST(setrlimit(RLIMIT_NOFILE, &none) == 0);
    bad_start();
    for (int i = 0; i < 100; i++)
        one_of_each();
    report();
    sonde_stop();
    MUST(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

static void files_run_out(void)
{
    bad_start();
    one_log();
    while (dup(1) >= 0)
        ;
    for (int i = 0; i < 20000; i++)
        one_of_each();
    report();
    sonde_stop();
    bad_start(); /* has no recorder file */
    sonde_info("once_more");
    sonde_stop();
}

static void little_memory(void)
{
    struct rlimit before, none;
    bad_start();
    one_log();
    MUST(sonde_flush(10000));
    MUST(getrlimit(RLIMIT_AS, &before) == 0);
    none = (struct rlimit){ 1 << 20, before.rlim_max };
    MUST(setrlimit(RLIMIT_AS, &none) == 0);
    for (int i = 0; i < 20000; i++)
        one_of_each();
    MUST(sonde_start(NULL) == 0); /* it runs */
    sonde_stop();
    (void)sonde_start(NULL); /* whether it can or not */
    one_log();
    one_span();
    sonde_stop();
    MUST(setrlimit(RLIMIT_AS, &before) == 0);
    bad_start();
    report();
    sonde_stop();
}

/* ---- a plugin ---- */

static void plugin(void)
{
    bad_start();
    for (int round = 0; round < 20; round++) {
        void *loaded = dlopen(text_argument, RTLD_NOW | RTLD_LOCAL);
        MUST(loaded);
        void (*record)(int) = (void (*)(int))(uintptr_t)dlsym(loaded, "plugin_record");
        MUST(record);
        record(round);
        MUST(dlclose(loaded) == 0);
        MUST(!dlopen(text_argument, RTLD_NOW | RTLD_NOLOAD));
        one_log();
    }
    report();
    sonde_stop();
}

/* ---- seccomp ---- */

/* Any other system call ends the process with SIGSYS. */
static void allow_only(const int *calls, size_t count, unsigned flags)
{
    struct sock_filter filter[128];
    size_t n = 0;
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        filter[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = { (unsigned short)n, filter };
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0);
}

/* What threads that record may call: the space of a new block, and who they are. The rest is what
 * ending a thread takes. */
static const int writer_calls[] = {
    SYS_fallocate, SYS_madvise,        SYS_gettid, SYS_prctl,       SYS_getrandom,     SYS_exit,
    SYS_munmap,    SYS_rt_sigprocmask, SYS_futex,  SYS_sched_yield, SYS_clock_gettime,
#ifdef __SANITIZE_ADDRESS__
    SYS_mmap,      SYS_sigaltstack,    SYS_write,  SYS_getpid,      SYS_rt_sigaction,
#endif
};

static void *confined_writer(void *unused)
{
    allow_only(writer_calls, sizeof(writer_calls) / sizeof(writer_calls[0]), 0);
    for (int i = 0; i < 20000; i++)
        one_of_each();
    return unused;
}

/* What a server that reads files and sockets is allowed, for all threads, the library's too. */
static const int server_calls[] = {
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_pwrite64,
    SYS_writev,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_lseek,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_brk,
    SYS_futex,
    SYS_fallocate,
    SYS_ftruncate,
    SYS_fcntl,
    SYS_openat,
    SYS_unlink,
    SYS_unlinkat,
    SYS_getdents64,
    SYS_fstatfs,
    SYS_gettid,
    SYS_getpid,
    SYS_prctl,
    SYS_getrandom,
    SYS_exit,
    SYS_exit_group,
    SYS_rt_sigprocmask,
    SYS_rt_sigaction,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_sched_yield,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_poll,
    SYS_getrusage,
    SYS_prlimit64,
    SYS_access,
    SYS_readlink,
    SYS_sched_getaffinity,
    SYS_sysinfo,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_statfs,
};

static void seccomp(void)
{
    pthread_t thread;
    bad_start();
    MUST(pthread_create(&thread, NULL, confined_writer, NULL) == 0);
    pthread_join(thread, NULL);
    MUST(sonde_flush(10000));
    allow_only(server_calls, sizeof(server_calls) / sizeof(server_calls[0]),
               SECCOMP_FILTER_FLAG_TSYNC);
    for (int i = 0; i < 20000; i++)
        one_of_each();
    report();
    sonde_stop();
#ifdef __SANITIZE_ADDRESS__
    _exit(0); /* looking for leaks takes a thread that traces the others */
#endif
}

/* ---- a receiver that does not answer ---- */

static void receiver(void)
{
    sonde_options options = bad_options();
    options.otlp_endpoint = text_argument;
    options.stop_timeout_ms = 1000;
    MUST(sonde_start(&options) == 0);
    double before = now_s();
    for (int i = 0; i < 1000; i++)
        one_of_each();
    double calls = now_s() - before;
    sonde_flush(200);
    before = now_s();
    sonde_stop();
    printf("{\"calls_s\":%.3f,\"stop_s\":%.3f,\"logs\":%ld}\n", calls, now_s() - before,
           (long)bad_logs);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    { "early", early },
    { "twice", twice },
    { "signal_storm", signal_storm },
    { "dying_threads", dying_threads },
    { "threads_2000", threads_2000 },
    { "raw_clone", raw_clone },
    { "fork_storm", fork_storm },
    { "full_ring", full_ring },
    { "work", work },
    { "directory_removed", directory_removed },
    { "few_files", few_files },
    { "files_run_out", files_run_out },
    { "little_memory", little_memory },
    { "plugin", plugin },
    { "seccomp", seccomp },
    { "receiver", receiver },
};

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    bad_dir = argv[2];
    bad_lines = argv[3];
    text_argument = argc > 4 ? argv[4] : "";
    argument = strtol(text_argument, NULL, 10);
    make_counter();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run();
            return 0;
        }
    return 2;
}
