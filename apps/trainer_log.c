/* The csv log of a training. */
#include "apps/trainer_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW = 256 };

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

bool trainer_log_open(TrainerLog *log, const char *path, bool seeds)
{
    *log = (TrainerLog){.path = path, .descriptor = -1, .seeds = seeds};
    if (path == NULL) return true;
    log->descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    struct stat status;
    if (log->descriptor < 0 || fstat(log->descriptor, &status) != 0) return fail(log, "open");
    return status.st_size > 0 || write_header(log);
}

bool trainer_log_row(TrainerLog *log, uint64_t seed, const EpochMetrics *epoch)
{
    if (log->path == NULL) return true;
    if (!log->headed && ftruncate(log->descriptor, 0) != 0) return fail(log, "empty");
    if (!log->headed && !write_header(log)) return false;
    char row[ROW], first[32] = "";
    if (log->seeds) snprintf(first, sizeof first, "%" PRIu64 ",", seed);
    snprintf(row, sizeof row, "%s%" PRId64 ",%.9g,%.9g,%.9g,%.9g,%.9g,%.6f,%.6f\n", first, epoch->epoch, epoch->lr,
             epoch->train.loss, epoch->train.accuracy, epoch->test.loss, epoch->test.accuracy, epoch->train.seconds,
             epoch->test.seconds);
    return write_row(log, row);
}

bool trainer_log_close(TrainerLog *log)
{
    if (log->path == NULL || log->descriptor < 0) return true;
    int descriptor = log->descriptor;
    log->descriptor = -1;
    return close(descriptor) == 0 || fail(log, "close");
}
