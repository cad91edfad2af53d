// SPDX-License-Identifier: Apache-2.0
/* The page /metrics: values are read out of the recorder like everybody else reads them, and
 * written in the format that was asked for. */
#include "lib/metric_page.h"

#include "lib/metric.h"
#include "lib/recorder_internal.h"
#include "lib/state.h"

#include "codec/prom_text.h"
#include "codec/recorder_metrics.h"

#include <pthread.h>

enum { PAGE_MAX = 64 << 20 };
/* What is kept from page to page: asking the kernel for it anew costs more than filling it. */
enum { KEPT_MAX = 8 << 20 };

/* Held while metrics are read, so that the recorder is not closed meanwhile. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static batch points; /* empty between pages */

void metric_page_release(void)
{
    pthread_mutex_lock(&reading);
    pthread_mutex_unlock(&reading);
}

void metric_page_forked(void)
{
    reading = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    points = (batch){ 0 }; /* another thread of the parent may have been at it */
}

/* The batch's resource lives in the reader, which therefore stays open until the page is written.
 */
static status write_page(batch *b, const prom_choice *choice, buf *out, error *err)
{
    static const prom_text_options options = { .target_info = true };
    recorder_reader *reader = NULL;
    status st = STATUS_OK;
    metric_collect();
    recorder *r = state_recorder();
    /* The mapping itself: a system call for each cell would cost more than all the rest. */
    if (r)
        st = recorder_reader_open_memory(&reader, r->base, r->bytes,
                                         &(recorder_reader_options){ .read_only = true }, err);
    if (st == STATUS_OK && reader)
        st = recorder_metrics_read(reader, b, err);
    if (st == STATUS_OK)
        st = prom_write(b, choice, &options, out, NULL, err);
    recorder_reader_close(reader);
    return st;
}

int metric_page(const char *accept, buf *out, const char **ret_type)
{
    prom_choice choice = prom_choose(str_c(accept));
    error err;
    pthread_mutex_lock(&reading);
    if (points.arena.limit == 0)
        batch_init(&points, SIGNAL_METRICS, PAGE_MAX);
    status st = write_page(&points, &choice, out, &err);
    if (points.arena.used > KEPT_MAX)
        batch_done(&points);
    else
        batch_clear(&points);
    pthread_mutex_unlock(&reading);
    *ret_type = prom_choice_type(&choice);
    if (st == STATUS_OK)
        return 200;
    buf_clear(out);
    buf_fmt(out, "%s\n", err.message);
    *ret_type = "text/plain; charset=utf-8";
    return 500;
}
