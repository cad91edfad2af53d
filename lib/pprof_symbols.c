// SPDX-License-Identifier: Apache-2.0
/* Names of functions: the modules of the process (dl_iterate_phdr), and of each that is asked for
 * the symbol table of its file, .symtab, which has static functions too, or else .dynsym. A file
 * that was replaced since it was loaded (another build id) gives no names. Everything in a file is
 * checked before it is used. */
#include "lib/pprof.h"

#include "base/file.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAPPINGS_MAX = 4096, SECTIONS_MAX = 65536 };
#define TABLE_BYTES_MAX MiB(512)

typedef struct {
    uintptr_t start, size;
    uint32_t name;
    uint8_t rank; /* of two at the same address the lower one counts */
} symbol;

typedef struct {
    symbol_mapping public;
    uintptr_t bias; /* memory = bias + the file's virtual address */
    bool tried;
    symbol *list; /* rising, unique */
    size_t count;
    char *names;
    size_t names_size;
} mapping;

struct symbols {
    arena memory;
    mapping *list;
    size_t count;
};

/* ---- modules ---- */

static void find_build_id(const char *note, size_t size, char ret[41])
{
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) n;
        memcpy(&n, note, sizeof(n));
        size_t name = (n.n_namesz + 3u) & ~(size_t)3,
               all = sizeof(n) + name + ((n.n_descsz + 3u) & ~3u);
        if (all > size)
            return;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && n.n_descsz <= 20) {
            str_to_hex((const uint8_t *)note + sizeof(n) + name, n.n_descsz, ret);
            ret[2 * n.n_descsz] = '\0';
            return;
        }
        note += all;
        size -= all;
    }
}

static str module_path(symbols *s, const char *name)
{
    char path[4096];
    if (name && name[0])
        return arena_str(&s->memory, str_c(name));
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
    return arena_str(&s->memory, str_n(path, (size_t)MAX(n, 0)));
}

static int add_module(struct dl_phdr_info *info, size_t size UNUSED, void *user)
{
    symbols *s = user;
    char build_id[41] = "";
    bool is_program = s->count == 0;
    str path = module_path(s, is_program ? NULL : info->dlpi_name);
    if (!path.ptr)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE && !build_id[0])
            find_build_id((const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
                          info->dlpi_phdr[i].p_memsz, build_id);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || s->count == MAPPINGS_MAX)
            continue;
        mapping *m = &s->list[s->count++];
        *m = (mapping){ .bias = info->dlpi_addr };
        m->public.start = info->dlpi_addr + p->p_vaddr;
        m->public.end = m->public.start + p->p_memsz;
        m->public.offset = p->p_offset;
        m->public.path = path;
        memcpy(m->public.build_id, build_id, sizeof(build_id));
    }
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const mapping *x = a, *y = b;
    return (x->public.start > y->public.start) - (x->public.start < y->public.start);
}

symbols *symbols_open(void)
{
    symbols *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    arena_init(&s->memory, MiB(16));
    s->list = calloc(MAPPINGS_MAX, sizeof(*s->list));
    if (!s->list) {
        symbols_close(s);
        return NULL;
    }
    dl_iterate_phdr(add_module, s);
    qsort(s->list, s->count, sizeof(*s->list), by_start);
    return s;
}

void symbols_close(symbols *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        free(s->list[i].list);
        free(s->list[i].names);
    }
    free(s->list);
    arena_done(&s->memory);
    free(s);
}

size_t symbols_mapping(symbols *s, uintptr_t address)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->list[middle].public.end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->count && s->list[low].public.start <= address ? low : SIZE_MAX;
}

const symbol_mapping *symbols_get_mapping(const symbols *s, size_t index)
{
    return &s->list[index].public;
}

size_t symbols_mapping_count(const symbols *s)
{
    return s->count;
}

/* ---- a file's symbol table ---- */

typedef struct {
    int fd;
    uint64_t size;
    ElfW(Shdr) * sections;
    size_t count;
} elf_file;

/* A part of the file in memory of its own; NULL when it is not there, or too large. */
static void *read_part(const elf_file *f, uint64_t at, uint64_t size)
{
    if (size == 0 || size > TABLE_BYTES_MAX || at > f->size || size > f->size - at)
        return NULL;
    void *bytes = malloc(size);
    if (bytes && file_pread_all(f->fd, bytes, size, (off_t)at, NULL) != STATUS_OK) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

static bool open_elf(elf_file *f, const char *path)
{
    ElfW(Ehdr) head;
    struct stat st;
    *f = (elf_file){ .fd = open(path, O_RDONLY | O_CLOEXEC) };
    if (f->fd < 0 || fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    f->size = (uint64_t)st.st_size;
    if (file_pread_all(f->fd, &head, sizeof(head), 0, NULL) != STATUS_OK ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        head.e_shentsize != sizeof(*f->sections) || head.e_shnum == 0)
        return false;
    f->count = head.e_shnum;
    f->sections = read_part(f, head.e_shoff, f->count * sizeof(*f->sections));
    return f->sections != NULL;
}

static void close_elf(elf_file *f)
{
    free(f->sections);
    file_closep(&f->fd);
}

static const ElfW(Shdr) * section_of(const elf_file *f, uint32_t type)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->sections[i].sh_type == type && f->sections[i].sh_link < f->count)
            return &f->sections[i];
    return NULL;
}

/* The file is the one that was loaded, as far as build ids tell. */
static bool is_same_build(const elf_file *f, const char *build_id)
{
    char found[41] = "";
    for (size_t i = 0; i < f->count && !found[0]; i++) {
        if (f->sections[i].sh_type != SHT_NOTE || f->sections[i].sh_size > KiB(64))
            continue;
        char *note = read_part(f, f->sections[i].sh_offset, f->sections[i].sh_size);
        if (note)
            find_build_id(note, f->sections[i].sh_size, found);
        free(note);
    }
    return strcmp(found, build_id) == 0;
}

/* Public names go before others, plain ones before those with underscores. */
static uint8_t rank_of(const ElfW(Sym) * sym, const char *name)
{
    size_t underscores = strspn(name, "_");
    return (uint8_t)(MIN(underscores, (size_t)7) * 2 + (ELF64_ST_BIND(sym->st_info) == STB_LOCAL));
}

static int by_address(const void *a, const void *b)
{
    const symbol *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (int)x->rank - (int)y->rank;
}

static void keep_functions(mapping *m, const ElfW(Sym) * all, size_t count)
{
    size_t kept = 0;
    m->list = malloc((count + 1) * sizeof(*m->list));
    if (!m->list)
        return;
    for (size_t i = 0; i < count; i++) {
        int type = ELF64_ST_TYPE(all[i].st_info);
        if ((type != STT_FUNC && type != STT_GNU_IFUNC) || all[i].st_value == 0 ||
            all[i].st_name == 0 || all[i].st_name >= m->names_size)
            continue;
        m->list[kept++] = (symbol){ all[i].st_value, all[i].st_size, all[i].st_name,
                                    rank_of(&all[i], m->names + all[i].st_name) };
    }
    qsort(m->list, kept, sizeof(*m->list), by_address);
    for (size_t i = 0; i < kept; i++)
        if (m->count == 0 || m->list[i].start != m->list[m->count - 1].start)
            m->list[m->count++] = m->list[i];
}

static void load_table(mapping *m)
{
    elf_file f;
    m->tried = true;
    if (open_elf(&f, m->public.path.ptr) && is_same_build(&f, m->public.build_id)) {
        const ElfW(Shdr) *table = section_of(&f, SHT_SYMTAB);
        table = table ? table : section_of(&f, SHT_DYNSYM);
        const ElfW(Shdr) *names = table ? &f.sections[table->sh_link] : NULL;
        ElfW(Sym) *all = table ? read_part(&f, table->sh_offset, table->sh_size) : NULL;
        m->names = names ? read_part(&f, names->sh_offset, names->sh_size) : NULL;
        if (all && m->names && m->names[names->sh_size - 1] == '\0') {
            m->names_size = names->sh_size;
            keep_functions(m, all, table->sh_size / sizeof(*all));
        }
        free(all);
    }
    close_elf(&f);
}

str symbols_name(symbols *s, uintptr_t address, uintptr_t *ret_start)
{
    size_t index = symbols_mapping(s, address), low = 0;
    if (index == SIZE_MAX)
        return STR_EMPTY;
    mapping *m = &s->list[index];
    if (!m->tried)
        load_table(m);
    uintptr_t at = address - m->bias;
    size_t high = m->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->list[middle].start <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || (m->list[low - 1].size && at - m->list[low - 1].start >= m->list[low - 1].size))
        return STR_EMPTY;
    if (ret_start)
        *ret_start = m->list[low - 1].start + m->bias;
    return str_c(m->names + m->list[low - 1].name);
}
