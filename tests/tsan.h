// SPDX-License-Identifier: Apache-2.0
/* For tests that run under the thread sanitizer too; after cmocka. */
#ifndef SONDE_TESTS_TSAN_H
#define SONDE_TESTS_TSAN_H

/* The thread sanitizer knows no threads in the child of a process with threads. */
#ifdef __SANITIZE_THREAD__
#define SKIP_WHERE_FORK_IS_NOT_KNOWN() skip()
#else
#define SKIP_WHERE_FORK_IS_NOT_KNOWN() ((void)0)
#endif

#endif
