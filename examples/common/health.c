// SPDX-License-Identifier: Apache-2.0
/* Health checks; see health.h. */
#include "examples/common/health.h"

#include "examples/common/queue.h"

#include <stdio.h>

bool check_database(void *user, char *detail, size_t size)
{
    if (!database_ping(user, detail, size))
        return false;
    snprintf(detail, size, "connected");
    return true;
}

bool check_queue(void *user, char *detail, size_t size)
{
    if (!queue_ping(user, detail, size))
        return false;
    snprintf(detail, size, "connected");
    return true;
}
