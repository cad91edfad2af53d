// SPDX-License-Identifier: Apache-2.0
/* Feeds a fuzz target in builds without a fuzzer. Usage: replay_x PATH…, where a path is an input
 * or a directory of them. With SONDE_FUZZ_SECONDS it then makes inputs of those for that time, in a
 * child process; the input under way lies in memory that both share, so that what broke the child,
 * took too long or too much memory ends as a file (in SONDE_FUZZ_FINDINGS, or here) to replay.
 * SONDE_FUZZ_SEED, a number, repeats the inputs of an earlier run, which said it.
 * Each input is given from a block of its exact size, so that the address sanitizer sees a read
 * past its end. Fails without any input: a test that tested nothing. */
#include "fuzz/fuzz.h"
#include "fuzz/mutate.h"

#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
#endif

enum {
    SEED_BYTES_MAX = 16 << 20,
    INPUT_MAX = 16 << 10,  /* longer ones only where a seed is */
    INPUT_MS = 1000,       /* of the processor, for one input */
    INPUT_WAIT_MS = 20000, /* of the clock: it waits for what does not come */
    MEMORY_MB = 1024,      /* the sanitizer keeps 256 of freed memory */
    LEAK_CHECKS_MAX = 200, /* a target that keeps memory on purpose is not looked at for ever */
    WATCH_MS = 50,
};

/* Written by the child, read by the parent when the child is dead or was stopped. */
typedef struct {
    _Atomic uint64_t runs;
    size_t len;
    _Atomic bool known; /* an input is under way */
    uint8_t bytes[];
} shared;

typedef struct {
    str *items;
    size_t count, longest;
} seed_list;

static void run_exact(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(MAX(n, (size_t)1));
    FUZZ_CHECK(exact);
    if (n)
        memcpy(exact, bytes, n);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

#ifdef __SANITIZE_ADDRESS__

static _Atomic int64_t blocks;
static int leak_checks;

static void count_malloc(const volatile void *ptr, size_t n)
{
    (void)ptr;
    blocks++;
    FUZZ_CHECK(n < MiB(MEMORY_MB));
}

static void count_free(const volatile void *ptr)
{
    blocks -= ptr != NULL;
}

/* Looking for leaks costs milliseconds, counting costs nothing: looked is only where an input, also
 * the second time, left more blocks than there were. */
static void run_watched(const uint8_t *bytes, size_t n)
{
    int64_t before = blocks;
    run_exact(bytes, n);
    if (blocks <= before || leak_checks == LEAK_CHECKS_MAX)
        return;
    before = blocks;
    run_exact(bytes, n);
    if (blocks <= before)
        return;
    leak_checks++;
    if (__lsan_do_recoverable_leak_check()) {
        fprintf(stderr, "the input leaks memory\n");
        _exit(1);
    }
}

static void watch_memory(void)
{
    __sanitizer_install_malloc_and_free_hooks(count_malloc, count_free);
}

static void show_where(int signal)
{
    __sanitizer_print_stack_trace();
    _exit(128 + signal);
}

#else

static void run_watched(const uint8_t *bytes, size_t n)
{
    run_exact(bytes, n);
}

static void watch_memory(void)
{
}

static void show_where(int signal)
{
    _exit(128 + signal);
}

#endif

static int add_file(seed_list *seeds, const char *path)
{
    buf content;
    error err;
    buf_init(&content, SEED_BYTES_MAX);
    str *items = realloc(seeds->items, (seeds->count + 1) * sizeof(str));
    if (items)
        seeds->items = items;
    if (!items || file_read(path, &content, &err) != STATUS_OK) {
        fprintf(stderr, "%s: cannot be read\n", path);
        buf_done(&content);
        return 1;
    }
    seeds->items[seeds->count++] = str_n(content.ptr, content.len); /* its memory goes there */
    seeds->longest = MAX(seeds->longest, content.len);
    return 0;
}

static int add_path(seed_list *seeds, const char *path)
{
    struct stat st;
    struct dirent **names;
    int failed = 0;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return add_file(seeds, path);
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            failed += add_file(seeds, file);
        free(names[i]);
    }
    free(names);
    return failed;
}

static void seeds_done(seed_list *seeds)
{
    for (size_t i = 0; i < seeds->count; i++)
        free((char *)seeds->items[i].ptr);
    free(seeds->items);
}

/* The child. Ends as a program ends, so that what nobody frees is reported. */
static int make_inputs(const seed_list *seeds, uint64_t seed, int seconds, shared *at, size_t max)
{
    int64_t until_ns = clock_mono_ns() + seconds * NS_PER_S;
    mutator m = { .seeds = seeds->items, .count = seeds->count };
    random_init(&m.random, seed);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGALRM, show_where);
    signal(SIGABRT, show_where);
    watch_memory();
    for (at->known = true; clock_mono_ns() < until_ns; at->runs++) {
        at->len = mutate(&m, at->bytes, max);
        run_watched(at->bytes, at->len);
    }
    at->known = false;
    return 0;
}

static int64_t cpu_ms(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) == 0 ? t.tv_sec * 1000 + t.tv_nsec / NS_PER_MS : 0;
}

static long resident_mb(pid_t child)
{
    char path[64];
    long pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)child);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%*s %ld", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (sysconf(_SC_PAGESIZE) >> 10) >> 10;
}

/* Until the child ended, whose wait status is returned; *ret_why says why it was stopped. Time is
 * the child's own of the processor, which does not pass while others have it. */
static int watch(pid_t child, const shared *at, const char **ret_why)
{
    clockid_t clock;
    uint64_t runs = UINT64_MAX;
    int64_t since_ms = 0, since_ns = 0;
    int wait_status;
    if (clock_getcpuclockid(child, &clock))
        clock = CLOCK_MONOTONIC;
    while (waitpid(child, &wait_status, WNOHANG) == 0) {
        poll(NULL, 0, WATCH_MS);
        if (runs != at->runs) {
            runs = at->runs;
            since_ms = cpu_ms(clock);
            since_ns = clock_mono_ns();
        }
        if (!*ret_why && at->known && cpu_ms(clock) - since_ms > INPUT_MS)
            *ret_why = "an input takes more than a second";
        else if (!*ret_why && clock_mono_ns() - since_ns > INPUT_WAIT_MS * NS_PER_MS)
            *ret_why = "an input waits for what does not come";
        else if (!*ret_why && resident_mb(child) > MEMORY_MB)
            *ret_why = "more than 1024 MB of memory is used";
        else
            continue;
        /* It says where it is; a child that cannot even do that is killed. */
        kill(child, SIGALRM);
        for (int i = 0; i < INPUT_WAIT_MS / WATCH_MS; i++) {
            if (waitpid(child, &wait_status, WNOHANG) != 0)
                return wait_status;
            poll(NULL, 0, WATCH_MS);
        }
        kill(child, SIGKILL);
    }
    return wait_status;
}

static void write_finding(const char *program, const shared *at)
{
    char path[4096];
    uint64_t hash = at->len;
    const char *dir = getenv("SONDE_FUZZ_FINDINGS"), *name = strrchr(program, '/');
    for (size_t i = 0; i < at->len; i++)
        hash = random_mix(hash ^ at->bytes[i]);
    snprintf(path, sizeof(path), "%s/%s-%016" PRIx64, dir && *dir ? dir : ".",
             name ? name + 1 : program, hash);
    FILE *f = fopen(path, "we");
    bool good = f && fwrite(at->bytes, 1, at->len, f) == at->len;
    if (f && fclose(f) != 0)
        good = false;
    if (good)
        fprintf(stderr, "input: %s (%zu bytes; %s %s runs it again)\n", path, at->len, program,
                path);
    else
        fprintf(stderr, "the input cannot be written to %s: %s\n", path, strerror(errno));
}

static int fuzz(const char *program, const seed_list *seeds, int seconds)
{
    const char *given = getenv("SONDE_FUZZ_SEED"), *why = NULL;
    uint64_t seed = given ? strtoull(given, NULL, 0) : 0;
    size_t max = MAX((size_t)INPUT_MAX, 2 * seeds->longest);
    shared *at =
        mmap(NULL, sizeof(*at) + max, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    if (!given)
        (void)random_seed(&seed, sizeof(seed));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        exit(make_inputs(seeds, seed, seconds, at, max));
    int wait_status = child > 0 ? watch(child, at, &why) : -1;
    bool good =
        WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 && !why && at->runs && !at->known;
    if (!good && at->known)
        write_finding(program, at);
    if (!good)
        fprintf(stderr, "%s: %s\n", program,
                why         ? why
                : at->known ? "an input breaks it"
                            : "its end fails, after every input");
    printf("%" PRIu64 " inputs made in %d s (SONDE_FUZZ_SEED=%" PRIu64 ")\n", at->runs, seconds,
           seed);
    munmap(at, sizeof(*at) + max);
    return !good;
}

int main(int argc, char **argv)
{
    seed_list seeds = { 0 };
    int failed = 0;
    const char *text = getenv("SONDE_FUZZ_SECONDS");
    int seconds = text ? (int)strtol(text, NULL, 10) : 0;
    for (int i = 1; i < argc; i++)
        failed += add_path(&seeds, argv[i]);
    for (size_t i = 0; i < seeds.count && seconds <= 0; i++)
        run_exact((const uint8_t *)seeds.items[i].ptr, seeds.items[i].len);
    printf("%zu inputs\n", seeds.count);
    if (!failed && seeds.count && seconds > 0)
        failed = fuzz(argv[0], &seeds, seconds);
    seeds_done(&seeds);
    return failed || seeds.count == 0;
}
