// SPDX-License-Identifier: Apache-2.0
/* Loading by dlopen; see dynamic.h. Callers hold the lock under which the library starts. */
#include "lib/dynamic.h"

#if SONDE_EXPORT || SONDE_ADMIN
#include <dlfcn.h>

status dynamic_load(void **ret, const char *const *sonames, const dynamic_symbol *symbols,
                    size_t count, error *err)
{
    void *library = NULL;
    for (size_t i = 0; sonames[i] && !library; i++)
        library = dlopen(sonames[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail(err, STATUS_UNSUPPORTED, "%s is not installed", sonames[0]);
    for (size_t i = 0; i < count; i++) {
        *symbols[i].address = dlsym(library, symbols[i].name);
        if (!*symbols[i].address)
            return fail(err, STATUS_UNSUPPORTED, "%s has no %s", sonames[0], symbols[i].name);
    }
    *ret = library;
    return STATUS_OK;
}
#endif
