/* Weight files: what is written, what is read, and that no damage gets past the reader. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "nn/safetensors.h"
#include "nn/state.h"
#include "tensor/crc.h"
#include "tensor/file.h"
#include "tensor/memory.h"
#include "tests/test.h"

enum { STATE_ROOM = 4096, LENGTH_BYTES = 8 };

static bool write_safetensors(const char *path, const char *header, const void *values, size_t count)
{
    TestBytes bytes;
    size_t length = strlen(header);
    for (int i = 0; i < LENGTH_BYTES; i++) bytes.at[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(bytes.at + LENGTH_BYTES, header, length);
    if (count) memcpy(bytes.at + LENGTH_BYTES + length, values, count);
    return test_write(path, bytes.at, LENGTH_BYTES + length + count);
}

/* All parameters and buffers in one array, to be freed. */
typedef struct State {
    Real *values;
    int64_t count;
} State;

static State state_of(const Module *module)
{
    NamedTensors lists[] = {nn_named_parameters(module), nn_named_buffers(module)};
    State state = {malloc(STATE_ROOM * sizeof(Real)), 0};
    for (int l = 0; l < 2; l++) {
        for (int64_t i = 0; i < lists[l].count; i++) {
            int64_t count = tensor_count(lists[l].items[i].tensor);
            if (state.count + count > STATE_ROOM) abort();
            if (tensor_read(lists[l].items[i].tensor, state.values + state.count, count)) state.count += count;
        }
        nn_named_free(&lists[l]);
    }
    return state;
}

static bool same_state(const Module *module, State expected)
{
    State state = state_of(module);
    bool same = state.count == expected.count &&
                memcmp(state.values, expected.values, (size_t)state.count * sizeof(Real)) == 0;
    free(state.values);
    return same;
}

/* One parameter "w", and nothing else. */
static Module *holder(Shape shape)
{
    Module *module = nn_module_new("Holder", sizeof(Module), NULL);
    nn_add_parameter(module, "w", shape);
    return nn_ready(module);
}

static Module *counting(void)
{
    Module *module = nn_module_new("Counting", sizeof(Module), NULL);
    nn_add_counter(module, "n");
    return nn_ready(module);
}

static Module *small_net(uint64_t seed)
{
    nn_seed(seed);
    return nn_sequential_named({"conv", nn_conv2d(1, 2, 3)}, {"bn", nn_batch_norm2d(2)}, {"fc", nn_linear(3, 2)});
}

/* ---- What is written ---- */

TEST(state_round_trip_keeps_every_bit)
{
    Module *from = small_net(1), *to = small_net(2);
    NamedTensors buffers = nn_named_buffers(from);
    CHECK_EQUAL(buffers.count, 3);
    CHECK(tensor_set(buffers.items[0].tensor, AT(1), -INFINITY));
    CHECK(tensor_set(buffers.items[1].tensor, AT(0), NAN));
    CHECK(tensor_set(buffers.items[1].tensor, AT(1), -0.0));
    CHECK(tensor_set(buffers.items[2].tensor, SCALAR, 16777215));
    nn_named_free(&buffers);
    State state = state_of(from);
    CHECK(!same_state(to, state));
    CHECK(nn_save(from, test_path("a")));
    CHECK(nn_load(to, test_path("a")));
    CHECK(same_state(to, state));
    CHECK(nn_save(to, test_path("b")));
    TestBytes a = test_read(test_path("a")), b = test_read(test_path("b"));
    CHECK(a.count > 100 && a.count == b.count && memcmp(a.at, b.at, a.count) == 0);
    free(state.values);
    nn_free(from);
    nn_free(to);
}

/* Values are converted 4096 at a time. */
TEST(state_of_many_values_is_whole)
{
    Module *from = nn_linear(100, 100), *to = nn_linear(100, 100);
    CHECK(nn_save(from, test_path("a")) && nn_load(to, test_path("a")));
    Real *saved = test_values(from->parameters.items[0].tensor), *loaded = test_values(to->parameters.items[0].tensor);
    CHECK_EQUAL_BITS(loaded, saved, 100 * 100);
    free(saved);
    free(loaded);
    nn_free(from);
    nn_free(to);
}

/* CRC-64/XZ, a bit at a time: the register is divided by the polynomial, lowest bit first. */
static uint64_t crc_of(const unsigned char *bytes, size_t count)
{
    uint64_t crc = UINT64_MAX;
    for (size_t bit = 0; bit < 8 * count; bit++) {
        bool odd = (crc ^ (uint64_t)(bytes[bit / 8] >> bit % 8)) & 1;
        crc = crc >> 1 ^ (odd ? 0xC96C5795D7870F42 : 0);
    }
    return crc ^ UINT64_MAX;
}

TEST(crc_is_that_of_xz)
{
    CHECK(weft_crc64(0, "123456789", 9) == 0x995DC9BBDF1939FA); /* the check value of the CRC catalogue */
    CHECK(weft_crc64(0, NULL, 0) == 0);
    unsigned char bytes[300];
    for (int i = 0; i < 300; i++) bytes[i] = (unsigned char)(i * i + 7 * i);
    for (int cut = 0; cut <= 300; cut += 60)
        CHECK(weft_crc64(weft_crc64(0, bytes, cut), bytes + cut, 300 - cut) == crc_of(bytes, 300));
}

/* Where a file that Weft wrote has its checksum. */
static unsigned char *checksum_of(TestBytes *file)
{
    static const char key[] = "\"weft.crc64\":\"";
    file->at[file->count] = '\0';
    char *found = strstr((char *)file->at + LENGTH_BYTES, key);
    return found ? (unsigned char *)found + strlen(key) : NULL;
}

/* Gives the file the checksum that its bytes have. */
static void set_checksum(TestBytes *file)
{
    unsigned char *digits = checksum_of(file);
    char text[17];
    memset(digits, '0', 16);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)crc_of(file->at, file->count));
    memcpy(digits, text, 16);
}

TEST(state_file_is_the_bytes_that_the_format_says)
{
    Module *module = nn_module_new("Mixed", sizeof(Module), NULL);
    Tensor *w = nn_add_parameter(module, "w", SHAPE(1, 2));
    Tensor *n = nn_add_counter(module, "n\"\\\n");
    const Real values[] = {1, (Real)-2.5};
    CHECK(nn_ready(module));
    CHECK(tensor_write(w, values, 2) && tensor_set(n, SCALAR, 258));
    CHECK(nn_save(module, test_path("file")));
    TestBytes file = test_read(test_path("file"));
    const char *header = "{\"__metadata__\":{\"format\":\"pt\",\"weft.crc64\":\"0123456789abcdef\"},"
                         "\"n\\\"\\\\\\u000a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
#ifdef WEFT_DOUBLE
                         "\"w\":{\"dtype\":\"F64\",\"shape\":[1,2],\"data_offsets\":[8,24]}}";
    const unsigned char data[] = {2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0, 0, 0, 4, 0xC0};
#else
                         "\"w\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[8,16]}}";
    const unsigned char data[] = {2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0};
#endif
    size_t length = (strlen(header) + 7) / 8 * 8;
    CHECK_EQUAL(file.count, LENGTH_BYTES + length + sizeof data);
    TestBytes same = file;
    set_checksum(&same);
    CHECK(memcmp(file.at, same.at, file.count) == 0);
    memcpy(checksum_of(&file), "0123456789abcdef", 16);
    CHECK_EQUAL(file.at[0] + 256 * file.at[1], length);
    for (int i = 2; i < LENGTH_BYTES; i++) CHECK_EQUAL(file.at[i], 0);
    CHECK(memcmp(file.at + LENGTH_BYTES, header, strlen(header)) == 0);
    for (size_t i = strlen(header); i < length; i++) CHECK_EQUAL(file.at[LENGTH_BYTES + i], ' ');
    CHECK(memcmp(file.at + LENGTH_BYTES + length, data, sizeof data) == 0);
    CHECK(nn_load(module, test_path("file")));
    CHECK_EQUAL(tensor_item(n), 258);
    nn_free(module);
}

TEST(state_names_are_those_of_torch)
{
    Module *net = small_net(1);
    CHECK(nn_save(net, test_path("file")));
    TestBytes file = test_read(test_path("file"));
    static const char *const names[] = {"conv.weight", "conv.bias", "bn.weight", "bn.bias", "bn.running_mean",
                                        "bn.running_var", "bn.num_batches_tracked", "fc.weight", "fc.bias"};
    file.at[file.count] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) CHECK(strstr((char *)file.at + LENGTH_BYTES, names[i]));
    nn_free(net);
}

/* ---- What is read ---- */

/* The float that a file's 16 bits of this type become. */
static double decoded(const char *dtype, unsigned bits)
{
    char header[200];
    const unsigned char bytes[] = {(unsigned char)bits, (unsigned char)(bits >> 8)};
    Module *module = holder(SHAPE(1));
    snprintf(header, sizeof header, "{\"w\":{\"dtype\":\"%s\",\"shape\":[1],\"data_offsets\":[0,2]}}", dtype);
    bool ok = write_safetensors(test_path("half"), header, bytes, sizeof bytes) && nn_load(module, test_path("half"));
    double value = ok ? tensor_item(module->parameters.items[0].tensor) : -12345;
    nn_free(module);
    return value;
}

TEST(state_reads_halves)
{
    CHECK_CLOSE(decoded("F16", 0x3C00), 1, 0);
    CHECK_CLOSE(decoded("F16", 0xC100), -2.5, 0);
    CHECK_CLOSE(decoded("F16", 0x7BFF), 65504, 0);
    CHECK_CLOSE(decoded("F16", 0x0400), 0x1p-14, 0);
    CHECK_CLOSE(decoded("F16", 0x03FF) * 0x1p24, 1023, 0);
    CHECK_CLOSE(decoded("F16", 0x8001) * 0x1p24, -1, 0);
    CHECK(decoded("F16", 0x8000) == 0 && signbit(decoded("F16", 0x8000)));
    CHECK_CLOSE(decoded("F16", 0x7C00), INFINITY, 0);
    CHECK_CLOSE(decoded("F16", 0xFC00), -INFINITY, 0);
    CHECK(isnan(decoded("F16", 0x7E01)) && isnan(decoded("F16", 0xFC01)));
    CHECK_CLOSE(decoded("BF16", 0x3F80), 1, 0);
    CHECK_CLOSE(decoded("BF16", 0xC020), -2.5, 0);
    CHECK_CLOSE(decoded("BF16", 0x0001) * 0x1p133, 1, 0);
    CHECK_CLOSE(decoded("BF16", 0xFF80), -INFINITY, 0);
    CHECK(isnan(decoded("BF16", 0x7FC0)));
}

TEST(state_reads_f64_and_refuses_what_overflows)
{
    const char *header = "{\"w\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}";
    const unsigned char fine[] = {0, 0, 0, 0, 0, 0, 4, 0xC0, 0, 0, 0, 0, 0, 0, 0xF0, 0x7F};  /* -2.5, inf */
    const unsigned char large[] = {0, 0, 0, 0, 0, 0, 4, 0xC0, 0, 0, 0, 0, 0, 0, 0xE0, 0x7F}; /* 2^1023 */
    Module *module = holder(SHAPE(2));
    Tensor *w = module->parameters.items[0].tensor;
    CHECK(write_safetensors(test_path("fine"), header, fine, sizeof fine));
    CHECK(nn_load(module, test_path("fine")));
    CHECK_CLOSE(tensor_get(w, AT(0)), -2.5, 0);
    CHECK_CLOSE(tensor_get(w, AT(1)), INFINITY, 0);
    CHECK(write_safetensors(test_path("large"), header, large, sizeof large));
#ifdef WEFT_DOUBLE
    CHECK(nn_load(module, test_path("large")));
    CHECK_CLOSE(tensor_get(w, AT(1)), 0x1p1023, 0);
#else
    CHECK(!nn_load(module, test_path("large")));
    CHECK_ERROR("tensor \"w\" has F64 values that do not fit float: element 1");
    CHECK_CLOSE(tensor_get(w, AT(1)), INFINITY, 0);
#endif
    nn_free(module);
}

/* Whether a counter can be read from a file of this type; -1 if refused. */
static double counted(const char *dtype, int size, uint64_t bits)
{
    char header[200];
    unsigned char bytes[8];
    for (int i = 0; i < size; i++) bytes[i] = (unsigned char)(bits >> 8 * i);
    Module *module = counting();
    snprintf(header, sizeof header, "{\"n\":{\"dtype\":\"%s\",\"shape\":[],\"data_offsets\":[0,%d]}}", dtype, size);
    bool ok = write_safetensors(test_path("count"), header, bytes, (size_t)size) && nn_load(module, test_path("count"));
    double value = ok ? tensor_item(module->buffers.items[0].tensor) : -1;
    nn_free(module);
    weft_error_clear();
    return value;
}

TEST(state_counters_are_exact_or_refused)
{
    CHECK_CLOSE(counted("I64", 8, 16777216), 16777216, 0);
    CHECK_CLOSE(counted("U64", 8, 3), 3, 0);
    CHECK_CLOSE(counted("I32", 4, 70000), 70000, 0);
    CHECK_CLOSE(counted("I32", 4, 0x80000000), -1, 0);
    CHECK_CLOSE(counted("U32", 4, 0x80000000), 0x80000000, 0);
    CHECK_CLOSE(counted("U8", 1, 200), 200, 0);
    CHECK_CLOSE(counted("U16", 2, 0xFFFE), 0xFFFE, 0);
    CHECK_CLOSE(counted("I8", 1, 200), -1, 0);
    CHECK_CLOSE(counted("I16", 2, 0xFFFE), -1, 0);
    CHECK_CLOSE(counted("U64", 8, UINT64_MAX), -1, 0);
    CHECK_CLOSE(counted("I64", 8, INT64_MAX), -1, 0);
    CHECK_CLOSE(counted("F32", 4, 0x40A00000), 5, 0);
    CHECK_CLOSE(counted("F32", 4, 0x40A80000), -1, 0);
    CHECK_CLOSE(counted("F32", 4, 0x7FC00000), -1, 0);
    CHECK_CLOSE(counted("I64", 8, 16777217), sizeof(Real) == 8 ? 16777217 : -1, 0);
}

TEST(state_reads_any_json_of_the_format)
{
    const char *header = " { \"b\" :\t{ \"data_offsets\":[ 0 , 4 ],\n\"shape\" : [ ] , \"dtype\":\"F32\"}\r\n,"
                         "\"__metadata__\":{\"format\":\"np\",\"\\ud83d\\ude00 \\b\\f\\n\\r\\t\\/\":\"\xC3\xA9\"},"
                         "\"\\u0077\\u00e9\\u20aC\\uD83d\\uDE00\":"
                         "{\"shape\":[2,1],\"dtype\":\"\\u00461\\u0036\",\"data_offsets\":[4,8]} }  ";
    const unsigned char values[] = {0, 0, 0x80, 0x3F, 0, 0x40, 0, 0x42};
    Module *module = nn_module_new("Names", sizeof(Module), NULL);
    Tensor *w = nn_add_parameter(module, "w\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", SHAPE(2, 1));
    Tensor *b = nn_add_buffer(module, "b", SCALAR);
    CHECK(write_safetensors(test_path("file"), header, values, sizeof values));
    CHECK(nn_load(module, test_path("file")));
    CHECK_CLOSE(tensor_item(b), 1, 0);
    CHECK_CLOSE(tensor_get(w, AT(0, 0)), 2, 0);
    CHECK_CLOSE(tensor_get(w, AT(1, 0)), 3, 0);
    nn_free(module);
}

/* Escaped, the first and last characters of each length in UTF-8 are what they are raw. */
TEST(state_reads_escapes_of_every_length)
{
    const char *header = "{\"\\u0001\\u007f\\u0080\\u07ff\\u0800\\uffff\\ud800\\udc00\\udbff\\udfff\":"
                         "{\"shape\":[],\"dtype\":\"F32\",\"data_offsets\":[0,4]}}";
    const unsigned char one[] = {0, 0, 0x80, 0x3F};
    Module *module = nn_module_new("Names", sizeof(Module), NULL);
    Tensor *t = nn_add_parameter(module, "\x01\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80"
                                         "\xF4\x8F\xBF\xBF", SCALAR);
    CHECK(write_safetensors(test_path("file"), header, one, sizeof one));
    CHECK(nn_load(module, test_path("file")));
    CHECK_CLOSE(tensor_item(t), 1, 0);
    nn_free(module);
}

/* ---- What is refused ---- */

/* A header, the number of bytes after it, and what the message says. The model is "w", one value. */
typedef struct Malformed {
    const char *header;
    int bytes;
    const char *message;
} Malformed;

#define W(dtype, shape, offsets) "\"w\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" offsets "]}"

#define CHECKSUM "\"weft.crc64\":\"0123456789abcdef\""

static const Malformed malformed[] = {
    {"", 4, "'{' expected"},
    {"[]", 4, "'{' expected"},
    {"{", 4, "'\"' expected"},
    {"{}", 4, "ends with 4 bytes that belong to no tensor"},
    {"{}", 0, "has no tensor \"w\""},
    {"{} x", 0, "the header's end expected"},
    {"{" W("F32", "1", "0,4") "", 4, "'}' expected"},
    {"{" W("F32", "1", "0,4") ",}", 4, "'\"' expected"},
    {"{" W("F32", "1", "0,4") "}}", 4, "the header's end expected"},
    {"{" W("F32", "1", "0,4") "," W("F32", "1", "4,8") "}", 8, "tensor \"w\" is there twice"},
    {"{" W("F32", "1", "0,4") ",\"v\":{\"dtype\":\"I8\",\"shape\":[2,3],\"data_offsets\":[4,10]}}", 10,
     "tensor \"v\", I8 [2, 3], is none of the model's"},
    {"{" W("F32", "1", "0,4") ",\"v\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[3,5]}}", 5,
     "tensor \"v\" overlaps another one"},
    {"{" W("F32", "1", "0,4") ",\"v\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[5,7]}}", 7,
     "tensor \"v\" comes after bytes that belong to no tensor"},
    {"{" W("F32", "1", "4,8") "}", 8, "comes after bytes that belong to no tensor"},
    {"{" W("F32", "1", "0,4") "}", 5, "ends with 1 bytes that belong to no tensor"},
    {"{" W("F32", "1", "0,4") "}", 3, "tensor \"w\" goes beyond the end of the file"},
    {"{" W("F32", "2", "0,4") "}", 4, "tensor \"w\" F32 of [2] takes 8 bytes, its offsets are 0 to 4"},
    {"{" W("F32", "1", "4,0") "}", 4, "its offsets are 4 to 0"},
    {"{" W("F32", "0", "0,0") "}", 0, "tensor \"w\" is F32 [0], in the model " },
    {"{" W("F32", "1,1", "0,4") "}", 4, "tensor \"w\" is F32 [1, 1], in the model "},
    {"{" W("I32", "1", "0,4") "}", 4, "tensor \"w\" is I32 [1], in the model "},
    {"{" W("F31", "1", "0,4") "}", 4, "tensor \"w\" has dtype \"F31\""},
    {"{" W("BOOL", "1", "0,1") "}", 1, "tensor \"w\" has dtype \"BOOL\""},
    {"{" W("F32", "4611686018427387904", "0,4") "}", 4, "shape that is too large"},
    {"{" W("F32", "4294967296,4294967296", "0,4") "}", 4, "shape that is too large"},
    {"{" W("F32", "0,4294967296,4294967296", "0,4") "}", 4, "takes 0 bytes"},
    {"{" W("F32", "1", "0,9223372036854775807") "}", 4, "takes 4 bytes"},
    {"{" W("F32", "1", "0,9223372036854775808") "}", 4, "a smaller number expected"},
    {"{" W("F32", "1,1,1,1,1,1,1", "0,4") "}", 4, "too many numbers"},
    {"{" W("F32", "1", "0") "}", 4, "two offsets"},
    {"{" W("F32", "1", "0,4,4") "}", 4, "too many numbers"},
    {"{" W("F32", "1.0", "0,4") "}", 4, "a whole number expected"},
    {"{" W("F32", "1e0", "0,4") "}", 4, "a whole number expected"},
    {"{" W("F32", "01", "0,4") "}", 4, "a whole number expected"},
    {"{" W("F32", "-1", "0,4") "}", 4, "a whole number expected"},
    {"{" W("F32", "1,", "0,4") "}", 4, "a whole number expected"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "tensor \"w\" lacks"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "one each of"},
    {"{\"w\":{\"dtype\":\"F32\",\"size\":[1],\"data_offsets\":[0,4]}}", 4, "one each of"},
    {"{\"w\":{\"kind\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "one each of"},
    {"{\"w\":{}}", 4, "'\"' expected"},
    {"{\"w\":[]}", 4, "'{' expected"},
    {"{\"w\" {}}", 4, "':' expected"},
    {"{\"w", 4, "a string that ends expected"},
    {"{\"w\\", 4, "a string that ends expected"},
    {"{\"w\\\"", 4, "a string that ends expected"},
    {"{\"w\\q\":1}", 4, "a known escape expected"},
    {"{\"w\\u12g4\":1}", 4, "a hexadecimal digit expected"},
    {"{\"w\\u12\":1}", 4, "a hexadecimal digit expected"},
    {"{\"w\\ud800\":1}", 4, "second half of a surrogate pair expected"},
    {"{\"w\\ud800u0041\":1}", 4, "second half of a surrogate pair expected"},
    {"{\"w\\ud800\\u0041\":1}", 4, "second half of a surrogate pair expected"},
    {"{\"w\\ud800\\ue000\":1}", 4, "second half of a surrogate pair expected"},
    {"{\"w\\udc00\":1}", 4, "stands alone expected"},
    {"{\"w\\u0000\":1}", 4, "other than zero expected"},
    {"{\"w\n\":1}", 4, "a character of UTF-8 expected"},
    {"{\"w\x80\":1}", 4, "a character of UTF-8 expected"},
    {"{\"w\xC0\x80\":1}", 4, "a character of UTF-8 expected"},
    {"{\"w\xE0\x80\x80\":1}", 4, "a character of UTF-8 expected"},
    {"{\"w\xED\xA0\x80\":1}", 4, "a character of UTF-8 expected"},
    {"{\"w\xF0\x8F\xBF\xBF\":1}", 4, "a character of UTF-8 expected"},
    {"{\"w\xF4\x90\x80\x80\":1}", 4, "a character of UTF-8 expected"},
    {"{\"w\xC3\":1}", 4, "a character of UTF-8 expected"},
    {"{\"w\xFF\":1}", 4, "a character of UTF-8 expected"},
    {"{\"__metadata__\":{\"a\":1}," W("F32", "1", "0,4") "}", 4, "'\"' expected"},
    {"{\"__metadata__\":{},\"__metadata__\":{}," W("F32", "1", "0,4") "}", 4, "no second __metadata__"},
    {"{\"__metadata__\":{" CHECKSUM "," CHECKSUM "}," W("F32", "1", "0,4") "}", 4, "one checksum of 16 digits before"},
    {"{" W("F32", "1", "0,4") ",\"v\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 4,
     "tensor \"v\", I8 [0], is none of the model's"},
};

TEST(state_malformed_files_are_refused)
{
    Module *module = holder(SHAPE(1));
    State state = state_of(module);
    const unsigned char values[16] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        const Malformed *m = &malformed[i];
        CHECK(write_safetensors(test_path("file"), m->header, values, (size_t)m->bytes));
        bool loaded = nn_load(module, test_path("file"));
        if (loaded) printf("loaded: %s\n", m->header);
        CHECK(!loaded);
        CHECK(strncmp(weft_error(), test_path("file"), strlen(test_path("file"))) == 0);
        CHECK_ERROR(m->message);
        CHECK(same_state(module, state));
    }
    free(state.values);
    nn_free(module);
}

TEST(state_absurd_lengths_cost_no_memory)
{
    static const uint64_t lengths[] = {3, 8, 1000, 100000000, 1ull << 32, INT64_MAX, (uint64_t)INT64_MAX + 1,
                                       UINT64_MAX};
    Module *module = holder(SHAPE(1));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char bytes[LENGTH_BYTES + 2] = {0};
        for (int b = 0; b < LENGTH_BYTES; b++) bytes[b] = (unsigned char)(lengths[i] >> 8 * b);
        bytes[LENGTH_BYTES] = '{';
        bytes[LENGTH_BYTES + 1] = '}';
        CHECK(test_write(test_path("file"), bytes, sizeof bytes));
        CHECK(!nn_load(module, test_path("file")));
        CHECK_ERROR("no safetensors file, or cut short: has 10 bytes");
    }
    nn_free(module);
}

/* For modules without buffers. */
static void restore(Module *module, State state)
{
    NamedTensors parameters = nn_named_parameters(module);
    const Real *values = state.values;
    for (int64_t i = 0; i < parameters.count; i++) {
        CHECK(tensor_write(parameters.items[i].tensor, values, tensor_count(parameters.items[i].tensor)));
        values += tensor_count(parameters.items[i].tensor);
    }
    nn_named_free(&parameters);
}

/* Loads a damaged file: it must be refused, the module unchanged; or mean what the undamaged one means. */
static void check_damaged(Module *module, State before, State meant)
{
    bool loaded = nn_load(module, test_path("damaged"));
    CHECK(same_state(module, loaded ? meant : before));
    CHECK(loaded || weft_error());
    weft_error_clear();
    restore(module, before);
}

TEST(state_damage_is_found)
{
    static const unsigned char replacements[] = "{}[],:\"\\ \n0189-.eFIU46tun\x80\xFF";
    nn_seed(1);
    Module *from = nn_linear(2, 2), *to = nn_linear(2, 2);
    State meant = state_of(from), before = state_of(to);
    CHECK(nn_save(from, test_path("whole")));
    TestBytes whole = test_read(test_path("whole"));
    size_t header = whole.at[0] + 256u * whole.at[1], values = LENGTH_BYTES + header;
    CHECK_EQUAL(whole.count, values + 6 * sizeof(Real));
    test_note("all of %zu bits", 8 * whole.count);
    for (size_t length = 0; length < whole.count; length++) {
        CHECK(test_write(test_path("damaged"), whole.at, length));
        CHECK(!nn_load(to, test_path("damaged")));
        CHECK(same_state(to, before));
        weft_error_clear();
    }
    for (size_t at = 0; at < values; at++) {
        for (size_t i = 0; i < 8 + sizeof replacements; i++) {
            TestBytes damaged = whole;
            damaged.at[at] = (unsigned char)(i < 8 ? whole.at[at] ^ 1u << i : replacements[i - 8]);
            CHECK(test_write(test_path("damaged"), damaged.at, damaged.count));
            check_damaged(to, before, meant);
            if (test_failed()) return;
        }
    }
    TestBytes named = whole;
    ptrdiff_t digits = checksum_of(&named) - named.at;
    for (size_t bit = 0; bit < 8 * whole.count; bit++) {
        TestBytes damaged = whole;
        damaged.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
        CHECK(test_write(test_path("damaged"), damaged.at, damaged.count));
        bool loaded = nn_load(to, test_path("damaged"));
        /* Only what makes another name of "weft.crc64" hides the checksum. */
        ptrdiff_t before_digits = digits - (ptrdiff_t)(bit / 8);
        CHECK(!loaded || (before_digits > 3 && before_digits <= 13));
        CHECK(same_state(to, loaded ? meant : before));
        weft_error_clear();
        restore(to, before);
    }
    free(meant.values);
    free(before.values);
    nn_free(from);
    nn_free(to);
}

TEST(state_checksum_is_checked)
{
    Module *from = nn_linear(2, 2), *to = nn_linear(2, 2);
    State meant = state_of(from), before = state_of(to);
    CHECK(nn_save(from, test_path("file")));
    TestBytes whole = test_read(test_path("file")), damaged = whole;
    damaged.at[whole.count - 1] ^= 1;
    CHECK(test_write(test_path("file"), damaged.at, damaged.count));
    CHECK(!nn_load(to, test_path("file")));
    CHECK_ERROR("file: damaged: its checksum is ");
    CHECK(same_state(to, before));
    /* Digits in upper case, escaped, or too few mean nothing. */
    static const char *const wrong[] = {"ABCDEFABCDEFABCD", "\\u00300000000000", "0123456789abcde\""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        damaged = whole;
        memcpy(checksum_of(&damaged), wrong[i], 16);
        CHECK(test_write(test_path("file"), damaged.at, damaged.count));
        CHECK(!nn_load(to, test_path("file")));
        CHECK(same_state(to, before));
        weft_error_clear();
    }
    /* Without one there is nothing to check. */
    damaged = whole;
    *(checksum_of(&damaged) - 4) = '5';
    CHECK(test_write(test_path("file"), damaged.at, damaged.count));
    CHECK(nn_load(to, test_path("file")));
    CHECK(same_state(to, meant));
    free(meant.values);
    free(before.values);
    nn_free(from);
    nn_free(to);
}

TEST(state_of_another_network_is_refused)
{
    Module *small = nn_linear(3, 2), *other = nn_linear(2, 3), *bare = nn_linear(3, 2, .no_bias = true);
    State state = state_of(small);
    CHECK(nn_save(other, test_path("other")));
    CHECK(!nn_load(small, test_path("other")));
    CHECK_ERROR("tensor \"weight\" is " );
    CHECK(!nn_load(small, test_path("other")));
    CHECK_ERROR("[3, 2], in the model ");
    CHECK(nn_save(bare, test_path("bare")));
    CHECK(!nn_load(small, test_path("bare")));
    CHECK_ERROR("has no tensor \"bias\", in the model ");
    CHECK(nn_save(small, test_path("small")));
    CHECK(!nn_load(bare, test_path("small")));
    CHECK_ERROR("tensor \"bias\", ");
    CHECK(!nn_load(small, test_path("missing")));
    CHECK_ERROR("missing: cannot open");
    CHECK(!nn_load(small, "/"));
    CHECK_ERROR("not a regular file");
    CHECK(!nn_load(NULL, test_path("small")));
    CHECK_ERROR("NULL");
    CHECK(!nn_load(small, NULL));
    CHECK_ERROR("NULL");
    CHECK(!nn_save(NULL, test_path("small")));
    CHECK_ERROR("NULL");
    CHECK(same_state(small, state));
    free(state.values);
    nn_free(small);
    nn_free(other);
    nn_free(bare);
}

TEST(state_no_counter_that_is_no_count)
{
    Module *module = counting();
    static const double none[] = {0.5, -1, 0x1p63};
    for (int i = 0; i < 3; i++) {
        CHECK(tensor_set(module->buffers.items[0].tensor, SCALAR, none[i]));
        CHECK(!nn_save(module, test_path("file")));
        CHECK_ERROR("tensor \"n\" is to hold a whole number, not ");
    }
    nn_free(module);
    module = nn_module_new("Holder", sizeof(Module), NULL);
    nn_add_parameter(module, "__metadata__", SCALAR);
    CHECK(!nn_save(module, test_path("file")));
    CHECK_ERROR("no room for a tensor named \"__metadata__\"");
    nn_free(module);
}

/* ---- Faults ---- */

static int files_in(const char *folder)
{
    int count = 0;
    DIR *directory = opendir(folder);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    if (directory) closedir(directory);
    return count;
}

/* The file in the folder "kept" is the only one there, and as it was. */
static void check_kept(const TestBytes *earlier)
{
    TestBytes now = test_read(test_path("kept/file"));
    CHECK(now.count > 0 && now.count == earlier->count && memcmp(now.at, earlier->at, now.count) == 0);
    CHECK_EQUAL(files_in(test_path("kept")), 1);
}

TEST(state_earlier_file_survives_a_full_disk)
{
    Module *first = nn_linear(2, 2), *second = nn_linear(40, 40);
    struct rlimit limit, small;
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    CHECK(nn_save(first, test_path("kept/file")));
    TestBytes earlier = test_read(test_path("kept/file"));
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = limit;
    static const rlim_t sizes[] = {0, 5, 200, 1000, 6000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        small.rlim_cur = sizes[i];
        CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
        bool saved = nn_save(second, test_path("kept/file"));
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHECK(!saved);
        CHECK_ERROR("kept/file: cannot write: ");
        check_kept(&earlier);
        if (test_failed()) return;
    }
    signal(SIGXFSZ, handler);
    CHECK(nn_save(second, test_path("kept/file")));
    CHECK_EQUAL(files_in(test_path("kept")), 1);
    nn_free(first);
    nn_free(second);
}

/* Room that comes back in the middle of the file must not hide that bytes are missing. */
TEST(file_commit_remembers_a_failed_write)
{
    struct rlimit limit, small;
    CHECK(mkdir(test_path("kept"), 0777) == 0 && test_write(test_path("kept/file"), "old", 3));
    TestBytes earlier = test_read(test_path("kept/file"));
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    FileWriter *writer = weft_file_create(test_path("kept/file"));
    CHECK(writer);
    small = limit;
    small.rlim_cur = 10;
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    bool failed = fputs("more than ten bytes", writer->stream) < 0 || fflush(writer->stream) != 0;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    signal(SIGXFSZ, handler);
    CHECK(failed);
    CHECK(!weft_file_commit(writer));
    CHECK_ERROR("kept/file: cannot write: ");
    check_kept(&earlier);
}

TEST(state_survives_every_failing_allocation)
{
    Module *from = small_net(1), *to = small_net(2);
    State before = state_of(to), meant = state_of(from);
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    CHECK(nn_save(to, test_path("kept/file")));
    TestBytes earlier = test_read(test_path("kept/file"));
    int64_t k = 1;
    for (bool saved = false; !saved; k++) {
        weft_alloc_fail_at(k);
        saved = nn_save(from, test_path("kept/file"));
        weft_alloc_fail_at(0);
        if (saved) break;
        CHECK_ERROR("no room");
        check_kept(&earlier);
        if (test_failed()) return;
    }
    CHECK(k > 20);
    k = 1;
    for (bool loaded = false; !loaded; k++) {
        weft_alloc_fail_at(k);
        loaded = nn_load(to, test_path("kept/file"));
        weft_alloc_fail_at(0);
        CHECK(same_state(to, loaded ? meant : before));
        if (!loaded) CHECK_ERROR("no room");
    }
    CHECK(k > 20);
    free(before.values);
    free(meant.values);
    nn_free(from);
    nn_free(to);
}

TEST(state_paths_that_cannot_be_written)
{
    Module *module = nn_linear(2, 2);
    CHECK(!nn_save(module, test_path("nowhere/file")));
    CHECK_ERROR("nowhere/file: cannot write: ");
    CHECK(!nn_save(module, ""));
    CHECK_ERROR("empty name");
    CHECK(!nn_save(module, "/dev/null"));
    CHECK_ERROR("/dev/null: cannot write: not a regular file");
    CHECK(!weft_file_check_writable(test_path("nowhere/file")));
    CHECK_ERROR("nowhere/file: cannot write: ");
    CHECK(!weft_file_check_writable(NULL));
    CHECK_ERROR("NULL");
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    CHECK(weft_file_check_writable(test_path("kept/file")));
    CHECK_EQUAL(files_in(test_path("kept")), 0);
    if (geteuid() != 0) {
        CHECK(chmod(test_path("kept"), 0555) == 0);
        CHECK(!nn_save(module, test_path("kept/file")));
        CHECK_ERROR("Permission denied");
        CHECK(chmod(test_path("kept"), 0777) == 0);
    }
    nn_free(module);
}

TEST(file_keeps_mode_and_follows_links)
{
    struct stat status;
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    CHECK(test_write(test_path("kept/file"), "old", 3));
    CHECK(chmod(test_path("kept/file"), 0751) == 0);
    CHECK(symlink("kept/file", test_path("link")) == 0);
    FileWriter *writer = weft_file_create(test_path("link"));
    CHECK(writer);
    CHECK_EQUAL(files_in(test_path("kept")), 2);
    CHECK(fputs("newer", writer->stream) >= 0);
    CHECK_EQUAL(test_read(test_path("kept/file")).count, 3);
    CHECK(weft_file_commit(writer));
    CHECK_EQUAL(test_read(test_path("kept/file")).count, 5);
    CHECK_EQUAL(files_in(test_path("kept")), 1);
    CHECK(stat(test_path("kept/file"), &status) == 0);
    CHECK_EQUAL(status.st_mode & 0777, 0751);
    CHECK(lstat(test_path("link"), &status) == 0 && S_ISLNK(status.st_mode));
    CHECK(symlink("kept/nothing", test_path("dangling")) == 0);
    CHECK(!weft_file_check_writable(test_path("dangling")));
    CHECK_ERROR("dangling: cannot write: a symbolic link to nothing");
    CHECK(lstat(test_path("dangling"), &status) == 0 && S_ISLNK(status.st_mode));
}

TEST(file_that_a_killed_program_left_is_removed)
{
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    CHECK(test_write(test_path("kept/file.weft-tmp-0"), "half", 4));
    FileWriter *writer = weft_file_create(test_path("kept/file"));
    CHECK(writer && fputs("whole", writer->stream) >= 0);
    CHECK_EQUAL(files_in(test_path("kept")), 1);
    CHECK(weft_file_commit(writer));
    CHECK_EQUAL(test_read(test_path("kept/file")).count, 5);
    CHECK_EQUAL(files_in(test_path("kept")), 1);
}

/* A program that this one starts would hold the lock on, and what a killed save left could not be removed. */
TEST(file_that_is_written_is_open_to_no_other_program)
{
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    enum { DESCRIPTORS = 64 };
    bool before[DESCRIPTORS];
    for (int i = 0; i < DESCRIPTORS; i++) before[i] = fcntl(i, F_GETFD) >= 0;
    FileWriter *writer = weft_file_create(test_path("kept/file"));
    CHECK(writer);
    int opened = 0;
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (before[i] || fcntl(i, F_GETFD) < 0) continue;
        CHECK(fcntl(i, F_GETFD) & FD_CLOEXEC);
        opened++;
    }
    CHECK(opened >= 2); /* the file, and its lock */
    CHECK(weft_file_commit(writer));
}

TEST(file_that_another_writes_is_not_removed)
{
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    FileWriter *first = weft_file_create(test_path("kept/file")), *second = weft_file_create(test_path("kept/file"));
    CHECK(first && second && fputs("first", first->stream) >= 0 && fputs("second", second->stream) >= 0);
    CHECK_EQUAL(files_in(test_path("kept")), 2);
    CHECK(weft_file_commit(first));
    CHECK_EQUAL(test_read(test_path("kept/file")).count, 5);
    CHECK(weft_file_commit(second));
    CHECK_EQUAL(test_read(test_path("kept/file")).count, 6);
    CHECK_EQUAL(files_in(test_path("kept")), 1);
}

TEST(file_in_the_temporary_ones_place_is_left_alone)
{
    CHECK(mkdir(test_path("kept"), 0777) == 0 && test_write(test_path("precious"), "precious", 8));
    CHECK(symlink("../precious", test_path("kept/file.weft-tmp-0")) == 0);
    CHECK(mkfifo(test_path("kept/file.weft-tmp-1"), 0666) == 0);
    FileWriter *writer = weft_file_create(test_path("kept/file"));
    CHECK(writer && fputs("whole", writer->stream) >= 0);
    CHECK(weft_file_commit(writer));
    CHECK_EQUAL(test_read(test_path("precious")).count, 8);
    CHECK_EQUAL(test_read(test_path("kept/file")).count, 5);
    CHECK_EQUAL(files_in(test_path("kept")), 3);
}

/* A pipe is refused too, and nobody waits for its other end. The harness sees that no file stays open. */
TEST(file_that_is_none_is_not_read)
{
    FileReader reader;
    CHECK(mkdir(test_path("folder"), 0777) == 0 && mkfifo(test_path("pipe"), 0666) == 0);
    CHECK(!weft_file_open(&reader, test_path("folder")));
    CHECK_ERROR("folder: not a regular file");
    CHECK(!weft_file_open(&reader, test_path("pipe")));
    CHECK_ERROR("pipe: not a regular file");
}

/* The number that the next file to be opened would get. */
static int next_descriptor(void)
{
    const int descriptor = dup(STDIN_FILENO);
    close(descriptor);
    return descriptor;
}

/* The folder, the file and its lock need one each. */
TEST(file_for_which_descriptors_are_few)
{
    struct rlimit limit, few;
    CHECK(mkdir(test_path("kept"), 0777) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    few = limit;
    few.rlim_cur = (rlim_t)next_descriptor();
    int failures = 0;
    for (bool done = false; !done && failures < 100; failures += !done, few.rlim_cur++) {
        CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
        FileWriter *writer = weft_file_create(test_path("kept/file"));
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        done = writer != NULL;
        weft_file_discard(writer);
        if (!done) CHECK_ERROR("kept/file: cannot write: ");
        CHECK_EQUAL(files_in(test_path("kept")), 0);
    }
    CHECK(failures >= 3);
}

/* Whatever came to be in its place meanwhile. */
TEST(file_that_cannot_get_its_name)
{
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    FileWriter *writer = weft_file_create(test_path("kept/file"));
    CHECK(writer && mkdir(test_path("kept/file"), 0777) == 0);
    CHECK(!weft_file_commit(writer));
    CHECK_ERROR("kept/file: cannot write: ");
    CHECK_EQUAL(files_in(test_path("kept")), 1);
}

TEST(file_that_is_new_has_the_mode_that_files_get)
{
    struct stat status;
    const mode_t mask = umask(022);
    FileWriter *writer = weft_file_create(test_path("file"));
    const bool written = writer && weft_file_commit(writer);
    umask(mask);
    CHECK(written && stat(test_path("file"), &status) == 0);
    CHECK_EQUAL(status.st_mode & 0777, 0644);
}

/* In the folder that one is in, and in the root, where not everyone may write. */
TEST(file_names_of_one_part)
{
    const int here = open(".", O_RDONLY);
    CHECK(here >= 0 && mkdir(test_path("kept"), 0777) == 0 && chdir(test_path("kept")) == 0);
    FileWriter *writer = weft_file_create("file");
    const bool written = writer && weft_file_commit(writer);
    CHECK(fchdir(here) == 0 && close(here) == 0);
    CHECK(written);
    CHECK_EQUAL(files_in(test_path("kept")), 1);
    CHECK(weft_file_check_writable("/weft-test") || !strstr(weft_error(), "No such file"));
    weft_error_clear();
    CHECK(weft_file_same("/weft-test", "/./weft-test"));
}

static bool same_file(const char *a, const char *b)
{
    return weft_file_same(test_path(a), test_path(b));
}

TEST(file_same_by_any_way)
{
    CHECK(mkdir(test_path("kept"), 0777) == 0);
    CHECK(same_file("kept/new", "kept/../kept/new"));
    CHECK(weft_file_same("new", "./new"));
    CHECK(!same_file("kept/new", "new"));
    CHECK(!same_file("kept/new", "kept/newer"));
    CHECK(!same_file("nowhere/new", "kept/new"));
    CHECK(test_write(test_path("kept/file"), "old", 3));
    CHECK(symlink("kept/file", test_path("link")) == 0);
    CHECK(same_file("kept/file", "link"));
    CHECK(!same_file("kept/file", "kept/new"));
}

TEST(file_reads_are_bounded)
{
    FileReader reader;
    char bytes[8];
    int64_t size;
    CHECK(test_write(test_path("file"), "abcdef", 6));
    CHECK(weft_file_open(&reader, test_path("file")));
    CHECK_EQUAL(reader.size, 6);
    CHECK(weft_file_read(&reader, 4, bytes, 2) && memcmp(bytes, "ef", 2) == 0);
    CHECK(weft_file_read(&reader, 6, bytes, 0));
    CHECK(!weft_file_read(&reader, 4, bytes, 3));
    CHECK_ERROR("has 6 bytes; 3 from byte 4 on are wanted");
    CHECK(!weft_file_read(&reader, -1, bytes, 1));
    CHECK_ERROR("from byte -1");
    CHECK(!weft_file_read(&reader, 1, bytes, INT64_MAX));
    CHECK_ERROR("are wanted");
    CHECK(truncate(reader.path, 3) == 0);
    CHECK(!weft_file_read(&reader, 2, bytes, 3));
    CHECK_ERROR("became shorter");
    weft_file_close(&reader);
    void *all = weft_file_read_all(test_path("file"), 3, &size);
    CHECK(all && size == 3 && memcmp(all, "abc", 3) == 0);
    weft_free(all);
    CHECK(!weft_file_read_all(test_path("file"), 2, &size));
    CHECK_EQUAL(size, 0);
    CHECK_ERROR("has 3 bytes, more than the 2 that it may");
}
