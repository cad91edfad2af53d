// SPDX-License-Identifier: Apache-2.0
/* Live tail of logs over a WebSocket, in Loki's form. */
#ifndef SONDE_API_TAIL_H
#define SONDE_API_TAIL_H

#include "api/request.h"

void loki_tail(api_request *r);
/* Ends all live tails and refuses new ones. */
void tail_stop_all(api *a);

#endif
