// SPDX-License-Identifier: Apache-2.0
/* Records one of each kind and kills itself: what `sonde recover` must find. */
#include <sonde/sonde.h>

#include <errno.h>
#include <signal.h>

int main(void)
{
    sonde_options options = { .service = "survivor", .log_output = "none" };
    if (sonde_start(&options) != 0)
        return 1;
    sonde_counter *orders =
        sonde_counter_new("orders_total", "Orders taken.", SONDE_LABELS("currency"));
    sonde_histogram *sizes = sonde_histogram_new("sizes", "Sizes.", SONDE_LABELS());
    sonde_counter_add(orders, 3, "EUR");
    sonde_histogram_record(sizes, 7.5);
    SONDE_CONTEXT (sonde_kv("request_id", "r-1")) {
        SONDE_SPAN ("outer") {
            SONDE_SPAN ("inner", sonde_kv("n", 1)) {
                sonde_error("failed", sonde_kv_errno(ENOENT), sonde_kv_fmt("detail", "row %d", 7));
            }
            raise(SIGKILL);
        }
    }
    return 1;
}
