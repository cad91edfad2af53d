// SPDX-License-Identifier: Apache-2.0
/* A plugin that records and is unloaded at once, before anything was read. */
#include <sonde/sonde.h>

void plugin_record(int n);

__attribute__((visibility("default"))) void plugin_record(int n)
{
    sonde_warn("from_the_plugin", sonde_kv("round", n), sonde_kv("plugin.text", "copied"));
    SONDE_SPAN ("plugin_span", sonde_kv("round", n)) {
        sonde_span_event("plugin_event");
    }
}
