// SPDX-License-Identifier: Apache-2.0
/* Borrowing a signal that the program does not use. */
#include "lib/pprof.h"

#include <signal.h>

static bool is_free(int number, struct sigaction *ret)
{
    return sigaction(number, NULL, ret) == 0 && !(ret->sa_flags & SA_SIGINFO) &&
           ret->sa_handler == SIG_DFL;
}

static int free_realtime_signal(struct sigaction *ret)
{
    for (int number = SIGRTMAX - 1; number > SIGRTMIN; number--)
        if (is_free(number, ret))
            return number;
    return 0;
}

bool pprof_signal_take(pprof_signal *s, int number, pprof_handler *handler)
{
    struct sigaction mine = { .sa_sigaction = handler,
                              .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
    s->handler = handler;
    s->signal = number;
    if (!number)
        s->signal = free_realtime_signal(&s->before);
    else if (!is_free(number, &s->before))
        return false;
    sigfillset(&mine.sa_mask);
    return s->signal && sigaction(s->signal, &mine, NULL) == 0;
}

void pprof_signal_give_back(pprof_signal *s)
{
    struct sigaction now, ignore = { .sa_handler = SIG_IGN };
    /* The program may have installed its own meanwhile. */
    if (sigaction(s->signal, NULL, &now) != 0 || !(now.sa_flags & SA_SIGINFO) ||
        now.sa_sigaction != s->handler)
        return;
    /* Ignoring a signal discards what is pending in all threads; the default action of what came
     * late would end the process. */
    sigaction(s->signal, &ignore, NULL);
    sigaction(s->signal, &s->before, NULL);
}
