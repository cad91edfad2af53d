// SPDX-License-Identifier: Apache-2.0
/* Who may see the debug pages, and the lock under which they read the recorder. */
#include "lib/debug.h"

#include "lib/debug_internal.h"
#include "lib/pprof.h"
#include "lib/state.h"

#include <pthread.h>

#define TOKEN_MAX 1024

/* Written by sonde_start, read by requests. */
static struct {
    pthread_mutex_t lock;
    size_t token_len; /* 0: none */
    char token[TOKEN_MAX];
    bool production;
} access_rules = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Held while the recorder is read, so that it is not closed meanwhile. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;

void debug_configure(const settings *s)
{
    pthread_mutex_lock(&access_rules.lock);
    access_rules.token_len = MIN(s->admin_token.len, sizeof(access_rules.token));
    if (access_rules.token_len)
        memcpy(access_rules.token, s->admin_token.ptr, access_rules.token_len);
    access_rules.production = str_eq_nocase(s->environment, STR("production")) ||
                              str_eq_nocase(s->environment, STR("prod"));
    pthread_mutex_unlock(&access_rules.lock);
    debug_logs_configure(s->log_format);
    if (s->admin_token.len > TOKEN_MAX)
        lib_warn("the admin token is cut to %d bytes", TOKEN_MAX);
}

void debug_release(void)
{
    pthread_mutex_lock(&reading);
    pthread_mutex_unlock(&reading);
}

void debug_forked(void)
{
    access_rules.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    reading = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    debug_registry_forked();
    debug_logs_forked();
    pprof_forked();
}

bool debug_in_production(void)
{
    pthread_mutex_lock(&access_rules.lock);
    bool production = access_rules.production;
    pthread_mutex_unlock(&access_rules.lock);
    return production;
}

token_verdict debug_check_token(str authorization)
{
    token_verdict verdict = TOKEN_NONE_SET;
    str given, scheme = str_cut(authorization, ' ', &given);
    bool bearer = str_eq_nocase(scheme, STR("Bearer"));
    pthread_mutex_lock(&access_rules.lock);
    if (access_rules.token_len) {
        /* As many steps as the given text has bytes, whatever they are. */
        size_t differs = given.len ^ access_rules.token_len;
        for (size_t i = 0; i < given.len; i++)
            differs |= (uint8_t)(given.ptr[i] ^ access_rules.token[i % access_rules.token_len]);
        verdict = differs == 0 && bearer ? TOKEN_RIGHT : TOKEN_WRONG;
    }
    pthread_mutex_unlock(&access_rules.lock);
    return verdict;
}

recorder *debug_lock_recorder(void)
{
    pthread_mutex_lock(&reading);
    recorder *r = state_recorder();
    if (!r)
        pthread_mutex_unlock(&reading);
    return r;
}

void debug_unlock_recorder(void)
{
    pthread_mutex_unlock(&reading);
}
