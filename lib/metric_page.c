// SPDX-License-Identifier: Apache-2.0
/* The page /metrics: values are read out of the recorder like everybody else reads them, and
 * written in the format that was asked for. */
#include "lib/metric_page.h"

#include "lib/metric.h"
#include "lib/state.h"

#include "codec/prom_text.h"
#include "codec/recorder_metrics.h"

#include <pthread.h>

enum { PAGE_MAX = 64 << 20 };

/* Held while metrics are read, so that the recorder is not closed meanwhile. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;

void metric_page_release(void)
{
    pthread_mutex_lock(&reading);
    pthread_mutex_unlock(&reading);
}

void metric_page_forked(void)
{
    reading = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
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
    if (r)
        st = recorder_open_reader(r, &reader, &(recorder_reader_options){ .read_only = true }, err);
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
    batch b;
    error err;
    batch_init(&b, SIGNAL_METRICS, PAGE_MAX);
    pthread_mutex_lock(&reading);
    status st = write_page(&b, &choice, out, &err);
    pthread_mutex_unlock(&reading);
    batch_done(&b);
    *ret_type = prom_choice_type(&choice);
    if (st == STATUS_OK)
        return 200;
    buf_clear(out);
    buf_fmt(out, "%s\n", err.message);
    *ret_type = "text/plain; charset=utf-8";
    return 500;
}
