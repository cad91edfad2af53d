// SPDX-License-Identifier: Apache-2.0
/* What tells one process from a later one with the same number. Pure reads of /proc; thread-safe.
 */
#ifndef SONDE_CODEC_RECORDER_PROC_H
#define SONDE_CODEC_RECORDER_PROC_H

#include "base/base.h"

/* Clock ticks between boot and the start of a process; 0 when there is none of that number. */
uint64_t recorder_proc_start(int32_t pid);
/* False (and zeroes) when the kernel does not tell. */
bool recorder_boot_id(uint8_t ret[16]);
/* Inode of the pid namespace of this process; 0 unknown. */
uint64_t recorder_pid_namespace(void);

#endif
