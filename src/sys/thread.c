/* sys/thread.c - see thread.h. A thread inherits the mask of the one that makes it (pthread_sigmask(3)). */
#include "sys/thread.h"

#include <signal.h>

int thread_begin(pthread_t *ret, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(ret, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}
