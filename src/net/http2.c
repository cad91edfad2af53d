// SPDX-License-Identifier: Apache-2.0
#include "net/conn.h"
bool http2_start(conn *c)
{
    conn_close(c);
    return false;
}
