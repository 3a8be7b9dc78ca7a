#include "data/dataset.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tensor/file.h"
#include "tensor/memory.h"

enum { MAX_SIDE = 65536, MAX_CLASSES = DATA_MAX_BYTE + 1, LABELS_BEGIN = 8 };

/* ---- Making ---- */

static bool check_shape(const char *name, int64_t channels, int64_t height, int64_t width, int classes)
{
    if (channels < 1 || height < 1 || width < 1 || height > MAX_SIDE || width > MAX_SIDE)
        return weft_fail("%s: images of [%lld, %lld, %lld]; sides go from 1 to %d", name, (long long)channels,
                         (long long)height, (long long)width, MAX_SIDE);
    if (classes < 1 || classes > MAX_CLASSES)
        return weft_fail("%s: %d classes; there can be 1 to %d", name, classes, MAX_CLASSES);
    return true;
}

/* The index of the first label that is no class, or -1. */
static int64_t wrong_label(const Dataset *dataset)
{
    for (int64_t i = 0; i < dataset->count; i++) {
        if (dataset->labels[i] >= dataset->classes) return i;
    }
    return -1;
}

/* Puts a filled-in data set into memory of its own; frees its arrays if that fails, or if one of them is NULL. */
static Dataset *keep(const Dataset *made)
{
    Dataset *dataset = made->images && made->labels ? weft_alloc(1, sizeof *dataset) : NULL;
    if (!dataset) {
        weft_free(made->images);
        weft_free(made->labels);
        return NULL;
    }
    *dataset = *made;
    dataset->references = 1;
    return dataset;
}

Dataset *dataset_idx(const char *images_path, const char *labels_path, int classes)
{
    int64_t images[3] = {0}, labels[1] = {0};
    Dataset made = {.classes = classes};
    made.images = dataset_read_idx(images_path, 3, images);
    made.labels = made.images ? dataset_read_idx(labels_path, 1, labels) : NULL;
    made.count = images[0];
    made.channels = 1;
    made.height = images[1];
    made.width = images[2];
    Dataset *dataset = keep(&made);
    if (!dataset) return NULL;
    int64_t wrong = -1;
    bool ok = check_shape(images_path, 1, made.height, made.width, classes);
    if (ok && images[0] != labels[0]) {
        ok = weft_fail("%s: has %lld images, but %s has %lld labels", images_path, (long long)images[0], labels_path,
                       (long long)labels[0]);
    } else if (ok && (wrong = wrong_label(dataset)) >= 0) {
        ok = weft_fail("%s: label %lld, at byte %lld, is %d; there are %d classes", labels_path, (long long)wrong,
                       (long long)(LABELS_BEGIN + wrong), made.labels[wrong], classes);
    }
    if (ok) return dataset;
    dataset_free(dataset);
    return NULL;
}

Dataset *dataset_from(const uint8_t *images, const uint8_t *labels, int64_t count, int64_t channels, int64_t height,
                      int64_t width, int classes)
{
    if (!images || !labels) return weft_fail("dataset_from: no %s", images ? "labels" : "images");
    if (!check_shape("dataset_from", channels, height, width, classes)) return NULL;
    int64_t bytes = shape_count(SHAPE(count, channels, height, width));
    if (bytes < 0) return weft_fail("dataset_from: %lld images", (long long)count);
    Dataset made = {.count = count, .channels = channels, .height = height, .width = width, .classes = classes};
    made.images = weft_alloc(bytes, 1);
    made.labels = weft_alloc(count, 1);
    Dataset *dataset = keep(&made);
    if (!dataset) return NULL;
    memcpy(dataset->images, images, (size_t)bytes);
    memcpy(dataset->labels, labels, (size_t)count);
    int64_t wrong = wrong_label(dataset);
    if (wrong < 0) return dataset;
    dataset_free(dataset);
    return weft_fail("dataset_from: label %lld is %d; there are %d classes", (long long)wrong, labels[wrong], classes);
}

void dataset_free(Dataset *dataset)
{
    if (!dataset || --dataset->references > 0) return;
    weft_free(dataset->images);
    weft_free(dataset->labels);
    weft_free(dataset);
}

/* ---- MNIST ---- */

/* The images and labels to train on, then those to test on. */
static const char *const MNIST_NAMES[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                          "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
enum { MNIST_FILES = sizeof MNIST_NAMES / sizeof *MNIST_NAMES };

static char *join(const char *folder, const char *name, const char *suffix)
{
    size_t room = strlen(folder) + strlen(name) + strlen(suffix) + 2;
    char *path = weft_alloc((int64_t)room, 1);
    if (path) snprintf(path, room, "%s/%s%s", folder, name, suffix);
    return path;
}

/* The path of a file of the folder; NULL with an error that says how to get the file if it is not there. */
static char *find_file(const char *folder, const char *name)
{
    char *path = join(folder, name, "");
    if (!path || access(path, F_OK) == 0 || errno != ENOENT) return path;
    char *packed = join(folder, name, ".gz");
    if (packed && access(packed, F_OK) == 0) weft_fail("%s: missing, but %s is there: gunzip it", path, packed);
    else if (packed) weft_fail("%s: no such file: get it with `make data` (Fashion-MNIST: `make fashion`)", path);
    weft_free(packed);
    weft_free(path);
    return NULL;
}

bool dataset_mnist_has(const char *folder, const char *path)
{
    bool has = false;
    for (int i = 0; i < MNIST_FILES && !has; i++) {
        char *file = join(folder, MNIST_NAMES[i], "");
        has = !file || weft_file_same(file, path);
        weft_free(file);
    }
    return has;
}

Dataset *dataset_mnist(const char *folder, bool train)
{
    if (!folder) return weft_fail("dataset_mnist: no folder");
    const char *const *names = MNIST_NAMES + (train ? 0 : MNIST_FILES / 2);
    char *images = find_file(folder, names[0]);
    char *labels = images ? find_file(folder, names[1]) : NULL;
    Dataset *dataset = labels ? dataset_idx(images, labels, MNIST_CLASSES) : NULL;
    if (dataset && (dataset->height != MNIST_SIDE || dataset->width != MNIST_SIDE)) {
        weft_fail("%s: images of %lld x %lld; MNIST's are %d x %d", images, (long long)dataset->height,
                  (long long)dataset->width, MNIST_SIDE, MNIST_SIDE);
        dataset_free(dataset);
        dataset = NULL;
    }
    weft_free(images);
    weft_free(labels);
    return dataset;
}

/* ---- Looking ---- */

int64_t dataset_count(const Dataset *dataset)
{
    return dataset ? dataset->count : 0;
}

int dataset_classes(const Dataset *dataset)
{
    return dataset ? dataset->classes : 0;
}

Shape dataset_image_shape(const Dataset *dataset)
{
    return dataset ? SHAPE(dataset->channels, dataset->height, dataset->width) : SCALAR;
}

static bool check_index(const char *function, const Dataset *dataset, int64_t i)
{
    if (!dataset) return weft_fail("%s: no data set", function);
    if (i >= 0 && i < dataset->count) return true;
    return weft_fail("%s: no image %lld, there are %lld", function, (long long)i, (long long)dataset->count);
}

const uint8_t *dataset_image(const Dataset *dataset, int64_t i)
{
    if (!check_index("dataset_image", dataset, i)) return NULL;
    return dataset->images + i * dataset->channels * dataset->height * dataset->width;
}

int dataset_label(const Dataset *dataset, int64_t i)
{
    return check_index("dataset_label", dataset, i) ? dataset->labels[i] : -1;
}
