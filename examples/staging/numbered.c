// SPDX-License-Identifier: Apache-2.0
/* Numbered log lines; see numbered.h. */
#include "examples/staging/numbered.h"

#include "examples/common/config.h"

#include <fcntl.h>
#include <sonde/sonde.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 1 << 20 };

static _Atomic unsigned char *page;
static atomic_long next_number;
static sonde_counter *count;

void numbered_open(void)
{
    const char *path = config_text("NUMBERED_PAGE", NULL);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    void *at = ftruncate(fd, PAGE_BYTES) == 0
                   ? mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                   : MAP_FAILED;
    close(fd);
    if (at == MAP_FAILED) {
        perror("NUMBERED_PAGE");
        return;
    }
    page = at;
    while (next_number < PAGE_BYTES && page[next_number])
        next_number++; /* an earlier process used these */
    count = sonde_counter_new("orders_numbered_total", "Numbered log lines.", SONDE_LABELS());
}

void numbered_log(void)
{
    if (!page)
        return;
    long n = atomic_fetch_add(&next_number, 1);
    if (n >= PAGE_BYTES)
        return;
    sonde_info("Order numbered", sonde_kv("n", n));
    sonde_counter_add(count, 1);
    atomic_store_explicit(&page[n], 1, memory_order_release);
}
