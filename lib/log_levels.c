// SPDX-License-Identifier: Apache-2.0
/* Loggers and their levels. Each logger that a call named has a gate, one byte that its sites point
 * to; gates are never freed, so that a plugin may be unloaded at any time. A level is kept for a
 * name and holds for the names below it.
 *
 * Everything is written under `lock`. A site's first call takes it only when it is free (it may
 * come from a signal handler that interrupted the holder) and else goes by the program's level for
 * once. Lock order: state_one.lock before this one. */
#include "lib/log.h"

#include "lib/env.h"
#include "lib/state.h"

#include <sched.h>

#define LOGGERS_MAX 512u
#define RULES_MAX   64u
#define NAME_MAX_   63u

typedef struct {
    sonde_gate gate; /* atomic */
    char name[NAME_MAX_ + 1];
} logger;

typedef struct {
    uint8_t level;
    char name[NAME_MAX_ + 1];
} level_rule;

sonde_gate sonde_gate_unknown_ = { GATE_NOT_STARTED };

static logger loggers[LOGGERS_MAX];
static _Atomic uint32_t logger_count;
static level_rule rules[RULES_MAX];
static uint32_t rule_count;
static unsigned char base_level = GATE_NOT_STARTED;
static _Atomic uint32_t lock;

static bool try_lock(void)
{
    uint32_t unlocked = 0;
    return atomic_compare_exchange_strong_explicit(&lock, &unlocked, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void take_lock(void)
{
    while (!try_lock())
        sched_yield();
}

static void give_lock(void)
{
    atomic_store_explicit(&lock, 0, memory_order_release);
}

static bool is_below(str name, str family)
{
    return str_starts(name, family) && (name.len == family.len || name.ptr[family.len] == '.');
}

/* The rule of the longest name that holds for `name`; NULL: the program's level. */
static const level_rule *rule_for(str name)
{
    const level_rule *best = NULL;
    for (uint32_t i = 0; i < rule_count; i++)
        if (is_below(name, str_c(rules[i].name)) &&
            (!best || strlen(rules[i].name) > strlen(best->name)))
            best = &rules[i];
    return best;
}

static unsigned char level_for(str name)
{
    const level_rule *rule = base_level < GATE_OFF ? rule_for(name) : NULL;
    return rule ? rule->level : base_level;
}

static void apply_locked(void)
{
    uint32_t count = atomic_load_explicit(&logger_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        __atomic_store_n(&loggers[i].gate.level, level_for(str_c(loggers[i].name)),
                         __ATOMIC_RELAXED);
}

void log_gates_apply(unsigned char base)
{
    take_lock();
    base_level = base;
    apply_locked();
    give_lock();
}

/* The gate of a name, made when it is new; NULL when there is no room. */
static const sonde_gate *gate_locked(str name)
{
    uint32_t count = atomic_load_explicit(&logger_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        if (str_is(name, loggers[i].name))
            return &loggers[i].gate;
    if (count == LOGGERS_MAX || name.len > NAME_MAX_)
        return NULL;
    str_copy_c(loggers[count].name, sizeof(loggers[count].name), name);
    loggers[count].gate.level = level_for(name);
    atomic_store_explicit(&logger_count, count + 1, memory_order_release);
    return &loggers[count].gate;
}

/* NULL: the lock is taken, or there is no room. */
static const sonde_gate *gate_find(str name)
{
    if (!try_lock())
        return NULL;
    const sonde_gate *gate = gate_locked(name);
    give_lock();
    return gate;
}

bool sonde_gate_slow_(sonde_site *site)
{
    if (sonde_gate_.level == GATE_NOT_STARTED) {
        sonde_early_(SIGNAL_LOGS);
        return false;
    }
    const sonde_gate *gate = site->logger[0] ? gate_find(str_c(site->logger)) : NULL;
    if (!gate)
        gate = &sonde_gate_;
    else
        __atomic_store_n(&site->gate, gate, __ATOMIC_RELAXED);
    return site->level >= __atomic_load_n(&gate->level, __ATOMIC_RELAXED);
}

unsigned char log_level_of(str logger)
{
    const sonde_gate *gate = gate_find(logger);
    return __atomic_load_n(gate ? &gate->level : &sonde_gate_.level, __ATOMIC_RELAXED);
}

static bool rule_set_locked(str name, uint8_t level)
{
    uint32_t i = 0;
    while (i < rule_count && !str_is(name, rules[i].name))
        i++;
    if (level == 0) {
        if (i < rule_count)
            rules[i] = rules[--rule_count];
        return true;
    }
    if (i == RULES_MAX)
        return false;
    if (i == rule_count) {
        str_copy_c(rules[i].name, sizeof(rules[i].name), name);
        rule_count++;
    }
    rules[i].level = level;
    return true;
}

int sonde_logger_level_set(const char *name, sonde_level level)
{
    bool known = level == SONDE_DEBUG || level == SONDE_INFO || level == SONDE_WARN ||
                 level == SONDE_ERROR || level == SONDE_FATAL;
    if (!name || !name[0]) {
        if (known)
            sonde_log_level_set(level);
        return known ? 0 : -1;
    }
    if ((!known && level != 0) || strlen(name) > NAME_MAX_)
        return -1;
    take_lock();
    bool done = rule_set_locked(str_c(name), (uint8_t)level);
    apply_locked();
    give_lock();
    return done ? 0 : -1;
}

sonde_level sonde_logger_level(const char *name)
{
    sonde_level program = sonde_log_level();
    take_lock();
    const level_rule *rule = rule_for(str_c(name));
    sonde_level level = rule ? (sonde_level)rule->level : program;
    give_lock();
    return level;
}

void sonde_logger_each(sonde_logger_visit *visit, void *user)
{
    level_rule given[RULES_MAX];
    if (!visit)
        return;
    visit(user, "", sonde_log_level(), true);
    take_lock();
    uint32_t count = rule_count;
    memcpy(given, rules, sizeof(rules));
    give_lock();
    for (uint32_t i = 0; i < count; i++)
        visit(user, given[i].name, (sonde_level)given[i].level, true);
    uint32_t seen = atomic_load_explicit(&logger_count, memory_order_acquire);
    for (uint32_t i = 0; i < seen; i++) {
        bool own = false;
        for (uint32_t k = 0; k < count; k++)
            own = own || strcmp(given[k].name, loggers[i].name) == 0;
        if (!own)
            visit(user, loggers[i].name, sonde_logger_level(loggers[i].name), false);
    }
}

void log_configure(str levels)
{
    static const struct {
        const char *name;
        uint8_t level;
    } names[] = { { "debug", 5 },    { "info", 9 },   { "warn", 13 },
                  { "warning", 13 }, { "error", 17 }, { "fatal", 21 } };
    take_lock();
    rule_count = 0;
    while (levels.len) {
        str text, item = str_trim(str_cut(levels, ',', &levels));
        str name = str_trim(str_cut(item, '=', &text));
        size_t i = 0;
        while (i < ARRAY_LEN(names) && !str_eq_nocase(str_trim(text), str_c(names[i].name)))
            i++;
        if (item.len == 0)
            continue;
        if (i == ARRAY_LEN(names) || name.len == 0 || name.len > NAME_MAX_)
            lib_warn("log level \"%.*s\" is ignored: it must be LOGGER=LEVEL with debug, info, "
                     "warn, error or fatal",
                     (int)MIN(item.len, (size_t)100), item.ptr);
        else if (!rule_set_locked(name, names[i].level))
            lib_warn("log level \"%.*s\" is ignored: there are %u already", STR_ARG(item),
                     RULES_MAX);
    }
    apply_locked();
    give_lock();
}

/* The parent's other threads are not here to give the lock back. */
void log_levels_forked(void)
{
    give_lock();
}
