#include "data/dataset.h"
#include "tests/test.h"

enum { SIDE = 29, PIXELS = SIDE * SIDE };

/* Any picture without symmetry, in a rectangle if width is not height. */
static void fill(uint8_t *image, int count)
{
    for (int i = 0; i < count; i++) image[i] = (uint8_t)(128 + 127 * test_number(9, i));
}

/* The pixel, or 0 outside. */
static double pixel(const uint8_t *image, int height, int width, int y, int x)
{
    return y >= 0 && y < height && x >= 0 && x < width ? image[y * width + x] : 0;
}

TEST(augment_whole_pixels_are_a_shift)
{
    enum { HEIGHT = 7, WIDTH = 12 };
    static const int shifts[][2] = {{0, 0}, {3, -2}, {-1, 4}, {0, 6}, {0, 7}, {-12, 0}, {11, 0}, {500, -500}};
    uint8_t image[HEIGHT * WIDTH];
    Real result[HEIGHT * WIDTH];
    fill(image, HEIGHT * WIDTH);
    for (size_t s = 0; s < sizeof shifts / sizeof *shifts; s++) {
        int right = shifts[s][0], down = shifts[s][1];
        AffineMap map = augment_map(HEIGHT, WIDTH, 0, 0, 1, right, down);
        augment_apply(&map, image, HEIGHT, WIDTH, result);
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++)
                CHECK_CLOSE((double)result[y * WIDTH + x], pixel(image, HEIGHT, WIDTH, y - down, x - right), 0);
        }
    }
}

/* A quarter of a pixel to the right and half a pixel down: each result is a mean of four pixels, weighted. */
TEST(augment_interpolates)
{
    enum { HEIGHT = 6, WIDTH = 5 };
    uint8_t image[HEIGHT * WIDTH];
    Real result[HEIGHT * WIDTH];
    fill(image, HEIGHT * WIDTH);
    AffineMap map = augment_map(HEIGHT, WIDTH, 0, 0, 1, 0.25, 0.5);
    augment_apply(&map, image, HEIGHT, WIDTH, result);
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            double here = 0.75 * pixel(image, HEIGHT, WIDTH, y, x) + 0.25 * pixel(image, HEIGHT, WIDTH, y, x - 1);
            double above = 0.75 * pixel(image, HEIGHT, WIDTH, y - 1, x) +
                           0.25 * pixel(image, HEIGHT, WIDTH, y - 1, x - 1);
            CHECK_CLOSE((double)result[y * WIDTH + x], 0.5 * here + 0.5 * above, 0);
        }
    }
}

/* Where the map sends a pixel of the image, the result has its value: for maps that send pixels to pixels.
 * Forward, an offset (x, y) from the centre becomes (xx x + xy y, yx x + yy y). */
static void check_forward(AffineMap map, int xx, int xy, int yx, int yy)
{
    uint8_t image[PIXELS];
    Real result[PIXELS];
    fill(image, PIXELS);
    augment_apply(&map, image, SIDE, SIDE, result);
    int centre = SIDE / 2, hits = 0;
    for (int y = -centre; y <= centre; y++) {
        for (int x = -centre; x <= centre; x++) {
            int to_x = centre + xx * x + xy * y, to_y = centre + yx * x + yy * y;
            if (to_x < 0 || to_x >= SIDE || to_y < 0 || to_y >= SIDE) continue;
            CHECK_CLOSE((double)result[to_y * SIDE + to_x], image[(centre + y) * SIDE + centre + x], 0);
            hits++;
        }
    }
    CHECK(hits > PIXELS / 5);
}

TEST(augment_maps_are_what_they_say)
{
    check_forward(augment_map(SIDE, SIDE, 90, 0, 1, 0, 0), 0, -1, 1, 0); /* right becomes down */
    check_forward(augment_map(SIDE, SIDE, -90, 0, 1, 0, 0), 0, 1, -1, 0);
    check_forward(augment_map(SIDE, SIDE, 180, 0, 1, 0, 0), -1, 0, 0, -1);
    check_forward(augment_map(SIDE, SIDE, 0, 45, 1, 0, 0), 1, 1, 0, 1);
    check_forward(augment_map(SIDE, SIDE, 0, 0, 2, 0, 0), 2, 0, 0, 2);
    check_forward(augment_map(SIDE, SIDE, 90, 45, 1, 0, 0), 0, -1, 1, 1); /* sheared first, then turned */
}

/* The centre of an even side lies between pixels; a smooth hill about it stays where it is at any angle. */
static void check_hill(int height, int width)
{
    uint8_t image[PIXELS + SIDE];
    Real result[PIXELS + SIDE];
    for (int i = 0; i < height * width; i++) {
        double x = i % width - (width - 1) / 2.0, y = i / width - (height - 1) / 2.0;
        double height_left = fmax(0, 1 - (x * x + y * y) / 180);
        image[i] = (uint8_t)(250 * height_left * height_left + 0.5);
    }
    for (double angle = -170; angle < 180; angle += 17) {
        AffineMap map = augment_map(height, width, angle, 0, 1, 0, 0);
        augment_apply(&map, image, height, width, result);
        for (int i = 0; i < height * width; i++) CHECK(fabs((double)result[i] - image[i]) < 3);
    }
}

TEST(augment_keeps_a_centred_disc)
{
    check_hill(28, 28);
    check_hill(29, 29);
    check_hill(28, 29);
}

static double pixels_of(int64_t coordinate)
{
    return (double)coordinate / 0x1p32;
}

/* Each option moves what it says, by up to what it says, either way, and nothing else. */
TEST(augment_random_maps_keep_to_their_ranges)
{
    enum { COUNT = 2000 };
    const RandomKey key = {5, 6, 7};
    const Augmentation turn = {.rotation = 10}, move = {.translation = 3}, zoom = {.scale = 0.2}, lean = {.shear = 20};
    const int64_t one = INT64_C(1) << 32;
    double least[5] = {9, 9, 9, 9, 9}, most[5] = {-9, -9, -9, -9, -9};
    for (int64_t i = 0; i < COUNT; i++) {
        AffineMap t = augment_random(SIDE, SIDE, &turn, key, i), m = augment_random(SIDE, SIDE, &move, key, i);
        AffineMap z = augment_random(SIDE, SIDE, &zoom, key, i), l = augment_random(SIDE, SIDE, &lean, key, i);
        double measured[5] = {asin(pixels_of(t.x_by_y)) * 180 / acos(-1) / 10, -pixels_of(m.x0) / 3,
                              -pixels_of(m.y0) / 3, (1 / pixels_of(z.x_by_x) - 1) / 0.2,
                              atan(-pixels_of(l.x_by_y)) * 180 / acos(-1) / 20};
        for (int k = 0; k < 5; k++) {
            least[k] = fmin(least[k], measured[k]);
            most[k] = fmax(most[k], measured[k]);
        }
        CHECK_CLOSE(hypot(pixels_of(t.x_by_x), pixels_of(t.y_by_x)), 1, 1e-9);
        CHECK(m.x_by_x == one && m.y_by_y == one && m.x_by_y == 0 && m.y_by_x == 0);
        CHECK(z.x_by_x == z.y_by_y && z.x_by_y == 0 && l.y_by_x == 0);
    }
    for (int k = 0; k < 5; k++) {
        CHECK(least[k] > -1.000001 && least[k] < -0.98);
        CHECK(most[k] < 1.000001 && most[k] > 0.98);
    }
}

/* Exact in float and double alike, so one sum stands for every compiler, machine and precision. */
TEST(augment_same_bits_everywhere)
{
    const Augmentation augmentation = {.rotation = 15, .translation = 2.5, .scale = 0.15, .shear = 10};
    uint8_t image[28 * 28];
    Real result[28 * 28];
    fill(image, 28 * 28);
    uint64_t sum = 0;
    for (int64_t i = 0; i < 100; i++) {
        augment_image(image, 28, 28, &augmentation, (RandomKey){1, STREAM_AUGMENTATION, 2}, i, result);
        for (int e = 0; e < 28 * 28; e++) {
            CHECK(result[e] >= 0 && result[e] <= DATA_MAX_BYTE);
            sum = sum * UINT64_C(6364136223846793005) + (uint64_t)((double)result[e] * 65536);
        }
    }
    CHECK(sum == UINT64_C(2221877298195102526));
}

TEST(augment_is_on_by_each_option)
{
    static const Augmentation none = {0}, each[] = {{.rotation = 1}, {.translation = 1}, {.scale = 0.1}, {.shear = 1}};
    CHECK(!augment_is_on(&none));
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) CHECK(augment_is_on(&each[i]));
}

/* ---- In the loader ---- */

enum { IMAGES = 40, LOADER_PIXELS = 2 * 6 * 7 };

/* Reads one epoch's images into the places of their indices. */
static void read_images(Dataset *dataset, int64_t batch_size, uint64_t seed, int64_t epoch, Real *images)
{
    Loader *loader = loader_new(dataset, batch_size, .shuffle = batch_size % 2, .seed = seed,
                                .augmentation = {.rotation = 20, .translation = 1, .scale = 0.1, .shear = 5});
    loader_set_epoch(loader, epoch);
    Batch batch;
    while (loader_next(loader, &batch)) {
        Real *values = test_values(batch.images);
        CHECK(values);
        for (int64_t n = 0; n < batch.count; n++)
            memcpy(images + batch.indices[n] * LOADER_PIXELS, values + n * LOADER_PIXELS,
                   LOADER_PIXELS * sizeof *images);
        free(values);
    }
    loader_free(loader);
}

TEST(augment_depends_on_seed_epoch_and_image_alone)
{
    static uint8_t images[IMAGES * LOADER_PIXELS], labels[IMAGES];
    static Real expected[IMAGES * LOADER_PIXELS], values[IMAGES * LOADER_PIXELS];
    fill(images, LOADER_PIXELS);
    for (int i = 1; i < IMAGES; i++) memcpy(images + i * LOADER_PIXELS, images, LOADER_PIXELS);
    Dataset *dataset = dataset_from(images, labels, IMAGES, 2, 6, 7, 10);
    int threads = weft_threads();
    read_images(dataset, 16, 3, 4, expected);
    for (int n = 1; n <= 3; n++) {
        CHECK(weft_set_threads(n));
        for (int64_t batch_size = 7; batch_size <= 40; batch_size += 11) {
            read_images(dataset, batch_size, 3, 4, values);
            CHECK_EQUAL_BITS(values, expected, IMAGES * LOADER_PIXELS);
        }
    }
    CHECK(weft_set_threads(threads));
    read_images(dataset, 16, 4, 4, values);
    CHECK(memcmp(values, expected, sizeof values) != 0);
    read_images(dataset, 16, 3, 5, values);
    CHECK(memcmp(values, expected, sizeof values) != 0);
    CHECK(memcmp(expected, expected + LOADER_PIXELS, LOADER_PIXELS * sizeof *expected) != 0);

    /* The epochs of a loader that goes on, in order, are those that it can be sent to. */
    Loader *loader = loader_new(dataset, IMAGES, .seed = 3, .augmentation = {.rotation = 20});
    Batch batch;
    for (int epoch = 0; epoch < 2; epoch++) {
        Real *each = epoch == 0 ? expected : values;
        CHECK(loader_next(loader, &batch) && tensor_read(batch.images, each, IMAGES * LOADER_PIXELS));
        CHECK(!loader_next(loader, &batch));
    }
    CHECK(memcmp(values, expected, sizeof values) != 0);
    loader_set_epoch(loader, 1);
    CHECK(loader_next(loader, &batch) && tensor_read(batch.images, expected, IMAGES * LOADER_PIXELS));
    CHECK_EQUAL_BITS(values, expected, IMAGES * LOADER_PIXELS);
    loader_free(loader);

    /* Both channels by one map, and what augment_image says. */
    read_images(dataset, 16, 3, 4, expected);
    const Augmentation augmentation = {.rotation = 20, .translation = 1, .scale = 0.1, .shear = 5};
    Real row[6 * 7];
    for (int c = 0; c < 2; c++) {
        augment_image(images + c * 6 * 7, 6, 7, &augmentation, (RandomKey){3, STREAM_AUGMENTATION, 4}, 12, row);
        for (int e = 0; e < 6 * 7; e++)
            CHECK_CLOSE((double)expected[12 * LOADER_PIXELS + c * 6 * 7 + e], (double)row[e] / 255, 1e-6);
    }
    dataset_free(dataset);
    augment_image(images, 6, 7, NULL, (RandomKey){0}, 0, row);
    CHECK_ERROR("augmentation or result is NULL");
    augment_image(NULL, 6, 7, &augmentation, (RandomKey){0}, 0, row);
    CHECK_ERROR("image, augmentation");
    augment_image(images, 6, 7, &augmentation, (RandomKey){0}, 0, NULL);
    CHECK_ERROR("or result is NULL");
}
