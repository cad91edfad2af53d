/* SPDX-License-Identifier: Apache-2.0 */
/* Does a little of everything that a variable changes: every_setting SPANS [FLUSH_MS]. It prints
 * what sonde_inject writes. With a third argument it waits for a line on stdin before it stops;
 * FLUSH_MS "-": it does not flush. */
#include <sonde/sonde.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_header(void *user, const char *name, const char *value)
{
    (void)user;
    printf("%s: %s\n", name, value);
}

static void rich_span(void)
{
    sonde_context other = sonde_context_capture();
    SONDE_SPAN ("rich", sonde_kv("a", "aaaaaaaaaaaaaaaaaaaa"), sonde_kv("b", 2), sonde_kv("c", 3)) {
        for (int i = 0; i < 3; i++) {
            sonde_span_event("event", sonde_kv("a", 1), sonde_kv("b", 2), sonde_kv("c", 3));
            sonde_span_link(&other, sonde_kv("a", 1), sonde_kv("b", 2), sonde_kv("c", 3));
        }
        sonde_info("rich", sonde_kv("a", "aaaaaaaaaaaaaaaaaaaa"), sonde_kv("b", 2),
                   sonde_kv("c", 3));
    }
}

int main(int argc, char **argv)
{
    int spans = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    char line[16];
    setvbuf(stdout, NULL, _IOLBF, 0);
    sonde_start(&(sonde_options){ .service = "every", .stop_timeout_ms = 1000 });
    sonde_counter *counted = sonde_counter_new("counted_total", "Counts.", SONDE_LABELS());
    sonde_histogram *took = sonde_histogram_new("took_seconds", "Took.", SONDE_LABELS());
    for (int i = 0; i < spans; i++)
        SONDE_SPAN ("numbered", sonde_kv("n", i)) {
            sonde_counter_add(counted, 1);
            sonde_histogram_record(took, 0.25);
            sonde_info("numbered", sonde_kv("n", i));
            if (i == 0) {
                sonde_inject(print_header, NULL);
                rich_span();
            }
        }
    if (argc > 2 && argv[2][0] != '-')
        printf("flushed %d\n", sonde_flush((unsigned)strtoul(argv[2], NULL, 10)));
    printf("port %d\n", sonde_admin_port());
    if (argc > 3 && !fgets(line, sizeof(line), stdin))
        return 1;
    sonde_stop();
    sonde_histogram_free(took);
    sonde_counter_free(counted);
    return 0;
}
