// SPDX-License-Identifier: Apache-2.0
/* The first NVIDIA GPU, by the driver's own library (NVML), which is loaded when it is there: a pod
 * without one runs too. Thread-safe. */
#ifndef EXAMPLES_FRAMECAST_NVML_H
#define EXAMPLES_FRAMECAST_NVML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char name[96];
    int64_t memory_used_mb, memory_total_mb; /* 2^20 bytes, as nvidia-smi has it */
    int utilization_percent;                 /* of the last sample period */
} gpu_state;

/* False: `why` says which step failed, "libnvidia-ml.so.1: cannot open shared object file: …". */
bool gpu_read(gpu_state *ret, char *why, size_t size);

#endif
