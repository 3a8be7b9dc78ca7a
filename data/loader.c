#include <math.h>

#include "data/dataset.h"
#include "tensor/kernels/kernels.h"
#include "tensor/layout.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"

struct Loader {
    LoaderOptions options; /* count and batch_size as they are, deviation not 0 */
    int64_t epoch, position;
    int64_t *order;        /* of the epoch */
    int64_t *indices;      /* of the batch, in the data set */
    Real *rows;            /* the batch, row-major */
    Tensor *images, *labels;
};

/* ---- Making ---- */

static bool check_options(const LoaderOptions *o)
{
    if (!o->dataset) return weft_fail("loader_new: no data set");
    if (o->batch_size < 1) return weft_fail("loader_new: batch_size is %lld", (long long)o->batch_size);
    int64_t there = dataset_count(o->dataset);
    if (o->first < 0 || o->first >= there || o->count < 0 || o->count > there - o->first)
        return weft_fail("loader_new: %lld images from %lld on are wanted; there are %lld", (long long)o->count,
                         (long long)o->first, (long long)there);
    if (!isfinite(o->mean) || !isfinite(o->deviation) || o->deviation < 0)
        return weft_fail("loader_new: mean %g and deviation %g", o->mean, o->deviation);
    return augment_check(&o->augmentation);
}

Loader *loader_with(LoaderOptions options)
{
    if (!check_options(&options)) return NULL;
    Dataset *dataset = options.dataset;
    if (options.count == 0) options.count = dataset->count - options.first;
    if (options.batch_size > options.count) options.batch_size = options.count;
    if (options.deviation == 0) options.deviation = 1;
    Loader *loader = weft_alloc(1, sizeof *loader);
    if (!loader) return NULL;
    dataset->references++;
    *loader = (Loader){.options = options};
    loader->order = weft_alloc(options.count, sizeof *loader->order);
    loader->indices = weft_alloc(options.batch_size, sizeof *loader->indices);
    int64_t elements = shape_count(dataset_image_shape(dataset));
    bool fits = elements <= INT64_MAX / options.batch_size;
    loader->rows = fits ? weft_alloc(options.batch_size * elements, sizeof *loader->rows)
                        : weft_fail("loader_new: a batch is too large");
    if (loader->order && loader->indices && loader->rows) return loader;
    loader_free(loader);
    return NULL;
}

void loader_free(Loader *loader)
{
    if (!loader) return;
    tensor_release(loader->images);
    tensor_release(loader->labels);
    weft_free(loader->rows);
    weft_free(loader->indices);
    weft_free(loader->order);
    dataset_free(loader->options.dataset);
    weft_free(loader);
}

/* ---- A batch ---- */

static RandomKey key(const Loader *loader, uint32_t stream)
{
    return (RandomKey){.seed = loader->options.seed, .stream = stream, .epoch = (uint32_t)loader->epoch};
}

/* Makes *t a tensor of that shape that nobody else has or will see changed. False with an error, *t as it was. */
static bool renew(Tensor **t, Shape shape)
{
    Tensor *old = *t;
    if (old && old->references == 1 && old->storage->references == 1 && !old->requires_grad &&
        shape_equal(old->shape, shape))
        return true;
    Scope scope = scope_open();
    Tensor *new = tensor_retain(layout_new(shape, LAYOUT_LANES));
    scope_close(scope);
    if (!new) return false;
    tensor_release(old);
    *t = new;
    return true;
}

/* Writes rows begin to end of the batch. The numbers of the augmentation belong to the image, not to its place. */
static void write_rows(int64_t begin, int64_t end, int thread, void *context)
{
    (void)thread;
    const Loader *loader = context;
    const Dataset *dataset = loader->options.dataset;
    const Augmentation *augmentation = &loader->options.augmentation;
    int64_t height = dataset->height, width = dataset->width, pixels = height * width;
    double range = DATA_MAX_BYTE * loader->options.deviation;
    const Real scale = (Real)(1 / range), shift = (Real)(-loader->options.mean / loader->options.deviation);
    for (int64_t i = begin; i < end; i++) {
        int64_t index = loader->indices[i], elements = dataset->channels * pixels;
        const uint8_t *image = dataset->images + index * elements;
        Real *row = loader->rows + i * elements;
        if (augment_is_on(augmentation)) {
            AffineMap map = augment_random(height, width, augmentation, key(loader, STREAM_AUGMENTATION), index);
            for (int64_t c = 0; c < dataset->channels; c++)
                augment_apply(&map, image + c * pixels, height, width, row + c * pixels);
        } else {
            for (int64_t e = 0; e < elements; e++) row[e] = image[e];
        }
        for (int64_t e = 0; e < elements; e++) row[e] = row[e] * scale + shift;
    }
}

static bool make_batch(Loader *loader, int64_t count)
{
    const Dataset *dataset = loader->options.dataset;
    Shape shape = SHAPE(count, dataset->channels, dataset->height, dataset->width);
    if (!renew(&loader->images, shape) || !renew(&loader->labels, SHAPE(count))) return false;
    Tensor *images = loader->images, *labels = loader->labels;
    for (int64_t i = 0; i < count; i++) {
        loader->indices[i] = loader->options.first + loader->order[loader->position + i];
        labels->storage->data[i] = dataset->labels[loader->indices[i]];
    }
    layout_fill_spare(labels);
    parallel_for(count, WEFT_LANES, write_rows, loader);
    weft_kernels()->to_lanes(images->storage->data, loader->rows, count, layout_elements(images), false);
    layout_touch(images);
    layout_touch(labels);
    return true;
}

/* ---- Going through ---- */

static void make_order(Loader *loader)
{
    int64_t count = loader->options.count;
    if (loader->options.shuffle) random_permutation(key(loader, STREAM_ORDER), count, loader->order);
    else for (int64_t i = 0; i < count; i++) loader->order[i] = i;
}

bool loader_next(Loader *loader, Batch *batch)
{
    if (!loader || !batch) return weft_fail("loader_next: no %s", loader ? "batch" : "loader");
    const LoaderOptions *options = &loader->options;
    if (loader->position == options->count) {
        loader_set_epoch(loader, loader->epoch + 1);
        return false;
    }
    if (loader->position == 0) make_order(loader);
    int64_t left = options->count - loader->position;
    int64_t count = options->batch_size < left ? options->batch_size : left;
    if (!make_batch(loader, count)) return false;
    loader->position += count;
    *batch = (Batch){loader->images, loader->labels, loader->indices, count};
    return true;
}

void loader_set_epoch(Loader *loader, int64_t epoch)
{
    if (!loader) return;
    loader->epoch = epoch;
    loader->position = 0;
}

int64_t loader_epoch(const Loader *loader)
{
    return loader ? loader->epoch : 0;
}

int64_t loader_count(const Loader *loader)
{
    return loader ? loader->options.count : 0;
}

int64_t loader_batches(const Loader *loader)
{
    if (!loader) return 0;
    return (loader->options.count + loader->options.batch_size - 1) / loader->options.batch_size;
}
