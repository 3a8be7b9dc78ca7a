/* The curves of a training. */
#include "apps/report_chart.h"
#include "apps/report_page.h"
#include "apps/report_style.h"

/* Of many runs so many get a line of their own. */
enum { FAINT_RUNS = 20, MAX_LINES = 2 * FAINT_RUNS + 2, RATE_POINTS = 200 };
enum { PANELS = 3, PANEL_SPACE = 28, MARGIN = 20 };

/* ---- What is drawn: values of an epoch, of one run or as the mean over all ---- */

typedef double EpochValue(const EpochMetrics *epoch);

static double train_loss(const EpochMetrics *epoch) { return epoch->train.loss; }
static double test_loss(const EpochMetrics *epoch) { return epoch->test.loss; }
static double train_accuracy(const EpochMetrics *epoch) { return epoch->train.accuracy; }
static double test_accuracy(const EpochMetrics *epoch) { return epoch->test.accuracy; }

/* A line's source: the mean over `count` runs of a value. */
typedef struct Series {
    const ReportPage *page;
    int64_t first, count; /* runs */
    EpochValue *value;
} Series;

static double series_value(const void *source, int64_t i)
{
    const Series *series = source;
    double sum = 0;
    for (int64_t run = series->first; run < series->first + series->count; run++)
        sum += series->value(&report_epochs(series->page, run)[i]);
    return sum / (double)series->count;
}

/* The rate's source: the schedule itself, which says more than its value at the end of each epoch. */
typedef struct Rate {
    const Schedule *schedule;
    int64_t stride; /* steps from one value to the next */
} Rate;

static double rate_value(const void *source, int64_t i)
{
    const Rate *rate = source;
    return schedule_lr(rate->schedule, i * rate->stride);
}

/* ---- Charts ---- */

/* Lines of one value, or its two: `pair` is of training and of testing. */
static void draw_pair(FILE *file, const ReportPage *page, Chart chart, EpochValue *const pair[2], int x)
{
    const char *const styles[] = {"train", "test"}, *const labels[] = {"train", page->test_name};
    Series series[MAX_LINES];
    ChartLine lines[MAX_LINES];
    for (int64_t run = page->runs > 1 ? 0 : 1; run < page->runs && run < FAINT_RUNS; run++) {
        for (int k = 0; k < 2; k++) {
            series[chart.count] = (Series){page, run, 1, pair[k]};
            lines[chart.count++] = (ChartLine){.style = styles[k]};
        }
    }
    for (int k = 0; k < 2; k++) {
        series[chart.count] = (Series){page, 0, page->runs, pair[k]};
        lines[chart.count++] = (ChartLine){.style = styles[k], .label = labels[k]};
    }
    for (int i = 0; i < chart.count; i++) {
        lines[i].value = series_value;
        lines[i].source = &series[i];
        lines[i].count = page->session->options.epochs;
        lines[i].first = lines[i].step = 1;
    }
    chart.lines = lines;
    report_chart(file, &chart, x);
}

static void draw_rate(FILE *file, const ReportPage *page, Chart chart, int x)
{
    int64_t epoch_steps = loader_batches(page->run->train), steps = page->session->options.epochs * epoch_steps;
    Rate rate = {&page->run->schedule, (steps + RATE_POINTS - 1) / RATE_POINTS};
    ChartLine line = {.style = "rate", .label = "", .value = rate_value, .source = &rate,
                      .count = (steps - 1) / rate.stride + 1, .step = (double)rate.stride / (double)epoch_steps};
    chart.lines = &line;
    chart.count = 1;
    report_chart(file, &chart, x);
}

static void draw_panel(FILE *file, const ReportPage *page, ChartKind kind, int x)
{
    static EpochValue *const LOSSES[] = {train_loss, test_loss}, *const ACCURACIES[] = {train_accuracy, test_accuracy};
    Chart chart = {.kind = kind,
                   .title = kind == CHART_LOSS ? "Loss" : kind == CHART_ACCURACY ? "Accuracy" : "Learning rate",
                   .x_high = (double)page->session->options.epochs};
    if (kind == CHART_RATE) draw_rate(file, page, chart, x);
    else draw_pair(file, page, chart, kind == CHART_LOSS ? LOSSES : ACCURACIES, x);
}

static void draw_panels(FILE *file, const ReportPage *page, int x, int pitch)
{
    static const ChartKind ORDER[PANELS] = {CHART_ACCURACY, CHART_LOSS, CHART_RATE};
    for (int i = 0; i < PANELS; i++) draw_panel(file, page, ORDER[i], x + i * pitch);
}

void report_curves(FILE *file, const ReportPage *page)
{
    fprintf(file, "<div class=\"charts\">\n");
    draw_panels(file, page, 0, 0);
    fprintf(file, "</div>\n");
}

void report_curves_svg(FILE *file, const ReportPage *page)
{
    int width = PANELS * CHART_WIDTH + (PANELS - 1) * PANEL_SPACE + 2 * MARGIN, height = CHART_HEIGHT + 2 * MARGIN;
    report_svg_begin(file, width, height);
    fprintf(file, "<svg y=\"%d\">\n", MARGIN);
    draw_panels(file, page, MARGIN, CHART_WIDTH + PANEL_SPACE);
    fprintf(file, "</svg>\n</svg>\n");
}
