#define _XOPEN_SOURCE 700 /* realpath */

#include "tensor/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "tensor/memory.h"

enum { NEW_FILE_MODE = 0666, MODE_BITS = 0777, TEMPORARY_TRIES = 100, TEMPORARY_SUFFIX = 48 };

/* ---- Writing ---- */

/* Finds out which file is meant. A rename would replace a symbolic link, or a device, by a plain file: a link is
 * followed, the rest refused, as is a link to nothing. *mode receives the permissions to keep, 0 if there is no file
 * yet. */
static bool find_target(FileWriter *writer, const char *path, mode_t *mode)
{
    struct stat status;
    char resolved[PATH_MAX];
    *mode = 0;
    if (path[0] == '\0') return weft_fail("cannot write a file with an empty name");
    if (stat(path, &status) == 0) {
        if (!S_ISREG(status.st_mode)) return weft_fail("%s: cannot write: not a regular file", path);
        if (access(path, W_OK) != 0 || !realpath(path, resolved))
            return weft_fail("%s: cannot write: %s", path, strerror(errno));
        path = resolved;
        *mode = status.st_mode & MODE_BITS;
    } else if (lstat(path, &status) == 0) {
        return weft_fail("%s: cannot write: a symbolic link to nothing", path);
    }
    writer->path = weft_strdup(path);
    return writer->path != NULL;
}

static bool open_folder(FileWriter *writer)
{
    char *folder = weft_strdup(writer->path);
    if (!folder) return false;
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder ? 1 : 0] = '\0';
    writer->folder = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (writer->folder < 0)
        weft_fail("%s: cannot write: folder %s: %s", writer->path, slash ? folder : ".", strerror(errno));
    weft_free(folder);
    return writer->folder >= 0;
}

static bool same_status(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool has_name(int descriptor, const char *name)
{
    struct stat open_file, named;
    return fstat(descriptor, &open_file) == 0 && lstat(name, &named) == 0 && same_status(&open_file, &named);
}

/* Removes what a program left that was killed while it wrote: a file that nobody has locked, as its writer does until
 * it has its own name. */
static void remove_stale(const char *name)
{
    int descriptor = open(name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return;
    struct stat status;
    bool stale = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
                 flock(descriptor, LOCK_EX | LOCK_NB) == 0 && has_name(descriptor, name);
    if (stale) unlink(name);
    close(descriptor);
}

/* A new file, locked. Between the two another program may have locked it, and removed it as stale: then -1, as where
 * the name is taken. A file system without locks has no stale files that could be told, and is written all the same. */
static int create_locked(const char *name)
{
    int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, NEW_FILE_MODE);
    if (descriptor < 0) return -1;
    bool locked = flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (locked && has_name(descriptor, name)) return descriptor;
    close(descriptor);
    errno = EEXIST;
    return -1;
}

/* The first name that no other program is writing to: the next one to save there comes upon what this one leaves if it
 * is killed. */
static bool open_temporary(FileWriter *writer, mode_t mode)
{
    size_t room = strlen(writer->path) + TEMPORARY_SUFFIX;
    char *name = weft_alloc((int64_t)room, 1);
    if (!name) return false;
    int descriptor = -1;
    for (int i = 0; i < TEMPORARY_TRIES && descriptor < 0; i++) {
        snprintf(name, room, "%s.weft-tmp-%d", writer->path, i);
        remove_stale(name);
        descriptor = create_locked(name);
        if (descriptor < 0 && errno != EEXIST) break;
    }
    if (descriptor >= 0) writer->temporary = name;
    bool ok = descriptor >= 0 && (writer->lock = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)) >= 0 &&
              (mode == 0 || fchmod(descriptor, mode) == 0) && (writer->stream = fdopen(descriptor, "wb"));
    if (ok) return true;
    weft_fail("%s: cannot write: %s", writer->path, strerror(errno));
    if (descriptor >= 0) close(descriptor);
    else weft_free(name);
    return false;
}

FileWriter *weft_file_create(const char *path)
{
    if (!path) return weft_fail("cannot write a file whose path is NULL");
    FileWriter *writer = weft_alloc_zeroed(1, sizeof(FileWriter));
    if (!writer) return NULL;
    writer->folder = writer->lock = -1;
    mode_t mode;
    if (find_target(writer, path, &mode) && open_folder(writer) && open_temporary(writer, mode)) return writer;
    weft_file_discard(writer);
    return NULL;
}

static void free_writer(FileWriter *writer)
{
    if (writer->folder >= 0) close(writer->folder);
    if (writer->lock >= 0) close(writer->lock);
    weft_free(writer->temporary);
    weft_free(writer->path);
    weft_free(writer);
}

void weft_file_discard(FileWriter *writer)
{
    if (!writer) return;
    if (writer->stream) fclose(writer->stream);
    if (writer->temporary) unlink(writer->temporary);
    free_writer(writer);
}

bool weft_file_commit(FileWriter *writer)
{
    if (!writer) return false;
    errno = 0;
    bool written = fflush(writer->stream) == 0 && !ferror(writer->stream) && fsync(fileno(writer->stream)) == 0;
    int reason = errno;
    if (fclose(writer->stream) != 0 && written) {
        written = false;
        reason = errno;
    }
    writer->stream = NULL;
    if (written && rename(writer->temporary, writer->path) != 0) {
        written = false;
        reason = errno;
    }
    if (!written) {
        weft_fail("%s: cannot write: %s", writer->path, reason ? strerror(reason) : "a write failed");
        weft_file_discard(writer);
        return false;
    }
    /* Some file systems have no sync for folders and say EINVAL: there is nothing more to be had from them. */
    bool synced = fsync(writer->folder) == 0 || errno == EINVAL;
    if (!synced) weft_fail("%s: written, but its folder cannot be synced: %s", writer->path, strerror(errno));
    free_writer(writer);
    return synced;
}

bool weft_file_check_writable(const char *path)
{
    FileWriter *writer = weft_file_create(path);
    weft_file_discard(writer);
    return writer != NULL;
}

static bool stat_folder(const char *path, const char *slash, struct stat *status)
{
    char folder[PATH_MAX];
    if (!slash) return stat(".", status) == 0;
    int length = snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    return length < PATH_MAX && stat(folder, status) == 0;
}

bool weft_file_same(const char *a, const char *b)
{
    struct stat first, second;
    bool first_there = stat(a, &first) == 0, second_there = stat(b, &second) == 0;
    if (first_there || second_there) return first_there && second_there && same_status(&first, &second);
    const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
    return strcmp(slash_a ? slash_a + 1 : a, slash_b ? slash_b + 1 : b) == 0 && stat_folder(a, slash_a, &first) &&
           stat_folder(b, slash_b, &second) && same_status(&first, &second);
}

/* ---- Reading ---- */

bool weft_file_open(FileReader *reader, const char *path)
{
    *reader = (FileReader){.path = path, .descriptor = -1};
    if (!path) return weft_fail("cannot read a file whose path is NULL");
    /* Not blocking, since opening a pipe would wait for its writer. */
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return weft_fail("%s: cannot open: %s", path, strerror(errno));
    struct stat status;
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(descriptor);
        return weft_fail("%s: not a regular file", path);
    }
    reader->descriptor = descriptor;
    reader->size = (int64_t)status.st_size;
    return true;
}

bool weft_file_read(const FileReader *reader, int64_t offset, void *bytes, int64_t count)
{
    if (offset < 0 || count < 0 || offset > reader->size || count > reader->size - offset)
        return weft_fail("%s: has %lld bytes; %lld from byte %lld on are wanted", reader->path,
                         (long long)reader->size, (long long)count, (long long)offset);
    char *to = bytes;
    while (count > 0) {
        size_t part = count < INT_MAX ? (size_t)count : INT_MAX;
        ssize_t got = pread(reader->descriptor, to, part, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return weft_fail("%s: cannot read: %s", reader->path, strerror(errno));
        if (got == 0) return weft_fail("%s: became shorter while it was read", reader->path);
        to += got;
        offset += got;
        count -= got;
    }
    return true;
}

void weft_file_close(FileReader *reader)
{
    if (reader->descriptor >= 0) close(reader->descriptor);
    reader->descriptor = -1;
}

void *weft_file_read_all(const char *path, int64_t limit, int64_t *size)
{
    FileReader reader;
    if (!weft_file_open(&reader, path)) return NULL;
    void *bytes = NULL;
    if (reader.size > limit)
        weft_fail("%s: has %lld bytes, more than the %lld that it may", path, (long long)reader.size, (long long)limit);
    else
        bytes = weft_alloc(reader.size > 0 ? reader.size : 1, 1);
    if (bytes && !weft_file_read(&reader, 0, bytes, reader.size)) {
        weft_free(bytes);
        bytes = NULL;
    }
    *size = bytes ? reader.size : 0;
    weft_file_close(&reader);
    return bytes;
}
