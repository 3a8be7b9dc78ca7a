#include "nn/protobuf.h"

#include <string.h>

#include "nn/dtype.h"
#include "tensor/error.h"
#include "tensor/memory.h"

/* The kinds of value. */
enum { WIRE_VARINT = 0, WIRE_BYTES = 2, WIRE_FLOAT = 5, WIRE_BITS = 3 };
enum { VARINT_BITS = 7, VARINT_MORE = 0x80 };

/* Room for so many bytes at the end, or NULL. */
static unsigned char *extend(Protobuf *message, int64_t size)
{
    if (message->failed) return NULL;
    if (size > INT64_MAX - message->size) weft_fail("protobuf: a message is too large");
    else if (weft_grow(&message->bytes, &message->capacity, message->size + size, 1)) {
        message->size += size;
        return message->bytes + message->size - size;
    }
    message->failed = true;
    return NULL;
}

static void put_varint(Protobuf *message, uint64_t value)
{
    for (bool more = true; more;) {
        unsigned char *byte = extend(message, 1);
        if (!byte) return;
        more = value >> VARINT_BITS != 0;
        *byte = (unsigned char)((value & (VARINT_MORE - 1)) | (more ? VARINT_MORE : 0));
        value >>= VARINT_BITS;
    }
}

static void put_tag(Protobuf *message, int field, int wire)
{
    put_varint(message, (uint64_t)field << WIRE_BITS | (uint64_t)wire);
}

void nn_protobuf_integer(Protobuf *message, int field, int64_t value)
{
    put_tag(message, field, WIRE_VARINT);
    put_varint(message, (uint64_t)value);
}

void nn_protobuf_put_float(unsigned char bytes[sizeof(float)], float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    nn_dtype_put(bytes, sizeof bits, bits);
}

void nn_protobuf_float(Protobuf *message, int field, float value)
{
    put_tag(message, field, WIRE_FLOAT);
    unsigned char *bytes = extend(message, sizeof value);
    if (bytes) nn_protobuf_put_float(bytes, value);
}

unsigned char *nn_protobuf_bytes(Protobuf *message, int field, int64_t size)
{
    put_tag(message, field, WIRE_BYTES);
    put_varint(message, (uint64_t)size);
    return extend(message, size);
}

static void put_bytes(Protobuf *message, int field, const void *from, int64_t size)
{
    unsigned char *bytes = nn_protobuf_bytes(message, field, size);
    if (bytes && size) memcpy(bytes, from, (size_t)size);
}

void nn_protobuf_text(Protobuf *message, int field, const char *text)
{
    put_bytes(message, field, text, (int64_t)strlen(text));
}

void nn_protobuf_message(Protobuf *message, int field, Protobuf *inner)
{
    if (inner->failed) message->failed = true;
    put_bytes(message, field, inner->bytes, inner->size);
    nn_protobuf_free(inner);
}

void nn_protobuf_free(Protobuf *message)
{
    weft_free(message->bytes);
    *message = (Protobuf){0};
}
