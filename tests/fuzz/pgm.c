#include "tests/fuzz/fuzz.h"

#include "data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Pgm *image = pgm_read(fuzz_file(data, size));
    bool ok = image != NULL;
    uint8_t digit[MNIST_SIDE * MNIST_SIDE];
    if (ok) ok = pgm_prepare(image, digit);
    pgm_free(image);
    fuzz_end(ok);
    return 0;
}

static void fuzz_seeds(const char *folder)
{
    static const char plain[] = "P2 # a comment\n4 3 9\n0 1 2 3\n4 5 9 7\n8 9 0 1\n";
    static const char bytes[] = "P5\n4 2\n255\n\0\1\2\377\376\0\7\10";
    static const char wide[] = "P5 2 2 65535\n\0\1\2\3\377\376\0\7";
    fuzz_seed(folder, "plain", plain, sizeof plain - 1);
    fuzz_seed(folder, "bytes", bytes, sizeof bytes - 1);
    fuzz_seed(folder, "wide", wide, sizeof wide - 1);
}
