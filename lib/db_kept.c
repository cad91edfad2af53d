// SPDX-License-Identifier: Apache-2.0
/* Calls that are open on a handle of another library, such as a prepared statement that is stepped
 * through: found again by the handle's address. One lock; chains of a few. */
#include "lib/db.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 256, MOST = 4096 };

typedef struct kept {
    struct kept *next;
    const void *key;
    sonde_db_call call;
} kept;

static struct {
    pthread_mutex_t lock;
    uint32_t count;
    kept *bucket[BUCKETS];
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The address of what is kept under the key, or of the chain's end. Called with the lock. */
static kept **find(const void *key)
{
    kept **at = &all.bucket[hash_mix((uint64_t)(uintptr_t)key, 0x9e3779b97f4a7c15u) % BUCKETS];
    while (*at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

void sonde_db_keep_(const void *key, const sonde_db_call *call)
{
    sonde_db_call over = *call, earlier = { 0 };
    pthread_mutex_lock(&all.lock);
    kept **at = find(key);
    if (*at) {
        earlier = (*at)->call;
        (*at)->call = *call;
        over.start_ns = 0;
    } else if (all.count < MOST && (*at = calloc(1, sizeof(kept)))) {
        **at = (kept){ .key = key, .call = *call };
        all.count++;
        over.start_ns = 0;
    }
    pthread_mutex_unlock(&all.lock);
    sonde_db_end(&earlier, NULL);
    sonde_db_end(&over, NULL);
}

bool sonde_db_take_(const void *key, sonde_db_call *ret)
{
    pthread_mutex_lock(&all.lock);
    kept **at = find(key), *found = *at;
    if (found) {
        *at = found->next;
        *ret = found->call;
        all.count--;
    }
    pthread_mutex_unlock(&all.lock);
    free(found);
    return found != NULL;
}

bool sonde_db_kept_(const void *key)
{
    pthread_mutex_lock(&all.lock);
    bool is = *find(key) != NULL;
    pthread_mutex_unlock(&all.lock);
    return is;
}

void db_forked(void)
{
    all.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
