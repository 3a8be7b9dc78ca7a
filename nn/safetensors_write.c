#include <stdarg.h>
#include <string.h>

#include "nn/safetensors.h"
#include "tensor/memory.h"

/* The values start at a multiple of this, so that readers may map the file. */
enum { ALIGNMENT = 8 };

/* A text that grows. */
typedef struct Text {
    char *bytes;
    int64_t length, capacity;
} Text;

__attribute__((format(printf, 2, 3))) static bool put(Text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !weft_grow(&text->bytes, &text->capacity, text->length + length + 1, 1)) return false;
    va_start(arguments, format);
    vsnprintf(text->bytes + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += length;
    return true;
}

static bool put_string(Text *text, const char *string)
{
    bool ok = put(text, "\"");
    for (const char *c = string; *c && ok; c++) {
        if (*c == '"' || *c == '\\')
            ok = put(text, "\\%c", *c);
        else
            ok = (unsigned char)*c < ' ' ? put(text, "\\u%04x", (unsigned)*c) : put(text, "%c", *c);
    }
    return ok && put(text, "\"");
}

static int64_t bytes_of(const NamedTensor *named)
{
    return tensor_count(named->tensor) * (named->counter ? (int64_t)sizeof(int64_t) : (int64_t)sizeof(Real));
}

static bool put_entry(Text *text, const NamedTensor *named, int64_t *offset)
{
    if (strcmp(named->name, SAFETENSORS_METADATA) == 0)
        return weft_fail("nn_save: the format has no room for a tensor named \"%s\"", named->name);
    Shape shape = tensor_shape(named->tensor);
    int64_t begin = *offset;
    *offset += bytes_of(named);
    bool ok = put(text, ",") && put_string(text, named->name) &&
              put(text, ":{\"dtype\":\"%s\",\"shape\":[", named->counter ? DTYPE_COUNTER : DTYPE_REAL);
    for (int i = 0; i < shape.rank && ok; i++) ok = put(text, "%s%lld", i ? "," : "", (long long)shape.size[i]);
    return ok && put(text, "],\"data_offsets\":[%lld,%lld]}", (long long)begin, (long long)*offset);
}

static bool put_header(Text *text, const NamedTensor *tensors, int64_t count)
{
    int64_t offset = 0;
    bool ok = put(text, "{\"" SAFETENSORS_METADATA "\":{\"format\":\"pt\"}");
    for (int64_t i = 0; i < count && ok; i++) ok = put_entry(text, &tensors[i], &offset);
    ok = ok && put(text, "}");
    while (ok && text->length % ALIGNMENT) ok = put(text, " ");
    return ok;
}

static bool write_values(FILE *stream, const NamedTensor *named, Real *values)
{
    int64_t count = tensor_count(named->tensor);
    int size = named->counter ? (int)sizeof(int64_t) : (int)sizeof(Real);
    unsigned char piece[SAFETENSORS_PIECE * sizeof(int64_t)];
    if (!tensor_read(named->tensor, values, count)) return false;
    for (int64_t done = 0; done < count; done += SAFETENSORS_PIECE) {
        int64_t part = count - done < SAFETENSORS_PIECE ? count - done : SAFETENSORS_PIECE;
        for (int64_t i = 0; i < part; i++) {
            Real value = values[done + i];
            if (named->counter)
                dtype_put(piece + i * size, size, (uint64_t)(int64_t)value);
            else
                dtype_encode_real(piece + i * size, value);
        }
        fwrite(piece, (size_t)size, (size_t)part, stream); /* checked when the file is committed */
    }
    return true;
}

static bool write_all(FILE *stream, const Text *header, const NamedTensor *tensors, int64_t count, Real *values)
{
    unsigned char prefix[8];
    dtype_put(prefix, sizeof prefix, (uint64_t)header->length);
    fwrite(prefix, 1, sizeof prefix, stream);
    fwrite(header->bytes, 1, (size_t)header->length, stream);
    bool ok = true;
    for (int64_t i = 0; i < count && ok; i++) ok = write_values(stream, &tensors[i], values);
    return ok;
}

/* Counters first: so every tensor lies at a multiple of its own type's size. */
static NamedTensor *order_of(const NamedTensor *tensors, int64_t count)
{
    NamedTensor *order = weft_alloc(count, sizeof(NamedTensor)), *next = order;
    for (int64_t i = 0; i < count && order; i++) {
        if (tensors[i].counter) *next++ = tensors[i];
    }
    for (int64_t i = 0; i < count && order; i++) {
        if (!tensors[i].counter) *next++ = tensors[i];
    }
    return order;
}

bool safetensors_write(const char *path, const NamedTensor *tensors, int64_t count)
{
    int64_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        if (tensor_count(tensors[i].tensor) > largest) largest = tensor_count(tensors[i].tensor);
    }
    Text header = {0};
    NamedTensor *order = order_of(tensors, count);
    Real *values = weft_alloc(largest, sizeof(Real));
    FileWriter *writer = order && values && put_header(&header, order, count) ? weft_file_create(path) : NULL;
    bool ok = writer && write_all(writer->stream, &header, order, count, values);
    if (ok)
        ok = weft_file_commit(writer);
    else
        weft_file_discard(writer);
    weft_free(values);
    weft_free(order);
    weft_free(header.bytes);
    return ok;
}
