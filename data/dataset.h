/* What a data set is made of, and what else the files of data/ know of each other and the trainer of them. Internal. */
#ifndef WEFT_DATASET_H
#define WEFT_DATASET_H

#include "data/data.h"

struct Dataset {
    uint8_t *images, *labels;
    int64_t count, channels, height, width;
    int classes;
    int references;
};

/* What the random numbers of a loader's seed are for: RandomKey's stream. */
enum { STREAM_ORDER = 0x6f726465, STREAM_AUGMENTATION = 0x61756720 };

/* Whether the path names one of the folder's files under MNIST's names. True, with an error, when memory is short. */
bool dataset_mnist_has(const char *folder, const char *path);

enum { IDX_MAX_DIMENSIONS = 4 };
/* Reads an idx file of unsigned bytes in `dimensions` dimensions, the format of MNIST (Y. LeCun, C. Cortes): two zero
 * bytes, the type 8, the number of dimensions, each size as 4 bytes, the highest first, then the values. Returns the
 * values, to be freed with weft_free, and writes the sizes, all at least 1. NULL with an error if the file is not
 * exactly that; no memory is taken before the sizes agree with the file's. */
uint8_t *dataset_read_idx(const char *path, int dimensions, int64_t sizes[]);

/* An affine map from the pixels of a result to where they come from. Coordinates are in units of 2^-32 pixel: whole
 * numbers, so that every machine and compiler computes the same. */
typedef struct AffineMap {
    int64_t x0, y0;         /* where pixel (0, 0) comes from */
    int64_t x_by_x, y_by_x; /* added for each step to the right */
    int64_t x_by_y, y_by_y; /* and for each step down */
} AffineMap;
/* The map that turns by `rotation` degrees, shears, scales about the centre ((width - 1) / 2, (height - 1) / 2) and
 * then moves by (x, y) pixels: row by row it holds the inverse. */
AffineMap augment_map(int64_t height, int64_t width, double rotation, double shear, double scale, double x, double y);
/* The random map of image `index`. */
AffineMap augment_random(int64_t height, int64_t width, const Augmentation *augmentation, RandomKey key, int64_t index);
/* result[y][x] = the image where the map says, bilinear in steps of 1/256 pixel, 0 outside; in the bytes' range. */
void augment_apply(const AffineMap *map, const uint8_t *image, int64_t height, int64_t width, Real *result);

/* Whether anything is to be done, and whether it is in range (false with an error). */
bool augment_is_on(const Augmentation *augmentation);
bool augment_check(const Augmentation *augmentation);

#endif
