// SPDX-License-Identifier: Apache-2.0
/* Loads libcurl; see curl_api.h. */
#if SONDE_EXPORT
#define SONDE_LIB_CURL_API_ITSELF
#include "lib/curl_api.h"

#include <dlfcn.h>

curl_functions curl_api;
static void *library;

status curl_load(error *err)
{
    static const char *const sonames[] = { "libcurl.so.4", "libcurl-gnutls.so.4", NULL };
    static const dynamic_symbol symbols[] = {
#define X(function) { #function, (void **)&curl_api.function },
        CURL_FUNCTIONS(X)
#undef X
    };
    return library ? STATUS_OK : dynamic_load(&library, sonames, symbols, ARRAY_LEN(symbols), err);
}

void *curl_library_symbol(const char *name)
{
    return library ? dlsym(library, name) : NULL;
}
#endif
