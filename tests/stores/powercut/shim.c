/* What a process writes to the files of one folder and when it waits for the disk, written down in
 * the order that it happened: LD_PRELOAD it, with the folder in CUT_FOLDER and the log in CUT_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
    uint32_t what, name;
    uint64_t at, size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_file = -1;

static void note(char what, int file, const void *data, size_t size, off_t at)
{
    const char *folder = getenv("CUT_FOLDER"), *log = getenv("CUT_LOG");
    char link[64] = "/proc/self/fd/", path[4096];
    char digits[16];
    int length = 0, left = file;
    ssize_t found;
    if (!folder || !log)
        return;
    do
        digits[length++] = '0' + left % 10;
    while (left /= 10);
    for (char *to = link + strlen(link); length; *to = 0)
        *to++ = digits[--length];
    found = readlink(link, path, sizeof path - 1);
    if (found < 0 || strncmp(path, folder, strlen(folder)))
        return;
    pthread_mutex_lock(&lock);
    if (log_file < 0)
        log_file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct head head = {what, found, at, size};
    struct iovec parts[3] = {{&head, sizeof head}, {path, found}, {(void *)data, data ? size : 0}};
    syscall(SYS_writev, log_file, parts, 3);
    pthread_mutex_unlock(&lock);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    ssize_t done = REAL(pwrite)(file, data, size, at);
    if (done > 0)
        note('w', file, data, done, at);
    return done;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    ssize_t done = REAL(pwrite64)(file, data, size, at);
    if (done > 0)
        note('w', file, data, done, at);
    return done;
}

int ftruncate(int file, off_t size)
{
    int done = REAL(ftruncate)(file, size);
    if (!done)
        note('t', file, NULL, 0, size);
    return done;
}

int ftruncate64(int file, off64_t size)
{
    int done = REAL(ftruncate64)(file, size);
    if (!done)
        note('t', file, NULL, 0, size);
    return done;
}

int fsync(int file)
{
    int done = REAL(fsync)(file);
    if (!done)
        note('s', file, NULL, 0, 0);
    return done;
}

int fdatasync(int file)
{
    int done = REAL(fdatasync)(file);
    if (!done)
        note('s', file, NULL, 0, 0);
    return done;
}
