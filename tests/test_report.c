/* The report's pieces: counting, escaping, charts, images. tests/test_report.sh reads whole pages. */
#include "apps/report_chart.h"
#include "apps/report_page.h"
#include "apps/report_png.h"
#include "apps/report_text.h"
#include "apps/trainer_report.h"
#include "autograd/autograd.h"
#include "tensor/memory.h"
#include "tests/sessions.h"
#include "tests/test.h"

/* What was written last, and freed by the test. */
static char *text;
static size_t text_size;

static FILE *begin_text(void)
{
    free(text);
    text = NULL;
    return open_memstream(&text, &text_size);
}

static const char *end_text(FILE *file)
{
    fclose(file);
    return text;
}

/* ---- Evaluation ---- */

enum { CLASSES = 4 };

/* Class 2 is never predicted, class 3 has no images. */
static const int COUNTS[CLASSES][CLASSES] = {{5, 1, 0, 0}, {2, 6, 0, 0}, {1, 0, 0, 3}, {0, 0, 0, 0}};

TEST(report_scores_a_known_confusion)
{
    Evaluation e;
    CHECK(report_evaluation_start(&e, CLASSES));
    for (int label = 0; label < CLASSES; label++) {
        for (int predicted = 0; predicted < CLASSES; predicted++) {
            for (int i = 0; i < COUNTS[label][predicted]; i++)
                report_evaluation_add(&e, &(Mistake){.label = label, .predicted = predicted});
        }
    }
    CHECK_EQUAL(e.count, 18);
    CHECK_EQUAL(e.correct, 11);
    CHECK_EQUAL(e.confusion[1 * CLASSES + 0], 2);
    CHECK_EQUAL(e.confusion[0 * CLASSES + 1], 1);
    ClassScore zero = report_class_score(&e, 0), two = report_class_score(&e, 2), three = report_class_score(&e, 3);
    CHECK_EQUAL(zero.labelled, 6);
    CHECK_EQUAL(zero.predicted, 8);
    CHECK_CLOSE(zero.precision, 5.0 / 8, 1e-15);
    CHECK_CLOSE(zero.recall, 5.0 / 6, 1e-15);
    CHECK_CLOSE(zero.f1, 10.0 / 14, 1e-15);
    CHECK(isnan(two.precision));
    CHECK_CLOSE(two.recall, 0, 0);
    CHECK_CLOSE(two.f1, 0, 0);
    CHECK_CLOSE(three.precision, 0, 0);
    CHECK(isnan(three.recall));
    ClassScore mean = report_mean_score(&e);
    CHECK_EQUAL(mean.labelled, 18);
    CHECK_CLOSE(mean.precision, (5.0 / 8 + 6.0 / 7) / 4, 1e-15);
    CHECK_CLOSE(mean.recall, (5.0 / 6 + 6.0 / 8) / 4, 1e-15);
    CHECK_CLOSE(mean.f1, (10.0 / 14 + 12.0 / 15) / 4, 1e-15);
    /* Cells are coloured by the root of their share of the most mistakes of one kind, which are 3. */
    FILE *file = begin_text();
    report_confusion(file, &e);
    const char *cells = end_text(file);
    CHECK(strstr(cells, "--share:0.58\">1<") && strstr(cells, "--share:0.82\">2<") &&
          strstr(cells, "--share:1.00\">3<"));
    free(text);
    report_evaluation_free(&e);
}

/* The means are over the classes that occur, as when the others did not exist. */
TEST(report_mean_leaves_out_classes_that_do_not_occur)
{
    Evaluation e;
    CHECK(report_evaluation_start(&e, CLASSES));
    report_evaluation_add(&e, &(Mistake){.label = 1, .predicted = 1});
    report_evaluation_add(&e, &(Mistake){.label = 3, .predicted = 3});
    ClassScore mean = report_mean_score(&e);
    CHECK_CLOSE(mean.precision, 1, 0);
    CHECK_CLOSE(mean.f1, 1, 0);
    CHECK(isnan(report_class_score(&e, 0).f1));
    report_evaluation_free(&e);
}

TEST(report_keeps_the_surest_mistakes)
{
    enum { COUNT = 100, STRIDE = 37 };
    Evaluation e;
    CHECK(report_evaluation_start(&e, CLASSES));
    for (int i = 0; i < COUNT; i++) {
        double probability = (i * STRIDE % COUNT) / 2 / 100.0; /* each twice, in no order */
        report_evaluation_add(&e, &(Mistake){.index = i, .label = i % 2, .predicted = 2, .probability = probability});
        report_evaluation_add(&e, &(Mistake){.index = i, .label = 2, .predicted = 2, .probability = 1});
    }
    CHECK_EQUAL(e.mistake_count, EVALUATION_MISTAKES);
    CHECK_CLOSE(e.mistakes[0].probability, 0.49, 0);
    CHECK_CLOSE(e.mistakes[EVALUATION_MISTAKES - 1].probability, 0.38, 1e-15);
    for (int i = 1; i < EVALUATION_MISTAKES; i++) {
        const Mistake *a = &e.mistakes[i - 1], *b = &e.mistakes[i];
        CHECK(a->label != 2 && a->probability >= b->probability);
        CHECK(a->probability > b->probability || a->index < b->index);
    }
    report_evaluation_free(&e);
}

/* Passes on an image's pixels as the scores of the classes. */
static Tensor *pixels_are_scores(Module *self, Tensor *x)
{
    (void)self;
    return op_flatten(x);
}

typedef struct Bare {
    Module base;
} Bare;

TEST(report_evaluates_with_the_first_maximum_and_softmax)
{
    enum { IMAGES = 5 };
    static const uint8_t IMAGES_2X2[IMAGES][CLASSES] = {
        {0, 9, 0, 0}, {7, 0, 7, 0}, {0, 0, 0, 255}, {1, 2, 3, 2}, {8, 8, 8, 8}};
    static const uint8_t LABELS[IMAGES] = {1, 2, 3, 0, 0};
    Dataset *dataset = dataset_from(&IMAGES_2X2[0][0], LABELS, IMAGES, 1, 2, 2, CLASSES);
    Loader *loader = loader_new(dataset, 2, .deviation = 1.0 / 255);
    Bare *bare = nn_module(Bare, pixels_are_scores);
    Module *model = nn_ready(bare);
    Evaluation e;
    CHECK(report_evaluate(&e, model, loader));
    CHECK(model->training && autograd_is_recording());
    CHECK_EQUAL(e.classes, CLASSES);
    CHECK_EQUAL(e.count, IMAGES);
    CHECK_EQUAL(e.correct, 3);
    CHECK_EQUAL(e.confusion[2 * CLASSES + 0], 1);
    CHECK_EQUAL(e.confusion[0 * CLASSES + 2], 1);
    CHECK_EQUAL(e.mistake_count, 2);
    double sum = exp(-2) + 2 * exp(-1) + 1, tie = 2 + 2 * exp(-7);
    CHECK_EQUAL(e.mistakes[0].index, sum < tie ? 3 : 1);
    CHECK_CLOSE(e.mistakes[0].probability, 1 / sum, 1e-5);
    CHECK_CLOSE(e.mistakes[0].label_probability, exp(-2) / sum, 1e-5);
    CHECK_CLOSE(e.mistakes[1].probability, 1 / tie, 1e-5);
    CHECK_CLOSE(e.mistakes[1].label_probability, 1 / tie, 1e-5);
    report_evaluation_free(&e);
    loader_free(loader);
    /* Of the last images alone, a mistake still is an image of the data set. */
    loader = loader_new(dataset, 2, .first = 2, .deviation = 1.0 / 255);
    CHECK(report_evaluate(&e, model, loader));
    CHECK_EQUAL(e.count, IMAGES - 2);
    CHECK_EQUAL(e.mistake_count, 1);
    CHECK_EQUAL(e.mistakes[0].index, 3);
    report_evaluation_free(&e);
    nn_free(model);
    loader_free(loader);
    dataset_free(dataset);
}

/* ---- Samples ---- */

enum { SIDE = 12, SAMPLES = 20, GAP = 4, PITCH = SIDE + GAP, FIRST_OF_CLASS = 3, SEED = 9 };

/* A pixel of the sheet, as the data set has it: light on dark. */
static int sheet_pixel(const ReportSheet *sheet, int row, int column, int y, int x)
{
    return 255 - sheet->pixels[(row * PITCH + y) * sheet->columns * PITCH + column * PITCH + x];
}

/* Of each class that is among the images to train on, the first; then what a shuffled loader makes of it. */
TEST(report_samples_are_what_training_sees)
{
    static uint8_t images[SAMPLES][SIDE][SIDE], labels[SAMPLES];
    for (int n = 0; n < SAMPLES; n++) {
        labels[n] = (uint8_t)(n < FIRST_OF_CLASS ? 2 : n == SAMPLES - 1 ? 1 : 3);
        for (int i = 0; i < SIDE * SIDE; i++) images[n][i / SIDE][i % SIDE] = (uint8_t)(n * 57 + i * 31);
    }
    const TrainerApp app = {.augmentation = {.rotation = 20, .translation = 1}};
    TrainerSession session = {.app = &app, .train_count = SAMPLES - 1, .options.epochs = 5,
                              .options.augment = app.augmentation};
    session.train_set = dataset_from(&images[0][0][0], labels, SAMPLES, 1, SIDE, SIDE, CLASSES);
    Loader *loader = loader_new(session.train_set, 7, .shuffle = true, .seed = SEED, .count = SAMPLES - 1,
                                .augmentation = app.augmentation);
    TrainerRun run = {.seed = SEED, .train = loader};
    ReportSheet sheet;
    CHECK(report_sheet_make(&sheet, &session, &run));
    CHECK_EQUAL(sheet.columns, 2);
    CHECK_EQUAL(sheet.rows, 4);
    CHECK_EQUAL(sheet.labels[0], 2);
    CHECK_EQUAL(sheet.labels[1], 3);
    for (int i = 0; i < SIDE * SIDE; i++) {
        CHECK_EQUAL(sheet_pixel(&sheet, 0, 0, i / SIDE, i % SIDE), images[0][i / SIDE][i % SIDE]);
        CHECK_EQUAL(sheet_pixel(&sheet, 0, 1, i / SIDE, i % SIDE), images[FIRST_OF_CLASS][i / SIDE][i % SIDE]);
    }
    Batch batch;
    int found = 0;
    for (int row = 1; row < sheet.rows; row++) {
        while (loader_next(loader, &batch)) {
            for (int64_t n = 0; n < batch.count; n++) {
                if (batch.indices[n] != 0 && batch.indices[n] != FIRST_OF_CLASS) continue;
                found++;
                for (int i = 0; i < SIDE * SIDE; i++) {
                    double seen = 255 * tensor_get(batch.images, AT(n, 0, i / SIDE, i % SIDE));
                    int shown = sheet_pixel(&sheet, row, batch.indices[n] != 0, i / SIDE, i % SIDE);
                    CHECK(fabs(seen - shown) <= 0.51);
                }
            }
        }
    }
    CHECK_EQUAL(found, 6);
    weft_free(sheet.pixels);
    session.options.no_augment = true;
    CHECK(report_sheet_make(&sheet, &session, &run));
    CHECK_EQUAL(sheet.rows, 1);
    weft_free(sheet.pixels);
    loader_free(loader);
    dataset_free(session.train_set);
}

/* ---- The page ---- */

static Module *linear_net(double dropout)
{
    (void)dropout;
    return nn_sequential(nn_flatten(), nn_linear(SIDE * SIDE, CLASSES), nn_log_softmax(1));
}

/* A page of a training that took so long says so. */
static void check_duration(TrainerSession *session, TrainerRun *run, double seconds, const char *says)
{
    static TestBytes page; /* its beginning */
    run->metrics.epochs[0].train.seconds = seconds - 1;
    run->metrics.epochs[0].test.seconds = 1;
    CHECK(trainer_report_write(session, run, &run->metrics.epochs[0].test));
    page = test_read(test_path("page.html"));
    page.at[TEST_BYTES - 1] = '\0';
    const char *fact = strstr((const char *)page.at, "<dt>training time</dt><dd><time>");
    CHECK(fact);
    fact += strlen("<dt>training time</dt><dd><time>");
    if (strncmp(fact, says, strlen(says)) != 0) CHECK_TEXT(fact, says);
}

TEST(report_tells_how_long_a_training_took)
{
    static uint8_t images[SAMPLES][SIDE * SIDE], labels[SAMPLES];
    const TrainerApp app = {.name = "app", .model = linear_net, .epochs = 1, .batch_size = 7, .lr = 0.1};
    TrainerSession session = session_of(&app, dataset_from(images[0], labels, SAMPLES, 1, SIDE, SIDE, CLASSES),
                                        SAMPLES - 3, NULL, false);
    TrainerRun run;
    CHECK(session.report = trainer_report_open(test_path("page.html")));
    CHECK(trainer_run_open(&run, &session, 1) && trainer_run_train(&run, &session));
    CHECK(metrics_add(&session.past, &run.metrics.epochs[0]));
    check_duration(&session, &run, 42.125, "42.1 s</time>");
    check_duration(&session, &run, 303, "5 min 03 s</time>");
    check_duration(&session, &run, 2 * 3600 + 7 * 60 + 5, "2 h 07 min</time>");
    trainer_run_close(&run);
    trainer_report_free(session.report);
    session_free(&session);
}

/* Whether one of the files of a report is another file, both in this test's folder. */
static bool is_file_of(const char *report, const char *other)
{
    return trainer_report_is_file(test_path(report), test_path(other));
}

TEST(report_files_stand_beside_the_page)
{
    static const char *const pages[] = {"a", "a.html", ".html", "a.htm"};
    static const char *const names[] = {"a", "a", ".html", "a.htm"};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        char name[64];
        CHECK(is_file_of(pages[i], pages[i]) && !is_file_of(pages[i], "other"));
        snprintf(name, sizeof name, "%s-curves.svg", names[i]);
        CHECK(is_file_of(pages[i], name));
        snprintf(name, sizeof name, "%s-samples.svg", names[i]);
        CHECK(is_file_of(pages[i], name));
    }
    CHECK(!is_file_of("a.html", "a.html-curves.svg") && !is_file_of(".html", "-curves.svg"));
}

/* ---- Text ---- */

static const char *escaped(const char *raw)
{
    FILE *file = begin_text();
    report_escape(file, raw);
    return end_text(file);
}

TEST(report_escapes_markup_and_what_is_not_text)
{
    CHECK_TEXT(escaped("<a href=\"x\">&amp;'\n"), "&lt;a href=&quot;x&quot;&gt;&amp;amp;'\n");
    CHECK_TEXT(escaped("é 漢 🙂"), "é 漢 🙂");
    CHECK_TEXT(escaped("a\x01\x7F z"), "a\xEF\xBF\xBD\xEF\xBF\xBD z");
    CHECK_TEXT(escaped("\xC0\xAF\xFFz"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz");
    CHECK_TEXT(escaped("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK_TEXT(escaped("\xE6\xBC"), "\xEF\xBF\xBD\xEF\xBF\xBD");
    free(text);
}

TEST(report_quotes_a_command_for_the_shell)
{
    char *argv[] = {"build/x", "--data=a/b", "it's", "", "a b", "$(<y)", NULL};
    FILE *file = begin_text();
    report_command(file, 6, argv);
    CHECK_TEXT(end_text(file), "build/x --data=a/b 'it'\\''s' '' 'a b' '$(&lt;y)'");
    free(text);
}

/* Computed with Python's zlib and base64. */
TEST(report_writes_a_png)
{
    FILE *file = begin_text();
    report_png(file, (const uint8_t[]){0, 128, 255, 7}, 2, 2, 1);
    CHECK_TEXT(end_text(file), "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAAEUlEQVR4AQ"
                           "EGAPn/AACAAP8HBAsBhzNxtKwAAAAASUVORK5CYII=");
    file = begin_text();
    report_png(file, (const uint8_t[]){1, 2, 3, 4}, 1, 1, 4);
    CHECK_TEXT(end_text(file), "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAEElEQVR4AQ"
                           "EFAPr/AAECAwQAGQALubDj6wAAAABJRU5ErkJggg==");
    /* More than a stored block holds: bytes 33 to 38 are the 90,316 that IDAT has of them, and its first letters. Byte
     * 43 is the head of the first block, 65,535 bytes, byte 65,583 that of the second and last, 24,765. */
    static const uint8_t large[300 * 300];
    file = begin_text();
    report_png(file, large, 300, 300, 1);
    const char *letters = end_text(file) + strlen("data:image/png;base64,");
    CHECK_EQUAL(strncmp(letters + 33 / 3 * 4, "AAFgzElE", 8), 0);
    CHECK_EQUAL(strncmp(letters + 42 / 3 * 4, "AQD//wAA", 8), 0);
    CHECK_EQUAL(strncmp(letters + 65583 / 3 * 4, "Ab1gQp8A", 8), 0);
    free(text);
}

/* ---- Charts ---- */

static double number(const void *source, int64_t i)
{
    return ((const double *)source)[i];
}

static const char *chart_of(ChartKind kind, const double *values, int64_t count)
{
    ChartLine line = {.style = "test", .label = "test", .value = number, .source = values, .count = count, .first = 1,
                      .step = 1};
    Chart chart = {.kind = kind, .title = "Title", .lines = &line, .count = 1, .x_low = 0, .x_high = (double)count};
    FILE *file = begin_text();
    report_chart(file, &chart, 0);
    return end_text(file);
}

static int occurrences(const char *whole, const char *part)
{
    int count = 0;
    for (; (whole = strstr(whole, part)) != NULL; whole++) count++;
    return count;
}

/* The y of point i of the only line. */
static double y_of_point(const char *svg, int i)
{
    const char *at = strstr(svg, "class=\"line");
    for (at = strstr(at, "d=\"") + 3; i > 0; i--) at = strchr(at + 1, 'L');
    return strtod(strchr(at, ' '), NULL);
}

TEST(report_chart_of_accuracies_tells_tenths_of_a_percent_apart)
{
    const double accuracies[] = {0.913, 0.981, 0.987, 0.99, 0.992, 0.994, 0.995};
    const char *svg = chart_of(CHART_ACCURACY, accuracies, 7);
    CHECK(y_of_point(svg, 5) - y_of_point(svg, 6) >= 8);
    for (int i = 1; i < 7; i++) CHECK(y_of_point(svg, i) < y_of_point(svg, i - 1));
    CHECK(strstr(svg, ">99.5%<") && strstr(svg, ">99%<") && strstr(svg, ">98%<"));
    CHECK(strstr(svg, ">test 99.50%<"));
    free(text);
}

TEST(report_chart_shows_no_error_as_the_upper_end)
{
    const double accuracies[] = {0.5, 0.9, 0.99, 1};
    const char *svg = chart_of(CHART_ACCURACY, accuracies, 4);
    CHECK(strstr(svg, ">100%<") && strstr(svg, ">test 100.00%<"));
    CHECK(y_of_point(svg, 3) < y_of_point(svg, 2));
    free(text);
}

TEST(report_chart_leaves_gaps_where_values_are_not_finite)
{
    const double losses[] = {2, NAN, 1, 0.5, INFINITY, 0.25, NAN};
    const char *svg = chart_of(CHART_LOSS, losses, 7);
    CHECK(!strstr(svg, "nan") && !strstr(svg, "inf"));
    const char *line = strstr(svg, "class=\"line");
    CHECK_EQUAL(occurrences(strstr(line, "d=\""), "M"), 3);
    CHECK_EQUAL(occurrences(strstr(line, "d=\""), "L"), 1);
    CHECK(strstr(svg, ">test 0.2500<"));
    const double none[] = {NAN, NAN};
    svg = chart_of(CHART_LOSS, none, 2);
    CHECK(!strstr(svg, "nan") && !strstr(svg, "inf") && !strstr(svg, "circle"));
    free(text);
}

TEST(report_chart_of_what_never_changes)
{
    static const double SAME[][2] = {{0, 0}, {1, 1}, {-3, -3}, {0.1, 0.1}, {1e30, 1e30}, {1e-30, 1e-30}};
    for (size_t i = 0; i < sizeof SAME / sizeof *SAME; i++) {
        for (int kind = CHART_LOSS; kind <= CHART_RATE; kind++) {
            const char *svg = chart_of((ChartKind)kind, SAME[i], 2);
            CHECK(!strstr(svg, "nan") && !strstr(svg, "inf"));
            CHECK(occurrences(svg, "class=\"grid\"") >= 2);
        }
    }
    const double wrong[] = {0, 0};
    CHECK(!strstr(chart_of(CHART_ACCURACY, wrong, 2), ">-"));
    free(text);
}

TEST(report_chart_of_one_epoch_is_a_point)
{
    const double one[] = {0.125};
    const char *svg = chart_of(CHART_LOSS, one, 1);
    CHECK(strstr(svg, "<circle") && strstr(svg, ">test 0.1250<"));
    CHECK(!strstr(svg, "nan") && !strstr(svg, "inf"));
    free(text);
}

TEST(report_chart_thins_many_epochs_and_keeps_the_last)
{
    enum { EPOCHS = 1000 };
    static double losses[EPOCHS];
    for (int i = 0; i < EPOCHS; i++) losses[i] = 2.0 / (i + 1) + (i == EPOCHS - 1 ? 1 : 0);
    const char *svg = chart_of(CHART_LOSS, losses, EPOCHS);
    int points = 1 + occurrences(strstr(svg, "class=\"line"), "L");
    CHECK(points > 150 && points <= 200);
    CHECK(strstr(svg, ">test 1.0020<"));
    char end[64];
    CHECK(sscanf(strstr(svg, "<circle"), "<circle class=\"test\" cx=\"%*[0-9.]\" cy=\"%63[0-9.]", end) == 1);
    CHECK_CLOSE(y_of_point(svg, points - 1), strtod(end, NULL), 0);
    free(text);
}

TEST(report_chart_labels_a_rate_at_its_highest_point)
{
    const double rates[] = {0.01, 0.03, 0.05, 0.02, 0.001};
    const char *svg = chart_of(CHART_RATE, rates, 5);
    CHECK(strstr(svg, ">test 0.05<"));
    char top[64];
    CHECK(sscanf(strstr(svg, "<circle"), "<circle class=\"test\" cx=\"%*[0-9.]\" cy=\"%63[0-9.]", top) == 1);
    CHECK_CLOSE(y_of_point(svg, 2), strtod(top, NULL), 0);
    /* The scale begins at 0, whether there is such a rate or not. */
    const double high[] = {0.05, 0.06, 0};
    const double y = y_of_point(chart_of(CHART_RATE, high, 3), 0);
    CHECK_CLOSE(y_of_point(chart_of(CHART_RATE, high, 2), 0), y, 0);
    free(text);
}

TEST(report_chart_of_losses_is_on_a_log_scale)
{
    const double losses[] = {4, 2, 1, 0.5}, below_zero[] = {4, 2, 1, -1};
    const char *svg = chart_of(CHART_LOSS, losses, 4);
    for (int i = 1; i < 3; i++)
        CHECK_CLOSE(y_of_point(svg, i) - y_of_point(svg, i - 1), y_of_point(svg, i + 1) - y_of_point(svg, i), 0.02);
    svg = chart_of(CHART_LOSS, below_zero, 4);
    CHECK_CLOSE(y_of_point(svg, 1) - y_of_point(svg, 0), y_of_point(svg, 3) - y_of_point(svg, 2), 0.02);
    free(text);
}

/* Where the label of a line stands. */
static double y_of_label(const char *svg, const char *class)
{
    const char *label = strstr(svg, class), *y = label ? strstr(label, " y=\"") : NULL;
    return y ? strtod(y + strlen(" y=\""), NULL) : (double)NAN;
}

/* Lines that end at one place, in the middle of the plot or at its edges, and lines that do not. */
TEST(report_chart_parts_labels_that_would_touch)
{
    static const double ENDS[][2] = {{2, 2}, {1, 1}, {3, 3}, {1, 3}};
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++) {
        const double first[] = {1, 3, ENDS[i][0]}, second[] = {3, 1, ENDS[i][1]};
        const ChartLine lines[] = {{"train", "train", number, first, 3, 1, 1},
                                   {"test", "test", number, second, 3, 1, 1}};
        const Chart chart = {.kind = CHART_LOSS, .title = "Title", .lines = lines, .count = 2, .x_high = 3};
        FILE *file = begin_text();
        report_chart(file, &chart, 0);
        const char *svg = end_text(file);
        CHECK(fabs(y_of_label(svg, "class=\"label train") - y_of_label(svg, "class=\"label test")) > 14.8);
    }
    free(text);
}
