// SPDX-License-Identifier: Apache-2.0
/* Errors; see error.h. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void write_message(error *err, status code, const char *format, va_list args)
{
    err->code = code;
    vsnprintf(err->message, sizeof(err->message), format, args);
    for (char *c = err->message; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
}

status fail(error *err, status code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        write_message(err, code, format, args);
        va_end(args);
    }
    return code;
}

static status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STATUS_FULL;
    case ENOENT:
        return STATUS_NOT_FOUND;
    case EEXIST:
        return STATUS_EXISTS;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    default:
        return STATUS_IO;
    }
}

status fail_errno(error *err, int errnum, const char *format, ...)
{
    status code = status_of_errno(errnum);
    if (err) {
        va_list args;
        va_start(args, format);
        write_message(err, code, format, args);
        va_end(args);
        size_t n = strlen(err->message);
        const char *text = errno_text(errnum);
        if (text)
            snprintf(err->message + n, sizeof(err->message) - n, ": %s", text);
        else
            snprintf(err->message + n, sizeof(err->message) - n, ": error %d", errnum);
    }
    return code;
}

const char *status_name(status code)
{
    static const char *const names[] = {
#define X(name, meaning) #name,
        STATUS_CODES(X)
#undef X
    };
    return (size_t)code < ARRAY_LEN(names) ? names[code] : "UNKNOWN";
}
