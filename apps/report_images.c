/* Pictures: samples, mistakes, filters. */
#include <math.h>

#include "apps/report_page.h"
#include "apps/report_png.h"
#include "apps/report_style.h"
#include "apps/report_text.h"
#include "data/dataset.h"
#include "tensor/memory.h"

/* The sheet of samples in its svg: units a pixel is wide, the gap between images in pixels, room for texts in units. */
enum { GAP = 4, GUTTER = 78, HEAD = 24, TEXT_SPACE = 10, TEXT_DROP = 4, SHEET_MARGIN = 20, AUGMENTED_ROWS = 3 };
static const double PIXEL = 1.3;
/* The greatest size of the sheet on a page, in hundredths of its own. */
enum { SHEET_PERCENT = 120, WHITE = 255, MAX_FILTERS = 64 };

/* ---- Samples ---- */

/* Puts an image of values from 0 to 1 into its place, dark on light. */
static void put_image(ReportSheet *sheet, int row, int column, const Real *values)
{
    int64_t pitch = sheet->columns * (sheet->width + GAP);
    uint8_t *corner = sheet->pixels + row * (sheet->height + GAP) * pitch + column * (sheet->width + GAP);
    for (int64_t y = 0; y < sheet->height; y++) {
        for (int64_t x = 0; x < sheet->width; x++)
            corner[y * pitch + x] = (uint8_t)(WHITE - rint((double)values[y * sheet->width + x] * WHITE));
    }
}

/* Goes through the epochs of a loader that has one image, and puts what comes into the rows from `first` on. */
static bool put_epochs(ReportSheet *sheet, Loader *loader, int column, int first, int end)
{
    Batch batch;
    Real *values = weft_alloc(sheet->height * sheet->width, sizeof *values);
    bool ok = values != NULL && loader != NULL;
    for (int row = first; ok && row < end; row++) {
        loader_set_epoch(loader, row - first);
        ok = loader_next(loader, &batch) && tensor_read(batch.images, values, sheet->height * sheet->width);
        if (ok) put_image(sheet, row, column, values);
    }
    weft_free(values);
    loader_free(loader);
    return ok;
}

/* What the sheet is made of. */
typedef struct Source {
    Dataset *dataset;
    int64_t first, count;
    Augmentation augmentation;
    uint64_t seed;
} Source;

/* A loader of one image gives what training saw: numbers of augmentation belong to the image, epoch and seed. */
static bool put_column(ReportSheet *sheet, const Source *source, int column, int64_t index)
{
    sheet->labels[column] = dataset_label(source->dataset, index);
    return put_epochs(sheet, loader_new(source->dataset, 1, .first = index, .count = 1), column, 0, 1) &&
           put_epochs(sheet, loader_new(source->dataset, 1, .first = index, .count = 1, .seed = source->seed,
                                        .augmentation = source->augmentation), column, 1, sheet->rows);
}

/* The first image of a class; -1 if there is none. */
static int64_t find_label(const Source *source, int label)
{
    for (int64_t i = source->first; i < source->first + source->count; i++) {
        if (dataset_label(source->dataset, i) == label) return i;
    }
    return -1;
}

/* What of the augmented epochs is shown: no more than there were. */
static int augmented_rows(const Augmentation *augmentation, int64_t epochs)
{
    if (!augment_is_on(augmentation)) return 0;
    return epochs < AUGMENTED_ROWS ? (int)epochs : AUGMENTED_ROWS;
}

bool report_sheet_make(ReportSheet *sheet, const TrainerSession *session, const TrainerRun *run)
{
    bool training = run->train != NULL;
    Source source = {.dataset = training ? session->train_set : session->test_set,
                     .first = training ? 0 : session->test_first,
                     .count = training ? session->train_count : session->test_count,
                     .seed = run->seed};
    if (training) source.augmentation = trainer_options_augmentation(&session->options);
    Shape shape = dataset_image_shape(source.dataset);
    *sheet = (ReportSheet){.height = shape.size[1], .width = shape.size[2],
                           .rows = 1 + augmented_rows(&source.augmentation, session->options.epochs)};
    int64_t found[SHEET_CLASSES] = {0};
    for (int label = 0; label < dataset_classes(source.dataset) && sheet->columns < SHEET_CLASSES; label++) {
        found[sheet->columns] = find_label(&source, label);
        if (found[sheet->columns] >= 0) sheet->columns++;
    }
    int64_t count = sheet->columns * (sheet->width + GAP) * sheet->rows * (sheet->height + GAP);
    sheet->pixels = weft_alloc(count, 1);
    if (sheet->pixels == NULL) return false;
    for (int64_t i = 0; i < count; i++) sheet->pixels[i] = WHITE;
    for (int column = 0; column < sheet->columns; column++) {
        if (!put_column(sheet, &source, column, found[column])) return false;
    }
    return true;
}

static int sheet_width(const ReportSheet *sheet)
{
    return (int)(GUTTER + (double)(sheet->columns * (sheet->width + GAP)) * PIXEL);
}

static int sheet_height(const ReportSheet *sheet)
{
    return (int)(HEAD + (double)(sheet->rows * (sheet->height + GAP)) * PIXEL);
}

static void draw_sheet(FILE *file, const ReportSheet *sheet)
{
    int64_t width = sheet->columns * (sheet->width + GAP), height = sheet->rows * (sheet->height + GAP);
    for (int i = 0; i < sheet->columns; i++) {
        fprintf(file, "<text class=\"title middle\" x=\"%.1f\" y=\"%d\">%d</text>\n",
                GUTTER + PIXEL * ((double)i * (double)(sheet->width + GAP) + (double)sheet->width / 2),
                HEAD - TEXT_SPACE, sheet->labels[i]);
    }
    for (int i = 0; i < sheet->rows; i++) {
        double y = HEAD + PIXEL * ((double)i * (double)(sheet->height + GAP) + (double)sheet->height / 2) + TEXT_DROP;
        fprintf(file, "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">", GUTTER - TEXT_SPACE, y);
        fprintf(file, i == 0 ? "as stored</text>\n" : "epoch %d</text>\n", i);
    }
    fprintf(file, "<image class=\"ink\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%.1f\" href=\"", GUTTER, HEAD,
            (double)width * PIXEL, (double)height * PIXEL);
    report_png(file, sheet->pixels, width, height, 1);
    fprintf(file, "\"/>\n");
}

void report_samples(FILE *file, const ReportPage *page)
{
    const ReportSheet *sheet = &page->sheet;
    fprintf(file, "<svg class=\"sheet\" style=\"max-width:%dpx\" viewBox=\"0 0 %d %d\" role=\"img\">"
                  "<title>Samples</title>\n",
            sheet_width(sheet) * SHEET_PERCENT / 100, sheet_width(sheet), sheet_height(sheet));
    draw_sheet(file, sheet);
    fprintf(file, "</svg>\n");
}

void report_samples_svg(FILE *file, const ReportPage *page)
{
    int width = sheet_width(&page->sheet) + 2 * SHEET_MARGIN, height = sheet_height(&page->sheet) + 2 * SHEET_MARGIN;
    report_svg_begin(file, width, height);
    fprintf(file, "<svg x=\"%d\" y=\"%d\">\n", SHEET_MARGIN, SHEET_MARGIN);
    draw_sheet(file, &page->sheet);
    fprintf(file, "</svg>\n</svg>\n");
}

/* ---- Mistakes ---- */

static void draw_mistake(FILE *file, const Dataset *dataset, const Mistake *mistake)
{
    Shape shape = dataset_image_shape(dataset);
    int64_t height = shape.size[1], width = shape.size[2];
    const uint8_t *image = dataset_image(dataset, mistake->index);
    uint8_t *pixels = image != NULL ? weft_alloc(height * width, 1) : NULL;
    if (pixels == NULL) return;
    for (int64_t i = 0; i < height * width; i++) pixels[i] = (uint8_t)(WHITE - image[i]);
    fprintf(file, "<figure class=\"mistake\">"
                  "<img class=\"ink\" alt=\"image %lld\" width=\"%lld\" height=\"%lld\" src=\"",
            (long long)mistake->index, (long long)width, (long long)height);
    report_png(file, pixels, width, height, 1);
    fprintf(file, "\"/><figcaption><b>%d</b> read as <b class=\"wrong\">%d</b><br/>"
                  "<small>%.1f%% sure<br/>%d: %.1f%%<br/>image %lld</small></figcaption></figure>\n",
            mistake->label, mistake->predicted, 100 * mistake->probability, mistake->label,
            100 * mistake->label_probability, (long long)mistake->index);
    weft_free(pixels);
}

void report_mistakes(FILE *file, const ReportPage *page)
{
    fprintf(file, "<div class=\"mistakes\">\n");
    for (int i = 0; i < page->evaluation.mistake_count; i++)
        draw_mistake(file, page->session->test_set, &page->evaluation.mistakes[i]);
    fprintf(file, "</div>\n");
}

/* ---- Filters ---- */

/* What of the first parameter is an image: `count` of height x width. Count 0: it is none. */
typedef struct Filters {
    int64_t count, height, width;
} Filters;

static Filters find_filters(const ReportPage *page)
{
    Shape image = dataset_image_shape(page->session->test_set);
    if (page->parameters.count == 0) return (Filters){0};
    Shape shape = tensor_shape(page->parameters.items[0].tensor);
    if (shape.rank == 4) return (Filters){shape.size[0] * shape.size[1], shape.size[2], shape.size[3]};
    if (shape.rank == 2 && shape.size[1] == image.size[1] * image.size[2] && image.size[0] == 1)
        return (Filters){shape.size[0], image.size[1], image.size[2]};
    return (Filters){0};
}

/* Colours of weights above and below 0, which stand out on light and on dark; how far from 0 is their opacity. */
static const uint8_t ABOVE[] = {0, 114, 178}, BELOW[] = {213, 94, 0};

static void draw_filter(FILE *file, const Real *weights, const Filters *filters, double greatest, uint8_t *pixels)
{
    int64_t count = filters->height * filters->width;
    for (int64_t i = 0; i < count; i++) {
        double weight = (double)weights[i];
        for (int c = 0; c < 3; c++) pixels[4 * i + c] = weight < 0 ? BELOW[c] : ABOVE[c];
        pixels[4 * i + 3] = (uint8_t)rint(greatest > 0 ? WHITE * fabs(weight) / greatest : 0);
    }
    fprintf(file, "<img class=\"filter\" alt=\"\" width=\"%lld\" height=\"%lld\" src=\"", (long long)filters->width,
            (long long)filters->height);
    report_png(file, pixels, filters->width, filters->height, 4);
    fprintf(file, "\"/>\n");
}

void report_filters(FILE *file, const ReportPage *page)
{
    Filters filters = find_filters(page);
    if (filters.count == 0) return;
    const NamedTensor *named = &page->parameters.items[0];
    int64_t count = tensor_count(named->tensor), area = filters.height * filters.width;
    int64_t shown = filters.count < MAX_FILTERS ? filters.count : MAX_FILTERS;
    Real *weights = weft_alloc(count, sizeof *weights);
    uint8_t *pixels = weft_alloc(4 * area, 1);
    if (weights != NULL && pixels != NULL && tensor_read(named->tensor, weights, count)) {
        double greatest = 0;
        for (int64_t i = 0; i < shown * area; i++) greatest = fmax(greatest, fabs((double)weights[i]));
        fprintf(file, "<h2>First-layer filters</h2>\n<p class=\"note\">");
        report_escape(file, named->name);
        if (shown < filters.count)
            fprintf(file, ", the first %lld of %lld", (long long)shown, (long long)filters.count);
        fprintf(file, ": <b class=\"above\">above 0</b> and <b class=\"below\">below 0</b>, "
                      "at most %.3g either way.</p>\n<div class=\"filters\">\n", greatest);
        for (int64_t i = 0; i < shown; i++) draw_filter(file, weights + i * area, &filters, greatest, pixels);
        fprintf(file, "</div>\n");
    }
    weft_free(weights);
    weft_free(pixels);
}
