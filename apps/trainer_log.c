/* The csv log of a training. */
#include "apps/trainer_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/file.h"

#define COLUMNS "epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,train_seconds,test_seconds\n"

static bool fail(const TrainerLog *log, const char *doing)
{
    return weft_fail("--log %s: cannot %s: %s", log->path, doing, strerror(errno));
}

/* Writes all of the row, or none of it. */
static bool write_row(TrainerLog *log, const char *row)
{
    size_t length = strlen(row);
    ssize_t written = write(log->descriptor, row, length);
    if (written == (ssize_t)length) {
        log->size += written;
        return true;
    }
    if (written >= 0) errno = ENOSPC;
    if (written > 0 && ftruncate(log->descriptor, log->size) != 0) return fail(log, "cut off half a row");
    return fail(log, "write");
}

static bool write_header(TrainerLog *log)
{
    log->headed = write_row(log, log->seeds ? "seed," COLUMNS : COLUMNS);
    return log->headed;
}

static bool open_file(TrainerLog *log, struct stat *status)
{
    log->descriptor = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return (log->descriptor >= 0 && fstat(log->descriptor, status) == 0) || fail(log, "write");
}

bool trainer_log_open(TrainerLog *log, const char *path, bool seeds)
{
    *log = (TrainerLog){.path = path, .descriptor = -1, .seeds = seeds};
    struct stat status;
    return path == NULL || (open_file(log, &status) && (status.st_size > 0 || write_header(log)));
}

bool trainer_log_put(const TrainerLog *log, Text *rows, uint64_t seed, const EpochMetrics *epoch)
{
    return (!log->seeds || weft_text_put(rows, "%" PRIu64 ",", seed)) &&
           weft_text_put(rows, "%" PRId64 ",%.9g,%.9g,%.9g,%.9g,%.9g,%.6f,%.6f\n", epoch->epoch, epoch->lr,
                         epoch->train.loss, epoch->train.accuracy, epoch->test.loss, epoch->test.accuracy,
                         epoch->train.seconds, epoch->test.seconds);
}

bool trainer_log_row(TrainerLog *log, uint64_t seed, const EpochMetrics *epoch)
{
    if (log->path == NULL) return true;
    if (!log->headed && ftruncate(log->descriptor, 0) != 0) return fail(log, "empty");
    if (!log->headed && !write_header(log)) return false;
    Text row = {0};
    bool ok = trainer_log_put(log, &row, seed, epoch) && write_row(log, row.bytes);
    weft_text_free(&row);
    return ok;
}

bool trainer_log_replace(TrainerLog *log, const char *rows)
{
    struct stat status;
    if (log->path == NULL) return true;
    if (fstat(log->descriptor, &status) != 0) return fail(log, "write");
    if (!S_ISREG(status.st_mode)) return (log->headed || write_header(log)) && write_row(log, rows);
    FileWriter *writer = weft_file_create(log->path);
    if (writer == NULL) return false;
    fputs(log->seeds ? "seed," COLUMNS : COLUMNS, writer->stream);
    fputs(rows, writer->stream);
    if (!weft_file_commit(writer) || !trainer_log_close(log) || !open_file(log, &status)) return false;
    log->size = (int64_t)status.st_size;
    log->headed = true;
    return true;
}

bool trainer_log_close(TrainerLog *log)
{
    if (log->path == NULL || log->descriptor < 0) return true;
    int descriptor = log->descriptor;
    log->descriptor = -1;
    return close(descriptor) == 0 || fail(log, "close");
}
