/* The progress bar and the lines of a training. */
#include "apps/trainer_progress.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apps/trainer_clock.h"
#include "nn/commas.h"

/* A bar needs MIN_BAR columns, and is left out of a narrower line. LINE holds MAX_COLUMNS of three bytes. */
enum { DEFAULT_COLUMNS = 80, MIN_COLUMNS = 20, MAX_COLUMNS = 240, MIN_BAR = 6, LINE = 1024, PART = 128 };
static const double REDRAW_SECONDS = 0.1;

/* ---- The terminal ---- */

/* Asks for the codeset of the user's locale without setting it: numbers are printed as in C everywhere. */
static bool locale_is_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (locale == (locale_t)0) return false;
    bool utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return utf8;
}

static int terminal_columns(void)
{
    struct winsize size;
    int columns = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
    const char *variable = getenv("COLUMNS");
    if (columns == 0 && variable != NULL) columns = atoi(variable);
    if (columns <= 0) columns = DEFAULT_COLUMNS;
    return columns < MIN_COLUMNS ? MIN_COLUMNS : columns > MAX_COLUMNS ? MAX_COLUMNS : columns;
}

void trainer_display_start(TrainerDisplay *display)
{
    const char *kind = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    display->terminal = isatty(STDOUT_FILENO) && kind != NULL && strcmp(kind, "dumb") != 0;
    display->utf8 = locale_is_utf8();
    display->colour = no_colour == NULL || *no_colour == '\0';
}

/* ---- Pieces of text ---- */

static char *time_text(double seconds, char text[PART])
{
    long long s = (long long)(seconds + 0.5), minutes = s / 60, hours = minutes / 60;
    if (hours > 0) {
        snprintf(text, PART, "%lld:%02lld:%02lld", hours, minutes % 60, s % 60);
    } else {
        snprintf(text, PART, "%lld:%02lld", minutes, s % 60);
    }
    return text;
}

/* Seconds to the end of this epoch and of the whole program. A first epoch knows nothing of its test yet. */
static void time_left(const TrainerDisplay *display, double seconds, double done, double *epoch, double *all)
{
    double pass = seconds / done, left = pass - seconds;
    double train = display->testing ? display->train_seconds : pass;
    double test = display->testing ? pass : display->test_seconds;
    int64_t epochs_left = display->epochs - display->epoch + (display->runs - display->run) * display->epochs;
    *epoch = display->testing ? left : left + test;
    *all = *epoch + (double)epochs_left * (train + test);
}

/* ---- The bar ---- */

static void append(char line[LINE], const char *text)
{
    size_t used = strlen(line);
    snprintf(line + used, LINE - used, "%s", text);
}

static void append_bar(const TrainerDisplay *display, char line[LINE], double done, int columns)
{
    int filled = (int)(done * columns);
    if (display->colour) append(line, "\033[36m");
    for (int i = 0; i < columns; i++) {
        if (i == filled && display->colour) append(line, "\033[2m");
        append(line, i < filled ? (display->utf8 ? "━" : "#") : (display->utf8 ? "─" : "."));
    }
    if (display->colour) append(line, "\033[0m");
}

static void show(const char *text)
{
    fflush(stdout);
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written <= 0) return;
        text += written;
        length -= (size_t)written;
    }
}

static void draw(const TrainerDisplay *display, const PassMetrics *so_far, double done)
{
    double epoch_left, all_left;
    time_left(display, so_far->seconds, done, &epoch_left, &all_left);
    char run[PART] = "", left[2 * PART], right[3 * PART], whole[5 * PART];
    char rate[COMMAS_TEXT], epoch_time[PART], all_time[PART];
    if (display->runs > 1) {
        snprintf(run, sizeof run, "run %lld/%lld ", (long long)display->run, (long long)display->runs);
    }
    snprintf(left, sizeof left, "%sepoch %lld/%lld%s ", run, (long long)display->epoch, (long long)display->epochs,
             display->testing ? " test" : "");
    snprintf(right, sizeof right, "  loss %.4f  %.2f%%  %s images/s  left %s, run %s", so_far->loss,
             100 * so_far->accuracy, commas((int64_t)((double)so_far->samples / so_far->seconds), rate),
             time_text(epoch_left, epoch_time), time_text(all_left, all_time));
    int columns = terminal_columns() - 1, bar = columns - (int)strlen(left) - (int)strlen(right);
    char line[LINE] = "\r";
    if (bar >= MIN_BAR) {
        append(line, left);
        append_bar(display, line, done, bar);
        append(line, right);
    } else {
        snprintf(whole, sizeof whole, "%s%s", left, right + 1);
        snprintf(line, sizeof line, "\r%.*s", columns, whole);
    }
    append(line, "\033[K");
    show(line);
}

void trainer_display_step(TrainerDisplay *display, const PassMetrics *so_far, int64_t step, int64_t steps)
{
    if (step == steps) *(display->testing ? &display->test_seconds : &display->train_seconds) = so_far->seconds;
    double now = trainer_clock();
    if (display->quiet || !display->terminal || now - display->drawn < REDRAW_SECONDS) return;
    draw(display, so_far, (double)step / (double)steps);
    display->drawn = now;
}

void trainer_display_clear(TrainerDisplay *display)
{
    if (display->drawn > 0) show("\r\033[K");
    display->drawn = 0;
}

/* ---- Lines ---- */

void trainer_display_epoch(TrainerDisplay *display, const EpochMetrics *epoch)
{
    trainer_display_clear(display);
    if (display->quiet || display->runs > 1) return;
    if (!display->headed) {
        printf("  epoch  train loss  accuracy  %10s  accuracy          lr   seconds\n",
               display->held_out ? "valid loss" : "test loss");
    }
    display->headed = true;
    char place[COMMAS_TEXT];
    snprintf(place, sizeof place, "%lld/%lld", (long long)epoch->epoch, (long long)display->epochs);
    printf("%7s  %10.4f  %7.2f%%  %10.4f  %7.2f%%  %10.4g  %8.2f\n", place, epoch->train.loss,
           100 * epoch->train.accuracy, epoch->test.loss, 100 * epoch->test.accuracy, epoch->lr,
           epoch->train.seconds + epoch->test.seconds);
    fflush(stdout);
}
