/* Line charts in svg. Internal.
 *
 * A chart draws in the classes of report_style_svg: lines are coloured by theirs. Its x axis is epochs. */
#ifndef WEFT_REPORT_CHART_H
#define WEFT_REPORT_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CHART_WIDTH = 360, CHART_HEIGHT = 250 };

/* How values are drawn and written. */
typedef enum ChartKind {
    CHART_LOSS,     /* log scale, unless a value is below 0 or all are alike */
    CHART_ACCURACY, /* fractions, on a log scale of the errors 1 - accuracy: 99.4 and 99.5% lie as far apart as 94 and
                     * 95%; no error at all is drawn as the upper end */
    CHART_RATE      /* from 0, linear; a line's label stands at its highest point */
} ChartKind;

/* Value number i. */
typedef double ChartValue(const void *source, int64_t i);

typedef struct ChartLine {
    const char *style;  /* class: "train", "test" */
    const char *label;  /* before the last value, which is written beside it; NULL: no label, a faint line */
    ChartValue *value;  /* what is not finite leaves a gap */
    const void *source;
    int64_t count;
    double first, step; /* x of value 0, and from one to the next */
} ChartLine;

typedef struct Chart {
    ChartKind kind;
    const char *title;
    const ChartLine *lines;
    int count;
    double x_low, x_high; /* in epochs */
} Chart;

/* Writes an svg element of CHART_WIDTH x CHART_HEIGHT whose left edge is at x of the svg around it, if there is one. */
void report_chart(FILE *file, const Chart *chart, int x);

#endif
