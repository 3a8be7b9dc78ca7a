/* Pictures of digits: reading PGM files, and preparing what they show. */
#include <stdio.h>

#include "apps/trainer.h"
#include "autograd/autograd.h"
#include "data/data.h"
#include "nn/state.h"
#include "tensor/memory.h"
#include "tests/draw.h"
#include "tests/test.h"

enum { PIXELS = MNIST_SIDE * MNIST_SIDE };

/* ---- Files ---- */

static Pgm *read_bytes(const char *bytes, size_t count)
{
    const char *path = test_path("image.pgm");
    return test_write(path, bytes, count) ? pgm_read(path) : weft_fail("test: cannot write %s", path);
}

/* A string literal, whose bytes may be zero, as a file. */
#define READ(literal) read_bytes("" literal, sizeof literal - 1)

/* The file is an image of two rows: black, a third, two thirds; white, black, white. */
static void check_image(Pgm *image)
{
    static const uint16_t values[] = {0, 21845, 43690, 65535, 0, 65535};
    CHECK(image);
    CHECK_EQUAL(image->height, 2);
    CHECK_EQUAL(image->width, 3);
    for (int i = 0; i < 6; i++) CHECK_EQUAL(image->values[i], values[i]);
    pgm_free(image);
}

TEST(pgm_files_are_read)
{
    check_image(READ("P5 3 2 255\n\x00\x55\xaa\xff\x00\xff"));
    check_image(READ("P5\n# a comment\n3 2\n# another # one\n3\n\x00\x01\x02\x03\x00\x03"));
    check_image(READ("P5 3 2 65535\n\x00\x00\x55\x55\xaa\xaa\xff\xff\x00\x00\xff\xff"));
    check_image(READ("P5 3 2 300\n\x00\x00\x00\x64\x00\xc8\x01\x2c\x00\x00\x01\x2c"));
    check_image(READ("P2 3 2 3 0 1 2 3 0 3"));
    check_image(READ("P2\r\n3\t2# comment\n 9 # 9\n0 3 6\n# within\n9 0 9\n\n"));
    check_image(READ("P2 # until a carriage return\r3 2 3 0 1 2 3 0 3"));
    check_image(READ("P2 3 2 0065535 0 21845 43690 65535 0 65535\n"));
    /* The first byte of the pixels may be a space, or begin a comment in text. */
    Pgm *image = READ("P5 2 1 255\n\n#");
    CHECK(image);
    CHECK_EQUAL(image->values[0], '\n' * 257);
    CHECK_EQUAL(image->values[1], '#' * 257);
    pgm_free(image);
    /* 65535 / 200 is 327.675. */
    image = READ("P2 2 1 200 1 200");
    CHECK(image);
    CHECK_EQUAL(image->values[0], 328);
    CHECK_EQUAL(image->values[1], 65535);
    pgm_free(image);
}

TEST(pgm_files_that_are_none_are_refused)
{
    static const struct {
        const char *bytes, *says;
    } cases[] = {
        {"", "image.pgm: truncated at byte 0"},
        {"P", "truncated at byte 1"},
        {"P6 1 1 255\nabc", "begins with P6"},
        {"\x89PNG\r\n", "0x89 0x50 at byte 0"},
        {"PX 1 1 1 1", "at byte 0"},
        {"P5", "truncated at byte 2, within the width"},
        {"P5 # no end", "truncated at byte 11, within the width"},
        {"P5 3", "truncated at byte 4, within the height"},
        {"P5 3 2", "truncated at byte 6, within the largest value"},
        {"P5 3 2 255", "truncated at byte 10, within the pixels"},
        {"P5 3 2 255\nabcde", "truncated at byte 16, within the pixels"},
        {"P5 3 2 65535\nabcabcabcab", "truncated at byte 24"},
        {"P2 3 2 3 0 1 2 3 0", "truncated at byte 18, within a pixel"},
        {"P5 -3 2 255\nabcdef", "byte 3 is 0x2d, where the width"},
        {"P5 3x 2 255\nabcdef", "byte 4 is 0x78, within the width"},
        {"P5 0 2 255\n", "the width at byte 3 is 0; it goes from 1 to 65536"},
        {"P5 3 65537 255\n", "the height at byte 5 is more than 65536"},
        {"P5 3 99999999999999999999999999 255\n", "the height at byte 5 is more than 65536"},
        {"P5 65536 65536 255\n", "more than the 100000000"},
        {"P5 10001 10000 255\n", "10001 x 10000 pixels are more than the 100000000"},
        {"P5 60000 1600 255\nabc", "truncated at byte 21"},
        {"P5 3 2 0\nabcdef", "the largest value at byte 7 is 0"},
        {"P5 3 2 65536\nabcdef", "the largest value at byte 7 is more than 65535"},
        {"P5 3 2 98\nabcdef", "ends at byte 12 is 99, the largest value 98"},
        {"P5 2 1 256\nabba", "ends at byte 12 is 24930"},
        {"P2 3 2 3 0 1 2 4 0 3", "a pixel at byte 15 is more than 3"},
        {"P2 3 2 3 0 1 2 3 0 -3", "byte 19 is 0x2d"},
        {"P5 3 2 255\nabcdefg", "more bytes from byte 17 on"},
        {"P2 3 2 3 0 1 2 3 0 3 1", "more bytes from byte 21 on"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(!read_bytes(cases[i].bytes, strlen(cases[i].bytes)));
        CHECK_ERROR(cases[i].says);
    }
    CHECK(!pgm_read(test_path("nothing.pgm")));
    CHECK_ERROR("nothing.pgm: cannot open");
    CHECK(!pgm_read("/"));
    CHECK_ERROR("/: cannot read");
    CHECK(!pgm_read(NULL));
    CHECK_ERROR("no path");
    CHECK(!READ("P5 3 2 9\n\n\1\2"));
    CHECK_ERROR("ends at byte 9 is 10");
    pgm_free(NULL);
}

TEST(pgm_fails_when_memory_is_short)
{
    for (int k = 1; k <= 2; k++) {
        weft_alloc_fail_at(k);
        CHECK(!READ("P5 3 2 255\nabcdef"));
        CHECK_ERROR("memory");
    }
    uint8_t digit[PIXELS];
    uint16_t values[9] = {[4] = 65535};
    for (int k = 1; k <= 2; k++) {
        weft_alloc_fail_at(k);
        CHECK(!pgm_prepare(&(Pgm){3, 3, values}, digit));
        CHECK_ERROR("memory");
    }
    weft_alloc_fail_at(0);
}

/* ---- Preparation ---- */

/* Draws and prepares. */
static void prepare(int digit, const Drawing *drawing, uint8_t prepared[PIXELS])
{
    const int64_t count = drawing->height * drawing->width;
    uint8_t *bytes = malloc((size_t)count);
    uint16_t *values = malloc((size_t)count * sizeof *values);
    if (!bytes || !values) abort();
    draw_digit(bytes, digit, drawing);
    for (int64_t i = 0; i < count; i++) values[i] = (uint16_t)(bytes[i] * 257);
    const bool ok = pgm_prepare(&(Pgm){drawing->height, drawing->width, values}, prepared);
    free(bytes);
    free(values);
    CHECK(ok);
}

typedef struct Centre {
    double x, y, mass;
} Centre;

static Centre centre_of(const uint8_t digit[PIXELS])
{
    Centre centre = {0, 0, 0};
    for (int i = 0; i < PIXELS; i++) {
        centre.mass += digit[i];
        centre.x += digit[i] * (i % MNIST_SIDE);
        centre.y += digit[i] * (i / MNIST_SIDE);
    }
    centre.x /= centre.mass;
    centre.y /= centre.mass;
    return centre;
}

/* A digit of that size somewhere in a picture; number i of a sequence of places. */
static Drawing somewhere(double size, uint32_t i)
{
    const double room = 0.3 * size;
    return (Drawing){.height = (int64_t)(1.7 * size), .width = (int64_t)(1.5 * size),
                     .left = (1 + test_number(i, 0)) * room + 0.1 * size,
                     .top = (1 + test_number(i, 1)) * room + 0.1 * size,
                     .size = size, .thickness = 0.12 * size, .light = i % 2 == 1};
}

TEST(prepared_digits_fill_their_place)
{
    for (int digit = 0; digit < MNIST_CLASSES; digit++) {
        uint8_t prepared[PIXELS];
        const Drawing drawing = somewhere(300, (uint32_t)digit);
        prepare(digit, &drawing, prepared);
        CHECK(!test_failed());
        const Centre centre = centre_of(prepared);
        CHECK_CLOSE(centre.x, 14, 0.002);
        CHECK_CLOSE(centre.y, 14, 0.002);
        int first = MNIST_SIDE, last = 0, most = 0;
        for (int i = 0; i < PIXELS; i++) {
            const int y = i / MNIST_SIDE;
            most = prepared[i] > most ? prepared[i] : most;
            if (prepared[i] < 64) continue;
            first = y < first ? y : first;
            last = y > last ? y : last;
        }
        /* All ten are taller than wide. */
        CHECK(last - first + 1 >= 19 && last - first + 1 <= 21);
        CHECK_EQUAL(most, 255);
    }
}

TEST(prepared_digits_do_not_depend_on_place_size_and_polarity)
{
    static const double sizes[] = {60, 90, 150, 410, 600};
    for (int digit = 0; digit < MNIST_CLASSES; digit++) {
        uint8_t reference[PIXELS], prepared[PIXELS];
        const Drawing drawing = {.height = 400, .width = 400, .left = 90, .top = 60, .size = 250, .thickness = 30};
        prepare(digit, &drawing, reference);
        CHECK(!test_failed());
        for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const Drawing other = somewhere(sizes[i], i);
            prepare(digit, &other, prepared);
            CHECK(!test_failed());
            double difference = 0;
            for (int k = 0; k < PIXELS; k++) difference += abs(prepared[k] - reference[k]);
            CHECK(difference < 0.12 * centre_of(reference).mass);
        }
    }
}

/* A picture turned over its diagonal gives the digit turned over its diagonal: wide as it gives it tall. */
TEST(prepared_digits_may_be_wider_than_tall)
{
    enum { HEIGHT = 700, WIDTH = 400 };
    static uint8_t drawn[HEIGHT * WIDTH], of_tall[PIXELS], of_wide[PIXELS];
    static uint16_t tall[HEIGHT * WIDTH], wide[WIDTH * HEIGHT];
    const Drawing drawing = {.height = HEIGHT, .width = WIDTH, .left = 50, .top = 80, .size = 500, .thickness = 60};
    draw_digit(drawn, 4, &drawing);
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++)
            tall[y * WIDTH + x] = wide[x * HEIGHT + y] = (uint16_t)(drawn[y * WIDTH + x] * 257);
    }
    CHECK(pgm_prepare(&(Pgm){HEIGHT, WIDTH, tall}, of_tall) && pgm_prepare(&(Pgm){WIDTH, HEIGHT, wide}, of_wide));
    for (int y = 0; y < MNIST_SIDE; y++) {
        for (int x = 0; x < MNIST_SIDE; x++)
            CHECK(abs(of_tall[y * MNIST_SIDE + x] - of_wide[x * MNIST_SIDE + y]) <= 1);
    }
}

TEST(shade_and_noise_are_no_ink)
{
    for (int digit = 0; digit < MNIST_CLASSES; digit++) {
        uint8_t reference[PIXELS], prepared[PIXELS];
        Drawing drawing = {.height = 400, .width = 400, .left = 90, .top = 60, .size = 250, .thickness = 30};
        prepare(digit, &drawing, reference);
        drawing.shade = 0.2;
        drawing.noise = 0.03;
        prepare(digit, &drawing, prepared);
        CHECK(!test_failed());
        double difference = 0;
        for (int k = 0; k < PIXELS; k++) difference += abs(prepared[k] - reference[k]);
        CHECK(difference < 0.04 * centre_of(reference).mass);
    }
}

/* Two of five pixels of the paper are darker, also of its border: fewer than half, and still no ink. */
TEST(grain_of_the_paper_is_no_ink)
{
    enum { SIDE = 100 };
    static uint16_t values[SIDE * SIDE];
    uint8_t prepared[PIXELS];
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int x = i % SIDE, y = i / SIDE;
        const bool bar = x >= 45 && x < 55 && y >= 25 && y < 75;
        values[i] = bar ? 0 : (7 * x + 3 * y) % 5 < 2 ? 51000 : 60000;
    }
    CHECK(pgm_prepare(&(Pgm){SIDE, SIDE, values}, prepared));
    for (int y = 5; y <= 23; y++) CHECK_EQUAL(prepared[y * MNIST_SIDE + 14], 255);
    for (int x = 0; x < 10; x++) CHECK_EQUAL(prepared[14 * MNIST_SIDE + x], 0);
}

/* Pale ink on grey paper is what black ink on white paper is. */
TEST(pale_ink_is_ink)
{
    enum { SIDE = 60, PAPER = 45000, INK = 35000 };
    static uint16_t values[SIDE * SIDE];
    uint8_t strong[PIXELS], pale[PIXELS];
    for (int is_pale = 0; is_pale < 2; is_pale++) {
        for (int i = 0; i < SIDE * SIDE; i++) {
            const int x = i % SIDE, y = i / SIDE;
            const bool ink = y >= 10 && y < 50 && x >= 20 && x < (y < 18 ? 40 : 26);
            values[i] = is_pale ? (ink ? INK : PAPER) : ink ? 0 : 65535;
        }
        CHECK(pgm_prepare(&(Pgm){SIDE, SIDE, values}, is_pale ? pale : strong));
    }
    CHECK(memcmp(pale, strong, PIXELS) == 0);
}

/* A picture of MNIST's size, a grey row in a bar that is symmetric about pixel (14, 14). */
TEST(grey_stays_grey_and_symmetry_symmetry)
{
    uint16_t values[PIXELS] = {0};
    uint8_t prepared[PIXELS];
    for (int y = 5; y <= 23; y++) {
        for (int x = 12; x <= 16; x++) values[y * MNIST_SIDE + x] = y == 14 ? 257 * 100 : 65535;
    }
    CHECK(pgm_prepare(&(Pgm){MNIST_SIDE, MNIST_SIDE, values}, prepared));
    CHECK_EQUAL(prepared[14 * MNIST_SIDE + 14], 100);
    CHECK_EQUAL(prepared[10 * MNIST_SIDE + 14], 255);
    CHECK_EQUAL(prepared[10 * MNIST_SIDE + 10], 0);
    CHECK_EQUAL(prepared[3 * MNIST_SIDE + 14], 0);
    for (int y = 1; y < MNIST_SIDE; y++) {
        for (int x = 1; x < MNIST_SIDE; x++)
            CHECK_EQUAL(prepared[y * MNIST_SIDE + x], prepared[(28 - y) * MNIST_SIDE + 28 - x]);
    }
}

TEST(pictures_without_ink_are_refused)
{
    enum { SIDE = 40 };
    static uint16_t values[SIDE * SIDE], row[70000];
    uint8_t prepared[PIXELS];
    for (int i = 0; i < SIDE * SIDE; i++) values[i] = 30000;
    CHECK(!pgm_prepare(&(Pgm){SIDE, SIDE, values}, prepared));
    CHECK_ERROR("blank: nothing stands out from the border of 40 x 40 pixels");
    CHECK(!pgm_prepare(&(Pgm){1, 1, values}, prepared));
    CHECK_ERROR("blank");
    CHECK(!pgm_prepare(&(Pgm){1, 65536, row}, prepared));
    CHECK_ERROR("blank");
    for (int i = 0; i < SIDE * SIDE; i++) values[i] = (uint16_t)(30000 + 1500 * test_number(1, i));
    CHECK(!pgm_prepare(&(Pgm){SIDE, SIDE, values}, prepared));
    CHECK_ERROR("blank");
    CHECK(!pgm_prepare(NULL, prepared));
    CHECK_ERROR("no picture");
    CHECK(!pgm_prepare(&(Pgm){1, 1, values}, NULL));
    CHECK_ERROR("no room");
}

/* Ink too faint for the digit's box has no say in where it is, wherever it is. */
TEST(faint_ink_moves_nothing)
{
    enum { SIDE = 200, FAINT = 6000 };
    static uint16_t values[SIDE * SIDE];
    uint8_t alone[PIXELS], beside[PIXELS];
    for (int i = 0; i < SIDE * SIDE; i++) values[i] = 0;
    for (int y = 20; y < 24; y++) {
        for (int x = 20; x < 23; x++) values[y * SIDE + x] = 65535;
    }
    CHECK(pgm_prepare(&(Pgm){SIDE, SIDE, values}, alone));
    for (int y = 100; y < 190; y++) {
        for (int x = 100; x < 190; x++) values[y * SIDE + x] = FAINT;
    }
    CHECK(pgm_prepare(&(Pgm){SIDE, SIDE, values}, beside));
    CHECK_EQUAL(alone[14 * MNIST_SIDE + 14], 255);
    CHECK(memcmp(alone, beside, PIXELS) == 0);
}

/* Ink may touch the border, as long as most of the border is paper; and a single pixel is ink. */
TEST(little_and_large_ink_is_found)
{
    enum { SIDE = 9 };
    uint16_t values[SIDE * SIDE] = {0};
    uint8_t prepared[PIXELS];
    values[0] = 65535;
    CHECK(pgm_prepare(&(Pgm){SIDE, SIDE, values}, prepared));
    CHECK_CLOSE(centre_of(prepared).x, 14, 0.001);
    CHECK_EQUAL(prepared[14 * MNIST_SIDE + 14], 255);
    for (int y = 0; y < SIDE; y++) values[y * SIDE + 4] = 65535;
    values[0] = 0;
    CHECK(pgm_prepare(&(Pgm){SIDE, SIDE, values}, prepared));
    CHECK_CLOSE(centre_of(prepared).y, 14, 0.001);
    CHECK_EQUAL(prepared[5 * MNIST_SIDE + 14], 255);
    CHECK_EQUAL(prepared[3 * MNIST_SIDE + 14], 0);
    CHECK_EQUAL(prepared[14 * MNIST_SIDE + 11], 0);
}

/* Ink that covers nearly a whole side is found beside three sides of paper. */
TEST(each_side_of_the_border_is_paper)
{
    enum { SIDE = 50, DEEP = 15, BEGIN = 4, END = 46 };
    static uint16_t values[SIDE * SIDE];
    uint8_t prepared[PIXELS];
    for (int side = 0; side < 4; side++) {
        for (int i = 0; i < SIDE * SIDE; i++) {
            const int x = i % SIDE, y = i / SIDE, along = side < 2 ? y : x, across = side < 2 ? x : y;
            const int depth = side % 2 ? SIDE - 1 - across : across;
            values[i] = depth < DEEP && along >= BEGIN && along < END ? 65535 : 0;
        }
        CHECK(pgm_prepare(&(Pgm){SIDE, SIDE, values}, prepared));
        CHECK_EQUAL(prepared[14 * MNIST_SIDE + 14], 255);
        CHECK_EQUAL(prepared[side < 2 ? 14 * MNIST_SIDE + 8 : 8 * MNIST_SIDE + 14], 0);
    }
}

/* ---- The program ---- */

static Module *scores_new(double dropout)
{
    (void)dropout;
    return nn_sequential(nn_flatten(), nn_linear(PIXELS, MNIST_CLASSES));
}

/* A network whose results are scores: its probabilities are their softmax. */
TEST(probabilities_of_scores_add_up)
{
    static const char picture[] = "P2 5 5 9 0 0 0 0 0 0 9 0 0 0 0 9 0 0 0 0 9 9 9 0 0 0 0 0 0";
    char *weights = strdup(test_path("weights")), *image = strdup(test_path("image.pgm"));
    char *argv[] = {"scores", "--load", weights, "--predict", image, NULL};
    const TrainerApp app = {.name = "scores", .model = scores_new, .epochs = 1, .batch_size = 1};
    Module *net = scores_new(0);
    int kept[2];
    CHECK(weights && image && nn_save(net, weights) && test_write(image, picture, strlen(picture)));
    test_redirect(test_path("out"), kept);
    const int status = trainer_main(5, argv, &app);
    test_put_back(kept);
    CHECK(status == 0 && autograd_is_recording());
    char *at = strchr(test_read_text(test_path("out")), '\t');
    double sum = 0;
    for (int i = 0; at && i < MNIST_CLASSES; i++) sum += strtod(at, &at);
    CHECK_CLOSE(sum, 1, 1e-5);
    nn_free(net);
    free(weights);
    free(image);
}
