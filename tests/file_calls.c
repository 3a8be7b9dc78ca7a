/* To be preloaded by a program under test: notes the calls by which files are written, one line each in the file that
 * FILE_CALLS names, and kills the program before call number KILL_AT. Before the second part of the file READ_OF is
 * read, it runs the command AT_READ.
 *
 *     write PATH
 *     sync PATH BYTES      (what the file holds at that moment)
 *     rename PATH PATH */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, LINE_ROOM = 3 * PATH_ROOM };

static int log_descriptor = -1;
static long calls, kill_at, reads;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FILE_CALLS"), *at = getenv("KILL_AT");
    if (path) log_descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (at) kill_at = atol(at);
    unsetenv("LD_PRELOAD"); /* what it starts is left alone */
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    char line[LINE_ROOM];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (log_descriptor >= 0 && write(log_descriptor, line, (size_t)length) < 0) abort();
    if (++calls == kill_at) kill(getpid(), SIGKILL);
}

static const char *path_of(int descriptor, char path[PATH_ROOM])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_ROOM - 1);
    path[length > 0 ? length : 0] = '\0';
    return path;
}

/* dlsym returns a pointer to an object, which C does not convert to one to a function. */
static void find(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *stream)
{
    static size_t (*real)(const void *, size_t, size_t, FILE *);
    char path[PATH_ROOM];
    if (!real) find(&real, "fwrite");
    if (fileno(stream) > STDERR_FILENO) note("write %s\n", path_of(fileno(stream), path));
    return real(bytes, size, count, stream);
}

int fsync(int descriptor)
{
    static int (*real)(int);
    char path[PATH_ROOM];
    struct stat status = {0};
    if (!real) find(&real, "fsync");
    if (fstat(descriptor, &status) == 0)
        note("sync %s %lld\n", path_of(descriptor, path), S_ISREG(status.st_mode) ? (long long)status.st_size : 0LL);
    return real(descriptor);
}

int rename(const char *from, const char *to)
{
    static int (*real)(const char *, const char *);
    if (!real) find(&real, "rename");
    note("rename %s %s\n", from, to);
    return real(from, to);
}

static void before_read(int descriptor)
{
    const char *command = getenv("AT_READ"), *file = getenv("READ_OF");
    char path[PATH_ROOM];
    if (!command || !file || strcmp(path_of(descriptor, path), file) != 0) return;
    if (++reads == 2 && system(command) != 0) abort();
}

ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset)
{
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (!real) find(&real, "pread");
    before_read(descriptor);
    return real(descriptor, bytes, count, offset);
}

/* What programs that ask for 64-bit offsets call. */
ssize_t pread64(int descriptor, void *bytes, size_t count, off64_t offset)
{
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real) find(&real, "pread64");
    before_read(descriptor);
    return real(descriptor, bytes, count, offset);
}
