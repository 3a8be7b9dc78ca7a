#include "apps/trainer_predict.h"

#include <math.h>
#include <string.h>

#include "tensor/text.h"

/* On a terminal two rows of pixels are a line of text, and the classes stand beside their middle. */
enum { PICTURE_LINES = MNIST_SIDE / 2, FIRST_CLASS_LINE = (PICTURE_LINES - MNIST_CLASSES) / 2 };
/* Columns: "  PICTURE   3 BAR  99.9%", without the picture where the bar would be shorter than MIN_BAR. */
enum { MARGIN = 2, GAP = 3, CLASS_COLUMNS = 2, PERCENT_COLUMNS = 8, MIN_BAR = 4, MAX_BAR = 40 };

typedef struct Prediction {
    uint8_t pixels[MNIST_SIDE * MNIST_SIDE];
    double probabilities[MNIST_CLASSES];
    int best;
} Prediction;

/* ---- Computing ---- */

static bool read_probabilities(Prediction *prediction, Tensor *output)
{
    Real values[MNIST_CLASSES];
    Tensor *rows = output && tensor_count(output) == MNIST_CLASSES ? op_reshape(output, SHAPE(1, MNIST_CLASSES)) : NULL;
    if (output && !rows) return weft_fail("the network has %lld results, not %d", (long long)tensor_count(output),
                                          MNIST_CLASSES);
    /* Log-probabilities stay what they are, and scores become that. */
    Tensor *logs = op_log_softmax(rows, 1);
    Tensor *best = op_argmax(logs, 1);
    if (!best || !tensor_read(logs, values, MNIST_CLASSES)) return false;
    prediction->best = (int)tensor_item(best);
    for (int i = 0; i < MNIST_CLASSES; i++) {
        prediction->probabilities[i] = exp((double)values[i]);
        if (!isfinite(prediction->probabilities[i]))
            return weft_fail("the network's probability of a %d is %f", i, prediction->probabilities[i]);
    }
    return true;
}

/* The prepared pixels go the way of all data, so that they are normalised as the training images were. */
static bool classify(Prediction *prediction, Module *model)
{
    const uint8_t label = 0;
    Dataset *dataset = dataset_from(prediction->pixels, &label, 1, 1, MNIST_SIDE, MNIST_SIDE, MNIST_CLASSES);
    Loader *loader = dataset ? loader_new(dataset, 1, .mean = MNIST_MEAN, .deviation = MNIST_DEVIATION) : NULL;
    Scope scope = scope_open();
    Batch batch;
    bool ok = loader && loader_next(loader, &batch) &&
              read_probabilities(prediction, nn_forward(model, batch.images));
    scope_close(scope);
    loader_free(loader);
    dataset_free(dataset);
    return ok;
}

/* ---- Printing ---- */

/* Columns of one row of characters for two rows of pixels. */
static void print_pixels(const uint8_t *upper, bool utf8)
{
    static const char *const BLOCKS[] = {" ", "▄", "▀", "█"};
    static const char SHADES[] = " .:-=+*#%@";
    enum { HALF = (DATA_MAX_BYTE + 1) / 2, SHADE_COUNT = sizeof SHADES - 1 };
    const uint8_t *lower = upper + MNIST_SIDE;
    for (int x = 0; x < MNIST_SIDE; x++) {
        if (utf8) fputs(BLOCKS[(upper[x] >= HALF) * 2 + (lower[x] >= HALF)], stdout);
        else putchar(SHADES[(upper[x] + lower[x]) * SHADE_COUNT / (2 * (DATA_MAX_BYTE + 1))]);
    }
}

static void print_class(const Prediction *prediction, int class, int bar, const TrainerDisplay *display)
{
    const double probability = prediction->probabilities[class];
    const bool best = class == prediction->best && display->colour;
    printf("%s%d ", best ? "\033[36m" : "", class);
    for (int i = 0; i < (int)rint(probability * bar); i++) fputs(display->utf8 ? "━" : "#", stdout);
    printf(" %.2f%%%s", 100 * probability, best ? "\033[0m" : "");
}

static void print_drawing(const Prediction *prediction, const TrainerDisplay *display)
{
    const int room = trainer_display_columns() - 1 - MARGIN - CLASS_COLUMNS - PERCENT_COLUMNS;
    const bool picture = room - MNIST_SIDE - GAP >= MIN_BAR;
    const int left = picture ? room - MNIST_SIDE - GAP : room, bar = left < 0 ? 0 : left > MAX_BAR ? MAX_BAR : left;
    for (int line = 0; line < PICTURE_LINES; line++) {
        const int class = line - FIRST_CLASS_LINE;
        const bool has_class = class >= 0 && class < MNIST_CLASSES;
        if (!picture && !has_class) continue;
        printf("%*s", MARGIN, "");
        if (picture) print_pixels(prediction->pixels + 2 * line * MNIST_SIDE, display->utf8);
        if (picture) printf("%*s", GAP, "");
        if (has_class) print_class(prediction, class, bar, display);
        putchar('\n');
    }
}

static void print_prediction(const char *path, const Prediction *prediction, const TrainerDisplay *display)
{
    if (display->terminal) {
        weft_text_print(stdout, path);
        printf(": %d, %.2f%%\n", prediction->best, 100 * prediction->probabilities[prediction->best]);
        if (!display->quiet) print_drawing(prediction, display);
        return;
    }
    printf("%d\t", prediction->best);
    for (int i = 0; i < MNIST_CLASSES; i++) printf("%.6f\t", prediction->probabilities[i]);
    weft_text_print(stdout, path);
    putchar('\n');
}

/* ---- All pictures ---- */

/* Says what failed, of which picture: reading it names the file, what comes later does not. */
static void report(const TrainerSession *session, const char *path, bool was_read)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", session->app->name);
    if (was_read) weft_text_print(stderr, path);
    fprintf(stderr, "%s%s\n", was_read ? ": " : "", weft_error());
    weft_error_clear();
}

static bool predict(const TrainerSession *session, Module *model, const char *path)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    Prediction prediction;
    Pgm *picture = pgm_read(path);
    const bool ok = picture && pgm_prepare(picture, prediction.pixels) && classify(&prediction, model);
    if (ok) print_prediction(name, &prediction, &session->display);
    else report(session, name, picture != NULL);
    pgm_free(picture);
    return ok;
}

bool trainer_predict(TrainerSession *session)
{
    const TextList *paths = &session->options.predict;
    Module *model = trainer_model(session, (uint64_t)session->options.seed);
    if (!model) return false;
    nn_eval(model);
    const bool recording = autograd_record(false);
    for (int64_t i = 0; i < paths->count; i++) {
        if (!predict(session, model, paths->items[i])) session->reported = true;
    }
    autograd_record(recording);
    nn_free(model);
    return !session->reported;
}
