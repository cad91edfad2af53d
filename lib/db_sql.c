// SPDX-License-Identifier: Apache-2.0
/* Reads an SQL text token by token: literals become '?', comments go, and the words that say what
 * the statement does to which tables are remembered. It knows the literals of PostgreSQL, SQLite
 * and MySQL; a text that it does not understand loses more than it must, never less. */
#include "lib/db.h"

typedef struct {
    str text;
    size_t at;
    bool quotes_are_text;
    buf *out;
    sql_summary *summary;
    bool space;      /* white space or a comment stood before the next token */
    bool want_table; /* the next name is a table */
    bool may_list;   /* a table was named: a comma is followed by another one */
    bool after_as;   /* names after AS are no tables */
    unsigned depth;  /* open parentheses */
    bool in_with;    /* WITH was seen, its statement not yet */
    bool in_from;    /* a list of tables is open, at list_depth */
    unsigned list_depth;
} scanner;

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_word_start(c) || is_digit(c) || c == '$';
}

static char peek(const scanner *s, size_t ahead)
{
    return s->at + ahead < s->text.len ? s->text.ptr[s->at + ahead] : '\0';
}

static void put_space(scanner *s)
{
    if (s->space && s->out->len)
        buf_char(s->out, ' ');
    s->space = false;
}

static void put(scanner *s, str token)
{
    put_space(s);
    buf_str(s->out, token);
}

/* ---- what is skipped ---- */

static void skip_line(scanner *s)
{
    s->summary->has_texts = true;
    while (s->at < s->text.len && s->text.ptr[s->at] != '\n')
        s->at++;
    s->space = true;
}

static void skip_block(scanner *s)
{
    s->summary->has_texts = true;
    unsigned depth = 0;
    while (s->at < s->text.len) {
        if (peek(s, 0) == '/' && peek(s, 1) == '*') {
            depth++;
            s->at += 2;
        } else if (peek(s, 0) == '*' && peek(s, 1) == '/') {
            s->at += 2;
            if (--depth == 0)
                break;
        } else {
            s->at++;
        }
    }
    s->space = true;
}

/* A quoted text; a doubled quote is inside of it. `backslash`: an escape character. */
static void skip_quoted(scanner *s, char quote, bool backslash)
{
    s->summary->has_texts = s->summary->has_texts || quote == '\'' || s->quotes_are_text;
    s->at++;
    while (s->at < s->text.len) {
        char c = s->text.ptr[s->at++];
        if (c == '\\' && backslash)
            s->at++;
        else if (c == quote && peek(s, 0) == quote)
            s->at++;
        else if (c == quote)
            break;
    }
    s->at = MIN(s->at, s->text.len);
}

/* $tag$ … $tag$; false when it is no such quote (a parameter $1). */
static bool skip_dollar(scanner *s)
{
    size_t end = s->at + 1;
    if (is_digit(peek(s, 1)))
        return false;
    while (end < s->text.len && is_word(s->text.ptr[end]) && s->text.ptr[end] != '$')
        end++;
    if (end >= s->text.len || s->text.ptr[end] != '$')
        return false;
    str tag = str_slice(s->text, s->at, end + 1);
    size_t close = str_find(str_slice(s->text, end + 1, s->text.len), tag);
    s->summary->has_texts = true;
    s->at = close == SIZE_MAX ? s->text.len : end + 1 + close + tag.len;
    return true;
}

static void put_literal(scanner *s)
{
    put_space(s);
    /* Lists of literals all look alike: (?, ?, ?) is (?). */
    str so_far = buf_view(s->out);
    if (str_ends(so_far, STR("?, ")) || str_ends(so_far, STR("?,")))
        s->out->len = str_ends(so_far, STR("?, ")) ? so_far.len - 2 : so_far.len - 1;
    else
        buf_char(s->out, '?');
    s->want_table = s->in_from = false;
}

static void skip_number(scanner *s)
{
    while (s->at < s->text.len) {
        char c = s->text.ptr[s->at];
        bool sign = (c == '+' || c == '-') && (s->text.ptr[s->at - 1] | 0x20) == 'e';
        if (!is_word(c) && c != '.' && !sign)
            break;
        s->at++;
    }
}

/* ---- words ---- */

static bool word_is(str word, const char *keyword)
{
    return str_eq_nocase(word, str_c(keyword));
}

static bool word_in(str word, const char *const *list)
{
    for (; *list; list++)
        if (word_is(word, *list))
            return true;
    return false;
}

static void add_summary(sql_summary *m, str word)
{
    size_t used = strlen(m->summary), room = sizeof(m->summary) - 1 - used;
    if (word.len + (used ? 1 : 0) > room)
        return;
    if (used)
        m->summary[used++] = ' ';
    memcpy(m->summary + used, word.ptr, word.len);
    m->summary[used + word.len] = '\0';
}

static void take_operation(sql_summary *m, str word)
{
    char upper[sizeof(m->operation)];
    str_copy_c(upper, sizeof(upper), word);
    for (char *p = upper; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    if (!m->operation[0])
        str_copy_c(m->operation, sizeof(m->operation), str_c(upper));
    add_summary(m, str_c(upper));
}

static void take_table(scanner *s, str name)
{
    sql_summary *m = s->summary;
    s->want_table = false;
    s->in_from = true;
    s->list_depth = s->depth;
    if (!m->collection[0])
        str_copy_c(m->collection, sizeof(m->collection), name);
    add_summary(m, name);
}

static void take_word(scanner *s, str word)
{
    static const char *const before_table[] = { "FROM", "INTO", "UPDATE", "JOIN", "TABLE", NULL };
    static const char *const between[] = { "IF",   "NOT",     "EXISTS",    "ONLY",
                                           "TEMP", "LATERAL", "TEMPORARY", NULL };
    static const char *const starts[] = { "SELECT", "INSERT", "UPDATE",  "DELETE",
                                          "MERGE",  "VALUES", "REPLACE", NULL };
    sql_summary *m = s->summary;
    bool first = !m->operation[0] && !s->in_with;
    if (first && word_is(word, "WITH")) {
        s->in_with = true;
        return;
    }
    bool begins = first || (s->in_with && s->depth == 0 && word_in(word, starts)) ||
                  (s->depth > 0 && word_is(word, "SELECT"));
    if (begins) {
        s->in_with = s->in_with && s->depth > 0;
        take_operation(m, word);
        s->want_table = word_is(word, "UPDATE") || word_is(word, "TABLE");
    } else if (word_in(word, before_table)) {
        /* DO UPDATE and FOR UPDATE name no table. */
        s->want_table = !word_is(word, "UPDATE");
    } else if (s->want_table && !word_in(word, between)) {
        take_table(s, word);
    } else if (s->in_from && s->depth == s->list_depth && !s->want_table) {
        s->in_from = !word_is(word, "WHERE") && !word_is(word, "SET") && !word_is(word, "ORDER") &&
                     !word_is(word, "GROUP") && !word_is(word, "ON");
    }
}

/* A name with what its schema is: shop.orders, "shop"."orders". */
static void scan_name(scanner *s)
{
    size_t start = s->at;
    do {
        if (s->text.ptr[s->at] == '.')
            s->at++;
        char c = peek(s, 0);
        if (c == '"' || c == '`') {
            skip_quoted(s, c, false);
        } else if (c == '[') {
            skip_quoted(s, ']', false);
        } else {
            while (s->at < s->text.len && is_word(s->text.ptr[s->at]))
                s->at++;
        }
    } while (peek(s, 0) == '.' && (is_word_start(peek(s, 1)) || peek(s, 1) == '"' ||
                                   peek(s, 1) == '`' || peek(s, 1) == '['));
    str word = str_slice(s->text, start, s->at);
    put(s, word);
    if (word.len > 2 && (word.ptr[0] == '"' || word.ptr[0] == '`') &&
        str_find_char(word, '.') == SIZE_MAX)
        word = str_slice(word, 1, word.len - 1);
    take_word(s, word);
}

static void scan_mark(scanner *s, char c)
{
    put(s, str_slice(s->text, s->at, s->at + 1));
    s->at++;
    if (c == '(') {
        s->depth++;
        s->want_table = false;
    } else if (c == ')' && s->depth > 0) {
        s->depth--;
    } else if (c == ',' && s->in_from && s->depth == s->list_depth) {
        s->want_table = true;
    } else if (c == ';') {
        s->want_table = s->in_from = false;
    }
}

/* N'…', E'…', X'…', B'…', U&'…': the letter belongs to the literal. */
static size_t literal_prefix(const scanner *s)
{
    char letter = (char)(peek(s, 0) | 0x20);
    if (letter && strchr("nexb", letter) && peek(s, 1) == '\'')
        return 1;
    return letter == 'u' && peek(s, 1) == '&' && peek(s, 2) == '\'' ? 2 : 0;
}

static void scan_token(scanner *s)
{
    char c = peek(s, 0);
    size_t prefix = literal_prefix(s);
    bool bracket = c == '[' && s->want_table;
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        s->at++;
        s->space = true;
    } else if (c == '-' && peek(s, 1) == '-') {
        skip_line(s);
    } else if (c == '/' && peek(s, 1) == '*') {
        skip_block(s);
    } else if (c == '\'' || prefix || (c == '"' && s->quotes_are_text)) {
        s->at += prefix;
        skip_quoted(s, peek(s, 0), s->quotes_are_text || (c | 0x20) == 'e');
        put_literal(s);
    } else if (c == '$' && skip_dollar(s)) {
        put_literal(s);
    } else if (is_digit(c) || (c == '.' && is_digit(peek(s, 1)))) {
        skip_number(s);
        put_literal(s);
    } else if (is_word_start(c) || c == '"' || c == '`' || bracket) {
        scan_name(s);
    } else if (c == '$' || c == ':' || c == '@') { /* $1, :name, @name: parameters stay */
        size_t start = s->at++;
        while (s->at < s->text.len && is_word(s->text.ptr[s->at]))
            s->at++;
        put(s, str_slice(s->text, start, s->at));
    } else {
        scan_mark(s, c);
    }
}

void sql_clean(str text, bool quotes_are_text, buf *out, sql_summary *summary)
{
    sql_summary unused;
    scanner s = { .text = text,
                  .quotes_are_text = quotes_are_text,
                  .out = out,
                  .summary = summary ? summary : &unused };
    *s.summary = (sql_summary){ .operation = "" };
    while (s.at < text.len && !out->failed)
        scan_token(&s);
}
