// SPDX-License-Identifier: Apache-2.0
/* Start time, boot id and pid namespace from /proc, with small buffers on the stack: the child of a
 * fork asks too, and may not allocate. */
#include "codec/recorder_proc.h"

#include "base/str.h"
#include "codec/recorder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static str read_small(const char *path, char *into, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return STR_EMPTY;
    ssize_t n = read(fd, into, size);
    close(fd);
    return n > 0 ? str_n(into, (size_t)n) : STR_EMPTY;
}

uint64_t recorder_proc_start(int32_t pid)
{
    char path[32], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    str stat = read_small(path, text, sizeof(text));
    /* The second field is the program's name in parentheses and may hold anything. */
    size_t end = stat.len;
    while (end > 0 && stat.ptr[end - 1] != ')')
        end--;
    str rest = str_trim(str_slice(stat, end, stat.len));
    for (int field = 3; field < 22; field++)
        str_cut(rest, ' ', &rest);
    uint64_t start;
    return str_to_u64(str_cut(rest, ' ', &rest), &start) ? start : 0;
}

bool recorder_boot_id(uint8_t ret[16])
{
    char text[64], hex[32];
    size_t n = 0;
    str uuid = read_small("/proc/sys/kernel/random/boot_id", text, sizeof(text));
    for (size_t i = 0; i < uuid.len && n < sizeof(hex); i++) {
        if (uuid.ptr[i] != '-')
            hex[n++] = uuid.ptr[i];
    }
    memset(ret, 0, 16);
    return n == sizeof(hex) && str_from_hex(str_n(hex, n), ret, 16);
}

bool recorder_server_reads(const char *dir)
{
    char path[4096];
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
    int n = snprintf(path, sizeof(path), "%s/" RECORDER_SERVER_FILE, dir);
    int fd = n > 0 && (size_t)n < sizeof(path) ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return false;
    bool held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return held;
}

uint64_t recorder_pid_namespace(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}
