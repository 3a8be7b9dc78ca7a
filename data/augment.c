#include <math.h>

#include "data/dataset.h"
#include "tensor/math.h"

static const double RADIANS = 0x1.1df46a2529d39p-6; /* pi / 180 */
static const double MAX_ROTATION = 180, MAX_TRANSLATION = 65536, MAX_SCALE = 0.9, MAX_SHEAR = 80;

/* A coordinate's 32 bits below the point, and how many of them the interpolation uses: few enough that an int holds
 * its sums, and float every result. */
enum { POINT_BITS = 32, WEIGHT_BITS = 8, WEIGHT_ONE = 1 << WEIGHT_BITS };

/* ---- Options ---- */

bool augment_is_on(const Augmentation *a)
{
    return a->rotation != 0 || a->translation != 0 || a->scale != 0 || a->shear != 0;
}

static bool in_range(const char *name, double value, double most)
{
    if (value >= 0 && value <= most) return true;
    return weft_fail("augmentation: %s is %g; it must be from 0 to %g", name, value, most);
}

bool augment_check(const Augmentation *a)
{
    return in_range("rotation", a->rotation, MAX_ROTATION) && in_range("scale", a->scale, MAX_SCALE) &&
           in_range("translation", a->translation, MAX_TRANSLATION) && in_range("shear", a->shear, MAX_SHEAR);
}

/* ---- The map ---- */

static int64_t fixed_point(double pixels)
{
    return (int64_t)floor(pixels * (double)(INT64_C(1) << POINT_BITS) + 0.5);
}

AffineMap augment_map(int64_t height, int64_t width, double rotation, double shear, double scale, double x, double y)
{
    /* Forward: rotation times [1 tan(shear); 0 1] times scale. Its inverse: */
    double c = weft_cos(rotation * RADIANS) / scale, s = weft_sin(rotation * RADIANS) / scale;
    double slope = weft_sin(shear * RADIANS) / weft_cos(shear * RADIANS);
    double xx = c + slope * s, xy = s - slope * c, yx = -s, yy = c;
    double centre_x = (double)(width - 1) / 2, centre_y = (double)(height - 1) / 2;
    double left = centre_x + x, above = centre_y + y;
    return (AffineMap){
        .x0 = fixed_point(centre_x - (xx * left + xy * above)),
        .y0 = fixed_point(centre_y - (yx * left + yy * above)),
        .x_by_x = fixed_point(xx), .x_by_y = fixed_point(xy),
        .y_by_x = fixed_point(yx), .y_by_y = fixed_point(yy),
    };
}

AffineMap augment_random(int64_t height, int64_t width, const Augmentation *a, RandomKey key, int64_t index)
{
    enum { ROTATION, X, Y, SCALE, SHEAR, DRAWS };
    double draw[DRAWS]; /* in [-1, 1) */
    for (int i = 0; i < DRAWS; i++)
        draw[i] = 2 * random_uniform(key, (uint64_t)index * DRAWS + (uint64_t)i) - 1;
    return augment_map(height, width, draw[ROTATION] * a->rotation, draw[SHEAR] * a->shear, 1 + draw[SCALE] * a->scale,
                      draw[X] * a->translation, draw[Y] * a->translation);
}

/* ---- Sampling ---- */

/* The fraction of a coordinate, in units of 1 / WEIGHT_ONE. */
static inline int weight(int64_t coordinate)
{
    return (int)(coordinate >> (POINT_BITS - WEIGHT_BITS) & (WEIGHT_ONE - 1));
}

/* Between four pixels; x and y are weights. All in whole numbers, and the result a multiple of 2^-16 below 2^8. */
static inline Real blend(int above_left, int above_right, int below_left, int below_right, int x, int y)
{
    int above = above_left * WEIGHT_ONE + (above_right - above_left) * x;
    int below = below_left * WEIGHT_ONE + (below_right - below_left) * x;
    return (Real)(above * WEIGHT_ONE + (below - above) * y) * ((Real)1 / (WEIGHT_ONE * WEIGHT_ONE));
}

/* Whether (x, y) and its four neighbours are inside the image: one comparison each, as negatives are large unsigned. */
static inline bool inside(int64_t height, int64_t width, int64_t x, int64_t y)
{
    return (uint64_t)x < (uint64_t)(width - 1) << POINT_BITS && (uint64_t)y < (uint64_t)(height - 1) << POINT_BITS;
}

static Real sample_at_edge(const uint8_t *image, int64_t height, int64_t width, int64_t x, int64_t y)
{
    int64_t left = x >> POINT_BITS, top = y >> POINT_BITS;
    int pixels[4] = {0};
    for (int i = 0; i < 4; i++) {
        int64_t column = left + i % 2, row = top + i / 2;
        if (column >= 0 && column < width && row >= 0 && row < height) pixels[i] = image[row * width + column];
    }
    return blend(pixels[0], pixels[1], pixels[2], pixels[3], weight(x), weight(y));
}

void augment_apply(const AffineMap *map, const uint8_t *image, int64_t height, int64_t width, Real *result)
{
    for (int64_t i = 0; i < height; i++, result += width) {
        int64_t x = map->x0 + i * map->x_by_y, y = map->y0 + i * map->y_by_y;
        /* A row comes from a straight line: what is inside of it is one run, which needs no tests within. */
        int64_t begin = 0, end = width;
        for (; begin < end; begin++, x += map->x_by_x, y += map->y_by_x) {
            if (inside(height, width, x, y)) break;
            result[begin] = sample_at_edge(image, height, width, x, y);
        }
        for (; end > begin; end--) {
            int64_t steps = end - 1 - begin, last_x = x + steps * map->x_by_x, last_y = y + steps * map->y_by_x;
            if (inside(height, width, last_x, last_y)) break;
            result[end - 1] = sample_at_edge(image, height, width, last_x, last_y);
        }
        for (int64_t j = begin; j < end; j++, x += map->x_by_x, y += map->y_by_x) {
            const uint8_t *above = image + (y >> POINT_BITS) * width + (x >> POINT_BITS), *below = above + width;
            result[j] = blend(above[0], above[1], below[0], below[1], weight(x), weight(y));
        }
    }
}

void augment_image(const uint8_t *image, int64_t height, int64_t width, const Augmentation *augmentation,
                   RandomKey key, int64_t index, Real *result)
{
    if (!image || !augmentation || !result) {
        weft_fail("augment_image: image, augmentation or result is NULL");
        return;
    }
    AffineMap map = augment_random(height, width, augmentation, key, index);
    augment_apply(&map, image, height, width, result);
}
