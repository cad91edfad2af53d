// SPDX-License-Identifier: Apache-2.0
/* NVML by dlopen; see nvml.h. The types are those of NVML's binary interface, which NVIDIA keeps:
 * a result 0 is success, a device an opaque pointer. */
#include "examples/framecast/nvml.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef void *nvml_device;
typedef struct {
    unsigned long long total, free, used; /* bytes */
} nvml_memory;
typedef struct {
    unsigned gpu, memory; /* percent */
} nvml_utilization;

static struct {
    pthread_once_t once;
    pthread_mutex_t lock;
    char why[256]; /* empty: it is ready */
    nvml_device device;
    int (*init)(void);
    int (*by_index)(unsigned index, nvml_device *ret);
    int (*name)(nvml_device device, char *ret, unsigned size);
    int (*memory)(nvml_device device, nvml_memory *ret);
    int (*utilization)(nvml_device device, nvml_utilization *ret);
    const char *(*text)(int result);
} nvml = { .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER };

static bool find_functions(void *library)
{
    const struct {
        const char *name;
        void *function; /* where its address goes */
    } table[] = {
        { "nvmlInit_v2", &nvml.init },
        { "nvmlDeviceGetHandleByIndex_v2", &nvml.by_index },
        { "nvmlDeviceGetName", &nvml.name },
        { "nvmlDeviceGetMemoryInfo", &nvml.memory },
        { "nvmlDeviceGetUtilizationRates", &nvml.utilization },
        { "nvmlErrorString", &nvml.text },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        void *address = dlsym(library, table[i].name);
        memcpy(table[i].function, &address, sizeof(address));
        if (!address) {
            snprintf(nvml.why, sizeof(nvml.why), "libnvidia-ml.so.1 has no %s", table[i].name);
            return false;
        }
    }
    return true;
}

/* Stays open until the program ends. */
static void load(void)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(nvml.why, sizeof(nvml.why), "%s", dlerror());
        return;
    }
    if (!find_functions(library))
        return;
    int result = nvml.init();
    if (!result)
        result = nvml.by_index(0, &nvml.device);
    if (result)
        snprintf(nvml.why, sizeof(nvml.why), "NVML: %s", nvml.text(result));
}

bool gpu_read(gpu_state *ret, char *why, size_t size)
{
    nvml_memory memory = { 0 };
    nvml_utilization utilization = { 0 };
    pthread_once(&nvml.once, load);
    if (*nvml.why) {
        snprintf(why, size, "%s", nvml.why);
        return false;
    }
    *ret = (gpu_state){ 0 };
    pthread_mutex_lock(&nvml.lock);
    int result = nvml.name(nvml.device, ret->name, sizeof(ret->name));
    if (!result)
        result = nvml.memory(nvml.device, &memory);
    if (!result)
        result = nvml.utilization(nvml.device, &utilization);
    pthread_mutex_unlock(&nvml.lock);
    if (result) {
        snprintf(why, size, "NVML: %s", nvml.text(result));
        return false;
    }
    ret->memory_used_mb = (int64_t)(memory.used >> 20);
    ret->memory_total_mb = (int64_t)(memory.total >> 20);
    ret->utilization_percent = (int)utilization.gpu;
    return true;
}
