// SPDX-License-Identifier: Apache-2.0
/* A running library for tests: recorder and log file in a temporary directory of their own, nothing
 * from the environment. */
#ifndef TESTS_LIVE_FIXTURE_H
#define TESTS_LIVE_FIXTURE_H

#include "sonde/sonde.h"

#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char live_dir[64], live_log[96], live_output[128];

static int live_make(void **state)
{
    (void)state;
    clearenv();
    snprintf(live_dir, sizeof(live_dir), "/tmp/sonde-live-XXXXXX");
    if (!mkdtemp(live_dir))
        return -1;
    snprintf(live_log, sizeof(live_log), "%s/out.log", live_dir);
    snprintf(live_output, sizeof(live_output), "file:%s", live_log);
    return 0;
}

/* How many recorder files there are; with `unlink_all` every file goes. */
static unsigned live_files(bool unlink_all)
{
    unsigned count = 0;
    char path[512];
    DIR *d = opendir(live_dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        count += str_ends(str_c(e->d_name), STR(".rec"));
        snprintf(path, sizeof(path), "%s/%s", live_dir, e->d_name);
        if (unlink_all && e->d_name[0] != '.')
            unlink(path);
    }
    if (d)
        closedir(d);
    return count;
}

static int live_remove(void **state)
{
    (void)state;
    sonde_stop();
    live_files(true);
    return rmdir(live_dir);
}

static sonde_options live_options(void)
{
    return (
        sonde_options){ .service = "tested", .recorder_dir = live_dir, .log_output = live_output };
}

/* The log file's text; valid until the next call. */
static const char *UNUSED live_lines(void)
{
    static buf text;
    error err;
    buf_done(&text);
    buf_init(&text, 0);
    if (file_read(live_log, &text, &err) != STATUS_OK)
        buf_clear(&text);
    buf_char(&text, '\0');
    return text.ptr;
}

/* memmem, because a checked strstr measures the whole text at each call. */
static size_t UNUSED live_count(const char *part)
{
    size_t count = 0, n = strlen(part);
    const char *text = live_lines(), *end = text + strlen(text), *at = text;
    while ((at = memmem(at, (size_t)(end - at), part, n))) {
        count++;
        at += n;
    }
    return count;
}

#endif
