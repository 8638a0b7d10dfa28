/* Makes calls that write below a folder fail, as a full or broken disk does. Loaded before the C library (LD_PRELOAD). */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static char folder[PATH_MAX];
static int seen, first_failing, last_failing, reason;

/* From now on, count calls below `path`, and let those from the `first` to the `last` fail with `error`. */
void fail_calls(const char *path, int first, int last, int error)
{
    snprintf(folder, sizeof folder, "%s", path);
    seen = 0;
    first_failing = first;
    last_failing = last;
    reason = error;
}

/* How many calls there were; no more are counted. */
int calls_seen(void)
{
    folder[0] = 0;
    return seen;
}

static int fails(const char *path)
{
    size_t length = strlen(folder);
    if (length == 0 || strncmp(path, folder, length) != 0 || (path[length] != 0 && path[length] != '/'))
        return 0;
    int number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST); /* several threads write */
    if (number < first_failing || number > last_failing)
        return 0;
    errno = reason;
    return 1;
}

static int file_fails(int file)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(path);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return flags & O_CREAT && fails(path) ? -1 : REAL(open)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    struct stat found;
    return stat(path, &found) != 0 && fails(path) ? -1 : REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to)
{
    return fails(to) ? -1 : REAL(rename)(from, to);
}

ssize_t write(int file, const void *data, size_t size)
{
    return file_fails(file) ? -1 : REAL(write)(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    return file_fails(file) ? -1 : REAL(pwrite)(file, data, size, offset);
}

int ftruncate(int file, off_t size)
{
    return file_fails(file) ? -1 : REAL(ftruncate)(file, size);
}

int fsync(int file)
{
    return file_fails(file) ? -1 : REAL(fsync)(file);
}

/* Where files may be large by default, these are the same calls. */
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
ssize_t pwrite64(int file, const void *data, size_t size, off_t offset) __attribute__((alias("pwrite")));
int ftruncate64(int file, off_t size) __attribute__((alias("ftruncate")));
