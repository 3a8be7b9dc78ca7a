#include "tests/fuzz/safetensors_checksum.h"

#include "nn/state.h"
#include "tensor/memory.h"

enum { FEATURES = 3, MOST_VALUES = 1 << 16 };

static Module *small_net(void)
{
    return nn_sequential_named({"fc", nn_linear(FEATURES, 2)}, {"bn", nn_batch_norm2d(1)});
}

/* Whatever tensors the file has. */
static bool read_all(const char *path)
{
    Safetensors file;
    if (!safetensors_open(&file, path, MOST_VALUES)) return false;
    Real *values = weft_alloc(MOST_VALUES, sizeof *values);
    bool ok = values != NULL;
    for (int64_t i = 0; i < file.count && ok; i++) ok = safetensors_read(&file, &file.entries[i], values);
    weft_free(values);
    safetensors_close(&file);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = fuzz_with_checksum(data, size);
    const char *path = fuzz_file(bytes, size);
    fuzz_end(read_all(path));
    Module *net = small_net();
    bool ok = nn_load(net, path);
    nn_free(net);
    fuzz_end(ok);
    free(bytes);
    return 0;
}

static void fuzz_seeds(const char *folder)
{
    static const char types[] = "\300\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
                                "\"b\\u00e9\\ud83d\\ude00\":{\"shape\":[],\"data_offsets\":[4,6],\"dtype\":\"BF16\"},"
                                "\"c\":{\"dtype\":\"U8\",\"shape\":[2,0],\"data_offsets\":[6,6]}}      "
                                "                    \0\74\0\300\200\77";
    Module *net = small_net();
    if (nn_save(net, fuzz_seed_path(folder, "weights"))) fuzz_zero_checksum(fuzz_seed_path(folder, "weights"));
    nn_free(net);
    fuzz_seed(folder, "types", types, sizeof types - 1);
}
