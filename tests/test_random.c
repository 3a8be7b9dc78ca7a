/* The counter-based generator: published answers, the mapping of indices, the distributions. */
#include "tests/test.h"

#include "tensor/math.h"
#include "tensor/random.h"

static const RandomKey KEY = {.seed = UINT64_C(0x123456789abcdef0), .stream = 7, .epoch = 3};

/* From the Random123 distribution's kat_vectors, lines "philox4x32 10": counter, key, result. */
TEST(random_block_gives_the_published_answers)
{
    static const uint32_t answers[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
            0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
            0x24126ea1},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const uint32_t *a = answers[i];
        const RandomKey key = {.seed = (uint64_t)a[5] << 32 | a[4], .stream = a[2], .epoch = a[3]};
        uint32_t block[4];
        random_block(key, (uint64_t)a[1] << 32 | a[0], block);
        for (int w = 0; w < 4; w++)
            CHECK_EQUAL(block[w], a[6 + w]);
    }
}

TEST(random_bits_are_the_halves_of_blocks)
{
    uint32_t block[4];
    random_block(KEY, UINT64_C(1) << 40, block);
    CHECK(random_bits(KEY, UINT64_C(1) << 41) == ((uint64_t)block[1] << 32 | block[0]));
    CHECK(random_bits(KEY, (UINT64_C(1) << 41) + 1) == ((uint64_t)block[3] << 32 | block[2]));
    CHECK(random_uniform(KEY, UINT64_C(1) << 41) == (double)(((uint64_t)block[1] << 32 | block[0]) >> 11) * 0x1p-53);
}

TEST(random_numbers_depend_on_every_part_of_their_name)
{
    const uint64_t bits = random_bits(KEY, 5);
    RandomKey other = KEY;
    other.seed ^= UINT64_C(1) << 63;
    CHECK(random_bits(other, 5) != bits);
    other = KEY;
    other.stream++;
    CHECK(random_bits(other, 5) != bits);
    other = KEY;
    other.epoch++;
    CHECK(random_bits(other, 5) != bits);
    CHECK(random_bits(KEY, 5 + (UINT64_C(1) << 33)) != bits);
    CHECK(random_bits(KEY, 5) == bits);
}

/* Means are checked to 5 standard errors. */
TEST(random_uniform_has_its_moments)
{
    enum { COUNT = 200000 };
    double sum = 0, square = 0, neighbours = 0, last = 0.5;
    for (uint64_t i = 0; i < COUNT; i++) {
        const double u = random_uniform(KEY, i);
        CHECK(u >= 0 && u < 1);
        sum += u;
        square += (u - 0.5) * (u - 0.5);
        neighbours += (u - 0.5) * (last - 0.5);
        last = u;
    }
    CHECK_CLOSE(sum / COUNT, 0.5, 5 * sqrt(1.0 / 12 / COUNT));
    CHECK_CLOSE(square / COUNT, 1.0 / 12, 5 * sqrt(1.0 / 180 / COUNT));
    CHECK_CLOSE(neighbours / COUNT, 0, 5 * sqrt(1.0 / 144 / COUNT));
}

TEST(random_normal_is_box_and_mullers)
{
    for (uint64_t i = 0; i < 1000; i += 2) {
        const double radius = sqrt(-2 * log(1 - random_uniform(KEY, i)));
        const double angle = 2 * acos(-1.0) * random_uniform(KEY, i + 1);
        CHECK_CLOSE(random_normal(KEY, i), radius * cos(angle), 1e-14);
        CHECK_CLOSE(random_normal(KEY, i + 1), radius * sin(angle), 1e-14);
    }
}

TEST(random_normal_has_its_moments)
{
    enum { COUNT = 200000 };
    double moment[5] = {0}, neighbours = 0, last = 0;
    int64_t inside = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        const double x = random_normal(KEY, i);
        for (int m = 1; m <= 4; m++)
            moment[m] += pow(x, m) / COUNT;
        neighbours += x * last / COUNT;
        last = x;
        inside += fabs(x) < 1;
    }
    CHECK_CLOSE(moment[1], 0, 5 * sqrt(1.0 / COUNT));
    CHECK_CLOSE(moment[2], 1, 5 * sqrt(2.0 / COUNT));
    CHECK_CLOSE(moment[3], 0, 5 * sqrt(15.0 / COUNT));
    CHECK_CLOSE(moment[4] / 3, 1, 5 * sqrt(96.0 / COUNT) / 3);
    CHECK_CLOSE(neighbours, 0, 5 * sqrt(1.0 / COUNT));
    CHECK_CLOSE((double)inside / COUNT, erf(sqrt(0.5)), 5 * sqrt(0.25 / COUNT));
}

TEST(random_below_is_the_upper_half_of_the_product)
{
    CHECK_EQUAL(random_below(KEY, 1, 0), 0);
    CHECK_EQUAL(random_below(KEY, 1, 1), 0);
    for (uint64_t i = 0; i < 100; i++) {
        const uint64_t bits = random_bits(KEY, i);
        CHECK(random_below(KEY, i, UINT64_C(1) << 63) == bits >> 1);
        CHECK(random_below(KEY, i, UINT64_C(1) << 10) == bits >> 54);
        /* bits (2^64 - 1) / 2^64 = bits - bits / 2^64. */
        CHECK(random_below(KEY, i, UINT64_MAX) == bits - 1);
        /* Three times bits, in three parts without overflow. */
        const uint64_t low = 3 * (bits & UINT32_MAX), high = 3 * (bits >> 32) + (low >> 32);
        CHECK(random_below(KEY, i, 3) == high >> 32);
        CHECK(random_below(KEY, i, UINT64_C(3) << 32) == high);
    }
}

TEST(random_below_is_even)
{
    enum { COUNT = 60000, SIDES = 6 };
    int64_t seen[SIDES] = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        const uint64_t side = random_below(KEY, i, SIDES);
        CHECK(side < SIDES);
        seen[side]++;
    }
    for (int s = 0; s < SIDES; s++)
        CHECK_CLOSE((double)seen[s] / COUNT, 1.0 / SIDES, 5 * sqrt(5.0 / 36 / COUNT));
}

TEST(random_permutation_is_one)
{
    enum { COUNT = 1000 };
    int64_t order[COUNT], again[COUNT];
    bool seen[COUNT] = {false};
    random_permutation(KEY, COUNT, order);
    random_permutation(KEY, COUNT, again);
    int64_t fixed = 0;
    for (int i = 0; i < COUNT; i++) {
        CHECK(order[i] >= 0 && order[i] < COUNT && !seen[order[i]]);
        seen[order[i]] = true;
        fixed += order[i] == i;
        CHECK_EQUAL(again[i], order[i]);
    }
    CHECK(fixed < 10);
    order[0] = -1;
    random_permutation(KEY, 0, order);
    random_permutation(KEY, -5, order);
    CHECK_EQUAL(order[0], -1);
    random_permutation(KEY, 1, order);
    CHECK_EQUAL(order[0], 0);
}

/* All six orders of three are equally likely. */
TEST(random_permutation_is_even)
{
    enum { COUNT = 12000 };
    int64_t seen[3][3] = {{0}}, orders[27] = {0};
    RandomKey key = KEY;
    for (key.epoch = 0; key.epoch < COUNT; key.epoch++) {
        int64_t order[3];
        random_permutation(key, 3, order);
        for (int i = 0; i < 3; i++)
            seen[i][order[i]]++;
        orders[order[0] * 9 + order[1] * 3 + order[2]]++;
    }
    for (int i = 0; i < 9; i++)
        CHECK_CLOSE((double)seen[i / 3][i % 3] / COUNT, 1.0 / 3, 5 * sqrt(2.0 / 9 / COUNT));
    int64_t kinds = 0;
    for (int i = 0; i < 27; i++) {
        if (!orders[i])
            continue;
        kinds++;
        CHECK_CLOSE((double)orders[i] / COUNT, 1.0 / 6, 5 * sqrt(5.0 / 36 / COUNT));
    }
    CHECK_EQUAL(kinds, 6);
}
