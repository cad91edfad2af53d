// SPDX-License-Identifier: Apache-2.0
/* The interpreter; see target.h. Blocks are matched when the program is loaded; expressions are
 * evaluated from their text, by precedence climbing. */
#include "examples/debug-server/target.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINES = 500, LINE_BYTES = 200, MAX_VARIABLES = 64, MAX_BLOCKS = 32, MAX_DEPTH = 32 };

typedef struct {
    char name[TARGET_NAME_BYTES];
    target_value value;
} variable;

struct target {
    char lines[MAX_LINES][LINE_BYTES];
    int partner[MAX_LINES]; /* of while, if: their end; of end: its while or if */
    int count, at;          /* lines; the one that runs next, from 0 */
    variable variables[MAX_VARIABLES];
    int variable_count;
    int argc;
    char **args;
    int sleep_ms, exit_status;
    char error[TARGET_ERROR_BYTES];
};

/* ---- expressions ---- */

typedef struct {
    target *t;
    const char *p;
    char *error;
    int depth;
} reader;

static bool expression(reader *r, int level, target_value *ret);

static bool wrong(reader *r, const char *what)
{
    if (!r->error[0])
        snprintf(r->error, TARGET_ERROR_BYTES, "%s at '%.40s'", what, r->p);
    return false;
}

static void skip(reader *r)
{
    while (*r->p == ' ' || *r->p == '\t')
        r->p++;
}

static bool take(reader *r, const char *word)
{
    skip(r);
    size_t n = strlen(word);
    if (strncmp(r->p, word, n) != 0 ||
        (isalpha((unsigned char)*word) && isalnum((unsigned char)r->p[n])))
        return false;
    r->p += n;
    return true;
}

static target_value number_of(int64_t n)
{
    return (target_value){ .number = n };
}

static bool text_literal(reader *r, target_value *ret)
{
    size_t n = 0;
    *ret = (target_value){ .is_text = true };
    for (r->p++; *r->p && *r->p != '"'; r->p++)
        if (n + 1 < sizeof(ret->text))
            ret->text[n++] = *r->p;
    return *r->p++ == '"' || wrong(r, "a text has no closing quote");
}

static bool function(reader *r, bool is_env, target_value *ret)
{
    target_value of;
    if (!take(r, "(") || !expression(r, 0, &of) || !take(r, ")"))
        return wrong(r, "a function needs (…)");
    const char *text = is_env ? (of.is_text ? getenv(of.text) : NULL)
                       : !of.is_text && of.number >= 0 && of.number < r->t->argc
                           ? r->t->args[of.number]
                           : NULL;
    char *end = NULL;
    long long n = text ? strtoll(text, &end, 10) : 0;
    *ret = (target_value){ .is_text = !text || !*text || *end, .number = n };
    snprintf(ret->text, sizeof(ret->text), "%s", text ? text : "");
    return true;
}

static variable *find(target *t, const char *name, size_t len)
{
    for (int i = 0; i < t->variable_count; i++)
        if (strlen(t->variables[i].name) == len && memcmp(t->variables[i].name, name, len) == 0)
            return &t->variables[i];
    return NULL;
}

static size_t name_length(const char *p)
{
    size_t n = 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_')
        n++;
    return isdigit((unsigned char)*p) ? 0 : n;
}

static bool operand(reader *r, target_value *ret)
{
    skip(r);
    if (*r->p == '"')
        return text_literal(r, ret);
    if (take(r, "("))
        return expression(r, 0, ret) && (take(r, ")") || wrong(r, "a ')' is missing"));
    if (take(r, "-")) {
        if (!operand(r, ret) || ret->is_text)
            return wrong(r, "only a number can be negative");
        ret->number = (int64_t)(0 - (uint64_t)ret->number);
        return true;
    }
    if (isdigit((unsigned char)*r->p)) {
        char *end;
        *ret = number_of(strtoll(r->p, &end, 10));
        r->p = end;
        return true;
    }
    if (take(r, "env"))
        return function(r, true, ret);
    if (take(r, "arg"))
        return function(r, false, ret);
    size_t n = name_length(r->p);
    variable *v = n ? find(r->t, r->p, n) : NULL;
    if (!v)
        return wrong(r, n ? "no variable of that name" : "an expression was expected");
    r->p += n;
    *ret = v->value;
    return true;
}

static const struct {
    const char *sign;
    int level; /* binds tighter when higher */
} operators[] = { { "or", 1 }, { "and", 2 }, { "==", 3 }, { "!=", 3 }, { "<=", 3 },
                  { ">=", 3 }, { "<", 3 },   { ">", 3 },  { "+", 4 },  { "-", 4 },
                  { "*", 5 },  { "/", 5 },   { "%", 5 } };

static int compare(const target_value *a, const target_value *b)
{
    if (a->is_text && b->is_text)
        return strcmp(a->text, b->text);
    return (a->number > b->number) - (a->number < b->number);
}

static bool divide(reader *r, char sign, const target_value *b, int64_t *n)
{
    if (b->number == 0 || (b->number == -1 && *n == INT64_MIN))
        return wrong(r, "division by zero");
    *n = sign == '/' ? *n / b->number : *n % b->number;
    return true;
}

/* a = a SIGN b; sums wrap around. */
static bool apply(reader *r, const char *sign, target_value *a, const target_value *b)
{
    uint64_t x = (uint64_t)a->number, y = (uint64_t)b->number;
    int order = compare(a, b);
    if (*sign == '+' && (a->is_text || b->is_text)) {
        char left[TARGET_TEXT_BYTES], right[TARGET_TEXT_BYTES];
        snprintf(left, sizeof(left), a->is_text ? "%s" : "", a->text);
        if (!a->is_text)
            snprintf(left, sizeof(left), "%lld", (long long)a->number);
        snprintf(right, sizeof(right), b->is_text ? "%s" : "", b->text);
        if (!b->is_text)
            snprintf(right, sizeof(right), "%lld", (long long)b->number);
        size_t used = strlen(left);
        *a = (target_value){ .is_text = true };
        memcpy(a->text, left, used);
        snprintf(a->text + used, sizeof(a->text) - used, "%s", right);
        return true;
    }
    int64_t n = a->number;
    switch (*sign) {
    case '+':
        n = (int64_t)(x + y);
        break;
    case '-':
        n = (int64_t)(x - y);
        break;
    case '*':
        n = (int64_t)(x * y);
        break;
    case '/':
    case '%':
        if (!divide(r, *sign, b, &n))
            return false;
        break;
    case '<':
        n = sign[1] ? order <= 0 : order < 0;
        break;
    case '>':
        n = sign[1] ? order >= 0 : order > 0;
        break;
    case 'a':
        n = n && b->number;
        break;
    case 'o':
        n = n || b->number;
        break;
    default:
        n = (order == 0) == (*sign == '=');
        break;
    }
    *a = number_of(n);
    return true;
}

static bool expression(reader *r, int level, target_value *ret)
{
    size_t i = 0, count = sizeof(operators) / sizeof(operators[0]);
    if (++r->depth > MAX_DEPTH)
        return wrong(r, "too deep");
    if (!operand(r, ret))
        return false;
    while (i < count) {
        target_value right;
        const char *before = r->p;
        if (operators[i].level <= level || !take(r, operators[i].sign)) {
            r->p = before;
            i++;
            continue;
        }
        if (!expression(r, operators[i].level, &right) || !apply(r, operators[i].sign, ret, &right))
            return false;
        i = 0;
    }
    r->depth--;
    return true;
}

bool target_evaluate(target *t, const char *text, target_value *ret, char error[TARGET_ERROR_BYTES])
{
    reader r = { .t = t, .p = text, .error = error };
    error[0] = 0;
    if (!expression(&r, 0, ret))
        return false;
    skip(&r);
    return !*r.p || wrong(&r, "more was not expected");
}

/* ---- statements ---- */

typedef target_state statement(target *t, const char *rest);

static target_state failed(target *t, const char *why)
{
    char text[TARGET_ERROR_BYTES];
    snprintf(text, sizeof(text), "line %d: %.140s", t->at + 1, why);
    memcpy(t->error, text, sizeof(t->error));
    return TARGET_FAILED;
}

static bool value_of(target *t, const char *text, target_value *ret)
{
    char why[TARGET_ERROR_BYTES];
    if (target_evaluate(t, text, ret, why))
        return true;
    failed(t, why);
    return false;
}

static target_state do_let(target *t, const char *rest)
{
    size_t n = name_length(rest);
    const char *sign = rest + n + strspn(rest + n, " ");
    target_value value;
    if (!n || n >= TARGET_NAME_BYTES || *sign != '=')
        return failed(t, "it must look like: let NAME = EXPRESSION");
    if (!value_of(t, sign + 1, &value))
        return TARGET_FAILED;
    variable *v = find(t, rest, n);
    if (!v && t->variable_count == MAX_VARIABLES)
        return failed(t, "too many variables");
    if (!v) {
        v = &t->variables[t->variable_count++];
        memcpy(v->name, rest, n);
    }
    v->value = value;
    t->at++;
    return TARGET_RUNS;
}

static target_state write_values(target *t, const char *rest, FILE *out)
{
    char line[1024], why[TARGET_ERROR_BYTES] = "";
    size_t used = 0;
    reader r = { .t = t, .p = rest, .error = why };
    do {
        target_value v;
        if (!expression(&r, 0, &v))
            return failed(t, why);
        int n = v.is_text
                    ? snprintf(line + used, sizeof(line) - used, "%s%s", used ? " " : "", v.text)
                    : snprintf(line + used, sizeof(line) - used, "%s%lld", used ? " " : "",
                               (long long)v.number);
        used = used + (size_t)n < sizeof(line) ? used + (size_t)n : sizeof(line) - 1;
        r.depth = 0;
    } while (take(&r, ","));
    fprintf(out, "%s\n", line);
    t->at++;
    return TARGET_RUNS;
}

static target_state do_print(target *t, const char *rest)
{
    return write_values(t, rest, stdout);
}

static target_state do_warn(target *t, const char *rest)
{
    return write_values(t, rest, stderr);
}

/* while and if: into the block or behind it. */
static target_state do_block(target *t, const char *rest)
{
    target_value v;
    if (!value_of(t, rest, &v))
        return TARGET_FAILED;
    t->at = v.number || (v.is_text && v.text[0]) ? t->at + 1 : t->partner[t->at] + 1;
    return TARGET_RUNS;
}

static target_state do_end(target *t, const char *rest)
{
    int begin = t->partner[t->at];
    (void)rest;
    t->at = strncmp(t->lines[begin], "while", 5) == 0 ? begin : t->at + 1;
    return TARGET_RUNS;
}

static target_state do_sleep(target *t, const char *rest)
{
    target_value v;
    if (!value_of(t, rest, &v))
        return TARGET_FAILED;
    t->sleep_ms = v.number < 0 ? 0 : v.number > 3600000 ? 3600000 : (int)v.number;
    t->at++;
    return TARGET_SLEEPS;
}

static target_state do_exit(target *t, const char *rest)
{
    target_value v;
    if (!value_of(t, rest, &v))
        return TARGET_FAILED;
    t->exit_status = (int)(v.number & 255);
    return TARGET_EXITS;
}

static target_state do_crash(target *t, const char *rest)
{
    (void)t, (void)rest;
    abort();
}

static target_state do_nothing(target *t, const char *rest)
{
    (void)rest;
    t->at++;
    return TARGET_RUNS;
}

static const struct {
    const char *word;
    statement *run;
    int block; /* 1 opens one, -1 closes it */
} statements[] = {
    { "let", do_let, 0 },     { "print", do_print, 0 }, { "warn", do_warn, 0 },
    { "while", do_block, 1 }, { "if", do_block, 1 },    { "end", do_end, -1 },
    { "sleep", do_sleep, 0 }, { "exit", do_exit, 0 },   { "crash", do_crash, 0 },
    { "", do_nothing, 0 },
};

/* The row of a line's first word; -1 when it is none. */
static int row_of(const char *line)
{
    size_t n = *line == '#' ? 0 : name_length(line);
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
        if (strlen(statements[i].word) == n && memcmp(line, statements[i].word, n) == 0)
            return n || !*line || *line == '#' ? (int)i : -1;
    return -1;
}

target_state target_step(target *t)
{
    if (t->at >= t->count)
        return TARGET_EXITS;
    const char *line = t->lines[t->at];
    size_t n = *line == '#' ? 0 : name_length(line);
    return statements[row_of(line)].run(t, line + n + strspn(line + n, " "));
}

/* ---- loading ---- */

static bool match_blocks(target *t, char *error)
{
    int open[MAX_BLOCKS], depth = 0;
    for (int i = 0; i < t->count; i++) {
        int row = row_of(t->lines[i]), block = row < 0 ? 0 : statements[row].block;
        if (row < 0 || depth + block < 0 || depth + block > MAX_BLOCKS) {
            snprintf(error, TARGET_ERROR_BYTES, "line %d: '%.60s' is %s", i + 1, t->lines[i],
                     row < 0 ? "no statement" : "an end without a block, or too deep");
            return false;
        }
        if (block > 0) {
            open[depth++] = i;
        } else if (block < 0) {
            int begin = open[--depth];
            t->partner[i] = begin;
            t->partner[begin] = i;
        }
    }
    if (depth)
        snprintf(error, TARGET_ERROR_BYTES, "line %d: the block has no end", open[depth - 1] + 1);
    return depth == 0;
}

target *target_load(const char *path, int argc, char **args, char error[TARGET_ERROR_BYTES])
{
    FILE *f = fopen(path, "re");
    target *t = f ? calloc(1, sizeof(*t)) : NULL;
    char line[LINE_BYTES];
    snprintf(error, TARGET_ERROR_BYTES, "cannot read the program");
    while (t && t->count < MAX_LINES && fgets(line, sizeof(line), f)) {
        size_t begin = strspn(line, " \t");
        line[strcspn(line, "\r\n")] = 0;
        memcpy(t->lines[t->count++], line + begin, strlen(line + begin) + 1);
    }
    if (f)
        fclose(f);
    if (!t || !match_blocks(t, error)) {
        free(t);
        return NULL;
    }
    t->argc = argc;
    t->args = args;
    return t;
}

void target_free(target *t)
{
    free(t);
}

int target_line(const target *t)
{
    return t->at < t->count ? t->at + 1 : 0;
}

int target_line_count(const target *t)
{
    return t->count;
}

const char *target_source(const target *t, int line)
{
    return line >= 1 && line <= t->count ? t->lines[line - 1] : "";
}

int target_sleep_ms(const target *t)
{
    return t->sleep_ms;
}

int target_exit_status(const target *t)
{
    return t->exit_status;
}

const char *target_error(const target *t)
{
    return t->error;
}

const char *target_variable(const target *t, int n, target_value *ret)
{
    if (n < 0 || n >= t->variable_count)
        return NULL;
    *ret = t->variables[n].value;
    return t->variables[n].name;
}
