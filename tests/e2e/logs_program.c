// SPDX-License-Identifier: Apache-2.0
/* Logs whatever may be hard to write as a line; with "many N", N records of 200 bytes. */
#include <sonde/sonde.h>

#include <stdlib.h>

#undef SONDE_LOGGER
#define SONDE_LOGGER "app.db"

static void query(void)
{
    sonde_debug("query", sonde_kv("sql", "select \"1\""));
    sonde_warn("slow_query", sonde_kv("ms", 1500));
}

#undef SONDE_LOGGER
#define SONDE_LOGGER ""

static void odd_values(void)
{
    static char large[100000];
    memset(large, 'x', sizeof(large) - 1);
    sonde_info("odd", sonde_kv("control", "\033[31mred\r\n\t\x01\x7f"),
               sonde_kv("not_utf8", "a\xff\xfe"
                                    "b\xc3"),
               sonde_kv("nan", 0.0 / 0.0), sonde_kv("inf", 1.0 / 0.0), sonde_kv("max", UINT64_MAX),
               sonde_kv("message", "not the message"), sonde_kv("", "no key"),
               sonde_kv("null", (const char *)NULL));
    sonde_info("quote\"back\\slash\n", sonde_kv("key \"with\" quotes", 1),
               sonde_kv("large", large));
    sonde_info("twice", sonde_kv("k", 1), sonde_kv("k", 2), sonde_kv("data", "a field"));
    sonde_info("group", sonde_kv("n", 1),
               sonde_kv_group("data", sonde_kv("old", "a\nb"), sonde_kv("n", 2)),
               sonde_kv_bytes("raw", "\0\1\2", 3));
    sonde_error("failed", sonde_kv_exception("io_error", "disk full"), sonde_kv_errno(28));
}

static void many(int count)
{
    for (int i = 0; i < count; i++)
        sonde_info("many", sonde_kv("i", i),
                   sonde_kv("filler", "0123456789012345678901234567890123456789012345678901234567"
                                      "8901234567890123456789012345678901234567890123456789"));
}

int main(int argc, char **argv)
{
    if (sonde_start(&(sonde_options){ .service = "logs", .environment = "test" }) != 0)
        return 1;
    if (argc > 2) {
        many((int)strtol(argv[2], NULL, 10));
        return 0;
    }
    SONDE_CONTEXT (sonde_kv("request_id", "r-1"), sonde_kv("user_id", "u-1")) {
        SONDE_SPAN ("work") {
            odd_values();
            query();
        }
    }
    for (int i = 0; i < 95; i++)
        sonde_info_every(10, "tick");
    sonde_fatal("last");
    return 0;
}
