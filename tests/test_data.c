#include <sys/stat.h>

#include "data/data.h"
#include "tensor/layout.h"
#include "tensor/memory.h"
#include "tests/test.h"

enum { PATH_ROOM = 4096 };

/* ---- Files ---- */

/* An idx file: magic and sizes, four bytes each, cut after header_bytes, then `values` bytes 0, 1, ... 9, 0, ... */
typedef struct Idx {
    uint32_t words[4];
    size_t header_bytes, values;
} Idx;

static void write_idx(const char *path, const Idx *idx)
{
    uint8_t bytes[20000];
    CHECK(idx->header_bytes + idx->values <= sizeof bytes);
    for (size_t i = 0; i < idx->header_bytes; i++) bytes[i] = (uint8_t)(idx->words[i / 4] >> (24 - 8 * (i % 4)));
    for (size_t i = 0; i < idx->values; i++) bytes[idx->header_bytes + i] = (uint8_t)(i % 10);
    CHECK(test_write(path, bytes, idx->header_bytes + idx->values));
}

enum { IMAGES_MAGIC = 0x803, LABELS_MAGIC = 0x801 };
static const Idx good_images = {{IMAGES_MAGIC, 5, 2, 3}, 16, 30};
static const Idx good_labels = {{LABELS_MAGIC, 5}, 8, 5};

/* Writes both files and reads them as a data set. */
static Dataset *read_pair(const Idx *images, const Idx *labels, int classes)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s", test_path("images"));
    write_idx(path, images);
    write_idx(test_path("labels"), labels);
    return dataset_idx(path, test_path("labels"), classes);
}

TEST(idx_files_are_read)
{
    Dataset *dataset = read_pair(&good_images, &good_labels, 10);
    CHECK(dataset);
    CHECK_EQUAL(dataset_count(dataset), 5);
    CHECK_EQUAL(dataset_classes(dataset), 10);
    CHECK(shape_equal(dataset_image_shape(dataset), SHAPE(1, 2, 3)));
    CHECK_EQUAL(dataset_image(dataset, 4)[5], 29 % 10);
    CHECK_EQUAL(dataset_image(dataset, 1)[0], 6);
    CHECK_EQUAL(dataset_label(dataset, 3), 3);
    CHECK(!dataset_image(dataset, 5));
    CHECK_ERROR("no image 5, there are 5");
    CHECK_EQUAL(dataset_label(dataset, -1), -1);
    CHECK_ERROR("no image -1");
    dataset_free(dataset);
    dataset_free(NULL);
}

TEST(damaged_idx_images_are_refused)
{
    static const struct {
        Idx idx;
        const char *message;
    } damage[] = {
        {{{0}, 0, 0}, "images: truncated at byte 0, within the header"},
        {{{IMAGES_MAGIC}, 3, 0}, "images: truncated at byte 3, within the header"},
        {{{IMAGES_MAGIC, 5, 2, 3}, 15, 0}, "images: truncated at byte 15, within the header of 16 bytes"},
        {{{LABELS_MAGIC, 30}, 8, 30}, "images: magic number 0x00000801 at byte 0"},
        {{{0xd03, 5, 2, 3}, 16, 120}, "images: magic number 0x00000d03 at byte 0"},
        {{{0x03080000, 5, 2, 3}, 16, 30}, "images: magic number 0x03080000 at byte 0"},
        {{{0x1f8b0800, 5, 2, 3}, 16, 30}, "images: compressed by gzip: gunzip it"},
        {{{IMAGES_MAGIC, 5, 0, 3}, 16, 30}, "images: the size at byte 8 is 0"},
        {{{IMAGES_MAGIC, 0, 2, 3}, 16, 0}, "images: the size at byte 4 is 0"},
        {{{IMAGES_MAGIC, 5, 2, 3}, 16, 29}, "images: truncated at byte 45: the header, up to the size 3 at byte 12"},
        {{{IMAGES_MAGIC, 5, 2, 3}, 16, 31}, "images: 1 bytes too many: the values end at byte 46"},
        {{{IMAGES_MAGIC, 0xffffffff, 0xffffffff, 0xffffffff}, 16, 30}, "truncated at byte 46: the header, up to the"},
        {{{IMAGES_MAGIC, 1, 0x80000000, 0x80000000}, 16, 30}, "size 2147483648 at byte 8"},
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        weft_alloc_fail_at(1); /* none of these may come to the point of taking memory */
        CHECK(!read_pair(&damage[i].idx, &good_labels, 10));
        weft_alloc_fail_at(0);
        CHECK_ERROR(damage[i].message);
    }
}

TEST(damaged_idx_labels_are_refused)
{
    static const struct {
        Idx idx;
        int classes;
        const char *message;
    } damage[] = {
        {{{LABELS_MAGIC, 5}, 6, 0}, 10, "labels: truncated at byte 6, within the header of 8 bytes"},
        {{{IMAGES_MAGIC, 5, 1, 1}, 16, 5}, 10, "labels: magic number 0x00000803 at byte 0"},
        {{{LABELS_MAGIC, 5}, 8, 4}, 10, "labels: truncated at byte 12"},
        {{{LABELS_MAGIC, 5}, 8, 7}, 10, "labels: 2 bytes too many: the values end at byte 13"},
        {{{LABELS_MAGIC, 6}, 8, 6}, 10, "images: has 5 images, but "},
        {{{LABELS_MAGIC, 4}, 8, 4}, 10, "labels has 4 labels"},
        {{{LABELS_MAGIC, 5}, 8, 5}, 3, "labels: label 3, at byte 11, is 3; there are 3 classes"},
        {{{LABELS_MAGIC, 5}, 8, 5}, 0, "0 classes"},
        {{{LABELS_MAGIC, 5}, 8, 5}, 257, "257 classes"},
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        CHECK(!read_pair(&good_images, &damage[i].idx, damage[i].classes));
        CHECK_ERROR(damage[i].message);
    }
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s", test_path("images"));
    CHECK(!dataset_idx(path, test_path("absent"), 10));
    CHECK_ERROR("absent: cannot open");
    snprintf(path, sizeof path, "%s", test_path(""));
    CHECK(!dataset_idx(path, test_path("labels"), 10));
    CHECK_ERROR("not a regular file");
}

TEST(idx_reading_survives_short_memory)
{
    for (int k = 1;; k++) {
        weft_alloc_fail_at(k);
        Dataset *dataset = read_pair(&good_images, &good_labels, 10);
        weft_alloc_fail_at(0);
        dataset_free(dataset);
        if (dataset) {
            CHECK(k == 4); /* images, labels, the data set itself */
            break;
        }
        CHECK_ERROR("memory");
    }
}

static void write_mnist(const char *folder, const char *name, const Idx *idx)
{
    char path[2 * PATH_ROOM];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_idx(path, idx);
}

TEST(mnist_folder_says_what_to_do)
{
    char folder[PATH_ROOM];
    snprintf(folder, sizeof folder, "%s", test_path("mnist"));
    CHECK(!dataset_mnist(folder, true));
    CHECK_ERROR("train-images-idx3-ubyte: no such file: get it with `make data`");
    CHECK(mkdir(folder, 0777) == 0);
    const Idx images = {{IMAGES_MAGIC, 12, 28, 28}, 16, 12 * 28 * 28}, labels = {{LABELS_MAGIC, 12}, 8, 12};
    write_mnist(folder, "train-images-idx3-ubyte.gz", &images);
    CHECK(!dataset_mnist(folder, true));
    CHECK_ERROR("train-images-idx3-ubyte.gz is there: gunzip it");
    CHECK(!dataset_mnist(folder, false));
    CHECK_ERROR("t10k-images-idx3-ubyte: no such file: get it with `make data`");
    write_mnist(folder, "t10k-images-idx3-ubyte", &images);
    CHECK(!dataset_mnist(folder, false));
    CHECK_ERROR("t10k-labels-idx1-ubyte: no such file: get it with `make data`");
    write_mnist(folder, "t10k-labels-idx1-ubyte", &labels);
    Dataset *dataset = dataset_mnist(folder, false);
    CHECK(dataset);
    CHECK_EQUAL(dataset_count(dataset), 12);
    CHECK_EQUAL(dataset_classes(dataset), 10);
    dataset_free(dataset);
    const Idx small = {{IMAGES_MAGIC, 12, 27, 28}, 16, 12 * 27 * 28};
    write_mnist(folder, "t10k-images-idx3-ubyte", &small);
    CHECK(!dataset_mnist(folder, false));
    CHECK_ERROR("images of 27 x 28; MNIST's are 28 x 28");
    const Idx narrow = {{IMAGES_MAGIC, 12, 28, 27}, 16, 12 * 28 * 27};
    write_mnist(folder, "t10k-images-idx3-ubyte", &narrow);
    CHECK(!dataset_mnist(folder, false));
    CHECK_ERROR("images of 28 x 27; MNIST's are 28 x 28");
    CHECK(!dataset_mnist(NULL, false));
    CHECK_ERROR("no folder");
}

TEST(dataset_copies_arrays)
{
    uint8_t images[2 * 3 * 4] = {9}, labels[2] = {1, 0};
    Dataset *dataset = dataset_from(images, labels, 2, 3, 2, 2, 2);
    CHECK(dataset);
    images[0] = 1;
    labels[0] = 0;
    CHECK_EQUAL(dataset_image(dataset, 0)[0], 9);
    CHECK_EQUAL(dataset_label(dataset, 0), 1);
    CHECK(shape_equal(dataset_image_shape(dataset), SHAPE(3, 2, 2)));
    dataset_free(dataset);
    labels[1] = 2;
    CHECK(!dataset_from(images, labels, 2, 3, 2, 2, 2));
    CHECK_ERROR("dataset_from: label 1 is 2; there are 2 classes");
    CHECK(!dataset_from(images, NULL, 2, 3, 2, 2, 2));
    CHECK_ERROR("no labels");
    CHECK(!dataset_from(images, labels, 0, 3, 2, 2, 2));
    CHECK_ERROR("0 images");
    CHECK(!dataset_from(images, labels, 2, 3, 0, 2, 2));
    CHECK_ERROR("[3, 0, 2]");
    CHECK(!dataset_from(images, labels, INT64_MAX, INT64_MAX, 2, 2, 2));
    CHECK_ERROR("images");
}

TEST(dataset_takes_the_largest_sides_and_as_many_classes_as_bytes)
{
    enum { MOST = 65536, CLASSES = 256 };
    static uint8_t pixels[MOST + 1];
    const uint8_t label = CLASSES - 1;
    for (int turned = 0; turned < 2; turned++) {
        Dataset *dataset = dataset_from(pixels, &label, 1, 1, turned ? MOST : 1, turned ? 1 : MOST, CLASSES);
        CHECK_EQUAL(dataset_label(dataset, 0), CLASSES - 1);
        dataset_free(dataset);
        CHECK(!dataset_from(pixels, &label, 1, 1, turned ? MOST + 1 : 1, turned ? 1 : MOST + 1, CLASSES));
        CHECK_ERROR(turned ? "[1, 65537, 1]; sides go from 1 to 65536" : "[1, 1, 65537]; sides go from 1 to 65536");
    }
}

/* ---- Loader ---- */

enum { CHANNELS = 2, HEIGHT = 3, WIDTH = 5, ELEMENTS = CHANNELS * HEIGHT * WIDTH, IMAGES = 37 };

/* Image i's pixel e is (7 i + 3 e) mod 256, its label i mod 10. */
static Dataset *small_dataset(void)
{
    uint8_t images[IMAGES * ELEMENTS], labels[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        labels[i] = (uint8_t)(i % 10);
        for (int e = 0; e < ELEMENTS; e++) images[i * ELEMENTS + e] = (uint8_t)(7 * i + 3 * e);
    }
    return dataset_from(images, labels, IMAGES, CHANNELS, HEIGHT, WIDTH, 10);
}

static Loader *small_loader(LoaderOptions options)
{
    options.dataset = small_dataset();
    Loader *loader = loader_with(options);
    dataset_free(options.dataset); /* the loader keeps it */
    return loader;
}

/* Every value of the batch is what its image says, and the layout and spare lanes are right. */
static void check_batch(const Batch *batch)
{
    CHECK(shape_equal(tensor_shape(batch->images), SHAPE(batch->count, CHANNELS, HEIGHT, WIDTH)));
    CHECK(shape_equal(tensor_shape(batch->labels), SHAPE(batch->count)));
    CHECK(batch->images->lanes);
    CHECK(layout_spare_is_right(batch->images) && layout_spare_is_right(batch->labels));
    Real *values = test_values(batch->images);
    for (int64_t n = 0; n < batch->count; n++) {
        int64_t i = batch->indices[n];
        CHECK_CLOSE(tensor_get(batch->labels, AT(n)), (double)(i % 10), 0);
        for (int64_t e = 0; e < ELEMENTS; e++) {
            double byte = (double)((7 * i + 3 * e) % 256);
            CHECK_CLOSE((double)values[n * ELEMENTS + e], (byte / 255 - 0.25) / 0.5, 1e-6);
        }
    }
    free(values);
}

/* Goes through one epoch and writes the order of its images. */
static void read_epoch(Loader *loader, int64_t batch_size, int64_t order[IMAGES])
{
    Batch batch;
    int64_t seen = 0;
    while (loader_next(loader, &batch)) {
        int64_t left = loader_count(loader) - seen;
        CHECK_EQUAL(batch.count, left < batch_size ? left : batch_size);
        check_batch(&batch);
        if (test_failed()) return;
        for (int64_t n = 0; n < batch.count; n++) order[seen + n] = batch.indices[n];
        seen += batch.count;
    }
    CHECK(!weft_error());
    CHECK_EQUAL(seen, loader_count(loader));
}

static void check_covers_once(const int64_t *order, int64_t first, int64_t count)
{
    bool seen[IMAGES] = {false};
    for (int64_t i = 0; i < count; i++) {
        CHECK(order[i] >= first && order[i] < first + count && !seen[order[i]]);
        seen[order[i]] = true;
    }
}

TEST(loader_covers_each_image_once)
{
    static const int64_t sizes[] = {1, 2, 15, 16, 17, 36, 37, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        Loader *loader = small_loader((LoaderOptions){
            .batch_size = sizes[s], .shuffle = s % 2 == 1, .seed = 3, .mean = 0.25, .deviation = 0.5});
        CHECK(loader);
        CHECK_EQUAL(loader_batches(loader), (IMAGES + sizes[s] - 1) / sizes[s]);
        for (int epoch = 0; epoch < 2; epoch++) {
            int64_t order[IMAGES];
            read_epoch(loader, sizes[s], order);
            check_covers_once(order, 0, IMAGES);
            if (test_failed()) return;
            bool in_order = true;
            for (int64_t i = 0; i < IMAGES; i++) in_order = in_order && order[i] == i;
            CHECK(in_order == (s % 2 == 0));
        }
        loader_free(loader);
    }
}

TEST(loader_uses_its_range)
{
    int64_t order[IMAGES];
    Loader *loader = small_loader((LoaderOptions){
        .batch_size = 4, .shuffle = true, .mean = 0.25, .deviation = 0.5, .first = 10, .count = 9});
    CHECK_EQUAL(loader_count(loader), 9);
    CHECK_EQUAL(loader_batches(loader), 3);
    read_epoch(loader, 4, order);
    check_covers_once(order, 10, 9);
    loader_free(loader);
    loader = small_loader((LoaderOptions){.batch_size = 4, .mean = 0.25, .deviation = 0.5, .first = 30});
    read_epoch(loader, 4, order);
    check_covers_once(order, 30, 7);
    loader_free(loader);
}

TEST(loader_order_follows_seed_and_epoch)
{
    int64_t a[IMAGES], b[IMAGES];
    LoaderOptions options = {.batch_size = 8, .shuffle = true, .seed = 1, .mean = 0.25, .deviation = 0.5};
    Loader *loader = small_loader(options), *same = small_loader(options);
    options.seed = 2;
    Loader *other = small_loader(options);
    read_epoch(loader, 8, a);
    read_epoch(same, 8, b);
    CHECK(memcmp(a, b, sizeof a) == 0);
    read_epoch(other, 8, b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    read_epoch(loader, 8, b); /* the second epoch */
    CHECK(memcmp(a, b, sizeof a) != 0);
    Batch batch;
    CHECK(loader_next(loader, &batch));
    CHECK_EQUAL(loader_epoch(loader), 2);
    loader_set_epoch(loader, 0); /* in the middle of the third */
    read_epoch(loader, 8, b);
    CHECK(memcmp(a, b, sizeof a) == 0);
    loader_free(loader);
    loader_free(same);
    loader_free(other);
}

TEST(loader_reuses_what_nobody_keeps)
{
    Loader *loader = small_loader((LoaderOptions){.batch_size = 8, .mean = 0.25, .deviation = 0.5});
    Batch first, second, third;
    CHECK(loader_next(loader, &first));
    const Tensor *images = first.images, *labels = first.labels;
    int64_t version = tensor_version(images), label_version = tensor_version(labels);
    CHECK(loader_next(loader, &second));
    CHECK(second.images == images && second.labels == labels);
    CHECK(tensor_version(images) > version && tensor_version(labels) > label_version);

    Tensor *kept = tensor_retain(second.images);
    Real *before = test_values(kept);
    CHECK(loader_next(loader, &third));
    CHECK(third.images != kept && third.labels == labels);
    Real *after = test_values(kept);
    CHECK_EQUAL_BITS(after, before, 8 * ELEMENTS);
    tensor_release(kept);
    free(after);

    /* A handle on the same storage keeps the values as well. */
    const Tensor *view = tensor_detach(third.images);
    Real *third_values = test_values(view);
    CHECK(loader_next(loader, &first));
    Real *view_values = test_values(view);
    CHECK_EQUAL_BITS(view_values, third_values, 8 * ELEMENTS);
    check_batch(&first);

    /* A gradient that is wanted of one batch is not wanted of the next. */
    loader_set_epoch(loader, 0);
    CHECK(loader_next(loader, &first) && tensor_set_requires_grad(first.images, true));
    CHECK(loader_next(loader, &second));
    CHECK(!tensor_requires_grad(second.images));
    free(before);
    free(third_values);
    free(view_values);
    loader_free(loader);
}

TEST(loader_makes_no_conversion_and_needs_no_scope)
{
    Loader *loader = small_loader((LoaderOptions){.batch_size = 8, .mean = 0.25, .deviation = 0.5});
    int64_t conversions = weft_counters().conversions, tensors = weft_counters().tensors;
    Batch batch;
    Scope scope = scope_open();
    CHECK(loader_next(loader, &batch));
    scope_close(scope);
    while (loader_next(loader, &batch)) CHECK_EQUAL(weft_counters().tensors, tensors + 2);
    CHECK_EQUAL(weft_counters().conversions, conversions);
    loader_free(loader);
    CHECK_EQUAL(weft_counters().tensors, tensors);
}

TEST(loader_survives_short_memory)
{
    LoaderOptions options = {.dataset = small_dataset(), .batch_size = 8, .mean = 0.25, .deviation = 0.5};
    Loader *loader = NULL;
    for (int k = 1; !loader; k++) {
        weft_alloc_fail_at(k);
        loader = loader_with(options);
        weft_alloc_fail_at(0);
        if (!loader) CHECK_ERROR("memory");
        else CHECK(k > 4);
    }
    Batch batch;
    CHECK(loader_next(loader, &batch));
    Tensor *kept[2] = {tensor_retain(batch.images), tensor_retain(batch.labels)};
    int failures = 0;
    for (bool ok = false; !ok; failures += !ok) {
        weft_alloc_fail_at(failures + 1);
        ok = loader_next(loader, &batch);
        weft_alloc_fail_at(0);
        if (!ok) CHECK_ERROR("memory");
    }
    CHECK(failures >= 4);
    check_batch(&batch);
    CHECK_EQUAL(batch.indices[0], 8); /* the second batch: none was lost */
    for (int i = 0; i < 2; i++) tensor_release(kept[i]);
    loader_free(loader);
    dataset_free(options.dataset);
}

TEST(loader_checks_its_options)
{
    static const struct {
        LoaderOptions options;
        const char *message;
    } wrong[] = {
        {{.batch_size = 0}, "batch_size is 0"},
        {{.batch_size = -3}, "batch_size is -3"},
        {{.batch_size = 1, .first = IMAGES}, "0 images from 37 on are wanted; there are 37"},
        {{.batch_size = 1, .first = -1}, "from -1 on"},
        {{.batch_size = 1, .first = 30, .count = 8}, "8 images from 30 on are wanted; there are 37"},
        {{.batch_size = 1, .count = -1}, "-1 images"},
        {{.batch_size = 1, .deviation = -1}, "deviation -1"},
        {{.batch_size = 1, .deviation = INFINITY}, "deviation inf"},
        {{.batch_size = 1, .mean = INFINITY}, "mean inf"},
        {{.batch_size = 1, .mean = NAN}, "mean "},
        {{.batch_size = 1, .augmentation = {.rotation = 181}}, "rotation is 181"},
        {{.batch_size = 1, .augmentation = {.translation = -1}}, "translation is -1"},
        {{.batch_size = 1, .augmentation = {.scale = 1}}, "scale is 1"},
        {{.batch_size = 1, .augmentation = {.shear = 90}}, "shear is 90"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(!small_loader(wrong[i].options));
        CHECK_ERROR(wrong[i].message);
    }
    Loader *largest = small_loader((LoaderOptions){
        .batch_size = 1, .augmentation = {.rotation = 180, .translation = 65536, .scale = 0.9, .shear = 80}});
    CHECK(largest);
    loader_free(largest);
    CHECK(!loader_new(NULL, 8));
    CHECK_ERROR("no data set");
    Batch batch;
    CHECK(!loader_next(NULL, &batch));
    CHECK_ERROR("no loader");
    Loader *loader = small_loader((LoaderOptions){.batch_size = 1});
    CHECK(loader && !loader_next(loader, NULL));
    CHECK_ERROR("no batch");
    loader_free(loader);
    loader_free(NULL);
}

TEST(data_of_nothing_is_nothing)
{
    CHECK_EQUAL(dataset_count(NULL), 0);
    CHECK_EQUAL(dataset_classes(NULL), 0);
    CHECK_EQUAL(dataset_image_shape(NULL).rank, 0);
    CHECK_EQUAL(loader_count(NULL), 0);
    CHECK_EQUAL(loader_batches(NULL), 0);
    CHECK_EQUAL(loader_epoch(NULL), 0);
    loader_set_epoch(NULL, 1);
    CHECK(!weft_error() && !dataset_image(NULL, 0));
    CHECK_ERROR("dataset_image: no data set");
    CHECK_EQUAL(dataset_label(NULL, 0), -1);
    CHECK_ERROR("dataset_label: no data set");
}
