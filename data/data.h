/* Data sets in memory, and the loader that makes batches of them. */
#ifndef WEFT_DATA_H
#define WEFT_DATA_H

#include "tensor/tensor.h"

WEFT_PUBLIC_BEGIN

/* ---- Data sets ---- */

/* Images of bytes, [count][channels][height][width], 0 to 255, with a label each; sides go up to 65,536. */
typedef struct Dataset Dataset;

/* An idx image file (magic 0x00000803) and its label file (0x00000801): MNIST and whatever comes in the same files.
 * Type, dimensions, sizes, trailing bytes, equal counts and labels below `classes` are checked. NULL with an error that
 * names the file and the offset. */
Dataset *dataset_idx(const char *images_path, const char *labels_path, int classes);
/* The training or the test files of a folder under MNIST's names (train-images-idx3-ubyte, t10k-images-idx3-ubyte,
 * ...): images of 28 x 28 in 10 classes. The error says what to do: `make data`, or gunzip where only the .gz is
 * there. Fashion-MNIST (`make fashion`) comes in the same files. */
Dataset *dataset_mnist(const char *folder, bool train);
/* Copies the caller's own arrays; labels are below `classes`, which is at most 256. */
Dataset *dataset_from(const uint8_t *images, const uint8_t *labels, int64_t count, int64_t channels, int64_t height,
                      int64_t width, int classes);
/* Counted: loaders keep their data set, so it may be freed before them. NULL is fine. */
void dataset_free(Dataset *dataset);

/* What it holds; 0 for NULL. */
int64_t dataset_count(const Dataset *dataset);
int dataset_classes(const Dataset *dataset);
Shape dataset_image_shape(const Dataset *dataset); /* [channels, height, width] */
const uint8_t *dataset_image(const Dataset *dataset, int64_t i); /* borrowed; NULL with an error if out of range */
int dataset_label(const Dataset *dataset, int64_t i);            /* -1 with an error if out of range */

/* ---- Augmentation: a random affine map of each training image, bilinear ---- */

/* The image is scaled, sheared along its rows and rotated about its centre ((height - 1) / 2, (width - 1) / 2), then
 * moved: as torchvision's RandomAffine, but for the bilinear default and numbers of our own. */
typedef struct Augmentation {
    double rotation;    /* degrees either way, uniform; up to 180 */
    double translation; /* pixels either way, in x and in y, uniform, not whole numbers; up to 65,536 */
    double scale;       /* 0.1: a factor uniform in [0.9, 1.1]; up to 0.9 */
    double shear;       /* degrees either way, uniform; up to 80 */
} Augmentation;         /* all zero: none */

/* One image [height][width] of bytes mapped by the numbers that (key, index) name; outside is 0. Results are in the
 * bytes' range, as Real, interpolated in steps of 1/256 pixel. The centre stays where it is but for the translation,
 * so a centred disc rotates onto itself. Options must be in range; the loader checks its own.
 * A NULL is an error on record, and nothing is done. */
void augment_image(const uint8_t *image, int64_t height, int64_t width, const Augmentation *augmentation,
                   RandomKey key, int64_t index, Real *result);

/* ---- Pictures of digits ---- */

/* A grey image, [height][width], rows from the top: 0 is black, 65,535 white. */
typedef struct Pgm {
    int64_t height, width;
    uint16_t *values;
} Pgm;

/* Reads a PGM image: P5, bytes, or P2, text; values up to 65,535, of which the largest that the file may have becomes
 * white, and comments as netpbm has them; sides up to 65,536 and 100 million pixels in all. The path "-" is standard
 * input; a pipe will do. NULL with an error that names the file, what is wrong and the offset, if it is anything else,
 * is cut off, or goes on after the image. */
Pgm *pgm_read(const char *path);
/* Frees what pgm_read made. NULL is fine. */
void pgm_free(Pgm *image);

/* Makes the picture of a digit what MNIST's own are. The paper is what most of the border is, with the grain that three
 * quarters of the border have; the ink is what differs from it most, be it darker or lighter. Its box is fitted into
 * 20 x 20 of the 28 x 28 pixels, each the mean of an area, its proportions kept; its centre of mass comes to lie on
 * pixel (14, 14), where MNIST has it on average; ink is 255, paper 0. A stroke as thick as a tenth of the digit comes
 * out as MNIST's do. False with an error if there is no ink. */
enum { MNIST_SIDE = 28, MNIST_CLASSES = 10 };
bool pgm_prepare(const Pgm *picture, uint8_t digit[MNIST_SIDE * MNIST_SIDE]) WEFT_CHECKED;

/* ---- Loader ---- */

/* Makes batches of a data set, in an order of its own for each epoch. */
typedef struct Loader Loader;

typedef struct LoaderOptions {
    Dataset *dataset;           /* which it keeps */
    int64_t batch_size;         /* from 1; all images if there are fewer */
    bool shuffle;
    uint64_t seed;              /* of the order and the augmentation: image i of epoch e is always the same */
    Augmentation augmentation;
    double mean, deviation;     /* values are (byte / 255 - mean) / deviation, which is not below 0; deviation 0: 1 */
    int64_t first, count;       /* use images [first, first + count), which are there; count 0: all from first on */
    char end;
} LoaderOptions;
/* The largest value of a byte; mean and deviation of MNIST's training images, whose bytes are divided by that. */
enum { DATA_MAX_BYTE = 255 };
#define MNIST_MEAN 0.1307
#define MNIST_DEVIATION 0.3081

/* loader_new(dataset, 128, .shuffle = true). NULL with an error if an option is out of range. Needs no scope. */
#define loader_new(...) loader_with((LoaderOptions){__VA_ARGS__, .end = 0})
Loader *loader_with(LoaderOptions options);
/* Frees it and its hold on data set and batch: what was retained of a batch stays. NULL is fine. */
void loader_free(Loader *loader);

/* The loader owns the tensors until the next call; whoever wants one longer retains it, and then the next batch is a
 * fresh one. */
typedef struct Batch {
    Tensor *images;         /* [N, C, H, W]; the last batch of an epoch may be smaller */
    Tensor *labels;         /* [N] */
    const int64_t *indices; /* of the images in the data set */
    int64_t count;          /* N */
} Batch;

/* The next batch; false at the end of the epoch, or on failure: weft_error() tells which. The call after the end
 * starts the next epoch, in a new order if shuffled. An epoch covers every image once. */
bool loader_next(Loader *loader, Batch *batch);
/* Goes to the start of an epoch (0 is the first); NULL is left alone. The same seed and epoch give the same batches,
 * for any number of threads; the augmentation of an image does not depend on the batch size either. */
void loader_set_epoch(Loader *loader, int64_t epoch);
/* The epoch of its latest batch, or of the next once loader_next has told the end; 0 for NULL. */
int64_t loader_epoch(const Loader *loader);
int64_t loader_count(const Loader *loader);   /* images in an epoch; 0 for NULL */
int64_t loader_batches(const Loader *loader); /* batches in an epoch; 0 for NULL */

WEFT_PUBLIC_END
#endif
