// SPDX-License-Identifier: Apache-2.0
/* Unwinds a stack by call frame information (DWARF 5, section 6.4, in the form that the Linux
 * Standard Base gives .eh_frame), and by frame pointers where a function has none. Runs inside of
 * signal handlers and allocators: no lock, no allocation, no system call. The tables are those of
 * modules that have a frame on the stack, which therefore stay loaded; _dl_find_object (glibc 2.35)
 * finds them without a lock. Elsewhere only frame pointers are followed. Reads of the stack stay
 * between the first stack pointer and the end that the caller knows. */
#include "lib/pprof.h"

#include <dlfcn.h>
#include <ucontext.h>

/* In two steps: other C libraries do not have the macro. */
#if defined(__GLIBC__)
#define HAVE_TABLES __GLIBC_PREREQ(2, 35)
#else
#define HAVE_TABLES 0
#endif

/* DWARF's numbers of registers. */
#if defined(__x86_64__)
enum { REG_FP = 6, REG_SP = 7, REG_RA = 16, REG_COUNT = 17 };
#elif defined(__aarch64__)
enum { REG_FP = 29, REG_RA = 30, REG_SP = 31, REG_COUNT = 32 };
#else
enum { REG_FP = 0, REG_SP = 1, REG_RA = 2, REG_COUNT = 3 };
#endif

void unwind_from_context(unwind_state *s, const void *context)
{
    *s = (unwind_state){ 0 };
#if defined(__x86_64__)
    static const uint8_t order[REG_COUNT] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                              REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                              REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };
    const ucontext_t *uc = context;
    for (int i = 0; i < REG_COUNT; i++)
        s->registers[i] = (uintptr_t)uc->uc_mcontext.gregs[order[i]];
    s->pc = s->registers[REG_RA];
#elif defined(__aarch64__)
    const ucontext_t *uc = context;
    for (int i = 0; i <= 30; i++)
        s->registers[i] = uc->uc_mcontext.regs[i];
    s->registers[REG_SP] = uc->uc_mcontext.sp;
    s->pc = uc->uc_mcontext.pc;
#else
    (void)context;
#endif
    s->sp = s->registers[REG_SP];
    s->fp = s->registers[REG_FP];
}

/* ---- the stack's memory ---- */

typedef struct {
    unwind_state *state;
    uintptr_t low, high; /* readable: [low, high) */
} walk;

static bool read_word(const walk *w, uintptr_t at, uintptr_t *ret)
{
    if (at < w->low || at > w->high - sizeof(*ret) || at % sizeof(*ret))
        return false;
    *ret = *(const uintptr_t *)at;
    return true;
}

/* Whether there may be code. */
static bool is_code(uintptr_t pc)
{
#if HAVE_TABLES
    struct dl_find_object found;
    return _dl_find_object((void *)pc, &found) == 0;
#else
    return pc > 4096;
#endif
}

static bool step_by_frame_pointer(walk *w)
{
    unwind_state *s = w->state;
    uintptr_t fp = s->registers[REG_FP], next, ra;
    if (fp < s->registers[REG_SP] || !read_word(w, fp, &next) ||
        !read_word(w, fp + sizeof(fp), &ra) || !is_code(ra))
        return false;
    s->registers[REG_FP] = next;
    s->registers[REG_SP] = fp + 2 * sizeof(fp);
    s->pc = ra;
    return true;
}

#if HAVE_TABLES

/* ---- bytes of .eh_frame ---- */

typedef struct {
    const uint8_t *at, *end;
    bool bad;
} bytes;

static uint64_t take(bytes *b, size_t n)
{
    uint64_t v = 0;
    if ((size_t)(b->end - b->at) < n || b->bad) {
        b->bad = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)b->at[i] << (8 * i);
    b->at += n;
    return v;
}

static uint64_t take_uleb(bytes *b)
{
    uint64_t v = 0, part;
    unsigned shift = 0;
    do {
        part = take(b, 1);
        if (shift < 64)
            v |= (part & 0x7f) << shift;
        shift += 7;
    } while (part & 0x80);
    return v;
}

static int64_t take_sleb(bytes *b)
{
    uint64_t v = 0, part;
    unsigned shift = 0;
    do {
        part = take(b, 1);
        if (shift < 64)
            v |= (part & 0x7f) << shift;
        shift += 7;
    } while (part & 0x80);
    if (shift < 64 && (part & 0x40))
        v |= ~UINT64_C(0) << shift;
    return (int64_t)v;
}

static int64_t take_signed(bytes *b, size_t n)
{
    uint64_t v = take(b, n);
    unsigned unused = (unsigned)(64 - 8 * n);
    return (int64_t)(v << unused) >> unused;
}

/* A pointer in one of the encodings of the Linux Standard Base: low half the format, high half what
 * it is relative to. */
static uintptr_t take_pointer(bytes *b, uint8_t encoding, uintptr_t data)
{
    static const struct {
        uint8_t size; /* 0: LEB128 */
        bool is_signed;
    } formats[16] = { [0] = { 8, false },  [1] = { 0, false },  [2] = { 2, false },
                      [3] = { 4, false },  [4] = { 8, false },  [9] = { 0, true },
                      [0xa] = { 2, true }, [0xb] = { 4, true }, [0xc] = { 8, true } };
    uintptr_t here = (uintptr_t)b->at, v;
    if (encoding == 0xff)
        return 0;
    uint8_t size = formats[encoding & 15].size;
    if (size == 0)
        v = formats[encoding & 15].is_signed ? (uintptr_t)take_sleb(b) : take_uleb(b);
    else
        v = formats[encoding & 15].is_signed ? (uintptr_t)take_signed(b, size) : take(b, size);
    if ((encoding & 0x70) == 0x10)
        v += here;
    else if ((encoding & 0x70) == 0x30)
        v += data;
    return v;
}

/* ---- the entry of a function ---- */

typedef struct {
    bytes initial, program; /* instructions of the common entry, and of the function's own */
    uint64_t code_align;
    int64_t data_align;
    unsigned ra; /* the column of the return address */
    bool signal_frame;
    uint8_t encoding;
    bool has_augmentation;
    uintptr_t start, end;
} frame_entry;

static bool parse_common(const uint8_t *cie, frame_entry *e)
{
    uint32_t length;
    memcpy(&length, cie, 4);
    bytes b = { cie + 4, cie + 4 + length, length >= 0xfffffff0u };
    uint64_t id = take(&b, 4), version = take(&b, 1);
    const char *augmentation = (const char *)b.at;
    while (take(&b, 1))
        ;
    e->code_align = take_uleb(&b);
    e->data_align = take_sleb(&b);
    e->ra = (unsigned)(version == 1 ? take(&b, 1) : take_uleb(&b));
    if (id != 0 || b.bad || e->ra >= REG_COUNT)
        return false;
    if (*augmentation == 'z') {
        uint64_t size = take_uleb(&b);
        bytes a = { b.at, b.at + size, size > (uint64_t)(b.end - b.at) };
        e->has_augmentation = true;
        while (*++augmentation && !a.bad) {
            if (*augmentation == 'R')
                e->encoding = (uint8_t)take(&a, 1);
            else if (*augmentation == 'L')
                take(&a, 1);
            else if (*augmentation == 'P')
                take_pointer(&a, (uint8_t)take(&a, 1), 0);
            else if (*augmentation == 'S')
                e->signal_frame = true;
        }
        b.at += MIN(size, (uint64_t)(b.end - b.at));
    } else if (*augmentation) {
        return false;
    }
    e->initial = b;
    return !b.bad;
}

static bool parse_entry(const uint8_t *fde, frame_entry *e)
{
    uint32_t length, back;
    memcpy(&length, fde, 4);
    memcpy(&back, fde + 4, 4);
    bytes b = { fde + 8, fde + 4 + length, length >= 0xfffffff0u || back == 0 };
    *e = (frame_entry){ .ra = REG_RA };
    if (b.bad || !parse_common(fde + 4 - back, e))
        return false;
    e->start = take_pointer(&b, e->encoding, 0);
    e->end = e->start + take_pointer(&b, e->encoding & 15, 0);
    if (e->has_augmentation) {
        uint64_t size = take_uleb(&b);
        b.at += MIN(size, (uint64_t)(b.end - b.at));
    }
    e->program = b;
    return !b.bad;
}

/* By the sorted table of .eh_frame_hdr: pairs of offsets of 4 bytes, from its own start. */
static bool find_entry(uintptr_t pc, frame_entry *e)
{
    struct dl_find_object found;
    if (_dl_find_object((void *)pc, &found) != 0 || !found.dlfo_eh_frame)
        return false;
    const uint8_t *header = found.dlfo_eh_frame;
    uintptr_t base = (uintptr_t)header;
    bytes b = { header + 4, header + 28, header[0] != 1 || header[3] != 0x3b };
    take_pointer(&b, header[1], base);
    size_t count = take_pointer(&b, header[2], base), low = 0;
    const int32_t(*table)[2] = (const void *)b.at;
    if (b.bad || count == 0 || (uintptr_t)(base + (intptr_t)table[0][0]) > pc)
        return false;
    while (count > 1) {
        size_t half = count / 2;
        if (base + (uintptr_t)(intptr_t)table[low + half][0] <= pc) {
            low += half;
            count -= half;
        } else {
            count = half;
        }
    }
    return parse_entry(header + table[low][1], e) && pc >= e->start && pc < e->end;
}

/* ---- its instructions ---- */

typedef enum {
    SAME,
    UNDEFINED,
    AT_OFFSET,
    IS_OFFSET,
    IN_REGISTER,
    AT_EXPRESSION,
    IS_EXPRESSION
} how;

typedef struct {
    uint8_t how[REG_COUNT];
    intptr_t value[REG_COUNT]; /* offset from the frame's address, register, or expression */
    uint32_t cfa_register;     /* UINT32_MAX: by the expression */
    intptr_t cfa;              /* offset, or expression */
} frame_row;

enum { ROWS_SAVED = 3 };

typedef struct {
    const frame_entry *entry;
    frame_row row, first;
    frame_row saved[ROWS_SAVED];
    unsigned saved_count;
    uintptr_t location, target;
} machine;

static bool set_rule(machine *m, uint64_t reg, how h, intptr_t value)
{
    if (reg < REG_COUNT) {
        m->row.how[reg] = (uint8_t)h;
        m->row.value[reg] = value;
    }
    return true; /* a register that nobody needs */
}

static bool restore_rule(machine *m, uint64_t reg)
{
    if (reg < REG_COUNT) {
        m->row.how[reg] = m->first.how[reg];
        m->row.value[reg] = m->first.value[reg];
    }
    return true;
}

static intptr_t take_block(bytes *b)
{
    intptr_t at = (intptr_t)b->at;
    uint64_t size = take_uleb(b);
    if (size > (uint64_t)(b->end - b->at))
        b->bad = true;
    else
        b->at += size;
    return at;
}

static bool advance(machine *m, uint64_t delta)
{
    m->location += delta * m->entry->code_align;
    return m->location <= m->target;
}

static bool save_row(machine *m)
{
    if (m->saved_count == ROWS_SAVED)
        return false;
    m->saved[m->saved_count++] = m->row;
    return true;
}

static bool load_row(machine *m)
{
    if (m->saved_count == 0)
        return false;
    m->row = m->saved[--m->saved_count];
    return true;
}

static bool define_cfa(machine *m, uint32_t reg, intptr_t value)
{
    m->row.cfa_register = reg;
    m->row.cfa = value;
    return reg < REG_COUNT || reg == UINT32_MAX;
}

/* Instructions with the operand in their low six bits excepted. False: the target was passed, or
 * something is not known. */
static bool run_extended(machine *m, bytes *b, uint8_t op)
{
    intptr_t align = (intptr_t)m->entry->data_align;
    uint64_t reg;
    switch (op) {
    case 0x00: /* nop */
        return true;
    case 0x01: /* set_loc */
        m->location = take_pointer(b, m->entry->encoding, 0);
        return m->location <= m->target;
    case 0x02: /* advance_loc1, 2, 4 */
        return advance(m, take(b, 1));
    case 0x03:
        return advance(m, take(b, 2));
    case 0x04:
        return advance(m, take(b, 4));
    case 0x05: /* offset_extended */
        reg = take_uleb(b);
        return set_rule(m, reg, AT_OFFSET, (intptr_t)take_uleb(b) * align);
    case 0x06: /* restore_extended */
        return restore_rule(m, take_uleb(b));
    case 0x07: /* undefined */
        return set_rule(m, take_uleb(b), UNDEFINED, 0);
    case 0x08: /* same_value */
        return set_rule(m, take_uleb(b), SAME, 0);
    case 0x09: /* register */
        reg = take_uleb(b);
        return set_rule(m, reg, IN_REGISTER, (intptr_t)take_uleb(b));
    case 0x0a: /* remember_state */
        return save_row(m);
    case 0x0b: /* restore_state */
        return load_row(m);
    case 0x0c: /* def_cfa */
        reg = take_uleb(b);
        return define_cfa(m, (uint32_t)reg, (intptr_t)take_uleb(b));
    case 0x0d: /* def_cfa_register */
        return define_cfa(m, (uint32_t)take_uleb(b), m->row.cfa);
    case 0x0e: /* def_cfa_offset */
        m->row.cfa = (intptr_t)take_uleb(b);
        return true;
    case 0x0f: /* def_cfa_expression */
        return define_cfa(m, UINT32_MAX, take_block(b));
    case 0x10: /* expression */
        reg = take_uleb(b);
        return set_rule(m, reg, AT_EXPRESSION, take_block(b));
    case 0x11: /* offset_extended_sf */
        reg = take_uleb(b);
        return set_rule(m, reg, AT_OFFSET, (intptr_t)take_sleb(b) * align);
    case 0x12: /* def_cfa_sf */
        reg = take_uleb(b);
        return define_cfa(m, (uint32_t)reg, (intptr_t)take_sleb(b) * align);
    case 0x13: /* def_cfa_offset_sf */
        m->row.cfa = (intptr_t)take_sleb(b) * align;
        return true;
    case 0x14: /* val_offset */
        reg = take_uleb(b);
        return set_rule(m, reg, IS_OFFSET, (intptr_t)take_uleb(b) * align);
    case 0x16: /* val_expression */
        reg = take_uleb(b);
        return set_rule(m, reg, IS_EXPRESSION, take_block(b));
    case 0x2e: /* GNU_args_size */
        take_uleb(b);
        return true;
    default:
        return false;
    }
}

/* Up to the target; false when the instructions are not understood. */
static bool run(machine *m, bytes b)
{
    while (b.at < b.end && !b.bad) {
        uint8_t op = (uint8_t)take(&b, 1), low = op & 0x3f;
        bool good;
        switch (op >> 6) {
        case 1:
            good = advance(m, low);
            break;
        case 2:
            good = set_rule(m, low, AT_OFFSET,
                            (intptr_t)take_uleb(&b) * (intptr_t)m->entry->data_align);
            break;
        case 3:
            good = restore_rule(m, low);
            break;
        default:
            good = run_extended(m, &b, op);
        }
        if (!good)
            return m->location > m->target && !b.bad;
    }
    return !b.bad;
}

/* ---- expressions: those of PLT entries and of the kernel's signal frames ---- */

enum { EXPRESSION_STACK = 16 };

typedef struct {
    const walk *walk;
    uintptr_t stack[EXPRESSION_STACK];
    unsigned depth;
} expression;

static bool push(expression *x, uintptr_t v)
{
    if (x->depth == EXPRESSION_STACK)
        return false;
    x->stack[x->depth++] = v;
    return true;
}

static bool run_binary(expression *x, uint8_t op)
{
    if (x->depth < 2)
        return false;
    uintptr_t b = x->stack[--x->depth], *a = &x->stack[x->depth - 1];
    switch (op) {
    case 0x1a:
        *a &= b;
        return true;
    case 0x1c:
        *a -= b;
        return true;
    case 0x21:
        *a |= b;
        return true;
    case 0x22:
        *a += b;
        return true;
    case 0x24:
        *a = b < 64 ? *a << b : 0;
        return true;
    case 0x25:
        *a = b < 64 ? *a >> b : 0;
        return true;
    case 0x2a:
        *a = (intptr_t)*a >= (intptr_t)b;
        return true;
    default:
        return false;
    }
}

static bool run_operation(expression *x, bytes *b, uint8_t op)
{
    if (op >= 0x30 && op <= 0x4f) /* lit0 … lit31 */
        return push(x, op - 0x30u);
    if (op >= 0x70 && op <= 0x8f) { /* breg0 … breg31 */
        int64_t offset = take_sleb(b);
        return op - 0x70 < REG_COUNT &&
               push(x, x->walk->state->registers[op - 0x70] + (uintptr_t)offset);
    }
    if (op >= 0x08 && op <= 0x0f) { /* const1u, const1s, … const8s */
        size_t n = (size_t)1 << ((op - 0x08) / 2);
        return push(x, op & 1 ? (uintptr_t)take_signed(b, n) : take(b, n));
    }
    if (op == 0x10)
        return push(x, take_uleb(b));
    if (op == 0x11)
        return push(x, (uintptr_t)take_sleb(b));
    if (op == 0x23 && x->depth) { /* plus_uconst */
        x->stack[x->depth - 1] += take_uleb(b);
        return true;
    }
    if (op == 0x06 && x->depth) /* deref */
        return read_word(x->walk, x->stack[x->depth - 1], &x->stack[x->depth - 1]);
    return run_binary(x, op);
}

static bool evaluate(const walk *w, intptr_t block, const uintptr_t *first, uintptr_t *ret)
{
    expression x = { .walk = w };
    bytes b = { (const uint8_t *)block, (const uint8_t *)block + 16, false };
    uint64_t size = take_uleb(&b);
    b.end = b.at + size;
    if (first)
        push(&x, *first);
    while (b.at < b.end && !b.bad)
        if (!run_operation(&x, &b, (uint8_t)take(&b, 1)))
            return false;
    if (b.bad || x.depth == 0)
        return false;
    *ret = x.stack[x.depth - 1];
    return true;
}

/* ---- one frame ---- */

static bool apply_rule(const walk *w, const frame_row *row, unsigned reg, uintptr_t cfa,
                       uintptr_t *ret)
{
    intptr_t value = row->value[reg];
    uintptr_t at;
    switch ((how)row->how[reg]) {
    case SAME:
        *ret = reg == REG_SP ? cfa : w->state->registers[reg];
        return true;
    case UNDEFINED:
        *ret = 0;
        return true;
    case AT_OFFSET:
        return read_word(w, cfa + (uintptr_t)value, ret);
    case IS_OFFSET:
        *ret = cfa + (uintptr_t)value;
        return true;
    case IN_REGISTER:
        *ret = (size_t)value < REG_COUNT ? w->state->registers[value] : 0;
        return true;
    case AT_EXPRESSION:
        return evaluate(w, value, &cfa, &at) && read_word(w, at, ret);
    case IS_EXPRESSION:
        return evaluate(w, value, &cfa, ret);
    }
    return false;
}

typedef enum { STEPPED, STEP_END, STEP_UNKNOWN } step_result;

static step_result step_by_table(walk *w, uintptr_t pc, bool *ret_signal)
{
    unwind_state *s = w->state;
    frame_entry entry;
    uintptr_t cfa, next[REG_COUNT];
    if (!find_entry(pc, &entry))
        return STEP_UNKNOWN;
    machine m = { .entry = &entry, .location = entry.start, .target = UINTPTR_MAX };
    if (!run(&m, entry.initial))
        return STEP_UNKNOWN;
    m.first = m.row;
    m.target = pc;
    m.location = entry.start;
    if (!run(&m, entry.program))
        return STEP_UNKNOWN;
    if (m.row.how[entry.ra] == UNDEFINED)
        return STEP_END;
    if (m.row.cfa_register == UINT32_MAX) {
        if (!evaluate(w, m.row.cfa, NULL, &cfa))
            return STEP_UNKNOWN;
    } else {
        cfa = s->registers[m.row.cfa_register] + (uintptr_t)m.row.cfa;
    }
    if (cfa < s->registers[REG_SP] || cfa > w->high)
        return STEP_UNKNOWN;
    for (unsigned i = 0; i < REG_COUNT; i++)
        if (!apply_rule(w, &m.row, i, cfa, &next[i]))
            return STEP_UNKNOWN;
    bool moved = next[REG_SP] > s->registers[REG_SP] || next[entry.ra] != s->pc;
    memcpy(s->registers, next, sizeof(next));
    s->pc = next[entry.ra];
    *ret_signal = entry.signal_frame;
    return moved ? STEPPED : STEP_END;
}
#endif

unsigned unwind_stack(unwind_state *s, uintptr_t stack_end, uint64_t *ret, unsigned most)
{
    walk w = { s, s->sp, stack_end };
    unsigned depth = 0;
    bool exact = true; /* pc is the next instruction itself, not a return address */
    while (depth < most && s->pc) {
        uintptr_t pc = exact ? s->pc : s->pc - 1;
        bool signal_frame = false;
        ret[depth++] = pc;
        if (!stack_end)
            break;
#if HAVE_TABLES
        step_result result = step_by_table(&w, pc, &signal_frame);
        if (result == STEP_END || (result == STEP_UNKNOWN && !step_by_frame_pointer(&w)))
            break;
#else
        if (!step_by_frame_pointer(&w))
            break;
#endif
        exact = signal_frame;
    }
    return depth;
}
