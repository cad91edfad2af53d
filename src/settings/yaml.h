// SPDX-License-Identifier: Apache-2.0
/* YAML as a tree in an arena, with the place of every node: for the configuration file and for the
 * files that components read (targets for scrapes). One document, at most 4 MiB, 64 levels,
 * 1,000,000 nodes. Aliases share nodes, merge keys ("<<") are resolved, a key stands once in a
 * mapping, no node contains itself: whoever walks the tree must only bound the work that shared
 * nodes can make. Read-only afterwards, but for what its owner replaces in scalars. */
#ifndef SONDE_SETTINGS_YAML_H
#define SONDE_SETTINGS_YAML_H

#include "base/buf.h"
#include "codec/batch.h"

enum { YAML_BYTES_MAX = 4 << 20, YAML_DEPTH_MAX = 64, YAML_NODES_MAX = 1000000 };

typedef enum { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING } yaml_kind;

typedef struct yaml_node yaml_node;

typedef struct {
    yaml_node *key; /* a scalar */
    yaml_node *value;
} yaml_pair;

struct yaml_node {
    yaml_kind kind;
    bool plain;            /* scalar without quotes or tag: may be null, a bool or a number */
    unsigned line, column; /* from 1 */
    str text;              /* scalar; terminated */
    str source;            /* scalar whose text was substituted: as it stands in the file */
    yaml_node *tree;       /* the same: what its text is when read as YAML; NULL: a scalar */
    uint32_t count;        /* of items or pairs */
    union {
        yaml_node **items;
        yaml_pair *pairs;
    };
};

typedef struct {
    yaml_node *root;   /* NULL: the document is empty */
    yaml_node **nodes; /* each once */
    uint32_t count;
} yaml_document;

/* Where and why a text is no YAML. */
typedef struct {
    unsigned line, column;
    error error;
} yaml_error;

MUST_USE status yaml_parse(arena *a, str text, yaml_document *ret, yaml_error *err);

/* The value of a key; NULL when absent, or n is no mapping. */
yaml_node *yaml_get(const yaml_node *n, str key);
/* Nothing, "~" or "null" without quotes. n may be NULL. */
bool yaml_is_null(const yaml_node *n);
/* "a list", "a map", "text", "nothing": for messages. */
const char *yaml_kind_name(const yaml_node *n);

/* Scalars by YAML 1.2's core schema, and as configuration files of older YAML have them (yes, no,
 * on, off are texts; true, True, TRUE are bools). */
MUST_USE bool yaml_to_bool(const yaml_node *n, bool *ret);
MUST_USE bool yaml_to_i64(const yaml_node *n, int64_t *ret);
MUST_USE bool yaml_to_f64(const yaml_node *n, double *ret);
/* The whole of n with its types, in `a`; STATUS_LIMIT when the arena's or `nodes` are used up. */
MUST_USE status yaml_to_value(arena *a, const yaml_node *n, value *ret, uint32_t *nodes,
                              error *err);

/* What is not shown of a tree. States are the caller's own; the root's is 0. */
typedef struct {
    /* The state of what stands under a key. */
    unsigned (*below)(const void *user, unsigned state, str key);
    /* What stands for a scalar; empty: the scalar itself. */
    str (*hidden)(const void *user, unsigned state, const yaml_node *n);
    const void *user;
    bool as_written; /* scalars that were substituted as they stand in the file */
} yaml_cover;

/* Writes a tree as YAML that reads the same, but for what is covered. */
void yaml_show(buf *out, const yaml_node *root, const yaml_cover *cover);

#endif
