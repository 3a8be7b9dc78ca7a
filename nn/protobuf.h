/* Writing protocol buffers, as far as ONNX needs them. A message is a row of fields: the field's number and the kind of
 * its value in one varint, then the value. Internal. */
#ifndef WEFT_PROTOBUF_H
#define WEFT_PROTOBUF_H

#include <stdbool.h>
#include <stdint.h>

/* A message that grows; zero-initialised it is empty. What cannot be added marks it as failed, with the error on
 * record, so that one look at the end is enough. */
typedef struct Protobuf {
    unsigned char *bytes;
    int64_t size, capacity;
    bool failed;
} Protobuf;

/* Adds a field. */
void nn_protobuf_integer(Protobuf *message, int field, int64_t value);
void nn_protobuf_float(Protobuf *message, int field, float value);
void nn_protobuf_text(Protobuf *message, int field, const char *text);
/* Adds a field of that many bytes, 1 or more, and returns where they are to be written; NULL if that failed. */
unsigned char *nn_protobuf_bytes(Protobuf *message, int field, int64_t size);
/* Adds a message as a field, and frees it. */
void nn_protobuf_message(Protobuf *message, int field, Protobuf *inner);
void nn_protobuf_free(Protobuf *message);

/* The bits of a float, little-endian. */
void nn_protobuf_put_float(unsigned char bytes[sizeof(float)], float value);

#endif
