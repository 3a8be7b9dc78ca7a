/* Files: written whole or not at all, and read with every size checked. Internal.
 *
 * Messages begin with the file's path. */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tensor/error.h"

/* ---- Writing ---- */

/* A file that grows under a temporary name, FILE.weft-tmp-0, in the folder of the one it is to replace. Write to
 * `stream` with stdio; a failed write need not be noticed there, weft_file_commit reports it. Two programs that write
 * one file at a time do so under two names; what a program leaves that is killed, the next to write it removes. */
typedef struct FileWriter {
    FILE *stream;
    char *path;      /* the file to be, symbolic links followed */
    char *temporary;
    int folder;      /* descriptor of the folder of both */
    int lock;        /* descriptor of the temporary file that keeps it locked until it is renamed */
} FileWriter;

/* Starts a new version of the file. NULL with an error if its folder is missing or not writable, or if the path is
 * something that is no regular file, or a link to nothing. */
FileWriter *weft_file_create(const char *path);
/* Ends it: checks every write, syncs, gives the file its name, syncs the folder, and frees the writer. False with an
 * error if anything failed: the temporary file is gone then, and the earlier version is as it was (unless the folder's
 * sync, the last step, was what failed: then the new version is there, but may not survive a power cut). */
bool weft_file_commit(FileWriter *writer) WEFT_CHECKED;
/* Removes the temporary file and frees the writer. NULL is fine. */
void weft_file_discard(FileWriter *writer);
/* Whether the path can be written, found by starting a file there and discarding it. False with an error. */
bool weft_file_check_writable(const char *path) WEFT_CHECKED;

/* Whether two paths name one file, by whatever way, be it there yet or not. */
bool weft_file_same(const char *a, const char *b);

/* ---- Reading ---- */

/* A regular file open for reading. The path is borrowed. */
typedef struct FileReader {
    const char *path;
    int64_t size; /* bytes, when it was opened */
    int descriptor;
} FileReader;

/* False with an error if there is no such file, or it is no regular one. */
bool weft_file_open(FileReader *reader, const char *path) WEFT_CHECKED;
/* Reads exactly `count` bytes from `offset`. False with an error if the file is too short (it may have been cut since
 * it was opened) or cannot be read. */
bool weft_file_read(const FileReader *reader, int64_t offset, void *bytes, int64_t count) WEFT_CHECKED;
void weft_file_close(FileReader *reader);
/* The whole file, to be freed with weft_free, and its size. NULL with an error if it cannot be read, or if it is
 * larger than `limit`: then no memory was taken. */
void *weft_file_read_all(const char *path, int64_t limit, int64_t *size);

#endif
