// SPDX-License-Identifier: Apache-2.0
/* Libraries that libsonde loads when it first needs them, instead of being linked with them: a
 * program that sends nothing by OTLP and opens no admin port then does not carry libcurl,
 * libmicrohttpd and the thirty libraries behind them (6 MB of memory).
 *
 * A table of functions is an X-macro; DYNAMIC_TABLE makes a struct of pointers with the types of
 * the library's own header, which dynamic_load fills. A library is loaded once and stays. */
#ifndef SONDE_LIB_DYNAMIC_H
#define SONDE_LIB_DYNAMIC_H

#include "base/error.h"

typedef struct {
    const char *name;
    void **address;
} dynamic_symbol;

/* Loads the first of `sonames` (ended by NULL) that is there and finds all symbols in it; *ret is
 * its handle for dlsym(). Fails with STATUS_UNSUPPORTED and names what is missing. Not for signal
 * handlers. */
MUST_USE status dynamic_load(void **ret, const char *const *sonames, const dynamic_symbol *symbols,
                             size_t count, error *err);

#define DYNAMIC_POINTER(function) __typeof__(function) *function;

#endif
