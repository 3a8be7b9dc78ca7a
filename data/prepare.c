/* From a picture of a digit to 28 x 28 bytes, as MNIST's own were made of scans (Y. LeCun, C. Cortes, C. Burges: The
 * MNIST database of handwritten digits): fitted into 20 x 20 and moved to where its centre of mass is the middle. */
#include <math.h>
#include <stdlib.h>

#include "data/data.h"
#include "tensor/memory.h"

/* A picture is brought down to LARGEST_SIDE first, which takes most of a camera's noise away and bounds all else.
 * A digit fills BOX pixels of the MNIST_SIDE. */
enum { LARGEST_SIDE = 560, BOX = 20 };
/* The mean centre of mass in MNIST, whose pixel i is the interval from i to i + 1. */
static const double CENTRE = 14.5;
/* Three quarters of the border differ less from the paper than the paper's unevenness; a margin covers the rest. Where
 * not even the darkest ink is beyond that by FAINTEST, there is none. A digit's box holds what has EDGE of it. */
static const double MARGIN = 3, FAINTEST = UINT16_MAX / 16.0, EDGE = UINT16_MAX / 10.0;

/* ---- Averaging ---- */

/* How much of pixel i lies between `from` and `to`. */
static double covered(int64_t i, double from, double to)
{
    return fmin((double)(i + 1), to) - fmax((double)i, from);
}

static int64_t clamp(double position, int64_t size)
{
    return position <= 0 ? 0 : position >= (double)size ? size : (int64_t)position;
}

/* The mean of a square of that side whose corner is at (x, y); outside are zeros. */
static double mean_of_square(const Pgm *picture, double x, double y, double side)
{
    const int64_t x0 = clamp(floor(x), picture->width), x1 = clamp(ceil(x + side), picture->width);
    const int64_t y0 = clamp(floor(y), picture->height), y1 = clamp(ceil(y + side), picture->height);
    double sum = 0;
    for (int64_t i = y0; i < y1; i++) {
        const uint16_t *row = picture->values + i * picture->width;
        double row_sum = 0;
        for (int64_t j = x0; j < x1; j++) row_sum += row[j] * covered(j, x, x + side);
        sum += row_sum * covered(i, y, y + side);
    }
    return sum / (side * side);
}

/* A copy whose sides are at most LARGEST_SIDE. */
static Pgm *reduced(const Pgm *picture)
{
    const double side = fmax(1, (double)(picture->width > picture->height ? picture->width : picture->height)
                                    / LARGEST_SIDE);
    Pgm *result = weft_alloc_zeroed(1, sizeof *result);
    if (!result) return NULL;
    result->width = (int64_t)fmax(1, floor((double)picture->width / side));
    result->height = (int64_t)fmax(1, floor((double)picture->height / side));
    result->values = weft_alloc(result->width * result->height, sizeof *result->values);
    for (int64_t i = 0; result->values && i < result->width * result->height; i++) {
        const double x = (double)(i % result->width) * side, y = (double)(i / result->width) * side;
        result->values[i] = (uint16_t)lrint(mean_of_square(picture, x, y, side));
    }
    if (result->values) return result;
    pgm_free(result);
    return NULL;
}

/* ---- Ink ---- */

static int by_value(const void *a, const void *b)
{
    const uint16_t x = *(const uint16_t *)a, y = *(const uint16_t *)b;
    return x < y ? -1 : x > y;
}

/* Copies the border's pixels and returns how many. */
static int64_t copy_border(const Pgm *picture, uint16_t border[4 * LARGEST_SIDE])
{
    int64_t count = 0;
    for (int64_t i = 0; i < picture->width * picture->height; i++) {
        const int64_t x = i % picture->width, y = i / picture->width;
        if (x == 0 || y == 0 || x == picture->width - 1 || y == picture->height - 1)
            border[count++] = picture->values[i];
    }
    return count;
}

/* Makes brightness ink, from 0 to UINT16_MAX. The paper is what the border mostly is; the ink, darker or lighter, is
 * what differs from it most. False if that is next to nothing. */
static bool find_ink(Pgm *picture)
{
    uint16_t border[4 * LARGEST_SIDE];
    const int64_t count = copy_border(picture, border), pixels = picture->width * picture->height;
    qsort(border, (size_t)count, sizeof *border, by_value);
    const int paper = border[count / 2];
    for (int64_t i = 0; i < count; i++) border[i] = (uint16_t)abs(border[i] - paper);
    qsort(border, (size_t)count, sizeof *border, by_value);
    const double uneven = MARGIN * border[3 * count / 4];
    int darkest = paper, lightest = paper;
    for (int64_t i = 0; i < pixels; i++) {
        if (picture->values[i] < darkest) darkest = picture->values[i];
        if (picture->values[i] > lightest) lightest = picture->values[i];
    }
    const bool dark = paper - darkest >= lightest - paper;
    const double range = (dark ? paper - darkest : lightest - paper) - uneven;
    if (range < FAINTEST) return false;
    for (int64_t i = 0; i < pixels; i++) {
        const double ink = (dark ? paper - picture->values[i] : picture->values[i] - paper) - uneven;
        picture->values[i] = (uint16_t)lrint(fmax(0, ink) / range * UINT16_MAX);
    }
    return true;
}

/* ---- Placing ---- */

/* Where a digit is, in pixels. */
typedef struct Place {
    int64_t left, top, right, bottom; /* of its box */
    double x, y;                      /* its centre of mass */
} Place;

/* All of it, mass too, is of pixels with EDGE at least: of these some are on either side of their centre, within BOX of
 * each other, and so within what is drawn around it. */
static Place find_place(const Pgm *ink)
{
    Place place = {.left = ink->width, .top = ink->height};
    double mass = 0;
    for (int64_t y = 0; y < ink->height; y++) {
        for (int64_t x = 0; x < ink->width; x++) {
            const double value = ink->values[y * ink->width + x];
            if (value < EDGE) continue;
            mass += value;
            place.x += value * ((double)x + 0.5);
            place.y += value * ((double)y + 0.5);
            if (x < place.left) place.left = x;
            if (x >= place.right) place.right = x + 1;
            if (y < place.top) place.top = y;
            place.bottom = y + 1;
        }
    }
    place.x /= mass;
    place.y /= mass;
    return place;
}

/* Draws the digit: the pixels of the result are squares of the ink, and the darkest of them is full. */
static void draw(const Pgm *ink, uint8_t digit[MNIST_SIDE * MNIST_SIDE])
{
    const Place place = find_place(ink);
    const int64_t width = place.right - place.left, height = place.bottom - place.top;
    const double side = (double)(width > height ? width : height) / BOX;
    double means[MNIST_SIDE * MNIST_SIDE], most = 0;
    for (int i = 0; i < MNIST_SIDE * MNIST_SIDE; i++) {
        const double column = i % MNIST_SIDE, row = i / MNIST_SIDE;
        means[i] = mean_of_square(ink, place.x + (column - CENTRE) * side, place.y + (row - CENTRE) * side, side);
        most = fmax(most, means[i]);
    }
    for (int i = 0; i < MNIST_SIDE * MNIST_SIDE; i++) digit[i] = (uint8_t)lrint(means[i] / most * DATA_MAX_BYTE);
}

bool pgm_prepare(const Pgm *picture, uint8_t digit[MNIST_SIDE * MNIST_SIDE])
{
    if (!picture || !digit) return weft_fail("pgm_prepare: no %s", picture ? "room for the digit" : "picture");
    Pgm *small = reduced(picture);
    if (!small) return false;
    const bool found = find_ink(small);
    if (found) draw(small, digit);
    pgm_free(small);
    return found || weft_fail("blank: nothing stands out from the border of %lld x %lld pixels",
                              (long long)picture->width, (long long)picture->height);
}
