// SPDX-License-Identifier: Apache-2.0
/* Parser of templates: recursive descent over the tokens. Everything lives in the set's arena;
 * what failed to parse leaves garbage there and nothing in the set. */
#include "query/quote.h"
#include "rules/template_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define DEPTH_LIMIT 200 /* of blocks and parentheses inside each other */
#define TEXT_LIMIT  MiB(1)

typedef struct variable {
    struct variable *outer;
    str name;
} variable;

typedef struct {
    template_set *set;
    arena *a;
    const template_source *source;
    token_list tokens;
    uint32_t at, seen; /* the furthest token that was looked at, from 1: its line is an error's */
    uint32_t action_line;
    uint32_t depth, range_depth;
    const variable *variables;
    template_entry *defined; /* by this text */
    uint32_t defined_count, defined_capacity;
    error *err;
    status code;
} parser;

typedef template_node node;

/* ---- errors ---- */

static void *parse_fail(parser *p, const char *format, ...) PRINTF_LIKE(2, 3);
static void *parse_fail(parser *p, const char *format, ...)
{
    if (p->code != STATUS_OK)
        return NULL;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    uint32_t line = p->seen ? p->tokens.items[p->seen - 1].line : 0;
    p->code =
        fail(p->err, STATUS_INVALID, "template: %.*s:%u: %s", STR_ARG(p->source->name), line, text);
    return NULL;
}

static void *no_memory(parser *p)
{
    if (p->code == STATUS_OK)
        p->code = fail(p->err, STATUS_LIMIT, "template: %.*s: no memory", STR_ARG(p->source->name));
    return NULL;
}

static void *unexpected(parser *p, const token *t, const char *context)
{
    if (t->kind == TOKEN_ERROR) {
        char extra[160] = "";
        if (p->action_line && p->action_line != t->line)
            snprintf(extra, sizeof(extra), "%s started at %.*s:%u",
                     str_ends(t->text, STR(" action")) ? "" : " in action",
                     (int)MIN(p->source->name.len, 100), p->source->name.ptr, p->action_line);
        return parse_fail(p, "%.*s%s", (int)MIN(t->text.len, 200), t->text.ptr, extra);
    }
    if (t->kind == TOKEN_EOF)
        return parse_fail(p, "unexpected EOF in %s", context);
    if (t->kind > TOKEN_KEYWORD)
        return parse_fail(p, "unexpected <%.*s> in %s", STR_ARG(t->text), context);
    size_t cut = 0;
    for (uint32_t runes = 0; cut < t->text.len && runes < 10; runes++)
        do
            cut++;
        while (cut < t->text.len && ((uint8_t)t->text.ptr[cut] & 0xC0) == 0x80);
    buf quoted;
    buf_init(&quoted, 512);
    print_quoted(&quoted, t->text.len > 10 ? str_slice(t->text, 0, cut) : t->text);
    parse_fail(p, "unexpected %.*s%s in %s", STR_ARG(buf_view(&quoted)),
               t->text.len > 10 ? "..." : "", context);
    buf_done(&quoted);
    return NULL;
}

/* ---- tokens ---- */

static const token *peek(parser *p)
{
    p->seen = MAX(p->seen, p->at + 1);
    return &p->tokens.items[p->at];
}

static const token *next(parser *p)
{
    const token *t = peek(p);
    if (t->kind != TOKEN_EOF && t->kind != TOKEN_ERROR)
        p->at++;
    return t;
}

static const token *peek_word(parser *p)
{
    while (peek(p)->kind == TOKEN_SPACE)
        p->at++;
    return peek(p);
}

static const token *next_word(parser *p)
{
    peek_word(p);
    return next(p);
}

static bool expect(parser *p, token_kind kind, const char *context)
{
    const token *t = next_word(p);
    return t->kind == kind || unexpected(p, t, context);
}

/* ---- nodes ---- */

static node *node_new(parser *p, part_kind kind, uint32_t offset)
{
    node *n = ARENA_NEW(p->a, node);
    if (!n)
        return no_memory(p);
    n->kind = kind;
    n->offset = offset;
    n->source = p->source;
    return n;
}

static void append(part_list *list, node *n)
{
    if (list->last)
        *list->last = n;
    else
        list->first = n;
    list->last = &n->next;
    list->count++;
}

static bool declare(parser *p, str name)
{
    variable *v = ARENA_NEW(p->a, variable);
    if (!v)
        return no_memory(p);
    *v = (variable){ (variable *)p->variables, name };
    p->variables = v;
    return true;
}

static bool enter(parser *p)
{
    if (++p->depth <= DEPTH_LIMIT)
        return true;
    return parse_fail(p, "max expression depth exceeded");
}

/* ---- operands ---- */

static node *parse_number(parser *p, const token *t)
{
    node *n = node_new(p, PART_NUMBER, t->offset);
    if (!n)
        return NULL;
    n->text = t->text;
    const char *problem = template_read_number(p->a, t, n);
    bool quoted = problem && str_ends(str_c(problem), STR("\""));
    bool shown = problem && (quoted || str_ends(str_c(problem), STR(" ")));
    if (problem)
        return parse_fail(p, "%s%.*s%s", problem, shown ? (int)MIN(t->text.len, 100) : 0,
                          t->text.ptr, quoted ? "\"" : "");
    return n;
}

static bool unquote_token(parser *p, const token *t, str *ret)
{
    size_t length;
    const char *problem = unquote(t->text, p->a, ret, &length);
    return !problem || parse_fail(p, "invalid syntax");
}

/* The names of ".a.b" or "$x". */
static bool add_field(parser *p, node *n, str name)
{
    str *grown = arena_grow(p->a, n->fields, n->field_count * sizeof(str),
                            (n->field_count + 1) * sizeof(str));
    if (!grown)
        return no_memory(p);
    grown[n->field_count++] = name;
    n->fields = grown;
    return true;
}

static node *named(parser *p, part_kind kind, const token *t, str name)
{
    node *n = node_new(p, kind, t->offset);
    return n && add_field(p, n, name) ? n : NULL;
}

static node *use_variable(parser *p, const token *t)
{
    for (const variable *v = p->variables; v; v = v->outer)
        if (str_eq(v->name, t->text))
            return named(p, PART_VARIABLE, t, t->text);
    return parse_fail(p, "undefined variable \"%.*s\"", (int)MIN(t->text.len, 200), t->text.ptr);
}

static node *use_function(parser *p, const token *t)
{
    const template_function *f = template_function_find(p->set->dialect, t->text);
    if (!f)
        return parse_fail(p, "function \"%.*s\" not defined", (int)MIN(t->text.len, 200),
                          t->text.ptr);
    node *n = node_new(p, PART_IDENTIFIER, t->offset);
    if (n) {
        n->text = t->text;
        n->function = f;
    }
    return n;
}

static node *parse_string(parser *p, const token *t)
{
    node *n = node_new(p, PART_STRING, t->offset);
    if (!n || !unquote_token(p, t, &n->text))
        return NULL;
    n->written = t->text;
    return n;
}

static node *parse_pipeline(parser *p, const char *context, token_kind end);

static node *parse_parenthesized(parser *p)
{
    if (!enter(p))
        return NULL;
    node *n = parse_pipeline(p, "parenthesized pipeline", TOKEN_CLOSE);
    p->depth--;
    return n;
}

/* NULL without an error when the next token starts no operand. */
static node *parse_term(parser *p)
{
    const token *t = next_word(p);
    switch (t->kind) {
    case TOKEN_IDENTIFIER:
        return use_function(p, t);
    case TOKEN_DOT:
        return node_new(p, PART_DOT, t->offset);
    case TOKEN_NIL:
        return node_new(p, PART_NIL, t->offset);
    case TOKEN_VARIABLE:
        return use_variable(p, t);
    case TOKEN_FIELD:
        return named(p, PART_FIELD, t, str_slice(t->text, 1, t->text.len));
    case TOKEN_BOOL: {
        node *n = node_new(p, PART_BOOL, t->offset);
        if (n)
            n->boolean = str_is(t->text, "true");
        return n;
    }
    case TOKEN_CHARACTER:
    case TOKEN_COMPLEX:
    case TOKEN_NUMBER:
        return parse_number(p, t);
    case TOKEN_OPEN:
        return parse_parenthesized(p);
    case TOKEN_STRING:
    case TOKEN_RAW_STRING:
        return parse_string(p, t);
    default:
        if (t->kind != TOKEN_EOF && t->kind != TOKEN_ERROR)
            p->at--;
        return NULL;
    }
}

/* A term and the fields that follow it directly. */
static node *parse_operand(parser *p)
{
    node *n = parse_term(p);
    if (!n || peek(p)->kind != TOKEN_FIELD)
        return n;
    uint32_t offset = peek(p)->offset;
    if (n->kind == PART_BOOL || n->kind == PART_STRING || n->kind == PART_NUMBER ||
        n->kind == PART_NIL || n->kind == PART_DOT) {
        buf text, quoted;
        buf_init(&text, KiB(1));
        buf_init(&quoted, KiB(4));
        template_print_node(&text, n);
        print_quoted(&quoted, buf_view(&text));
        parse_fail(p, "unexpected . after term %.*s", STR_ARG(buf_view(&quoted)));
        buf_done(&text);
        buf_done(&quoted);
        return NULL;
    }
    if (n->kind != PART_FIELD && n->kind != PART_VARIABLE) {
        node *chain = node_new(p, PART_CHAIN, offset);
        if (!chain)
            return NULL;
        chain->operand = n;
        n = chain;
    }
    n->offset = offset;
    while (peek(p)->kind == TOKEN_FIELD) {
        str name = next(p)->text;
        if (!add_field(p, n, str_slice(name, 1, name.len)))
            return NULL;
    }
    return n;
}

static node *parse_command(parser *p)
{
    node *command = node_new(p, PART_COMMAND, peek_word(p)->offset);
    for (bool more = true; command && more;) {
        node *operand = parse_operand(p);
        if (p->code != STATUS_OK)
            return NULL;
        if (operand)
            append(&command->children, operand);
        const token *t = next(p);
        more = t->kind == TOKEN_SPACE;
        if (t->kind == TOKEN_RIGHT || t->kind == TOKEN_CLOSE)
            p->at--;
        else if (!more && t->kind != TOKEN_PIPE)
            return unexpected(p, t, "operand");
    }
    if (command && !command->children.count)
        return parse_fail(p, "empty command");
    return command;
}

static bool add_declared(parser *p, node *pipe, const token *name)
{
    node *n = named(p, PART_VARIABLE, name, name->text);
    if (n)
        append(&pipe->variables, n);
    return n && declare(p, name->text);
}

/* "$x :=", "$x =", and for range "$i, $x :=". */
static bool parse_declarations(parser *p, node *pipe, const char *context)
{
    bool range = strcmp(context, "range") == 0;
    while (peek_word(p)->kind == TOKEN_VARIABLE) {
        uint32_t start = p->at;
        const token *name = next(p), *after = peek_word(p);
        bool comma = after->kind == TOKEN_OTHER && str_is(after->text, ",");
        if (after->kind != TOKEN_ASSIGN && after->kind != TOKEN_DECLARE && !comma) {
            p->at = start;
            return true;
        }
        next(p);
        if (!add_declared(p, pipe, name))
            return false;
        if (!comma) {
            pipe->assigns = after->kind == TOKEN_ASSIGN;
            return true;
        }
        if (!range || pipe->variables.count >= 2)
            return parse_fail(p, "too many declarations in %s", context);
        token_kind kind = peek_word(p)->kind;
        if (kind != TOKEN_VARIABLE && kind != TOKEN_RIGHT && kind != TOKEN_CLOSE)
            return parse_fail(p, "range can only initialize variables");
    }
    return true;
}

static bool check_pipeline(parser *p, node *pipe, const char *context)
{
    if (!pipe->children.count)
        return parse_fail(p, "missing value for %s", context);
    uint32_t stage = 1;
    for (const node *c = pipe->children.first->next; c; c = c->next) {
        part_kind kind = c->children.first->kind;
        stage++;
        if (kind == PART_BOOL || kind == PART_DOT || kind == PART_NIL || kind == PART_NUMBER ||
            kind == PART_STRING)
            return parse_fail(p, "non executable command in pipeline stage %u", stage);
    }
    return true;
}

static bool starts_operand(token_kind kind)
{
    return kind == TOKEN_BOOL || kind == TOKEN_CHARACTER || kind == TOKEN_COMPLEX ||
           kind == TOKEN_DOT || kind == TOKEN_FIELD || kind == TOKEN_IDENTIFIER ||
           kind == TOKEN_NUMBER || kind == TOKEN_NIL || kind == TOKEN_RAW_STRING ||
           kind == TOKEN_STRING || kind == TOKEN_VARIABLE || kind == TOKEN_OPEN;
}

static node *parse_pipeline(parser *p, const char *context, token_kind end)
{
    node *pipe = node_new(p, PART_PIPE, peek_word(p)->offset);
    if (!pipe || !parse_declarations(p, pipe, context))
        return NULL;
    for (;;) {
        const token *t = next_word(p);
        if (t->kind == end)
            return check_pipeline(p, pipe, context) ? pipe : NULL;
        if (!starts_operand(t->kind))
            return unexpected(p, t, context);
        p->at--;
        node *command = parse_command(p);
        if (!command)
            return NULL;
        append(&pipe->children, command);
    }
}

/* ---- actions ---- */

typedef enum { ENDED_BY_END, ENDED_BY_ELSE, ENDED_BY_ERROR } list_end;

static list_end parse_list(parser *p, part_list *list);

/* Whether a list (without space and comments) has nothing in it. */
static bool list_is_empty(const part_list *list)
{
    for (const node *n = list->first; n; n = n->next)
        if (n->kind != PART_TEXT || str_trim(n->text).len)
            return false;
    return true;
}

static bool define(parser *p, str name, node *root)
{
    for (uint32_t i = 0; i < p->defined_count; i++) {
        template_entry *old = &p->defined[i];
        if (!str_eq(old->name, name))
            continue;
        if (list_is_empty(&old->root->children))
            old->root = root;
        else if (!list_is_empty(&root->children))
            return parse_fail(p, "template: multiple definition of template \"%.*s\"",
                              (int)MIN(name.len, 100), name.ptr);
        return true;
    }
    if (p->defined_count == p->defined_capacity) {
        uint32_t capacity = p->defined_capacity ? p->defined_capacity * 2 : 4;
        template_entry *grown = arena_grow(p->a, p->defined, p->defined_count * sizeof(*grown),
                                           capacity * sizeof(*grown));
        if (!grown)
            return no_memory(p);
        p->defined = grown;
        p->defined_capacity = capacity;
    }
    p->defined[p->defined_count++] = (template_entry){ name, root };
    return true;
}

/* The body of a define or block up to its end: a template with variables of its own. */
static bool parse_body(parser *p, str name, const char *context)
{
    const variable *outer = p->variables;
    uint32_t ranges = p->range_depth;
    p->variables = NULL;
    p->range_depth = 0;
    node *root = node_new(p, PART_PIPE, peek(p)->offset);
    list_end end =
        root && declare(p, STR("$")) && enter(p) ? parse_list(p, &root->children) : ENDED_BY_ERROR;
    p->depth--;
    p->variables = outer;
    p->range_depth = ranges;
    if (end == ENDED_BY_ELSE)
        return parse_fail(p, "unexpected {{else}} in %s", context);
    return end == ENDED_BY_END && define(p, name, root);
}

static bool parse_definition(parser *p)
{
    const token *t = next_word(p);
    str name;
    if (t->kind != TOKEN_STRING && t->kind != TOKEN_RAW_STRING)
        return unexpected(p, t, "define clause");
    return unquote_token(p, t, &name) && expect(p, TOKEN_RIGHT, "define clause") &&
           parse_body(p, name, "define clause");
}

static node *parse_template(parser *p, bool block)
{
    const char *context = block ? "block clause" : "template clause";
    const token *t = next_word(p);
    if (t->kind != TOKEN_STRING && t->kind != TOKEN_RAW_STRING)
        return unexpected(p, t, context);
    node *n = node_new(p, PART_TEMPLATE, t->offset);
    if (!n || !unquote_token(p, t, &n->text))
        return NULL;
    if (!block && peek_word(p)->kind == TOKEN_RIGHT) {
        next(p);
        return n;
    }
    n->pipe = parse_pipeline(p, context, TOKEN_RIGHT);
    if (!n->pipe || (block && !parse_body(p, n->text, context)))
        return NULL;
    return n;
}

static node *parse_control(parser *p, part_kind kind, const char *context);

/* What follows {{else}}; for {{else if}} and {{else with}} the inner one's end is the outer's. */
static bool parse_else(parser *p, node *n)
{
    token_kind kind = peek_word(p)->kind;
    n->has_else = true;
    if ((n->kind == PART_IF && kind == TOKEN_IF) || (n->kind == PART_WITH && kind == TOKEN_WITH)) {
        next(p);
        node *inner = parse_control(p, n->kind, n->kind == PART_IF ? "if" : "with");
        if (inner)
            append(&n->otherwise, inner);
        return inner;
    }
    /* "{{else with" of an if, and the like. */
    if (!expect(p, TOKEN_RIGHT, "input"))
        return false;
    list_end end = parse_list(p, &n->otherwise);
    if (end == ENDED_BY_ELSE)
        return parse_fail(p, "expected end; found {{else}}");
    return end == ENDED_BY_END;
}

static node *parse_control(parser *p, part_kind kind, const char *context)
{
    const variable *outer = p->variables;
    node *pipe = parse_pipeline(p, context, TOKEN_RIGHT);
    node *n = pipe ? node_new(p, kind, pipe->offset) : NULL;
    if (!n || !enter(p))
        return NULL;
    n->pipe = pipe;
    p->range_depth += kind == PART_RANGE;
    list_end end = parse_list(p, &n->children);
    p->range_depth -= kind == PART_RANGE;
    bool ok = end == ENDED_BY_END || (end == ENDED_BY_ELSE && parse_else(p, n));
    p->depth--;
    p->variables = outer;
    return ok ? n : NULL;
}

static node *parse_jump(parser *p, const token *word)
{
    bool stop = word->kind == TOKEN_BREAK;
    if (!expect(p, TOKEN_RIGHT, stop ? "{{break}}" : "{{continue}}"))
        return NULL;
    if (!p->range_depth)
        return parse_fail(p, "{{%s}} outside {{range}}", stop ? "break" : "continue");
    return node_new(p, stop ? PART_BREAK : PART_CONTINUE, word->offset);
}

static node *parse_printing(parser *p)
{
    node *n = node_new(p, PART_ACTION, peek_word(p)->offset);
    if (!n)
        return NULL;
    n->pipe = parse_pipeline(p, "command", TOKEN_RIGHT);
    return n->pipe ? n : NULL;
}

static node *parse_action(parser *p)
{
    const token *t = peek_word(p);
    switch (t->kind) {
    case TOKEN_BLOCK:
    case TOKEN_TEMPLATE:
        next(p);
        return parse_template(p, t->kind == TOKEN_BLOCK);
    case TOKEN_BREAK:
    case TOKEN_CONTINUE:
        next(p);
        return parse_jump(p, t);
    case TOKEN_IF:
        next(p);
        return parse_control(p, PART_IF, "if");
    case TOKEN_RANGE:
        next(p);
        return parse_control(p, PART_RANGE, "range");
    case TOKEN_WITH:
        next(p);
        return parse_control(p, PART_WITH, "with");
    default:
        return parse_printing(p);
    }
}

/* The end or else at the token behind "{{", if it is one: *ret_end tells; it is consumed. */
static bool parse_list_end(parser *p, list_end *ret_end)
{
    const token *t = peek_word(p);
    if (t->kind != TOKEN_END && t->kind != TOKEN_ELSE)
        return false;
    next(p);
    *ret_end = t->kind == TOKEN_END ? ENDED_BY_END : ENDED_BY_ELSE;
    if (t->kind == TOKEN_ELSE) {
        token_kind kind = peek_word(p)->kind;
        if (kind == TOKEN_IF || kind == TOKEN_WITH)
            return true;
    }
    const char *context = t->kind == TOKEN_END ? "end" : "else";
    if (peek_word(p)->kind != TOKEN_RIGHT) {
        unexpected(p, next_word(p), context);
        *ret_end = ENDED_BY_ERROR;
    } else if (t->kind == TOKEN_END) {
        next(p);
    }
    return true;
}

static node *parse_text(parser *p, const token *t)
{
    node *n = node_new(p, PART_TEXT, t->offset);
    if (n)
        n->text = t->text;
    return n;
}

static list_end parse_list(parser *p, part_list *list)
{
    while (peek_word(p)->kind != TOKEN_EOF) {
        const token *t = next_word(p);
        node *n = NULL;
        if (t->kind == TOKEN_TEXT) {
            n = parse_text(p, t);
        } else if (t->kind == TOKEN_LEFT) {
            list_end end;
            p->action_line = t->line;
            bool ended = parse_list_end(p, &end);
            if (!ended)
                n = parse_action(p);
            p->action_line = 0;
            if (ended)
                return end;
        } else {
            unexpected(p, t, "input");
        }
        if (!n)
            return ENDED_BY_ERROR;
        append(list, n);
    }
    parse_fail(p, "unexpected EOF");
    return ENDED_BY_ERROR;
}

/* The outermost list, where templates may be defined and which ends at the text's end. */
static bool parse_top(parser *p, part_list *list)
{
    while (peek(p)->kind != TOKEN_EOF) {
        const token *t = next_word(p);
        node *n = NULL;
        if (t->kind == TOKEN_TEXT) {
            n = parse_text(p, t);
        } else if (t->kind == TOKEN_LEFT && peek_word(p)->kind == TOKEN_DEFINE) {
            next(p);
            if (!parse_definition(p))
                return false;
            continue;
        } else if (t->kind == TOKEN_LEFT) {
            list_end end = ENDED_BY_ERROR;
            p->action_line = t->line;
            if (!parse_list_end(p, &end))
                n = parse_action(p);
            else if (end != ENDED_BY_ERROR)
                parse_fail(p, "unexpected {{%s}}", end == ENDED_BY_END ? "end" : "else");
            p->action_line = 0;
        } else {
            unexpected(p, t, "input");
        }
        if (!n)
            return false;
        append(list, n);
    }
    return true;
}

/* ---- the whole ---- */

/* Room for all that the text defines is made first, so that a set never holds a part of them. */
static bool install(parser *p)
{
    template_set *set = p->set;
    uint32_t needed = set->count + p->defined_count;
    if (needed > set->capacity) {
        template_entry *grown = arena_grow(p->a, set->entries, set->count * sizeof(*grown),
                                           needed * 2 * sizeof(*grown));
        if (!grown)
            return no_memory(p);
        set->entries = grown;
        set->capacity = needed * 2;
    }
    for (uint32_t i = 0; i < p->defined_count; i++) {
        template_entry *old = template_find_own(set, p->defined[i].name);
        bool empty = list_is_empty(&p->defined[i].root->children);
        if (!old)
            set->entries[set->count++] = p->defined[i];
        else if (!empty || list_is_empty(&old->root->children))
            old->root = p->defined[i].root;
    }
    return true;
}

status template_parse(template_set *set, str name, str text, error *err)
{
    arena *a = set->memory;
    if (text.len > TEXT_LIMIT)
        return fail(err, STATUS_LIMIT, "template: %.*s: %zu bytes, the limit is %zu",
                    (int)MIN(name.len, 200), name.ptr, text.len, (size_t)TEXT_LIMIT);
    template_source *source = ARENA_NEW(a, template_source);
    parser p = { .set = set, .a = a, .source = source, .err = err };
    if (!source)
        return fail(err, STATUS_LIMIT, "no memory for a template");
    source->name = arena_str(a, name);
    source->text = arena_str(a, text);
    if (!source->name.ptr || !source->text.ptr || !template_lex(a, source->text, &p.tokens))
        return fail(err, STATUS_LIMIT, "template: %.*s: no memory", (int)MIN(name.len, 200),
                    name.ptr);
    node *root = node_new(&p, PART_PIPE, 0);
    if (root && declare(&p, STR("$")) && parse_top(&p, &root->children) &&
        define(&p, source->name, root))
        install(&p);
    return p.code;
}
