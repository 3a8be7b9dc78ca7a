/* Line charts: scales with round ticks, lines, and labels where the lines end. */
#include "apps/report_chart.h"

#include <math.h>
#include <string.h>

enum { LEFT = 46, TOP = 42, BOTTOM = 38, RIGHT = 14, VALUE_LETTERS = 8 };
enum { TITLE_Y = 14, TICK_GAP = 19, TICK_TEXT_SPACE = 8, TICK_TEXT_DROP = 17, BASELINE = 4 };
enum { LABEL_GAP = 15, LABEL_SPACE = 8, EDGE = 30 };
enum { MAX_TICKS = 24, FEW_TICKS = 3, MAX_POINTS = 200, MAX_LABELS = 4, TEXT = 32, DECADES = 40 };
/* A range this wide is drawn on a log scale; in a narrower one that would look the same, and have fewer round ticks. */
static const double LOG_RANGE = 3;
static const double LETTER = 7.5; /* the width of one in a label */

typedef struct Scale {
    double low, high;
    bool logarithmic;
    bool floor_is_zero; /* of a log scale: what is drawn at `low` is 0 */
    double ticks[MAX_TICKS];
    int tick_count;
    double pixels;      /* its length */
} Scale;

typedef struct Plot {
    FILE *file;
    const Chart *chart;
    Scale x, y;
} Plot;

/* ---- Scales ---- */

/* 0 at the low end, 1 at the high one. */
static double part(const Scale *scale, double value)
{
    if (!scale->logarithmic) return (value - scale->low) / (scale->high - scale->low);
    return value <= scale->low ? 0 : log(value / scale->low) / log(scale->high / scale->low);
}

/* The next of 1, 2, 5, 10, 20, ... or 0.5, 0.2, ... that is not below the value. */
static double round_up(double value)
{
    static const double STEPS[] = {1, 2, 5, 10};
    double decade = pow(10, floor(log10(value)));
    for (int i = 0; i < 3; i++) {
        if (STEPS[i] * decade >= value) return STEPS[i] * decade;
    }
    return STEPS[3] * decade;
}

/* About `ticks` ticks, at multiples of a round step, at least `least`; the ends become ticks if they may move. */
static void make_linear(Scale *scale, int ticks, double least, bool move)
{
    double step = fmax(round_up((scale->high - scale->low) / ticks), least);
    const double nearly = 1e-9;
    double first = move ? floor(scale->low / step + nearly) : ceil(scale->low / step - nearly);
    double last = move ? ceil(scale->high / step - nearly) : floor(scale->high / step + nearly);
    for (double i = first; i <= last && scale->tick_count < MAX_TICKS; i++) {
        scale->ticks[scale->tick_count++] = i * step + 0.0;
    }
    if (!move) return;
    scale->low = first * step;
    scale->high = last * step;
}

static void add_tick(Scale *scale, double value)
{
    const double nearly = 1e-9;
    double place = part(scale, value);
    bool outside = value < scale->low * (1 - nearly) || value > scale->high * (1 + nearly);
    if (outside || scale->tick_count == MAX_TICKS) return;
    for (int i = 0; i < scale->tick_count; i++) {
        if (fabs(place - part(scale, scale->ticks[i])) * scale->pixels < TICK_GAP) return;
    }
    scale->ticks[scale->tick_count++] = value;
}

/* Ends at one digit times a power of ten; ticks at such, the roundest first, where there is room, and those that are
 * not 1, 2 or 5 only where there would be few without. */
static void make_logarithmic(Scale *scale)
{
    static const int ROUNDEST[] = {1, 5, 2, 3, 7, 4, 6, 8, 9};
    enum { ROUND = 3 };
    double low = pow(10, floor(log10(scale->low))), high = pow(10, floor(log10(scale->high)));
    scale->low = fmax(floor(scale->low / low), 1) * low;
    scale->high = ceil(scale->high / high) * high;
    scale->logarithmic = true;
    if (scale->floor_is_zero) scale->ticks[scale->tick_count++] = scale->low;
    int decades = (int)fmin(ceil(log10(scale->high / low)), DECADES);
    for (size_t i = 0; i < sizeof ROUNDEST / sizeof *ROUNDEST && (i < ROUND || scale->tick_count < FEW_TICKS); i++) {
        for (int k = 0; k <= decades; k++) add_tick(scale, ROUNDEST[i] * low * pow(10, k));
    }
}

/* What of a value is on the y axis. */
static double drawn(const Chart *chart, double value)
{
    return chart->kind == CHART_ACCURACY ? 1 - value : value;
}

static double value_at(const Plot *plot, const ChartLine *line, int64_t i)
{
    return drawn(plot->chart, line->value(line->source, i));
}

/* The least and greatest finite values of all lines, and the least above 0; infinite where there is none. */
typedef struct Range {
    double low, high, positive;
} Range;

static Range find_range(const Plot *plot)
{
    Range range = {INFINITY, -INFINITY, INFINITY};
    for (int k = 0; k < plot->chart->count; k++) {
        for (int64_t i = 0; i < plot->chart->lines[k].count; i++) {
            double value = value_at(plot, &plot->chart->lines[k], i);
            if (!isfinite(value)) continue;
            range.low = fmin(range.low, value);
            range.high = fmax(range.high, value);
            if (value > 0) range.positive = fmin(range.positive, value);
        }
    }
    return range;
}

static void make_y(Plot *plot)
{
    enum { TICKS = 4 };
    Scale *scale = &plot->y;
    Range range = find_range(plot);
    if (range.low > range.high) range = (Range){0, 1, 1};
    *scale = (Scale){.low = range.low, .high = range.high, .pixels = CHART_HEIGHT - TOP - BOTTOM};
    if (plot->chart->kind == CHART_RATE) scale->low = fmin(scale->low, 0);
    bool spread = range.low >= 0 && range.high >= range.positive * LOG_RANGE;
    if (plot->chart->kind != CHART_RATE && spread) {
        scale->floor_is_zero = range.low == 0;
        scale->low = range.low == 0 ? range.positive / 2 : range.low;
        make_logarithmic(scale);
        return;
    }
    if (scale->low == scale->high) {
        bool share = plot->chart->kind == CHART_ACCURACY && range.high <= 1; /* no more than all is wrong */
        scale->high += scale->high != 0 ? fabs(scale->high) / TICKS : 1;
        if (plot->chart->kind != CHART_RATE && scale->low != 0) scale->low -= fabs(scale->low) / TICKS;
        if (share) scale->high = fmin(scale->high, 1);
    }
    make_linear(scale, TICKS, 0, true);
}

/* Room for the longest label and its value. */
static double right_margin(const Chart *chart)
{
    size_t longest = 0;
    for (int k = 0; k < chart->count; k++) {
        const char *label = chart->lines[k].label;
        if (label != NULL && strlen(label) > longest) longest = strlen(label);
    }
    return chart->kind == CHART_RATE ? RIGHT : LETTER * (double)(longest + VALUE_LETTERS);
}

static void make_x(Plot *plot)
{
    enum { TICKS = 5 };
    const Chart *chart = plot->chart;
    plot->x = (Scale){.low = chart->x_low, .high = chart->x_high, .pixels = CHART_WIDTH - LEFT - right_margin(chart)};
    make_linear(&plot->x, TICKS, 1, false);
}

/* ---- Places and texts ---- */

static double x_of(const Plot *plot, double value)
{
    return LEFT + part(&plot->x, value) * plot->x.pixels;
}

/* Of a value as `drawn` gives it: fewer errors are higher. */
static double y_of(const Plot *plot, double value)
{
    double up = part(&plot->y, value);
    return TOP + (plot->chart->kind == CHART_ACCURACY ? up : 1 - up) * plot->y.pixels;
}

static const char *tick_text(const Plot *plot, double tick, char text[TEXT])
{
    if (plot->y.floor_is_zero && tick == plot->y.low) tick = 0;
    if (plot->chart->kind == CHART_ACCURACY) snprintf(text, TEXT, "%.6g%%", 100 * (1 - tick));
    else snprintf(text, TEXT, "%.6g", tick);
    return text;
}

static const char *value_text(const Plot *plot, double value, char text[TEXT])
{
    if (plot->chart->kind == CHART_ACCURACY) snprintf(text, TEXT, "%.2f%%", 100 * (1 - value));
    else snprintf(text, TEXT, plot->chart->kind == CHART_LOSS ? "%.4f" : "%.3g", value);
    return text;
}

/* ---- Drawing ---- */

static void draw_axes(const Plot *plot)
{
    char text[TEXT];
    double right = LEFT + plot->x.pixels, bottom = TOP + plot->y.pixels;
    for (int i = 0; i < plot->y.tick_count; i++) {
        double y = y_of(plot, plot->y.ticks[i]);
        fprintf(plot->file, "<path class=\"grid\" d=\"M%d %.1fH%.1f\"/>", LEFT, y, right);
        fprintf(plot->file, "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%s</text>\n", LEFT - TICK_TEXT_SPACE,
                y + BASELINE, tick_text(plot, plot->y.ticks[i], text));
    }
    for (int i = 0; i < plot->x.tick_count; i++) {
        double x = x_of(plot, plot->x.ticks[i]);
        fprintf(plot->file, "<path class=\"axis\" d=\"M%.1f %.1fv%d\"/>", x, bottom, BASELINE);
        fprintf(plot->file, "<text class=\"tick middle\" x=\"%.1f\" y=\"%.1f\">%.0f</text>\n", x,
                bottom + TICK_TEXT_DROP, plot->x.ticks[i]);
    }
    fprintf(plot->file, "<path class=\"axis\" d=\"M%d %.1fH%.1f\"/>"
                        "<text class=\"tick middle\" x=\"%.1f\" y=\"%d\">epoch</text>\n",
            LEFT, bottom, right, (LEFT + right) / 2, CHART_HEIGHT - BASELINE);
}

/* At most MAX_POINTS of the values, always the last; a gap where one is not finite. */
static void draw_line(const Plot *plot, const ChartLine *line)
{
    int64_t stride = (line->count + MAX_POINTS - 1) / MAX_POINTS;
    bool pen_down = false;
    fprintf(plot->file, "<path class=\"line %s%s\" d=\"", line->style, line->label ? "" : " faint");
    for (int64_t i = (line->count - 1) % stride; i < line->count; i += stride) {
        double value = value_at(plot, line, i);
        if (isfinite(value)) {
            fprintf(plot->file, "%c%.1f %.1f", pen_down ? 'L' : 'M', x_of(plot, line->first + (double)i * line->step),
                    y_of(plot, value));
        }
        pen_down = isfinite(value);
    }
    fprintf(plot->file, "\"/>\n");
}

typedef struct Label {
    const ChartLine *line;
    double value, x, y, text_y;
} Label;

/* The last finite value of a line; of a rate the highest. False if there is none. */
static bool find_labelled(const Plot *plot, const ChartLine *line, Label *label)
{
    bool found = false;
    for (int64_t i = 0; i < line->count; i++) {
        double value = value_at(plot, line, i);
        if (!isfinite(value) || (found && plot->chart->kind == CHART_RATE && value <= label->value)) continue;
        *label = (Label){line, value, x_of(plot, line->first + (double)i * line->step), y_of(plot, value), 0};
        found = true;
    }
    if (found) label->text_y = label->y + BASELINE;
    return found;
}

/* Moves two labels that would touch apart, the same way from between them, within the plot. */
static void part_labels(const Plot *plot, Label *a, Label *b)
{
    Label *upper = a->y <= b->y ? a : b, *lower = a->y <= b->y ? b : a;
    if (lower->text_y - upper->text_y >= LABEL_GAP) return;
    double middle = (lower->text_y + upper->text_y) / 2;
    double least = TOP + BASELINE + LABEL_GAP / 2.0, most = TOP + plot->y.pixels - LABEL_GAP / 2.0;
    middle = fmin(fmax(middle, least), most);
    upper->text_y = middle - LABEL_GAP / 2.0;
    lower->text_y = middle + LABEL_GAP / 2.0;
}

static void draw_label(const Plot *plot, const Label *label)
{
    char text[TEXT];
    bool rate = plot->chart->kind == CHART_RATE, at_edge = label->x < LEFT + EDGE;
    fprintf(plot->file, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", label->line->style, label->x,
            label->y);
    fprintf(plot->file, "<text class=\"label %s%s\" x=\"%.1f\" y=\"%.1f\">%s%s%s</text>\n", label->line->style,
            rate && !at_edge ? " middle" : "", label->x + (rate ? 0 : LABEL_SPACE),
            rate ? label->y - LABEL_SPACE : label->text_y, label->line->label, *label->line->label ? " " : "",
            value_text(plot, label->value, text));
}

static void draw_labels(const Plot *plot)
{
    Label labels[MAX_LABELS];
    int count = 0;
    for (int k = 0; k < plot->chart->count && count < MAX_LABELS; k++) {
        const ChartLine *line = &plot->chart->lines[k];
        if (line->label != NULL && find_labelled(plot, line, &labels[count])) count++;
    }
    if (count == 2) part_labels(plot, &labels[0], &labels[1]);
    for (int i = 0; i < count; i++) draw_label(plot, &labels[i]);
}

void report_chart(FILE *file, const Chart *chart, int x)
{
    Plot plot = {.file = file, .chart = chart};
    make_y(&plot);
    make_x(&plot);
    fprintf(file, "<svg class=\"chart\" x=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">"
                  "<title>%s by epoch</title>\n<text class=\"title\" x=\"0\" y=\"%d\">%s</text>\n",
            x, CHART_WIDTH, CHART_HEIGHT, CHART_WIDTH, CHART_HEIGHT, chart->title, TITLE_Y, chart->title);
    draw_axes(&plot);
    for (int k = 0; k < chart->count; k++) draw_line(&plot, &chart->lines[k]);
    draw_labels(&plot);
    fprintf(file, "</svg>\n");
}
