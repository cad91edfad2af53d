// SPDX-License-Identifier: Apache-2.0
/* Texts from outside are bytes: the answer of a service, a piece of a path, a message cut at some
 * length. JSON and PostgreSQL take UTF-8 only, so what is none is mended before it gets there. */
#ifndef EXAMPLES_COMMON_TEXT_H
#define EXAMPLES_COMMON_TEXT_H

#include <stdbool.h>

bool text_is_utf8(const char *text);
/* Puts '?' for each byte that belongs to no character. */
void text_make_utf8(char *text);

#endif
