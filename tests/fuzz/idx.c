#include "tests/fuzz/fuzz.h"

#include "data/dataset.h"
#include "tensor/memory.h"

/* Once as images, once as labels, and once as a data set whose two files are this one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    for (int dimensions = 1; dimensions <= IDX_MAX_DIMENSIONS; dimensions++) {
        int64_t sizes[IDX_MAX_DIMENSIONS];
        uint8_t *values = dataset_read_idx(path, dimensions, sizes);
        bool ok = values != NULL;
        weft_free(values);
        fuzz_end(ok);
    }
    Dataset *dataset = dataset_idx(path, path, 10);
    bool ok = dataset != NULL;
    dataset_free(dataset);
    fuzz_end(ok);
    return 0;
}

static void fuzz_seeds(const char *folder)
{
    static const uint8_t images[16 + 24] = {0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 3};
    static const uint8_t labels[8 + 5] = {0, 0, 8, 1, 0, 0, 0, 5, 0, 1, 2, 9, 10};
    static const uint8_t packed[] = {0x1f, 0x8b, 8, 0};
    fuzz_seed(folder, "images", images, sizeof images);
    fuzz_seed(folder, "labels", labels, sizeof labels);
    fuzz_seed(folder, "packed", packed, sizeof packed);
}
