// SPDX-License-Identifier: Apache-2.0
/* Loads libmicrohttpd; see microhttpd_api.h. */
#if SONDE_ADMIN
#define SONDE_LIB_MICROHTTPD_API_ITSELF
#include "lib/microhttpd_api.h"

microhttpd_functions microhttpd_api;
static void *library;

status microhttpd_load(error *err)
{
    static const char *const sonames[] = { "libmicrohttpd.so.12", NULL };
    static const dynamic_symbol symbols[] = {
#define X(function) { #function, (void **)&microhttpd_api.function },
        MICROHTTPD_FUNCTIONS(X)
#undef X
    };
    return library ? STATUS_OK : dynamic_load(&library, sonames, symbols, ARRAY_LEN(symbols), err);
}
#endif
