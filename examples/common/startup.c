// SPDX-License-Identifier: Apache-2.0
/* Waiting at the start; see startup.h. */
#include "examples/common/startup.h"

#include "examples/common/config.h"

#include <sonde/sonde.h>

enum { AGAIN_MS = 250, FLUSH_MS = 2000 };

bool startup_failed(const char *what, const char *why)
{
    sonde_fatal("Service cannot start", sonde_kv("dependency", what), sonde_kv("error", why));
    sonde_flush(FLUSH_MS);
    return false;
}

bool startup_wait(const char *what, startup_try *attempt, void *user)
{
    char why[512] = "";
    int64_t end = config_now_ms() + config_number("STARTUP_WAIT_S", 10, 0, 3600) * 1000;
    for (bool told = false; !attempt(user, why, sizeof(why)); told = true) {
        if (config_now_ms() >= end || config_stopping())
            return startup_failed(what, why);
        if (!told)
            sonde_warn("Waiting for a dependency", sonde_kv("dependency", what),
                       sonde_kv("error", (const char *)why));
        config_wait(AGAIN_MS);
    }
    return true;
}
