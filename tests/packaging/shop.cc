// SPDX-License-Identifier: Apache-2.0
// The program of README.md in C++17.
#include <sonde/sonde.h>

int main()
{
    sonde_options options{};
    options.service = "shop-api";
    options.version = "1.4.0";
    sonde_start(&options);
    sonde_counter *orders =
        sonde_counter_new("orders_total", "Orders taken.", SONDE_LABELS("currency"));
    SONDE_SPAN ("checkout", sonde_kv("user.id", "u-17")) {
        sonde_info("order_placed", sonde_kv("order_id", 42), sonde_kv("total", 99.5));
        sonde_counter_add(orders, 1, "EUR");
    }
    sonde_stop();
}
