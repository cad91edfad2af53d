// SPDX-License-Identifier: Apache-2.0
/* A program with one metric of each kind and known values, for scrapers. Prints its admin port, and
 * adds one to `asked_total` at each line on stdin, until that ends. */
#include <sonde/sonde.h>

#include <stdio.h>

static void read_depth(sonde_gauge *g, void *user)
{
    (void)user;
    sonde_gauge_set(g, 17.5, "mail");
}

static void record(void)
{
    sonde_counter *orders =
        sonde_counter_new("orders_total", "Orders taken.", SONDE_LABELS("currency"));
    sonde_counter *open = sonde_updown_counter_new("connections", "Open now.", SONDE_LABELS());
    sonde_histogram *took = sonde_histogram_new("took_seconds", "How long it took.",
                                                SONDE_LABELS("route"), .unit = "s");
    sonde_histogram *native = sonde_histogram_new("native_seconds", "How long it took, natively.",
                                                  SONDE_LABELS("route"), .exponential = true);
    sonde_histogram *signs = sonde_histogram_new("signs", "Of either sign, and none.",
                                                 SONDE_LABELS(), .exponential = true);
    sonde_histogram_new("empty_seconds", "Nothing yet.", SONDE_LABELS(), .exponential = true);
    (void)sonde_gauge_callback("depth", "Of a queue.", read_depth, NULL, SONDE_LABELS("queue"));
    sonde_counter_add(open, 5);
    sonde_counter_add(open, -2);
    sonde_histogram_record(signs, 0);
    sonde_histogram_record(signs, -3);
    sonde_histogram_record(signs, 40);
    sonde_counter_add(orders, 2.5, "USD");
    SONDE_SPAN ("work") {
        sonde_counter_add(orders, 41, "EUR");
        for (int i = 1; i <= 1000; i++) {
            sonde_histogram_record(took, i / 1000.0, "/a\"b\\c\n");
            sonde_histogram_record(native, i / 1000.0, "/a");
        }
    }
}

int main(void)
{
    char line[16];
    if (sonde_start(&(sonde_options){
            .service = "scraped", .log_output = "none", .admin_addr = "127.0.0.1:0" }) != 0)
        return 1;
    sonde_counter *asked = sonde_counter_new("asked_total", "Lines read.", SONDE_LABELS());
    record();
    printf("%u\n", (unsigned)sonde_admin_port());
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        sonde_counter_add(asked, 1);
        printf("done\n");
        fflush(stdout);
    }
    sonde_stop();
    return 0;
}
