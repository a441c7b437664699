/* The clock of the day, moved by as many ns as stand in the file named by MOVED_CLOCK. Whatever counts from another
   beginning is let be, so that nothing sleeps for longer or shorter. Preloaded; each answer asks the kernel. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *by_ns;

static int now(struct timespec *at)
{
    int failed = (int)syscall(SYS_clock_gettime, CLOCK_REALTIME, at);
    if (!failed && by_ns) {
        int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + *by_ns;
        at->tv_sec = ns / 1000000000;
        at->tv_nsec = ns % 1000000000;
    }
    return failed;
}

int clock_gettime(clockid_t which, struct timespec *at)
{
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)
        return now(at);
    return (int)syscall(SYS_clock_gettime, which, at);
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
    struct timespec found;
    (void)zone;
    int failed = now(&found);
    at->tv_sec = found.tv_sec;
    at->tv_usec = found.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at)
{
    struct timespec found;
    now(&found);
    if (at)
        *at = found.tv_sec;
    return found.tv_sec;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("MOVED_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    by_ns = memory == MAP_FAILED ? NULL : memory;
    close(fd);
}
