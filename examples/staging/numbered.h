// SPDX-License-Identifier: Apache-2.0
/* Proof that a log call that returned survives the process: with NUMBERED_PAGE=FILE each order also
 * logs "Order numbered" with a number, and only when that call has returned sets the number's byte
 * in the file, which outlives the process. A test kills the program and looks for every number. */
#ifndef EXAMPLES_STAGING_NUMBERED_H
#define EXAMPLES_STAGING_NUMBERED_H

/* Maps the file (1 MiB, a byte a number) when the variable is set. */
void numbered_open(void);
/* Does nothing without the file, or after the last number. */
void numbered_log(void);

#endif
