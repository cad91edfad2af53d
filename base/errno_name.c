// SPDX-License-Identifier: Apache-2.0
/* Names and texts of error numbers, without locale or lock: glibc has functions for that, other C
 * libraries have none for the name. */
#include "base/error.h"

#include <errno.h>
#include <string.h>

#if defined(__GLIBC__)
#define KNOWS_NAMES __GLIBC_PREREQ(2, 32)
#else
#define KNOWS_NAMES 0
#endif

#if KNOWS_NAMES

const char *errno_name(int errnum)
{
    return strerrorname_np(errnum);
}

const char *errno_text(int errnum)
{
    return strerrordesc_np(errnum);
}

#else

#define NAMES(X) \
    X(EPERM) \
    X(ENOENT) X(ESRCH) X(EINTR) X(EIO) X(ENXIO) X(E2BIG) X(ENOEXEC) X(EBADF) X(ECHILD) X(EAGAIN) \
        X(ENOMEM) X(EACCES) X(EFAULT) X(ENOTBLK) X(EBUSY) X(EEXIST) X(EXDEV) X(ENODEV) X(ENOTDIR) \
            X(EISDIR) X(EINVAL) X(ENFILE) X(EMFILE) X(ENOTTY) X(ETXTBSY) X(EFBIG) X(ENOSPC) \
                X(ESPIPE) X(EROFS) X(EMLINK) X(EPIPE) X(EDOM) X(ERANGE) X(EDEADLK) X(ENAMETOOLONG) \
                    X(ENOLCK) X(ENOSYS) X(ENOTEMPTY) X(ELOOP) X(ENODATA) X(ETIME) X(EPROTO) \
                        X(EBADMSG) X(EOVERFLOW) X(EILSEQ) X(EUSERS) X(ENOTSOCK) X(EDESTADDRREQ) \
                            X(EMSGSIZE) X(EPROTOTYPE) X(ENOPROTOOPT) X(EPROTONOSUPPORT) \
                                X(EOPNOTSUPP) X(EAFNOSUPPORT) X(EADDRINUSE) X(EADDRNOTAVAIL) \
                                    X(ENETDOWN) X(ENETUNREACH) X(ENETRESET) X(ECONNABORTED) \
                                        X(ECONNRESET) X(ENOBUFS) X(EISCONN) X(ENOTCONN) \
                                            X(ESHUTDOWN) X(ETIMEDOUT) X(ECONNREFUSED) X(EHOSTDOWN) \
                                                X(EHOSTUNREACH) X(EALREADY) X(EINPROGRESS) \
                                                    X(ESTALE) X(EDQUOT) X(ECANCELED) X(EOWNERDEAD) \
                                                        X(ENOTRECOVERABLE)

const char *errno_name(int errnum)
{
    switch (errnum) {
    case 0:
        return "0";
#define X(name) \
    case name: \
        return #name;
        NAMES(X)
#undef X
    default:
        return NULL;
    }
}

const char *errno_text(int errnum)
{
    return errno_name(errnum) ? strerror(errnum) : NULL; /* musl's has constant texts */
}

#endif
