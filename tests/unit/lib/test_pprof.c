// SPDX-License-Identifier: Apache-2.0
/* Stacks, names and profile.proto. */
#include "lib/pprof.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    stack_map *map;
    uint64_t frames[PPROF_FRAMES_MAX];
    unsigned depth;
    unsigned most;
    uintptr_t end; /* 0: as the map says */
} seen;

static void on_signal(int number UNUSED, siginfo_t *info UNUSED, void *context)
{
    unwind_state s;
    unwind_from_context(&s, context);
    uintptr_t end = seen.end ? s.sp + seen.end : stack_map_end(seen.map, s.sp);
    seen.depth = unwind_stack(&s, end, seen.frames, seen.most ? seen.most : PPROF_FRAMES_MAX);
}

static __attribute__((noinline)) void inner_function(void)
{
    raise(SIGUSR1);
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void outer_function(volatile int *rounds)
{
    if (--*rounds > 0)
        outer_function(rounds);
    else
        inner_function();
    __asm__ volatile("" ::: "memory");
}

static void take_stack(int rounds)
{
    pprof_signal sig;
    volatile int left = rounds;
    seen.map = stack_map_read();
    assert_non_null(seen.map);
    assert_true(pprof_signal_take(&sig, SIGUSR1, on_signal));
    outer_function(&left);
    pprof_signal_give_back(&sig);
    stack_map_free(seen.map);
}

static unsigned frames_named(symbols *s, const char *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < seen.depth; i++)
        count += str_is(symbols_name(s, seen.frames[i], NULL), name);
    return count;
}

static void static_functions_have_names_up_to_main(void **state UNUSED)
{
    symbols *s = symbols_open();
    seen.most = 0;
    seen.end = 0;
    take_stack(5);
    assert_int_equal(frames_named(s, "inner_function"), 1);
    assert_int_equal(frames_named(s, "outer_function"), 5);
    assert_int_equal(frames_named(s, "static_functions_have_names_up_to_main"), 1);
    assert_int_equal(frames_named(s, "main"), 1);
    symbols_close(s);
}

static void a_stack_is_cut_at_the_limit_and_at_the_end_of_what_may_be_read(void **state UNUSED)
{
    seen.end = 0;
    seen.most = 20;
    take_stack(100);
    assert_int_equal(seen.depth, 20);
    seen.most = 0;
    seen.end = 64;
    take_stack(100);
    assert_in_range(seen.depth, 1, 4);
    seen.end = 0;
}

static void *with_a_broken_frame_pointer(void *arg)
{
    unwind_state s = { .pc = 8, .sp = (uintptr_t)&s, .fp = 12345 };
    unsigned *ret = arg;
    for (int i = 0; i < 32; i++)
        s.registers[i] = 0xdeadbeefdeadbeefu;
    uint64_t frames[8];
    *ret = unwind_stack(&s, (uintptr_t)(&s + 1), frames, 8);
    return NULL;
}

static void garbage_ends_the_stack(void **state UNUSED)
{
    unsigned depth = 0;
    with_a_broken_frame_pointer(&depth);
    assert_int_equal(depth, 1);
}

static void a_signal_in_use_is_left_alone(void **state UNUSED)
{
    pprof_signal sig;
    signal(SIGUSR2, SIG_IGN);
    assert_false(pprof_signal_take(&sig, SIGUSR2, on_signal));
    signal(SIGUSR2, SIG_DFL);
    assert_true(pprof_signal_take(&sig, SIGUSR2, on_signal));
    sigset_t one, before;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    sigprocmask(SIG_BLOCK, &one, &before);
    raise(SIGUSR2); /* pending: would end the process by the default action */
    pprof_signal_give_back(&sig);
    sigprocmask(SIG_SETMASK, &before, NULL);
    struct sigaction now;
    assert_int_equal(sigaction(SIGUSR2, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
}

static void addresses_outside_have_no_name(void **state UNUSED)
{
    symbols *s = symbols_open();
    int local;
    assert_int_equal(symbols_name(s, 0, NULL).len, 0);
    assert_int_equal(symbols_name(s, UINTPTR_MAX, NULL).len, 0);
    assert_int_equal(symbols_name(s, (uintptr_t)&local, NULL).len, 0);
    assert_int_equal(symbols_mapping(s, (uintptr_t)&local), SIZE_MAX);
    symbols_close(s);
}

static void equal_stacks_are_one_sample(void **state UNUSED)
{
    static const pprof_type types[] = { { "things", "count" } };
    pprof_profile *p = pprof_new(types, 1);
    symbols *s = symbols_open();
    const int64_t one = 1;
    uint64_t stack[3] = { (uintptr_t)inner_function, (uintptr_t)outer_function, 1 };
    for (int i = 0; i < 1000; i++)
        assert_true(pprof_add(p, stack, 3, NULL, 0, &one));
    assert_true(pprof_add(p, stack, 2, "worker", 7, &one));
    buf text;
    buf_init(&text, 0);
    pprof_write_text(p, "test", s, &text);
    buf_char(&text, '\0');
    assert_non_null(strstr(text.ptr, "test profile: total 1001"));
    assert_non_null(strstr(text.ptr, "\n1000 @ 0x"));
    assert_non_null(strstr(text.ptr, "inner_function+0\n"));
    assert_non_null(strstr(text.ptr, "[unknown]"));
    buf_done(&text);

    pprof_header header = { .time_ns = 5, .comment = "noted" };
    buf_init(&text, 0);
    assert_true(pprof_write(p, &header, s, &text));
    assert_true(text.len > 100);
    buf_done(&text);
    symbols_close(s);
    pprof_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_functions_have_names_up_to_main),
        cmocka_unit_test(a_stack_is_cut_at_the_limit_and_at_the_end_of_what_may_be_read),
        cmocka_unit_test(garbage_ends_the_stack),
        cmocka_unit_test(a_signal_in_use_is_left_alone),
        cmocka_unit_test(addresses_outside_have_no_name),
        cmocka_unit_test(equal_stacks_are_one_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
