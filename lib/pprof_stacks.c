// SPDX-License-Identifier: Apache-2.0
/* Which memory a thread's stack lies in, and which threads there are: from /proc/self. */
#include "lib/pprof.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    uintptr_t start, end;
} region;

struct stack_map {
    size_t count;
    region regions[]; /* rising */
};

#define REGIONS_MAX 65536u

/* "7ffc1000-7ffc3000 rw-p …" */
static bool parse_region(str line, region *ret)
{
    unsigned long start, end;
    char access[5], text[64];
    str_copy_c(text, sizeof(text), line);
    if (sscanf(text, "%lx-%lx %4s", &start, &end, access) != 3 || access[0] != 'r' ||
        access[1] != 'w')
        return false;
    *ret = (region){ start, end };
    return true;
}

stack_map *stack_map_read(void)
{
    buf text;
    size_t lines = 0;
    buf_init(&text, MiB(16));
    stack_map *m = NULL;
    if (file_read("/proc/self/maps", &text, NULL) == STATUS_OK) {
        for (size_t i = 0; i < text.len; i++)
            lines += text.ptr[i] == '\n';
        lines = MIN(lines, (size_t)REGIONS_MAX);
        m = malloc(sizeof(*m) + lines * sizeof(region));
    }
    if (m) {
        m->count = 0;
        for (str rest = buf_view(&text); rest.len && m->count < lines;) {
            str line = str_cut(rest, '\n', &rest);
            m->count += parse_region(line, &m->regions[m->count]);
        }
    }
    buf_done(&text);
    return m;
}

void stack_map_free(stack_map *m)
{
    free(m);
}

uintptr_t stack_map_end(const stack_map *m, uintptr_t address)
{
    size_t low = 0, high = m ? m->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->regions[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return m && low < m->count && m->regions[low].start <= address ? m->regions[low].end : 0;
}

size_t pprof_threads_list(pid_t *ret, size_t most)
{
    size_t count = 0;
    DIR *d = opendir("/proc/self/task");
    if (!d)
        return 0;
    for (struct dirent *e; count < most && (e = readdir(d));) {
        uint64_t tid;
        if (str_to_u64(str_c(e->d_name), &tid))
            ret[count++] = (pid_t)tid;
    }
    closedir(d);
    return count;
}

void pprof_thread_name(pid_t tid, char ret[THREAD_NAME_SIZE])
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", (int)tid);
    ret[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, ret, THREAD_NAME_SIZE - 1);
    close(fd);
    ret[MAX(n, 0)] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}
