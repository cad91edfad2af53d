// SPDX-License-Identifier: Apache-2.0
/* Profiles of the own process: what its threads do (CPU), where they stand (stacks), who allocated
 * (heap), in pprof's format. A stack is unwound in the thread that it belongs to, in a signal
 * handler, by .eh_frame tables, and by frame pointers where there are none; reads stay inside of
 * the thread's stack. */
#ifndef SONDE_LIB_PPROF_H
#define SONDE_LIB_PPROF_H

#include "base/arena.h"
#include "base/buf.h"

#include <signal.h>
#include <sys/types.h>

#define PPROF_FRAMES_MAX 128u

/* Ends a CPU profile that is being taken, which answers with what it has; and every one that is
 * asked for until pprof_allow, so that sonde_stop does not wait for them. */
void pprof_cancel(void);
void pprof_allow(void);
void pprof_forked(void);
void pprof_threads_forked(void);

/* ---- pprof_unwind.c ---- */

/* Where a thread's stack may be read: up to, not including, `stack_end`. Nothing is read below the
 * stack pointer. */
typedef struct {
    uintptr_t pc, sp, fp;
    uintptr_t registers[32]; /* by DWARF number; only those that unwinding needs */
} unwind_state;

/* From the context that a signal handler got. (S) */
void unwind_from_context(unwind_state *s, const void *ucontext);
/* Addresses of the frames, innermost first: the pc, then return addresses - 1. Returns how many.
 * Async-signal-safe. (S) */
unsigned unwind_stack(unwind_state *s, uintptr_t stack_end, uint64_t *ret, unsigned most);

/* ---- pprof_stacks.c: which memory is whose stack ---- */

/* Regions of the process that can be read, as of now; NULL without memory. */
typedef struct stack_map stack_map;
stack_map *stack_map_read(void);
void stack_map_free(stack_map *m);
/* End of the region with that address; 0: none. (S) */
uintptr_t stack_map_end(const stack_map *m, uintptr_t address);

/* Thread ids of the process, at most `most`; how many. */
size_t pprof_threads_list(pid_t *ret, size_t most);
#define PPROF_THREADS_MAX 8192u
#define THREAD_NAME_SIZE  16
void pprof_thread_name(pid_t tid, char ret[THREAD_NAME_SIZE]);

/* ---- pprof_symbols.c ---- */

typedef struct symbols symbols;
/* The modules of the process, as of now. NULL without memory. */
symbols *symbols_open(void);
void symbols_close(symbols *s);

typedef struct {
    uintptr_t start, end; /* in memory */
    uint64_t offset;      /* in the file */
    str path;
    char build_id[41]; /* hexadecimal; "" when there is none */
} symbol_mapping;
/* Index of the mapping that has the address; SIZE_MAX: none. */
size_t symbols_mapping(symbols *s, uintptr_t address);
const symbol_mapping *symbols_get_mapping(const symbols *s, size_t index);
size_t symbols_mapping_count(const symbols *s);
/* Name of the function, as the linker has it; empty when unknown. *ret_start (may be NULL): its
 * first address. */
str symbols_name(symbols *s, uintptr_t address, uintptr_t *ret_start);

/* ---- pprof_proto.c ---- */

typedef struct {
    const char *type, *unit; /* {"cpu", "nanoseconds"} */
} pprof_type;
#define PPROF_VALUES_MAX 4

/* Stacks with values; equal ones are summed. */
typedef struct pprof_profile pprof_profile;
MUST_USE pprof_profile *pprof_new(const pprof_type *types, size_t count);
void pprof_free(pprof_profile *p);
/* `label`: "thread" of the sample; may be NULL. False without memory. */
bool pprof_add(pprof_profile *p, const uint64_t *frames, size_t depth, const char *label, pid_t tid,
               const int64_t *values);
typedef struct {
    int64_t time_ns, duration_ns;
    pprof_type period_type;
    int64_t period;
    const char *comment; /* NULL: none */
    const char *default_type;
} pprof_header;
/* Appends profile.proto, gzip-compressed where the build has zlib. */
bool pprof_write(const pprof_profile *p, const pprof_header *header, symbols *s, buf *out);
/* As Go's debug=1: each stack with its count, names as comments. */
void pprof_write_text(const pprof_profile *p, const char *title, symbols *s, buf *out);
/* The name for people: demangled where the program can. */
void pprof_put_name(symbols *s, uintptr_t address, buf *out);

/* ---- pprof_signal.c: a signal for a while ---- */

typedef void pprof_handler(int signal, siginfo_t *info, void *context);
typedef struct {
    int signal;
    struct sigaction before;
    pprof_handler *handler;
} pprof_signal;
/* Installs the handler; false when the program has one of its own. `signal` 0: a free realtime
 * signal. */
bool pprof_signal_take(pprof_signal *s, int signal, pprof_handler *handler);
/* Discards what is still pending, and puts the earlier action back. */
void pprof_signal_give_back(pprof_signal *s);

#endif
