// SPDX-License-Identifier: Apache-2.0
/* Where the program is, as text for the attribute exception.stacktrace. Names come from the dynamic
 * symbol table (link with -rdynamic for those of the program itself); "file(+0x1f2e)" is what
 * addr2line takes. */
#include "sonde/kv.h"

#include "base/str.h"

#include <dlfcn.h>
#include <stdio.h>
#if defined(__GLIBC__)
#include <execinfo.h>
#endif

#define FRAMES_MAX 64

/* The C library's unwinder; without one the caller alone. */
static int frames_take(void **frames, void *caller)
{
#if defined(__GLIBC__)
    (void)caller;
    return backtrace(frames, FRAMES_MAX);
#else
    frames[0] = caller;
    return 1;
#endif
}

/* A return address belongs to the call before it. */
static int frame_print(char *to, size_t size, int number, const void *address)
{
    Dl_info info = { 0 };
    uintptr_t at = (uintptr_t)address - 1;
    if (!dladdr((const void *)at, &info) || !info.dli_fname)
        return snprintf(to, size, "#%d %p\n", number, address);
    str file = str_c(info.dli_fname), rest = file;
    while (rest.len)
        file = str_cut(rest, '/', &rest);
    if (info.dli_sname)
        return snprintf(to, size, "#%d %.*s(%s+0x%zx)\n", number, STR_ARG(file), info.dli_sname,
                        (size_t)((uintptr_t)address - (uintptr_t)info.dli_saddr));
    return snprintf(to, size, "#%d %.*s(+0x%zx)\n", number, STR_ARG(file),
                    (size_t)((uintptr_t)address - (uintptr_t)info.dli_fbase));
}

__attribute__((noinline)) sonde_attr sonde_kv_backtrace_(char *buffer, size_t size)
{
    void *frames[FRAMES_MAX], *caller = __builtin_return_address(0);
    size_t used = 0;
    int count = frames_take(frames, caller), from = 0;
    /* The first frames are this function and what took them. */
    for (int i = 0; i < count && from == 0; i++)
        from = frames[i] == caller ? i : 0;
    for (int i = from; i < count; i++) {
        int n = frame_print(buffer + used, size - used, i - from, frames[i]);
        if (n < 0 || (size_t)n >= size - used)
            break; /* whole lines only */
        used += (size_t)n;
    }
    return sonde_kv_text("exception.stacktrace",
                         (sonde_str){ buffer, used ? used - 1 : 0 }); /* no newline at the end */
}
