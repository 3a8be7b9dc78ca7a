/* The progress bar and the lines of a training. */
#include "apps/trainer_progress.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apps/trainer_clock.h"

/* A bar needs MIN_BAR columns, and is left out of a narrower line. LINE holds MAX_COLUMNS of three bytes. */
enum { DEFAULT_COLUMNS = 80, MAX_COLUMNS = 240, MIN_BAR = 6, GAP = 2, LINE = 1024, PART = 128 };
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

int trainer_display_columns(void)
{
    struct winsize size;
    int columns = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
    const char *variable = getenv("COLUMNS");
    if (columns == 0 && variable != NULL) columns = atoi(variable);
    if (columns <= 0) columns = DEFAULT_COLUMNS;
    return columns > MAX_COLUMNS ? MAX_COLUMNS : columns;
}

void trainer_display_start(TrainerDisplay *display)
{
    const char *kind = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    display->terminal = isatty(STDOUT_FILENO);
    display->redraws = display->terminal && kind != NULL && strcmp(kind, "dumb") != 0;
    display->utf8 = locale_is_utf8();
    display->colour = display->redraws && (no_colour == NULL || *no_colour == '\0');
}

/* ---- Pieces of text ---- */

/* "1:02:03", "2:03" */
static char *clock_text(double seconds, char text[PART])
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
    if (display->epoch == 0) { /* a test alone */
        *epoch = *all = left;
        return;
    }
    int64_t epochs_left = display->epochs - display->epoch + (display->runs - display->run) * display->epochs;
    *epoch = display->testing ? left : left + test;
    *all = *epoch + (double)epochs_left * (train + test);
}

/* ---- The bar ---- */

static void append(char *line, size_t size, const char *text)
{
    size_t used = strlen(line);
    snprintf(line + used, size - used, "%s", text);
}

static void append_bar(const TrainerDisplay *display, char line[LINE], double done, int columns)
{
    int filled = (int)(done * columns);
    if (display->colour) append(line, LINE, "\033[36m");
    for (int i = 0; i < columns; i++) {
        if (i == filled && display->colour) append(line, LINE, "\033[2m");
        append(line, LINE, i < filled ? (display->utf8 ? "━" : "#") : (display->utf8 ? "─" : "."));
    }
    if (display->colour) append(line, LINE, "\033[0m");
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

static void describe_place(const TrainerDisplay *display, char text[PART])
{
    char run[PART] = "";
    if (display->runs > 1) {
        snprintf(run, sizeof run, "run %lld/%lld ", (long long)display->run, (long long)display->runs);
    }
    if (display->epoch == 0) {
        snprintf(text, PART, "test ");
    } else {
        snprintf(text, PART, "%.32sepoch %lld/%lld%s ", run, (long long)display->epoch, (long long)display->epochs,
                 display->testing ? " test" : "");
    }
}

char *trainer_rate_text(const PassMetrics *pass, char text[COMMAS_TEXT])
{
    const double rate = (double)pass->samples / pass->seconds;
    return commas(pass->seconds > 0 && rate < (double)INT64_MAX ? (int64_t)rate : 0, text);
}

/* In the order of their worth: a narrow terminal shows the first of them. */
enum { LOSS, ACCURACY, TIME_LEFT, RATE, PIECES };

static void describe_pass(const TrainerDisplay *display, const PassMetrics *so_far, double done,
                          char pieces[PIECES][PART])
{
    double epoch_left, all_left;
    char epoch_time[PART], all_time[PART], rate[COMMAS_TEXT];
    time_left(display, so_far->seconds, done, &epoch_left, &all_left);
    snprintf(pieces[LOSS], PART, "loss %.4f", so_far->loss);
    snprintf(pieces[ACCURACY], PART, "  %.2f%%", 100 * so_far->accuracy);
    snprintf(pieces[TIME_LEFT], PART, "  left %.32s, run %.32s", clock_text(epoch_left, epoch_time),
             clock_text(all_left, all_time));
    snprintf(pieces[RATE], PART, "  %s images/s", trainer_rate_text(so_far, rate));
}

static void draw(const TrainerDisplay *display, const PassMetrics *so_far, double done)
{
    /* The last column stays free: a character there makes some terminals begin a new line. */
    const int columns = trainer_display_columns() - 1;
    char place[PART], pieces[PIECES][PART], right[PIECES * PART] = "", line[LINE] = "";
    describe_place(display, place);
    describe_pass(display, so_far, done, pieces);
    int used = (int)strlen(place);
    for (int i = 0; i < PIECES && used + (int)strlen(pieces[i]) <= columns; i++) {
        used += (int)strlen(pieces[i]);
        append(right, sizeof right, pieces[i]);
    }
    snprintf(line, sizeof line, "\r%.*s", columns, place);
    if (columns - used >= MIN_BAR + GAP) {
        append_bar(display, line, done, columns - used - GAP);
        append(line, sizeof line, "  ");
    }
    append(line, sizeof line, right);
    append(line, sizeof line, "\033[K");
    show(line);
}

void trainer_display_step(TrainerDisplay *display, const PassMetrics *so_far, int64_t step, int64_t steps)
{
    if (step == steps) *(display->testing ? &display->test_seconds : &display->train_seconds) = so_far->seconds;
    double now = trainer_clock();
    if (display->quiet || !display->redraws || now - display->drawn < REDRAW_SECONDS) return;
    draw(display, so_far, (double)step / (double)steps);
    display->drawn = now;
}

void trainer_display_clear(TrainerDisplay *display)
{
    if (display->drawn > 0) show("\r\033[K");
    display->drawn = 0;
}

/* ---- Lines ---- */

enum { EPOCH, TRAIN_LOSS, TRAIN_ACCURACY, TEST_LOSS, TEST_ACCURACY, LR, SECONDS, CELLS };
static const struct {
    const char *name;
    int width;
} HEADS[CELLS] = {
    [EPOCH] = {"epoch", 7},          [TRAIN_LOSS] = {"train loss", 12},   [TRAIN_ACCURACY] = {"accuracy", 10},
    [TEST_LOSS] = {"test loss", 15}, [TEST_ACCURACY] = {"accuracy", 10}, [LR] = {"lr", 11},
    [SECONDS] = {"seconds", 10},
};

/* Prints the cells that fit the terminal. */
static void print_cells(const TrainerDisplay *display, char cells[CELLS][PART])
{
    int left = display->terminal ? trainer_display_columns() : CELLS * PART;
    for (int i = 0; i < CELLS; i++) {
        int length = (int)strlen(cells[i]), width = length > HEADS[i].width ? length : HEADS[i].width;
        if ((left -= width) < 0) break;
        printf("%*s", width, cells[i]);
    }
    printf("\n");
}

void trainer_display_epoch(TrainerDisplay *display, const EpochMetrics *epoch)
{
    char cells[CELLS][PART];
    trainer_display_clear(display);
    if (display->quiet || display->runs > 1) return;
    if (!display->headed) {
        for (int i = 0; i < CELLS; i++) snprintf(cells[i], PART, "%s", HEADS[i].name);
        if (display->held_out) snprintf(cells[TEST_LOSS], PART, "held-out loss");
        print_cells(display, cells);
    }
    display->headed = true;
    snprintf(cells[EPOCH], PART, "%lld/%lld", (long long)epoch->epoch, (long long)display->epochs);
    snprintf(cells[TRAIN_LOSS], PART, "%.4f", epoch->train.loss);
    snprintf(cells[TRAIN_ACCURACY], PART, "%.2f%%", 100 * epoch->train.accuracy);
    snprintf(cells[TEST_LOSS], PART, "%.4f", epoch->test.loss);
    snprintf(cells[TEST_ACCURACY], PART, "%.2f%%", 100 * epoch->test.accuracy);
    snprintf(cells[LR], PART, "%.4g", epoch->lr);
    snprintf(cells[SECONDS], PART, "%.2f", epoch->train.seconds + epoch->test.seconds);
    print_cells(display, cells);
    fflush(stdout);
}
