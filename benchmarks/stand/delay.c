/* Makes every sync of a file WHARF_SYNC_DELAY_US microseconds slower, as on a disk without a battery-backed cache.
 * Built and loaded by stand/delay.py:  cc -O2 -shared -fPIC -o delay.so delay.c -ldl ;  LD_PRELOAD=delay.so program */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static long us;

/* Read at once, since sshd gives its sessions another environment. */
__attribute__((constructor)) static void read_delay(void)
{
    const char *text = getenv("WHARF_SYNC_DELAY_US");
    us = text ? atol(text) : 0;
}

static void wait_a_little(void)
{
    struct timespec left = {us / 1000000, us % 1000000 * 1000};
    while (us > 0 && nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

#define SLOWER(name)                                              \
    int name(int fd)                                              \
    {                                                             \
        static int (*next)(int);                                  \
        if (!next)                                                \
            next = (int (*)(int))dlsym(RTLD_NEXT, #name);         \
        wait_a_little();                                          \
        return next(fd);                                          \
    }

SLOWER(fsync)
SLOWER(fdatasync)
SLOWER(syncfs)
