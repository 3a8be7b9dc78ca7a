#include <errno.h>
#include <string.h>

#include "nn/safetensors.h"
#include "tensor/crc.h"
#include "tensor/file.h"
#include "tensor/memory.h"
#include "tensor/text.h"

/* The values start at a multiple of this, so that readers may map the file; they are converted in pieces. */
enum { ALIGNMENT = 8, LENGTH_BYTES = 8, PIECE = 4096 };

/* ---- The header ---- */

static bool put_string(Text *text, const char *string)
{
    bool ok = weft_text_put(text, "\"");
    for (const char *c = string; *c && ok; c++) {
        if (*c == '"' || *c == '\\')
            ok = weft_text_put(text, "\\%c", *c);
        else
            ok = weft_text_put(text, (unsigned char)*c < ' ' ? "\\u%04x" : "%c", (unsigned)*c);
    }
    return ok && weft_text_put(text, "\"");
}

static int size_of(const NamedTensor *named)
{
    return named->counter ? (int)sizeof(int64_t) : (int)sizeof(Real);
}

static bool put_entry(Text *text, const NamedTensor *named, int64_t *offset)
{
    if (strcmp(named->name, SAFETENSORS_METADATA) == 0)
        return weft_fail("nn_save: the format has no room for a tensor named \"%s\"", named->name);
    Shape shape = tensor_shape(named->tensor);
    int64_t begin = *offset;
    *offset += tensor_count(named->tensor) * size_of(named);
    bool ok = weft_text_put(text, ",") && put_string(text, named->name) &&
              weft_text_put(text, ":{\"dtype\":\"%s\",\"shape\":[", named->counter ? DTYPE_COUNTER : DTYPE_REAL);
    for (int i = 0; i < shape.rank && ok; i++)
        ok = weft_text_put(text, "%s%lld", i ? "," : "", (long long)shape.size[i]);
    return ok && weft_text_put(text, "],\"data_offsets\":[%lld,%lld]}", (long long)begin, (long long)*offset);
}

/* *checksum receives where its digits are. */
static bool put_metadata(Text *text, const SafetensorsMetadata *metadata, int64_t *checksum)
{
    bool ok = weft_text_put(text, "\"" SAFETENSORS_METADATA "\":{\"format\":\"pt\"");
    for (int64_t i = 0; i < metadata->count && ok; i++) {
        ok = weft_text_put(text, ",") && put_string(text, metadata->items[i].name) && weft_text_put(text, ":") &&
             put_string(text, metadata->items[i].text);
    }
    ok = ok && weft_text_put(text, ",\"" SAFETENSORS_CHECKSUM "\":\"");
    *checksum = text->length;
    return ok && weft_text_put(text, SAFETENSORS_NO_DIGITS "\"}");
}

static bool put_header(Text *text, const NamedTensors *tensors, const SafetensorsMetadata *metadata, int64_t *checksum)
{
    int64_t offset = 0;
    bool ok = weft_text_put(text, "{") && put_metadata(text, metadata, checksum);
    for (int64_t i = 0; i < tensors->count && ok; i++) ok = put_entry(text, &tensors->items[i], &offset);
    ok = ok && weft_text_put(text, "}");
    while (ok && text->length % ALIGNMENT) ok = weft_text_put(text, " ");
    return ok;
}

/* ---- The file ---- */

/* What is being written, and the checksum of what was. */
typedef struct Output {
    FileWriter *writer;
    uint64_t crc;
} Output;

/* A failure is found when the file is committed. */
static void write_bytes(Output *output, const void *bytes, int64_t count)
{
    fwrite(bytes, 1, (size_t)count, output->writer->stream);
    output->crc = weft_crc64(output->crc, bytes, count);
}

static bool write_values(Output *output, const NamedTensor *named, Real *values)
{
    int64_t count = tensor_count(named->tensor);
    int size = size_of(named);
    unsigned char piece[PIECE * sizeof(int64_t)];
    if (!tensor_read(named->tensor, values, count)) return false;
    for (int64_t done = 0; done < count; done += PIECE) {
        int64_t part = count - done < PIECE ? count - done : PIECE;
        for (int64_t i = 0; i < part; i++) {
            Real value = values[done + i];
            if (named->counter)
                nn_dtype_put(piece + i * size, size, (uint64_t)(int64_t)value);
            else
                nn_dtype_encode_real(piece + i * size, value);
        }
        write_bytes(output, piece, part * size);
    }
    return true;
}

static bool write_checksum(const Output *output, int64_t place)
{
    FILE *stream = output->writer->stream;
    if (fseek(stream, (long)place, SEEK_SET) == 0 &&
        fprintf(stream, "%016llx", (unsigned long long)output->crc) == SAFETENSORS_DIGITS)
        return true;
    return weft_fail("%s: cannot write: %s", output->writer->path, strerror(errno));
}

static bool write_all(FileWriter *writer, const Text *header, const NamedTensors *tensors, int64_t checksum)
{
    unsigned char prefix[LENGTH_BYTES];
    int64_t largest = 0;
    for (int64_t i = 0; i < tensors->count; i++) {
        int64_t count = tensor_count(tensors->items[i].tensor);
        largest = count > largest ? count : largest;
    }
    Real *values = weft_alloc(largest, sizeof(Real));
    Output output = {.writer = writer};
    nn_dtype_put(prefix, sizeof prefix, (uint64_t)header->length);
    write_bytes(&output, prefix, sizeof prefix);
    write_bytes(&output, header->bytes, header->length);
    bool ok = values != NULL;
    for (int64_t i = 0; i < tensors->count && ok; i++) ok = write_values(&output, &tensors->items[i], values);
    weft_free(values);
    return ok && write_checksum(&output, LENGTH_BYTES + checksum);
}

/* Counters first: so every tensor lies at a multiple of its own type's size. Borrows what the tensors have. */
static NamedTensors order_of(const NamedTensors *tensors)
{
    NamedTensors order = {.items = weft_alloc(tensors->count, sizeof(NamedTensor))};
    for (int counters = 1; counters >= 0 && order.items; counters--) {
        for (int64_t i = 0; i < tensors->count; i++) {
            if (tensors->items[i].counter == (counters == 1)) order.items[order.count++] = tensors->items[i];
        }
    }
    return order;
}

bool safetensors_write(const char *path, const NamedTensors *tensors, const SafetensorsMetadata *metadata)
{
    Text header = {0};
    int64_t checksum;
    NamedTensors order = order_of(tensors);
    bool ready = order.items && put_header(&header, &order, metadata, &checksum);
    FileWriter *writer = ready ? weft_file_create(path) : NULL;
    bool ok = writer && write_all(writer, &header, &order, checksum);
    if (ok)
        ok = weft_file_commit(writer);
    else
        weft_file_discard(writer);
    weft_free(order.items);
    weft_text_free(&header);
    return ok;
}
