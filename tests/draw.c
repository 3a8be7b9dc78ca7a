#include "tests/draw.h"

#include <math.h>

enum { MAX_STROKES = 4, ARC_PARTS = 40, MAX_SEGMENTS = MAX_STROKES * ARC_PARTS };

/* In a box of height 1, y downwards. A line has no radius; an arc goes from one angle to another, in degrees, clockwise
 * from the right. */
typedef struct Stroke {
    double x, y, to_x, to_y, radius_x, radius_y, from, to;
} Stroke;

#define LINE(x, y, to_x, to_y) {x, y, to_x, to_y, 0, 0, 0, 0}
#define ARC(x, y, radius_x, radius_y, from, to) {x, y, 0, 0, radius_x, radius_y, from, to}

static const Stroke DIGITS[][MAX_STROKES] = {
    {ARC(0.35, 0.5, 0.3, 0.48, 0, 360)},
    {LINE(0.35, 0, 0.35, 1), LINE(0.2, 0.17, 0.35, 0)},
    {ARC(0.35, 0.28, 0.29, 0.28, 190, 400), LINE(0.57, 0.46, 0.05, 1), LINE(0.05, 1, 0.68, 1)},
    {ARC(0.3, 0.25, 0.28, 0.25, 200, 450), ARC(0.3, 0.74, 0.33, 0.25, 270, 510)},
    {LINE(0.12, 0, 0.06, 0.52), LINE(0.06, 0.52, 0.66, 0.5), LINE(0.58, 0, 0.52, 1)},
    {LINE(0.62, 0, 0.15, 0), LINE(0.15, 0, 0.12, 0.45), ARC(0.3, 0.7, 0.33, 0.3, 237, 500)},
    {ARC(0.55, 0.62, 0.49, 0.62, 180, 265), ARC(0.34, 0.73, 0.28, 0.26, 0, 360)},
    {LINE(0.03, 0, 0.66, 0), LINE(0.66, 0, 0.26, 1)},
    {ARC(0.35, 0.25, 0.23, 0.24, 0, 360), ARC(0.35, 0.74, 0.29, 0.25, 0, 360)},
    {ARC(0.33, 0.27, 0.27, 0.27, 0, 360), LINE(0.6, 0.27, 0.53, 1)},
};

typedef struct Point {
    double x, y;
} Point;
typedef struct Segment {
    Point a, b;
} Segment;

/* A point of the stroke, t from 0 at its begin to 1 at its end. */
static Point point_at(const Stroke *stroke, double t)
{
    const double angle = acos(-1) / 180 * (stroke->from + t * (stroke->to - stroke->from));
    if (stroke->radius_x > 0)
        return (Point){stroke->x + stroke->radius_x * cos(angle), stroke->y + stroke->radius_y * sin(angle)};
    return (Point){stroke->x + t * (stroke->to_x - stroke->x), stroke->y + t * (stroke->to_y - stroke->y)};
}

static double distance_to_segment(Point p, const Segment *s)
{
    const double dx = s->b.x - s->a.x, dy = s->b.y - s->a.y;
    double t = ((p.x - s->a.x) * dx + (p.y - s->a.y) * dy) / (dx * dx + dy * dy);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    const double x = p.x - s->a.x - t * dx, y = p.y - s->a.y - t * dy;
    return sqrt(x * x + y * y);
}

/* The digit as segments; returns how many. */
static int segments_of(int digit, Segment segments[MAX_SEGMENTS])
{
    int count = 0;
    for (const Stroke *stroke = DIGITS[digit]; stroke < DIGITS[digit] + MAX_STROKES; stroke++) {
        const bool is_arc = stroke->radius_x > 0;
        if (!is_arc && stroke->x == stroke->to_x && stroke->y == stroke->to_y) break;
        const int parts = is_arc ? ARC_PARTS : 1;
        for (int i = 0; i < parts; i++) {
            const double from = (double)i / parts, to = (double)(i + 1) / parts;
            segments[count++] = (Segment){point_at(stroke, from), point_at(stroke, to)};
        }
    }
    return count;
}

/* About normal, of deviation 1: the sum of four uniform numbers of Marsaglia's xorshift. */
static double noise(uint32_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        sum += *state / 4294967296.0 - 0.5;
    }
    return sum * sqrt(3);
}

void draw_digit(uint8_t *pixels, int digit, const Drawing *drawing)
{
    Segment segments[MAX_SEGMENTS];
    const int count = segments_of(digit, segments);
    uint32_t state = 1;
    for (int64_t i = 0; i < drawing->height * drawing->width; i++) {
        const Point p = {((double)(i % drawing->width) + 0.5 - drawing->left) / drawing->size,
                         ((double)(i / drawing->width) + 0.5 - drawing->top) / drawing->size};
        double nearest = INFINITY;
        for (int k = 0; k < count; k++) nearest = fmin(nearest, distance_to_segment(p, &segments[k]));
        /* A stroke's edge is one pixel wide. */
        const double edge = drawing->thickness / 2 - nearest * drawing->size + 0.5;
        const double ink = edge < 0 ? 0 : edge > 1 ? 1 : edge;
        const double light = 1 - drawing->shade * (double)(i % drawing->width) / (double)drawing->width;
        const double value = (drawing->light ? ink : 1 - ink) * light + drawing->noise * noise(&state);
        pixels[i] = (uint8_t)lrint(DRAW_WHITE * (value < 0 ? 0 : value > 1 ? 1 : value));
    }
}
