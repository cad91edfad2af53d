// SPDX-License-Identifier: Apache-2.0
/* What the snippets of docs/library.md take for granted: the program around them. */
#ifndef GUIDE_H
#define GUIDE_H

#include <errno.h>
#include <sonde/sonde.h>
#include <stdio.h>

struct order;
const char *order_to_json(const struct order *o);
void run_job(void);
bool charge(double amount);
double queue_length(void *queue);
void render(void);
void process(const char *json);
bool ping(void *database);
int connections(void *database);

struct task;
void push(struct task *t);

struct request {
    const char *method, *path, *client;
    sonde_http *observed;
};
const char *request_header(struct request *r, const char *name);
void answer_header(struct request *r, const char *name, const char *value);
int answer(struct request *r);
void add_header(struct request *r, const char *name, const char *value);
void send_request(struct request *r);
void send_answer(struct request *r, int status, const char *type, const char *body, size_t len);

#endif
